use serde_json::json;

use super::*;
use crate::authority::signals::configuration::{Delivery, EventActions, Push};
use crate::authority::signals::logout::tests::{change, verified};
use crate::authority::signals::naming::Role;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const SKEW: Duration = Duration::from_mins(1);

const SESSION_REVOKED: &str = "https://schemas.openid.net/secevent/caep/event-type/session-revoked";

pub(in crate::authority::signals) fn stream() -> Stream {
    Stream {
        name: "okta".to_owned(),
        issuer: "https://id.example".to_owned(),
        audiences: vec!["https://edge.example".to_owned(), "other".to_owned()],
        delivery: Delivery::Push(Push {
            authorization: None,
        }),
        transmitter: None,
        critical_subject_members: Vec::new(),
        tenants: Vec::new(),
        max_age: Duration::from_hours(24),
        events: EventActions::default(),
    }
}

/// An event of this type, from the last part of its URI.
pub(in crate::authority::signals) fn uri(key: &str) -> &'static str {
    let mut all = EventName::ALL.iter();
    all.find(|name| name.key() == key).unwrap().uris()[0]
}

fn good() -> (Value, Value) {
    let claims = json!({
        "iss": "https://id.example", "aud": "https://edge.example", "iat": NOW - 5, "jti": "j",
        "txn": "t", "sub_id": {"format": "opaque", "id": "1"},
        "events": {SESSION_REVOKED: {"event_timestamp": NOW - 30}},
    });
    (json!({"typ": "secevent+jwt", "alg": "ES256"}), claims)
}

fn outcome(header: &Value, claims: &Value) -> Result<SecurityEvent, Code> {
    outcome_at(&stream(), header, claims)
}

fn outcome_at(stream: &Stream, header: &Value, claims: &Value) -> Result<SecurityEvent, Code> {
    let now = UnixTime::from_seconds(NOW).unwrap();
    read(&verified(header, claims), stream, now, SKEW).map_err(|refusal| refusal.code)
}

/// A stream on which this is done about every event about which something can be.
fn stream_that(action: Action) -> Stream {
    let all = EventName::all_that_may_act();
    let all: Vec<_> = all.map(|name| (name, action)).collect();
    Stream {
        events: EventActions::with(&all),
        ..stream()
    }
}

fn with(changes: &Value) -> Result<SecurityEvent, Code> {
    let (header, mut claims) = good();
    change(&mut claims, changes);
    outcome(&header, &claims)
}

/// One of a stream on which something follows from every event that can have that.
fn of_event(key: &str, payload: &Value) -> Result<Event, Code> {
    let (header, mut claims) = good();
    change(&mut claims, &json!({"events": {uri(key): payload}}));
    let event = outcome_at(&stream_that(Action::Revoke), &header, &claims)?;
    assert_eq!(event.flaw, None);
    Ok(event.event)
}

#[test]
fn a_token_in_order_says_what_has_happened_to_whom_and_when() {
    let (header, claims) = good();
    let event = outcome(&header, &claims).unwrap();
    assert_eq!(
        (event.id.as_str(), event.uri.as_str()),
        ("j", SESSION_REVOKED)
    );
    assert_eq!(event.event, Event::Plain(EventName::SessionRevoked));
    let subject = Identifier::Plain(Format::Opaque, "1".to_owned());
    assert_eq!(event.subject, Some(Subject::Simple(subject)));
    assert_eq!(event.happened_at.seconds(), NOW - 30);
    assert_eq!(event.good_until.seconds(), NOW - 5 + 86_400 + 60);
}

#[test]
fn what_may_be_otherwise_may() {
    for changes in [
        json!({"aud": ["x", "other"]}),
        json!({"txn": null}),
        json!({"sub_id": null}),
        json!({"iat": NOW + 60}),
        json!({"iat": NOW - 86_460}),
        json!({"nbf": NOW + 60}),
        json!({"unheard": {"of": 1}}),
        json!({"events": {"urn:example:unheard-of": {}}}),
    ] {
        assert!(with(&changes).is_ok(), "{changes}: {:?}", with(&changes));
    }
    let (mut header, claims) = good();
    for kind in ["secevent+jwt", "application/secevent+jwt", "SecEvent+JWT"] {
        header["typ"] = json!(kind);
        assert!(outcome(&header, &claims).is_ok(), "{kind}");
    }
}

