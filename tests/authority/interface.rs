//! The interface, and its description.

use std::collections::BTreeSet;

use portcullis::revocation::{Cause, Settled, proof};
use serde_json::{Value, json};

use super::process::{Authority, ISSUER, directory, revocation};

mod refusals;

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
fn a_token_that_was_rotated_is_revoked_for_new_requests_and_not_for_those_in_progress() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let revoked = |authority: &Authority, in_progress: bool| {
        let check = json!({
            "issuer": ISSUER, "jti": "first", "sid": "a", "in_progress": in_progress,
        });
        authority.post("/v1/check", &check).json()["revoked"].clone()
    };
    let mut request = revocation("token", "first");
    request["rotated"] = true.into();
    request["expires_at"] = (now() + 3_600).into();
    assert_eq!(authority.post("/v1/revocations", &request).status, 200);
    for _ in 0..2 {
        assert_eq!(revoked(&authority, false), true);
        assert_eq!(revoked(&authority, true), false);
        // It is on disk as it was.
        authority.kill();
        authority = Authority::start(directory.path());
    }
    authority.revoke("session", "a");
    assert_eq!(revoked(&authority, true), true, "its session has ended");
    authority.post("/v1/restorations", &revocation("session", "a"));
    assert_eq!(revoked(&authority, true), false);
    request["rotated"] = false.into();
    let answer = authority.post("/v1/revocations", &request).json();
    assert_eq!(answer["outcome"], "revoked", "edges have to hear of it");
    assert_eq!(revoked(&authority, true), true);
    request["rotated"] = true.into();
    authority.post("/v1/revocations", &request);
    assert_eq!(revoked(&authority, true), true, "never less than before");
    let mut of_session = revocation("session", "b");
    of_session["rotated"] = true.into();
    assert_eq!(authority.post("/v1/revocations", &of_session).status, 400);
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
fn a_cut_off_compares_with_the_sign_in_where_it_is_earlier_but_that_of_an_issuer_does_not() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (kind, value) in [("subject", "alice"), ("client", "app"), ("issuer", "")] {
        let mut request = revocation(kind, value);
        request["not_before"] = 1_000.into();
        let answer = authority.post("/v1/revocations", &request).json();
        assert_eq!(answer["outcome"], "revoked", "{answer}");
        let check = |issued_at: Option<u64>, auth_time: Option<u64>| {
            let claims = json!({
                "issuer": ISSUER, "subject": "alice", "client": "app", "issued_at": issued_at,
                "auth_time": auth_time,
            });
            authority.post("/v1/check", &claims).json()["revoked"].clone()
        };
        let is_issuer = kind == "issuer";
        assert_eq!(
            check(Some(1_000), Some(999)),
            !is_issuer,
            "{kind}: refreshed"
        );
        assert_eq!(check(Some(1_000), Some(1_000)), false, "{kind}");
        assert_eq!(check(Some(1_000), None), false, "{kind}: an older edge");
        assert_eq!(check(Some(999), Some(1_000)), true, "{kind}: an odd one");
        assert_eq!(check(None, Some(1_000)), true, "{kind}: without `iat`");
        authority.post("/v1/restorations", &revocation(kind, value));
    }
    let late = json!({"issuer": ISSUER, "subject": "alice", "auth_time": 253_402_300_800_u64});
    let answer = authority.post("/v1/check", &late);
    assert_eq!(answer.status, 400);
    assert!(answer.text().contains("`auth_time`"), "{}", answer.text());
}

#[test]
fn a_session_that_is_revoked_until_the_next_sign_in_lives_again_after_one() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let check = |authority: &Authority, issued_at: u64, auth_time: Option<u64>| {
        let claims = json!({
            "issuer": ISSUER, "sid": "again", "issued_at": issued_at, "auth_time": auth_time,
        });
        authority.post("/v1/check", &claims).json()["revoked"].clone()
    };
    let mut request = revocation("session", "again");
    request["not_before"] = 1_000.into();
    let refused = authority.post("/v1/revocations", &request);
    assert_eq!(refused.status, 400, "{}", refused.text());
    request["until_sign_in"] = true.into();
    let answer = authority.post("/v1/revocations", &request).json();
    assert_eq!(
        (&answer["outcome"], &answer["not_before"]),
        (&json!("revoked"), &json!(1_000))
    );
    for _ in 0..2 {
        assert_eq!(check(&authority, 2_000, Some(999)), true, "refreshed");
        assert_eq!(
            check(&authority, 2_000, Some(1_000)),
            false,
            "signed in again"
        );
        assert_eq!(check(&authority, 999, Some(2_000)), true, "an odd one");
        assert_eq!(check(&authority, 999, None), true);
        // It is on the disk as it was.
        authority.kill();
        authority = Authority::start(directory.path());
    }
    request["not_before"] = Value::Null;
    let answer = authority.post("/v1/revocations", &request).json();
    assert_eq!(
        answer["not_before"].as_u64().unwrap().abs_diff(now() + 61),
        0
    );
    authority.revoke("session", "again");
    assert_eq!(
        check(&authority, now() + 100, Some(now() + 100)),
        true,
        "for ever"
    );
    assert_eq!(
        authority.post("/v1/revocations", &request).json()["not_before"],
        Value::Null
    );
    authority.post("/v1/restorations", &revocation("session", "again"));
    assert_eq!(check(&authority, 1, None), false);
    for kind in ["token", "device", "subject"] {
        let mut request = revocation(kind, "x");
        request["until_sign_in"] = true.into();
        assert_eq!(
            authority.post("/v1/revocations", &request).status,
            400,
            "{kind}"
        );
    }
}

