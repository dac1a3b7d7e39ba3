//! What `portcullis convert` makes of Istio's resources lets the same requests through.
//!
//! Istio itself is not here. The filters that it makes of these resources for its Envoy are written
//! down beside them: its `jwt_authn`, and `rbac` for policies that refuse and for such that allow,
//! in this order. The claims that `rbac` reads are where the first one puts them.

use serde_json::{Value, json};

use crate::native::converted_file;
use crate::support::{Bootstrap, Envoy, ISSUER, Listener, Plugin, Request, Token, jwks};

/// Resources, and the filters that Istio makes of those that are policies.
struct Case {
    name: &'static str,
    policies: Vec<Value>,
    filters: Vec<Value>,
}

#[test]
fn converted_policies_let_the_same_requests_through_as_those_of_istio() {
    let cases = cases();
    let listeners = cases.iter().flat_map(|case| {
        let native = Listener::native(&generated());
        let filters = case.filters.iter();
        let native = filters.fold(native, Listener::with_last_filter);
        let own = Listener::portcullis(Plugin::new(&converted(case)));
        let named = |kind: &str| format!("{kind}-{}", case.name);
        [native.named(named("istio")), own.named(named("portcullis"))]
    });
    let envoy = Envoy::start(&Bootstrap::new(listeners.collect::<Vec<_>>()));
    for case in &cases {
        let client = |kind: &str| envoy.client_of(&format!("{kind}-{}", case.name));
        let (mut native, mut own) = (client("istio"), client("portcullis"));
        let mut accepted = 0;
        for (name, request) in requests() {
            let expected = native.send(&request).status == 200;
            let found = own.send(&request);
            assert_eq!(
                found.status == 200,
                expected,
                "{}: {name}: {found:?}",
                case.name
            );
            accepted += usize::from(expected);
        }
        let all = requests().len();
        assert!(
            accepted > 0 && accepted < all,
            "{}: {accepted} of {all}",
            case.name
        );
    }
}

fn converted(case: &Case) -> Value {
    let authentication = json!({
        "kind": "RequestAuthentication",
        "spec": {"jwtRules": [
            {"issuer": ISSUER, "jwks": jwks(&["es256"])},
            {"issuer": "https://other.example", "jwks": jwks(&["es256"]), "fromHeaders": [{"name": "x-other"}]},
        ]},
    });
    let policies = case.policies.iter().cloned();
    let items: Vec<_> = [authentication].into_iter().chain(policies).collect();
    converted_file(&json!({"kind": "List", "items": items}).to_string())
}

/// Istio's `jwt_authn` for the two issuers.
fn generated() -> Value {
    let provider = |issuer: &str, more: Value| {
        let mut provider = json!({
            "issuer": issuer, "local_jwks": {"inline_string": jwks(&["es256"])},
            "payload_in_metadata": "payload",
            "normalize_payload_in_metadata": {"space_delimited_claims": ["scope", "permission"]},
        });
        let members = provider.as_object_mut().expect("an object");
        members.extend(more.as_object().expect("an object").clone());
        provider
    };
    let optional = |name: &str| any(&json!([{"provider_name": name}, {"allow_missing": {}}]));
    let each = json!({"requires_all": {"requirements": [optional("a"), optional("b")]}});
    json!({
        "providers": {
            "a": provider(ISSUER, json!({})),
            "b": provider("https://other.example", json!({"from_headers": [{"name": "x-other"}]})),
        },
        "rules": [{"match": {"prefix": "/"}, "requires": any(&json!([
            {"provider_name": "a"}, {"provider_name": "b"}, each,
        ]))}],
        "bypass_cors_preflight": true,
    })
}

fn any(requirements: &Value) -> Value {
    json!({"requires_any": {"requirements": requirements}})
}

