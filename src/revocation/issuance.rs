//! When a token was issued: what cut-offs compare with.
//!
//! # Why not `iat` alone?
//!
//! A client that refreshes gets a token with a new `iat`, so by `iat` "sign out everywhere" would end
//! with the next refresh, unless the identity provider has ended its session as well. `auth_time`
//! (OpenID Connect Core section 2) says when the user has really signed in, and stays the same in
//! every token that is refreshed from there. So a cut-off compares with `auth_time` where a token has
//! it, and with `iat` where it has none.
//!
//! A cut-off of an *issuer* always compares with `iat`. It answers a key that has leaked, or tokens
//! that were issued by mistake, and what the issuer signs afterwards is good.
//!
//! # What about an `auth_time` that is odd?
//!
//! It must never help a token past a cut-off:
//!
//! - It counts only where it is earlier than `iat`, which the gate holds to the clock. One that lies in
//!   the future, or later than `iat`, changes nothing.
//! - One that is there and is no time (a text, `null`, milliseconds) counts as the beginning of all
//!   times: every cut-off that names the token applies, as to a token without `iat`. So it is with `0`,
//!   which some versions of providers write where no user has signed in. For such a provider there is
//!   [`CutOffBy::IssuedAt`].
//! - Without `iat`, every cut-off applies as well, whatever `auth_time` says: nothing bounds it then.

use super::Kind;
use crate::time::UnixTime;

/// Which claim of a provider's tokens cut-offs compare with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CutOffBy {
    /// `auth_time` where a token has it, else `iat`.
    #[default]
    AuthTimeOrIssuedAt,
    /// `iat`.
    IssuedAt,
}

/// When a token was issued, and when its user has signed in for it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Issuance {
    issued_at: Option<UnixTime>,
    signed_in_at: Option<UnixTime>,
}

impl Issuance {
    /// Of a token with this `iat` and this `auth_time`, as far as it has them and they count.
    #[must_use]
    pub fn new(issued_at: Option<UnixTime>, auth_time: Option<UnixTime>) -> Self {
        let earlier = |issued_at: UnixTime| auth_time.map_or(issued_at, |time| time.min(issued_at));
        Self {
            issued_at,
            signed_in_at: issued_at.map(earlier),
        }
    }

    /// The instant that a cut-off of this kind compares with; `None` where any cut-off applies.
    #[must_use]
    pub const fn for_kind(self, kind: Kind) -> Option<UnixTime> {
        match kind {
            Kind::Issuer => self.issued_at,
            _ => self.signed_in_at,
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_earlier_of_both_counts_but_for_an_issuer() {
        for (auth_time, expected) in [(None, 10), (Some(3), 3), (Some(10), 10), (Some(11), 10)] {
            let issuance = Issuance::new(Some(time(10)), auth_time.map(time));
            for kind in Kind::ALL {
                let expected = if kind == Kind::Issuer { 10 } else { expected };
                assert_eq!(issuance.for_kind(kind), Some(time(expected)), "{kind:?}");
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn without_an_issue_time_nothing_counts() {
        for auth_time in [None, Some(time(3)), Some(UnixTime::MAX)] {
            let issuance = Issuance::new(None, auth_time);
            assert!(Kind::ALL.map(|kind| issuance.for_kind(kind)) == [None; Kind::ALL.len()]);
        }
    }
}
