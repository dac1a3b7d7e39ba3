//! Requests that try to get past the token, or to look like somebody else without one.

use super::{Row, World, genuine};
use crate::support::{Request, Token, assert_refused};

pub(super) const ROWS: &[Row] = &[
    Row {
        id: 20,
        threat: "two `Authorization` headers, and several values in one",
        sources: "CVE-2020-25017, envoyproxy/envoy#12089, CVE-2025-64527",
        attack: two_headers,
    },
    Row {
        id: 21,
        threat: "different tokens in header, query and cookie",
        sources: "envoyproxy/envoy#12089",
        attack: several_places,
    },
    Row {
        id: 22,
        threat: "identity headers of one's own where no token is asked for",
        sources: "envoyproxy/envoy#46586, CVE-2026-44087",
        attack: own_identity,
    },
    Row {
        id: 23,
        threat: "identity headers spelt with `_`, `.`, capitals and the like, or made up",
        sources: "CVE-2026-54763, CVE-2026-88011, CVE-2026-33433, CVE-2015-0219, CVE-2026-3902",
        attack: aliases,
    },
    Row {
        id: 24,
        threat: "`Connection` names an identity header, so that a proxy drops it",
        sources: "CVE-2024-45410, CVE-2021-32813, CVE-2026-29054, CVE-2022-31813",
        attack: nominated_headers,
    },
    Row {
        id: 26,
        threat: "paths that rule and upstream read differently",
        sources: "CVE-2025-54576, CVE-2026-40575, CVE-2026-76835, CVE-2021-32779, CVE-2023-27487",
        attack: paths,
    },
    Row {
        id: 27,
        threat: "exemption by user agent or by method",
        sources: "CVE-2026-34457",
        attack: exemptions,
    },
    Row {
        id: 28,
        threat: "an optional token that is bad is as good as none",
        sources: "CVE-2021-21378",
        attack: optional_token,
    },
    Row {
        id: 29,
        threat: "requests that are made to crash the filter",
        sources: "CVE-2019-12995, CVE-2021-43824, CVE-2024-45809, CVE-2025-64527",
        attack: crafted,
    },
    Row {
        id: 43,
        threat: "a rule for a host that no request seems to be for",
        sources: "Envoy keeps `Host` as `:authority`",
        attack: hosts,
    },
];

/// A token of the attacker's own making.
fn forged() -> String {
    let token = Token::signed_by("es256-other").header("kid", "test-es256");
    token.claim("sub", "admin").into()
}

fn two_headers(world: &mut World) {
    let genuine = genuine().to_string();
    let api = || Request::get("/api");
    let joined = |first: &str, second: &str| {
        api().header("authorization", format!("Bearer {first}, Bearer {second}"))
    };
    for request in [
        api().bearer(&genuine).bearer(forged()),
        api().bearer(forged()).bearer(&genuine),
        joined(&genuine, &forged()),
        joined(&forged(), &genuine),
        api().bearer(&genuine).header("authorization", "Basic YTpi"),
    ] {
        world.refused(&request, 400, "token_ambiguous");
    }
    for value in [
        format!("Basic {genuine}"),
        format!("x Bearer {genuine}"),
        genuine.clone(),
    ] {
        world.refused(&api().header("authorization", value), 401, "token_missing");
    }
}

fn several_places(world: &mut World) {
    let genuine = genuine().to_string();
    let everywhere = |header: &str, query: &str, cookie: &str| {
        Request::get(format!("/api?a=1&token={query}&b=2"))
            .bearer(header)
            .header("cookie", format!("a=1; token={cookie}"))
    };
    let other = forged();
    for request in [
        everywhere(&genuine, &genuine, &other),
        everywhere(&genuine, &other, &genuine),
        everywhere(&other, &genuine, &genuine),
        Request::get(format!("/api?token={genuine}&token={other}")),
        Request::get(format!("/api?token={other}&token={genuine}")),
        Request::get(format!("/api?tok%65n={genuine}&token={other}")),
        Request::get("/api").header("cookie", format!("token={genuine}; token={other}")),
    ] {
        world.refused(&request, 400, "token_ambiguous");
    }
    // One token in all the places: none of the copies goes on.
    let reply = world.send(&everywhere(&genuine, &genuine, &genuine));
    assert_eq!(reply.status, 200, "{reply:?}");
    let (_, signature) = genuine.rsplit_once('.').unwrap();
    assert!(!reply.body.contains(signature), "{}", reply.body);
    assert_eq!(reply.json()["path"], "/api?a=1&b=2");
}

