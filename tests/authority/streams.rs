//! Streams of events: a transmitter by the book, and one that is not, against a real authority.

use std::fs;
use std::path::Path;
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::keys::jwks;
use super::process::{Authority, directory, until};
use super::transmitter::{RECEIVER, SESSION_REVOKED, Transmitter, now};

mod management;

/// Writes a signals file with one stream, `idp`, of this transmitter.
fn configure(directory: &Path, transmitter: &Transmitter, stream: &Value) -> String {
    fs::write(directory.join("jwks.json"), jwks(&["es256"])).unwrap();
    let issuer = transmitter.issuer();
    let mut described = json!({
        "name": "idp", "issuer": issuer, "audiences": [RECEIVER],
        "delivery": {"poll": {}}, "transmitter": {},
    });
    for (name, member) in stream.as_object().unwrap() {
        described[name] = member.clone();
    }
    let document = json!({
        "listen": "127.0.0.1:0", "streams": [described],
        "issuers": [{"issuer": issuer, "keys": {"jwks_file": "jwks.json"}, "receivers": {}}],
    });
    let file = directory.join("signals.json");
    fs::write(&file, document.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

/// An authority that polls this transmitter.
fn polling(directory: &Path, transmitter: &Transmitter) -> Authority {
    following(directory, transmitter, &json!({}))
}

/// The same, with more members of the stream.
fn following(directory: &Path, transmitter: &Transmitter, stream: &Value) -> Authority {
    let file = configure(directory, transmitter, stream);
    Authority::start_with(directory, &["--signals", &file])
}

fn stream(authority: &Authority) -> Value {
    let answer = authority.get("/v1/streams");
    assert_eq!(answer.status, 200, "{answer:?}");
    answer.json()["streams"][0].clone()
}

fn is_revoked(authority: &Authority, transmitter: &Transmitter, subject: &str) -> bool {
    let check = json!({"issuer": transmitter.issuer(), "subject": subject, "issued_at": 1});
    authority.post("/v1/check", &check).json()["revoked"] == true
}

/// How many signals were carried out.
fn accepted(authority: &Authority) -> usize {
    let (mut count, mut page) = (0, String::new());
    loop {
        let answer = authority
            .get(&format!("/v1/signals?limit=1000{page}"))
            .json();
        let signals = answer["signals"].as_array().unwrap();
        let accepted = signals
            .iter()
            .filter(|signal| signal["outcome"] == "accepted");
        count += accepted
            .filter(|signal| signal["event"] == SESSION_REVOKED)
            .count();
        match answer["next"].as_u64() {
            Some(next) => page = format!("&before={next}"),
            None => return count,
        }
    }
}

#[test]
fn a_stream_is_made_and_verified_and_what_comes_over_it_is_revoked() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let subject = json!({"format": "email", "email": "a@example.com"});
    let described =
        json!({"transmitter": {"subjects": [subject], "events_requested": [SESSION_REVOKED]}});
    let authority = following(directory.path(), &transmitter, &described);
    until(|| stream(&authority)["verified"].is_string());
    let known = stream(&authority);
    assert_eq!(known["stream_id"], "stream-1");
    assert_eq!(known["status"], "enabled");
    assert_eq!(known["delivery"], "poll");
    assert_eq!(known["failures"], 0);
    assert_eq!(
        transmitter.stream()["events_requested"],
        json!([SESSION_REVOKED])
    );
    assert_eq!(transmitter.world().subjects, [subject]);
    transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
    until(|| is_revoked(&authority, &transmitter, "alice"));
    until(|| transmitter.is_acknowledged("1"));
    assert!(!is_revoked(&authority, &transmitter, "bob"));
    until(|| transmitter.is_acknowledged("verification-1"));
    let metrics = authority.get("/metrics").text();
    for expected in [
        "portcullis_stream_enabled{stream=\"idp\"} 1",
        "portcullis_stream_events_total{stream=\"idp\",answer=\"acknowledged\"} 2",
    ] {
        assert!(metrics.contains(expected), "{expected}: {metrics}");
    }
}

#[test]
fn events_that_are_not_in_order_are_refused_with_the_code_of_the_specification() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    let event = |id: &str| transmitter.session_revoked(id, "alice");
    let two = json!({SESSION_REVOKED: {}, "https://schemas.openid.net/secevent/risc/event-type/account-purged": {}});
    let other_key = |id: &str| {
        let issuer = transmitter.issuer();
        let token = super::token::Token::signed_by("es256-other").claim("iss", issuer);
        token
            .header("typ", "secevent+jwt")
            .claim("jti", id)
            .claim("aud", RECEIVER)
    };
    let cases = [
        (
            "issuer",
            event("issuer").claim("iss", "https://other.example"),
            "invalid_issuer",
        ),
        (
            "audience",
            event("audience").claim("aud", "other"),
            "invalid_audience",
        ),
        (
            "type",
            event("type").header("typ", "at+jwt"),
            "invalid_request",
        ),
        ("exp", event("exp").expiring_in(600), "invalid_request"),
        ("sub", event("sub").claim("sub", "alice"), "invalid_request"),
        ("two", event("two").claim("events", two), "invalid_request"),
        (
            "subject",
            event("subject").without_claim("sub_id"),
            "invalid_request",
        ),
        (
            "old",
            event("old").issued_in(-40 * 86_400),
            "invalid_request",
        ),
        ("key", other_key("key"), "invalid_key"),
    ];
    for (id, token, _) in &cases {
        transmitter.enqueue(id, token.to_string());
    }
    let forged = event("forged").to_string();
    let (input, signature) = forged.rsplit_once('.').unwrap();
    let other = if signature.starts_with('A') { "B" } else { "A" };
    transmitter.enqueue("forged", format!("{input}.{other}{}", &signature[1..]));
    transmitter.enqueue("nonsense", "nonsense");
    until(|| transmitter.world().refused.len() == cases.len() + 2);
    let refused = transmitter.world().refused.clone();
    for (id, _, expected) in &cases {
        assert_eq!(refused[*id], *expected, "{id}");
    }
    assert_eq!(refused["forged"], "authentication_failed");
    assert_eq!(refused["nonsense"], "invalid_request");
    assert!(!is_revoked(&authority, &transmitter, "alice"));
    // It goes on with what is in order.
    transmitter.enqueue("good", transmitter.session_revoked("good", "alice"));
    until(|| transmitter.is_acknowledged("good"));
    assert!(is_revoked(&authority, &transmitter, "alice"));
}