/// Every step with what it refuses.
#[test]
fn every_step_refuses() {
    let long = "x".repeat(1_025);
    let two = json!({SESSION_REVOKED: {}, "urn:example:alias": {}});
    for (changes, expected) in [
        (json!({"exp": NOW + 60}), Code::ExpiryPresent),
        (json!({"sub": "alice"}), Code::SubPresent),
        (json!({"aud": null}), Code::AudienceMismatch),
        (
            json!({"aud": "https://edge.example/"}),
            Code::AudienceMismatch,
        ),
        (json!({"iat": null}), Code::IssueTimeMissing),
        (json!({"iat": NOW + 61}), Code::IssuedAhead),
        (json!({"iat": NOW - 86_461}), Code::TooOld),
        (json!({"nbf": NOW + 61}), Code::NotYetValid),
        (json!({"jti": null}), Code::IdMissing),
        (json!({"jti": ""}), Code::IdMissing),
        (json!({"jti": long}), Code::IdMissing),
        (json!({"events": null}), Code::EventsInvalid),
        (json!({"events": {}}), Code::EventsInvalid),
        (json!({"events": [SESSION_REVOKED]}), Code::EventsInvalid),
        (
            json!({"events": {SESSION_REVOKED: true}}),
            Code::EventsInvalid,
        ),
        (json!({"events": two}), Code::EventsInvalid),
        (json!({"sub_id": "alice"}), Code::SubjectInvalid),
        (json!({"sub_id": {"format": "email"}}), Code::SubjectInvalid),
        (
            json!({"toe": "yesterday", "events": {SESSION_REVOKED: {}}}),
            Code::EventInvalid,
        ),
    ] {
        assert_eq!(with(&changes).unwrap_err(), expected, "{changes}");
    }
    let (mut header, claims) = good();
    for kind in [
        json!("JWT"),
        json!("logout+jwt"),
        json!("at+jwt"),
        json!(""),
        Value::Null,
    ] {
        change(&mut header, &json!({ "typ": kind }));
        assert_eq!(
            outcome(&header, &claims).unwrap_err(),
            Code::TypeMismatch,
            "{kind}"
        );
    }
}

#[test]
fn the_instant_of_an_event_is_its_own_else_that_of_the_token_and_never_after_that() {
    let at = |changes: &Value| with(changes).unwrap().happened_at.seconds();
    let stamped = |time: Value| json!({"events": {SESSION_REVOKED: {"event_timestamp": time}}});
    for (changes, expected) in [
        (stamped(json!(NOW - 100)), NOW - 100),
        // Milliseconds, which no number of seconds can be.
        (stamped(json!((NOW - 100) * 1_000)), NOW - 100),
        (stamped(json!(1_767_225_500.7)), NOW - 100),
        (stamped(json!(0)), 0),
        (stamped(json!(NOW + 1_000)), NOW - 5),
        (stamped(json!((NOW + 1_000) * 1_000)), NOW - 5),
        (json!({"events": {SESSION_REVOKED: {}}}), NOW - 5),
        (
            json!({"toe": NOW - 70, "events": {SESSION_REVOKED: {}}}),
            NOW - 70,
        ),
        (
            json!({"toe": NOW + 70, "events": {SESSION_REVOKED: {}}}),
            NOW - 5,
        ),
        (json!({"toe": NOW - 70}), NOW - 30),
    ] {
        assert_eq!(at(&changes), expected, "{changes}");
    }
    for time in [json!("1"), json!(null), json!(-1), json!(1e19), json!([1])] {
        let refused = with(&stamped(time.clone())).unwrap_err();
        assert_eq!(refused, Code::EventInvalid, "{time}");
    }
}

#[test]
fn the_subject_is_at_the_top_or_in_the_event_as_in_drafts() {
    let inside = json!({"subject": {"subject_type": "email", "email": "a@b"}});
    let email = Some(Subject::Simple(Identifier::Plain(
        Format::Email,
        "a@b".to_owned(),
    )));
    let drafted = json!({"sub_id": null, "events": {SESSION_REVOKED: inside}});
    assert_eq!(with(&drafted).unwrap().subject, email);
    let both = json!({"events": {SESSION_REVOKED: inside}});
    assert_ne!(with(&both).unwrap().subject, email);
}

#[test]
fn an_event_has_what_its_definition_demands() {
    let credential = |change: &str| json!({"credential_type": "pin", "change_type": change});
    let risk =
        |level: &str, principal: &str| json!({"current_level": level, "principal": principal});
    for (key, payload, expected) in [
        (
            "credential-change",
            credential("update"),
            Event::CredentialChange(CredentialChange::Update),
        ),
        (
            "device-compliance-change",
            json!({"current_status": "not-compliant", "previous_status": "compliant"}),
            Event::DeviceCompliance(Compliance::NotCompliant),
        ),
        (
            "assurance-level-change",
            json!({"current_level": "1"}),
            Event::AssuranceLevel(Direction::Unknown),
        ),
        (
            "assurance-level-change",
            json!({"current_level": "1", "change_direction": "decrease"}),
            Event::AssuranceLevel(Direction::Decrease),
        ),
        (
            "risk-level-change",
            risk("HIGH", "DEVICE"),
            Event::RiskLevel {
                level: RiskLevel::High,
                principal: Role::Device,
            },
        ),
        (
            "account-disabled",
            json!({}),
            Event::AccountDisabled { is_hijacked: false },
        ),
        (
            "account-disabled",
            json!({"reason": "hijacking"}),
            Event::AccountDisabled { is_hijacked: true },
        ),
        (
            "account-disabled",
            json!({"reason": "bulk-account"}),
            Event::AccountDisabled { is_hijacked: false },
        ),
        (
            "verification",
            json!({}),
            Event::Verification { state: None },
        ),
        (
            "verification",
            json!({"state": "s"}),
            Event::Verification {
                state: Some("s".to_owned()),
            },
        ),
        (
            "stream-updated",
            json!({"status": "paused", "reason": "r"}),
            Event::StreamUpdated {
                status: StreamStatus::Paused,
                reason: Some("r".to_owned()),
            },
        ),
    ] {
        assert_eq!(of_event(key, &payload), Ok(expected), "{key}: {payload}");
    }
    for (key, payload) in [
        ("credential-change", json!({})),
        ("credential-change", json!({"change_type": "revoke"})),
        ("credential-change", credential("lost")),
        (
            "device-compliance-change",
            json!({"current_status": "complaint"}),
        ),
        ("assurance-level-change", json!({})),
        (
            "assurance-level-change",
            json!({"current_level": "1", "change_direction": "up"}),
        ),
        ("risk-level-change", risk("SEVERE", "USER")),
        ("risk-level-change", risk("HIGH", "PLANET")),
        ("risk-level-change", json!({"current_level": "HIGH"})),
        ("token-claims-change", json!({})),
        ("token-claims-change", json!({"claims": []})),
        ("verification", json!({"state": 7})),
        ("stream-updated", json!({})),
    ] {
        assert_eq!(
            of_event(key, &payload),
            Err(Code::EventInvalid),
            "{key}: {payload}"
        );
    }
}

