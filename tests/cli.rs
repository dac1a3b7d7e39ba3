//! The native binary as its users meet it: arguments in; standard output, standard error, exit
//! code and files out. Tokens are checked with `jwt-simple`'s own verification, which shares no
//! code with the signing side but the arithmetic.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use std::collections::HashSet;
use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jwt_simple::prelude::*;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

#[path = "support/inputs.rs"]
#[allow(dead_code, reason = "the tests in Envoy need a part of their own")]
mod inputs;
#[path = "support/keys.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod keys;
#[path = "support/token.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod token;
#[path = "cli/upstream.rs"]
mod upstream;
#[path = "cli/validate.rs"]
mod validate;
#[path = "cli/inputs.rs"]
mod with_inputs;

#[test]
fn a_token_minted_with_a_new_key_verifies_with_the_printed_public_key() {
    for algorithm in ["ES256", "EdDSA"] {
        let directory = TempDir::new().unwrap();
        let key = directory.path().join("key.json");
        let printed = json_line(&run_in(
            directory.path(),
            &[
                "keygen",
                "--algorithm",
                algorithm,
                "--key-id",
                "k1",
                "--out",
                "key.json",
            ],
        ));
        let token = mint(
            &key,
            &["--issuer", "https://issuer.example", "--audience", "api"],
        );
        let options = VerificationOptions {
            required_key_id: Some("k1".to_owned()),
            allowed_issuers: Some(HashSet::from(["https://issuer.example".to_owned()])),
            allowed_audiences: Some(HashSet::from(["api".to_owned()])),
            ..VerificationOptions::default()
        };
        let claims = verify(&printed["keys"][0], &token, options).unwrap();
        assert_eq!(
            claims.expires_at.unwrap() - claims.issued_at.unwrap(),
            Duration::from_mins(15)
        );
    }
}

#[test]
fn every_key_of_the_vectors_signs_for_its_own_id_and_for_no_other() {
    for algorithm in ["rs256", "es256", "eddsa"] {
        let own = vector_key(algorithm);
        let other = vector_key(&format!("{algorithm}-other"));
        let set = json_line(&run(&["jwks", path(&own), path(&other)]));
        assert_eq!(set["keys"][0]["kid"], format!("test-{algorithm}"));
        assert_eq!(set["keys"][1]["kid"], format!("test-{algorithm}-other"));

        let token = mint(&own, &[]);
        let options = VerificationOptions::default;
        verify(&set["keys"][0], &token, options()).unwrap();
        verify(&set["keys"][1], &token, options()).unwrap_err();
    }
}

#[test]
fn claims_of_any_type_reach_the_token() {
    let token = mint(
        &vector_key("es256"),
        &[
            "--subject",
            "ada",
            "--claim",
            "roles=[\"a\",1]",
            "--claim",
            "exp=soon",
            "--type",
            "at+jwt",
        ],
    );
    let header = part(&token, 0);
    assert_eq!(
        header,
        json!({"alg": "ES256", "kid": "test-es256", "typ": "at+jwt"})
    );
    let claims = part(&token, 1);
    assert_eq!(claims["sub"], "ada");
    assert_eq!(claims["roles"], json!(["a", 1]));
    assert_eq!(claims["exp"], "soon");
    assert!(claims["iat"].is_u64());
    assert_eq!(claims["jti"].as_str().unwrap().len(), 22);
}

#[test]
fn an_expired_or_early_token_can_be_minted() {
    let key = vector_key("eddsa");
    let public = &json_line(&run(&["jwks", path(&key)]))["keys"][0];
    for (arguments, message) in [
        (["--expires-in", "-1h"], "Token has expired"),
        (["--not-before-in", "30m"], "Token not valid yet"),
    ] {
        let token = mint(&key, &arguments);
        let error = verify(public, &token, VerificationOptions::default()).unwrap_err();
        assert_eq!(error.to_string(), message);
    }
}

