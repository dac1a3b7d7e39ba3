//! What the operator writes, and the faults that are reported when it is wrong.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, Plugin, Request, Token, as_yaml, assert_refused, configuration, jwks, program,
};

#[test]
fn yaml_and_json_text_give_the_same_verdicts() {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["providers"]["demo"]["clock_skew_seconds"] = json!(300);
    let yaml = Envoy::with(&configuration);
    let text = Plugin::from_text(&configuration.to_string());
    let text = Envoy::start(&Bootstrap::with_plugin(text));
    let token = Token::signed_by("es256").claim("jti", "1");
    for (request, status) in [
        (Request::get("/api"), 401),
        (Request::get("/api").bearer(&token), 200),
        (
            Request::get("/api").bearer(token.clone().expiring_in(-200)),
            200,
        ),
        (
            Request::get("/api").bearer(token.clone().expiring_in(-400)),
            401,
        ),
        (Request::get("/public"), 200),
        (Request::get("/other"), 403),
    ] {
        let mut replies = [&yaml, &text].map(|envoy| envoy.client().send(&request));
        assert_eq!(replies[0].status, status);
        for reply in &mut replies {
            reply
                .headers
                .retain(|(name, _)| !changes_with_every_request(name));
            if reply.status == 200 {
                let mut seen = reply.forwarded().headers;
                seen.retain(|(name, _)| !changes_with_every_request(name));
                reply.body = format!("{seen:?}");
            }
        }
        assert_eq!(replies[0], replies[1]);
    }
}

/// `no` is `false` for Envoy, `010` is 8, and numbers with a fraction or above 2^31 are text.
#[test]
fn the_command_line_reads_yaml_as_envoy_does() {
    let compared = [
        "no",
        "Off",
        "yEs",
        "010",
        "0o10",
        "0x1F",
        "1.5",
        "4294967296",
        "'no'",
        "~x",
    ];
    let claims: [Value; 13] = [
        json!(false),
        json!("no"),
        json!("Off"),
        json!(true),
        json!("yEs"),
        json!(8),
        json!("010"),
        json!("0o10"),
        json!(31),
        json!(1.5),
        json!("1.5"),
        json!(4_294_967_296_u64),
        json!("4294967296"),
    ];
    let mut configuration = configuration();
    let rules = compared.iter().enumerate().map(|(index, text)| {
        let claim = json!({"claim_name": "x", "equals": format!("plain:{text}")});
        let requires = json!({"provider_name": "demo", "claims": claim});
        json!({"match": {"path": format!("/{index}")}, "requires": requires})
    });
    configuration["rules"] = rules.collect();
    let envoy = Envoy::start(&Bootstrap::with_plugin(Plugin::new(&configuration)).in_yaml());
    let mut client = envoy.client();
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.yaml");
    fs::write(&file, as_yaml(&configuration)).unwrap();
    for (index, text) in compared.iter().enumerate() {
        let path = format!("/{index}");
        let mut accepted = 0;
        for claim in &claims {
            let token = Token::signed_by("es256")
                .claim("x", claim.clone())
                .to_string();
            let reply = client.send(&Request::get(&path).bearer(&token));
            let mut explain = Command::new(program());
            let explain = explain.arg("explain").arg(&file).args(["--path", &path]);
            let explained = explain.args(["--token", &token]).output().unwrap();
            let is_accepted = reply.status == 200;
            assert_eq!(
                explained.status.success(),
                is_accepted,
                "{text}: {claim}: {explained:?}"
            );
            accepted += usize::from(is_accepted);
        }
        assert_eq!(accepted, usize::from(*text != "~x"), "{text}");
    }
}

#[test]
fn keys_can_come_from_an_environment_variable() {
    let mut configuration = configuration();
    configuration["providers"]["demo"]["local_jwks"] =
        json!({"environment_variable": "PORTCULLIS_TEST_JWKS"});
    let plugin = Plugin::new(&configuration).with_environment("PORTCULLIS_TEST_JWKS");
    let bootstrap = Bootstrap::with_plugin(plugin);

    let keys = jwks(&["es256"]);
    let envoy = Envoy::start(
        &bootstrap
            .clone()
            .with_environment("PORTCULLIS_TEST_JWKS", keys),
    );
    let mut client = envoy.client();
    let reply = client.send(&Request::get("/api").bearer(Token::signed_by("es256")));
    assert_eq!(reply.status, 200);
    let reply = client.send(&Request::get("/api").bearer(Token::signed_by("rs256")));
    assert_refused(&reply, 401, "signature_invalid");
}

