use clap::Parser;
use serde_json::json;

use super::*;
use crate::token::Algorithm;

// 2026-01-01T00:00:00Z
const NOW: u64 = 1_767_225_600;

#[derive(Parser)]
struct OnlyMint {
    #[command(flatten)]
    arguments: Arguments,
}

fn arguments(typed: &[&str]) -> Arguments {
    let typed = ["mint", "--key", "unused"].iter().chain(typed);
    OnlyMint::try_parse_from(typed).unwrap().arguments
}

fn claims_of(typed: &[&str]) -> Result<Value, MintError> {
    claims(
        &arguments(typed),
        UnixTime::from_seconds(NOW).unwrap(),
        "id",
    )
}

#[test]
fn a_token_has_an_id_a_start_and_an_end_unless_told_otherwise() {
    assert_eq!(
        claims_of(&[]).unwrap(),
        json!({"iat": NOW, "exp": NOW + 900, "jti": "id"})
    );
    assert_eq!(
        claims_of(&["--expires-in", "never"]).unwrap(),
        json!({"iat": NOW, "jti": "id"})
    );
    let start = "2026-01-01T01:00:00+01:00";
    assert_eq!(
        claims_of(&["--expires-at", start, "--not-before", "5"]).unwrap(),
        json!({"iat": NOW, "nbf": 5, "exp": NOW, "jti": "id"})
    );
}

#[test]
fn every_argument_becomes_its_claim() {
    let claims = claims_of(&[
        "--issuer=i",
        "--subject=s",
        "--audience=a",
        "--session=n",
        "--scope=r w",
        "--client=c",
        "--expires-in",
        "-1h",
        "--not-before-in",
        "5m",
    ]);
    assert_eq!(
        claims.unwrap(),
        json!({
            "iss": "i", "sub": "s", "aud": "a", "sid": "n", "scope": "r w", "client_id": "c",
            "exp": NOW - 3600, "nbf": NOW + 300, "iat": NOW, "jti": "id",
        })
    );
}

#[test]
fn several_audiences_become_a_list() {
    let claims = claims_of(&["--audience", "a", "--audience", "b"]).unwrap();
    assert_eq!(claims["aud"], json!(["a", "b"]));
}

#[test]
fn a_claim_is_json_if_it_can_be_and_else_a_string() {
    for (typed, value) in [
        ("x=1", json!(1)),
        ("x=true", json!(true)),
        ("x=null", Value::Null),
        (r#"x="1""#, json!("1")),
        (r#"x={"roles":["a"]}"#, json!({"roles": ["a"]})),
        ("x=plain text", json!("plain text")),
        ("x=a=b", json!("a=b")),
        ("x=", json!("")),
    ] {
        assert_eq!(
            claims_of(&["--claim", typed]).unwrap()["x"],
            value,
            "{typed}"
        );
    }
}

#[test]
fn a_claim_holds_over_every_other_argument() {
    let claims = claims_of(&[
        "--subject=s",
        "--claim=sub=7",
        "--claim=exp=soon",
        "--claim=jti=j",
    ]);
    assert_eq!(
        claims.unwrap(),
        json!({"sub": 7, "exp": "soon", "iat": NOW, "jti": "j"})
    );
}

#[test]
fn a_claim_without_a_name_or_with_two_values_is_refused() {
    assert_eq!("name".parse::<Claim>(), Err(ClaimSyntaxError));
    assert_eq!("=value".parse::<Claim>(), Err(ClaimSyntaxError));
    let error = claims_of(&["--claim", "x=1", "--claim", "x=2"]).unwrap_err();
    assert!(matches!(error, MintError::RepeatedClaim { name } if name == "x"));
}

#[test]
fn the_header_names_the_key_unless_told_otherwise() {
    let signer = Signer::generate(Algorithm::EdDsa, Some("own")).unwrap();
    assert_eq!(
        header(&arguments(&[]), &signer),
        json!({"alg": "EdDSA", "typ": "JWT", "kid": "own"})
    );
    assert_eq!(
        header(
            &arguments(&["--key-id", "other", "--type", "at+jwt"]),
            &signer
        ),
        json!({"alg": "EdDSA", "typ": "at+jwt", "kid": "other"})
    );
}

#[test]
fn token_ids_are_128_bits_and_differ() {
    let (first, second) = (random_token_id().unwrap(), random_token_id().unwrap());
    assert_ne!(first, second);
    assert_eq!(URL_SAFE_NO_PAD.decode(first).unwrap().len(), 16);
}

#[test]
fn an_impossible_clock_is_an_error() {
    let before = SystemTime::UNIX_EPOCH - std::time::Duration::from_secs(1);
    assert!(matches!(unix_time(before), Err(MintError::Clock)));
}