#[test]
fn no_answer_of_a_transmitter_ends_the_polls() {
    for bad in [
        [
            (500, ""),
            (200, "{\"sets\": []}"),
            (302, ""),
            (200, "no JSON"),
        ],
        [
            (401, ""),
            (400, "{\"err\": \"x\"}"),
            (200, "{}"),
            (200, "{\"sets\": {\"a\": 7}, \"moreAvailable\": \"maybe\"}"),
        ],
    ] {
        let directory = directory();
        let transmitter = Transmitter::start();
        let bad = bad.map(|(status, body)| (status, body.to_owned()));
        transmitter.world().bad_answers = bad.into();
        let authority = polling(directory.path(), &transmitter);
        transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
        until(|| transmitter.is_acknowledged("1"));
        assert!(is_revoked(&authority, &transmitter, "alice"));
        assert!(transmitter.world().bad_answers.is_empty());
        assert_eq!(stream(&authority)["failures"], 0);
        let fault = stream(&authority)["fault"].clone();
        assert_eq!(fault["reason"], "answer_invalid", "{fault}");
        assert!(authority.log().contains("a transmitter answers again"));
    }
}

/// What could not be acknowledged comes again, and does nothing again.
#[test]
fn events_that_come_again_are_carried_out_once_and_acknowledged_again() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().ignores_acknowledgements = true;
    let authority = polling(directory.path(), &transmitter);
    for number in 0..20 {
        let id = number.to_string();
        transmitter.enqueue(
            &id,
            transmitter.session_revoked(&id, &format!("user-{number}")),
        );
    }
    until(|| transmitter.is_acknowledged("19"));
    let polls = transmitter.world().polls.len();
    until(|| transmitter.world().polls.len() > polls + 3);
    assert_eq!(accepted(&authority), 20);
    transmitter.world().ignores_acknowledgements = false;
    until(|| transmitter.world().acknowledged.len() >= 20);
    let entries = authority.get("/v1/revocations").json();
    for entry in entries["entries"].as_array().unwrap() {
        assert_eq!(entry["history"].as_array().unwrap().len(), 1, "{entry}");
    }
}

