//! Requests that try to get past the token, or to pose as another caller without one.

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
        attack: several_locations,
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
    Row {
        id: 44,
        threat: "a token in a spelling of its location that only the upstream reads",
        sources: "CVE-2023-23934, CVE-2020-7070, ASP.NET, PHP and Python's `http.cookies`",
        attack: spellings,
    },
    Row {
        id: 45,
        threat: "a token in the query, where only the upstream looks for one",
        sources: "RFC 6750 section 2.3, RFC 9700 section 4.3.2",
        attack: token_in_the_query,
    },
    Row {
        id: 46,
        threat: "paths and headers that are made to keep a pattern busy",
        sources: "OWASP API4:2023",
        attack: long_texts,
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
        // The same twice as well: with `forward` the upstream would get a list of two.
        api().bearer(&genuine).bearer(&genuine),
        joined(&genuine, &genuine),
        api().header("authorization", format!("Bearer {genuine},")),
        api()
            .header("authorization", "Basic YTpi")
            .header("authorization", "Basic YTpi"),
        Request::get("/optional").header("authorization", "Negotiate, Basic YTpi"),
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

fn several_locations(world: &mut World) {
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
    // One token in every location: none of the copies goes on.
    let reply = world.send(&everywhere(&genuine, &genuine, &genuine));
    assert_eq!(reply.status, 200, "{reply:?}");
    let (_, signature) = genuine.rsplit_once('.').unwrap();
    assert!(!reply.body.contains(signature), "{}", reply.body);
    assert_eq!(reply.json()["path"], "/api?a=1&b=2");
}

/// Headers that tell the upstream who is calling, as an attacker would set them.
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
        let forwarded = world.forwarded(&request.header("connection", value));
        // Envoy closes the connection where it was asked to.
        world.client = world.envoy.client();
        for name in ["x-user-id", "x-session-subject"] {
            assert_eq!(forwarded.header(name), Some("alice"), "{value}");
        }
    }
    // The token itself: then there is none.
    let request = Request::get("/api").bearer(genuine());
    let reply = world.send(&request.header("connection", "authorization"));
    world.client = world.envoy.client();
    assert_eq!(reply.status, 401, "{reply:?}");
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
        "http://api.example/api",
    ] {
        world.refused(&Request::get(path), 401, "token_missing");
    }
    for odd in [
        "..%20/",
        ".%09./",
        ".%0a./",
        "%00/",
        "%7f/",
        "%c2%85/",
        "%c0%ae%c0%ae/",
        "%e0%80%af",
        "%ff/",
        "%25c0%25ae/",
        "%u002e%u002e/",
        "..%u2215",
        "..%ef%bc%8f",
        "..%ef%bc%bc",
        "%ef%bc%8e%ef%bc%8e/",
        "..%c2%a0/",
        ".%20./",
        ".../",
        "%e2%80%a5/",
        "..%e2%81%84",
        "%ef%bc%852e%2e/",
        ".%e2%80%8b./",
    ] {
        let path = format!("/public/{odd}api");
        world.refused(&Request::get(path), 400, "path_ambiguous");
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
    let options = || api().method("OPTIONS");
    for request in [
        api().header("user-agent", "kube-probe/1.31"),
        api().header("user-agent", "GoogleHC/1.0"),
        api().header("x-forwarded-for", "127.0.0.1"),
        options(),
        options().header("origin", "https://a.example"),
        options().header("access-control-request-method", "GET"),
        options()
            .header("origin", "")
            .header("access-control-request-method", ""),
        api()
            .header("origin", "https://a.example")
            .header("access-control-request-method", "GET"),
        api().method("TRACE"),
    ] {
        world.refused(&request, 401, "token_missing");
    }
    let head = api().method("HEAD");
    let reply = world.send(&head.header("x-http-method-override", "OPTIONS"));
    assert_eq!(reply.status, 401, "{reply:?}");
    // Envoy itself refuses a method that is not one.
    let reply = world.send(&api().method("options"));
    assert_eq!(reply.status, 400, "{reply:?}");
    world.client = world.envoy.client();
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
    for index in 0..90 {
        many = many.header(format!("x-session-{index}"), "x".repeat(100));
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
        hosted().for_host("admin.example"),
        Request::get("http://admin.example/hosted"),
        Request::get("http://admin.example/hosted").for_host("admin.example"),
    ] {
        world.refused(&request, 401, "token_missing");
        world.forwarded(&request.bearer(genuine()));
    }
    world.forwarded(&hosted());
}

