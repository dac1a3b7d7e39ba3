//! Rules match paths, and a path has many spellings. Envoy's own normalisation is off here.

use serde_json::json;

use crate::support::{Envoy, Request, Token, assert_refused, configuration};

#[test]
fn no_spelling_of_a_guarded_path_leads_past_its_rule() {
    let mut configuration = configuration();
    configuration["rules"] = json!([
        {"match": {"prefix": "/public"}},
        {"match": {"prefix": "/"}, "requires": {"provider_name": "demo"}},
    ]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    for path in [
        "/public/../admin",
        "/public/..",
        "/public/../",
        "/public/./../admin",
        "/public//../admin",
        "/public/x/../../admin",
        "/./public/../admin",
        "/public/%2e%2e/admin",
        "/public/%2E./admin",
        "/public/..%2fadmin",
        "/public%2f..%2fadmin",
        "/public/%252e%252e/admin",
        "/public/%25252e%25252e/admin",
        "/public/..;/admin",
        "/public/..;a=b/admin",
        "/public/%2e%2e%3b/admin",
        "/public/..\\admin",
        "/public\\..\\admin",
        "/public/..%5cadmin",
        "/public/..%00/../../admin",
        "/public/../admin/..;/public/x",
        "/public/../admin//../public/x",
        "/public/%2e%2e/admin/%252e%252e/public/x",
        "/public/..%2fadmin/users;a=%252f%252e%252e%252f%252e%252e%252fpublic%252fx",
        "/public/%2e%2e;%2f..%2fpublic/admin",
        "/public/%2e%2e/admin/%2e%2e/../public/x",
        "/public/../admin%00/../../public/x",
        "/public/../admin%3f/../../public/x",
        "/public/%2525252541",
        "/public/..%20/admin",
        "/public/%20..%20/admin",
        "/public/.%09./admin",
        "/public/.%0a./admin",
        "/public/%c0%ae%c0%ae/admin",
        "/public/%u002e%u002e/admin",
        "/public/..%ef%bc%8fadmin",
        "/public/..%ef%bc%bcadmin",
        "/public/%ef%bc%8e%ef%bc%8e/admin",
        "/public/..%c2%a0/admin",
        "/public/.../admin",
        "/public/%e2%80%a5/admin",
        "/public/%2500/x",
        "/public/caf%e9",
        "/public/../admin?x=/public",
        "/public/../admin#/public",
        "/admin/../public",
        "/admin/%2e%2e/public",
        "//public/../admin",
        "http://api.example/public/../admin",
        "http://api.example/admin",
        "/admin",
        "/",
    ] {
        let reply = client.send(&Request::get(path));
        assert!(
            matches!(reply.status, 400 | 401),
            "{path} without a token: {reply:?}"
        );
    }
    let token = Token::signed_by("es256");
    let reply = client.send(&Request::get("/public/../admin").bearer(&token));
    assert_refused(&reply, 400, "path_ambiguous");
    assert_eq!(
        client.send(&Request::get("/admin").bearer(&token)).status,
        200
    );
}

#[test]
fn no_spelling_of_a_path_leads_past_a_rule_before_an_open_one() {
    let mut configuration = configuration();
    configuration["rules"] = json!([
        {"match": {"prefix": "/admin"}, "requires": {"provider_name": "demo"}},
        {"match": {"path": "/metrics"}, "requires": {"provider_name": "demo"}},
        {"match": {"prefix": "/"}},
    ]);
    let envoy = Envoy::with(&configuration);
    let mut client = envoy.client();
    for path in [
        "/admin",
        "/admin/x",
        "//admin",
        "///admin/x",
        "/./admin",
        "/x/../admin",
        "/x/../../admin",
        "/%61dmin",
        "/%2561dmin",
        "/%2fadmin",
        "/;x/admin",
        "/x/..;/admin",
        "\\admin",
        "/\\admin",
        "/metrics",
        "/metrics?x",
        "/metrics;x",
        "/metrics.",
        "/metrics%20",
        "/%20metrics",
        "/%ef%bc%8d/../metrics",
        "/%ef%bd%8detrics",
        "/%ef%bd%81dmin",
        "/admin%c2%a0",
        "/metrics%00",
        "/%6detrics",
        "//metrics",
        "/x/../metrics",
        "/./metrics",
        "http://api.example//admin",
    ] {
        let reply = client.try_send(&Request::get(path));
        let status = reply.map(|reply| reply.status);
        assert!(
            matches!(status, Ok(400 | 401)),
            "{path} without a token: {status:?}"
        );
    }
}

#[test]
fn unusual_spellings_that_stay_under_their_rule_are_no_bypass() {
    let envoy = Envoy::with(&configuration());
    let mut client = envoy.client();
    for path in [
        "/public/a%20b",
        "/public/.well-known/x",
        "/public/a;b=c",
        "/public//x",
        "/public/./x",
        "/public/x/../y",
        "/public/%41?next=/../api",
        "/public/100%",
        "/public/caf%C3%A9",
        "/public/%25252541",
        "/public/a%3fb",
        "/public/wait%e2%80%a6/%e3%80%82",
        "/public/v1./a%20b%20",
        "/public/100%25us",
    ] {
        let reply = client.send(&Request::get(path));
        assert_eq!(reply.status, 200, "{path}: {reply:?}");
        assert_eq!(reply.json()["path"], path);
    }
}

#[test]
fn a_request_without_an_ordinary_path_needs_more_than_nothing() {
    let mut configuration = configuration();
    configuration["rules"] = json!([{"match": {"prefix": "/public"}}]);
    let envoy = Envoy::with(&configuration);
    for (method, target) in [
        ("OPTIONS", "*"),
        ("CONNECT", "api.example:443"),
        ("CONNECT", "/public"),
        ("GET", "public"),
        ("GET", "?/public"),
        ("GET", "http://api.example"),
        ("GET", "http://public/"),
        ("GET", ""),
    ] {
        let request = Request::get(target).method(method);
        let status = envoy.client().try_send(&request).map(|reply| reply.status);
        assert!(
            !matches!(status, Ok(200..400)),
            "{method} {target}: {status:?}"
        );
    }
}