#[test]
fn claims_and_subjects_at_a_client_are_cut_off_listed_and_restored() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let claim = json!({
        "kind": "claim", "issuer": ISSUER, "claim": "tenant", "value": "acme", "not_before": 1_000,
    });
    let pair = json!({
        "kind": "subject_and_client", "issuer": ISSUER, "value": "alice", "client": "app",
        "not_before": 1_000,
    });
    let check = |authority: &Authority, client: &str, tenant: &str| {
        let claims = json!({
            "issuer": ISSUER, "subject": "alice", "client": client, "issued_at": 999,
            "claims": [{"name": "city", "value": "acme"}, {"name": "tenant", "value": tenant}],
        });
        let answer = authority.post("/v1/check", &claims).json();
        (
            answer["by"].clone(),
            answer["members"].clone(),
            answer["claims"].clone(),
        )
    };
    for request in [&claim, &pair] {
        assert_eq!(
            authority.post("/v1/revocations", request).json()["outcome"],
            "revoked"
        );
        let again = authority.post("/v1/revocations", request).json();
        assert_eq!(again["outcome"], "already_revoked");
    }
    for _ in 0..2 {
        let (by, members, claims) = check(&authority, "app", "acme");
        assert_eq!(by, "subject_and_client");
        assert_eq!(members, json!(["subject_and_client", "claim"]));
        assert_eq!(claims, json!(["tenant"]));
        assert_eq!(check(&authority, "web", "acme").0, "claim");
        assert_eq!(check(&authority, "app", "other").0, "subject_and_client");
        assert_eq!(check(&authority, "web", "other").0, Value::Null);
        authority.kill();
        authority = Authority::start(directory.path());
    }
    let listed = |query: &str| {
        let answer = authority.get(&format!("/v1/revocations?{query}")).json();
        answer["entries"].as_array().unwrap().len()
    };
    for (query, expected) in [
        ("", 2),
        ("kind=claim", 1),
        ("claim=tenant", 1),
        ("claim=tenant&value=acme", 1),
        ("claim=city&value=acme", 0),
        ("value=acme", 0),
        ("client=app&value=alice", 1),
        ("client=web&value=alice", 0),
        ("subject=alice", 1),
        ("subject=alice&client=web", 0),
    ] {
        assert_eq!(listed(query), expected, "{query}");
    }
    for request in [&claim, &pair] {
        let mut restoration = request.clone();
        restoration.as_object_mut().unwrap().remove("not_before");
        let answer = authority.post("/v1/restorations", &restoration).json();
        assert_eq!(answer["outcome"], "restored", "{request}");
    }
    assert_eq!(check(&authority, "app", "acme").0, Value::Null);
    let too_many: Vec<_> = (0..9)
        .map(|name| json!({"name": name.to_string(), "value": "x"}))
        .collect();
    let check = json!({"issuer": ISSUER, "claims": too_many});
    assert_eq!(authority.post("/v1/check", &check).status, 400);
    for wrong in [
        json!({"kind": "claim", "issuer": ISSUER, "value": "acme"}),
        json!({"kind": "claim", "issuer": ISSUER, "claim": "", "value": "acme"}),
        json!({"kind": "subject", "issuer": ISSUER, "value": "alice", "client": "app"}),
        json!({"kind": "subject_and_client", "issuer": ISSUER, "value": "alice"}),
        json!({"kind": "issuer", "issuer": ISSUER, "claim": "tenant"}),
    ] {
        assert_eq!(
            authority.post("/v1/revocations", &wrong).status,
            400,
            "{wrong}"
        );
        assert_eq!(
            authority.post("/v1/restorations", &wrong).status,
            400,
            "{wrong}"
        );
    }
}

