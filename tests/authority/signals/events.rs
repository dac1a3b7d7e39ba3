//! Security events by push: what they revoke and take back, what is refused and how, and what is on the
//! disk.

use std::fs;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::thread;

use serde_json::{Value, json};

use super::super::process::{Answer, Authority, directory, until};
use super::super::token::{ISSUER, Token};
use super::{expect_done_once, history, is_revoked, now, receiving, signals};

const PATH: &str = "/ssf/streams/okta";

const AUTHORIZATION: &str = "Bearer of-the-stream";

const CAEP: &str = "https://schemas.openid.net/secevent/caep/event-type/";
const RISC: &str = "https://schemas.openid.net/secevent/risc/event-type/";
const SSF: &str = "https://schemas.openid.net/secevent/ssf/event-type/";

/// A token with this `jti` and event.
fn event(id: &str, uri: &str, subject: &Value, payload: &Value) -> Token {
    Token::signed_by("es256")
        .header("typ", "secevent+jwt")
        .without_claim("sub")
        .without_claim("exp")
        .claim("aud", "https://edge.example")
        .claim("iat", now())
        .claim("jti", id)
        .claim("sub_id", subject.clone())
        .claim("events", json!({ uri: payload }))
}

fn alice() -> Value {
    json!({"format": "iss_sub", "iss": ISSUER, "sub": "alice"})
}

fn push_with(
    authority: &Authority,
    path: &str,
    authorization: Option<&str>,
    token: &str,
) -> Answer {
    let headers: Vec<_> = authorization
        .map(|it| ("authorization", it))
        .into_iter()
        .collect();
    authority.push_signal(path, "application/secevent+jwt", &headers, token)
}

fn push(authority: &Authority, token: &Token) -> Answer {
    push_with(authority, PATH, Some(AUTHORIZATION), &token.to_string())
}

fn taken(authority: &Authority, token: &Token) {
    let answer = push(authority, token);
    assert_eq!(answer.status, 202, "{answer:?}");
    assert_eq!(answer.bytes, b"");
}

/// An authority with the stream `okta`, and these members of it.
fn streaming(directory: &Path, of_issuer: &Value, of_stream: &Value) -> Authority {
    fs::write(
        directory.join("authorization"),
        format!("{AUTHORIZATION}\n"),
    )
    .unwrap();
    let mut stream = json!({
        "name": "okta", "issuer": ISSUER, "audiences": ["https://edge.example"],
        "delivery": {"push": {"authorization": {"file": "authorization"}}},
    });
    for (name, member) in of_stream.as_object().unwrap() {
        stream[name] = member.clone();
    }
    receiving(directory, of_issuer, &json!({"streams": [stream]}))
}

#[test]
fn an_event_cuts_off_what_was_issued_until_then_and_is_on_the_disk() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let at = now() - 60;
    let payload = json!({"event_timestamp": at, "reason_admin": {"en": "lost telephone"}});
    let token = event("1", &format!("{CAEP}session-revoked"), &alice(), &payload);
    taken(&authority, &token);
    let issued = |at: i64| json!({"subject": "alice", "issued_at": at});
    assert!(is_revoked(&authority, &issued(at)) && !is_revoked(&authority, &issued(at + 1)));
    let [entry] = history(&authority).try_into().unwrap();
    let entry: Value = entry;
    let change = &entry["history"][0];
    assert_eq!(change["actor"], "push");
    assert_eq!(
        change["reason"],
        "session-revoked on the stream okta: lost telephone"
    );
    let [signal] = signals(&authority, "limit=1").try_into().unwrap();
    let signal: Value = signal;
    for (name, expected) in [
        ("receiver", json!("push")),
        ("outcome", json!("accepted")),
        ("stream", json!("okta")),
        ("event", json!(format!("{CAEP}session-revoked"))),
        ("subject", json!("alice")),
        (
            "revoked",
            json!([{"kind": "subject", "issuer": ISSUER, "value": "alice"}]),
        ),
    ] {
        assert_eq!(signal[name], expected, "{name}");
    }
    authority.kill();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    assert!(is_revoked(&authority, &issued(at)));
    taken(&authority, &token);
    assert_eq!(history(&authority), [entry]);
    until(|| signals(&authority, "limit=1")[0]["outcome"] == "repeated");
}

