//! The interface, and its description.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};

use portcullis::revocation::{Settled, proof};
use serde_json::{Value, json};

use super::process::{Authority, ISSUER, directory, revocation};

#[test]
fn revoking_is_idempotent_and_entries_can_be_restored() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for kind in ["token", "session", "device", "subject", "client", "issuer"] {
        let mut request = revocation(kind, "x");
        if matches!(kind, "subject" | "client" | "issuer") {
            request["not_before"] = 1_000.into();
        }
        // Without an expiry, every second makes an entry live a second longer.
        request["expires_at"] = (now() + 3_600).into();
        let outcomes = [
            authority.post("/v1/revocations", &request),
            authority.post("/v1/revocations", &request),
            authority.post("/v1/restorations", &revocation(kind, "x")),
            authority.post("/v1/restorations", &revocation(kind, "x")),
            authority.post("/v1/revocations", &request),
        ];
        let outcomes = outcomes.map(|answer| answer.json()["outcome"].clone());
        let expected = [
            "revoked",
            "already_revoked",
            "restored",
            "not_revoked",
            "revoked",
        ];
        assert_eq!(outcomes, expected, "{kind}");
    }
    assert_eq!(authority.stats()["sequence"], 18);
}

#[test]
fn a_cut_off_names_what_was_issued_before_and_may_except_a_session() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let check = |issued_at: u64, session: &str| {
        let claims = json!({
            "issuer": ISSUER, "subject": "alice", "sid": session, "issued_at": issued_at,
        });
        authority.post("/v1/check", &claims).json()["revoked"].clone()
    };
    let mut request = revocation("subject", "alice");
    request["except_session"] = "this".into();
    let answer = authority.post("/v1/revocations", &request).json();
    let not_before = answer["not_before"].as_u64().unwrap();
    assert_eq!(check(not_before - 1, "other"), true);
    assert_eq!(check(not_before - 1, "this"), false);
    assert_eq!(check(not_before, "other"), false);
    // An earlier one changes nothing.
    request["not_before"] = 5.into();
    assert_eq!(
        authority.post("/v1/revocations", &request).json()["not_before"],
        not_before
    );
}

#[test]
fn the_exact_answer_is_about_every_name_of_the_token() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let claims = json!({
        "issuer": ISSUER, "jti": "token", "sid": "session", "device": "device",
        "subject": "subject", "client": "client", "azp": "party", "issued_at": 1_000,
    });
    let check = || {
        let answer = authority.post("/v1/check", &claims).json();
        answer.get("by").cloned()
    };
    for (kind, value) in [
        ("token", "token"),
        ("session", "session"),
        ("device", "device"),
        ("subject", "subject"),
        ("client", "client"),
        ("client", "party"),
        ("issuer", ""),
    ] {
        assert_eq!(check(), None);
        authority.revoke(kind, value);
        assert_eq!(check(), Some(json!(kind)), "{value}");
        authority.post("/v1/restorations", &revocation(kind, value));
    }
}

/// `iat` is the issuer's time, so for a sign-in before the revocation it may be later than the
/// revocation.
#[test]
fn a_cut_off_reaches_as_far_ahead_as_clocks_may_be() {
    for (arguments, ahead) in [
        (&[][..], 61),
        (&["--clock-skew", "10m"], 601),
        (&["--clock-skew", "0s"], 1),
    ] {
        let directory = directory();
        let authority = Authority::start_with(directory.path(), arguments);
        for kind in ["subject", "client", "issuer"] {
            let before = now();
            let answer = authority.revoke(kind, "x").json();
            let not_before = answer["not_before"].as_u64().unwrap();
            let expected = before + ahead..=now() + ahead;
            assert!(expected.contains(&not_before), "{kind}: {answer}");
            let kept_for = answer["kept_until"].as_u64().unwrap() - not_before;
            assert!(kept_for >= 31 * 86_400, "{kind}: {answer}");
            let mut request = revocation(kind, "x");
            request["not_before"] = (before + 7_200).into();
            let answer = authority.post("/v1/revocations", &request).json();
            assert_eq!(answer["not_before"], before + 7_200, "as it was asked for");
        }
        let is_revoked = |issued_at: u64| {
            let claims = json!({"issuer": "other", "subject": "y", "issued_at": issued_at});
            authority.post("/v1/check", &claims).json()["revoked"].clone()
        };
        let mut request = revocation("subject", "y");
        request["issuer"] = "other".into();
        let before = now();
        authority.post("/v1/revocations", &request);
        assert_eq!(is_revoked(before + ahead - 1), true);
        assert_eq!(is_revoked(now() + ahead), false);
    }
}

