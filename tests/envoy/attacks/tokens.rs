//! Tokens made to pass for others.

use serde_json::{Value, json};

use super::{Row, World, genuine};
use crate::support::{ISSUER, Request, Token, assert_refused, encode_part, jwks};

pub(super) const ROWS: &[Row] = &[
    Row {
        id: 1,
        threat: "`alg: none`, in any case",
        sources: "CVE-2015-2951, CVE-2022-23540",
        attack: no_algorithm,
    },
    Row {
        id: 2,
        threat: "a public key taken for a shared secret",
        sources: "CVE-2015-9235, CVE-2016-10555, CVE-2022-23541",
        attack: public_key_as_secret,
    },
    Row {
        id: 3,
        threat: "the header chooses the algorithm",
        sources: "CVE-2026-22817, CVE-2026-22818",
        attack: chosen_algorithm,
    },
    Row {
        id: 6,
        threat: "a key in the header",
        sources: "CVE-2018-0114",
        attack: embedded_key,
    },
    Row {
        id: 7,
        threat: "`jku`, `x5u` and `x5c`",
        sources: "PortSwigger, JWT authentication bypass via jku header injection",
        attack: key_elsewhere,
    },
    Row {
        id: 8,
        threat: "`kid` as a path or a query, and an unknown `kid`",
        sources: "WebGoat/WebGoat#1538",
        attack: key_id_injection,
    },
    Row {
        id: 9,
        threat: "`crit` ignored",
        sources: "CVE-2025-59420, CVE-2026-32597",
        attack: critical_header,
    },
    Row {
        id: 10,
        threat: "psychic signatures, and DER in place of r and s",
        sources: "CVE-2022-21449, auth0/java-jwt#579",
        attack: psychic_signature,
    },
    Row {
        id: 11,
        threat: "ECDSA signatures of odd lengths",
        sources: "OWASP/CheatSheetSeries#2242",
        attack: signature_length,
    },
    Row {
        id: 12,
        threat: "base64url that is not canonical, and extra dots",
        sources: "benmcollins/libjwt#284, nov/json-jwt#129",
        attack: other_spelling,
    },
    Row {
        id: 14,
        threat: "times of the wrong type or past all years",
        sources: "CVE-2026-25537, benmcollins/libjwt#283",
        attack: strange_times,
    },
    Row {
        id: 15,
        threat: "`exp` missing or 0",
        sources: "Envoy, Higress and old APISIX accept it",
        attack: no_expiry,
    },
    Row {
        id: 16,
        threat: "repeated members",
        sources: "RFC 7519 section 4, jwtk/jjwt#1073",
        attack: repeated_member,
    },
    Row {
        id: 17,
        threat: "many dots and huge parts",
        sources: "CVE-2025-30204, CVE-2025-27144, CVE-2025-61920",
        attack: many_dots,
    },
    Row {
        id: 18,
        threat: "deep JSON",
        sources: "CVE-2026-48042",
        attack: deep_json,
    },
    Row {
        id: 19,
        threat: "tokens of five parts, compressed or not",
        sources: "CVE-2026-49230",
        attack: encrypted_token,
    },
    Row {
        id: 25,
        threat: "claims with line breaks, NUL or other text that no header carries",
        sources: "CVE-2024-45808, CVE-2023-27488, CVE-2026-73552",
        attack: claim_with_a_line_break,
    },
    Row {
        id: 34,
        threat: "errors that tell what the signature would have to be",
        sources: "envoyproxy/envoy#34474",
        attack: error_oracle,
    },
    Row {
        id: 36,
        threat: "a token of another kind: ID token, logout token",
        sources: "RFC 8725 section 3.11, RFC 9068",
        attack: another_kind,
    },
    Row {
        id: 37,
        threat: "a token that is bound to a key, without the proof",
        sources: "inji/inji-certify#963",
        attack: bound_token,
    },
    Row {
        id: 40,
        threat: "a claim that an upstream would read as several",
        sources: "CVE-2026-40574",
        attack: several_in_one,
    },
];

fn no_algorithm(world: &mut World) {
    for name in ["none", "None", "NONE", "nOnE", ""] {
        let token = genuine().header("alg", name);
        let claims = encode_part(token.claims_text());
        let header = encode_part(token.header_text());
        for signature in ["", "AA", &encode_part([0; 64])] {
            let token = format!("{header}.{claims}.{signature}");
            let reply = world.send(&Request::get("/api").bearer(token));
            assert_eq!(reply.status, 401, "{name} {signature}");
        }
        world.refuses_token(token.to_string(), "signature_invalid");
    }
}

