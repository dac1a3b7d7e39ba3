//! For how long sessions end that users, a session policy or a suspicion end.

use std::collections::HashSet;
use std::time::Duration;

use super::session::{Name, Session};
use crate::authority::configuration::{Issuer, SessionEnd};
use crate::revocation::{CutOffBy, Issuance, Kind};
use crate::time::UnixTime;

/// The issuers whose sessions live again once their users have signed in anew.
///
/// Where cut-offs do not compare with `auth_time`, none does: it would live again with the next refresh.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct SessionEnds {
    until_sign_in: HashSet<String>,
}

impl SessionEnds {
    /// As these issuers are configured.
    #[must_use]
    pub(in crate::authority) fn of(issuers: &[Issuer]) -> Self {
        let until_sign_in = issuers.iter().filter(|issuer| {
            issuer.sessions_end == SessionEnd::UntilSignIn
                && issuer.cut_off_by == CutOffBy::AuthTimeOrIssuedAt
        });
        Self {
            until_sign_in: until_sign_in.map(|issuer| issuer.issuer.clone()).collect(),
        }
    }

    /// Which tokens are revoked with a session whose user signed in then, as in
    /// [`Revocation`](crate::authority::entry::Revocation): those of sign-ins before an instant, or all
    /// of them, for which the epoch stands.
    #[must_use]
    pub(in crate::authority) fn not_before(
        &self,
        issuer: &str,
        signed_in: Option<UnixTime>,
    ) -> UnixTime {
        let signed_in = signed_in.filter(|_| self.until_sign_in.contains(issuer));
        let next = |time: UnixTime| time.later_by(Duration::from_secs(1));
        signed_in.map_or(UnixTime::EPOCH, next)
    }

    /// The same for a session of the registry. One that is a single token ends with it.
    #[must_use]
    pub(in crate::authority) fn not_before_of(&self, session: &Session) -> UnixTime {
        match session.name {
            Name::Session(_) => self.not_before(&session.issuer, session.signed_in()),
            Name::Token(_) => UnixTime::EPOCH,
        }
    }
}

/// When the user signed in, where that is known and a revocation of the session compares with it.
#[must_use]
pub(in crate::authority) fn signed_in(
    auth_time: Option<UnixTime>,
    issuance: Issuance,
) -> Option<UnixTime> {
    auth_time.and(issuance.for_kind(Kind::Session))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    #[test]
    fn a_session_lives_again_where_its_issuer_says_so_and_sign_ins_are_known() {
        let ends = SessionEnds {
            until_sign_in: HashSet::from(["again".to_owned()]),
        };
        for (issuer, auth_time, issued_at, expected) in [
            ("again", Some(5), Some(9), 6),
            // The earlier one, as at the edge.
            ("again", Some(9), Some(5), 6),
            ("again", None, Some(9), 0),
            ("again", Some(5), None, 0),
            ("never", Some(5), Some(9), 0),
        ] {
            let auth_time = auth_time.map(time);
            let issuance = Issuance::new(issued_at.map(time), auth_time);
            let not_before = ends.not_before(issuer, signed_in(auth_time, issuance));
            assert_eq!(not_before.seconds(), expected, "{issuer} {auth_time:?}");
        }
    }
}
