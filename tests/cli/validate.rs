//! `portcullis validate`: its streams and exit codes, and the examples.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::{assert_fails, command, line, path, run, run_in, vector_key};

#[test]
fn warnings_go_to_standard_error_and_are_faults_only_for_those_who_deny_them() {
    let directory = TempDir::new().unwrap();
    let keys = line(&run(&["jwks", path(&vector_key("es256"))]));
    let provider = json!({"audiences": ["api"], "local_jwks": {"inline_string": keys}});
    let validate = |rules: &str, arguments: &[&str]| {
        let text = format!(r#"{{"providers": {{"idp": {provider}}}, "rules": {rules}}}"#);
        fs::write(directory.path().join("gate.json"), text).unwrap();
        run_in(
            directory.path(),
            &[&["validate", "gate.json"], arguments].concat(),
        )
    };
    let told = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let protected = r#"{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}"#;

    let sound = format!("[{protected}]");
    let output = validate(&sound, &["--deny-warnings"]);
    assert_eq!(line(&output), "gate.json: the configuration is valid");
    assert_eq!(told(&output.stderr), "");

    let loose = format!(r#"[{{"match": {{"prefix": "/public"}}}}, {protected}]"#);
    let output = validate(&loose, &[]);
    let valid = "gate.json: the configuration is valid\n";
    assert_eq!(told(&output.stdout), valid);
    let warning = "gate.json:1: warning: rules[0].match.prefix: needs no token";
    assert!(told(&output.stderr).starts_with(warning), "{output:?}");
    let output = validate(&loose, &["--deny-warnings"]);
    let message = "error: expected a configuration without warnings, found 1";
    assert_fails(&output, 1, message);
    assert!(told(&output.stderr).starts_with(warning), "{output:?}");

    let output = validate("null", &[]);
    assert_eq!(output.status.code(), Some(1));
    let fault = "gate.json:1: error: rules: expected a list, found `null`\n";
    assert_eq!(told(&output.stdout), fault);
}

#[test]
fn validate_looks_at_several_files_and_at_standard_input() {
    let directory = TempDir::new().unwrap();
    let keys = line(&run(&["jwks", path(&vector_key("es256"))]));
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    let sound = format!(
        "providers:\n  idp:\n    audiences: [api]\n    local_jwks: {{inline_string: '{keys}'}}\nrules: \
         [{{match: {{prefix: /}}, requires: {{provider_name: idp}}}}]\n"
    );
    write("sound.yaml", &sound);
    write("wrong.yaml", &sound.replace("audiences", "audience"));
    write("tab.yaml", "providers:\n\tidp: {}\n");
    write("other.yaml", "apiVersion: v1\n");
    write(
        "istio.yaml",
        "kind: RequestAuthentication\nspec: {jwtRules: [{issuer: 'https://idp.example'}]}\n",
    );
    let validate = |arguments: &[&str]| {
        let arguments = [&["validate"], arguments].concat();
        run_in(directory.path(), &arguments)
    };
    let told = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let complains = |output: &Output, message: &str| {
        assert_eq!(output.status.code(), Some(1), "{output:?}");
        assert!(told(&output.stderr).contains(message), "{output:?}");
    };
    let output = validate(&["wrong.yaml", "sound.yaml"]);
    complains(
        &output,
        "error: expected a configuration without faults, found 1",
    );
    let expected = "wrong.yaml:3: error: providers.idp.audience: unknown key, did you mean \
                    `audiences`?\nsound.yaml: the configuration is valid\n";
    assert_eq!(told(&output.stdout), expected);
    // A file that cannot be read does not keep the others from being checked.
    let output = validate(&["tab.yaml", "other.yaml", "sound.yaml"]);
    complains(
        &output,
        "error: tab.yaml:2: a tab stands where YAML takes blanks only",
    );
    complains(
        &output,
        "error: other.yaml: expected a plugin configuration (with `providers` at its top), a file of",
    );
    assert_eq!(
        told(&output.stdout),
        "sound.yaml: the configuration is valid\n"
    );
    // Each of the keys by which a file is known, as the readers of these files have them.
    let keys = "the authority's file (with `issuers`, `sessions`, `suspicion` or `webhook`) or the \
                signals file (with `oauth`, `listen`, `tls`, ";
    assert!(
        told(&output.stderr).contains(keys),
        "{}",
        told(&output.stderr)
    );
    write("mistyped.yaml", "isuers: []\n");
    let output = validate(&["mistyped.yaml"]);
    complains(&output, "; found `isuers`, did you mean `issuers`?\n");
    let output = validate(&["istio.yaml"]);
    let message = "error: istio.yaml:1: expected a plugin configuration, found an Istio \
                   `RequestAuthentication`\n\nhint: `portcullis convert FILE`";
    complains(&output, message);

    let converted = run_in(directory.path(), &["convert", "istio.yaml"]);
    assert!(converted.status.success(), "{converted:?}");
    let output = fed(&["validate", "-"], &converted.stdout);
    assert!(output.status.success(), "{output:?}");
    let expected = "standard input: the configuration is valid\n";
    assert_eq!(told(&output.stdout), expected);
}

/// The variables of envoy.yaml are those of the demo; the other files need none.
#[test]
fn the_example_files_have_nothing_in_them_to_be_warned_of() {
    let keys = line(&run(&["jwks", path(&vector_key("es256"))]));
    for file in [
        "envoy.yaml",
        "envoy-replicas.yaml",
        "envoy-sign-in.yaml",
        "istio-trafficextension.yaml",
        "istio-wasmplugin.yaml",
        "envoy-gateway.yaml",
    ] {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("envoy")
            .join(file);
        let output = Command::new(env!("CARGO_BIN_EXE_portcullis"))
            .args(["validate", "--deny-warnings", path(&file)])
            .env("PORTCULLIS_DEMO_JWKS", &keys)
            .env(
                "PORTCULLIS_DEMO_FEED_KEY",
                "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo",
            )
            .env("PORTCULLIS_DEMO_EDGE_CREDENTIAL", "edge")
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        assert!(output.stderr.is_empty(), "{output:?}");
    }
}

/// A command with this on standard input.
fn fed(arguments: &[&str], input: &[u8]) -> Output {
    let mut process = command()
        .args(arguments)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    process.stdin.take().unwrap().write_all(input).unwrap();
    process.wait_with_output().unwrap()
}