fn public_key_as_secret(world: &mut World) {
    let set: Value = serde_json::from_str(&jwks(&["rs256", "es256"])).unwrap();
    for key in set["keys"].as_array().unwrap() {
        let token = genuine()
            .header("alg", "HS256")
            .header("kid", key["kid"].clone());
        let signing_input = format!(
            "{}.{}",
            encode_part(token.header_text()),
            encode_part(token.claims_text())
        );
        let texts = [key.to_string(), key["n"].to_string(), set.to_string()];
        for secret in texts {
            let mac = hmac_sha256::HMAC::mac(&signing_input, secret);
            let token = format!("{signing_input}.{}", encode_part(mac));
            world.refuses_token(token, "signature_invalid");
        }
    }
}

fn chosen_algorithm(world: &mut World) {
    for name in [
        "RS256", "RS384", "PS256", "ES384", "ES512", "EdDSA", "HS256", "es256", "ES256K",
    ] {
        world.refuses_token(genuine().header("alg", name), "signature_invalid");
    }
    world.accepts_token(genuine().header("alg", "ES256"));
}

fn embedded_key(world: &mut World) {
    let set: Value = serde_json::from_str(&jwks(&["es256-other"])).unwrap();
    let own = &set["keys"][0];
    let token = Token::signed_by("es256-other").header("jwk", own.clone());
    world.refuses_token(token.clone(), "signature_invalid");
    world.refuses_token(
        token.clone().header("kid", "test-es256"),
        "signature_invalid",
    );
    world.refuses_token(token.without_header("kid"), "signature_invalid");
}

fn key_elsewhere(world: &mut World) {
    let fetched = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let own = format!("http://{}/jwks", fetched.local_addr().unwrap());
    for name in ["jku", "x5u"] {
        let token = Token::signed_by("es256-other").header(name, own.clone());
        world.refuses_token(token.clone(), "signature_invalid");
        world.refuses_token(token.header("kid", "test-es256"), "signature_invalid");
    }
    let chain = json!(["MIIB", "MIIC"]);
    let token = Token::signed_by("es256-other").header("x5c", chain.clone());
    world.refuses_token(token, "signature_invalid");
    world.accepts_token(genuine().header("x5c", chain).header("jku", own));
    fetched.set_nonblocking(true).unwrap();
    assert!(fetched.accept().is_err(), "a key was fetched");
}

fn key_id_injection(world: &mut World) {
    for id in [
        "../../../../dev/null",
        "' UNION SELECT 'AA",
        "test-es256\0",
        "test-es256 ",
        "TEST-ES256",
        "",
        "0",
    ] {
        let forged = Token::signed_by("es256-other").header("kid", id);
        world.refuses_token(forged, "signature_invalid");
        world.refuses_token(genuine().header("kid", id), "signature_invalid");
    }
    world.refuses_token(genuine().header("kid", 1), "token_malformed");
    world.refuses_token(
        genuine().header("kid", json!(["test-es256"])),
        "token_malformed",
    );
    world.refuses_token(genuine().header("kid", "k".repeat(4096)), "token_too_large");
}

fn critical_header(world: &mut World) {
    for names in [
        json!(["b64"]),
        json!(["exp"]),
        json!([]),
        json!("b64"),
        Value::Null,
    ] {
        let token = genuine().header("crit", names).header("b64", false);
        world.refuses_token(token, "token_malformed");
    }
    // Without `crit` a parameter that is not understood is to be ignored (RFC 7515 section 4.1.11).
    world.accepts_token(genuine().header("b64", true));
}

/// A genuine token with these bytes for its signature.
fn with_signature(signature: &[u8]) -> String {
    let token = genuine().to_string();
    let (signing_input, _) = token.rsplit_once('.').unwrap();
    format!("{signing_input}.{}", encode_part(signature))
}

fn psychic_signature(world: &mut World) {
    /// The order of P-256.
    const ORDER: [u8; 32] = [
        0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc,
        0xe6, 0xfa, 0xad, 0xa7, 0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
    ];
    let one = [[0; 31].as_slice(), &[1]].concat();
    for (first, second) in [
        (&[0; 32][..], &[0; 32][..]),
        (&ORDER, &ORDER),
        (&ORDER, &one),
        (&one, &ORDER),
        (&[0; 32], &one),
        (&[0xff; 32], &[0xff; 32]),
    ] {
        world.refuses_token(
            with_signature(&[first, second].concat()),
            "signature_invalid",
        );
    }
    // SEQUENCE { INTEGER 1, INTEGER 1 }, as it is and filled up to the right length.
    let der = [0x30, 6, 2, 1, 1, 2, 1, 1];
    world.refuses_token(with_signature(&der), "signature_invalid");
    let filled = [&der[..], &[0; 56]].concat();
    world.refuses_token(with_signature(&filled), "signature_invalid");
}

