use super::*;
use crate::revocation::EXPIRY_MARGIN;

const NOW: u64 = 1_767_225_600;

fn check(json: &str) -> Result<Revocation, RequestError> {
    let request: RevocationRequest = serde_json::from_str(json).unwrap();
    let limits = Limits {
        max_token_lifetime: Duration::from_secs(1_000),
        expiry_margin: EXPIRY_MARGIN,
    };
    request.check("console", UnixTime::from_seconds(NOW).unwrap(), &limits)
}

fn expires(json: &str) -> u64 {
    check(json).unwrap().expires_at.seconds() - NOW - EXPIRY_MARGIN.as_secs()
}

#[test]
fn an_entry_lives_as_long_as_the_tokens_it_names() {
    let token = r#"{"kind":"token","issuer":"i","value":"v""#;
    assert_eq!(expires(&format!("{token}}}")), 1_000);
    assert_eq!(expires(&format!("{token},\"expires_at\":{}}}", NOW + 7)), 7);
    let subject = r#"{"kind":"subject","issuer":"i","value":"v""#;
    assert_eq!(expires(&format!("{subject}}}")), 1_001);
    assert_eq!(expires(&format!("{subject},\"not_before\":5}}")), 1_000);
    let ahead = format!("{subject},\"not_before\":{}}}", NOW + 60);
    assert_eq!(expires(&ahead), 1_060);
}

#[test]
fn a_cut_off_includes_the_current_second() {
    let revocation = check(r#"{"kind":"issuer","issuer":"i"}"#).unwrap();
    assert_eq!(revocation.not_before.seconds(), NOW + 1);
    assert_eq!(revocation.target.value, "");
}

#[test]
fn times_far_ahead_are_mistakes() {
    let milliseconds =
        format!(r#"{{"kind":"token","issuer":"i","value":"v","expires_at":{NOW}000}}"#);
    assert!(matches!(
        check(&milliseconds),
        Err(RequestError::TooLate {
            field: "expires_at",
            ..
        })
    ));
    let next_week = NOW + 7 * 86_400;
    let cut_off =
        format!(r#"{{"kind":"subject","issuer":"i","value":"v","not_before":{next_week}}}"#);
    assert!(matches!(
        check(&cut_off),
        Err(RequestError::TooLate {
            field: "not_before",
            ..
        })
    ));
}

#[test]
fn who_acts_for_somebody_is_named_beside_him() {
    let revocation = check(r#"{"kind":"issuer","issuer":"i","actor":"alice"}"#).unwrap();
    assert_eq!(revocation.actor, "console:alice");
}