#[test]
fn entries_are_listed_newest_first_and_found_by_name_and_subject() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for number in 0..25 {
        let mut request = revocation("session", &format!("s{number}"));
        request["subject"] = if number % 2 == 0 { "alice" } else { "bob" }.into();
        assert_eq!(authority.post("/v1/revocations", &request).status, 200);
    }
    authority.revoke("subject", "alice");
    let pages = |query: &str| {
        let mut values = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = authority
                .get(&format!("/v1/revocations?limit=7{query}{cursor}"))
                .json();
            let entries = page["entries"].as_array().unwrap();
            assert!(entries.len() <= 8);
            values.extend(
                entries
                    .iter()
                    .map(|entry| entry["value"].as_str().unwrap().to_owned()),
            );
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return values,
            }
        }
    };
    let all = pages("");
    let expected: Vec<String> = (0..25).rev().map(|number| format!("s{number}")).collect();
    assert_eq!(all.first().unwrap(), "alice");
    assert_eq!(all[1..], expected);
    assert_eq!(pages("&kind=subject"), ["alice"]);
    assert_eq!(pages("&value=s3"), ["s3"]);
    assert_eq!(pages("&value=s3&issuer=other").len(), 0);
    let of_alice: BTreeSet<String> = pages("&subject=alice").into_iter().collect();
    assert_eq!(of_alice.len(), 14);
    assert!(of_alice.contains("alice") && of_alice.contains("s24"));
}

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

#[test]
fn what_has_expired_is_not_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let mut request = revocation("token", "t");
    request["expires_at"] = (now() - 3_600).into();
    let answer = authority.post("/v1/revocations", &request).json();
    assert_eq!(answer, json!({"outcome": "already_expired"}));
    assert_eq!(authority.stats()["sequence"], 0);
}

/// Entries are dropped some seconds after they have lapsed, and in those seconds already count as
/// not revoked.
#[test]
fn what_has_lapsed_is_not_in_force_in_the_list_either() {
    let directory = directory();
    let authority = Authority::start_with(directory.path(), &["--danger-expiry-margin", "0s"]);
    let mut request = revocation("session", "alice\u{202e}nimda");
    request["expires_at"] = (now() + 2).into();
    let id = authority.post("/v1/revocations", &request).json()["id"].clone();
    let path = format!("/v1/revocations/{}", id.as_str().unwrap());
    assert_eq!(authority.get(&path).json()["in_force"], true);
    let text = |arguments: &[&str]| {
        let output = authority.command(arguments);
        String::from_utf8(output.stdout).unwrap()
    };
    let printed = text(&["list"]);
    assert!(
        printed.contains("  revoked  session  alice\\u{202e}nimda"),
        "{printed}"
    );
    let json = text(&["list", "--json"]);
    assert!(json.contains(r"alice\u202enimda"), "{json}");
    super::process::until(|| now() >= request["expires_at"].as_u64().unwrap());
    assert!(!authority.is_session_revoked("alice\u{202e}nimda"));
    let list = |path| authority.get(path).json()["entries"].clone();
    assert_eq!(list("/v1/revocations"), json!([]));
    let all = list("/v1/revocations?include_restored=true");
    assert_eq!(all[0]["in_force"], false);
    assert_eq!(authority.get(&path).json()["in_force"], false);
    let printed = text(&["list", "--include-restored"]);
    assert!(printed.contains("  lapsed  session  "), "{printed}");
}

#[test]
fn an_entry_whose_tokens_have_no_known_end_outlives_a_token_of_a_month() {
    const MONTH: u64 = 31 * 86_400;
    let directory = directory();
    let kept = |authority: &Authority, kind| {
        let answer = authority.revoke(kind, "x").json();
        answer["kept_until"].as_u64().unwrap() - now()
    };
    let authority = Authority::start(directory.path());
    for kind in ["token", "session", "device", "subject", "client", "issuer"] {
        let kept = kept(&authority, kind);
        assert!(kept >= MONTH, "{kind} is kept for {kept} seconds");
    }
    authority.kill();
    let authority = Authority::start_with(directory.path(), &["--max-token-lifetime", "90d"]);
    assert!(kept(&authority, "session") >= 90 * 86_400);
}

