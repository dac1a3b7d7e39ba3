//! What the documents show, held to what happens: their commands are run as they stand there, their
//! configurations are read, and their metrics are looked for.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use super::access::{credential, guarded};
use super::certificate::make_certificate;
use super::command_line::{mint, told};
use super::process::{Authority, ISSUER, binary, directory};

const DOCUMENTS: &str = concat!(
    include_str!("../../README.md"),
    include_str!("../../envoy/README.md"),
    include_str!("../../envoy/configuration.md"),
    include_str!("../../envoy/jwt_authn.md"),
    include_str!("../../envoy/operations.md"),
    include_str!("../../envoy/revocation.md"),
);

/// The blocks of this language.
fn blocks(language: &str) -> Vec<&'static str> {
    let mark = format!("\n```{language}\n");
    let rest = DOCUMENTS.split(&mark).skip(1);
    rest.filter_map(|rest| rest.split("\n```").next()).collect()
}

/// Keys with which the tokens of [`mint`] are checked.
fn keys() -> String {
    let key = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/tests/vectors/keys/es256.private.jwk.json"
    );
    let output = Command::new(binary()).args(["jwks", key]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// What the commands find where they are run.
fn furnish(place: &Path, commands: &str, admin: &str, token: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let vectors = root.join("tests/vectors");
    for directory in ["target/release", "target/demo"] {
        fs::create_dir_all(place.join(directory)).unwrap();
    }
    symlink(binary(), place.join("target/release/portcullis")).unwrap();
    let copy = |from: &Path, to: &str| fs::copy(from, place.join(to)).unwrap();
    copy(
        &vectors.join("keys/es256.private.jwk.json"),
        "target/demo/es256.jwk",
    );
    fs::write(place.join("target/demo/admin.credential"), admin).unwrap();
    fs::write(place.join("token.jwt"), token).unwrap();
    let (certificate, key) = make_certificate(place);
    copy(certificate.as_ref(), "server.pem");
    copy(key.as_ref(), "server.key");
    copy(
        &vectors.join("configurations/as-people-write-it.yaml"),
        "gate.yaml",
    );
    copy(&root.join("envoy/envoy.yaml"), "envoy.yaml");
    if commands.contains("portcullis convert") {
        let keys = keys();
        let filter = format!(
            "name: envoy.filters.http.jwt_authn\n\
             typed_config:\n  \
               '@type': type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication\n  \
               providers: {{idp: {{issuer: {ISSUER}, audiences: [api], local_jwks: {{inline_string: '{keys}'}}}}}}\n  \
               rules: [{{match: {{prefix: /}}, requires: {{provider_name: idp}}}}]\n"
        );
        fs::write(place.join("envoy.yaml"), filter).unwrap();
    }
}

/// What stands in for programs that are not there, and for an end of those that have none.
const STAND_INS: &str = r#"
set -eu
portcullis() {
    case $1 in
    serve)
        "$PORTCULLIS" "$@" > ready 2> log &
        until grep -q feed_public_keys ready; do
            kill -0 $! || { cat log >&2; exit 1; }
            sleep 0.1
        done
        kill $! ;;
    check) "$PORTCULLIS" "$@" || [ $? = 1 ] ;;
    *) "$PORTCULLIS" "$@" ;;
    esac
}
curl() { printf '%s\n' "$*" | grep -q '^-i .*http://127.0.0.1:10000/orders$'; }
helm() { cat gate.yaml; }
"#;

/// Runs commands in a place of their own, and gives what they print.
fn run(commands: &str, authority: &Authority) -> String {
    let admin = authority.credential.as_deref().unwrap();
    let token = mint(&["--subject", "alice", "--audience", "api"]);
    let place = directory();
    furnish(place.path(), commands, admin, &token);
    let commands = commands.replace("/var/lib/portcullis", "data");
    let commands = commands.replace("0.0.0.0:10002", "0.0.0.0:0");
    let output = Command::new("sh")
        .args(["-c", &format!("{STAND_INS}{commands}")])
        .current_dir(place.path())
        .env("PORTCULLIS", binary())
        .env("PORTCULLIS_AUTHORITY", &authority.url)
        .env("PORTCULLIS_CREDENTIAL", admin)
        .env("PORTCULLIS_DEMO_JWKS", keys())
        .env("PORTCULLIS_DEMO_FEED_KEY", &authority.feed_keys[0])
        .env("PORTCULLIS_DEMO_EDGE_CREDENTIAL", "edge")
        .env("TOKEN", token.trim())
        .stdin(fs::File::open(place.path().join("token.jwt")).unwrap())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .output()
        .unwrap();
    let (code, text, errors) = told(&output);
    assert_eq!(code, 0, "{commands}\n{text}\n{errors}");
    text
}