/// Keys that the module would trust, and a credential that it would show, are never left out because
/// the variable that holds them is missing: Envoy does not start.
#[test]
fn a_variable_that_the_module_cannot_see_is_a_fault_wherever_one_may_be() {
    const NAME: &str = "PORTCULLIS_TEST_UNSEEN";
    const FEED_KEY: &str = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
    let variable = json!({"environment_variable": NAME});
    let mut by_keys = configuration();
    by_keys["providers"]["demo"]["local_jwks"] = variable.clone();
    let with_revocation = |credential, public_keys| {
        let mut configuration = configuration();
        configuration["revocation"] = json!({
            "cluster": "upstream", "credential": credential, "public_keys": public_keys,
        });
        configuration
    };
    let credential = json!({"inline_string": "edge"});
    for (configuration, value, path) in [
        (by_keys, jwks(&["es256"]), "providers.demo.local_jwks"),
        (
            with_revocation(variable.clone(), json!([FEED_KEY])),
            "edge".to_owned(),
            "revocation.credential",
        ),
        (
            with_revocation(credential, json!([FEED_KEY, variable])),
            FEED_KEY.to_owned(),
            "revocation.public_keys[1]",
        ),
    ] {
        let fault = format!("{path}.environment_variable: the variable is not set");
        let plugin = Plugin::new(&configuration);
        let set = |plugin| Bootstrap::with_plugin(plugin).with_environment(NAME, value.clone());
        let not_listed = set(plugin.clone());
        assert_faults(&Envoy::refuses(&not_listed), &[&fault]);
        let plugin = plugin.with_environment(NAME);
        let not_set = Bootstrap::with_plugin(plugin.clone());
        assert_faults(&Envoy::refuses(&not_set), &[&fault]);
        Envoy::start(&set(plugin));
    }
}

/// What a template renders where its value is missing.
#[test]
fn null_in_a_key_that_protects_is_a_fault() {
    let mut configuration = configuration();
    configuration["revocation"] = json!(null);
    configuration["requirement_map"] = json!({"some": null});
    let provider = &mut configuration["providers"]["demo"];
    provider["issuer"] = json!(null);
    provider["audiences"] = json!([null]);
    provider["forward"] = json!(null);
    let rules = [
        json!({"requires": null}),
        json!({"requirement_name": null}),
        json!({"requires": {"provider_name": null}}),
        json!({"requires": {"requires_any": null}}),
        json!({"requires": {"requires_any": {"requirements": [{"provider_name": "demo"}, null]}}}),
        json!({"requires": {"provider_name": "demo", "claims": null, "scopes": null}}),
        json!({"requires": {"provider_name": "demo", "scopes": {"all_of": [null]}}}),
    ];
    let rules = rules.into_iter().map(|mut rule| {
        rule["match"] = json!({"prefix": "/api"});
        rule
    });
    configuration["rules"] = rules.collect();
    let faults = [
        "revocation: expected an object, found `null`",
        "requirement_map.some: expected an object, found `null`",
        "providers.demo.issuer: expected a string, found `null`",
        "providers.demo.audiences[0]: expected a string, found `null`",
        "rules[0].requires: expected an object, found `null`",
        "rules[1].requirement_name: expected a string, found `null`",
        "rules[2].requires.provider_name: expected a string, found `null`",
        "rules[3].requires.requires_any: expected an object, found `null`",
        "rules[4].requires.requires_any.requirements[1]: expected an object, found `null`",
        "rules[5].requires.claims: expected a list, found `null`",
        "rules[5].requires.scopes: expected an object, found `null`",
        "rules[6].requires.scopes.all_of[0]: expected a string, found `null`",
    ];
    for plugin in [
        Plugin::new(&configuration),
        Plugin::from_text(&configuration.to_string()),
    ] {
        assert_faults(&Envoy::refuses(&Bootstrap::with_plugin(plugin)), &faults);
    }
}

