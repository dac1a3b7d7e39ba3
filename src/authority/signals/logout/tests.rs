use serde_json::{Map, json};

use super::*;
use crate::authority::IssuerKeys;
use crate::authority::configuration::{ConfiguredFile, SessionEnd};
use crate::authority::signals::configuration::{
    LogoutScope, SignalReceivers, SubjectClaims, SubjectRule,
};
use crate::host::{ForeignAnswer, SignatureHost};
use crate::token::fixtures::{es256, jwk_set, signed};
use crate::token::{Backend, KeyRules, KeySet, UnverifiedToken};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const SKEW: Duration = Duration::from_mins(1);

pub(in crate::authority::signals) fn issuer() -> SignalIssuer {
    SignalIssuer {
        issuer: "https://id.example".to_owned(),
        keys: IssuerKeys::File(ConfiguredFile::unnamed("jwks.json")),
        client_ids: vec!["web".to_owned(), "app".to_owned()],
        access_token_issuer: None,
        subject: SubjectRule::Same,
        subject_issuers: Vec::new(),
        subject_claims: SubjectClaims::default(),
        logout_without_sid: LogoutScope::Subject,
        tokens_carry_sid: true,
        tokens_carry_device: false,
        sessions_end: SessionEnd::ForGood,
        max_age: Duration::from_mins(10),
        receivers: SignalReceivers {
            back_channel_logout: true,
            ..SignalReceivers::default()
        },
    }
}

/// The header and the claims of a logout token that nothing is wrong with.
fn good() -> (Value, Value) {
    let claims = json!({
        "iss": "https://id.example", "aud": "web", "iat": NOW - 5, "exp": NOW + 115, "jti": "j",
        "sub": "alice", "sid": "s", "events": {LOGOUT_EVENT: {}},
    });
    (json!({"typ": "logout+jwt", "alg": "ES256"}), claims)
}

struct NoHost;

impl SignatureHost for NoHost {
    fn verify_signature(&self, _: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

pub(in crate::authority::signals) fn verified(header: &Value, claims: &Value) -> VerifiedToken {
    let token = signed(
        &es256(),
        header.to_string().as_bytes(),
        claims.to_string().as_bytes(),
    );
    let keys = KeySet::parse(jwk_set(&[&es256()]).as_bytes(), &KeyRules::default()).unwrap();
    let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
    token.verify(&keys, Backend::Module, &NoHost).unwrap()
}

fn outcome(header: &Value, claims: &Value) -> Result<Logout, Code> {
    let now = UnixTime::from_seconds(NOW).unwrap();
    read(&verified(header, claims), &issuer(), now, SKEW).map_err(|refusal| refusal.code)
}

/// The outcome with some claims in place of the good ones; `null` takes one away.
fn with(changes: &Value) -> Result<Logout, Code> {
    let (header, mut claims) = good();
    change(&mut claims, changes);
    outcome(&header, &claims)
}

pub(in crate::authority::signals) fn change(members: &mut Value, changes: &Value) {
    let members: &mut Map<_, _> = members.as_object_mut().unwrap();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            members.remove(name);
        } else {
            members.insert(name.clone(), value.clone());
        }
    }
}

#[test]
fn a_token_in_order_says_who_has_signed_out_and_when() {
    let (header, claims) = good();
    let logout = outcome(&header, &claims).unwrap();
    assert_eq!(logout.id, "j");
    assert_eq!(logout.subject.as_deref(), Some("alice"));
    assert_eq!(logout.session.as_deref(), Some("s"));
    assert_eq!(logout.clients, ["web"]);
    assert_eq!(logout.issued_at.seconds(), NOW - 5);
    // With `exp` and the skew, and never longer than the most age.
    assert_eq!(logout.good_until.seconds(), NOW + 115 + 60);
    for (exp, until) in [(json!(NOW + 86_400), 600), (Value::Null, 600)] {
        let logout = with(&json!({ "exp": exp })).unwrap();
        assert_eq!(logout.good_until.seconds(), NOW - 5 + until + 60);
    }
}

#[test]
fn what_may_be_otherwise_may() {
    for changes in [
        json!({"aud": ["other", "app"]}),
        json!({"sid": null}),
        json!({"sub": null}),
        json!({"exp": null}),
        json!({"exp": NOW - 59}),
        json!({"iat": NOW + 60}),
        json!({"iat": NOW - 660, "exp": null}),
        json!({"nbf": NOW + 60}),
        json!({"iat": 1_767_225_599.5}),
        json!({"events": {LOGOUT_EVENT: {"x": 1}}}),
        // As Keycloak has it.
        json!({"events": {LOGOUT_EVENT: {}, "revoke_offline_access": true}}),
        json!({"azp": "other", "acr": "1"}),
    ] {
        assert!(with(&changes).is_ok(), "{changes}: {:?}", with(&changes));
    }
    let (mut header, claims) = good();
    for kind in [
        json!("JWT"),
        json!("jwt"),
        json!("Logout+JWT"),
        json!("application/logout+jwt"),
        Value::Null,
    ] {
        change(&mut header, &json!({ "typ": kind }));
        assert!(outcome(&header, &claims).is_ok(), "{kind}");
    }
}

