//! Requests that differ in their tokens.

use serde_json::json;

use super::Requests;
use super::generated::tokens::longer;
use super::requests::{api, genuine};
use crate::support::{ISSUER, Request, Token, encode_part};

pub(super) fn usual() -> Requests {
    let forged = |key| Token::signed_by("es256-other").header("kid", key);
    let bearer = |name, token: Token| (name, api().bearer(token));
    vec![
        bearer("RS256", Token::signed_by("rs256")),
        bearer("ES256", genuine()),
        bearer("EdDSA", Token::signed_by("eddsa")),
        bearer("no kid", Token::signed_by("rs256").without_header("kid")),
        bearer("no typ", genuine().without_header("typ")),
        bearer("a forged signature", forged("test-es256")),
        bearer("an unknown key", forged("unknown")),
        bearer("a key of another algorithm", forged("test-rs256")),
        bearer(
            "an algorithm that is not the key's",
            genuine().header("alg", "RS256"),
        ),
        bearer("alg HS256", genuine().header("alg", "HS256")),
        bearer("alg none", genuine().header("alg", "none")),
        bearer("no alg", genuine().without_header("alg")),
        bearer("expired", genuine().expiring_in(-90)),
        bearer("expired within the skew", genuine().expiring_in(-30)),
        bearer("not valid yet", genuine().valid_in(90)),
        bearer("not valid yet, within the skew", genuine().valid_in(30)),
        bearer(
            "issued in the future",
            genuine().claim("iat", 4_102_444_800_u64),
        ),
        bearer(
            "an expiry with a fraction",
            genuine().claim("exp", 4_102_444_800.5),
        ),
        bearer("an expiry in text", genuine().claim("exp", "4102444800")),
        bearer("an expiry before the epoch", genuine().claim("exp", -1)),
        bearer("a subject that is a number", genuine().claim("sub", 7)),
        bearer("an audience that is a number", genuine().claim("aud", 7)),
        bearer(
            "another issuer",
            genuine().claim("iss", "https://evil.example"),
        ),
        bearer(
            "the issuer and a slash",
            genuine().claim("iss", format!("{ISSUER}/")),
        ),
        bearer("no issuer", genuine().without_claim("iss")),
        bearer("another audience", genuine().claim("aud", "another")),
        bearer(
            "one audience of several",
            genuine().claim("aud", vec!["a", "api"]),
        ),
        bearer(
            "the audience with a scheme",
            genuine().claim("aud", "https://api/"),
        ),
        bearer(
            "the audience without a scheme",
            genuine().claim("aud", "orders.example"),
        ),
        bearer("the audience with a path", genuine().claim("aud", "api/v1")),
        bearer("no audience", genuine().without_claim("aud")),
        bearer(
            "an empty list of audiences",
            genuine().claim("aud", json!([])),
        ),
    ]
}

