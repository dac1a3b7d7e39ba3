//! Why something was revoked, as far as it makes a difference to clients.

/// Why something was revoked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema),
    serde(rename_all = "snake_case")
)]
#[repr(u8)]
pub enum Cause {
    /// An operator, the user or a program revoked it: no more is said of the reason.
    #[default]
    Plain = 0,
    /// It is a token whose place another one has taken. Requests in progress go on.
    Rotated = 1,
    /// It is a session that was not used for too long.
    Idle = 2,
    /// It is a session that has lasted for as long as is permitted.
    TooOld = 3,
    /// It is a session that had to make room for another one of the same subject.
    Displaced = 4,
    /// It is a session that looked as if it was used by a thief. Clients are not told.
    Suspicious = 5,
    /// Its issuer has suspended the token, and may take that back.
    Suspended = 6,
}

impl Cause {
    /// Every cause.
    pub const ALL: [Self; 7] = [
        Self::Plain,
        Self::Rotated,
        Self::Idle,
        Self::TooOld,
        Self::Displaced,
        Self::Suspicious,
        Self::Suspended,
    ];

    /// Its number, in the store and in proofs.
    #[must_use]
    pub const fn number(self) -> u8 {
        self as u8
    }

    /// The cause with this number. One that is not known, of a newer version, revokes all the same.
    #[must_use]
    pub fn from_number(number: u8) -> Self {
        let mut all = Self::ALL.into_iter();
        all.find(|cause| cause.number() == number)
            .unwrap_or_default()
    }

    /// Whether nothing more is said of the reason.
    #[must_use]
    pub fn is_plain(&self) -> bool {
        *self == Self::Plain
    }

    /// Whether requests in progress end for it.
    #[must_use]
    pub fn ends_streams(self) -> bool {
        self != Self::Rotated
    }

    /// The cause of what was revoked for this one, and is revoked for `other` as well: the graver of
    /// both, and of two that are as grave, this one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        if other.gravity() > self.gravity() {
            other
        } else {
            self
        }
    }

    /// How much worse it is than others. A session that ended by itself may have been revoked by its
    /// user as well, and what the client is told must not play that down.
    const fn gravity(self) -> u8 {
        match self {
            Self::Rotated => 0,
            Self::Idle | Self::TooOld | Self::Displaced | Self::Suspended => 1,
            Self::Plain | Self::Suspicious => 2,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_that_is_not_known_is_a_plain_revocation() {
        for number in 0..=u8::MAX {
            let known = Cause::ALL.into_iter().find(|cause| *cause as u8 == number);
            assert_eq!(Cause::from_number(number), known.unwrap_or(Cause::Plain));
        }
    }

    #[test]
    fn the_graver_of_two_causes_counts_whichever_is_first() {
        use Cause::{Displaced, Idle, Plain, Rotated, Suspended, Suspicious, TooOld};
        for gentle in [Idle, TooOld, Displaced, Suspended] {
            for grave in [Plain, Suspicious] {
                assert_eq!((gentle.and(grave), grave.and(gentle)), (grave, grave));
            }
            assert_eq!((gentle.and(Rotated), Rotated.and(gentle)), (gentle, gentle));
        }
        assert_eq!((Idle.and(TooOld), TooOld.and(Idle)), (Idle, TooOld));
    }
}
