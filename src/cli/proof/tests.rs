use std::fs;

use clap::Parser;

use super::*;
use crate::authority::chain_of;
use crate::host::mock::MockHost;
use crate::token::fixtures::{eddsa, es256, rs256, rsa};
use crate::token::{Algorithm, Backend, KeyRules, UnverifiedProof, thumbprint};

// 2026-01-01T00:00:00Z
const NOW: u64 = 1_767_225_600;

// RFC 9449 section 7.1.
const TOKEN: &str = "Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU";
const HASH: &str = "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo";
const URL: &str = "https://resource.example.org/protectedresource";

#[derive(Parser)]
struct OnlyProof {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(typed: &[&str]) -> Arguments {
    let typed = ["proof", "--url", URL].iter().chain(typed);
    OnlyProof::try_parse_from(typed).unwrap().arguments
}

fn claims_of(typed: &[&str], token: Option<&str>) -> Result<Value, ProofError> {
    let arguments = arguments(&[&["--key", "unused"], typed].concat());
    claims(
        &arguments,
        UnixTime::from_seconds(NOW).unwrap(),
        "id",
        token,
    )
}

/// What the command prints with this key.
fn printed(jwk: &str, typed: &[&str]) -> Result<String, CommandError> {
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.json");
    fs::write(&key, jwk).unwrap();
    let arguments = arguments(&[&["--key", key.to_str().unwrap()], typed].concat());
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW);
    let mut output = Vec::new();
    run(&arguments, now, &mut output)?;
    let text = String::from_utf8(output).unwrap();
    Ok(text.strip_suffix('\n').unwrap().to_owned())
}

#[test]
fn a_proof_is_for_one_request_and_new_unless_told_otherwise() {
    assert_eq!(
        claims_of(&[], None).unwrap(),
        json!({"jti": "id", "htm": "GET", "htu": URL, "iat": NOW})
    );
    let typed = ["--method=post", "--nonce=n", "--issued-in", "-5m"];
    assert_eq!(
        claims_of(&typed, Some(TOKEN)).unwrap(),
        json!({
            "jti": "id", "htm": "post", "htu": URL, "iat": NOW - 300, "nonce": "n", "ath": HASH,
        })
    );
    let ahead = claims_of(&["--issued-in", "1h"], None).unwrap();
    assert_eq!(ahead["iat"], NOW + 3600);
}

#[test]
fn the_gate_takes_the_proof_of_every_kind_of_key() {
    for signer in [es256(), eddsa(), rs256(), rsa(Algorithm::Ps256)] {
        let pasted = format!("Authorization: DPoP {TOKEN}");
        let proof = printed(&signer.to_jwk(), &["--token", &pasted]).unwrap();
        let parsed = UnverifiedProof::parse(proof.as_bytes(), None).unwrap();
        assert_eq!(parsed.algorithm(), Some(signer.algorithm()));
        let expected = thumbprint(&signer.public_jwk());
        assert_eq!(parsed.thumbprint(), expected.as_deref());
        let claims = parsed.unverified_claims();
        assert_eq!(claims.string("htu"), Some(URL));
        assert_eq!(claims.string("ath"), Some(HASH));
        assert_eq!(claims.string("jti").unwrap().len(), 22);
        let rules = KeyRules::asymmetric();
        let host = MockHost::get("/", UnixTime::from_seconds(NOW).unwrap());
        let is_genuine =
            |proof: UnverifiedProof<'_>| proof.is_genuine(&rules, Backend::Module, &host, |_| ());
        assert!(is_genuine(parsed), "{proof}");

        // One letter in the middle of the signature.
        let at = proof.rfind('.').unwrap() + 20;
        let other = if &proof[at..=at] == "A" { "B" } else { "A" };
        let forged = format!("{}{other}{}", &proof[..at], &proof[at + 1..]);
        let parsed = UnverifiedProof::parse(forged.as_bytes(), None).unwrap();
        assert!(!is_genuine(parsed));
    }
}

