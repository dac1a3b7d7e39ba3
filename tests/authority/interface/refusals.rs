//! Requests that are refused.

use std::io::{Read as _, Write as _};

use serde_json::json;

use super::super::process::{Authority, directory, revocation};

#[test]
fn wrong_requests_are_refused_with_a_reason() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let long = "x".repeat(1025);
    for (request, detail) in [
        (
            json!({"kind": "session", "issuer": "i"}),
            "`value` is missing",
        ),
        (
            json!({"kind": "session", "issuer": "", "value": "v"}),
            "`issuer` is missing",
        ),
        (
            json!({"kind": "issuer", "issuer": "i", "value": "v"}),
            "`value` does not go with",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": "v", "not_before": 1}),
            "`not_before`",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": long}),
            "expected at most 1024 bytes",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": "v", "expires_at": 1_000_000_000_000_000_u64}),
            "`expires_at`",
        ),
        (
            json!({"kind": "user", "issuer": "i", "value": "v"}),
            "unknown variant `user`",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": "v", "exp": 1}),
            "unknown field `exp`",
        ),
        (
            json!({"kind": "issuer", "issuer": "i", "value": ""}),
            "`value` does not go with",
        ),
        (
            json!({"kind": "subject", "issuer": "i", "value": "v", "except_session": ""}),
            "`except_session` is empty",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": "v", "subject": ""}),
            "`subject` is empty",
        ),
        (
            json!({"kind": {"token": null}, "issuer": "i", "value": "v"}),
            "invalid type: map",
        ),
        (
            json!({"kind": "token", "issuer": "i", "value": "v", "expires_at": 1_u64 << 63}),
            "below 2^63",
        ),
        (json!(["session", "i", "v", null]), "invalid type: sequence"),
        (json!([]), "invalid type: sequence"),
    ] {
        let answer = authority.post("/v1/revocations", &request);
        let is_bound = detail.starts_with("expected at most") || detail == "`expires_at`";
        assert_eq!(answer.status, if is_bound { 422 } else { 400 }, "{request}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
        let problem = answer.json();
        let found = problem["detail"].as_str().unwrap();
        assert!(found.contains(detail), "{request}: {found}");
    }
    let text = revocation("session", "s").to_string();
    let answer = authority.post_text("/v1/revocations", "text/plain", &text);
    assert_eq!(answer.status, 415, "a page in a browser could send that");
    let large = " ".repeat(100_000);
    let answer = authority.post_text("/v1/revocations", "application/json", &large);
    assert_eq!(answer.status, 413);
    assert_eq!(authority.get("/v1/nothing").status, 404);
    assert_eq!(authority.get("/v1/check").status, 405);
    assert_eq!(authority.stats()["sequence"], 0);
}

/// Derived deserializers read the members of an array in the order of the source code.
#[test]
fn an_array_is_never_a_request() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for path in [
        "/v1/revocations",
        "/v1/restorations",
        "/v1/check",
        "/v1/feed/keys",
        "/v1/backup",
    ] {
        for body in [
            "[]",
            r#"["session","i","v",null]"#,
            "[{}]",
            "null",
            "\"\"",
            "0",
        ] {
            let answer = authority.post_text(path, "application/json", body);
            assert_eq!(answer.status, 400, "{path} {body}");
            assert_eq!(answer.json()["code"], "request_invalid", "{path} {body}");
        }
    }
    let line = r#"["session","i","v",null]"#;
    let answer = authority.post_text("/v1/import", "application/x-ndjson", line);
    assert_eq!(answer.status, 422);
    assert!(!directory.path().join("data/backup.redb").exists());
    let stats = authority.stats();
    assert_eq!(stats["sequence"], 0);
    assert_eq!(stats["feed_keys"].as_array().unwrap().len(), 1);
}

#[test]
fn a_query_or_path_that_cannot_be_read_is_refused_and_not_guessed() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.revoke("subject", "alice");
    authority.revoke("subject", "bob");
    for (query, status) in [
        ("limit=1", 200),
        ("limit=1000", 200),
        ("limit=0", 400),
        ("limit=1001", 400),
        ("limit=-1", 400),
        ("limit=many", 400),
        ("limit=1&limit=2", 400),
        ("other=1", 400),
        ("kind=user", 400),
        ("issuer=%ff", 400),
        ("issuer=%C3", 400),
        ("issuer=%zz", 400),
        ("issuer=%", 400),
        ("issuer=%C3%A9", 200),
        ("cursor=7", 200),
        ("cursor=", 400),
        ("cursor=garbage", 400),
        ("cursor=-1", 400),
        ("cursor=99999999999999999999", 422),
        ("value=alice&cursor=7", 422),
        ("subject=alice&cursor=7", 422),
        ("subject=alice&cursor=00", 422),
    ] {
        let answer = authority.get(&format!("/v1/revocations?{query}"));
        assert_eq!(answer.status, status, "{query}");
        if status != 200 {
            assert_eq!(answer.headers["content-type"], "application/problem+json");
            assert_eq!(answer.json()["status"], status);
        }
    }
    let key = "0".repeat(64);
    for (query, status) in [("subject=alice&", 200), ("", 422), ("value=alice&", 422)] {
        let answer = authority.get(&format!("/v1/revocations?{query}cursor={key}"));
        assert_eq!(answer.status, status, "{query}");
    }
    for path in [
        "/v1/revocations/%ff",
        "/v1/feed/segments/%ff/0",
        "/%ff",
        "/v1/check?%ff",
    ] {
        let answer = authority.get(path);
        assert_eq!(answer.status, 400, "{path}");
        assert_eq!(answer.headers["content-type"], "application/problem+json");
    }
}

#[test]
fn a_body_that_breaks_off_or_is_not_chunked_as_it_says_is_not_called_too_large() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let head = "POST /v1/check HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\
                content-type: application/json\r\ntransfer-encoding: chunked\r\n\r\n";
    for (body, status) in [
        ("2\r\n{}\r\n0\r\n\r\n", "400 "),
        ("zz\r\n{}\r\n0\r\n\r\n", "400 "),
        ("2\r\n{}XX0\r\n\r\n", "400 "),
        (&format!("fffff\r\n{}", " ".repeat(70_000)), "413 "),
    ] {
        let mut stream = std::net::TcpStream::connect(authority.address()).unwrap();
        stream.write_all(head.as_bytes()).unwrap();
        stream.write_all(body.as_bytes()).unwrap();
        let mut answer = [0; 13];
        stream.read_exact(&mut answer).unwrap();
        let answer = String::from_utf8_lossy(&answer);
        assert_eq!(answer, format!("HTTP/1.1 {status}"), "{body:.20}");
    }
}
