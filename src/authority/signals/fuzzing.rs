//! Invariants of logout tokens, of the forms that they come in, of security events, and of the answers
//! to polls.

pub use super::oauth::fuzzing::oauth_form;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::configuration::{
    Delivery, EventActions, LogoutScope, Push, SignalIssuer, SignalReceivers, Stream,
    SubjectClaims, SubjectRule,
};
use super::events::Subject;
use super::logout::{self, LOGOUT_EVENT};
use super::transmitter::{MOST_SETS, PollAnswer};
use super::upkeep::turns;
use super::{effect, events, form};
use crate::authority::request::Limits;
use crate::authority::{ConfiguredFile, IssuerKeys, SessionEnd};
use crate::revocation::{EXPIRY_MARGIN, Kind};
use crate::time::UnixTime;
use crate::token::{UnverifiedToken, VerifiedToken};

const SKEW: Duration = Duration::from_mins(1);

const LIMITS: Limits = Limits {
    max_token_lifetime: Duration::from_hours(24),
    clock_skew: SKEW,
    disagreement: None,
    expiry_margin: EXPIRY_MARGIN,
};

/// The body of a request. What is found in it is found again where it is written out plainly, and not
/// where it is there twice.
pub fn logout_form(bytes: &[u8]) {
    let Ok(token) = form::logout_token(bytes) else {
        return;
    };
    assert!(!token.is_empty());
    let escaped: Vec<_> = token.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let escaped = escaped.concat();
    let plain = format!("logout_token={escaped}");
    assert_eq!(form::logout_token(plain.as_bytes()), Ok(token));
    let twice = [bytes, b"&", plain.as_bytes()].concat();
    assert!(form::logout_token(&twice).is_err());
}

/// The answer to a poll. What is read of it is bounded, and the same again; no token is invented, and
/// each event has one turn.
pub fn poll_answer(bytes: &[u8]) {
    let Ok(answer) = PollAnswer::parse(bytes) else {
        return;
    };
    assert!(answer.sets.len() <= MOST_SETS);
    let size =
        |(id, token): &(String, Option<String>)| id.len() + token.as_ref().map_or(0, String::len);
    // An escape takes at least as many bytes as what it stands for.
    assert!(answer.sets.iter().map(size).sum::<usize>() <= bytes.len());
    let again = PollAnswer::parse(bytes).unwrap();
    assert_eq!(
        (again.sets, again.more_available),
        (answer.sets.clone(), answer.more_available)
    );
    let turns = turns(&answer.sets);
    let all: Vec<_> = turns.into_iter().flatten().collect();
    assert_eq!(all, (0..answer.sets.len()).collect::<Vec<_>>());
}

/// The claims of a token with a good signature. One that is accepted is a logout token by its claims
/// alone, and means the same revocations whenever it is read, none of which reaches further than its
/// own instant.
pub fn logout_token(bytes: &[u8]) {
    // 2026-01-01T00:00:00Z.
    let now = UnixTime::from_seconds(1_767_225_600).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"logout+jwt"}"#);
    let token = format!("{header}.{}.AA", URL_SAFE_NO_PAD.encode(bytes));
    let Ok(token) = UnverifiedToken::parse_up_to(1 << 20, token.as_bytes()) else {
        return;
    };
    let token = VerifiedToken::assumed(token);
    for tokens_carry_sid in [true, false] {
        let issuer = issuer(tokens_carry_sid);
        let Ok(logout) = logout::read(&token, &issuer, now, SKEW) else {
            continue;
        };
        let claims: Value = serde_json::from_slice(bytes).unwrap();
        // Beside others, as OpenID Connect Back-Channel Logout 1.0 section 2.4 leaves open.
        assert!(claims["events"][LOGOUT_EVENT].is_object());
        assert!(claims.get("nonce").is_none());
        assert_eq!(claims["jti"], Value::from(logout.id.as_str()));
        assert!(logout.issued_at <= now.later_by(SKEW));
        assert!(logout.good_until >= now);
        let bound = now.later_by(issuer.max_age + 2 * SKEW);
        assert!(logout.good_until <= bound);
        let Ok(requests) = effect::of_logout(&logout, &issuer, &LIMITS, now) else {
            assert!(!tokens_carry_sid && logout.subject.is_none());
            continue;
        };
        let later = now.later_by(Duration::from_mins(5));
        let again = effect::of_logout(&logout, &issuer, &LIMITS, later).unwrap();
        assert_eq!(requests.len(), 1);
        for (request, again) in requests.into_iter().zip(again) {
            let revocation = request.check("caller", now, &LIMITS).unwrap();
            assert_eq!(
                again.check("caller", later, &LIMITS),
                Ok(revocation.clone())
            );
            let (kind, value) = (revocation.target.kind, Value::from(revocation.target.value));
            let is_session = kind == Kind::Session;
            assert_eq!(is_session, tokens_carry_sid && logout.session.is_some());
            assert_eq!(value, claims[if is_session { "sid" } else { "sub" }]);
            if kind.is_cut_off() {
                let next = logout.issued_at.later_by(Duration::from_secs(1));
                assert_eq!(revocation.not_before, next);
            }
        }
    }
}