#[test]
fn a_proof_holds_what_makes_the_public_key_and_nothing_else_of_it() {
    for (signer, members) in [
        (es256(), &["crv", "kty", "x", "y"][..]),
        (eddsa(), &["crv", "kty", "x"]),
        (rs256(), &["e", "kty", "n"]),
    ] {
        // In the file are `kid`, `alg` and `use` as well, and the private part.
        let header = header(&signer);
        let names: Vec<_> = header["jwk"].as_object().unwrap().keys().collect();
        assert_eq!(names, members);
        assert_eq!(header["typ"], "dpop+jwt");
        assert_eq!(header["alg"], signer.algorithm_name());
        assert_eq!(header.as_object().unwrap().len(), 3);
    }
}

#[test]
fn no_two_proofs_have_one_id() {
    let id = || {
        let proof = printed(&eddsa().to_jwk(), &[]).unwrap();
        let proof = UnverifiedProof::parse(proof.as_bytes(), None).unwrap();
        proof.unverified_claims().string("jti").unwrap().to_owned()
    };
    assert_ne!(id(), id());
}

#[test]
fn query_and_fragment_are_left_out_of_the_url_and_nothing_else_is_changed() {
    for (typed, target) in [
        ("https://a.example/b?c=/d#e", "https://a.example/b"),
        ("https://a.example/b#c?d", "https://a.example/b"),
        ("https://a.example?b@c", "https://a.example"),
        ("HTTP://A.example:8080/%7ea/", "HTTP://A.example:8080/%7ea/"),
        ("http://[::1]:10000/", "http://[::1]:10000/"),
        ("https://[::1]", "https://[::1]"),
        ("https://a.example/@b", "https://a.example/@b"),
    ] {
        assert_eq!(typed.parse(), Ok(TargetUrl(target.to_owned())), "{typed}");
    }
}

#[test]
fn what_is_no_url_of_a_request_is_refused() {
    let refused = |text: &str| text.parse::<TargetUrl>().unwrap_err();
    for text in [
        "",
        "/orders",
        "*",
        "a.example",
        "a.example:443",
        "//a.example/",
        "ftp://a.example/",
        "https:",
        "https:/a.example",
        "https://",
        "https:///orders",
        "https://?a",
        "https://:443/",
        "https://a.example:/",
        "https://a.example:x/",
        "https://a.example:65536/",
    ] {
        assert_eq!(refused(text), TargetUrlError::Form, "{text}");
    }
    for text in ["https://u@a.example/", "https://u:p@a.example", "http://@a"] {
        assert_eq!(refused(text), TargetUrlError::User, "{text}");
    }
    for text in ["https://a.example/b c", "https://ä.example/", " https://a/"] {
        assert_eq!(refused(text), TargetUrlError::Characters, "{text}");
    }
}

#[test]
fn a_method_is_a_name_of_http() {
    for text in ["GET", "get", "M-SEARCH", "!#$%&'*+-.^_`|~0"] {
        assert_eq!(text.parse(), Ok(Method(text.to_owned())));
    }
    for text in ["", "GET ", "GE T", "GET/", "GET\n", "GÉT", "a:b"] {
        assert_eq!(text.parse::<Method>(), Err(MethodSyntaxError), "{text}");
    }
}

#[test]
fn what_is_no_token_has_no_hash_and_is_not_shown() {
    let key = es256().to_jwk();
    for text in ["", "''", "secret secret", "secret\nsecret", "sécret"] {
        let error = printed(&key, &["--token", text]).unwrap_err();
        assert_eq!(error.exit_code(), 2, "{text}");
        assert!(!chain_of(&error).contains("cret"));
        assert!(
            matches!(error, CommandError::Proof(ProofError::NotAToken)),
            "{text}"
        );
    }
}

#[test]
fn a_shared_secret_makes_no_proof() {
    let error = printed(r#"{"kty": "oct", "k": "AAAA"}"#, &[]).unwrap_err();
    let told = chain_of(&error);
    assert!(
        told.contains("key.json") && told.contains("shared secret"),
        "{told}"
    );
    let public = es256().public_jwk().to_string();
    let error = printed(&public, &[]).unwrap_err();
    assert!(error.hint().is_some(), "{error}");
}
