use std::fs;

use clap::Parser;

use super::*;
use crate::authority::chain_of;
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
        None,
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
fn a_token_is_bound_to_the_public_part_of_a_key() {
    // The key and its thumbprint are those of RFC 8037, appendix A.
    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("key.json");
    let jwk = json!({
        "kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
        "d": "nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A", "kid": "k", "alg": "EdDSA",
    });
    fs::write(&key, jwk.to_string()).unwrap();
    let path = key.to_str().unwrap();
    let arguments = arguments(&["--dpop-key", path, "--claim=x=1"]);
    let thumbprint = thumbprint_of_holder(&arguments).unwrap();
    let now = UnixTime::from_seconds(NOW).unwrap();
    let claims = claims(&arguments, now, "id", thumbprint.as_deref()).unwrap();
    let expected = json!({"jkt": "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"});
    assert_eq!(claims["cnf"], expected);
    assert_eq!(claims["x"], 1);
}

#[test]
fn a_token_is_bound_in_one_way_and_to_no_secret() {
    let refused = |typed: &[&str]| thumbprint_of_holder(&arguments(typed)).unwrap_err();
    // The command line is wrong, whatever the file is.
    let both = refused(&["--dpop-key=absent", "--claim=cnf={}"]);
    assert!(matches!(both, CommandError::Mint(MintError::TwoBindings)));
    assert_eq!(both.exit_code(), 2);
    let absent = refused(&["--dpop-key=absent"]);
    assert_eq!(absent.exit_code(), 10);

    let directory = tempfile::tempdir().unwrap();
    let key = directory.path().join("secret.json");
    fs::write(&key, r#"{"kty": "oct", "k": "AAAA"}"#).unwrap();
    let path = key.to_str().unwrap();
    let secret = refused(&["--dpop-key", path]);
    let told = chain_of(&secret);
    assert!(
        told.contains(path) && told.contains("shared secret"),
        "{told}"
    );
    // Without a key of its holder, the claim is as free as any other.
    let claims = claims_of(&["--claim=cnf=7"]).unwrap();
    assert_eq!(claims["cnf"], 7);
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