#[test]
fn words_are_read_in_any_case() {
    for (level, expected) in [
        ("HIGH", RiskLevel::High),
        ("high", RiskLevel::High),
        ("Low", RiskLevel::Low),
    ] {
        let payload = json!({"current_level": level, "principal": "user"});
        let expected = Event::RiskLevel {
            level: expected,
            principal: Role::User,
        };
        assert_eq!(of_event("risk-level-change", &payload), Ok(expected));
    }
    let status = json!({"current_status": "Not-Compliant"});
    let expected = Event::DeviceCompliance(Compliance::NotCompliant);
    assert_eq!(of_event("device-compliance-change", &status), Ok(expected));
}

#[test]
fn what_is_only_recorded_need_not_be_as_its_definition_demands() {
    let (header, good) = good();
    let with = |changes: &Value| {
        let mut claims = good.clone();
        change(&mut claims, changes);
        claims
    };
    let of = |key: &str, payload: Value| with(&json!({"events": {uri(key): payload}}));
    let user = json!({"format": "email"});
    for claims in [
        of(
            "risk-level-change",
            json!({"current_level": "SEVERE", "principal": "USER"}),
        ),
        of("risk-level-change", json!({"current_level": "HIGH"})),
        of("risk-level-change", json!({})),
        of("credential-change", json!({"change_type": "lost"})),
        of("token-claims-change", json!({"claims": []})),
        of("session-revoked", json!({"event_timestamp": "yesterday"})),
        of("session-presented", json!({"event_timestamp": "yesterday"})),
        with(&json!({"sub_id": user})),
        with(&json!({"sub_id": user, "events": {"urn:example:unheard-of": {}}})),
    ] {
        let event = outcome_at(&stream_that(Action::Record), &header, &claims).unwrap();
        assert!(event.flaw.is_some(), "{claims}");
        assert_eq!(event.happened_at, event.issued_at, "{claims}");
    }
    // By default, too, and where something follows it is refused.
    let risk = of("risk-level-change", json!({"current_level": 7}));
    let event = outcome(&header, &risk).unwrap();
    let flaw = "`current_level` of the event is none of `LOW`, `MEDIUM`, `HIGH`";
    assert_eq!(event.flaw.as_deref(), Some(flaw));
    assert_eq!(event.event, Event::Plain(EventName::RiskLevelChange));
    let refused = outcome_at(&stream_that(Action::Revoke), &header, &risk).unwrap_err();
    assert_eq!(refused, Code::EventInvalid);
    // What says something of the stream, and what makes a token one, is as strict as ever.
    for changes in [
        json!({"events": {uri("verification"): {"state": 7}}}),
        json!({"events": {uri("stream-updated"): {}}}),
        json!({"events": {uri("risk-level-change"): true}}),
        json!({"jti": null}),
    ] {
        assert!(outcome_at(&stream_that(Action::Record), &header, &with(&changes)).is_err());
    }
    let whole = outcome_at(&stream_that(Action::Record), &header, &good).unwrap();
    assert_eq!(whole.flaw, None);
}

#[test]
fn histories_have_the_reason_for_administrators() {
    let reason = |reasons: Value| {
        let payload = json!({"reason_admin": reasons});
        with(&json!({"events": {SESSION_REVOKED: payload}}))
            .unwrap()
            .reason
    };
    let expected = Some("lost".to_owned());
    assert_eq!(reason(json!({"de": "verloren", "en": "lost"})), expected);
    assert_eq!(
        reason(json!({"de": "verloren"})),
        Some("verloren".to_owned())
    );
    assert_eq!(reason(json!("lost")), expected);
    assert!(reason(json!("x".repeat(5_000))).unwrap().len() < 200);
    for none in [json!({}), json!(7), json!({"en": 7}), json!("")] {
        assert_eq!(reason(none.clone()), None, "{none}");
    }
}