#[test]
fn a_device_is_revoked_until_it_is_compliant_again_whatever_comes_first() {
    let directory = directory();
    let of_issuer = json!({"tokens_carry_device": true});
    let authority = streaming(directory.path(), &of_issuer, &json!({}));
    let uri = format!("{CAEP}device-compliance-change");
    let of = |id: &str, status: &str, ago: i64| {
        let device = json!({"format": "complex", "device": {"format": "opaque", "id": "d"}});
        let payload = json!({"current_status": status, "event_timestamp": now() - ago});
        event(id, &uri, &device, &payload)
    };
    let is_refused = || is_revoked(&authority, &json!({"device": "d"}));
    taken(&authority, &of("1", "not-compliant", 500));
    assert!(is_refused());
    // What an operator has revoked is none of the stream's business.
    assert_eq!(authority.revoke("device", "d").status, 200);
    taken(&authority, &of("2", "compliant", 400));
    assert!(is_refused());
    let restored = json!({"kind": "device", "issuer": ISSUER, "value": "d"});
    assert_eq!(authority.post("/v1/restorations", &restored).status, 200);
    assert!(!is_refused());
    // Events that have changed their order.
    taken(&authority, &of("4", "compliant", 200));
    taken(&authority, &of("3", "not-compliant", 300));
    assert!(!is_refused());
    let [late] = signals(&authority, "limit=1").try_into().unwrap();
    let late: Value = late;
    assert_eq!(late["outcome"], "recorded");
    assert!(late["detail"].as_str().unwrap().contains("a later event"));
    taken(&authority, &of("5", "not-compliant", 100));
    assert!(is_refused());
    taken(&authority, &of("6", "compliant", 50));
    assert!(!is_refused());
    let [last] = signals(&authority, "limit=1").try_into().unwrap();
    let last: Value = last;
    let device = json!([{"kind": "device", "issuer": ISSUER, "value": "d"}]);
    assert_eq!(last["restored"], device);
}

#[test]
fn an_account_that_is_enabled_again_takes_back_what_disabling_it_has_revoked() {
    let directory = directory();
    let of_issuer = json!({"subject": {"claims": {"email": "email"}}});
    let authority = streaming(directory.path(), &of_issuer, &json!({}));
    let of = |id: &str, name: &str, ago: i64, payload: Value| {
        let email = json!({"format": "email", "email": "a@b"});
        let uri = format!("{RISC}{name}");
        event(id, &uri, &email, &payload).claim("toe", now() - ago)
    };
    let in_force = || history(&authority).len();
    taken(&authority, &of("1", "account-disabled", 500, json!({})));
    let [entry] = history(&authority).try_into().unwrap();
    let entry: Value = entry;
    assert_eq!(
        (&entry["kind"], &entry["claim"]),
        (&json!("claim"), &json!("email"))
    );
    let [signal] = signals(&authority, "limit=1").try_into().unwrap();
    let signal: Value = signal;
    let claim = json!({"kind": "claim", "issuer": ISSUER, "value": "a@b", "claim": "email"});
    assert_eq!(signal["revoked"], json!([claim]));
    let printed = authority.command(&["signals"]);
    let printed = String::from_utf8(printed.stdout).unwrap();
    let line = format!("\n  revoked  claim  email=a@b  {ISSUER}\n");
    assert!(printed.contains(&line), "{printed}");
    assert_eq!(in_force(), 1);
    taken(&authority, &of("2", "account-enabled", 400, json!({})));
    assert_eq!(in_force(), 0);
    let hijacked = json!({"reason": "hijacking"});
    taken(&authority, &of("3", "account-disabled", 300, hijacked));
    taken(&authority, &of("4", "account-enabled", 200, json!({})));
    assert_eq!(in_force(), 1, "the tokens of the other one stay revoked");
}

/// Whichever of the two is carried out first.
#[test]
fn of_two_events_at_once_that_undo_one_another_the_later_counts() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let at = now() - 60;
    for number in 0..12 {
        let user = format!("user-{number}");
        let subject = json!({"format": "iss_sub", "iss": ISSUER, "sub": user});
        let enabled_later = number % 2 == 0;
        let said = |name: &str, is_later: bool| {
            let payload = json!({"event_timestamp": at + 10 * i64::from(is_later)});
            let id = format!("{name}-{number}");
            event(&id, &format!("{RISC}{name}"), &subject, &payload)
        };
        let disabled = said("account-disabled", !enabled_later);
        let enabled = said("account-enabled", enabled_later);
        thread::scope(|scope| {
            scope.spawn(|| taken(&authority, &disabled));
            scope.spawn(|| taken(&authority, &enabled));
        });
        let issued = json!({"subject": user, "issued_at": at});
        assert_eq!(is_revoked(&authority, &issued), !enabled_later, "{user}");
    }
}