fn cases() -> Vec<Case> {
    let policy = |action: &str, rules: Value| json!({"kind": "AuthorizationPolicy", "spec": {"action": action, "rules": rules}});
    let any_principal = all_of(&json!([
        claim(&["iss"], &pattern(".+")),
        claim(&["sub"], &pattern(".+"))
    ]));
    let no_principal = json!({"not_id": any_principal});
    let open = json!({"not_rule": {"or_rules": {"rules": [
        path(&json!({"exact": "/healthz"})), path(&json!({"prefix": "/public/"})),
        path(&json!({"suffix": ".css"})),
    ]}}});
    let admin = path(&json!({"prefix": "/admin/"}));
    let no_admin = json!({"not_id": claim(&["realm", "roles"], &element("admin"))});
    let without_a_token = policy(
        "DENY",
        json!([{
            "from": [{"source": {"notRequestPrincipals": ["*"]}}],
            "to": [{"operation": {"notPaths": ["/healthz", "/public/*", "*.css"]}}],
        }]),
    );
    let without_the_role = policy(
        "DENY",
        json!([{
            "to": [{"operation": {"paths": ["/admin/*"]}}],
            "when": [{"key": "request.auth.claims[realm][roles]", "notValues": ["admin"]}],
        }]),
    );
    let get = method("GET");
    let alice = all_of(&json!([
        claim(&["iss"], &pattern(".+")),
        claim(&["sub"], &exact("alice"))
    ]));
    let issuer = all_of(&json!([
        claim(&["iss"], &exact(ISSUER)),
        claim(&["sub"], &pattern(".+"))
    ]));
    let scope = all_of(&json!([issuer, claim(&["scope"], &element("write"))]));
    let allow = policy(
        "ALLOW",
        json!([
            {
                "from": [{"source": {"requestPrincipals": [format!("{ISSUER}/*")]}}],
                "to": [{"operation": {"methods": ["GET"]}}],
            },
            {
                "from": [{"source": {"requestPrincipals": [format!("{ISSUER}/*")]}}],
                "to": [{"operation": {"methods": ["POST"], "notPaths": ["/public/*"]}}],
                "when": [{"key": "request.auth.claims[scope]", "values": ["write"]}],
            },
            {
                "from": [{"source": {"requestPrincipals": ["*/alice"]}}],
                "to": [{"operation": {"paths": ["/admin/*"]}}],
            },
            {"to": [{"operation": {"paths": ["/healthz"]}}]},
        ]),
    );
    let not_public = json!({"not_rule": path(&json!({"prefix": "/public/"}))});
    let allowing = rbac(
        "ALLOW",
        &[
            (get, issuer.clone()),
            (all_rules(&json!([method("POST"), not_public])), scope),
            (admin.clone(), alice),
            (path(&json!({"exact": "/healthz"})), json!({"any": true})),
        ],
    );
    let denying = rbac(
        "DENY",
        &[
            (open.clone(), no_principal.clone()),
            (admin.clone(), no_admin.clone()),
        ],
    );
    vec![
        Case {
            name: "refusing",
            policies: vec![without_a_token.clone(), without_the_role.clone()],
            filters: vec![denying.clone()],
        },
        Case {
            name: "allowing",
            policies: vec![allow.clone()],
            filters: vec![allowing.clone()],
        },
        Case {
            name: "both",
            policies: vec![without_the_role, allow, without_a_token],
            filters: vec![denying, allowing],
        },
        Case {
            name: "neither",
            policies: Vec::new(),
            filters: Vec::new(),
        },
    ]
}

fn rbac(action: &str, clauses: &[(Value, Value)]) -> Value {
    let policies = clauses.iter().enumerate();
    let policies = policies.map(|(index, (permission, principal))| {
        let policy = json!({"permissions": [permission], "principals": [principal]});
        (index.to_string(), policy)
    });
    let policies: serde_json::Map<_, _> = policies.collect();
    json!({
        "name": format!("rbac-{action}"),
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.rbac.v3.RBAC",
            "rules": {"action": action, "policies": policies},
        },
    })
}

fn path(matcher: &Value) -> Value {
    json!({"url_path": {"path": matcher}})
}

fn method(name: &str) -> Value {
    json!({"header": {"name": ":method", "string_match": {"exact": name}}})
}

fn all_rules(rules: &Value) -> Value {
    json!({"and_rules": {"rules": rules}})
}

fn all_of(principals: &Value) -> Value {
    json!({"and_ids": {"ids": principals}})
}

fn claim(names: &[&str], value: &Value) -> Value {
    let names = ["payload"].iter().chain(names);
    let path: Vec<_> = names.map(|name| json!({"key": name})).collect();
    json!({"sourced_metadata": {"metadata_matcher": {
        "filter": "envoy.filters.http.jwt_authn", "path": path, "value": value,
    }}})
}

fn exact(text: &str) -> Value {
    json!({"string_match": {"exact": text}})
}

fn pattern(pattern: &str) -> Value {
    json!({"string_match": {"safe_regex": {"regex": pattern}}})
}

/// In a list, or alone.
fn element(text: &str) -> Value {
    let alone = exact(text);
    json!({"or_match": {"value_matchers": [{"list_match": {"one_of": alone}}, alone]}})
}

/// Every caller at every path with every method.
fn requests() -> Vec<(String, Request)> {
    let token = || Token::signed_by("es256");
    let role = |roles: Value| token().claim("realm", json!({"roles": roles}));
    let callers = [
        ("no token", None),
        ("alice", Some(token())),
        // Of several roles none counts: that is told, since no matcher means a list and no text.
        ("an admin", Some(role(json!(["admin"])))),
        (
            "an admin by text",
            Some(role(json!("admin")).claim("sub", "bob")),
        ),
        ("a user", Some(role(json!(["user"])).claim("sub", "bob"))),
        (
            "a writer",
            Some(token().claim("sub", "bob").claim("scope", "read write")),
        ),
        (
            "a reader",
            Some(token().claim("sub", "bob").claim("scope", "read writers")),
        ),
        ("without a subject", Some(token().without_claim("sub"))),
        ("without an end", Some(token().without_claim("exp"))),
        ("expired", Some(token().expiring_in(-3600))),
        (
            "a forger",
            Some(Token::signed_by("es256-other").header("kid", "test-es256")),
        ),
        (
            "a stranger",
            Some(token().claim("iss", "https://stranger.example")),
        ),
    ];
    let other = token().claim("iss", "https://other.example");
    let paths = [
        "/",
        "/orders",
        "/orders?x=/healthz",
        "/healthz",
        "/healthz/x",
        "/public/x",
        "/public",
        "/admin/x",
        "/admin/x.css",
        "/a.css",
        "/public/a.css",
        "/Admin/x",
    ];
    let mut requests = Vec::new();
    for path in paths {
        for method in ["GET", "POST", "PUT"] {
            let request = Request::get(path).method(method);
            for (name, token) in &callers {
                let request = match token {
                    Some(token) => request.clone().bearer(token),
                    None => request.clone(),
                };
                requests.push((format!("{name}: {method} {path}"), request));
            }
            let request = request.header("x-other", other.to_string());
            requests.push((format!("another token: {method} {path}"), request));
        }
    }
    requests
}
