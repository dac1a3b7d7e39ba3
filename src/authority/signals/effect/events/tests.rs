use serde_json::{Value, json};

use super::*;
use crate::authority::configuration::SessionEnd;
use crate::authority::entry::Revocation;
use crate::authority::signals::configuration::{EventActions, SubjectClaims};
use crate::authority::signals::events::read;
use crate::authority::signals::events::tests::{stream, uri};
use crate::authority::signals::logout::tests::{issuer, verified};
use crate::revocation::Kind;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const LIMITS: Limits = Limits {
    max_token_lifetime: Duration::from_hours(24),
    clock_skew: Duration::from_mins(1),
    disagreement: None,
    expiry_margin: Duration::from_mins(15),
};

fn time(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn known() -> SignalIssuer {
    SignalIssuer {
        tokens_carry_device: true,
        ..issuer()
    }
}

fn revoking(event: EventName) -> Stream {
    Stream {
        events: EventActions::with(&[(event, Action::Revoke)]),
        ..stream()
    }
}

/// What follows from an event of this type about `alice`, her session `s`, a device `d` or both.
fn consequences(
    key: &str,
    payload: &Value,
    member: &str,
    (stream, issuer): (&Stream, &SignalIssuer),
) -> Result<Consequences, Code> {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    let member = match member {
        "user" => json!({"format": "iss_sub", "iss": "https://id.example", "sub": "alice"}),
        "session" => json!({"format": "complex", "session": opaque("s")}),
        "device" => json!({"format": "complex", "device": opaque("d")}),
        "user on a device" => json!({
            "format": "complex", "device": opaque("d"),
            "user": {"format": "iss_sub", "iss": "https://id.example", "sub": "alice"},
        }),
        "user of a tenant" => json!({
            "format": "complex", "tenant": opaque("acme"),
            "user": {"format": "iss_sub", "iss": "https://id.example", "sub": "alice"},
        }),
        "client" => json!({"format": "oauth_client", "client_id": "web"}),
        "token" => json!({"format": "jwt_id", "iss": "https://id.example", "jti": "t"}),
        other => panic!("{other}"),
    };
    let claims = json!({
        "iss": "https://id.example", "aud": "other", "iat": NOW - 5, "jti": "j", "sub_id": member,
        "events": {uri(key): payload},
    });
    let token = verified(&json!({"typ": "secevent+jwt", "alg": "ES256"}), &claims);
    let event = read(&token, stream, time(NOW), LIMITS.clock_skew).unwrap();
    of_event(&event, stream, issuer, &LIMITS, time(NOW)).map_err(|refusal| refusal.code)
}

fn revocation(key: &str, payload: &Value, member: &str) -> Revocation {
    let effect = consequences(key, payload, member, (&stream(), &known())).unwrap();
    assert!(effect.restored.is_empty());
    let [request] = effect.revoked.try_into().unwrap();
    request.check("push", time(NOW), &LIMITS).unwrap()
}

#[test]
fn a_critical_tenant_is_taken_into_account_if_all_tokens_are_of_it() {
    let of = |tenants: &[&str]| {
        let stream = Stream {
            critical_subject_members: vec!["tenant".to_owned()],
            tenants: tenants.iter().map(|name| (*name).to_owned()).collect(),
            ..stream()
        };
        let about = (&stream, &known());
        let session = consequences("session-revoked", &json!({}), "user of a tenant", about);
        let account = consequences("account-disabled", &json!({}), "user of a tenant", about);
        [session, account].map(|effect| {
            let [request] = effect?.revoked.try_into().unwrap();
            let revoked = request.check("push", time(NOW), &LIMITS).unwrap();
            Ok((revoked.target.kind, revoked.target.value))
        })
    };
    let alice = Ok((Kind::Subject, "alice".to_owned()));
    assert_eq!(of(&["other", "acme"]), [alice.clone(), alice]);
    for others in [&[][..], &["other"], &["acme2"]] {
        assert_eq!(
            of(others),
            [Err(Code::SubjectCritical), Err(Code::SubjectCritical)]
        );
    }
}

/// The payload of an event of this type from which something follows.
fn of_every_type(event: EventName) -> Value {
    match event {
        EventName::CredentialChange => {
            json!({"credential_type": "pin", "change_type": "delete"})
        }
        EventName::DeviceComplianceChange => json!({"current_status": "not-compliant"}),
        EventName::AssuranceLevelChange => json!({"current_level": "1"}),
        EventName::RiskLevelChange => json!({"current_level": "HIGH", "principal": "USER"}),
        EventName::TokenClaimsChange => json!({"claims": {}}),
        _ => json!({}),
    }
}

fn is_nothing(key: &str, payload: &Value, stream: &Stream) -> bool {
    let effect = consequences(key, payload, "user", (stream, &known())).unwrap();
    effect.revoked.is_empty() && effect.restored.is_empty()
}

#[test]
fn only_what_another_event_takes_back_has_an_origin() {
    for (key, payload, member, expected) in [
        ("account-disabled", json!({}), "user", true),
        ("account-enabled", json!({}), "user", true),
        (
            "device-compliance-change",
            json!({"current_status": "not-compliant"}),
            "device",
            true,
        ),
        (
            "device-compliance-change",
            json!({"current_status": "compliant"}),
            "device",
            true,
        ),
        ("session-revoked", json!({}), "session", false),
        ("account-purged", json!({}), "user", false),
        (
            "account-disabled",
            json!({"reason": "hijacking"}),
            "user",
            false,
        ),
    ] {
        let effect = consequences(key, &payload, member, (&stream(), &known())).unwrap();
        assert_eq!(effect.have_origin(), expected, "{key} {payload}");
    }
}

#[test]
fn what_a_subject_was_issued_until_the_event_is_revoked() {
    let at = json!({"event_timestamp": NOW - 60, "reason_admin": {"en": "lost"}});
    for (key, more) in [
        ("session-revoked", json!({})),
        ("token-claims-change", json!({"claims": {"role": "x"}})),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "update"}),
        ),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "revoke"}),
        ),
        (
            "credential-change",
            json!({"credential_type": "pin", "change_type": "delete"}),
        ),
        ("account-disabled", json!({})),
        ("account-purged", json!({})),
        ("account-credential-change-required", json!({})),
        ("identifier-recycled", json!({})),
        ("sessions-revoked", json!({})),
        ("tokens-revoked", json!({})),
    ] {
        let mut payload = at.clone();
        payload
            .as_object_mut()
            .unwrap()
            .extend(more.as_object().unwrap().clone());
        let revocation = revocation(key, &payload, "user");
        assert_eq!(
            (revocation.target.kind, revocation.target.value.as_str()),
            (Kind::Subject, "alice")
        );
        assert_eq!(revocation.not_before, time(NOW - 59), "{key}");
        assert_eq!(revocation.reason, format!("{key} on the stream okta: lost"));
        assert_eq!(revocation.actor, "push");
    }
}