fn signature_length(world: &mut World) {
    let token = genuine().to_string();
    world.accepts_token(&token);
    let (_, signature) = token.rsplit_once('.').unwrap();
    let (signing_input, _) = token.rsplit_once('.').unwrap();
    for more in ["AA", "AAAA", "AAAAAAAA"] {
        world.refuses_token(format!("{token}{more}"), "signature_invalid");
    }
    for length in [0, 2, 40, 84] {
        let cut = format!("{signing_input}.{}", &signature[..length]);
        let reply = world.send(&Request::get("/api").bearer(cut));
        assert_eq!(reply.status, 401, "{length}");
    }
}

fn other_spelling(world: &mut World) {
    let token = genuine().claim("name", "???>>>~~~").to_string();
    world.accepts_token(&token);
    let padded = |index: usize| {
        let mut parts: Vec<String> = token.split('.').map(str::to_owned).collect();
        parts[index] += "=";
        parts.join(".")
    };
    let other_alphabet = token.replace('_', "/").replace('-', "+");
    assert_ne!(other_alphabet, token);
    let (signing_input, signature) = token.rsplit_once('.').unwrap();
    // 64 bytes leave four bits of the last character unused: another one says the same.
    let last = signature.chars().last().unwrap();
    let next = char::from(last as u8 + 1);
    let unused_bits = format!(
        "{signing_input}.{}{next}",
        &signature[..signature.len() - 1]
    );
    for spelling in [
        padded(0),
        padded(1),
        padded(2),
        other_alphabet,
        unused_bits,
        format!("{token}."),
        format!(".{token}"),
        token.replace('.', ".."),
        token.replacen('.', ". ", 1),
    ] {
        world.refuses_token(spelling, "token_malformed");
    }
}

fn strange_times(world: &mut World) {
    for name in ["exp", "nbf", "iat"] {
        for value in [
            json!("4102444800"),
            Value::Null,
            json!(-1),
            json!(1e30),
            json!([4_102_444_800_u64]),
            json!({}),
            json!(true),
            json!(u64::MAX),
        ] {
            world.refuses_token(genuine().claim(name, value), "token_malformed");
        }
        for value in [json!(4_102_444_800_000_u64), json!(4_102_444_800_123.5)] {
            world.refuses_token(genuine().claim(name, value), "time_in_milliseconds");
        }
    }
    let text = genuine().claims_text();
    for number in [
        "1e400",
        "0x7fffffff",
        "+4102444800",
        "NaN",
        "9223372036854775808",
    ] {
        let claims = text.replacen("\"exp\":", &format!("\"exp\":{number},\"was\":"), 1);
        assert_ne!(claims, text);
        world.refuses_token(genuine().with_claims_text(claims), "token_malformed");
    }
}

fn no_expiry(world: &mut World) {
    world.refuses_token(genuine().without_claim("exp"), "expiration_missing");
    world.refuses_token(genuine().claim("exp", 0), "token_expired");
}

fn repeated_member(world: &mut World) {
    let claims = genuine().claims_text();
    let inside = claims.trim_start_matches('{');
    for member in [
        r#""sub":"admin""#,
        r#""su\u0062":"admin""#,
        r#""exp":1"#,
        r#""aud":"other""#,
    ] {
        let before = format!("{{{member},{inside}");
        let after = format!("{},{member}}}", claims.trim_end_matches('}'));
        for claims in [before, after] {
            world.refuses_token(genuine().with_claims_text(claims), "token_malformed");
        }
    }
    let header = genuine().header_text();
    let header = format!("{{\"alg\":\"none\",{}", header.trim_start_matches('{'));
    let claims = encode_part(&claims);
    world.refuses_token(
        genuine().with_parts(&encode_part(header), &claims),
        "token_malformed",
    );
}

fn many_dots(world: &mut World) {
    for token in [
        ".".repeat(16_000),
        "a.".repeat(8_000),
        "..".to_owned(),
        ".".to_owned(),
    ] {
        world.refuses_token(token, "token_malformed");
    }
    world.refuses_token("a".repeat(20_000), "token_too_large");
    world.refuses_token(".".repeat(20_000), "token_too_large");
}

