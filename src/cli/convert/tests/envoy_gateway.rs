use super::*;

#[test]
fn a_security_policy_is_translated_with_what_it_asks_of_tokens() {
    let set = jwk_set(&[&es256()]);
    let text = format!(
        "kind: SecurityPolicy\nmetadata: {{name: p, namespace: ns}}\nspec:\n  cors: {{}}\n  jwt:\n    \
         optional: true\n    providers:\n    - name: a\n      issuer: i\n      recomputeRoute: true\n      \
         claimToHeaders: [{{claim: sub, header: x-sub}}]\n      extractFrom: {{cookies: [t], params: [t], \
         headers: [{{name: x-t, valuePrefix: 'T '}}]}}\n      localJWKS: {{type: ValueRef, valueRef: \
         {{kind: ConfigMap, name: keys}}}}\n---\nkind: ConfigMap\nmetadata: {{name: keys, namespace: \
         ns}}\ndata: {{jwks: '{set}'}}\n"
    );
    let outcome = Outcome::of(&text);
    outcome.differs_only_in(&[]);
    let expected = json!({
        "providers": {"a": {
            "issuer": "i",
            "local_jwks": {"inline_string": set},
            "claim_to_headers": [{"claim_name": "sub", "header_name": "x-sub"}],
            "from_headers": [{"name": "x-t", "value_prefix": "T "}],
            "from_params": ["t"],
            "from_cookies": ["t"],
            "forward": true,
            "require_expiration": false,
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": any(&json!([
            {"provider_name": "a"}, {"allow_missing": {}},
        ]))}],
    });
    assert_eq!(*outcome.valid(), expected);
    let text = "kind: SecurityPolicy\nspec:\n  jwt: {providers: [{name: a, extractFrom: {params: [t]}, \
                remoteJWKS: {uri: 'https://k.example/x', cacheDuration: 5m}}]}\n  authorization:\n    \
                rules:\n    - {action: Allow, operation: {methods: [GET]}, principal: {jwt: {provider: a, \
                scopes: [read], claims: [{name: user.name, values: [x, z]}]}}}\n    - {action: Allow, \
                principal: {clientCIDRs: [10.0.0.0/8]}}\n";
    let outcome = Outcome::of(text);
    outcome.differs_only_in(&[
        "3: spec.jwt.providers[0].remoteJWKS: Envoy Gateway makes no cluster",
        "7: spec.authorization.rules[1].principal.clientCIDRs: the gate does not know it",
    ]);
    let configuration = outcome.valid();
    let remote = json!({
        "http_uri": {"uri": "https://k.example/x", "cluster": "k_example_443", "timeout": "10s"},
        "cache_duration": "300s", "retry_policy": {},
    });
    assert_eq!(configuration["providers"]["a"]["remote_jwks"], remote);
    let get = json!([{"name": ":method", "string_match": {"exact": "GET"}}]);
    let expected = json!([{
        "match": {"prefix": "/", "headers": get},
        "requires": {"provider_name": "a", "claims": [
            {"claim_name": "scope", "contains": "read"},
            {"claim_name": "user.name", "one_of": ["x", "z"]},
        ]},
    }]);
    assert_eq!(configuration["rules"], expected);
}

/// A policy with one rule for these tokens.
fn asking(principal: &str) -> Outcome {
    let set = jwk_set(&[&es256()]);
    Outcome::of(&format!(
        "kind: SecurityPolicy\nspec:\n  jwt: {{providers: [{{name: a, extractFrom: {{params: [t]}}, \
         localJWKS: {{inline: '{set}'}}}}]}}\n  authorization: {{rules: [{{action: Allow, principal: \
         {principal}}}]}}\n"
    ))
}

/// A list is not told apart from a text with blanks, unless Envoy Gateway splits that as well.
#[test]
fn one_of_several_values_of_a_claim_never_becomes_a_word_of_a_text() {
    let claim = |name: &str| {
        asking(&format!(
            "{{jwt: {{claims: [{{name: {name}, valueType: StringArray, values: [x, z]}}]}}}}"
        ))
    };
    let roles = "4: spec.authorization.rules[0].principal.jwt.claims[0]: lets less through";
    let of = |name: &str, key: &str, values: [Value; 2]| {
        let [one, other] = values.map(|value| {
            let claim = json!({"claim_name": name, key: value});
            json!({"provider_name": "a", "claims": [claim]})
        });
        any(&json!([one, other]))
    };
    for (name, differences, expected) in [
        (
            "roles",
            &[roles][..],
            of("roles", "one_of", [json!([["x"]]), json!([["z"]])]),
        ),
        (
            "scope",
            &[],
            of("scope", "contains", ["x".into(), "z".into()]),
        ),
    ] {
        let outcome = claim(name);
        outcome.differs_only_in(differences);
        assert_eq!(outcome.valid()["rules"][0]["requires"], expected, "{name}");
    }
}

/// A policy with these lines beside `jwt`.
fn beside(lines: &str) -> String {
    format!(
        "kind: SecurityPolicy\nmetadata: {{name: p}}\nspec:\n  jwt: {{providers: [{{name: a, issuer: i, \
         localJWKS: {{inline: '{{\"keys\": []}}'}}}}]}}\n{lines}"
    )
}

#[test]
fn what_a_policy_is_merged_with_and_what_is_not_known_in_it_opens() {
    let merged = "---\nkind: SecurityPolicy\nmetadata: {name: q}\nspec: {mergeType: JSONMerge}\n";
    let rules = "rules: [{action: Allow, principal: {jwt: {scopes: [a]}}}]";
    for text in [
        beside("  mergeType: StrategicMerge\n"),
        beside("") + merged,
        beside("  unheardOf: x\n"),
        beside(&format!("  authorization: {{unheardOf: x, {rules}}}\n")),
    ] {
        let outcome = Outcome::of(&text);
        assert_eq!(outcome.openings.len(), 1, "{text}{:#?}", outcome.openings);
    }
}

#[test]
fn no_text_is_like_the_claim_scope_so_nothing_gets_through() {
    let outcome = asking("{jwt: {claims: [{name: scope, values: ['a b']}]}}");
    assert!(outcome.notes("is a list of words there"));
    assert_eq!(outcome.one()["rules"], json!([]));
}

#[test]
fn what_a_principal_loses_opens_it() {
    for principal in [
        "{jwt: {claims: [{name: a, values: [x], invert: true}]}}",
        "{jwt: {claims: [{name: a, values: [x], valueType: Number}]}}",
        "{jwt: {scopes: [read], unheardOf: x}}",
        "{jwt: {scopes: [read, {}]}}",
        "{jwt: {provider: [a]}}",
    ] {
        let outcome = asking(principal);
        assert_eq!(outcome.openings.len(), 1, "{principal}");
        outcome.valid();
    }
    // Nor is it the same without any, but nothing is let through.
    let outcome = asking("null");
    assert_eq!(outcome.openings, [] as [&str; 0]);
    assert_eq!(outcome.one()["rules"].as_array().map(Vec::len), Some(1));
}
