//! Invariants of requests made of arbitrary bytes.

use std::time::Duration;

pub use super::signals::fuzzing::{
    logout_form, logout_token, oauth_form, poll_answer, security_event,
};
pub use super::status_lists::fuzzing::status_list;

use super::import::{decode, encode, read};
use super::request::{Limits, RestorationRequest, RevocationRequest};
use super::strict;
use crate::revocation::EXPIRY_MARGIN;
use crate::time::UnixTime;

#[cfg(test)]
mod published;

#[cfg(test)]
pub(crate) use published::{in_an_hour, published};

/// The lines of an import, each of which is what the body of a revocation or of a restoration
/// would be.
///
/// A line that is accepted survives staging unchanged, is within the limits, and means the same
/// when it is written out again.
pub fn import(bytes: &[u8]) {
    // 2026-01-01T00:00:00Z.
    let now = UnixTime::from_seconds(1_767_225_600).unwrap();
    let limits = Limits {
        max_token_lifetime: Duration::from_hours(24),
        clock_skew: Duration::from_mins(1),
        disagreement: None,
        expiry_margin: EXPIRY_MARGIN,
    };
    let mut accepted = Vec::new();
    let mut piece = Vec::new();
    for line in bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii) {
        if let Ok(request) = strict::from_slice::<RestorationRequest>(line) {
            let _ = request.check("caller");
        }
        let Ok(revocation) = read(line, "caller", now, &limits) else {
            continue;
        };
        let request: RevocationRequest = strict::from_slice(line).unwrap();
        let again = serde_json::to_vec(&request).unwrap();
        assert_eq!(read(&again, "caller", now, &limits), Ok(revocation.clone()));
        assert!(!revocation.target.issuer.is_empty());
        assert!(revocation.actor.starts_with("caller"));
        assert!(revocation.expires_at <= now.later_by(Duration::from_hours(17_569)));
        assert!(revocation.not_before <= now.later_by(Duration::from_hours(24)));
        encode(&revocation, now, &mut piece);
        accepted.push(revocation);
    }
    assert_eq!(decode(&piece), Some(accepted));
    if let Some(revocations) = decode(bytes) {
        // Only the store writes pieces; a damaged one must still be no more than that.
        assert!(revocations.len() <= bytes.len());
    }
}
