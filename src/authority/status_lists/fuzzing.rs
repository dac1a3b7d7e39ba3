//! Invariants of status lists.

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::list::{MAX_BYTES, StatusList};
use super::reading::{Expected, LONGEST_TTL, read};
use crate::revocation::wire::TokenStatus;
use crate::time::UnixTime;
use crate::token::{UnverifiedToken, VerifiedToken};

const SKEW: Duration = Duration::from_mins(1);

const URI: &str = "https://i/lists/1";

/// The claims of a token with a good signature, or where it does not begin as an object, a byte for the
/// number of bits and a packed list.
///
/// A list that is accepted has a status for every index below its end and for none from there on, is not
/// longer than it may be, and counts neither from a time ahead nor for no time at all.
pub fn status_list(bytes: &[u8]) {
    match bytes.split_first() {
        Some((b'{', _)) => claims(bytes),
        Some((bits, packed)) => {
            if let Ok(list) = StatusList::unpack(u64::from(*bits), &URL_SAFE_NO_PAD.encode(packed))
            {
                check(&list);
            }
        }
        None => {}
    }
}

fn claims(bytes: &[u8]) {
    // 2026-01-01T00:00:00Z.
    let now = UnixTime::from_seconds(1_767_225_600).unwrap();
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"ES256","typ":"statuslist+jwt"}"#);
    let token = format!("{header}.{}.AA", URL_SAFE_NO_PAD.encode(bytes));
    let Ok(token) = UnverifiedToken::parse_up_to(1 << 20, token.as_bytes()) else {
        return;
    };
    let token = VerifiedToken::assumed(token);
    let expected = Expected {
        issuer: "i",
        uri: URI,
        not_before: None,
        now,
        clock_skew: SKEW,
    };
    let Ok(reading) = read(&token, expected) else {
        return;
    };
    assert_eq!(token.claims().string("sub"), Some(URI));
    assert!(token.claims().issuer().is_none_or(|issuer| issuer == "i"));
    assert!(reading.issued_at <= now.later_by(SKEW));
    assert!(reading.good_for.is_none_or(|time| time > Duration::ZERO));
    assert!(reading.ttl.is_none_or(|ttl| ttl <= LONGEST_TTL));
    check(&reading.list);
    let again = Expected {
        not_before: Some(reading.issued_at.later_by(Duration::from_secs(1))),
        ..expected
    };
    assert!(read(&token, again).is_err(), "it is older");
}

fn check(list: &StatusList) {
    assert!(list.bytes() <= MAX_BYTES);
    assert_eq!(list.changes(list).next(), None);
    let end = list.bytes() as u64 * list.in_byte();
    assert_eq!((list.status(end), list.status(u64::MAX)), (None, None));
    // As if nothing had been wrong before.
    let changed: Vec<_> = list.changes(&list.valid()).take(1_000).collect();
    let is_bad = |index: &u64| list.status(*index) != Some(TokenStatus::Valid);
    let bad: Vec<_> = (0..end).filter(is_bad).take(1_000).collect();
    assert_eq!(changed, bad);
}

impl StatusList {
    /// A list as long as this one, in which all is well.
    fn valid(&self) -> Self {
        Self::of(
            8,
            vec![0; self.bytes() * usize::try_from(self.in_byte()).unwrap()],
        )
    }
}