/// Routes and schemas come from the same source as the description, so what is left to compare is
/// what the process really answers.
#[test]
fn the_description_is_of_what_is_served() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.manifest();
    let document = authority.get("/v1/openapi.json").json();
    let paths = document["paths"].as_object().unwrap();
    let described: BTreeSet<&str> = paths.keys().map(String::as_str).collect();
    let expected = [
        "/healthz",
        "/metrics",
        "/readyz",
        "/v1/backup",
        "/v1/check",
        "/v1/feed/deltas",
        "/v1/feed/keys",
        "/v1/feed/manifest",
        "/v1/feed/segments/{generation}/{index}",
        "/v1/import",
        "/v1/issuers",
        "/v1/restorations",
        "/v1/revocations",
        "/v1/revocations/{id}",
        "/v1/stats",
    ];
    assert_eq!(described, BTreeSet::from(expected));
    for (path, operations) in paths {
        for (method, operation) in operations.as_object().unwrap() {
            assert!(
                operation["security"].is_array(),
                "{method} {path} does not say which role it needs"
            );
            let responses = &operation["responses"];
            let is_open = ["/healthz", "/readyz"].contains(&path.as_str());
            let tells_refusals = responses["4XX"].is_object() && responses["503"].is_object();
            assert!(
                is_open || tells_refusals,
                "{method} {path} does not say how it refuses"
            );
            let concrete = path.replace("{generation}", "1").replace("{index}", "0");
            let answer = match method.as_str() {
                "get" => authority.get(&concrete),
                _ => authority.post_text(&concrete, "text/plain", ""),
            };
            assert_ne!(answer.status, 405, "{method} {path}");
            if answer.status == 415 {
                let is_told = operation["requestBody"].is_object()
                    && operation["responses"]["4XX"].is_object();
                assert!(is_told, "{method} {path} demands what is not described");
            }
            let is_missing = answer.status == 404 && !path.contains('{');
            assert!(!is_missing, "{method} {path} is not served");
        }
    }
    let answer = authority.revoke("session", "s").json();
    conforms(&document, "RevocationAnswer", &answer);
    conforms(&document, "Stats", &authority.stats());
    let entry = authority.get(&format!(
        "/v1/revocations/{}",
        answer["id"].as_str().unwrap()
    ));
    conforms(&document, "EntryAnswer", &entry.json());
    conforms(
        &document,
        "ListAnswer",
        &authority.get("/v1/revocations").json(),
    );
    for issuer in [ISSUER, "other"] {
        let known = authority.get(&format!("/v1/issuers?issuer={issuer}"));
        conforms(&document, "IssuerAnswer", &known.json());
    }
    let check = authority.post("/v1/check", &json!({"issuer": ISSUER, "sid": "s"}));
    conforms(&document, "CheckAnswer", &check.json());
    let check = json!({"issuer": ISSUER, "sid": "s", "nonce": 7});
    let proven = authority.post("/v1/check", &check).json();
    conforms(&document, "CheckAnswer", &proven);
    let backup = authority.post("/v1/backup", &json!({})).json();
    conforms(&document, "BackupAnswer", &backup);
    let proof = proven["proof"].as_str().unwrap();
    let keys = authority.public_keys();
    let check = check.to_string();
    assert_eq!(
        proof::verdict(proof, check.as_bytes(), &keys),
        Some(Settled::Revoked)
    );
    conforms(
        &document,
        "ProblemBody",
        &authority.get("/v1/nothing").json(),
    );
}

/// Every member is described, and every required one is there.
#[track_caller]
fn conforms(document: &Value, schema: &str, value: &Value) {
    let schema = &document["components"]["schemas"][schema];
    let described = schema["properties"].as_object().unwrap();
    let members = value.as_object().unwrap();
    for member in members.keys() {
        assert!(
            described.contains_key(member),
            "`{member}` is not described"
        );
    }
    for required in schema["required"].as_array().unwrap() {
        assert!(
            members.contains_key(required.as_str().unwrap()),
            "{required} is missing"
        );
    }
}

#[test]
fn metrics_are_counted() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    authority.revoke("session", "s");
    assert!(authority.is_session_revoked("s"));
    let text = String::from_utf8(authority.get("/metrics").bytes).unwrap();
    for line in [
        "portcullis_entries 1",
        "portcullis_feed_sequence 1",
        "portcullis_store_writable 1",
        r#"portcullis_checks_total{revoked="true"} 1"#,
        r#"portcullis_http_responses_total{route="/v1/revocations",status="200"} 1"#,
        "# EOF",
    ] {
        assert!(
            text.lines().any(|found| found == line),
            "no {line:?} in {text}"
        );
    }
}

fn now() -> u64 {
    let now = std::time::SystemTime::now();
    now.duration_since(std::time::UNIX_EPOCH).unwrap().as_secs()
}
