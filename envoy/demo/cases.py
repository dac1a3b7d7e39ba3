"""What the demo asks of the gate, and what it promises of each reply."""

from collections import Counter

from replies import difference, let_through, refused, send, shell_line
from servers import fetch
from terminal import paint
from tokens import ALGORITHMS, ISSUER, key_of, mint, prove

CHALLENGE = 'Bearer realm="portcullis"'
INVALID = f'{CHALLENGE}, error="invalid_token"'
INVALID_PROOF = 'DPoP realm="portcullis", error="invalid_dpop_proof"'

# The claims of tokens.mint, as the upstream is to see them; the token itself stays at the gate.
ALICE = {
    "x-session-subject": ["alice"],
    "x-session-id": ["session-1"],
    "x-session-issuer": [ISSUER],
    "x-session-client": ["phone"],
    "x-session-scope": ["orders:read"],
    "x-user-email": ["alice@example.com"],
    "authorization": [],
}
NO_CALLER = {name: [] for name in ALICE}


def bearer(token):
    return ["-H", f"Authorization: Bearer {token}"]


def dpop(token, proof):
    return ["-H", f"Authorization: DPoP {token}", "-H", f"DPoP: {proof}"]


def bound_cases(url):
    """A token that is bound to the key of a phone, at a path that takes no other."""
    token = mint("es256", holder="phone")
    alice = {**ALICE, "x-session-key": [key_of(token)]}
    sent = [*dpop(token, prove("phone", url, token)), url]
    yield (
        "A token that is bound to a key of alice's phone, and a proof for this one request, by the phone",
        sent,
        "let through as alice; the upstream learns which key",
        let_through(alice),
    )
    yield (
        "The same request again, as of a thief who has overheard all of it",
        sent,
        "refused: 401 proof_replayed",
        refused("proof_replayed", INVALID_PROOF),
    )
    yield (
        "A copy of the token, with a proof by the thief's own key",
        [*dpop(token, prove("thief", url, token)), url],
        "refused: 401 proof_invalid",
        refused("proof_invalid", INVALID_PROOF),
    )
    yield (
        "The next request of the phone",
        [*dpop(token, prove("phone", url, token)), url],
        "let through as alice",
        let_through(alice),
    )


def cases(gate):
    """Each is a title, arguments for curl, a promise, and a function from the reply to its faults."""
    genuine = bearer(mint("es256"))
    spoofed = ["-H", "x-session-subject: admin"]
    yield (
        "A request without a token",
        [f"{gate}/orders"],
        "refused: 401 token_missing, with a challenge that names no error",
        refused("token_missing", CHALLENGE),
    )
    yield (
        "A genuine token",
        [*genuine, f"{gate}/orders?page=2"],
        "let through; the upstream learns who is calling and does not get the token, the client when to refresh",
        let_through(ALICE, tells_expiry=True),
    )
    yield (
        "A forged token: signed by another key, under the key id of the genuine one",
        [*bearer(mint("forger")), f"{gate}/orders"],
        "refused: 401 signature_invalid",
        refused("signature_invalid", INVALID),
    )
    yield (
        "A token that expired an hour ago",
        [*bearer(mint("es256", lifetime="-1h")), f"{gate}/orders"],
        "refused: 401 token_expired, which tells a client to fetch a new one",
        refused("token_expired", INVALID),
    )
    yield (
        "Something that is no token",
        [*bearer("open-sesame"), f"{gate}/orders"],
        "refused: 401 token_malformed",
        refused("token_malformed", INVALID),
    )
    yield (
        "A genuine token of alice, and with it a header that claims to be admin, spelt in two ways",
        [*genuine, *spoofed, "-H", "x_session_subject: admin", f"{gate}/orders"],
        "let through as alice; `admin` does not reach the upstream",
        let_through(ALICE),
    )
    yield (
        "The same header without a token, on a path that is open to all",
        [*spoofed, f"{gate}/public/prices"],
        "let through; the upstream sees no session header at all",
        let_through(NO_CALLER, tells_expiry=False),
    )
    yield (
        "A payment, for which alice must have signed in within the last five minutes, with a token of an hour ago",
        [*bearer(mint("es256", signed_in_ago=3600)), f"{gate}/payments"],
        "refused: 401 authentication_insufficient, which tells a client to have her sign in again",
        refused("authentication_insufficient", f'{CHALLENGE}, error="insufficient_user_authentication"'),
    )
    yield (
        "The same, when she has signed in again",
        [*bearer(mint("es256", signed_in_ago=0)), f"{gate}/payments"],
        "let through as alice",
        let_through(ALICE),
    )
    yield from bound_cases(f"{gate}/wallet")
    for algorithm in ALGORITHMS[1:]:
        yield (
            f"A genuine token signed with {algorithm}",
            [*bearer(mint(algorithm)), f"{gate}/orders"],
            "let through as alice",
            let_through(ALICE),
        )


def run_cases(gate_port, admin_port):
    """Shows every case; returns how many did not come out as promised."""
    failed, verdicts = 0, Counter()
    for number, (title, arguments, promise, faults_of) in enumerate(cases(f"http://127.0.0.1:{gate_port}"), 1):
        show_title(f"{number}. {title}", shell_line("curl", "-i", *arguments))
        reply = send(arguments)
        reply.show()
        verdicts["allowed" if reply.status == 200 else "refused"] += 1
        failed += show_outcome(promise, faults_of(reply))
    return failed + show_metrics(admin_port, verdicts)


def show_metrics(admin_port, verdicts):
    path = "/stats/prometheus?filter=portcullis"
    show_title("What Envoy counted", shell_line("curl", "-s", f"http://127.0.0.1:{admin_port}{path}"))
    counted = Counter()
    for line in fetch(admin_port, path).splitlines():
        labels, _, count = line.rpartition(" ")
        if not labels.startswith("portcullis_requests{") or count == "0":
            continue
        print(f"  {line}")
        for verdict in verdicts:
            # A reason that Envoy made no label of would be of no use on a dashboard.
            if f'verdict="{verdict}"' in labels and 'reason="' in labels:
                counted[verdict] += int(count)
    promise = f"{verdicts['allowed']} allowed and {verdicts['refused']} refused, each under its reason"
    return show_outcome(promise, difference("counted", dict(verdicts), dict(counted)))


def show_title(title, line):
    print(f"\n{paint('1', title)}\n\n$ {line}")


def show_outcome(promise, faults):
    print(paint("31", f"✗ {promise}") if faults else paint("32", f"✓ {promise}"))
    for fault in faults:
        print(f"    {fault}")
    return 1 if faults else 0