/// The claims of a token with a good signature, as one of a stream. What is accepted is an event by its
/// claims alone, which means the same whenever it is read and reaches no further than its own `iat`. Every
/// name that is revoked is one that the subject has, a device only where the event is about that, and
/// nothing follows where the subject has a member that is critical and shapes nothing.
pub fn security_event(bytes: &[u8]) {
    // 2026-01-01T00:00:00Z.
    let now = UnixTime::from_seconds(1_767_225_600).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"secevent+jwt"}"#);
    let token = format!("{header}.{}.AA", URL_SAFE_NO_PAD.encode(bytes));
    let Ok(token) = UnverifiedToken::parse_up_to(1 << 20, token.as_bytes()) else {
        return;
    };
    let token = VerifiedToken::assumed(token);
    for tokens_carry_all in [true, false] {
        let issuer = SignalIssuer {
            tokens_carry_device: tokens_carry_all,
            subject_claims: SubjectClaims::new(&[
                ("email", "email"),
                ("opaque", "sid"),
                ("phone_number", "sub"),
                ("tenant", "tid"),
            ]),
            ..issuer(tokens_carry_all)
        };
        let stream = stream();
        let Ok(event) = events::read(&token, &stream, now, SKEW) else {
            continue;
        };
        let claims: Value = serde_json::from_slice(bytes).unwrap();
        assert_eq!(claims["events"].as_object().unwrap().len(), 1);
        assert!(claims.get("exp").is_none() && claims.get("sub").is_none());
        assert_eq!(claims["jti"], Value::from(event.id.as_str()));
        assert!(event.good_until >= now && event.happened_at <= now.later_by(SKEW));
        let later = now.later_by(Duration::from_mins(5));
        let of = |now| effect::of_event(&event, &stream, &issuer, &LIMITS, now);
        let Ok(effect) = of(now) else {
            assert!(of(later).is_err());
            continue;
        };
        let again = of(later).unwrap();
        let names = texts_in(&claims);
        let has = |name: &str| match &event.subject {
            Some(Subject::Complex(members)) => members.iter().any(|(known, _)| known == name),
            _ => false,
        };
        let is_of_device = event.uri.ends_with("/device-compliance-change");
        assert_eq!(effect.revoked.len(), again.revoked.len());
        assert!(effect.revoked.is_empty() || effect.restored.is_empty());
        for (request, again) in effect.revoked.into_iter().zip(again.revoked) {
            let revocation = request.check("caller", now, &LIMITS).unwrap();
            assert_eq!(
                again.check("caller", later, &LIMITS),
                Ok(revocation.clone())
            );
            let target = &revocation.target;
            assert!(names.contains(&target.value) && target.issuer == "i");
            assert!(tokens_carry_all || !matches!(target.kind, Kind::Device | Kind::Session));
            assert_eq!(target.kind == Kind::Device, is_of_device);
            let is_at_client = target.kind == Kind::SubjectAndClient;
            assert!(!is_at_client || names.contains(&target.qualifier));
            // By no claim is a group known here, and both are critical.
            assert!(!has("group"));
            assert_eq!(is_at_client, has("user") && has("application"));
            if target.kind.is_cut_off() {
                let next = |at: UnixTime| at.later_by(Duration::from_secs(1));
                let ends = [next(event.happened_at), next(event.issued_at)];
                assert!(ends.contains(&revocation.not_before));
            }
        }
        for request in effect.restored {
            let restoration = request.check("caller").unwrap();
            assert!(names.contains(&restoration.target.value) && restoration.origin.is_some());
        }
    }
}

/// Every text in a value.
fn texts_in(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(values) => values.iter().flat_map(texts_in).collect(),
        Value::Object(members) => members.values().flat_map(texts_in).collect(),
        _ => Vec::new(),
    }
}

fn stream() -> Stream {
    Stream {
        name: "s".to_owned(),
        issuer: "i".to_owned(),
        audiences: vec!["edge".to_owned()],
        delivery: Delivery::Push(Push {
            authorization: None,
        }),
        transmitter: None,
        critical_subject_members: vec!["group".to_owned(), "application".to_owned()],
        tenants: Vec::new(),
        max_age: Duration::from_hours(24),
        events: EventActions::default(),
    }
}

fn issuer(tokens_carry_sid: bool) -> SignalIssuer {
    SignalIssuer {
        issuer: "i".to_owned(),
        keys: IssuerKeys::File(ConfiguredFile::unnamed("jwks.json")),
        client_ids: vec!["web".to_owned()],
        access_token_issuer: None,
        subject: SubjectRule::Same,
        subject_issuers: Vec::new(),
        subject_claims: SubjectClaims::default(),
        logout_without_sid: LogoutScope::Subject,
        tokens_carry_sid,
        tokens_carry_device: false,
        sessions_end: SessionEnd::ForGood,
        max_age: Duration::from_mins(10),
        receivers: SignalReceivers {
            back_channel_logout: true,
            ..SignalReceivers::default()
        },
    }
}