fn deep_json(world: &mut World) {
    for (open, close) in [("[", "]"), (r#"{"a":"#, "}")] {
        let deep = open.repeat(1_500) + "1" + &close.repeat(1_500);
        let claims = format!(r#"{{"iss":"{ISSUER}","deep":{deep}}}"#);
        world.refuses_token(genuine().with_claims_text(&claims), "token_malformed");
        world.refuses_token(genuine().with_claims_text(&deep), "token_malformed");
        let unclosed = open.repeat(2_000);
        world.refuses_token(genuine().with_claims_text(unclosed), "token_malformed");
    }
}

fn encrypted_token(world: &mut World) {
    let header = encode_part(r#"{"alg":"dir","enc":"A256GCM","zip":"DEF"}"#);
    let bomb = encode_part([0; 3_000]);
    world.refuses_token(format!("{header}..{bomb}.{bomb}.AAAA"), "token_malformed");
    world.refuses_token(format!("{}.AA.AA", genuine()), "token_malformed");
    // A nested token is a part that is no JSON.
    let nested = genuine()
        .header("cty", "JWT")
        .with_claims_text(genuine().to_string());
    world.refuses_token(nested, "token_malformed");
    let compressed = genuine()
        .header("zip", "DEF")
        .with_claims_text([0x78, 0x9c, 3, 0]);
    world.refuses_token(compressed, "token_malformed");
}

fn claim_with_a_line_break(world: &mut World) {
    for text in [
        "alice\r\nx-user-id: admin",
        "alice\nadmin",
        "alice\radmin",
        "alice\0",
        "alice\u{7f}",
        "alice\u{85}admin",
        "alice\u{2028}admin",
        "ali\u{202e}ce",
        " alice",
    ] {
        for name in ["sub", "email"] {
            let token = genuine().claim(name, text);
            let request = Request::get("/api").bearer(token);
            world.refused(&request, 403, "claim_not_forwardable");
        }
    }
    // Everything else is passed on byte by byte.
    for text in [
        "zo\u{eb}",
        "al ice",
        "alice,\"bob\"",
        "\u{645}\u{631}\u{64a}\u{645}",
    ] {
        let forwarded = world.accepts_token(genuine().claim("sub", text));
        assert_eq!(forwarded.header("x-user-id"), Some(text));
    }
    let long = genuine().claim("email", "x".repeat(8_193));
    world.refused(
        &Request::get("/api").bearer(long),
        403,
        "claim_not_forwardable",
    );
}

/// Whatever is wrong besides the signature: as long as the signature is wrong too, only that is
/// told.
fn error_oracle(world: &mut World) {
    let forged = || Token::signed_by("es256-other").header("kid", "test-es256");
    let expected = world.send(&Request::get("/api").bearer(forged()));
    assert_refused(&expected, 401, "signature_invalid");
    for token in [
        forged().expiring_in(-1000),
        forged().valid_in(1000),
        forged().claim("aud", "other"),
        forged().claim("sub", "nobody"),
        forged().without_claim("exp"),
        forged().header("typ", "logout+jwt"),
        forged().claim("cnf", json!({"jkt": "a"})),
        forged().claim("email", "a\nb"),
    ] {
        let reply = world.send(&Request::get("/api").bearer(token));
        assert_eq!(
            (reply.status, &reply.body),
            (expected.status, &expected.body)
        );
    }
}

fn another_kind(world: &mut World) {
    for kind in ["logout+jwt", "secevent+jwt", "dpop+jwt"] {
        world.refuses_token(genuine().header("typ", kind), "token_type_mismatch");
    }
    let typed = |token: Token| Request::get("/typed").bearer(token);
    world.forwarded(&typed(genuine().header("typ", "at+jwt")));
    for token in [
        genuine(),
        genuine().without_header("typ"),
        genuine().header("typ", "id+jwt"),
    ] {
        world.refused(&typed(token), 401, "token_type_mismatch");
    }
}

fn bound_token(world: &mut World) {
    for proof in [
        json!({"jkt": "abc"}),
        json!({"x5t#S256": "abc"}),
        json!({}),
        json!("abc"),
    ] {
        let token = genuine().claim("cnf", proof);
        world.refuses_token(token.clone(), "token_bound");
        let with_proof = Request::get("/api")
            .bearer(token)
            .header("dpop", "e30.e30.AA");
        world.refused(&with_proof, 401, "token_bound");
    }
    // Written for every token by some issuers, where it binds to nothing.
    world.accepts_token(genuine().claim("cnf", Value::Null));
}

/// What the upstream gets is the one value that the issuer signed, or nothing at all.
fn several_in_one(world: &mut World) {
    for text in [
        "victim@example.com@evil.example",
        "a@example.com, b@example.com",
        "a;b",
    ] {
        let forwarded = world.accepts_token(genuine().claim("email", text));
        assert_eq!(forwarded.headers_under("x-email"), [("x-email", text)]);
    }
    let list = json!(["admin,root", "user"]);
    let forwarded = world.accepts_token(genuine().claim("email", list));
    let value = forwarded.header("x-email").unwrap().to_owned();
    assert!(!value.contains(','), "{value}");
}