/// The same events for ever, and an empty answer that says that there are more, cost a poll now and then.
#[test]
fn a_transmitter_that_brings_nothing_new_is_not_asked_at_once_again() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    until(|| transmitter.is_acknowledged("verification-1"));
    transmitter.world().ignores_acknowledgements = true;
    transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
    until(|| authority.log().contains("sends events again"));
    let polls = transmitter.world().polls.len();
    thread::sleep(Duration::from_secs(5));
    let count = transmitter.world().polls.len() - polls;
    assert!(count <= 6, "{count} polls in five seconds");
    assert_eq!(authority.log().matches("sends events again").count(), 1);
    // What is new comes all the same.
    transmitter.enqueue("2", transmitter.session_revoked("2", "bob"));
    until(|| is_revoked(&authority, &transmitter, "bob"));
    let empty = || (200, "{\"sets\": {}, \"moreAvailable\": true}".to_owned());
    transmitter.world().bad_answers = std::iter::repeat_with(empty).take(1_000).collect();
    thread::sleep(Duration::from_secs(3));
    assert!(transmitter.world().bad_answers.len() > 990);
}

/// Events are fetched where it is known from where, whatever else fails.
#[test]
fn events_are_fetched_while_the_transmitter_says_nothing_of_the_stream() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    until(|| transmitter.is_acknowledged("verification-1"));
    authority.kill();
    transmitter.world().fails_management = true;
    let authority = polling(directory.path(), &transmitter);
    transmitter.enqueue("1", transmitter.session_revoked("1", "alice"));
    until(|| is_revoked(&authority, &transmitter, "alice"));
    until(|| stream(&authority)["fault"]["reason"] == "failing");
    until(|| authority.log().contains("events are fetched all the same"));
    transmitter.world().fails_management = false;
    until(|| stream(&authority)["failures"] == 0);
    assert_eq!(transmitter.streams_made(), 1);
}

/// Of `alice` in a tenant, which her tokens do not have.
fn in_a_tenant(transmitter: &Transmitter, id: &str) -> String {
    let user = json!({"format": "iss_sub", "iss": transmitter.issuer(), "sub": "alice"});
    let tenant = json!({"format": "opaque", "id": "a"});
    let subject = json!({"format": "complex", "user": user, "tenant": tenant});
    let event = transmitter.session_revoked(id, "alice");
    event.claim("sub_id", subject).to_string()
}

/// What the metadata calls critical counts also while it cannot be read.
#[test]
fn no_event_is_half_carried_out_while_the_metadata_cannot_be_read() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().critical_members = vec!["tenant".to_owned()];
    let authority = polling(directory.path(), &transmitter);
    until(|| transmitter.is_acknowledged("verification-1"));
    authority.kill();
    transmitter.world().fails_management = true;
    let authority = polling(directory.path(), &transmitter);
    transmitter.enqueue("1", in_a_tenant(&transmitter, "1"));
    until(|| transmitter.world().refused.contains_key("1"));
    assert_eq!(transmitter.world().refused["1"], "invalid_request");
    assert!(!is_revoked(&authority, &transmitter, "alice"));
    authority.kill();

    // Where it was never read, such an event is put off until it is.
    fs::remove_file(directory.path().join("data/signals.redb")).unwrap();
    let endpoint = format!("{}/poll/stream-1", transmitter.issuer());
    let described = json!({"delivery": {"poll": {"endpoint": endpoint}}});
    let authority = following(directory.path(), &transmitter, &described);
    transmitter.enqueue("2", in_a_tenant(&transmitter, "2"));
    transmitter.enqueue("3", transmitter.session_revoked("3", "bob"));
    until(|| transmitter.is_acknowledged("3"));
    until(|| authority.log().contains("critical_unknown"));
    assert!(!transmitter.is_acknowledged("2"));
    transmitter.world().critical_members.clear();
    transmitter.world().fails_management = false;
    until(|| transmitter.is_acknowledged("2"));
    assert!(is_revoked(&authority, &transmitter, "alice"));
}

/// With a slow clock here, what has just happened lies ahead, and must not be lost for that.
#[test]
fn an_event_that_lies_a_little_ahead_is_put_off_until_then() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let authority = polling(directory.path(), &transmitter);
    let event = |id: &str, user: &str, ahead: u64| {
        let event = transmitter.session_revoked(id, user);
        event.claim("iat", now() + ahead)
    };
    // `--clock-skew` is a minute.
    transmitter.enqueue("1", event("1", "alice", 68));
    transmitter.enqueue("2", event("2", "bob", 4_000));
    until(|| transmitter.world().refused.contains_key("2"));
    until(|| authority.log().contains("ahead_of_clock"));
    assert!(!transmitter.world().refused.contains_key("1"));
    assert!(!transmitter.is_acknowledged("1"));
    let metrics = authority.get("/metrics").text();
    let none = "portcullis_stream_events_total{stream=\"idp\",answer=\"put_off\"} 0";
    assert!(!metrics.contains(none), "{metrics}");
    until(|| transmitter.is_acknowledged("1"));
    assert!(is_revoked(&authority, &transmitter, "alice"));
    assert!(!is_revoked(&authority, &transmitter, "bob"));
}

