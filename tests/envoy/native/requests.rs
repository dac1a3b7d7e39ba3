//! The requests that both filters are given, each with the name that [`super::deviations`] refers
//! to.

use serde_json::{Value, json};

use super::Requests;
use crate::support::{Request, Token};

/// The guarded path.
pub(super) fn api() -> Request {
    Request::get("/api")
}

pub(super) fn genuine() -> Token {
    Token::signed_by("es256")
}

pub(super) fn for_rules() -> Requests {
    let get = |path| Request::get(path);
    vec![
        ("an open path", get("/public")),
        (
            "an open path with a token",
            get("/public").bearer(genuine()),
        ),
        (
            "an open path with rubbish for a token",
            get("/public").bearer("abc"),
        ),
        ("a path that begins like an open one", get("/publicity")),
        ("a guarded path without a token", api()),
        ("a guarded path with a token", api().bearer(genuine())),
        ("a path that begins like a guarded one", get("/apiary")),
        ("a guarded path in capitals", get("/API")),
        ("an exact path", get("/exact")),
        ("an exact path with a query", get("/exact?x=y")),
        (
            "an exact path with a query and a token",
            get("/exact?x=y").bearer(genuine()),
        ),
        ("more than an exact path", get("/exact/more")),
        ("an empty requirement", get("/empty")),
        ("no rule", get("/other")),
        ("no rule, with a token", get("/other").bearer(genuine())),
        ("a body without a token", Request::post("/api", "body")),
        (
            "a body with a token",
            Request::post("/api", "body").bearer(genuine()),
        ),
        ("a preflight request", {
            let preflight = api()
                .method("OPTIONS")
                .header("origin", "https://app.example");
            preflight.header("access-control-request-method", "POST")
        }),
        ("out of an open path with ..", get("/public/../api")),
        ("out of an open path with %2e%2e", get("/public/%2e%2e/api")),
        ("out of an open path with a blank", get("/public/..%20/api")),
        ("a path that is no UTF-8", get("/public/caf%e9")),
        (
            "a path with a full-width solidus",
            get("/public/a%ef%bc%8fb"),
        ),
        (
            "around a guarded path with //",
            get("//api").bearer(genuine()),
        ),
    ]
}

pub(super) fn for_hosts() -> Requests {
    let to = |host, path| Request::get(path).for_host(host);
    vec![
        ("to the host", to("admin.example", "/host")),
        ("to the host with a token", {
            to("admin.example", "/host").bearer(genuine())
        }),
        ("to another host", to("open.example", "/host")),
        ("to the host with a port", to("admin.example:80", "/host")),
        ("to the host in capitals", to("ADMIN.example", "/host")),
        ("in capitals, to the host", to("admin.example", "/capitals")),
        ("as :authority, to the host", {
            to("admin.example", "/authority")
        }),
        ("inverted, to the host", to("admin.example", "/inverted")),
        ("inverted, to another", to("open.example", "/inverted")),
        ("inverted or absent, to the host", {
            to("admin.example", "/inverted-or-absent")
        }),
        ("inverted or absent, to another", {
            to("open.example", "/inverted-or-absent")
        }),
        ("present", to("open.example", "/present")),
        ("absent", to("open.example", "/absent")),
        ("by its end, to the host", {
            to("admin.example", "/deprecated")
        }),
        ("by its end, to another", to("open.example", "/deprecated")),
        ("two hosts, the guarded one first", {
            to("admin.example", "/host").header("host", "open.example")
        }),
        ("two hosts, the guarded one last", {
            to("open.example", "/host").header("host", "admin.example")
        }),
        ("the host in the target", {
            to("open.example", "http://admin.example/host")
        }),
    ]
}

pub(super) fn for_patterns() -> Requests {
    let file = |length: usize| Request::get(format!("/files/{}", "a".repeat(length)));
    vec![
        ("a path of 8,000 bytes", file(8_000)),
        (
            "a path of 8,000 bytes with a token",
            file(8_000).bearer(genuine()),
        ),
        ("a path of 9,000 bytes", file(9_000)),
        (
            "a path of 9,000 bytes with a token",
            file(9_000).bearer(genuine()),
        ),
        ("a header of 9,000 bytes", {
            Request::get("/kinds").header("x-kind", "a".repeat(9_000))
        }),
        (
            "a query of 9,000 bytes",
            Request::get(format!("/files/b?{}", "a".repeat(9_000))),
        ),
        ("an odd path of 5,000 bytes", {
            Request::get(format!("/files/%20/{}", "b".repeat(5_000)))
        }),
    ]
}

