//! Stands in for the arithmetic of P-384 and P-521 inside the filter.

use crate::token::Algorithm;

/// Nothing: the host has the point.
pub(super) struct Point;

impl Point {
    #[expect(
        clippy::unnecessary_wraps,
        reason = "the arithmetic's own has points that it refuses"
    )]
    pub(super) const fn from_sec1(_algorithm: Algorithm, _point: &[u8]) -> Option<Self> {
        Some(Self)
    }

    /// Cannot be told, so no signature passes.
    #[expect(clippy::unused_self, reason = "the arithmetic's own needs the point")]
    pub(super) const fn verify(&self, _text: &[u8], _signature: &[u8]) -> bool {
        false
    }
}
