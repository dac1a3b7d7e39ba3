"""What schemathesis does not know of the listener for signals: what identity providers sign, and by what
clients show who they are. Requests that are as described become genuine, each in one of the ways that
there are, so that none of them has to be refused."""

import base64
import itertools
import json
import os
import subprocess
import urllib.parse

import schemathesis
from schemathesis import GenerationMode

# The same names are in `run`, which writes the signals file.
ISSUER = "https://issuer.example"
OTHER_ISSUER = "https://other.example"
URL = "https://signals.example"
CLIENT = "web"

LOGOUT = "http://schemas.openid.net/event/backchannel-logout"
CAEP = "https://schemas.openid.net/secevent/caep/event-type/"
RISC = "https://schemas.openid.net/secevent/risc/event-type/"
USER = {"format": "iss_sub", "iss": ISSUER, "sub": "alice"}
SESSION = {"format": "complex", "user": USER, "session": {"format": "opaque", "id": "phone-1"}}
EVENTS = (
    (f"{CAEP}session-revoked", {}, SESSION),
    (f"{CAEP}credential-change", {"credential_type": "password", "change_type": "update"}, USER),
    (f"{RISC}account-disabled", {}, USER),
    (f"{RISC}account-enabled", {}, USER),
    (f"{CAEP}session-presented", {}, SESSION),
)
ASSERTION_TYPE = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

numbers = itertools.count()


@schemathesis.serializer("application/secevent+jwt")
def text(context, value):
    return value if isinstance(value, bytes) else str(value).encode()


@schemathesis.hook
def before_call(context, case, kwargs):
    is_as_described = case.meta is not None and case.meta.generation.mode == GenerationMode.POSITIVE
    make_genuine = GENUINE.get(case.operation.path)
    if is_as_described and make_genuine is not None:
        make_genuine(case, next(numbers))


def log_out(case, number):
    name = ("--session", f"phone-{number}") if number % 2 else ("--subject", f"user-{number}")
    events = {LOGOUT: {}}
    case.body["logout_token"] = mint(ISSUER, "logout+jwt", {"events": events}, "--audience", CLIENT, *name)


def tell_of_event(case, number):
    event, members, subject = EVENTS[number % len(EVENTS)]
    claims = {"events": {event: members}, "sub_id": subject}
    case.path_parameters["name"] = "events"
    case.body = mint(ISSUER, "secevent+jwt", claims, "--audience", URL, "--expires-in", "never")


def revoke_everything(case, number):
    """By a secret, which is in the settings of schemathesis, or by a JWT that counts once."""
    is_signed = number % 2 == 1
    name, issuer = ("signed", OTHER_ISSUER) if is_signed else ("secret", ISSUER)
    case.path_parameters["name"] = name
    for subject in case.body.values():
        if isinstance(subject, dict) and "iss" in subject:
            subject["iss"] = issuer
    if is_signed:
        audience = f"{URL}/global-token-revocation/{name}"
        arguments = ("--audience", audience, "--subject", CLIENT)
        case.headers["Authorization"] = f"Bearer {mint(issuer, 'global-token-revocation+jwt', {}, *arguments)}"


def ask(case, number):
    """As a client that shows who it is, about a token that it was issued."""
    path = case.operation.path
    form = {"token": mint(ISSUER, "at+jwt", {}, "--audience", "api", "--client", CLIENT, "--subject", "alice")}
    if "token_type_hint" in case.body:
        form["token_type_hint"] = case.body["token_type_hint"]
    secret = os.environ["CLIENT_SECRET"]
    case.headers.pop("Authorization", None)
    if number % 3 == 0:
        pair = ":".join(urllib.parse.quote_plus(text) for text in (CLIENT, secret))
        case.headers["Authorization"] = f"Basic {base64.b64encode(pair.encode()).decode()}"
    elif number % 3 == 1:
        form |= {"client_id": CLIENT, "client_secret": secret}
    else:
        arguments = ("--subject", CLIENT, "--audience", URL + path, "--expires-in", "1m")
        form |= {"client_assertion": mint(CLIENT, "JWT", {}, *arguments), "client_assertion_type": ASSERTION_TYPE}
    case.body = form
    if path.endswith("introspect") and number % 2:
        case.headers["Accept"] = "application/token-introspection+jwt"


GENUINE = {
    "/backchannel-logout": log_out,
    "/ssf/streams/{name}": tell_of_event,
    "/global-token-revocation/{name}": revoke_everything,
    "/oauth/revoke": ask,
    "/oauth/introspect": ask,
}


def mint(issuer, kind, claims, *arguments):
    command = [os.environ["PORTCULLIS_BIN"], "mint", "--key", "es256.jwk", "--issuer", issuer, "--type", kind]
    for name, value in claims.items():
        command += ["--claim", f"{name}={json.dumps(value)}"]
    return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout.strip()