pub(super) fn at_the_default_location() -> Requests {
    let text = genuine().to_string();
    let authorization = |value: String| api().header("authorization", value);
    vec![
        ("Bearer", authorization(format!("Bearer {text}"))),
        ("bearer", authorization(format!("bearer {text}"))),
        ("two blanks", authorization(format!("Bearer  {text}"))),
        (
            "a blank at the end",
            authorization(format!("Bearer {text} ")),
        ),
        ("no blank", authorization(format!("Bearer{text}"))),
        ("no scheme", authorization(text.clone())),
        ("another scheme", authorization("Basic YTpi".to_owned())),
        ("Bearer and nothing", authorization("Bearer".to_owned())),
        (
            "Bearer within a word",
            authorization(format!("XBearer {text}")),
        ),
        (
            "Bearer in second position",
            authorization(format!("Basic YTpi, Bearer {text}")),
        ),
        (
            "more after the token",
            authorization(format!("Bearer {text}, Basic YTpi")),
        ),
        (
            "two headers, genuine first",
            api().bearer(&text).bearer("abc"),
        ),
        (
            "two headers, genuine last",
            api().bearer("abc").bearer(&text),
        ),
        ("the same header twice", api().bearer(&text).bearer(&text)),
        (
            "another scheme twice",
            authorization("Basic YTpi, Basic YTpi".to_owned()),
        ),
        (
            "in the query",
            Request::get(format!("/api?access_token={text}")),
        ),
        ("in another header", api().header("x-token", &text)),
        (
            "in a cookie",
            api().header("cookie", format!("access_token={text}")),
        ),
    ]
}

pub(super) fn at_named_locations() -> Requests {
    let text = genuine().to_string();
    let other = Token::signed_by("rs256").to_string();
    let own = |value: &str| api().header("x-token", value);
    let prefixed = |value: String| api().header("x-prefixed", value);
    vec![
        ("nowhere", api()),
        ("without a prefix", own(&text)),
        ("with a prefix", prefixed(format!("jwt={text}"))),
        (
            "with another scheme",
            api().header("authorization", format!("Token {text}")),
        ),
        ("Bearer", api().bearer(&text)),
        (
            "in the query",
            Request::get(format!("/api?access_token={text}")),
        ),
        ("an empty header", own("")),
        ("rubbish", own("abc")),
        (
            "no prefix where there should be one",
            prefixed(text.clone()),
        ),
        (
            "blanks behind the prefix",
            prefixed(format!("jwt=  {text}")),
        ),
        ("the prefix in capitals", prefixed(format!("JWT={text}"))),
        (
            "the prefix in second position",
            prefixed(format!("a=b jwt={text}")),
        ),
        ("the prefix in quotes", prefixed(format!("jwt=\"{text}"))),
        ("the same token in two locations", {
            own(&text).header("x-prefixed", format!("jwt={text}"))
        }),
        ("the same token with the scheme in another case", {
            own(&text).header("authorization", format!("token {text}"))
        }),
        (
            "two genuine tokens",
            own(&text).header("x-prefixed", format!("jwt={other}")),
        ),
        ("a genuine token and rubbish", {
            own(&text).header("x-prefixed", "jwt=abc")
        }),
        (
            "a genuine token and another scheme",
            own(&text).header("authorization", "Basic YTpi"),
        ),
        ("a genuine token and no prefix where there should be one", {
            own(&text).header("x-prefixed", "abc")
        }),
    ]
}

