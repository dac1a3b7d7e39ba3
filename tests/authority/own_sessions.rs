//! Users look at their own sessions and end them, and never another's.

use portcullis::revocation::proof;
use portcullis::revocation::wire::proof_in;
use serde_json::{Value, json};

use super::process::{Answer, Authority, directory};
use super::sign_out::{problem, with_file};
use super::token::{ISSUER, Token};

const LIST: &str = "/v1/own-sessions";
const END: &str = "/v1/own-sessions/end";

fn report(authority: &Authority, subject: &str, sid: &str, age: u64) {
    let report = json!({
        "issuer": ISSUER, "subject": subject, "sid": sid, "client": "app", "device": "phone",
        "first_seen_ago": age, "last_seen_ago": 1_000, "requests": 3,
        "sightings": [{"network": "203.0.113.0/24", "user_agent": "okhttp", "requests": 3,
                       "last_seen_ago": 1_000}],
    });
    let body = json!({"version": 1, "reports": [report]});
    assert_eq!(authority.post("/v1/activity", &body).status, 204);
}

fn of(subject: &str, sid: &str) -> Token {
    Token::signed_by("es256")
        .claim("sub", subject)
        .claim("sid", sid)
}

fn list(authority: &Authority, token: &Token, more: &Value) -> Answer {
    let mut body = json!({"token": token.to_string()});
    for (name, value) in more.as_object().unwrap() {
        body[name] = value.clone();
    }
    authority.post(LIST, &body)
}

fn sessions(authority: &Authority, token: &Token) -> Vec<Value> {
    let answer = list(authority, token, &json!({}));
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["sessions"].as_array().unwrap().clone()
}

fn end(authority: &Authority, token: &Token, id: &Value) -> Answer {
    let body = json!({"token": token.to_string(), "id": id, "nonce": 7});
    let answer = authority.post(END, &body);
    if answer.status == 200 {
        let proof = proof_in(&answer.bytes).unwrap();
        let sent = body.to_string();
        assert!(proof::is_done(
            &proof,
            sent.as_bytes(),
            &authority.public_keys()
        ));
    }
    answer
}

fn is_revoked(authority: &Authority, sid: &str) -> bool {
    let check = json!({"issuer": ISSUER, "sid": sid});
    authority.post("/v1/check", &check).json()["revoked"] == true
}

#[test]
fn a_user_sees_the_sessions_of_his_own_and_which_one_this_is() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    report(&authority, "alice", "first", 20_000);
    report(&authority, "alice", "second", 10_000);
    report(&authority, "bob", "third", 5_000);
    let seen = sessions(&authority, &of("alice", "first"));
    assert_eq!(seen.len(), 2, "{seen:?}");
    let current: Vec<_> = seen
        .iter()
        .map(|session| session["current"].clone())
        .collect();
    assert_eq!(current, [false, true], "the newest first");
    for session in &seen {
        assert_eq!(session["device"], "phone");
        assert_eq!(session["client"], "app");
        assert_eq!(session["network"], "203.0.113.0/24");
        assert_eq!(session["user_agent"], "okhttp");
        assert!(session["first_seen"].as_str().unwrap().ends_with('Z'));
    }
    // One at a time.
    let first = list(&authority, &of("alice", "first"), &json!({"limit": 1})).json();
    assert_eq!(first["sessions"].as_array().unwrap().len(), 1);
    let rest = json!({"limit": 1, "after": first["next"]});
    let second = list(&authority, &of("alice", "first"), &rest).json();
    assert_eq!(second["sessions"][0]["id"], seen[1]["id"]);
    assert_ne!(first["sessions"][0]["id"], second["sessions"][0]["id"]);
    // A user that no edge has reported has none.
    assert_eq!(
        sessions(&authority, &of("carol", "fourth")),
        [] as [Value; 0]
    );
}

