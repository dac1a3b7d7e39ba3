#!/usr/bin/env python3
"""Writes own.json and pyjwt.json: tokens that are valid, and tokens that must not be.

    python3 -m venv target/vectors && target/vectors/bin/pip install pyjwt==2.15.1 cryptography==50.0.2
    target/vectors/bin/python tests/vectors/signatures/generate.py

Keys are made anew every time, and what is written has no private half.
"""
import base64
import hashlib
import hmac
import importlib.metadata
import json
import pathlib

import jwt
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

HERE = pathlib.Path(__file__).parent
CLAIMS = {"iss": "https://issuer.example", "sub": "alice", "exp": 4102444800}
HASHES = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}
CURVES = {"256": ec.SECP256R1(), "384": ec.SECP384R1(), "512": ec.SECP521R1()}
ORDERS = {
    "256": 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551,
    "384": 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFC7634D81F4372DDF581A0DB248B0A77AECEC196ACCC52973,
    "512": 2**521 - 2**264 + 0xFA51868783BF2F966B7FCC0148F709A5D03BB5C9B8899C47AEBB6FB71E91386409,
}
WIDTHS = {"256": 32, "384": 48, "512": 66}
RSA = rsa.generate_private_key(65537, 2048)
ALGORITHMS = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA", "HS256", "HS384", "HS512",
]


def encode(data):
    if isinstance(data, (dict, list)):
        data = json.dumps(data, separators=(",", ":"))
    if isinstance(data, str):
        data = data.encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Key:
    def __init__(self, algorithm):
        self.algorithm, self.bits = algorithm, algorithm[2:]
        if algorithm[:2] in ("RS", "PS"):
            self.private, jwk = RSA, RSAAlgorithm.to_jwk(RSA.public_key())
        elif algorithm[:2] == "ES":
            self.private = ec.generate_private_key(CURVES[self.bits])
            jwk = ECAlgorithm.to_jwk(self.private.public_key())
        elif algorithm == "EdDSA":
            self.private = ed25519.Ed25519PrivateKey.generate()
            jwk = OKPAlgorithm.to_jwk(self.private.public_key())
        else:
            self.private = hashlib.sha512(algorithm.encode()).digest()
            jwk = json.dumps({"kty": "oct", "k": encode(self.private)})
        self.jwk = {**json.loads(jwk), "kid": "one", "alg": algorithm}
        self.jwk.pop("key_ops", None)

    def sign(self, text):
        text, bits = text.encode(), self.bits
        match self.algorithm[:2]:
            case "RS":
                return self.private.sign(text, padding.PKCS1v15(), HASHES[bits])
            case "PS":
                salt = padding.PSS(padding.MGF1(HASHES[bits]), HASHES[bits].digest_size)
                return self.private.sign(text, salt, HASHES[bits])
            case "ES":
                der = self.private.sign(text, ec.ECDSA(HASHES[bits]))
                return b"".join(part.to_bytes(WIDTHS[bits]) for part in decode_dss_signature(der))
            case "Ed":
                return self.private.sign(text)
            case _:
                return hmac.digest(self.private, text, f"sha{bits}")

    def token(self, header=None, claims=None, **more):
        header = header or {"alg": self.algorithm, "kid": "one", **more}
        text = f"{encode(header)}.{encode(CLAIMS if claims is None else claims)}"
        return text, self.sign(text)


def compact(text, signature):
    return f"{text}.{encode(signature)}"


def flip(data, place):
    return data[:place] + bytes([data[place] ^ 1]) + data[place + 1 :]


