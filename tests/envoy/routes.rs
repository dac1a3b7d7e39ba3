//! Requirements that the route chooses: Envoy chooses the route, and the gate asks Envoy which one
//! it is.

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, Listener, Plugin, Request, Token, assert_refused, configuration,
};

/// `open` and `guarded` by the names of routes and by their metadata; the rules, which guard
/// everything but `/public`, count for the rest.
fn envoy(routes: &[Value]) -> Envoy {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    configuration["requirement_map"] = json!({
        "open": {},
        "token": {"provider_name": "demo"},
    });
    configuration["requirement_by_route_name"] = json!({"open": "open", "guarded": "token"});
    configuration["requirement_from_route_metadata"] = json!(true);
    let provider = &mut configuration["providers"]["demo"];
    provider["claim_to_headers"] = json!([{"header_name": "x-user-id", "claim_name": "sub"}]);
    let listener = Listener::portcullis(Plugin::new(&configuration)).with_first_routes(routes);
    Envoy::start(&Bootstrap::new([listener]))
}

fn named(name: &str, matches: &Value) -> Value {
    let mut route = to_upstream(name, matches);
    route["name"] = name.into();
    route
}

fn with_metadata(requirement: &str, matches: &Value) -> Value {
    let mut route = to_upstream(requirement, matches);
    route["metadata"]["filter_metadata"]["portcullis"]["requirement_name"] = requirement.into();
    route
}

/// The upstream sees which route it was, in `x-route`.
fn to_upstream(name: &str, matches: &Value) -> Value {
    json!({
        "match": matches,
        "route": {"cluster": "upstream"},
        "request_headers_to_add": [{"header": {"key": "x-route", "value": name}}],
    })
}

/// What a template leaves where its value is missing, and a key that is misspelt, must not make the
/// route choose nothing: the rule would be the one for other requests.
#[test]
fn a_route_whose_metadata_name_no_requirement_that_can_be_read_refuses() {
    let named = |name: Value| json!({"requirement_name": name});
    let metadata = [
        named(json!(null)),
        named(json!(true)),
        named(json!(7)),
        named(json!("")),
        named(json!({})),
        named(json!(["open"])),
        json!({"requirement": "open"}),
        json!({}),
    ];
    let routes = metadata.iter().enumerate().map(|(index, metadata)| {
        let mut route = to_upstream("odd", &json!({"path": format!("/public/{index}")}));
        route["metadata"]["filter_metadata"]["portcullis"] = metadata.clone();
        route
    });
    let mut others = to_upstream("others", &json!({"path": "/public/others"}));
    others["metadata"]["filter_metadata"]["others"] = named(json!(null));
    let routes: Vec<_> = routes.chain([others]).collect();
    let envoy = envoy(&routes);
    let mut client = envoy.client();
    for (index, metadata) in metadata.iter().enumerate() {
        let reply = client.send(&Request::get(format!("/public/{index}")));
        assert_eq!(reply.status, 403, "{metadata}");
    }
    for path in ["/public/others", "/public/without-any"] {
        assert_eq!(client.send(&Request::get(path)).status, 200, "{path}");
    }
}

#[test]
fn a_route_chooses_by_its_name_or_its_metadata() {
    let envoy = envoy(&[
        named("open", &json!({"prefix": "/api/open"})),
        named("guarded", &json!({"prefix": "/public/guarded"})),
        named("Open", &json!({"prefix": "/api/capital"})),
        with_metadata("open", &json!({"prefix": "/api/by-metadata"})),
        with_metadata("token", &json!({"prefix": "/public/by-metadata"})),
        with_metadata("opne", &json!({"prefix": "/public/misspelt"})),
    ]);
    let mut client = envoy.client();
    for path in ["/api/open", "/api/by-metadata", "/public/by-rule"] {
        assert_eq!(client.send(&Request::get(path)).status, 200, "{path}");
    }
    for path in [
        "/public/guarded",
        "/public/by-metadata",
        "/api/capital",
        "/api/by-rule",
    ] {
        let request = Request::get(path);
        assert_refused(&client.send(&request), 401, "token_missing");
        let request = request.bearer(Token::signed_by("es256"));
        let forwarded = client.send(&request).forwarded();
        assert_eq!(forwarded.header("x-session-subject"), Some("alice"));
    }
    let genuine = Request::get("/public/misspelt").bearer(Token::signed_by("es256"));
    assert_refused(&client.send(&genuine), 403, "no_rule");
}

/// Envoy has chosen the route before the header is taken off, and chooses another one after it.
#[test]
fn a_header_that_the_gate_takes_off_chooses_no_requirement() {
    let by_user = json!({
        "prefix": "/api", "headers": [{"name": "x-user-id", "present_match": true}],
    });
    let api = json!({"prefix": "/api"});
    let by_name = [named("open", &by_user), named("guarded", &api)];
    let by_metadata = [
        with_metadata("open", &by_user),
        with_metadata("token", &api),
    ];
    for routes in [by_name, by_metadata] {
        let envoy = envoy(&routes);
        let mut client = envoy.client();
        let api = || Request::get("/api/x");
        assert_refused(&client.send(&api()), 401, "token_missing");
        for spelling in ["x-user-id", "X-User-Id", "x_user_id"] {
            let spoofed = api().header(spelling, "mallory");
            assert_refused(&client.send(&spoofed), 403, "no_rule");
            let genuine = spoofed.bearer(Token::signed_by("es256"));
            assert_refused(&client.send(&genuine), 403, "no_rule");
        }
        let genuine = api().bearer(Token::signed_by("es256"));
        let forwarded = client.send(&genuine).forwarded();
        assert_eq!(forwarded.header("x-user-id"), Some("alice"));
        // What the gate has put there chooses: no such route may match by it.
        assert_eq!(forwarded.header("x-route"), Some("open"));
    }
}

#[test]
fn no_path_climbs_out_of_an_open_route() {
    let envoy = envoy(&[named("open", &json!({"prefix": "/open"}))]);
    let mut client = envoy.client();
    for path in ["/open", "/open/a%20b", "/open//x"] {
        assert_eq!(client.send(&Request::get(path)).status, 200, "{path}");
    }
    for path in ["/open/../api", "/open/%2e%2e/api", "/open/..;/api"] {
        assert_refused(&client.send(&Request::get(path)), 400, "path_ambiguous");
    }
}