#[test]
fn a_bound_token_has_the_thumbprint_of_the_key_in_its_proof() {
    for algorithm in ["rs256", "es256", "es384", "es512", "eddsa"] {
        let key = vector_key(algorithm);
        let token = mint(&vector_key("es256"), &["--dpop-key", path(&key)]);
        let mut proof = command();
        let url = "http://127.0.0.1:10000/orders?page=2#top";
        proof.args([
            "proof",
            "--key",
            path(&key),
            "--method",
            "POST",
            "--url",
            url,
        ]);
        proof.args(["--token", "-", "--nonce", "n", "--issued-in", "-1h"]);
        let proof = line(&with_input(proof, &format!("DPoP {token}\n")));

        let header = part(&proof, 0);
        assert_eq!(header["typ"], "dpop+jwt");
        let jwk = header["jwk"].as_object().unwrap();
        let private = ["d", "p", "q", "dp", "dq", "qi", "kid", "alg", "use"];
        assert!(
            private.iter().all(|name| !jwk.contains_key(*name)),
            "{jwk:?}"
        );
        // As RFC 7638 section 3 has it; the members are in the order of their names.
        let thumbprint = sha256(&header["jwk"].to_string());
        assert_eq!(part(&token, 1)["cnf"], json!({ "jkt": thumbprint }));

        let claims = part(&proof, 1);
        assert_eq!(claims["htm"], "POST");
        assert_eq!(claims["htu"], "http://127.0.0.1:10000/orders");
        assert_eq!(claims["ath"], sha256(&token));
        assert_eq!(claims["nonce"], "n");
        let age = part(&token, 1)["iat"].as_u64().unwrap() - claims["iat"].as_u64().unwrap();
        assert!((3_500..=3_600).contains(&age), "{age}");
    }
}

#[test]
fn a_private_key_is_for_its_owner_only_and_never_overwritten() {
    let directory = TempDir::new().unwrap();
    let key = directory.path().join("key.json");
    let arguments = ["keygen", "--out", "key.json"];
    json_line(&run_in(directory.path(), &arguments));
    let written = fs::read(&key).unwrap();
    assert_eq!(
        fs::metadata(&key).unwrap().permissions().mode() & 0o777,
        0o600
    );

    let again = run_in(directory.path(), &arguments);
    assert_fails(
        &again,
        1,
        "error: key file `key.json` already exists\n\nhint: ",
    );
    assert_eq!(fs::read(&key).unwrap(), written);
}

#[test]
fn a_failure_says_why_on_standard_error_and_by_its_exit_code() {
    let directory = TempDir::new().unwrap();
    let public = json_line(&run(&["jwks", path(&vector_key("es256"))]))["keys"][0].to_string();
    fs::write(directory.path().join("public.json"), public).unwrap();
    fs::write(directory.path().join("text.json"), "no key").unwrap();
    let secret = r#"{"kty": "oct", "k": "AAAA"}"#;
    fs::write(directory.path().join("secret.json"), secret).unwrap();
    for (code, arguments, message) in [
        (
            10,
            &["mint", "--key", "absent.json"][..],
            "error: could not read key file `absent.json`: No such file or directory (os error \
             2)\n\nhint: `portcullis keygen",
        ),
        (
            1,
            &["mint", "--key", "public.json"],
            "error: key file `public.json` is not usable: expected a private JWK, found a public \
             one\n\nhint: ",
        ),
        (
            1,
            &["mint", "--key", "public.json", "--dpop-key", "secret.json"],
            "error: key file `secret.json` is not usable: expected a private JWK, found a shared \
             secret (`kty` `oct`), which has no public part",
        ),
        (
            1,
            &[
                "proof",
                "--key",
                "secret.json",
                "--url",
                "https://a.example/",
            ],
            "error: key file `secret.json` is not usable: ",
        ),
        (
            10,
            &[
                "proof",
                "--key",
                "absent.json",
                "--url",
                "https://a.example/",
            ],
            "error: could not read key file `absent.json`: ",
        ),
        (10, &["jwks", "absent.json"], "could not read key file"),
        (
            10,
            &["validate", "absent.json"],
            "could not read absent.json: ",
        ),
        (
            10,
            &["convert", "absent.json"],
            "could not read absent.json: ",
        ),
        (
            10,
            &["explain", "absent.json"],
            "could not read absent.json: ",
        ),
        (
            10,
            &["serve", "--data", "data", "--credentials", "absent"],
            "could not read credentials file `absent`: ",
        ),
        (
            1,
            &["jwks", "text.json"],
            "error: the keys in `text.json` are not usable: invalid JSON at line 1 column 2",
        ),
        (
            1,
            &["keygen", "--out", "absent/key.json"],
            "error: could not write key file `absent/key.json`: ",
        ),
    ] {
        assert_fails(&run_in(directory.path(), arguments), code, message);
    }
}

#[test]
fn an_address_in_use_is_told_with_its_remedy() {
    let occupied = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = occupied.local_addr().unwrap().to_string();
    let output = run(&["upstream", "--listen", &address]);
    assert_fails(
        &output,
        1,
        &format!("error: could not listen on {address}: "),
    );
    assert_fails(&output, 1, "\n\nhint: another program listens there");
}