/// Headers by which the upstream knows the caller, as an attacker would have them.
const OWN: [(&str, &str); 5] = [
    ("x-user-id", "admin"),
    ("x-email", "admin@example.com"),
    ("x-session-subject", "admin"),
    ("x-session-id", "s-1"),
    ("x-session-scope", "admin"),
];

fn with_own_identity(request: Request) -> Request {
    let mut request = request;
    for (name, value) in OWN {
        request = request.header(name, value);
    }
    request
}

fn own_identity(world: &mut World) {
    let preflight = Request::get("/api").method("OPTIONS");
    let preflight = preflight.header("origin", "https://evil.example");
    let preflight = preflight.header("access-control-request-method", "GET");
    for request in [
        Request::get("/public"),
        Request::get("/public").bearer(genuine()),
        Request::get("/optional"),
        preflight,
    ] {
        let forwarded = world.forwarded(&with_own_identity(request));
        for (name, _) in OWN {
            assert_eq!(forwarded.header(name), None, "{name}");
        }
    }
    let forwarded = world.forwarded(&with_own_identity(Request::get("/api").bearer(genuine())));
    assert_eq!(forwarded.header("x-user-id"), Some("alice"));
    assert_eq!(forwarded.header("x-session-subject"), Some("alice"));
    for absent in ["x-email", "x-session-id", "x-session-scope"] {
        assert_eq!(forwarded.header(absent), None, "{absent}");
    }
}

fn aliases(world: &mut World) {
    for name in [
        "x_user_id",
        "X_User_Id",
        "x.user.id",
        "x-user_id",
        "X-USER-ID",
        "x_session.subject",
        "x!session!subject",
        "x+session+subject",
        "x~user~id",
        "x-session-role",
        "x_session_admin",
    ] {
        for request in [
            Request::get("/public"),
            Request::get("/optional"),
            Request::get("/api").bearer(genuine()),
        ] {
            let forwarded = world.forwarded(&request.header(name, "admin"));
            let is_admin = |(_, value): &&(String, String)| value == "admin";
            assert_eq!(forwarded.headers.iter().find(is_admin), None, "{name}");
        }
    }
}

fn nominated_headers(world: &mut World) {
    for value in [
        "x-user-id",
        "close, x-user-id, x-session-subject",
        "X-User-Id",
    ] {
        let request = Request::get("/api").bearer(genuine());
        let reply = world.send(&request.header("connection", value));
        // Envoy closes the connection where it was asked to.
        world.client = world.envoy.client();
        if reply.status == 200 {
            let forwarded = reply.forwarded();
            assert_eq!(forwarded.header("x-user-id"), Some("alice"), "{value}");
            assert_eq!(
                forwarded.header("x-session-subject"),
                Some("alice"),
                "{value}"
            );
        } else {
            assert_eq!(reply.status, 400, "{value}");
        }
    }
    // The token itself: then there is none.
    let request = Request::get("/api").bearer(genuine());
    let reply = world.send(&request.header("connection", "authorization"));
    world.client = world.envoy.client();
    assert!(matches!(reply.status, 400 | 401 | 200), "{reply:?}");
}

fn paths(world: &mut World) {
    for path in [
        "/public/../api",
        "/public/%2e%2e/api",
        "/public/.%2E/api",
        "/public/..%2fapi",
        "/public/%2e%2e%2fapi",
        "/public/..;/api",
        "/public/;/../api",
        "/public\\..\\api",
        "/public/..%5capi",
        "/public%2f..%2fapi",
        "/public/./../api",
        "/public//../api",
        "/public/%252e%252e/api",
        "/public/%00/../../api",
        "/public/../api/..;/public/x",
        "/public/../api//../public/x",
        "/public/%2e%2e/api/%252e%252e/public/x",
        "/public/..%2fapi/x;a=%252f%252e%252e%252f%252e%252e%252fpublic%252fx",
        "/api/../public",
        "//api",
        "/./api",
        "/%61pi",
    ] {
        world.refused(&Request::get(path), 400, "path_ambiguous");
    }
    for path in [
        "/api;/public",
        "/api/..;x=/../api",
        "/api?/public",
        "/api?x=/public/",
        "/api%00",
        "http://api.example/api",
    ] {
        world.refused(&Request::get(path), 401, "token_missing");
    }
    world.refused(&Request::get("/API"), 403, "no_rule");
    // Envoy itself refuses a fragment.
    let reply = world.send(&Request::get("/api#/public"));
    assert_eq!(reply.status, 400, "{reply:?}");
    world.client = world.envoy.client();
    for name in [
        "x-envoy-original-path",
        "x-original-url",
        "x-rewrite-url",
        "x-forwarded-uri",
    ] {
        let request = Request::get("/api").header(name, "/public");
        world.refused(&request, 401, "token_missing");
    }
}