/// Tokens that filters may well treat differently.
pub(super) fn odd() -> Requests {
    let text = genuine().to_string();
    let (signed, signature) = text.rsplit_once('.').unwrap();
    let (header, claims) = signed.split_once('.').unwrap();
    let object = genuine().claims_text();
    let repeated = object.replacen('{', r#"{"sub":"root","#, 1);
    let trailing = object.replacen('}', ",}", 1);
    let padded = encode_part(r#"{"alg":"ES256","a":123}"#) + "=";
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    let large = genuine().claim("padding", "x".repeat(20 * 1024));
    vec![
        ("no expiry", api().bearer(genuine().without_claim("exp"))),
        ("expiry 0", api().bearer(genuine().claim("exp", 0))),
        (
            "an expiry past all years",
            api().bearer(genuine().claim("exp", 1e19)),
        ),
        (
            "an expiry in milliseconds",
            api().bearer(genuine().claim("exp", 4_102_444_800_000_u64)),
        ),
        (
            "a time of issue in milliseconds",
            api().bearer(genuine().claim("iat", 1_767_225_600_000_u64)),
        ),
        (
            "claims that are nested 40 deep",
            api()
                .bearer(genuine().claim("deep", (0..40).fold(json!(1), |inner, _| json!([inner])))),
        ),
        (
            "a critical extension",
            api().bearer(genuine().header("crit", vec!["b64"])),
        ),
        ("alg Ed25519", {
            api().bearer(Token::signed_by("eddsa").header("alg", "Ed25519"))
        }),
        (
            "a repeated claim",
            api().bearer(genuine().with_claims_text(repeated)),
        ),
        (
            "a comma too many",
            api().bearer(genuine().with_claims_text(trailing)),
        ),
        ("no object", api().bearer(genuine().with_claims_text("[1]"))),
        ("20 KiB of claims", api().bearer(large)),
        (
            "padding",
            api().bearer(genuine().with_parts(&padded, claims)),
        ),
        (
            "a signature with a byte more",
            api().bearer(format!("{signed}.{}", longer(signature))),
        ),
        (
            "a forged signature for another audience",
            api().bearer(forged.claim("aud", "another")),
        ),
        (
            "a logout token",
            api().bearer(genuine().header("typ", "logout+jwt")),
        ),
        (
            "a type that is no text",
            api().bearer(genuine().header("typ", 7)),
        ),
        (
            "a token that is bound to a key",
            api().bearer(genuine().claim("cnf", json!({"jkt": "abc"}))),
        ),
        ("a longer signature", api().bearer(format!("{text}AAAA"))),
        ("a shorter signature", api().bearer(&text[..text.len() - 4])),
        ("no signature", api().bearer(format!("{signed}."))),
        ("two parts", api().bearer(signed)),
        ("a dot too many", api().bearer(format!("{text}."))),
        ("dots before", api().bearer(format!("..{text}"))),
        (
            "dots between",
            api().bearer(format!("{header}..{claims}.{signature}")),
        ),
        (
            "a blank between",
            api().bearer(format!("{header}. {claims}.{signature}")),
        ),
        ("text", api().bearer("abc")),
    ]
}

pub(super) fn of_any_issuer() -> Requests {
    let bearer = |name, token: Token| (name, Request::get("/").bearer(token));
    vec![
        bearer("the usual issuer", genuine()),
        bearer(
            "another issuer",
            genuine().claim("iss", "https://other.example"),
        ),
        bearer("no issuer", genuine().without_claim("iss")),
        bearer("another audience", genuine().claim("aud", "another")),
        bearer("no audience", genuine().without_claim("aud")),
        bearer("expired within the skew", genuine().expiring_in(-200)),
        bearer("expired", genuine().expiring_in(-400)),
        bearer("not valid yet, within the skew", genuine().valid_in(200)),
        bearer("not valid yet", genuine().valid_in(400)),
        bearer("another key", Token::signed_by("rs256")),
        bearer(
            "a forged signature",
            Token::signed_by("es256-other").without_header("kid"),
        ),
    ]
}

pub(super) fn at_the_edge_of_time() -> Requests {
    let bearer = |name, token: Token| (name, api().bearer(token));
    vec![
        bearer("genuine", genuine()),
        bearer("expired long ago", genuine().expiring_in(-90)),
        bearer("expired just now", genuine().expiring_in(-20)),
        bearer("valid soon", genuine().valid_in(40)),
    ]
}

/// Where a token may live for another half an hour, and need not say so by itself.
pub(super) fn of_several_lives() -> Requests {
    let bearer = |name, token: Token| (name, api().bearer(token));
    vec![
        bearer("a short life", genuine().expiring_in(900)),
        bearer("a life that is too long", genuine().expiring_in(2700)),
        bearer("no end", genuine().without_claim("exp")),
        bearer("no end and no beginning", {
            genuine().without_claim("exp").without_claim("iat")
        }),
        bearer("at its end within the skew", genuine().expiring_in(-30)),
        bearer("past its end", genuine().expiring_in(-90)),
    ]
}