#[test]
fn a_user_ends_one_of_his_sessions_and_none_of_another() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    report(&authority, "alice", "first", 20_000);
    report(&authority, "alice", "second", 10_000);
    report(&authority, "bob", "third", 5_000);
    let alice = of("alice", "first");
    let id_of = |subject: &str, sid: &str| {
        let seen = sessions(&authority, &of(subject, sid));
        let mut own = seen.iter().filter(|session| session["current"] == true);
        own.next().unwrap()["id"].clone()
    };
    let (second, third) = (id_of("alice", "second"), id_of("bob", "third"));
    let not_found = (404, "session_not_found".to_owned());
    let unknown = json!("0".repeat(32));
    for id in [&third, &unknown] {
        assert_eq!(problem(&end(&authority, &alice, id)), not_found);
    }
    assert!(!is_revoked(&authority, "third"));
    for _ in 0..2 {
        assert_eq!(end(&authority, &alice, &second).status, 200);
    }
    assert!(is_revoked(&authority, "second") && !is_revoked(&authority, "first"));
    // His own, and again with a token that is revoked by then.
    let own = id_of("alice", "first");
    for _ in 0..2 {
        assert_eq!(end(&authority, &alice, &own).status, 200);
    }
    assert!(is_revoked(&authority, "first"));
    let listed = authority.get("/v1/revocations").json();
    let event = &listed["entries"][0]["history"][0];
    assert_eq!(event["actor"], "anybody:the user");
    assert_eq!(
        event["reason"],
        "ended by the user, in the list of sessions"
    );
    // A token that is revoked is no evidence for anything else.
    let refused = (422, "token_refused".to_owned());
    assert_eq!(problem(&list(&authority, &alice, &json!({}))), refused);
    assert_eq!(problem(&end(&authority, &alice, &third)), refused);
}

#[test]
fn it_is_told_whether_the_session_that_was_ended_is_the_users_own() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    report(&authority, "alice", "first", 20_000);
    report(&authority, "alice", "second", 10_000);
    let alice = of("alice", "first");
    for session in sessions(&authority, &alice) {
        let ended = end(&authority, &alice, &session["id"]);
        let expected = (session["current"] == true).then_some(json!(true));
        assert_eq!(ended.json().get("current").cloned(), expected);
    }
}

#[test]
fn a_token_whose_sid_is_no_name_ends_no_more_here_than_by_signing_out() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let report = json!({
        "issuer": ISSUER, "subject": "alice", "jti": "token", "first_seen_ago": 1, "last_seen_ago": 0,
        "requests": 1,
    });
    let body = json!({"version": 1, "reports": [report]});
    assert_eq!(authority.post("/v1/activity", &body).status, 204);
    let plain = Token::signed_by("es256").claim("jti", "token");
    let id = sessions(&authority, &plain)[0]["id"].clone();
    let unusable = Token::signed_by("es256")
        .claim("jti", "token")
        .claim("sid", 7);
    assert_eq!(sessions(&authority, &unusable)[0]["current"], false);
    let expected = (422, "token_unnamed".to_owned());
    let signed_out = json!({"token": unusable.to_string(), "scope": "session", "nonce": 7});
    assert_eq!(
        problem(&authority.post("/v1/sign-out", &signed_out)),
        expected
    );
    assert_eq!(problem(&end(&authority, &unusable, &id)), expected);
    assert_eq!(end(&authority, &plain, &id).status, 200);
}

#[test]
fn what_is_no_request_of_a_user_is_refused() {
    let directory = directory();
    let authority = with_file(directory.path(), &["es256"]);
    let alice = of("alice", "first");
    let forged = Token::signed_by("es256-other").claim("sid", "first");
    let refused = (422, "token_refused".to_owned());
    let id = json!("0".repeat(32));
    assert_eq!(problem(&list(&authority, &forged, &json!({}))), refused);
    assert_eq!(problem(&end(&authority, &forged, &id)), refused);
    let unnamed = (422, "token_unnamed".to_owned());
    let nameless = of("", "first");
    assert_eq!(problem(&list(&authority, &nameless, &json!({}))), unnamed);
    assert_eq!(problem(&end(&authority, &nameless, &id)), unnamed);
    for more in [
        json!({"limit": 0}),
        json!({"limit": 101}),
        json!({"subject": "bob"}),
    ] {
        assert_eq!(list(&authority, &alice, &more).status, 400, "{more}");
    }
    for after in ["nowhere", "0-0-0"] {
        let more = json!({ "after": after });
        assert_eq!(list(&authority, &alice, &more).status, 422, "{after}");
    }
    for id in [
        json!("x"),
        json!("A".repeat(32)),
        json!("0".repeat(31)),
        json!(7),
    ] {
        assert_eq!(end(&authority, &alice, &id).status, 400, "{id}");
    }
}