#[test]
fn of_many_copies_of_an_event_at_once_one_is_carried_out() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    for (number, uri) in [
        format!("{CAEP}session-revoked"),
        format!("{RISC}account-disabled"),
    ]
    .iter()
    .enumerate()
    {
        let subject = json!({"format": "iss_sub", "iss": ISSUER, "sub": number.to_string()});
        let token = event(uri, uri, &subject, &json!({}));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| taken(&authority, &token));
            }
        });
    }
    expect_done_once(&authority, 2, 8);
}

#[test]
fn what_is_only_recorded_revokes_nothing() {
    let directory = directory();
    let of_stream = json!({"events": {"session-revoked": "record"}});
    let authority = streaming(directory.path(), &json!({}), &of_stream);
    let stream = json!({"format": "opaque", "id": "f67e39a0a4d34d56b3aa1bc4cff0069f"});
    for (id, uri, subject, payload) in [
        ("1", format!("{CAEP}session-revoked"), alice(), json!({})),
        ("2", format!("{CAEP}session-presented"), alice(), json!({})),
        (
            "3",
            format!("{SSF}verification"),
            stream.clone(),
            json!({"state": "s"}),
        ),
        (
            "4",
            format!("{SSF}stream-updated"),
            stream,
            json!({"status": "paused"}),
        ),
        ("5", "urn:example:unheard-of".to_owned(), alice(), json!({})),
    ] {
        taken(&authority, &event(id, &uri, &subject, &payload));
        let [signal] = signals(&authority, "limit=1").try_into().unwrap();
        let signal: Value = signal;
        assert_eq!(
            (&signal["outcome"], &signal["event"]),
            (&json!("recorded"), &json!(uri))
        );
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
    let metrics = authority.get("/metrics").text();
    let line = "portcullis_signals_total{receiver=\"push\",outcome=\"recorded\"} 5";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn what_is_not_in_order_is_refused_as_the_specification_names_it_and_revokes_nothing() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let uri = format!("{CAEP}session-revoked");
    let good = || event("1", &uri, &alice(), &json!({}));
    // From where something genuine has come, more is looked at.
    taken(
        &authority,
        &event("0", &format!("{SSF}verification"), &alice(), &json!({})),
    );
    let two = json!({&uri: {}, "urn:example:alias": {}});
    for (token, err, code) in [
        (
            good().claim("iss", "https://other"),
            "invalid_issuer",
            "issuer_unknown",
        ),
        (
            good().claim("aud", "https://other"),
            "invalid_audience",
            "audience_mismatch",
        ),
        (
            good().header("typ", "JWT"),
            "invalid_request",
            "type_mismatch",
        ),
        (
            good().claim("exp", now() + 60),
            "invalid_request",
            "exp_present",
        ),
        (
            good().claim("sub", "alice"),
            "invalid_request",
            "sub_present",
        ),
        (
            good().without_claim("iat"),
            "invalid_request",
            "issue_time_missing",
        ),
        (
            good().claim("iat", now() + 4_000),
            "invalid_request",
            "issued_ahead",
        ),
        (
            good().claim("iat", now() - 691_200),
            "invalid_request",
            "too_old",
        ),
        (
            good().without_claim("jti"),
            "invalid_request",
            "jti_missing",
        ),
        (
            good().claim("events", two),
            "invalid_request",
            "events_invalid",
        ),
        (
            good().claim("events", json!({})),
            "invalid_request",
            "events_invalid",
        ),
        (
            event(
                "1",
                &format!("{CAEP}credential-change"),
                &alice(),
                &json!({}),
            ),
            "invalid_request",
            "event_invalid",
        ),
    ] {
        let answer = push(&authority, &token);
        refused(&answer, 400, err, code);
        until(|| {
            signals(&authority, "limit=1")
                .iter()
                .any(|it| it["outcome"] == code)
        });
    }
    // The clock here may be the one that is off.
    for claim in ["iat", "nbf"] {
        let answer = push(&authority, &good().claim(claim, now() + 120));
        assert_eq!((answer.status, &*answer.text()), (503, ""));
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
    taken(&authority, &good());
}

#[test]
fn a_flaw_of_what_is_only_recorded_is_recorded_with_it() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let uri = format!("{CAEP}risk-level-change");
    let odd = json!({"current_level": "SEVERE", "principal": "USER"});
    taken(&authority, &event("1", &uri, &alice(), &odd));
    let [record] = signals(&authority, "limit=1").try_into().unwrap();
    let record: Value = record;
    assert_eq!(record["outcome"], "recorded");
    let flaw = "`current_level` of the event is none of `LOW`, `MEDIUM`, `HIGH`";
    assert_eq!(record["detail"], flaw);
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn a_subject_that_is_not_known_is_refused_and_nothing_is_half_done() {
    let directory = directory();
    let of_stream = json!({"critical_subject_members": ["tenant"]});
    let authority = streaming(directory.path(), &json!({}), &of_stream);
    let uri = format!("{CAEP}session-revoked");
    let good = || event("1", &uri, &alice(), &json!({}));
    let email = json!({"format": "email", "email": "a@b"});
    let critical = json!({
        "format": "complex", "user": alice(), "tenant": {"format": "opaque", "id": "t"},
    });
    let foreign = json!({"format": "iss_sub", "iss": "https://other", "sub": "alice"});
    let subject = |subject: Value| good().claim("sub_id", subject);
    for (token, err, code) in [
        (
            good().without_claim("sub_id"),
            "invalid_request",
            "subject_missing",
        ),
        (
            subject(json!({"format": "email"})),
            "invalid_request",
            "subject_invalid",
        ),
        (subject(email), "invalid_request", "subject_format_unknown"),
        (subject(critical), "invalid_request", "subject_critical"),
        (subject(foreign), "invalid_request", "subject_foreign"),
    ] {
        let answer = push(&authority, &token);
        refused(&answer, 400, err, code);
        until(|| {
            signals(&authority, "limit=1")
                .iter()
                .any(|it| it["outcome"] == code)
        });
    }
    assert_eq!(history(&authority), [] as [Value; 0]);
}

#[test]
fn what_is_forged_or_sent_by_another_is_refused_and_revokes_nothing() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let good = event("1", &format!("{CAEP}session-revoked"), &alice(), &json!({}));
    let text = good.to_string();
    let (input, signature) = text.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    let forged = format!("{input}.{other}{}", &signature[1..]);
    for (token, err) in [
        (forged.as_str(), "authentication_failed"),
        ("nonsense", "invalid_request"),
        ("", "invalid_request"),
    ] {
        let answer = push_with(&authority, PATH, Some(AUTHORIZATION), token);
        refused(&answer, 400, err, token);
    }
    for authorization in [
        None,
        Some("Bearer of-another"),
        Some("bearer of-the-stream"),
    ] {
        let answer = push_with(&authority, PATH, authorization, &text);
        refused(&answer, 401, "authentication_failed", "");
        assert!(answer.headers.contains_key("www-authenticate"));
    }
    let answer = push_with(&authority, "/ssf/streams/other", Some(AUTHORIZATION), &text);
    assert_eq!(answer.status, 404);
    let headers = [("authorization", AUTHORIZATION)];
    let answer = authority.push_signal(PATH, "application/jwt", &headers, &text);
    refused(&answer, 400, "invalid_request", "application/jwt");
    assert_eq!(history(&authority), [] as [Value; 0]);
    assert!(!authority.log().contains("of-the-stream") && !authority.log().contains("of-another"));
    // Whose secret it is that does not fit is said in the log and in the record.
    assert!(authority.log().contains("the stream `okta`"));
    until(|| {
        let refused = signals(&authority, "refused=true");
        let of_stream = |signal: &Value| {
            signal["outcome"] == "authorization_invalid" && signal["stream"] == "okta"
        };
        refused.iter().any(of_stream)
    });
    taken(&authority, &good);
}

fn refused(answer: &Answer, status: u16, err: &str, what: &str) {
    assert_eq!(answer.status, status, "{what}: {answer:?}");
    assert_eq!(answer.headers["cache-control"], "no-store");
    assert_eq!(answer.headers["content-language"], "en");
    let body = answer.json();
    assert_eq!(body["err"], err, "{what}: {answer:?}");
    assert!(!body["description"].as_str().unwrap().is_empty());
}

#[test]
fn a_secret_that_is_not_there_keeps_the_authority_from_starting_and_is_named() {
    let directory = directory();
    let of_stream = json!({"delivery": {"push": {"authorization": {"env": "NO_SUCH_SECRET"}}}});
    let start = || streaming(directory.path(), &json!({}), &of_stream);
    let panic = std::panic::catch_unwind(AssertUnwindSafe(start))
        .err()
        .unwrap();
    let message = panic.downcast_ref::<String>().unwrap();
    let expected = "`streams[0].delivery.push.authorization` of the signals file: the environment \
                    variable `NO_SUCH_SECRET` is not set";
    assert!(message.contains(expected), "{message}");
}

/// Times are in whole seconds, and an administrator who is quick does both in one.
#[test]
fn of_two_events_of_one_second_what_comes_later_counts_unless_it_restores_and_was_issued_earlier() {
    let directory = directory();
    let authority = streaming(directory.path(), &json!({}), &json!({}));
    let at = now() - 100;
    let of = |id: &str, name: &str, second: i64, issued: i64| {
        let uri = format!("{RISC}{name}");
        let event = event(id, &uri, &alice(), &json!({}));
        event.claim("toe", at + second).claim("iat", issued)
    };
    let in_force = || history(&authority).len();
    taken(&authority, &of("1", "account-disabled", 0, at + 50));
    taken(&authority, &of("2", "account-enabled", 0, at + 50));
    assert_eq!(in_force(), 0);
    taken(&authority, &of("3", "account-disabled", 0, at + 40));
    assert_eq!(in_force(), 1, "who knows which of both was first");
    taken(&authority, &of("4", "account-enabled", 0, at + 39));
    assert_eq!(in_force(), 1);
    let [late] = signals(&authority, "limit=1").try_into().unwrap();
    let late: Value = late;
    assert!(late["detail"].as_str().unwrap().contains("a later event"));
    taken(&authority, &of("5", "account-enabled", 0, at + 41));
    assert_eq!(in_force(), 0);
    // There is nothing that it could take back.
    taken(&authority, &of("6", "account-enabled", 1, at + 41));
    let [last] = signals(&authority, "limit=1").try_into().unwrap();
    let last: Value = last;
    assert_eq!(last["outcome"], "recorded");
    let detail = last["detail"].as_str().unwrap();
    assert!(detail.contains("nothing was restored"), "{detail}");
}

/// The file of signals may be lost; the store knows for what an entry was revoked.
#[test]
fn what_has_happened_earlier_takes_nothing_back_where_the_file_of_signals_was_lost() {
    let directory = directory();
    let of_issuer = json!({"tokens_carry_device": true});
    let start = || streaming(directory.path(), &of_issuer, &json!({}));
    let device = json!({"format": "complex", "device": {"format": "opaque", "id": "d"}});
    let compliance = |status: &str| json!({"current_status": status});
    let uri = format!("{CAEP}device-compliance-change");
    let at = now() - 1_000;
    let enabled = format!("{RISC}account-enabled");
    let disabled = format!("{RISC}account-disabled");
    let of = |id: &str, uri: &str, subject: &Value, payload: &Value, ago: i64| {
        event(id, uri, subject, payload).claim("toe", at + ago)
    };
    let authority = start();
    let lost = compliance("not-compliant");
    taken(&authority, &of("1", &disabled, &alice(), &json!({}), 500));
    taken(&authority, &of("2", &uri, &device, &lost, 500));
    authority.kill();
    fs::remove_file(directory.path().join("data/signals.redb")).unwrap();
    let authority = start();
    let in_force = || history(&authority).len();
    let found = compliance("compliant");
    taken(&authority, &of("3", &enabled, &alice(), &json!({}), 499));
    taken(&authority, &of("4", &uri, &device, &found, 499));
    assert_eq!(in_force(), 2);
    taken(&authority, &of("5", &enabled, &alice(), &json!({}), 501));
    taken(&authority, &of("6", &uri, &device, &found, 501));
    assert_eq!(in_force(), 0);
}