/// Every step with what it refuses.
#[test]
fn every_step_refuses() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    for (changes, expected) in [
        (json!({"aud": null}), Code::AudienceMismatch),
        (json!({"aud": []}), Code::AudienceMismatch),
        (json!({"aud": "other"}), Code::AudienceMismatch),
        (
            json!({"aud": ["other", "Web", "web "]}),
            Code::AudienceMismatch,
        ),
        (json!({"iat": null}), Code::IssueTimeMissing),
        (json!({"iat": NOW + 61}), Code::IssuedAhead),
        (json!({"iat": NOW - 661, "exp": null}), Code::TooOld),
        (json!({"iat": NOW - 661}), Code::TooOld),
        (json!({"iat": 0}), Code::TooOld),
        (json!({"exp": NOW - 60}), Code::Expired),
        (json!({"exp": 0}), Code::Expired),
        (json!({"nbf": NOW + 61}), Code::NotYetValid),
        (json!({"jti": null}), Code::IdMissing),
        (json!({"jti": ""}), Code::IdMissing),
        (json!({"jti": long}), Code::IdMissing),
        (json!({"sub": null, "sid": null}), Code::SubjectMissing),
        (json!({"sub": ""}), Code::SubjectInvalid),
        (json!({"sub": long}), Code::SubjectInvalid),
        (json!({"sid": ""}), Code::SubjectInvalid),
        (json!({"sid": 7}), Code::SubjectInvalid),
        (json!({"sid": ["s"]}), Code::SubjectInvalid),
        (json!({"sid": long}), Code::SubjectInvalid),
        (json!({"events": null}), Code::EventsInvalid),
        (json!({"events": {}}), Code::EventsInvalid),
        (json!({"events": []}), Code::EventsInvalid),
        (json!({"events": LOGOUT_EVENT}), Code::EventsInvalid),
        (json!({"events": [LOGOUT_EVENT]}), Code::EventsInvalid),
        (json!({"events": {LOGOUT_EVENT: []}}), Code::EventsInvalid),
        (json!({"events": {LOGOUT_EVENT: true}}), Code::EventsInvalid),
        (
            json!({"events": {"http://schemas.openid.net/event/other": {}}}),
            Code::EventsInvalid,
        ),
        (json!({"nonce": "n"}), Code::NoncePresent),
        (json!({"nonce": ""}), Code::NoncePresent),
        (json!({"nonce": false}), Code::NoncePresent),
    ] {
        assert_eq!(with(&changes).unwrap_err(), expected, "{changes}");
    }
    // `null` is a value.
    let (header, mut claims) = good();
    for (name, expected) in [
        ("nonce", Code::NoncePresent),
        ("sid", Code::SubjectInvalid),
        ("events", Code::EventsInvalid),
    ] {
        let before = claims[name].clone();
        claims[name] = Value::Null;
        assert_eq!(outcome(&header, &claims).unwrap_err(), expected, "{name}");
        change(&mut claims, &json!({ name: before }));
    }
    let (mut header, claims) = good();
    for kind in [
        "at+jwt",
        "secevent+jwt",
        "id_token+jwt",
        "",
        "jwt ",
        "application/jwt2",
    ] {
        header["typ"] = json!(kind);
        assert_eq!(
            outcome(&header, &claims).unwrap_err(),
            Code::TypeMismatch,
            "{kind}"
        );
    }
}

/// An ID token of the same issuer for the same client has to be refused, whatever it has in it.
#[test]
fn an_id_token_is_no_logout_token() {
    let (_, claims) = good();
    let mut id_token = claims;
    change(
        &mut id_token,
        &json!({"events": null, "nonce": "n", "auth_time": NOW}),
    );
    let header = json!({"typ": "JWT", "alg": "ES256"});
    assert_eq!(
        outcome(&header, &id_token).unwrap_err(),
        Code::EventsInvalid
    );
}

#[test]
fn an_operator_is_told_what_to_write_into_the_file() {
    let (header, mut claims) = good();
    claims["aud"] = json!(["shop", "shop2"]);
    let now = UnixTime::from_seconds(NOW).unwrap();
    let refusal = read(&verified(&header, &claims), &issuer(), now, SKEW).unwrap_err();
    assert_eq!(
        refusal.detail,
        "client id `shop`, `shop2` is not among the `client_ids` of its issuer: `web`, `app`"
    );
    claims["aud"] = json!("é".repeat(1_000));
    let refusal = read(&verified(&header, &claims), &issuer(), now, SKEW).unwrap_err();
    assert!(refusal.detail.len() < 500, "{}", refusal.detail);
}