/// Who has taken an account over has got tokens since that was noticed, too.
#[test]
fn where_someone_else_is_signed_in_all_is_revoked_that_was_issued_before_the_event_was_sent() {
    let risky = revoking(EventName::RiskLevelChange);
    for (key, payload) in [
        ("account-disabled", json!({"reason": "hijacking"})),
        (
            "credential-compromise",
            json!({"credential_type": "password"}),
        ),
        (
            "risk-level-change",
            json!({"current_level": "HIGH", "principal": "USER"}),
        ),
    ] {
        let mut payload = payload;
        payload["event_timestamp"] = json!(NOW - 3_600);
        let effect = consequences(key, &payload, "user", (&risky, &known())).unwrap();
        let [request] = effect.revoked.try_into().unwrap();
        let revocation = request.check("push", time(NOW), &LIMITS).unwrap();
        assert_eq!(revocation.not_before, time(NOW - 4), "{key}");
    }
}

#[test]
fn a_session_or_a_token_is_revoked_and_nothing_else() {
    let session = revocation("session-revoked", &json!({}), "session");
    assert_eq!(
        (session.target.kind, session.target.value.as_str()),
        (Kind::Session, "s")
    );
    assert_eq!(session.not_before, UnixTime::EPOCH);
    let token = revocation("token-claims-change", &json!({"claims": {}}), "token");
    assert_eq!(
        (token.target.kind, token.target.value.as_str()),
        (Kind::Token, "t")
    );
    let returning = SignalIssuer {
        sessions_end: SessionEnd::UntilSignIn,
        ..known()
    };
    let of = (&stream(), &returning);
    let effect = consequences("session-revoked", &json!({}), "session", of).unwrap();
    let request = effect.revoked.into_iter().next().unwrap();
    let session = request.check("push", time(NOW), &LIMITS).unwrap();
    assert_eq!(session.not_before, time(NOW - 4), "until the next sign-in");
}