/// On a path where the token is optional, and beside a genuine one.
fn spellings(world: &mut World) {
    let genuine = genuine().to_string();
    for name in [
        "%20token",
        "+token",
        "token[]",
        "token%5b%5d",
        "token%00",
        "TOKEN",
        "t%256fken",
        "[token]",
        "%5btoken%5d",
        "token]",
        "%c2%a0token",
        "a=1;token",
    ] {
        let with = |token: &str| Request::get(format!("/optional?b=2&{name}={token}"));
        world.refused(&with(&forged()), 401, "signature_invalid");
        world.refused(&with(&forged()).bearer(&genuine), 400, "token_ambiguous");
        let reply = world.send(&with(&genuine));
        let left = if name.starts_with("a=") {
            "/optional?b=2&a=1"
        } else {
            "/optional?b=2"
        };
        assert_eq!(reply.json()["path"], left, "{name}");
    }
    for name in [
        "token ",
        "token\t",
        "=token",
        "TOKEN",
        "%74oken",
        "token[]",
        "token[a]",
        "[token]",
        "\u{a0}token",
    ] {
        let with = |token: &str| {
            Request::get("/optional").header("cookie", format!("a=b; {name}={token}; c=d"))
        };
        world.refused(&with(&forged()), 401, "signature_invalid");
        world.refused(&with(&forged()).bearer(&genuine), 400, "token_ambiguous");
        let forwarded = world.forwarded(&with(&genuine));
        assert_eq!(forwarded.header("cookie"), Some("a=b; c=d"), "{name}");
    }
    for line in [
        "a=b token=",
        "a=b, token=",
        "a=b,token =",
        "a=b\u{a0}token=",
    ] {
        let request = Request::get("/optional").header("cookie", format!("{line}{}", forged()));
        world.refused(&request, 400, "token_ambiguous");
    }
    let value = format!("\u{a0}Bearer {}", forged());
    let request = Request::get("/optional").header("authorization", value);
    world.refused(&request, 401, "token_malformed");
}

fn token_in_the_query(world: &mut World) {
    let genuine = genuine().to_string();
    for name in [
        "access_token",
        "access%5Ftoken",
        "Access-Token",
        "access.token",
        "access_token[]",
        "a=1;access_token",
    ] {
        for path in ["/api", "/optional"] {
            for token in [&genuine, &forged()] {
                let request = Request::get(format!("{path}?{name}={token}"));
                world.refused(&request, 400, "token_in_query");
                world.refused(&request.bearer(&genuine), 400, "token_in_query");
            }
        }
        world.forwarded(&Request::get(format!("/public?{name}={genuine}")));
    }
    let request = Request::get("/api?access_token=&x=access_token").bearer(&genuine);
    world.forwarded(&request);
}

fn long_texts(world: &mut World) {
    let file = |length: usize| Request::get(format!("/files/{}.txt", "a".repeat(length)));
    world.forwarded(&file(8_000));
    for request in [
        file(8_200),
        file(58_000),
        Request::get(format!("/files/%20/{}.txt", "a".repeat(9_000))),
        file(1).header("x-kind", "a".repeat(9_000)),
    ] {
        world.refused(&request, 400, "request_too_long");
    }
    let odd = Request::get(format!("/files/%20/{}.txt", "a".repeat(5_000)));
    world.refused(&odd, 400, "path_ambiguous");
    // Where no pattern looks, as long as Envoy takes it.
    world.forwarded(&Request::get(format!("/public/{}", "a".repeat(50_000))));
}