def of_form(key):
    """What must be so whatever the algorithm."""
    text, signature = key.token()
    header, claims = text.split(".")
    good = compact(text, signature)
    yield "genuine", [], good, True
    yield "without kid", [], compact(*key.token(header={"alg": key.algorithm})), True
    yield "parameters that need not be understood", [], compact(*key.token(typ="JWT", x5t="AA", b64=True)), True
    yield "an empty claims set", [], compact(*key.token(claims={})), True
    for place in (0, len(signature) // 2, len(signature) - 1):
        yield f"a bit of byte {place} of the signature flipped", ["Forged"], compact(text, flip(signature, place)), False
    other = encode({**CLAIMS, "sub": "admin"})
    yield "other claims", ["Forged"], f"{header}.{other}.{encode(signature)}", False
    other = encode({"alg": key.algorithm, "kid": "one", "more": 1})
    yield "another header", ["Forged"], f"{other}.{claims}.{encode(signature)}", False
    yield "no signature", ["Forged"], text + ".", False
    yield "half of the signature", ["Forged"], compact(text, signature[: len(signature) // 2]), False
    yield "a byte more", ["Forged"], compact(text, signature + b"\0"), False
    yield "a byte before", ["Forged"], compact(text, b"\0" + signature), False
    yield "zeros", ["Forged"], compact(text, bytes(len(signature))), False
    yield "ones", ["Forged"], compact(text, b"\xff" * len(signature)), False
    for name in ("none", "None", "NONE", "", key.algorithm.lower() + " ", "XS256"):
        text, signature = key.token(header={"alg": name, "kid": "one"})
        yield f"alg {name!r}, signed all the same", ["Algorithm"], compact(text, signature), False
        yield f"alg {name!r}, without a signature", ["Algorithm"], text + ".", False
    for name in ALGORITHMS:
        if name != key.algorithm:
            header = {"alg": name, "kid": "one"}
            yield f"says {name}", ["Algorithm"], compact(*key.token(header=header)), False
    yield "no alg", ["Algorithm"], compact(*key.token(header={"kid": "one"})), False
    yield "alg is a list", ["Algorithm"], compact(*key.token(header={"alg": [key.algorithm], "kid": "one"})), False
    for name in ("two", "ONE", "one ", "../one", ""):
        yield f"kid {name!r}", ["Key"], compact(*key.token(header={"alg": key.algorithm, "kid": name})), False
    yield "kid is a number", ["Key"], compact(*key.token(header={"alg": key.algorithm, "kid": 1})), False
    yield "another key", ["Key"], compact(*Stranger(key.algorithm).token()), False
    stranger = Stranger(key.algorithm)
    yield "another key, which it brings along", ["Key"], compact(*stranger.token(jwk=stranger.jwk)), False
    yield "another key, which it names", ["Key"], compact(*stranger.token(jku="https://evil.example/", x5u="https://evil.example/", x5c=["AA"])), False
    for names in (["b64"], ["exp"], [], "b64", None):
        yield f"crit {names!r}", ["Critical"], compact(*key.token(crit=names, b64=False)), False
    for text in ('{"iss":"a","iss":"b"}', '{"sub":"a","s\\u0075b":"b"}', '{"a":{"b":1,"b":2}}'):
        yield f"repeated member {text}", ["Json"], compact(*key.token(claims=text)), False
    yield "repeated alg", ["Json"], compact(*key.token(header=f'{{"alg":"none","alg":"{key.algorithm}","kid":"one"}}')), False
    yield "too deep", ["Json"], compact(*key.token(claims='{"a":' + "[" * 64 + "]" * 64 + "}")), False
    for text in ("[]", '"a"', "1", "null", "", "{", "{}x", "{'a':1}", '{"a":1,}', "\ufeff{}"):
        yield f"claims {text!r}", ["Json"], compact(*key.token(claims=text)), False
    for name, value in (("exp", "4102444800"), ("exp", None), ("nbf", -1), ("iat", True), ("exp", 1e300), ("iss", 1), ("aud", [1])):
        yield f"{name} is {value!r}", ["Claim"], compact(*key.token(claims={name: value})), False
    head, tail = good.rsplit(".", 1)
    yield "padding", ["Encoding"], good + "=" * (-len(tail) % 4 or 1), False
    yield "padding in the header", ["Encoding"], good.replace(".", "=.", 1), False
    yield "white space", ["Encoding"], good.replace(".", ".\n", 1), False
    yield "four parts", ["Encoding"], good + ".AA", False
    yield "five parts", ["Encoding"], good + ".AA.AA", False
    yield "two parts", ["Encoding"], head, False
    yield "a dot before", ["Encoding"], "." + good, False
    while "-" not in good and "_" not in good:
        good = compact(*key.token(salt=len(good)))
    yield "the other alphabet", ["Encoding"], good.replace("-", "+").replace("_", "/"), False
    if len(signature) % 3:
        last = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".index(good[-1])
        same = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[last + 1]
        yield "unused bits", ["Encoding"], good[:-1] + same, False


class Stranger(Key):
    """A key that nobody has published, by the same name."""

    def __init__(self, algorithm):
        super().__init__(algorithm)
        if algorithm[:2] in ("RS", "PS"):
            self.private = rsa.generate_private_key(65537, 2048)
        if algorithm[:2] == "HS":
            self.private = bytes(64)


def of_ecdsa(key):
    order, width = ORDERS[key.bits], WIDTHS[key.bits]
    text, signature = key.token()
    r, s = int.from_bytes(signature[:width]), int.from_bytes(signature[width:])
    both = lambda r, s: compact(text, r.to_bytes(width) + s.to_bytes(width))
    yield "the other signature for the same text", ["Malleable"], both(r, order - s), True
    for name, first, second in (
        ("r = s = 0", 0, 0), ("r = 0", 0, s), ("s = 0", r, 0), ("r = n", order, s), ("s = n", r, order),
        ("r = s = n", order, order), ("r = s = 1", 1, 1), ("r = n - 1", order - 1, s), ("swapped", s, r),
    ):
        yield name, ["Range"], both(first, second), False
    if r + order < 256**width:
        yield "r + n", ["Range"], both(r + order, s), False
    if s + order < 256**width:
        yield "s + n", ["Range"], both(r, s + order), False
    der = key.private.sign(text.encode(), ec.ECDSA(HASHES[key.bits]))
    yield "DER", ["Der"], compact(text, der), False
    yield "a zero before r and s", ["Length"], compact(text, b"\0" + signature[:width] + b"\0" + signature[width:]), False
    other = {"256": "384", "384": "256", "512": "384"}[key.bits]
    der = key.private.sign(text.encode(), ec.ECDSA(HASHES[other]))
    parts = b"".join(part.to_bytes(width) for part in decode_dss_signature(der))
    yield f"SHA-{other}", ["Hash"], compact(text, parts), False


def of_rsa(key):
    text, _ = key.token()
    data, own = text.encode(), HASHES[key.bits]
    pss = lambda algorithm, salt: padding.PSS(padding.MGF1(algorithm), salt)
    if key.algorithm[:2] == "RS":
        yield "PSS", ["Padding"], compact(text, RSA.sign(data, pss(own, own.digest_size), own)), False
    else:
        yield "PKCS #1 v1.5", ["Padding"], compact(text, RSA.sign(data, padding.PKCS1v15(), own)), False
        yield "no salt", ["Padding"], compact(text, RSA.sign(data, pss(own, 0), own)), False
    for bits, other in HASHES.items():
        if bits != key.bits:
            scheme = padding.PKCS1v15() if key.algorithm[:2] == "RS" else pss(other, other.digest_size)
            yield f"SHA-{bits}", ["Hash"], compact(text, RSA.sign(data, scheme, other)), False
    for secret in (json.dumps(key.jwk), key.jwk["n"], json.dumps({"keys": [key.jwk]})):
        forged, _ = key.token(header={"alg": "HS256", "kid": "one"})
        mac = hmac.digest(secret.encode(), forged.encode(), "sha256")
        yield "the public key taken for a secret", ["Algorithm"], compact(forged, mac), False


def of_eddsa(key):
    order = 2**252 + 27742317777372353535851937790883648493
    text, signature = key.token()
    yield "alg Ed25519 (RFC 9864)", [], compact(*key.token(header={"alg": "Ed25519", "kid": "one"})), True
    s = int.from_bytes(signature[32:], "little")
    yield "S + L", ["Malleable"], compact(text, signature[:32] + (s + order).to_bytes(32, "little")), False
    yield "R is the neutral element, S = 0", ["Range"], compact(text, b"\x01" + bytes(63)), False
    yield "Ed448", ["Algorithm"], compact(*key.token(header={"alg": "Ed448", "kid": "one"})), False


def group(algorithm):
    key = Key(algorithm)
    tests = list(of_form(key))
    special = {"ES": of_ecdsa, "RS": of_rsa, "PS": of_rsa, "Ed": of_eddsa}.get(algorithm[:2])
    tests += special(key) if special else []
    return {"type": algorithm, "jwks": {"keys": [key.jwk]}, "tests": tests}


def weak():
    """A key of 1024 bits, which is left out of its set."""
    private = rsa.generate_private_key(65537, 1024)
    jwk = {**json.loads(RSAAlgorithm.to_jwk(private.public_key())), "kid": "one", "alg": "RS256"}
    jwk.pop("key_ops", None)
    text = f"{encode({'alg': 'RS256', 'kid': 'one'})}.{encode(CLAIMS)}"
    signature = private.sign(text.encode(), padding.PKCS1v15(), hashes.SHA256())
    beside = {**Key("ES256").jwk, "kid": "two"}
    tests = [("genuine, of a key of 1024 bits", ["WeakKey"], compact(text, signature), False)]
    return {"type": "RS256, 1024 bits", "jwks": {"keys": [jwk, beside]}, "tests": tests}


def pyjwt(algorithm):
    key = Key(algorithm)
    token = lambda claims, **header: jwt.encode(claims, key.private, algorithm, {"kid": "one", **header})
    tests = [
        ("all kinds of claims", [], token({**CLAIMS, "n": 1.5, "list": [1, "a", None], "text": "é\n\"\u2028"}), True),
        ("another type", [], token(CLAIMS, typ="at+jwt"), True),
        ("large", [], token({**CLAIMS, "groups": [f"group-{n}" for n in range(300)]}), True),
    ]
    return {"type": algorithm, "jwks": {"keys": [key.jwk]}, "tests": tests}


def write(name, generator, notes, groups):
    number = 0
    for item in groups:
        for place, (comment, flags, jws, valid) in enumerate(item["tests"]):
            number += 1
            result = "valid" if valid else "invalid"
            item["tests"][place] = {"tcId": number, "comment": comment, "flags": flags, "jws": jws, "result": result}
    vectors = {"algorithm": "JWS", "generator": generator, "numberOfTests": number, "notes": notes, "testGroups": groups}
    (HERE / name).write_text(json.dumps(vectors, indent=1) + "\n")
    print(f"{name}: {number} tests")


NOTES = {
    "Algorithm": "the header names another algorithm than the key's (RFC 8725 section 3.1)",
    "Claim": "a registered claim of a wrong type (RFC 7519 section 4.1)",
    "Critical": "an extension that is not understood (RFC 7515 section 4.1.11)",
    "Der": "ASN.1 in the place of r and s (RFC 7518 section 3.4)",
    "Encoding": "not the one spelling of the token (RFC 7515 sections 2 and 7.1)",
    "Forged": "the signature is not that of this text",
    "Hash": "made with another hash than the algorithm's",
    "Json": "not JSON, or with two meanings (RFC 7519 section 4)",
    "Key": "not the key that is published by this name",
    "Length": "not as long as RFC 7518 section 3.4 says",
    "Malleable": "made of a genuine signature, without the key",
    "Padding": "made with another padding than the algorithm's",
    "Range": "r or s outside of 1 to n - 1, or a point that everybody has (CVE-2022-21449)",
    "WeakKey": "shorter than RFC 7518 section 3.3 allows",
}

if __name__ == "__main__":
    library = f"PyJWT {jwt.__version__}, cryptography {importlib.metadata.version('cryptography')}"
    write("own.json", f"generate.py, {library}", NOTES, [*map(group, ALGORITHMS), weak()])
    write("pyjwt.json", library, {}, [pyjwt(name) for name in ALGORITHMS])