#[test]
fn an_origin_takes_back_its_own_revocation_and_no_other() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let with = |origin: Option<&str>| {
        let mut request = revocation("device", "phone");
        if let Some(origin) = origin {
            request["origin"] = origin.into();
        }
        request
    };
    let outcome = |authority: &Authority, path: &str, origin: Option<&str>| {
        authority.post(path, &with(origin)).json()["outcome"].clone()
    };
    let (revoke, restore) = ("/v1/revocations", "/v1/restorations");
    assert_eq!(outcome(&authority, revoke, Some("compliance")), "revoked");
    assert_eq!(outcome(&authority, restore, Some("risk")), "not_revoked");
    assert_eq!(outcome(&authority, revoke, Some("risk")), "already_revoked");
    authority.kill();
    authority = Authority::start(directory.path());
    assert_eq!(
        outcome(&authority, restore, Some("compliance")),
        "withdrawn"
    );
    assert_eq!(
        outcome(&authority, restore, Some("compliance")),
        "not_revoked"
    );
    let check = json!({"issuer": ISSUER, "device": "phone"});
    assert_eq!(authority.post("/v1/check", &check).json()["revoked"], true);
    let entry = authority.get("/v1/revocations?value=phone").json()["entries"][0].clone();
    assert_eq!(entry["origins"], json!(["risk"]), "{entry}");
    let last = entry["history"].as_array().unwrap().last().unwrap();
    assert_eq!(last["action"], "withdrawn");
    assert_eq!(outcome(&authority, restore, Some("risk")), "restored");
    assert_eq!(authority.post("/v1/check", &check).json()["revoked"], false);
    assert_eq!(outcome(&authority, revoke, None), "revoked");
    assert_eq!(outcome(&authority, restore, Some("risk")), "not_revoked");
    assert_eq!(outcome(&authority, restore, None), "restored");
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

#[test]
fn every_route_says_what_it_answers_without_the_database() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let document = authority.get("/v1/openapi.json").json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        let is_open = ["/healthz", "/readyz"].contains(&path.as_str());
        for (method, operation) in operations.as_object().unwrap() {
            let told = operation["responses"]["503"]["description"].as_str();
            let names = |code: &str| told.is_some_and(|told| told.contains(code));
            let of_connections = names("`too_many_connections`");
            assert_eq!(of_connections, !is_open, "{method} {path}: {told:?}");
            let of_the_database = names("`database_away`");
            let goes_by_it = !is_open && path != "/metrics";
            assert_eq!(of_the_database, goes_by_it, "{method} {path}: {told:?}");
        }
    }
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
        "/v1/activity",
        "/v1/backup",
        "/v1/check",
        "/v1/edges",
        "/v1/feed/deltas",
        "/v1/feed/keys",
        "/v1/feed/manifest",
        "/v1/feed/segments/{generation}/{index}",
        "/v1/import",
        "/v1/issuers",
        "/v1/own-sessions",
        "/v1/own-sessions/end",
        "/v1/restorations",
        "/v1/revocations",
        "/v1/revocations/{id}",
        "/v1/sessions",
        "/v1/sign-out",
        "/v1/signals",
        "/v1/stats",
        "/v1/streams",
        "/v1/streams/deletion",
        "/v1/streams/status",
        "/v1/streams/verification",
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
        Some(Settled::Revoked(Cause::Plain))
    );
    conforms(
        &document,
        "ProblemBody",
        &authority.get("/v1/nothing").json(),
    );
}

/// What a generated client takes for the largest number is one that is accepted, and the other way round.
#[test]
fn numbers_are_described_as_they_are_read() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let document = authority.get("/v1/openapi.json").json();
    let formats = |name: &str, member: &str| {
        let schema = &document["components"]["schemas"][name]["properties"][member];
        (schema["format"].clone(), schema["maximum"].clone())
    };
    let requests = (json!("uint32"), json!(u32::MAX));
    assert_eq!(formats("Report", "requests"), requests);
    assert_eq!(formats("Sighting", "requests"), requests);
    assert_eq!(formats("Stats", "sequence").0, "uint64");
    assert_eq!(formats("RevocationAnswer", "clock_difference").0, "int64");
    let send = |requests: u64| {
        let report = json!({
            "issuer": ISSUER, "sid": "s", "first_seen_ago": 1, "last_seen_ago": 1,
            "requests": requests,
        });
        let body = json!({"version": 1, "reports": [report]});
        authority.post("/v1/activity", &body).status
    };
    assert_eq!(send(u32::MAX.into()), 204);
    assert_eq!(send(u64::from(u32::MAX) + 1), 400);
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
        concat!(
            "portcullis_build_info{version=\"",
            env!("CARGO_PKG_VERSION"),
            "\"} 1"
        ),
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