#[test]
fn an_answer_that_is_too_large_is_asked_for_in_smaller_pieces() {
    let directory = directory();
    let transmitter = Transmitter::start();
    // Three megabytes each: three are more than is read at once, and none can be a token.
    for number in 0..4 {
        transmitter.enqueue(&format!("large-{number}"), "x".repeat(3 << 20));
    }
    transmitter.enqueue("good", transmitter.session_revoked("good", "alice"));
    let authority = polling(directory.path(), &transmitter);
    until(|| transmitter.is_acknowledged("good"));
    assert_eq!(transmitter.world().refused.len(), 4);
    let metrics = authority.get("/metrics").text();
    let counted = "portcullis_stream_calls_total{stream=\"idp\",outcome=\"answer_too_large\"} ";
    assert!(!metrics.contains(&format!("{counted}0")), "{metrics}");
}

/// 2,000 events, and the authority killed again and again while they come.
#[test]
fn nothing_is_lost_or_done_twice_whenever_the_process_is_killed() {
    let is_long = std::env::var_os("PORTCULLIS_LONG").is_some();
    let count = if is_long { 10_000 } else { 2_000 };
    let directory = directory();
    let transmitter = Transmitter::start();
    for number in 0..count {
        let id = format!("event-{number}");
        transmitter.enqueue(
            &id,
            transmitter.session_revoked(&id, &format!("user-{number}")),
        );
    }
    let done = || {
        let world = transmitter.world();
        let acknowledged = world.acknowledged.iter();
        acknowledged.filter(|id| id.starts_with("event-")).count()
    };
    for round in 1..=4 {
        {
            let mut world = transmitter.world();
            // From the last to the first, and more at once than was asked for.
            world.reverses = round % 2 == 0;
            world.at_once = (round == 1).then_some(1_500);
        }
        let authority = polling(directory.path(), &transmitter);
        until(|| done() >= count * round / 5);
        authority.kill();
    }
    assert!(done() < count, "killed too late to show anything");
    let authority = polling(directory.path(), &transmitter);
    until(|| done() == count);
    assert_eq!(accepted(&authority), count);
    for number in 0..count {
        let subject = format!("user-{number}");
        assert!(is_revoked(&authority, &transmitter, &subject), "{subject}");
    }
    assert_eq!(transmitter.streams_made(), 1);
}

#[test]
fn events_of_one_subject_are_carried_out_in_their_order() {
    let directory = directory();
    let transmitter = Transmitter::start();
    let risc = "https://schemas.openid.net/secevent/risc/event-type";
    let subject = json!({"format": "iss_sub", "iss": transmitter.issuer(), "sub": "alice"});
    let names = ["account-disabled", "account-enabled"].iter().cycle();
    for (number, name) in (0..20).zip(names) {
        let id = format!("{name}-{number}");
        let claims = json!({"event_timestamp": now() - 100 + number});
        let event = transmitter.event(&id, &format!("{risc}/{name}"), &claims);
        transmitter.enqueue(&id, event.claim("sub_id", subject.clone()));
    }
    let authority = polling(directory.path(), &transmitter);
    until(|| transmitter.is_acknowledged("account-enabled-19"));
    assert!(!is_revoked(&authority, &transmitter, "alice"));
    // One that had come after a later one would say so.
    let answer = authority.get("/v1/signals?limit=1000").json();
    for signal in answer["signals"].as_array().unwrap() {
        assert!(signal.get("detail").is_none(), "{signal}");
    }
}

#[test]
fn the_authority_stops_although_an_answer_is_held_back() {
    let directory = directory();
    let transmitter = Transmitter::start();
    transmitter.world().delay = Duration::from_secs(30);
    let mut authority = polling(directory.path(), &transmitter);
    until(|| !transmitter.world().polls.is_empty());
    authority.signal("TERM");
    assert!(authority.wait().success());
}