#[test]
fn the_commands_that_the_documents_show_run() {
    let home = directory();
    let admin = credential(home.path(), "admin", "console");
    let authority = guarded(home.path()).with_credential(&admin);
    let mut count = 0;
    let commands = blocks("sh").into_iter();
    for block in commands.filter(|block| block.contains("portcullis ")) {
        let text = run(block, &authority);
        if block.contains("revoke session --issuer https://issuer.example session-1") {
            // The documents show these three lines, of another time.
            let untimed = |text: &str| {
                let lines = text.lines().take(3).map(|line| {
                    let words = line.split(' ').filter(|word| !word.starts_with("20"));
                    words.collect::<Vec<_>>().join(" ")
                });
                lines.collect::<Vec<_>>()
            };
            let shown = blocks("text").into_iter();
            let shown = shown.map(untimed).find(|lines| lines[0] == "revoked");
            assert_eq!(untimed(&text), shown.unwrap());
        }
        count += 1;
    }
    assert_eq!(count, 7, "blocks with commands in them");
    let rows = DOCUMENTS.lines().filter(|line| line.starts_with("| "));
    let in_tables = rows.filter_map(|row| row.split('`').nth(1));
    for command in in_tables.filter(|command| command.starts_with("portcullis ")) {
        let text = run(command, &authority);
        assert!(text.starts_with("revoked\n"), "{command}: {text}");
        count += 1;
    }
    assert_eq!(count, 7 + 6, "one for each kind");
}

#[test]
fn the_filters_that_the_documents_show_are_valid_and_faults_are_told_as_there() {
    let place = directory();
    let validate = |text: &str| {
        fs::write(place.path().join("filter.yaml"), text).unwrap();
        let output = Command::new(binary())
            .current_dir(place.path())
            .args(["validate", "--deny-warnings", "filter.yaml"])
            .output();
        told(&output.unwrap())
    };
    let mut filters = blocks("yaml");
    filters.retain(|block| block.contains("envoy.filters.http.wasm"));
    assert_eq!(filters.len(), 2);
    let mut texts = String::new();
    for filter in filters {
        let filter = filter.replace(r#"{"keys":[…]}"#, &keys());
        let (code, text, errors) = validate(&filter);
        assert_eq!((code, errors.as_str()), (0, ""), "{text}");
        let wrong = filter.replace("issuer:", "isuer:");
        let wrong = wrong.replace("provider_name: idp", "provider_name: ipd");
        let (code, text, _) = validate(&wrong);
        assert_eq!(code, 1);
        texts += &text;
    }
    let faults: Vec<_> = DOCUMENTS
        .lines()
        .filter_map(|line| line.strip_prefix("configuration: "))
        .collect();
    assert_eq!(faults.len(), 2);
    for fault in faults {
        assert!(texts.contains(fault), "no {fault:?} in {texts}");
    }
}

/// Those of edges are held to what Envoy shows, in the tests with Envoy.
#[test]
fn the_authority_has_the_metrics_that_the_documents_name() {
    let of_edges = [
        "requests",
        "keys_",
        "feed_",
        "confirmations_",
        "token_cache_",
        "verification_",
    ];
    let directory = directory();
    let authority = Authority::start(directory.path());
    let page = String::from_utf8(authority.get("/metrics").bytes).unwrap();
    let is_shown = |name: &str| {
        let lines = page
            .lines()
            .filter_map(|line| line.split([' ', '{']).next());
        lines.into_iter().any(|found| found == name)
    };
    let is_letter = |letter: char| letter == '_' || letter.is_ascii_lowercase();
    let named: BTreeSet<_> = DOCUMENTS
        .split(|letter| !is_letter(letter))
        .filter_map(|word| word.strip_prefix("portcullis_"))
        .filter(|name| !name.is_empty() && *name != "denied")
        .filter(|name| !of_edges.iter().any(|of_edge| name.starts_with(of_edge)))
        .collect();
    assert!(named.len() >= 4, "{named:?}");
    for name in named {
        assert!(is_shown(&format!("portcullis_{name}")), "{name}: {page}");
    }
}