#[test]
fn only_what_is_about_tokens_may_be_about_all_of_a_client() {
    let acting: Vec<_> = EventName::all_that_may_act()
        .map(|event| (event, Action::Revoke))
        .collect();
    let acting = Stream {
        events: EventActions::with(&acting),
        ..stream()
    };
    for event in EventName::all_that_may_act() {
        let effect = consequences(
            event.key(),
            &of_every_type(event),
            "client",
            (&acting, &known()),
        );
        let is_about_tokens = matches!(event, EventName::TokenRevoked | EventName::TokensRevoked);
        if is_about_tokens {
            let [request] = effect.unwrap().revoked.try_into().unwrap();
            let revocation = request.check("push", time(NOW), &LIMITS).unwrap();
            let target = (revocation.target.kind, revocation.target.value.as_str());
            assert_eq!(target, (Kind::Client, "web"));
            assert_eq!(revocation.not_before, time(NOW - 4));
        } else {
            let refused = effect.map(|effect| effect.revoked.len()).unwrap_err();
            assert_eq!(refused, Code::SubjectFormatUnknown, "{event:?}");
        }
    }
}

/// The transmitter's clock says nothing of that of another issuer.
#[test]
fn cut_offs_of_another_issuers_tokens_reach_as_far_ahead_as_clocks_may_differ() {
    let other = SignalIssuer {
        access_token_issuer: Some("https://api.example".to_owned()),
        ..known()
    };
    let payload = json!({"event_timestamp": NOW - 60});
    for (issuer, expected) in [(known(), NOW - 59), (other, NOW - 59 + 60)] {
        let effect = consequences("session-revoked", &payload, "user", (&stream(), &issuer));
        let [request] = effect.unwrap().revoked.try_into().unwrap();
        assert_eq!(request.not_before, Some(expected));
    }
}

#[test]
fn what_calls_for_no_end_is_only_recorded() {
    let risk = |level: &str| json!({"current_level": level, "principal": "USER"});
    let level = |direction: &str| json!({"current_level": "1", "change_direction": direction});
    for (key, payload) in [
        ("session-established", json!({})),
        ("session-presented", json!({})),
        ("risk-level-change", risk("HIGH")),
        ("assurance-level-change", level("decrease")),
        ("identifier-changed", json!({"new-value": "x"})),
        (
            "credential-change",
            json!({"credential_type": "app", "change_type": "create"}),
        ),
        ("verification", json!({})),
        ("stream-updated", json!({"status": "enabled"})),
    ] {
        assert!(is_nothing(key, &payload, &stream()), "{key}");
    }
    // Where the file says that they end something, some still do not.
    let risky = revoking(EventName::RiskLevelChange);
    for (level, is_ended) in [("LOW", false), ("MEDIUM", false), ("HIGH", true)] {
        assert_eq!(
            is_nothing("risk-level-change", &risk(level), &risky),
            !is_ended
        );
    }
    let assured = revoking(EventName::AssuranceLevelChange);
    for (direction, is_ended) in [("increase", false), ("decrease", true)] {
        let payload = level(direction);
        assert_eq!(
            is_nothing("assurance-level-change", &payload, &assured),
            !is_ended
        );
    }
}