pub(super) fn with_claims() -> Requests {
    let claim =
        |name, claim: &str, value: Value| (name, api().bearer(genuine().claim(claim, value)));
    vec![
        ("a string", api().bearer(genuine())),
        ("no string", api().bearer(genuine().without_claim("sub"))),
        claim("an empty string", "sub", json!("")),
        claim("letters that are not ASCII", "sub", json!("José 日本")),
        claim("a comma and quotes", "sub", json!("O'Neil, \"Bob\"; x=\\")),
        claim("a blank within", "sub", json!("Alice B. Smith")),
        claim("nested", "account", json!({"plan": {"name": "gold"}})),
        claim(
            "nested, with the last name absent",
            "account",
            json!({"plan": {}}),
        ),
        claim("a list", "groups", json!(["a", "b"])),
        claim("a list of objects", "groups", json!([{"a": 1}, null, true])),
        claim("an empty list", "groups", json!([])),
        claim("text for a list", "groups", json!("a")),
        claim("true", "flag", json!(true)),
        claim("false", "flag", json!(false)),
        claim("null", "flag", json!(null)),
        claim("a number", "number", json!(42)),
        claim("zero", "number", json!(0)),
        claim("a negative number", "number", json!(-7)),
        claim("a number with a fraction", "number", json!(1.5)),
        claim(
            "a number of 16 digits",
            "number",
            json!(9_007_199_254_740_993_u64),
        ),
        claim(
            "a large number in a list",
            "groups",
            json!([9_007_199_254_740_993_u64]),
        ),
        claim("a line break", "sub", json!("alice\r\nx-admin: 1")),
        claim("a blank at the beginning", "sub", json!(" alice")),
        claim("a blank at the end", "sub", json!("alice ")),
        claim("a mark of direction", "sub", json!("a\u{202e}ecila")),
        claim("a line separator of Unicode", "sub", json!("alice\u{2028}")),
        claim("a string of 9000 bytes", "sub", json!("a".repeat(9000))),
    ]
}

pub(super) fn with_spoofed_headers() -> Requests {
    let spoofed = |path, name| Request::get(path).bearer(genuine()).header(name, "mallory");
    vec![
        ("a header that is filled", spoofed("/api", "x-user")),
        ("a header that is not filled", spoofed("/api", "x-plan")),
        ("another spelling", spoofed("/api", "X-USER")),
        ("twice", spoofed("/api", "x-user").header("x-user", "root")),
        ("an alias", spoofed("/api", "x_user")),
        ("an alias with a dot", spoofed("/api", "x.user")),
        ("an alias with another sign", spoofed("/api", "x!user")),
        ("on an open path", spoofed("/public", "x-user")),
        (
            "on a path with an empty requirement",
            spoofed("/empty", "x-user"),
        ),
        ("an alias on an open path", spoofed("/public", "x_user")),
        ("a header that only looks alike", spoofed("/api", "x-users")),
        (
            "nominated by Connection",
            api().bearer(genuine()).header("connection", "x-user"),
        ),
    ]
}

pub(super) fn of_two_providers() -> Requests {
    let first = || Token::signed_by("es256").claim("iss", "https://first.example");
    let second = || Token::signed_by("rs256").claim("iss", "https://second.example");
    let get = |path, token: Token| Request::get(path).bearer(token);
    vec![
        ("the first provider's token", get("/first", first())),
        ("the second provider's token", get("/second", second())),
        (
            "the second provider's token at the first",
            get("/first", second()),
        ),
        (
            "the first provider's token at the second",
            get("/second", first()),
        ),
        ("the first provider's key for the second", {
            get("/second", first().claim("iss", "https://second.example"))
        }),
        ("neither", Request::get("/first")),
        (
            "the other provider's header",
            get("/first", first()).header("x-second", "mallory"),
        ),
        ("both headers on an open path", {
            let open = Request::get("/").header("x-first", "mallory");
            open.header("x-second", "mallory")
        }),
    ]
}

pub(super) fn of_one() -> Requests {
    vec![("a token", api().bearer(genuine()))]
}

pub(super) fn for_routes() -> Requests {
    let by_user = || Request::get("/api/by-user");
    vec![
        (
            "a route that the claim chooses",
            by_user().bearer(genuine()),
        ),
        (
            "a route that the client would choose",
            by_user()
                .bearer(genuine().without_claim("sub"))
                .header("x-user", "mallory"),
        ),
    ]
}

pub(super) fn without_a_path() -> Requests {
    vec![("CONNECT", Request::get("api.example:443").method("CONNECT"))]
}
