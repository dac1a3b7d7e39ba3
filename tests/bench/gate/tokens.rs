//! Tokens, signed in advance.

use std::fs;
use std::thread;

use portcullis::signer::Signer;
use serde_json::{Value, json};

use crate::directory;
use crate::support::{AUDIENCE, ISSUER};

/// Tokens of one kind that all differ.
pub(crate) const POOL: usize = 10_000;

/// 2026-01-01 and 2100-01-01: the tokens of one run are good for the next one too.
const ISSUED: u64 = 1_767_225_600;
const EXPIRES: u64 = 4_102_444_800;

/// Genuine tokens of as many users.
pub(crate) fn genuine(key: &str) -> Vec<String> {
    pool(key, POOL)
}

/// This many of them. They are kept for the next run.
pub(crate) fn pool(key: &str, count: usize) -> Vec<String> {
    let file = directory().join(format!("tokens-{key}.txt"));
    let kept = fs::read_to_string(&file).unwrap_or_default();
    let kept: Vec<_> = kept.lines().map(str::to_owned).collect();
    let mut tokens = if kept.len() < count {
        let tokens = sign(&signer(key), count.max(POOL));
        fs::write(&file, tokens.join("\n")).expect("a file to write");
        tokens
    } else {
        kept
    };
    tokens.truncate(count);
    tokens
}

/// Forged tokens: every one has the genuine signature of another.
pub(crate) fn forged(genuine: &[String]) -> Vec<String> {
    let parts = |token: &'_ String| {
        let (signed, signature) = token.rsplit_once('.').expect("three parts");
        (signed.to_owned(), signature.to_owned())
    };
    let others = genuine.iter().cycle().skip(1);
    let pairs = genuine.iter().zip(others);
    let forge = |(token, other)| format!("{}.{}", parts(token).0, parts(other).1);
    pairs.map(forge).collect()
}

/// The algorithm of the key with this name, as tables have it.
pub(crate) fn algorithm(key: &str) -> String {
    key.to_uppercase().replace("EDDSA", "EdDSA")
}

/// A key of `tests/vectors/keys`.
pub(crate) fn signer(key: &str) -> Signer {
    let path = format!(
        "{}/tests/vectors/keys/{key}.private.jwk.json",
        env!("CARGO_MANIFEST_DIR")
    );
    let jwk = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
    Signer::from_jwk(&jwk).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The claims of the user with this number.
pub(crate) fn claims(number: usize) -> Value {
    let id = |salt: u128| {
        format!(
            "{:032x}",
            (number as u128 + salt) * 0x9e37_79b9_7f4a_7c15_f39c
        )
    };
    json!({
        "iss": ISSUER,
        "aud": AUDIENCE,
        "sub": format!("user-{number:08}"),
        "iat": ISSUED,
        "exp": EXPIRES,
        "jti": id(1 << 40),
        "sid": id(1 << 41),
        "scope": "read write",
        "client_id": "mobile",
        "email": format!("user-{number:08}@example.com"),
        "amr": ["pwd", "otp"],
    })
}

/// The header of this key's tokens.
pub(crate) fn header(signer: &Signer) -> Value {
    json!({"alg": signer.algorithm_name(), "kid": signer.key_id(), "typ": "JWT"})
}

fn sign(signer: &Signer, count: usize) -> Vec<String> {
    let header = header(signer);
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let numbers: Vec<usize> = (0..count).collect();
    thread::scope(|scope| {
        let sign = |number: &usize| {
            let token = signer.sign_token(&header, &claims(*number));
            token.expect("a test key signs anything")
        };
        let parts = numbers.chunks(count.div_ceil(threads));
        let parts: Vec<_> = parts
            .map(|part| scope.spawn(move || part.iter().map(sign).collect::<Vec<_>>()))
            .collect();
        let parts = parts.into_iter().map(|part| part.join().expect("tokens"));
        parts.flatten().collect()
    })
}