#[test]
fn every_fault_is_named_with_its_path() {
    let mut configuration = configuration();
    configuration["provider"] = json!({});
    configuration["realm"] = json!(7);
    configuration["session_header_prefix"] = json!("x-session-");
    let provider = &mut configuration["providers"]["demo"];
    provider["issuer"] = json!(["https://issuer.example"]);
    provider["audience"] = json!("api");
    provider["audiences"] = json!(7);
    provider["clock_skew_seconds"] = json!(-1);
    provider["forward"] = json!("maybe");
    provider["from_headers"] = json!([{"value_prefix": "Bearer "}, {"name": "a b"}]);
    provider["claim_to_headers"] = json!([{"header_name": "Host", "claim_name": "sub"}]);
    configuration["providers"]["empty"] = json!({});
    configuration["providers"]["typo"] = json!({"local_jwks": {"inline_string": "{}"}});
    configuration["rules"][0]["match"]["path"] = json!("/public");
    configuration["rules"][1]["requires"]["provider_name"] = json!("dem");
    let faults = [
        "provider: unknown key, did you mean `providers`?",
        "realm: expected a string, found a number",
        "session_header_prefix: has no effect without `session_headers: true`",
        "providers.demo.issuer: expected a string, found a list",
        "providers.demo.audience: unknown key, did you mean `audiences`?",
        "providers.demo.audiences: expected a string, found a number",
        "providers.demo.clock_skew_seconds: expected a whole number",
        "providers.demo.forward: expected `true` or `false`, found a string",
        "providers.demo.from_headers[0]: `name` is missing",
        "providers.demo.from_headers[1].name: expected the name of a header",
        "providers.demo.claim_to_headers[0]: `host` carries the request itself",
        "providers.empty: expected either `local_jwks` or `remote_jwks`",
        "providers.typo.local_jwks.inline_string: expected a set of keys",
        "rules[0].match: expected one of `prefix`, `path`",
        "rules[1].requires.provider_name: no provider is called `dem`",
    ];
    for plugin in [
        Plugin::new(&configuration),
        Plugin::from_text(&configuration.to_string()),
    ] {
        assert_faults(&Envoy::refuses(&Bootstrap::with_plugin(plugin)), &faults);
    }
}

#[test]
fn a_key_of_jwt_authn_that_is_not_supported_is_told_from_a_typing_error() {
    let mut configuration = configuration();
    configuration["rules"][1]["requires"] = json!({"extract_only_without_validation": {}});
    configuration["providers"]["demo"]["payload_in_metadata"] = json!("payload");
    assert_faults(
        &Envoy::refuses(&Bootstrap::with_plugin(Plugin::new(&configuration))),
        &[
            "rules[1].requires.extract_only_without_validation: \
             refused: it passes on what nothing has verified",
            "providers.demo.payload_in_metadata: \
             a WebAssembly module cannot write dynamic metadata; hint: `claims_to_filter_state`",
        ],
    );
}

#[test]
fn what_is_no_configuration_at_all_is_refused() {
    for (text, fault) in [
        ("", "expected a JSON object"),
        ("providers: {}", "expected a JSON object"),
        ("{\"providers\": {}} ]", "expected a JSON object"),
        ("[]", "expected an object, found a list"),
        ("{}", "`providers` is missing"),
        (
            "{\"providers\": {}}",
            "providers: expected at least one provider",
        ),
        (
            "{\"providers\": {}, \"providers\": {}}",
            "member `providers` appears twice",
        ),
    ] {
        let bootstrap = Bootstrap::with_plugin(Plugin::from_text(text));
        assert_faults(&Envoy::refuses(&bootstrap), &[fault]);
    }
    let empty = Bootstrap::with_plugin(Plugin::new(&json!({})));
    assert_faults(&Envoy::refuses(&empty), &["expected a JSON object"]);
}

/// Asserts that the log has a line for each of these faults, and no line for another one.
fn assert_faults(log: &str, expected: &[&str]) {
    let lines = log
        .lines()
        .filter_map(|line| line.split_once("portcullis: configuration: "));
    let lines: Vec<_> = lines.map(|(_, fault)| fault).collect();
    for fault in expected {
        assert!(
            lines.iter().any(|line| line.contains(fault)),
            "no `{fault}` in:\n{log}"
        );
    }
    for line in &lines {
        assert!(
            expected.iter().any(|fault| line.contains(fault)),
            "`{line}` was not expected"
        );
    }
}

fn changes_with_every_request(header: &str) -> bool {
    matches!(
        header,
        "date" | "x-request-id" | "x-envoy-upstream-service-time"
    )
}
