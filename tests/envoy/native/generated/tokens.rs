//! Generated tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::Features;
use super::provider::Provider;
use crate::support::{Random, Token, encode_part};

/// A token for a provider, mostly a good one. What is odd about it becomes a feature.
pub(super) fn random(
    random: &mut Random,
    provider: &Provider,
    audiences: &[&'static str],
    features: &mut Features,
) -> String {
    let token = signed(random, provider, features);
    let token = issued(token, random, provider, audiences, features);
    let token = timed(token, random, features);
    let token = with_claims(token, random, features);
    let token = with_header(token, random, features);
    spelled(&token, random, features)
}

fn signed(random: &mut Random, provider: &Provider, features: &mut Features) -> Token {
    let forged = |key: &str| match key {
        "es256" => Some("es256-other"),
        "eddsa" => Some("eddsa-other"),
        "rs256" => Some("rs256-other"),
        _ => None,
    };
    let key = *random.pick(&provider.keys);
    features.add(key);
    match (random.below(100), forged(key)) {
        (0..4, Some(other)) => {
            features.add("forged signature");
            Token::signed_by(other).header("kid", format!("test-{key}"))
        }
        (4..8, Some(other)) => {
            features.add("foreign key");
            Token::signed_by(other)
        }
        (8..20, _) => {
            features.add("no kid");
            Token::signed_by(key).without_header("kid")
        }
        (20..23, _) => {
            features.add("unknown kid");
            Token::signed_by(key).header("kid", "unknown")
        }
        (23..26, _) => {
            features.add("kid of another key");
            Token::signed_by(key).header("kid", "test-rs256")
        }
        _ => Token::signed_by(key),
    }
}

fn issued(
    token: Token,
    random: &mut Random,
    provider: &Provider,
    audiences: &[&'static str],
    features: &mut Features,
) -> Token {
    let audiences = if audiences.is_empty() {
        &provider.audiences
    } else {
        audiences
    };
    let token = match (random.below(100), &provider.issuer) {
        (0..3, _) => {
            features.add("wrong issuer");
            token.claim("iss", "https://evil.example")
        }
        (3..6, _) => {
            features.add("no issuer");
            token.without_claim("iss")
        }
        (_, Some(issuer)) => token.claim("iss", issuer.clone()),
        (_, None) => token.claim("iss", "https://unknown.example"),
    };
    let fitting = audiences.first().copied().unwrap_or("api");
    let token = match random.below(100) {
        0..5 => {
            features.add("wrong audience");
            token.claim("aud", "elsewhere")
        }
        5..8 => {
            features.add("no audience");
            token.without_claim("aud")
        }
        8..20 => token.claim("aud", json!(["elsewhere", fitting])),
        20..26 => {
            let bare = fitting
                .trim_start_matches("https://")
                .trim_start_matches("http://");
            features.add("audience with another scheme");
            token.claim("aud", format!("https://{bare}"))
        }
        26..30 => {
            // What only the provider itself asks for.
            let own = provider.audiences.first().copied().unwrap_or("api");
            features.add("audience of the provider");
            token.claim("aud", own)
        }
        _ => token.claim("aud", fitting),
    };
    match random.below(100) {
        0..6 => {
            features.add("another subject");
            token.claim(
                "sub",
                *random.pick(&["mallory", "user-", "aliceX1", "@corp.example"]),
            )
        }
        6..8 => token.without_claim("sub"),
        _ => token.claim("sub", provider.subject),
    }
}

/// Never so close to a limit that the time between generating and verifying matters.
fn timed(token: Token, random: &mut Random, features: &mut Features) -> Token {
    let token = match random.below(100) {
        0..4 => {
            features.add("expired just now");
            token.expiring_in(-30)
        }
        4..7 => token.expiring_in(-90),
        7..9 => token.expiring_in(-200),
        9..12 => {
            features.add("expired");
            token.expiring_in(-900)
        }
        12..20 => token.expiring_in(900),
        20..28 => token.expiring_in(10_800),
        28..33 => {
            features.add("no exp");
            token.without_claim("exp")
        }
        33 => {
            features.add("exp 0");
            token.claim("exp", 0)
        }
        34 => token.claim("exp", 4_102_444_800.5),
        35 => token.claim("exp", "4102444800"),
        36 => token.claim("exp", Value::Null),
        37 => token.claim("exp", -1),
        38 => {
            features.add("exp after all years");
            token.claim("exp", *random.pick(&[1e19, 9_223_372_036_854_775_807.0]))
        }
        39 => {
            features.add("exp in milliseconds");
            token.claim("exp", 4_102_444_800_000_u64)
        }
        _ => token,
    };
    let token = match random.below(100) {
        0..3 => {
            features.add("valid soon");
            token.valid_in(30)
        }
        3..6 => token.valid_in(90),
        6..9 => {
            features.add("not valid yet");
            token.valid_in(900)
        }
        9..20 => token.valid_in(-100),
        20 => token.claim("nbf", "0"),
        _ => token,
    };
    match random.below(40) {
        0 => token.claim("iat", 4_102_444_800_u64),
        1 => token.without_claim("iat"),
        2 => token.claim("iat", "1"),
        _ => token,
    }
}

/// Values that go into headers.
fn with_claims(mut token: Token, random: &mut Random, features: &mut Features) -> Token {
    let values = [
        json!("gold"),
        json!(""),
        json!("José 日本"),
        json!("O'Neil, \"Bob\"; x=\\"),
        json!(["a", "b"]),
        json!([]),
        json!([{"a": 1}, null, true]),
        json!({"plan": {"name": "gold"}}),
        json!({"plan": {}}),
        json!({"plan": "gold"}),
        json!({}),
        json!(true),
        json!(false),
        json!(null),
        json!(42),
        json!(0),
        json!("a".repeat(300)),
    ];
    let numbers = [
        json!(-7),
        json!(1.5),
        json!(9_007_199_254_740_993_u64),
        json!([9_007_199_254_740_993_u64]),
        json!(1e30),
    ];
    let odd = [
        "line\r\nx-admin: 1",
        " blank",
        "blank ",
        "line\u{2028}",
        "tab\tin",
        "del\u{7f}",
    ];
    for claim in ["account", "groups", "flag", "number", "text"] {
        match random.below(100) {
            0..40 => token = token.claim(claim, random.pick(&values).clone()),
            40..46 => {
                features.add("number that is no small integer");
                token = token.claim(claim, random.pick(&numbers).clone());
            }
            46..48 => {
                features.add("text that no header can carry");
                token = token.claim(claim, *random.pick(&odd));
            }
            48 => {
                features.add("long claim");
                token = token.claim(claim, "a".repeat(9000));
            }
            _ => {}
        }
    }
    if random.chance(15) {
        token = token.claim("https://claims.example/role", json!({"name": "admin"}));
    }
    if random.chance(2) {
        features.add("bound token");
        token = token.claim("cnf", json!({"jkt": "abc"}));
    }
    token
}

fn with_header(token: Token, random: &mut Random, features: &mut Features) -> Token {
    match random.below(100) {
        0..6 => token.without_header("typ"),
        6..12 => token.header("typ", "at+jwt"),
        12..14 => {
            features.add("type of another token");
            token.header("typ", *random.pick(&["logout+jwt", "dpop+jwt"]))
        }
        14..16 => {
            features.add("crit");
            token.header("crit", vec!["b64"])
        }
        16..18 => {
            features.add("another alg");
            token.header(
                "alg",
                *random.pick(&["RS256", "ES256", "PS256", "HS256", "RS384"]),
            )
        }
        18..20 => {
            features.add("no such alg");
            token.header(
                "alg",
                *random.pick(&["none", "None", "es256", "ES256K", ""]),
            )
        }
        20 => token.without_header("alg"),
        21 => token.header("jwk", json!({"kty": "oct", "k": "AAAA"})),
        22 => token.header("x-unknown", json!([1, {"a": null}])),
        23 => token.header("kid", 7),
        24 => {
            features.add("typ that is no text");
            token.header("typ", 7)
        }
        _ => token,
    }
}

/// The token as text, mostly as it should be.
fn spelled(token: &Token, random: &mut Random, features: &mut Features) -> String {
    let text = token.to_string();
    if !random.chance(22) {
        return text;
    }
    let (signed, signature) = text.rsplit_once('.').expect("three parts");
    let (header, claims) = signed.split_once('.').expect("three parts");
    let object = token.claims_text();
    match random.below(16) {
        0..4 => {
            features.add("flipped bit");
            flipped(&text, random)
        }
        4 => {
            features.add("one part less");
            signed.to_owned()
        }
        5 => {
            features.add("extra dots");
            match random.below(3) {
                0 => format!("{text}."),
                1 => format!(".{text}"),
                _ => format!("{header}..{claims}.{signature}"),
            }
        }
        6 => {
            features.add("padding");
            let padded = encode_part(token.header_text());
            let padding = "=".repeat((4 - padded.len() % 4) % 4);
            token.with_parts(&format!("{padded}{padding}"), claims)
        }
        7 => {
            features.add("JSON that is none");
            let lax: [(&str, &str); 2] = [("}", ",}"), ("\"iss\"", "'iss'")];
            let (from, to) = random.pick(&lax);
            token.with_claims_text(object.replacen(from, to, 1))
        }
        8 => token.with_claims_text(object.replacen('{', "{\"sub\":\"root\",", 1)),
        9 => token.with_claims_text(random.pick(&["[1]", "7", "", "{", "null"])),
        10 => {
            features.add("signature with more bytes");
            format!("{signed}.{}", longer(signature))
        }
        11 => text[..text.len() - 4].to_owned(),
        12 => format!("{signed}."),
        13 => {
            features.add("other alphabet");
            format!("{signed}.{}", signature.replace('-', "+").replace('_', "/"))
        }
        14 => random.pick(&["abc", "a.b.c", "..", "."]).to_string(),
        _ => {
            features.add("large token");
            token
                .clone()
                .claim("padding", "x".repeat(20 * 1024))
                .to_string()
        }
    }
}

/// A signature with one byte more.
pub(in super::super) fn longer(signature: &str) -> String {
    let mut bytes = URL_SAFE_NO_PAD.decode(signature).expect("base64url");
    bytes.push(0);
    encode_part(bytes)
}

/// One character of the token is another one of the same alphabet.
fn flipped(text: &str, random: &mut Random) -> String {
    let mut bytes = text.as_bytes().to_vec();
    // Not the last one of a part: its unused bits may be all that changes.
    let positions: Vec<_> = (0..bytes.len() - 1)
        .filter(|position| bytes[*position] != b'.' && bytes[position + 1] != b'.')
        .collect();
    let position = *random.pick(&positions);
    bytes[position] = if bytes[position] == b'A' { b'B' } else { b'A' };
    String::from_utf8(bytes).expect("ASCII")
}