#[test]
fn the_file_can_have_any_event_only_recorded() {
    for event in EventName::all_that_may_act() {
        let payload = of_every_type(event);
        let recording = Stream {
            events: EventActions::with(&[(event, Action::Record)]),
            ..stream()
        };
        assert!(is_nothing(event.key(), &payload, &recording), "{event:?}");
    }
}

#[test]
fn a_device_is_revoked_until_it_is_compliant_and_an_account_until_it_is_enabled() {
    let device = revocation(
        "device-compliance-change",
        &json!({"current_status": "not-compliant"}),
        "device",
    );
    assert_eq!(
        (device.target.kind, device.target.value.as_str()),
        (Kind::Device, "d")
    );
    assert!(device.expires_at > time(NOW + 365 * 86_400));
    let account = revocation("account-disabled", &json!({}), "user");
    for (revocation, key, payload, member) in [
        (
            &device,
            "device-compliance-change",
            json!({"current_status": "compliant"}),
            "device",
        ),
        (&account, "account-enabled", json!({}), "user"),
    ] {
        let effect = consequences(key, &payload, member, (&stream(), &known())).unwrap();
        assert!(effect.revoked.is_empty());
        let [request] = effect.restored.try_into().unwrap();
        let restoration = request.check("push").unwrap();
        assert_eq!(restoration.target, revocation.target);
        assert!(restoration.origin.is_some() && restoration.origin == revocation.origin);
    }
    assert_ne!(device.origin, account.origin);
    // Who took an account over has its tokens, so they do not come back with it.
    let hijacked = revocation("account-disabled", &json!({"reason": "hijacking"}), "user");
    assert_eq!(hijacked.origin, None);
    assert_eq!(
        revocation("session-revoked", &json!({}), "user").origin,
        None
    );
}

/// The next user of the device has nothing to do with it.
#[test]
fn what_has_ended_for_a_user_on_a_device_ends_for_the_user_and_never_for_the_device() {
    let acting = Stream {
        events: EventActions::with(&[
            (EventName::RiskLevelChange, Action::Revoke),
            (EventName::AssuranceLevelChange, Action::Revoke),
        ]),
        ..stream()
    };
    for event in EventName::all_that_may_act() {
        let payload = match event {
            // What is about the device, and what takes something back.
            EventName::DeviceComplianceChange | EventName::AccountEnabled => continue,
            _ => of_every_type(event),
        };
        let of = |member| consequences(event.key(), &payload, member, (&acting, &known()));
        let both = of("user on a device").unwrap().revoked;
        if event == EventName::IdentifierChanged {
            assert!(both.is_empty());
            continue;
        }
        let [request] = both.try_into().unwrap();
        let revocation = request.check("push", time(NOW), &LIMITS).unwrap();
        assert_eq!(
            (revocation.target.kind, revocation.target.value.as_str()),
            (Kind::Subject, "alice"),
            "{event:?}"
        );
        assert!(revocation.not_before > UnixTime::EPOCH, "{event:?}");
        let alone = of("device").unwrap_err();
        assert_eq!(alone, Code::NothingToRevoke, "{event:?}");
    }
}

#[test]
fn a_device_that_tokens_do_not_carry_is_refused() {
    let payload = json!({"current_status": "not-compliant"});
    let of = (&stream(), &issuer());
    let refused = consequences("device-compliance-change", &payload, "device", of).unwrap_err();
    assert_eq!(refused, Code::NothingToRevoke);
}

