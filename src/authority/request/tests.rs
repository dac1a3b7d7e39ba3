use super::*;
use crate::authority::strict;
use crate::revocation::EXPIRY_MARGIN;

const NOW: u64 = 1_767_225_600;
const SKEW: u64 = 60;

fn check(json: &str) -> Result<Revocation, RequestError> {
    let request: RevocationRequest = strict::from_slice(json.as_bytes()).unwrap();
    let limits = Limits {
        max_token_lifetime: Duration::from_secs(1_000),
        clock_skew: Duration::from_secs(SKEW),
        disagreement: None,
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
    assert_eq!(expires(&format!("{token}}}")), 1_000 + SKEW);
    assert_eq!(expires(&format!("{token},\"expires_at\":{}}}", NOW + 7)), 7);
    let subject = r#"{"kind":"subject","issuer":"i","value":"v""#;
    let not_before = |seconds: u64| format!("{subject},\"not_before\":{seconds}}}");
    assert_eq!(expires(&not_before(5)), 1_000 + SKEW);
    assert_eq!(expires(&not_before(NOW + 70)), 1_070);
}

/// The latest such token was issued up to a second before the cut-off by a clock that is ahead by
/// the skew, and an edge whose clock is behind by as much accepts it for that much longer.
#[test]
fn a_cut_off_outlives_every_token_that_it_names() {
    for kind in ["subject", "client"] {
        let request = format!(r#"{{"kind":"{kind}","issuer":"i","value":"v""#);
        let revocation = check(&format!("{request}}}")).unwrap();
        let last_end = revocation.not_before.seconds() + 1_000;
        assert!(revocation.expires_at.seconds() >= last_end + EXPIRY_MARGIN.as_secs());
        let in_an_hour = NOW + 3_600;
        let told = format!(r#"{request},"expires_at":{in_an_hour}}}"#);
        assert_eq!(expires(&told), 3_600 + SKEW);
        let told = format!(r#"{request},"expires_at":{in_an_hour},"not_before":{NOW}}}"#);
        assert_eq!(
            expires(&told),
            3_600,
            "what the caller says is taken as it is"
        );
    }
}

#[test]
fn a_cut_off_reaches_as_far_ahead_as_the_clock_of_an_issuer_may_be() {
    for kind in ["subject", "client"] {
        let request = format!(r#"{{"kind":"{kind}","issuer":"i","value":"v""#);
        let revocation = check(&format!("{request}}}")).unwrap();
        assert_eq!(revocation.not_before.seconds(), NOW + SKEW + 1);
        let revocation = check(&format!(r#"{request},"not_before":{NOW}}}"#)).unwrap();
        assert_eq!(revocation.not_before.seconds(), NOW);
    }
    let revocation = check(r#"{"kind":"issuer","issuer":"i"}"#).unwrap();
    assert_eq!(revocation.not_before.seconds(), NOW + SKEW + 1);
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
fn the_caller_is_named_beside_the_one_it_acts_for() {
    let revocation = check(r#"{"kind":"issuer","issuer":"i","actor":"alice"}"#).unwrap();
    assert_eq!(revocation.actor, "console:alice");
}
