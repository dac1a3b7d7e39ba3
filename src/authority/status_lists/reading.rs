//! What a list says as a token (draft-ietf-oauth-status-list section 5.1), once its signature is good.

use std::time::Duration;

use serde_json::Value;

use super::list::StatusList;
use crate::time::UnixTime;
use crate::token::{VerifiedToken, is_type};

/// A longer `ttl` says no more.
pub(super) const LONGEST_TTL: Duration = Duration::from_hours(24);

/// A list that was verified, with what is said of it.
#[derive(Debug)]
pub(super) struct Reading {
    /// The list.
    pub(super) list: StatusList,
    /// When it was issued.
    pub(super) issued_at: UnixTime,
    /// How long it counts, if that is said: until its `exp`.
    pub(super) good_for: Option<Duration>,
    /// After what time it is to be fetched again at the latest, if that is said.
    pub(super) ttl: Option<Duration>,
}

/// What a list has to be, besides signed.
#[derive(Clone, Copy, Debug)]
pub(super) struct Expected<'e> {
    /// Its issuer, which it may leave out.
    pub(super) issuer: &'e str,
    /// Its address.
    pub(super) uri: &'e str,
    /// When the last one was issued.
    pub(super) not_before: Option<UnixTime>,
    /// The time.
    pub(super) now: UnixTime,
    /// How far clocks may differ.
    pub(super) clock_skew: Duration,
}

/// Why a list does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(crate) enum ListFault {
    /// Its `typ`.
    #[error("expected `statuslist+jwt` as `typ`")]
    Type,
    /// Its `iss`.
    #[error("`iss` is not the issuer of the tokens that refer to it")]
    Issuer,
    /// Its `sub`.
    #[error("`sub` is not the address that it was fetched from")]
    Subject,
    /// Its `iat`.
    #[error("expected `iat`, and none further ahead than clocks may differ")]
    IssueTime,
    /// It was issued before the last one.
    #[error("it was issued earlier than the one before it")]
    Older,
    /// Its `exp`.
    #[error("it has expired")]
    Expired,
    /// Its `ttl`.
    #[error("expected a number of seconds above zero as `ttl`")]
    TimeToLive,
    /// There is no list in it.
    #[error("expected `status_list` with `bits` and `lst`")]
    Missing,
    /// Its `bits`.
    #[error("expected 1, 2, 4 or 8 as `status_list.bits`")]
    Bits,
    /// It could not be unpacked.
    #[error("expected `status_list.lst` in base64url and zlib, of at most 16 MiB unpacked")]
    Packing,
}

/// Reads what was signed.
///
/// # Errors
///
/// [`ListFault`].
pub(super) fn read(token: &VerifiedToken, expected: Expected<'_>) -> Result<Reading, ListFault> {
    let Expected {
        now, clock_skew, ..
    } = expected;
    let token_type = token.token_type().unwrap_or_default();
    if !is_type(token_type, "statuslist+jwt") {
        return Err(ListFault::Type);
    }
    let claims = token.claims();
    if claims
        .issuer()
        .is_some_and(|issuer| issuer != expected.issuer)
    {
        return Err(ListFault::Issuer);
    }
    if claims.string("sub") != Some(expected.uri) {
        return Err(ListFault::Subject);
    }
    let issued_at = claims.issued_at().ok_or(ListFault::IssueTime)?;
    if issued_at > now.later_by(clock_skew) {
        return Err(ListFault::IssueTime);
    }
    if expected.not_before.is_some_and(|last| issued_at < last) {
        return Err(ListFault::Older);
    }
    let good_for = match claims.expires_at() {
        Some(expiry) if now >= expiry.later_by(clock_skew) => return Err(ListFault::Expired),
        Some(expiry) => {
            let seconds = expiry.later_by(clock_skew).seconds();
            Some(Duration::from_secs(seconds.saturating_sub(now.seconds())))
        }
        None => None,
    };
    let list = claims.get("status_list").ok_or(ListFault::Missing)?;
    let bits = list.get("bits").and_then(Value::as_u64);
    let packed = list.get("lst").and_then(Value::as_str);
    let (bits, packed) = bits.zip(packed).ok_or(ListFault::Missing)?;
    Ok(Reading {
        ttl: claims.get("ttl").map(ttl).transpose()?,
        list: StatusList::unpack(bits, packed)?,
        issued_at,
        good_for,
    })
}

fn ttl(value: &Value) -> Result<Duration, ListFault> {
    let seconds = value.as_f64().filter(|seconds| *seconds > 0.0);
    let seconds = seconds.ok_or(ListFault::TimeToLive)?;
    let longest = LONGEST_TTL.as_secs_f64();
    Duration::try_from_secs_f64(seconds.min(longest)).map_err(|_| ListFault::TimeToLive)
}

#[cfg(test)]
mod tests;