/// A process that dies before the ledger has the event may carry it out once more.
#[test]
fn the_same_event_means_the_same_whenever_it_is_read() {
    let payload = json!({"event_timestamp": NOW - 60});
    let effect = |now: u64| {
        let claims = json!({
            "iss": "https://id.example", "aud": "other", "iat": NOW - 5, "jti": "j",
            "sub_id": {"format": "iss_sub", "iss": "https://id.example", "sub": "alice"},
            "events": {uri("session-revoked"): payload},
        });
        let token = verified(&json!({"typ": "secevent+jwt", "alg": "ES256"}), &claims);
        let event = read(&token, &stream(), time(now), LIMITS.clock_skew).unwrap();
        let mut effect = of_event(&event, &stream(), &known(), &LIMITS, time(now)).unwrap();
        let request = effect.revoked.pop().unwrap();
        request.check("push", time(now), &LIMITS).unwrap()
    };
    assert_eq!(effect(NOW), effect(NOW + 3_600));
}

/// The examples of the specifications, each signed anew.
#[test]
fn the_examples_of_the_specifications_are_read_as_they_are_meant() {
    let vectors = include_str!("../../../../../tests/vectors/security-events.json");
    let vectors: Value = serde_json::from_str(vectors).unwrap();
    for vector in vectors["events"].as_array().unwrap() {
        let claims = &vector["claims"];
        let from = &vector["from"];
        let iss = claims["iss"].as_str().unwrap().to_owned();
        let iat = time(claims["iat"].as_u64().unwrap());
        let audience = claims["aud"]
            .get(0)
            .unwrap_or(&claims["aud"])
            .as_str()
            .unwrap();
        let stream = Stream {
            issuer: iss.clone(),
            audiences: vec![audience.to_owned()],
            ..stream()
        };
        let issuer = SignalIssuer {
            issuer: iss,
            subject_claims: SubjectClaims::new(&[
                ("email", "email"),
                ("phone_number", "phone_number"),
                ("opaque", "sid"),
            ]),
            subject_issuers: issuers_in(claims),
            ..known()
        };
        let token = verified(&json!({"typ": "secevent+jwt", "alg": "ES256"}), claims);
        let effect = read(&token, &stream, iat, LIMITS.clock_skew)
            .and_then(|event| of_event(&event, &stream, &issuer, &LIMITS, iat));
        let expected = |name: &str| vector.get(name).cloned().unwrap_or_else(|| json!([]));
        match effect {
            Ok(effect) => {
                let revoked = effect.revoked.into_iter();
                let revoked = revoked.map(|one| name(one.kind, one.claim, one.value));
                let restored = effect.restored.into_iter();
                let restored = restored.map(|one| name(one.kind, one.claim, one.value));
                assert_eq!(
                    json!(revoked.collect::<Vec<_>>()),
                    expected("revoked"),
                    "{from}: {claims}"
                );
                assert_eq!(
                    json!(restored.collect::<Vec<_>>()),
                    expected("restored"),
                    "{from}: {claims}"
                );
                assert_eq!(vector.get("code"), None, "{from}: {claims}");
            }
            Err(refusal) => assert_eq!(vector["code"], refusal.code.label(), "{from}: {claims}"),
        }
    }
}

fn name(kind: Kind, claim: Option<String>, value: Option<String>) -> Value {
    let parts = [Some(kind.name().to_owned()), claim, value];
    json!(parts.into_iter().flatten().collect::<Vec<_>>())
}

/// Every `iss` of a subject.
fn issuers_in(claims: &Value) -> Vec<String> {
    let events = claims["events"].as_object().unwrap().values();
    let subjects = events.filter_map(|event| event.get("subject"));
    let subjects = subjects.chain(claims.get("sub_id"));
    let members = subjects.flat_map(|subject| {
        let parts = subject.as_object().unwrap().values();
        parts
            .chain([subject])
            .filter_map(|part| part.get("iss"))
            .collect::<Vec<_>>()
    });
    members
        .filter_map(Value::as_str)
        .map(str::to_owned)
        .collect()
}

#[test]
fn a_reason_that_is_too_long_loses_no_event() {
    let long = "\u{1f600}".repeat(200);
    let payload = json!({"reason_admin": {"en": long}});
    let revocation = revocation("session-revoked", &payload, "user");
    assert!(
        revocation
            .reason
            .starts_with("session-revoked on the stream okta: \u{1f600}")
    );
    assert!(revocation.reason.len() <= MAX_REASON_BYTES);
}
