"""The demo's keys and tokens, made by the `portcullis` program. Everything of the demo's is in target/demo."""

import base64
import json
import os
import secrets
import shutil
import subprocess
import time
from pathlib import Path

from terminal import Failure

ROOT = Path(__file__).resolve().parents[2]
PORTCULLIS = Path(os.environ["PORTCULLIS_BIN"]).resolve()
DEMO = ROOT / "target" / "demo"
AUTHORITY = DEMO / "authority"
CREDENTIALS = DEMO / "credentials"
ADMIN = DEMO / "admin.credential"
# Where the store is in a database: its password, and what encrypts the secrets in it.
DATABASE_PASSWORD, SECRET_KEY = DEMO / "database.password", DEMO / "secret.key"
# What the authority trusts, and when sessions end by themselves.
AUTHORITY_FILE = ROOT / "envoy" / "demo" / "authority.yaml"
# Which sign-outs at the identity provider it is told of.
SIGNALS_FILE = ROOT / "envoy" / "demo" / "signals.yaml"
SIGNALS_ADDRESS = "127.0.0.1:10003"

# As envoy.yaml has them.
ISSUER, AUDIENCE = "https://issuer.example", "api"
ALGORITHMS = ["ES256", "RS256", "EdDSA"]
# Whose keys tokens may be bound to.
HOLDERS = ["phone", "thief"]
# The curl lines are to work for as long as `up` may run.
LIFETIME = "24h"


def portcullis(*arguments):
    done = subprocess.run([PORTCULLIS, *arguments], capture_output=True, text=True, cwd=ROOT)
    if done.returncode != 0:
        raise Failure(f"portcullis {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout.strip()


def key_file(name):
    return DEMO / f"{name.lower()}.jwk"


def make_keys():
    """Makes new keys and credentials, and returns what Envoy is to find in its environment.

    The key that signs the feed is made by the authority at its first start; so it is started once.
    """
    environment = make_own_keys()
    return with_feed_key(environment, serve(0))


def make_own_keys():
    """All but the key that signs the feed.

    The forger's key is not in the set, but bears the same key id as one that is.
    """
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir(parents=True)
    for algorithm in ALGORITHMS:
        name = algorithm.lower()
        portcullis("keygen", "--algorithm", algorithm, "--key-id", name, "--out", key_file(name))
    portcullis("keygen", "--algorithm", "ES256", "--key-id", "es256", "--out", key_file("forger"))
    for holder in HOLDERS:
        portcullis("keygen", "--algorithm", "ES256", "--out", key_file(holder))
    jwks = portcullis("jwks", *[key_file(algorithm) for algorithm in ALGORITHMS])
    (DEMO / "jwks.json").write_text(jwks)
    write_secret(DATABASE_PASSWORD, secrets.token_hex(16))
    write_secret(SECRET_KEY, base64.b64encode(secrets.token_bytes(32)).decode())
    write_secret(ADMIN, credential("admin"))
    return {
        "PORTCULLIS_DEMO_JWKS": jwks,
        "PORTCULLIS_DEMO_EDGE_CREDENTIAL": credential("edge", "--allow", "sign-out,activity,sessions"),
    }


def with_feed_key(environment, command):
    """The same and the key of the authority that this command serves; target/demo/demo.env has all of it."""
    environment = {**environment, "PORTCULLIS_DEMO_FEED_KEY": first_start_of_the_authority(command)}
    write_secret(DEMO / "demo.env", "".join(f"{name}='{value}'\n" for name, value in environment.items()))
    return environment


def write_secret(path, text):
    path.touch(mode=0o600)
    path.write_text(text)


def credential(role, *permissions):
    return portcullis("credential", "--role", role, "--name", role, "--file", CREDENTIALS, *permissions)


def serve(port, data=AUTHORITY):
    """The command that serves the authority.

    Its clock is that of the issuer, so a cut-off reaches no further than its second.
    """
    return [
        PORTCULLIS, "serve", "--listen", f"127.0.0.1:{port}",
        "--data", data, "--credentials", CREDENTIALS, "--config", AUTHORITY_FILE, "--clock-skew", "0s",
    ]  # fmt: skip


def signals_file(port):
    """signals.yaml itself, or a copy of it where the port is another."""
    text = SIGNALS_FILE.read_text()
    address = f"127.0.0.1:{port}"
    if address == SIGNALS_ADDRESS:
        return SIGNALS_FILE
    rendered = DEMO / "signals.yaml"
    # As far from the root as the original, from where its paths lead.
    rendered.write_text(text.replace(SIGNALS_ADDRESS, address))
    return rendered


def first_start_of_the_authority(command):
    with (DEMO / "authority.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=log, text=True)
    line = process.stdout.readline()
    process.terminate()
    process.wait()
    if not line:
        raise Failure(f"the authority did not start, see {(DEMO / 'authority.log').relative_to(ROOT)}")
    return json.loads(line)["feed_public_keys"][0]


def mint(key, lifetime=LIFETIME, session="session-1", subject="alice", client="phone", signed_in_ago=None, holder=None):
    more = [] if signed_in_ago is None else ["--claim", f"auth_time={int(time.time()) - signed_in_ago}"]
    more += [] if holder is None else ["--dpop-key", key_file(holder)]
    return portcullis(
        "mint", "--key", key_file(key), "--issuer", ISSUER, "--audience", AUDIENCE,
        "--subject", subject, "--session", session, "--client", client, "--scope", "orders:read",
        "--claim", f"email={subject}@example.com", f"--expires-in={lifetime}", *more,
    )  # fmt: skip


def prove(holder, url, token):
    """The proof that a request for this URL comes from who has this key (RFC 9449)."""
    return portcullis("proof", "--key", key_file(holder), "--method", "GET", "--url", url, "--token", token)


def key_of(token):
    """The thumbprint of the key that a token is bound to."""
    claims = token.split(".")[1]
    return json.loads(base64.urlsafe_b64decode(claims + "=" * (-len(claims) % 4)))["cnf"]["jkt"]


def mint_logout(key, session, subject="alice", client="phone"):
    """The token that an identity provider sends when a session has ended (OpenID Connect Back-Channel Logout 1.0)."""
    return portcullis(
        "mint", "--key", key_file(key), "--type", "logout+jwt", "--issuer", ISSUER, "--audience", client,
        "--subject", subject, "--session", session, "--expires-in=2m",
        "--claim", 'events={"http://schemas.openid.net/event/backchannel-logout": {}}',
    )  # fmt: skip
