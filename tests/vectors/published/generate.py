#!/usr/bin/env python3
"""Writes sets.json: keys in the shapes in which identity providers publish them.

    python3 -m venv target/vectors && target/vectors/bin/pip install cryptography==50.0.2
    target/vectors/bin/python tests/vectors/published/generate.py

Keys are made anew every time, and nothing private is written but two keys that nobody uses.
"""
import base64
import datetime
import json
import pathlib

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import dsa, ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

HERE = pathlib.Path(__file__).parent
CLAIMS = {"iss": "https://issuer.example", "aud": "api", "sub": "alice", "exp": 4102444800}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"ES256": ec.SECP256R1(), "ES384": ec.SECP384R1(), "ES512": ec.SECP521R1()}
NAMES = {"ES256": "P-256", "ES384": "P-384", "ES512": "P-521"}
WIDTHS = {"ES256": 32, "ES384": 48, "ES512": 66}


def encode(data):
    data = json.dumps(data, separators=(",", ":")).encode() if isinstance(data, dict) else data
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def digits(number):
    return number.to_bytes((number.bit_length() + 7) // 8, "big")


def token(private, algorithm, kid=None):
    header = {"alg": algorithm, "typ": "JWT"}
    if kid is not None:
        header["kid"] = kid
    text = f"{encode(header)}.{encode(CLAIMS)}"
    if algorithm == "EdDSA":
        signature = private.sign(text.encode())
    elif algorithm.startswith("ES"):
        der = private.sign(text.encode(), ec.ECDSA(HASHES[algorithm[2:]]))
        width = WIDTHS[algorithm]
        signature = b"".join(part.to_bytes(width, "big") for part in decode_dss_signature(der))
    else:
        digest = HASHES[algorithm[2:]]
        scheme = padding.PKCS1v15()
        if algorithm.startswith("PS"):
            scheme = padding.PSS(padding.MGF1(digest), digest.digest_size)
        signature = private.sign(text.encode(), scheme, digest)
    return f"{text}.{encode(signature)}"


def short_point(algorithm):
    """A key whose coordinates both begin with a zero byte."""
    while True:
        private = ec.generate_private_key(CURVES[algorithm])
        numbers = private.public_key().public_numbers()
        if max(len(digits(numbers.x)), len(digits(numbers.y))) < WIDTHS[algorithm]:
            return private


def jwk(private, **members):
    public = private.public_key()
    if isinstance(public, rsa.RSAPublicKey):
        numbers = public.public_numbers()
        made = {"kty": "RSA", "n": encode(digits(numbers.n)), "e": encode(digits(numbers.e))}
    elif isinstance(public, ed25519.Ed25519PublicKey):
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        made = {"kty": "OKP", "crv": "Ed25519", "x": encode(raw)}
    else:
        algorithm = next(name for name, curve in CURVES.items() if curve.name == public.curve.name)
        numbers, width = public.public_numbers(), WIDTHS[algorithm]
        made = {
            "kty": "EC",
            "crv": NAMES[algorithm],
            "x": encode(numbers.x.to_bytes(width, "big")),
            "y": encode(numbers.y.to_bytes(width, "big")),
        }
    made.update(members)
    return made


def public_pem(private, shape=PublicFormat.SubjectPublicKeyInfo):
    return private.public_key().public_bytes(Encoding.PEM, shape).decode()


def certificate(private, signer=None):
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "issuer.example")])
    builder = x509.CertificateBuilder(
        issuer_name=name,
        subject_name=name,
        public_key=private.public_key(),
        serial_number=x509.random_serial_number(),
        # Over: whoever publishes it says whether it counts.
        not_valid_before=datetime.datetime(2020, 1, 1),
        not_valid_after=datetime.datetime(2021, 1, 1),
    )
    signer = signer or private
    digest = None if isinstance(signer, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(signer, digest).public_bytes(Encoding.PEM).decode()


R = rsa.generate_private_key(65537, 2048)
S = rsa.generate_private_key(65537, 2048)
P256 = ec.generate_private_key(ec.SECP256R1())
P384 = ec.generate_private_key(ec.SECP384R1())
P521 = ec.generate_private_key(ec.SECP521R1())
ED = ed25519.Ed25519PrivateKey.generate()
SETS = []


def case(name, text, genuine=(), left_out=(), **settings):
    """`genuine`: tokens of keys that have to be usable. `left_out`: position, `kid`, reason."""
    SETS.append({
        "name": name,
        "text": text if isinstance(text, str) else json.dumps(text),
        "settings": settings,
        "genuine": list(genuine),
        "left_out": [dict(zip(("position", "kid", "reason"), key)) for key in left_out],
    })


short = {algorithm: short_point(algorithm) for algorithm in ("ES256", "ES512")}
numbers = {name: private.public_key().public_numbers() for name, private in short.items()}
case(
    "coordinates without the zeros before them",
    {"keys": [
        jwk(short[name], kid=name, alg=name, x=encode(digits(numbers[name].x)), y=encode(digits(numbers[name].y)))
        for name in short
    ]},
    [token(short[name], name, name) for name in short],
)
point = P256.public_key().public_numbers()
case(
    "coordinates with a zero too many",
    {"keys": [jwk(P256, kid="a", x=encode(point.x.to_bytes(33, "big")), y=encode(point.y.to_bytes(40, "big")))]},
    [token(P256, "ES256", "a")],
)
n = digits(R.public_key().public_numbers().n)
case(
    "numbers with zeros before them, padding and line breaks",
    {"keys": [
        jwk(R, kid="zeros", alg="RS256", n=encode(b"\0" + n), e="AAEAAQ"),
        jwk(S, kid="padded", alg="RS256", n=encode(digits(S.public_key().public_numbers().n)) + "==", e="AQAB"),
        jwk(ED, kid="lines", x=jwk(ED)["x"][:20] + "\n" + jwk(ED)["x"][20:] + "="),
    ]},
    [token(R, "RS256", "zeros"), token(S, "RS256", "padded"), token(ED, "EdDSA", "lines")],
)
case(
    "members that say nothing",
    {"keys": [
        jwk(R, kid="null", **{name: None for name in ("alg", "use", "crv", "key_ops", "d", "oth", "x")}),
        jwk(S, kid="empty", **{name: "" for name in ("alg", "use", "crv", "d", "oth", "x")}),
        jwk(P256, kid="curve", crv="", d=None),
        jwk(P384, kid="curve-of-alg", alg="ES384", crv=""),
    ]},
    [
        token(R, "RS256", "null"),
        token(S, "RS256", "empty"),
        token(P256, "ES256", "curve"),
        token(P384, "ES384", "curve-of-alg"),
    ],
)
case(
    "ids that are numbers, or nothing",
    {"keys": [jwk(R, kid=1, alg="RS256"), jwk(P256, kid=None), jwk(ED, kid="")]},
    [token(R, "RS256", "1"), token(P256, "ES256"), token(ED, "EdDSA")],
)
case(
    "members that belong to other types, and other spellings",
    {"keys": [
        jwk(R, kid="a", alg="RS256", use="SIG", crv="P-256", x="AAAA", k="AAAA"),
        jwk(P256, kid="b", key_ops=["sign", "verify"], n="AAAA"),
        jwk(ED, kid="c", key_ops="verify", y="AAAA"),
        jwk(P521, kid="d", key_ops=[], x5c=["AAAA"], x5t="AAAA", nbf=1, exp=2),
    ]},
    [
        token(R, "RS256", "a"),
        token(P256, "ES256", "b"),
        token(ED, "EdDSA", "c"),
        token(P521, "ES512", "d"),
    ],
)
case(
    "Firebase",
    {"5f1c": certificate(R), "e2a0": certificate(S)},
    [token(R, "RS256", "5f1c"), token(S, "RS256", "e2a0")],
)
case(
    "Google's Identity-Aware Proxy",
    {"0oeLcQ": public_pem(P256), "2nMJtw": public_pem(P384)},
    [token(P256, "ES256", "0oeLcQ"), token(P384, "ES384", "2nMJtw")],
)
case(
    "a document of certificates with other things in it",
    {"a": certificate(R), "b": "soon", "c": 1, "d": certificate(P256).replace("MI", "MJ", 1)},
    [token(R, "RS256", "a")],
    [(1, "b", "expected a public key"), (2, "c", "expected a public key"), (3, "d", "expected a public key")],
)
for name, private, algorithm in (
    ("RSA", R, "RS256"), ("P-256", P256, "ES256"), ("P-384", P384, "ES384"), ("P-521", P521, "ES512"),
    ("Ed25519", ED, "EdDSA"),
):
    case(f"a public key in PEM, {name}", public_pem(private), [token(private, algorithm), token(private, algorithm, "any")])
    case(f"a certificate in PEM, {name}", certificate(private), [token(private, algorithm)])
case("a public key in PEM, PKCS #1", public_pem(R, PublicFormat.PKCS1), [token(R, "RS256")])
case("PEM on one line", public_pem(R).replace("\n", " "), [token(R, "RS256")])
case("PEM with line breaks of two characters", public_pem(R).replace("\n", "\\n"), [token(R, "RS256")])
case("PEM with CRLF and an explanation", "subject=CN = a - b\r\n" + certificate(R).replace("\n", "\r\n"), [token(R, "RS256")])
case(
    "several public keys in PEM",
    public_pem(R) + public_pem(P256),
    [token(R, "RS256"), token(P256, "ES256")],
)
case(
    "a chain of certificates in PEM",
    certificate(R, S) + certificate(S),
    [token(R, "RS256")],
    [(1, None, "behind the first certificate")],
)
case(
    "a SPIFFE bundle",
    {
        "keys": [
            jwk(P384, use="x509-svid", x5c=["AAAA"]),
            jwk(P256, use="jwt-svid", kid="C6vs25welZOx6WksNYfbMfiw9l96pMnD"),
        ],
        "spiffe_sequence": 12,
        "spiffe_refresh_hint": 600,
    },
    [token(P256, "ES256", "C6vs25welZOx6WksNYfbMfiw9l96pMnD")],
    [(0, None, "`use` is `x509-svid`")],
)
case(
    "an issuer that mixes algorithms, with keys that name none",
    {"keys": [jwk(R, kid="a"), jwk(P256, kid="b")]},
    [token(R, "RS256", "a"), token(R, "PS256", "a"), token(R, "RS512", "a"), token(P256, "ES256", "b")],
    algorithms=["RS256", "PS256", "RS512", "ES256"],
)
private_pem = R.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
case(
    "private keys",
    {"keys": [
        jwk(P256, kid="whole", d=encode(b"not the real one, but who knows?")),
        jwk(R, kid="a prime", alg="RS256", p="AAAA"),
        jwk(ED, kid="fine"),
    ]},
    [token(ED, "EdDSA", "fine")],
    [(0, "whole", "a private key"), (1, "a prime", "a private key")],
)
case(
    "a private key in PEM before a public one",
    ec.generate_private_key(ec.SECP256R1()).private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode()
    + public_pem(P256),
    [token(P256, "ES256")],
    [(0, None, "a private key")],
)
case(
    "keys that are left out, each with its reason",
    {"keys": [
        jwk(rsa.generate_private_key(65537, 1024), kid="weak"),
        jwk(R, kid="exponent", e="JQ"),
        jwk(R, kid="alphabet", n="/" + jwk(R)["n"][1:]),
        jwk(R, kid="encryption", use="enc"),
        jwk(R, kid="oaep", alg="RSA-OAEP"),
        jwk(R, kid="no modulus", n=None),
        jwk(P256, kid="another curve", crv="secp256k1"),
        jwk(P256, kid="off the curve", y=jwk(P256)["x"]),
        jwk(P256, kid="long", x=encode(b"\1" * 33)),
        jwk(P256, kid="of another curve", alg="ES384"),
        jwk(P256, kid="signs only", key_ops=["sign"]),
        jwk(ED, kid="short", x="AAAA"),
        jwk(ED, kid="agreement", crv="X25519"),
        {"kty": "oct", "k": "AAAA", "kid": "secret"},
        {"kty": "AKP", "alg": "ML-DSA-44", "kid": "later"},
        {"kty": "AKP", "kid": "later still"},
        {"kid": "no type"},
        "no object",
        jwk(ED, kid="fine"),
    ]},
    [token(ED, "EdDSA", "fine")],
    [
        (0, "weak", "1024 bits, expected at least 2048"),
        (1, "exponent", "exponent 37, expected 65537"),
        (2, "alphabet", "`n` has `/`, which the alphabet of base64url lacks"),
        (3, "encryption", "`use` is `enc`"),
        (4, "oaep", "`alg` is `RSA-OAEP`"),
        (5, "no modulus", "`n` is missing"),
        (6, "another curve", "`crv` is `secp256k1`"),
        (7, "off the curve", "not an uncompressed point of its curve"),
        (8, "long", "33 bytes, expected 32"),
        (9, "of another curve", "`alg` is `ES384`"),
        (10, "signs only", '`key_ops` is `["sign"]`'),
        (11, "short", "3 bytes, expected 32"),
        (12, "agreement", "`crv` is `X25519`"),
        (13, "secret", "a shared secret"),
        (14, "later", "`alg` is `ML-DSA-44`"),
        (15, "later still", "`kty` is `AKP`"),
        (16, "no type", "expected an object with a string `kty`"),
        (17, None, "expected an object with a string `kty`"),
    ],
)
other = dsa.generate_private_key(2048)
for name, text, reason in (
    ("a private key in PEM", private_pem, "a private key"),
    ("a private key in PEM, encrypted", private_pem.replace(" PRIVATE", " ENCRYPTED PRIVATE"), "a private key"),
    ("DSA", public_pem(other), "expected a public key for RSA, ECDSA or Ed25519 in DER"),
    ("parameters of a curve", "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n", "`label` is `EC PARAMETERS`"),
    ("a PEM text that is cut off", public_pem(R)[:200], "expected a public key"),
):
    case(name, text, [], [(0, None, reason)])

(HERE / "sets.json").write_text(json.dumps(SETS, indent=1) + "\n")
