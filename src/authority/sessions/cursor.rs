//! Where a page of a list has ended, as text for callers to hand back.

use super::registry::RegistryError;
use super::session::Session;
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// A fingerprint as two numbers.
#[must_use]
pub(super) fn halves(id: Fingerprint) -> [u64; 2] {
    let number = u128::from_be_bytes(id.0);
    #[expect(
        clippy::cast_possible_truncation,
        reason = "the halves are what is wanted"
    )]
    let halves = [(number >> 64) as u64, number as u64];
    halves
}

/// Numbers as a cursor, such as `1f-0-3a`.
#[must_use]
pub(super) fn cursor_text(numbers: &[u64]) -> String {
    let numbers = numbers.iter().map(|number| format!("{number:x}"));
    numbers.collect::<Vec<_>>().join("-")
}

/// The numbers of a cursor.
///
/// # Errors
///
/// [`RegistryError::Cursor`], if it is not one of so many.
pub(super) fn cursor<const N: usize>(text: &str) -> Result<[u64; N], RegistryError> {
    let number = |digits: &str| {
        let number = u64::from_str_radix(digits, 16).ok();
        number.filter(|number| format!("{number:x}") == digits)
    };
    let numbers: Option<Vec<u64>> = text.split('-').map(number).collect();
    let numbers = numbers.and_then(|numbers| numbers.try_into().ok());
    numbers.ok_or(RegistryError::Cursor)
}

/// Where a session stands among those of its subject, of which the latest is first.
#[must_use]
pub(super) fn position(session: &Session) -> [u64; 3] {
    let [high, low] = halves(session.id);
    [u64::MAX - session.first_seen.seconds(), high, low]
}

/// The position of a cursor.
///
/// # Errors
///
/// [`RegistryError::Cursor`], if no session can stand there.
pub(super) fn position_of(text: &str) -> Result<[u64; 3], RegistryError> {
    let position = cursor::<3>(text)?;
    let [before, ..] = position;
    let first_seen = UnixTime::from_seconds(u64::MAX - before);
    first_seen.map(|_| position).ok_or(RegistryError::Cursor)
}

/// The fingerprint of these halves.
#[must_use]
pub(super) fn joined([high, low]: [u64; 2]) -> Fingerprint {
    Fingerprint(((u128::from(high) << 64) | u128::from(low)).to_be_bytes())
}
