use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::json;

use super::*;
use crate::revocation::wire::TokenStatus;
use crate::token::UnverifiedToken;

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const URI: &str = "https://i/lists/1";

fn time(seconds: u64) -> UnixTime {
    UnixTime::from_seconds(seconds).unwrap()
}

fn expected() -> Expected<'static> {
    Expected {
        issuer: "i",
        uri: URI,
        not_before: None,
        now: time(NOW),
        clock_skew: Duration::from_mins(1),
    }
}

/// The claims of a list with 16 statuses.
fn claims() -> Value {
    json!({
        "sub": URI, "iat": NOW - 10, "exp": NOW + 3_600, "ttl": 300,
        "status_list": {"bits": 1, "lst": "eNrbuRgAAhcBXQ"},
    })
}

fn token(header: &Value, claims: &Value) -> VerifiedToken {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let token = format!("{}.{}.AA", part(header), part(claims));
    VerifiedToken::assumed(UnverifiedToken::parse(token.as_bytes()).unwrap())
}

fn read_with(change: impl FnOnce(&mut Value)) -> Result<Reading, ListFault> {
    let mut claims = claims();
    change(&mut claims);
    let header = json!({"alg": "ES256", "typ": "statuslist+jwt"});
    read(&token(&header, &claims), expected())
}

#[test]
fn a_list_is_read_with_what_it_says_of_itself() {
    let reading = read_with(|_| ()).unwrap();
    assert_eq!(reading.list.status(0), Some(TokenStatus::Invalid));
    assert_eq!(reading.list.status(1), Some(TokenStatus::Valid));
    assert_eq!(reading.issued_at, time(NOW - 10));
    assert_eq!(reading.good_for, Some(Duration::from_mins(61)));
    assert_eq!(reading.ttl, Some(Duration::from_mins(5)));
    let bare = read_with(|claims| {
        let claims = claims.as_object_mut().unwrap();
        claims.retain(|name, _| name != "exp" && name != "ttl");
        claims.insert("iss".to_owned(), json!("i"));
    })
    .unwrap();
    assert_eq!((bare.good_for, bare.ttl), (None, None));
    let long = read_with(|claims| claims["ttl"] = json!(1e300)).unwrap();
    assert_eq!(long.ttl, Some(LONGEST_TTL));
}

#[test]
fn another_token_of_the_issuer_is_no_list() {
    for (name, is_list) in [
        (Some("statuslist+jwt"), true),
        (Some("application/STATUSLIST+jwt"), true),
        (Some("JWT"), false),
        (Some("at+jwt"), false),
        (None, false),
    ] {
        let mut header = json!({"alg": "ES256"});
        if let Some(name) = name {
            header["typ"] = name.into();
        }
        let read = read(&token(&header, &claims()), expected());
        assert_eq!(
            read.err(),
            (!is_list).then_some(ListFault::Type),
            "{name:?}"
        );
    }
}

#[test]
fn every_rule_is_checked() {
    type Change = fn(&mut Value);
    let cases: [(ListFault, Change); 18] = [
        (ListFault::Issuer, |claims| claims["iss"] = json!("j")),
        (ListFault::Subject, |claims| {
            claims["sub"] = json!("https://i/lists/2");
        }),
        (ListFault::Subject, |claims| {
            claims.as_object_mut().unwrap().remove("sub");
        }),
        (ListFault::IssueTime, |claims| {
            claims.as_object_mut().unwrap().remove("iat");
        }),
        (ListFault::IssueTime, |claims| {
            claims["iat"] = json!(NOW + 61);
        }),
        (ListFault::Expired, |claims| claims["exp"] = json!(NOW - 60)),
        (ListFault::TimeToLive, |claims| claims["ttl"] = json!(0)),
        (ListFault::TimeToLive, |claims| claims["ttl"] = json!(-1)),
        (ListFault::TimeToLive, |claims| claims["ttl"] = json!("300")),
        (ListFault::TimeToLive, |claims| claims["ttl"] = json!(null)),
        (ListFault::Missing, |claims| {
            claims.as_object_mut().unwrap().remove("status_list");
        }),
        (ListFault::Missing, |claims| {
            claims["status_list"] = json!([]);
        }),
        (ListFault::Missing, |claims| {
            claims["status_list"]["bits"] = json!("1");
        }),
        (ListFault::Missing, |claims| {
            claims["status_list"]["bits"] = json!(1.5);
        }),
        (ListFault::Missing, |claims| {
            claims["status_list"]["lst"] = json!(null);
        }),
        (ListFault::Bits, |claims| {
            claims["status_list"]["bits"] = json!(3);
        }),
        (ListFault::Packing, |claims| {
            claims["status_list"]["lst"] = json!("eNrb");
        }),
        (ListFault::Packing, |claims| {
            claims["status_list"]["lst"] = json!("eNrbuRgAAhcBXQ==");
        }),
    ];
    for (expected, change) in cases {
        assert_eq!(read_with(change).err(), Some(expected));
    }
}

#[test]
fn a_list_that_was_recorded_earlier_takes_nothing_back() {
    let header = json!({"alg": "ES256", "typ": "statuslist+jwt"});
    let read_after = |last: u64| {
        let expected = Expected {
            not_before: Some(time(last)),
            ..expected()
        };
        read(&token(&header, &claims()), expected).err()
    };
    assert_eq!(read_after(NOW - 11), None);
    assert_eq!(read_after(NOW - 10), None, "made anew in the same second");
    assert_eq!(read_after(NOW - 9), Some(ListFault::Older));
}