fn exemptions(world: &mut World) {
    let api = || Request::get("/api");
    for request in [
        api().header("user-agent", "kube-probe/1.31"),
        api().header("user-agent", "GoogleHC/1.0"),
        api().header("x-forwarded-for", "127.0.0.1"),
        api().method("OPTIONS"),
        api()
            .method("OPTIONS")
            .header("origin", "https://a.example"),
        api()
            .method("OPTIONS")
            .header("access-control-request-method", "GET"),
        api()
            .method("OPTIONS")
            .header("origin", "")
            .header("access-control-request-method", ""),
        api()
            .method("HEAD")
            .header("x-http-method-override", "OPTIONS"),
        api()
            .header("origin", "https://a.example")
            .header("access-control-request-method", "GET"),
        api().method("TRACE"),
        api().method("options"),
    ] {
        let reply = world.client.try_send(&request);
        let status = reply.map_or(400, |reply| reply.status);
        assert!(
            matches!(status, 400 | 401 | 403 | 405),
            "{request}: {status}"
        );
        world.client = world.envoy.client();
    }
}

fn optional_token(world: &mut World) {
    let optional = |token: String| Request::get("/optional").bearer(token);
    let forwarded = world.forwarded(&Request::get("/optional"));
    assert_eq!(forwarded.header("x-user-id"), None);
    for (token, code) in [
        (forged(), "signature_invalid"),
        (genuine().expiring_in(-1000).into(), "token_expired"),
        ("rubbish".to_owned(), "token_malformed"),
        (genuine().header("alg", "none").into(), "signature_invalid"),
        (
            genuine().claim("iss", "https://evil.example").into(),
            "signature_invalid",
        ),
    ] {
        world.refused(&optional(token), 401, code);
    }
    let reply = world.send(&optional(genuine().claim("aud", "other").into()));
    assert_refused(&reply, 403, "audience_mismatch");
}

fn crafted(world: &mut World) {
    let token = genuine().to_string();
    let mut many = Request::get("/api").bearer(&token);
    for place in 0..90 {
        many = many.header(format!("x-session-{place}"), "x".repeat(100));
    }
    for request in [
        many,
        Request::get("api.example:443").method("CONNECT"),
        Request::get("/").method("CONNECT"),
        Request::get("*").method("OPTIONS"),
        Request::get("").bearer(&token),
        Request::get("/api".to_owned() + &"/x".repeat(10_000)),
        Request::get("/api?".to_owned() + &"&".repeat(20_000)),
        Request::get("/api?".to_owned() + &"token=".repeat(3_000)),
        Request::get("/api").header("cookie", ";".repeat(20_000)),
        Request::get("/api").header("cookie", "token=\"".repeat(2_000)),
        Request::get("/api").header("cookie", "token=\""),
        Request::get("/api?token=%"),
        Request::get("/api?token=%f"),
        Request::get("/api?%74oken=%ff%fe"),
        Request::get("/api").header("authorization", ",".repeat(20_000)),
        Request::get("/api").header("authorization", b"Bearer \xff\xfe\x80"),
        Request::get("/api").header(b"x-\xff", b"\xff"),
        Request::get("/api").header("", "x"),
        Request::get("/api").header("accept", "*/*;q=".repeat(3_000)),
        Request::get("/api").header("content-type", "application/grpc"),
        Request::get("/api").header("transfer-encoding", "chunked, identity"),
        Request::post("/api", "{".repeat(100_000)),
    ] {
        let reply = world.client.try_send(&request);
        if let Ok(reply) = reply {
            let is_forwarded = reply.status == 200 && reply.body.contains("\"headers\"");
            let had_token = request.to_string().contains(&token[..40]);
            assert!(!is_forwarded || had_token, "{reply:?}");
        }
        world.client = world.envoy.client();
    }
}

fn hosts(world: &mut World) {
    let hosted = || Request::get("/hosted");
    for request in [
        hosted().to_host("admin.example"),
        Request::get("http://admin.example/hosted"),
        Request::get("http://admin.example/hosted").to_host("admin.example"),
    ] {
        world.refused(&request, 401, "token_missing");
        world.forwarded(&request.bearer(genuine()));
    }
    world.forwarded(&hosted());
}
