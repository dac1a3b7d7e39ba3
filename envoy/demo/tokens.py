"""The demo's keys and tokens, made by the `portcullis` program. Everything of the demo's is in target/demo."""

import shutil
import subprocess
from pathlib import Path

from terminal import Failure

ROOT = Path(__file__).resolve().parents[2]
PORTCULLIS = ROOT / "target" / "release" / "portcullis"
DEMO = ROOT / "target" / "demo"

# As envoy.yaml has them.
ISSUER, AUDIENCE = "https://issuer.example", "api"
ALGORITHMS = ["ES256", "RS256", "EdDSA"]
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
    """Makes new keys and returns their public JWK Set.

    The forger's key is not in the set, but bears the same key id as one that is.
    """
    shutil.rmtree(DEMO, ignore_errors=True)
    DEMO.mkdir(parents=True)
    for algorithm in ALGORITHMS:
        name = algorithm.lower()
        portcullis("keygen", "--algorithm", algorithm, "--key-id", name, "--out", key_file(name))
    portcullis("keygen", "--algorithm", "ES256", "--key-id", "es256", "--out", key_file("forger"))
    jwks = portcullis("jwks", *[key_file(algorithm) for algorithm in ALGORITHMS])
    (DEMO / "jwks.env").write_text(f"PORTCULLIS_DEMO_JWKS='{jwks}'\n")
    return jwks


def mint(key, lifetime=LIFETIME):
    return portcullis(
        "mint", "--key", key_file(key), "--issuer", ISSUER, "--audience", AUDIENCE,
        "--subject", "alice", "--session", "session-1", "--client", "phone", "--scope", "orders:read",
        "--claim", "email=alice@example.com", f"--expires-in={lifetime}",
    )  # fmt: skip