#[test]
fn a_wrong_command_line_exits_with_2() {
    let key = vector_key("es256");
    let with = |arguments: &[&str]| run(&[&["mint", "--key", path(&key)], arguments].concat());
    let duration = "expected a duration such as `15m`, `1h` or `-1h`";
    assert_fails(&with(&["--expires-in", "15"]), 2, duration);
    assert_fails(&with(&["--expires-in", "soon"]), 2, duration);
    assert_fails(&with(&["--not-before-in", "-"]), 2, duration);
    assert_fails(
        &with(&["--expires-in", "1500ms"]),
        2,
        "expected whole seconds",
    );
    assert_fails(&with(&["--claim", "name"]), 2, "expected `NAME=VALUE`");
    let twice = "expected one `--claim` for each name, found two for `x`";
    assert_fails(&with(&["--claim", "x=1", "--claim", "x=2"]), 2, twice);
    let both = ["--dpop-key", path(&key), "--claim", "cnf={}"];
    let message = "expected `--dpop-key` or `--claim cnf=…`, found both";
    assert_fails(&with(&both), 2, message);
    let proof = |arguments: &[&str]| run(&[&["proof", "--key", path(&key)], arguments].concat());
    let url = ["--url", "https://a.example/"];
    assert_fails(&proof(&[]), 2, "--url <URL>");
    assert_fails(&proof(&["--url", "/orders"]), 2, "expected an absolute URL");
    let message = "expected a URL without a user before its host";
    assert_fails(&proof(&["--url", "https://u:p@a.example/"]), 2, message);
    let more = |arguments: &[&str]| proof(&[&url[..], arguments].concat());
    assert_fails(
        &more(&["--method", "G T"]),
        2,
        "expected a method such as `GET`",
    );
    assert_fails(&more(&["--issued-in", "5"]), 2, duration);
    assert_fails(&more(&["--token", ""]), 2, "`--token`: expected a token");
    assert_fails(
        &run(&["keygen", "--algorithm", "HS256", "--out", "x"]),
        2,
        "HS256",
    );
    assert_fails(&run(&["jwks"]), 2, "<FILE>");
    assert_fails(&run(&["open"]), 2, "open");
}

#[test]
fn help_is_an_answer() {
    let output = run(&["mint", "--help"]);
    assert!(output.status.success());
    assert!(output.stdout.starts_with(b"Print a signed token"));
    assert!(output.stderr.is_empty());
}

fn command() -> Command {
    Command::new(env!("CARGO_BIN_EXE_portcullis"))
}

fn run(arguments: &[&str]) -> Output {
    command().args(arguments).output().unwrap()
}

/// A command that is given this on standard input.
fn with_input(mut command: Command, input: &str) -> Output {
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut process = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = process.stdin.take().unwrap();
    stdin.write_all(input.as_bytes()).unwrap();
    drop(stdin);
    process.wait_with_output().unwrap()
}

fn run_in(directory: &Path, arguments: &[&str]) -> Output {
    command()
        .current_dir(directory)
        .args(arguments)
        .output()
        .unwrap()
}

/// What a successful command printed, which is one line.
fn line(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{stderr}");
    assert!(stderr.is_empty(), "{stderr}");
    let stdout = str::from_utf8(&output.stdout).unwrap();
    let line = stdout.strip_suffix('\n').unwrap();
    assert!(!line.contains('\n'), "{line}");
    line.to_owned()
}

fn json_line(output: &Output) -> Value {
    serde_json::from_str(&line(output)).unwrap()
}

fn mint(key: &Path, arguments: &[&str]) -> String {
    line(&run(&[&["mint", "--key", path(key)], arguments].concat()))
}

#[track_caller]
fn assert_fails(output: &Output, exit_code: i32, message: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(exit_code), "{stderr}");
    assert!(
        stderr.contains(message),
        "expected {message:?}, found {stderr:?}"
    );
    assert!(output.stdout.is_empty());
}

fn vector_key(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join(format!("tests/vectors/keys/{name}.private.jwk.json"))
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// The header (0) or the claims (1) of a token.
fn part(token: &str, index: usize) -> Value {
    let text = token.split('.').nth(index).unwrap();
    let bytes = Base64UrlSafeNoPadding::decode_to_vec(text, None).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

fn sha256(text: &str) -> String {
    URL_SAFE_NO_PAD.encode(Sha256::digest(text))
}

fn verify(
    public_jwk: &Value,
    token: &str,
    options: VerificationOptions,
) -> Result<JWTClaims<NoCustomClaims>, jwt_simple::Error> {
    let jwk = public_jwk.to_string();
    match public_jwk["alg"].as_str().unwrap() {
        "RS256" => RS256PublicKey::from_jwk(&jwk)?.verify_token(token, Some(options)),
        "ES256" => ES256PublicKey::from_jwk(&jwk)?.verify_token(token, Some(options)),
        _ => Ed25519PublicKey::from_jwk(&jwk)?.verify_token(token, Some(options)),
    }
}
