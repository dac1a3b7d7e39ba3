//! Records of signals: over HTTP, on the command line, and what is in them.

use serde_json::{Value, json};

use super::super::process::{directory, until};
use super::super::token::ISSUER;
use super::{EVENT, logout, receiving, send, signals, status};

#[test]
fn every_signal_leaves_a_record_that_says_what_became_of_it() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    assert_eq!(status(&authority, &logout("1").claim("sid", "s")), 200);
    assert_eq!(status(&authority, &logout("1").claim("sid", "s")), 200);
    assert_eq!(status(&authority, &logout("2").claim("aud", "other")), 400);
    assert_eq!(send(&authority, "nonsense").status, 400);
    // Only of what was accepted is the record there before the answer.
    until(|| signals(&authority, "").len() == 4);
    let [nonsense, other, repeated, accepted] = signals(&authority, "").try_into().unwrap();
    let nonsense: Value = nonsense;
    assert_eq!(nonsense["outcome"], "token_malformed");
    assert_eq!(nonsense.get("issuer"), None);
    assert_eq!(other["outcome"], "audience_mismatch");
    assert_eq!(other["issuer"], ISSUER);
    // Who asks why alice was not signed out finds it by her name.
    assert_eq!(
        (&other["jti"], &other["subject"]),
        (&json!("2"), &json!("alice"))
    );
    let detail = other["detail"].as_str().unwrap();
    assert!(
        detail.starts_with("client id `other` is not among"),
        "{detail}"
    );
    assert_eq!(repeated["outcome"], "repeated");
    assert_eq!(repeated.get("revoked"), None);
    assert_eq!(accepted["outcome"], "accepted");
    for (name, expected) in [
        ("receiver", json!("back_channel_logout")),
        ("issuer", json!(ISSUER)),
        ("event", json!(EVENT)),
        ("jti", json!("1")),
        ("subject", json!("alice")),
        ("sid", json!("s")),
        (
            "revoked",
            json!([{"kind": "session", "issuer": ISSUER, "value": "s"}]),
        ),
        ("address", json!("127.0.0.1")),
    ] {
        assert_eq!(accepted[name], expected, "{name}");
    }
    let detail = accepted["detail"].as_str().unwrap();
    assert!(
        detail.contains("no edge has reported a token that does"),
        "{detail}"
    );
    assert!(accepted["took_microseconds"].as_u64().unwrap() > 0);
    let metrics = authority.get("/metrics").text();
    for (outcome, count) in [
        ("accepted", 1),
        ("repeated", 1),
        ("audience_mismatch", 1),
        ("expired", 0),
    ] {
        let line = format!(
            "portcullis_signals_total{{receiver=\"back_channel_logout\",outcome=\"{outcome}\"}} \
             {count}"
        );
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
}

#[test]
fn a_logout_by_a_sid_says_what_was_assumed_unless_edges_have_reported_it() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    let report = json!({
        "issuer": ISSUER, "subject": "alice", "sid": "seen", "client": "app",
        "first_seen_ago": 0, "last_seen_ago": 0, "requests": 1,
    });
    let body = json!({"version": 1, "interval": 60_000, "reports": [report]});
    assert_eq!(authority.post("/v1/activity", &body).status, 204);
    for (id, sid) in [("1", "seen"), ("2", "unseen"), ("3", "seen")] {
        assert_eq!(status(&authority, &logout(id).claim("sid", sid)), 200);
    }
    assert_eq!(status(&authority, &logout("4")), 200);
    let [of_subject, again, unseen, seen] = signals(&authority, "").try_into().unwrap();
    // The second logout of a session, as for another of its clients, has nothing left to end.
    for record in [of_subject, again, seen] {
        assert_eq!(record.get("detail"), None, "{record}");
    }
    assert_eq!(
        unseen["detail"],
        "access tokens are taken to have this `sid` (`tokens_carry_sid`); no edge has reported a \
         token that does"
    );
}

#[test]
fn records_are_searched_for_and_paged_through() {
    let directory = directory();
    let authority = receiving(directory.path(), &json!({}), &json!({}));
    for number in 0..5 {
        let token = logout(&number.to_string()).claim("sub", format!("user {number}"));
        assert_eq!(status(&authority, &token), 200);
    }
    assert_eq!(status(&authority, &logout("6").claim("nonce", 1)), 400);
    until(|| signals(&authority, "").len() == 6);
    assert_eq!(signals(&authority, "subject=user%203").len(), 1);
    assert_eq!(signals(&authority, "refused=true").len(), 1);
    assert_eq!(signals(&authority, "issuer=https://other").len(), 0);
    let first = authority.get("/v1/signals?limit=4").json();
    let next = first["next"].as_u64().unwrap();
    assert_eq!(
        signals(&authority, &format!("limit=4&before={next}")).len(),
        2
    );
    for query in [
        "limit=0",
        "limit=1001",
        "before=x",
        "refused=maybe",
        "strange=1",
    ] {
        assert_eq!(
            authority.get(&format!("/v1/signals?{query}")).status,
            400,
            "{query}"
        );
    }
    let printed = authority.command(&["signals", "--subject", "user 3"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    let lines: Vec<_> = printed.lines().collect();
    assert_eq!(lines.len(), 2, "{printed}");
    assert!(
        lines[0].contains("back_channel_logout  accepted  user 3  -"),
        "{printed}"
    );
    assert_eq!(lines[1], format!("  revoked  subject  user 3  {ISSUER}"));
    let printed = authority.command(&["signals", "--limit", "3", "--json"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert_eq!(printed.lines().count(), 3, "{printed}");
    for line in printed.lines() {
        assert_eq!(
            serde_json::from_str::<Value>(line).unwrap()["issuer"],
            ISSUER
        );
    }
    let printed = authority.command(&["signals", "--refused"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    assert!(printed.contains("nonce_present") && printed.contains("nonce is not allowed"));
}

#[test]
fn names_are_hashed_where_that_is_configured_and_still_found() {
    let directory = directory();
    let hash = json!({"records": {"subjects": "hash"}});
    let authority = receiving(directory.path(), &json!({}), &hash);
    assert_eq!(
        status(&authority, &logout("1").claim("sid", "session-7")),
        200
    );
    let answer = authority.get("/v1/signals").text();
    assert!(
        !answer.contains("alice") && !answer.contains("session-7"),
        "{answer}"
    );
    let [found] = signals(&authority, "subject=alice").try_into().unwrap();
    let found: Value = found;
    assert!(found["subject"].as_str().unwrap().starts_with("hash:"));
    assert!(
        found["revoked"][0]["value"]
            .as_str()
            .unwrap()
            .starts_with("hash:")
    );
    assert_eq!(signals(&authority, "subject=bob").len(), 0);
}

#[test]
fn where_nothing_is_received_there_are_no_records() {
    let directory = directory();
    let authority = super::Authority::start(directory.path());
    assert_eq!(authority.signals_url, None);
    assert_eq!(authority.get("/v1/signals").json(), json!({"signals": []}));
}
