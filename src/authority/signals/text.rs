//! Texts of signals.

use crate::revocation::MAX_NAME_BYTES;

/// What an issuer has signed, short enough for a line of the log.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 128;
    let mut shown: String = text.chars().take(MOST).collect();
    if shown.len() < text.len() {
        shown.push('…');
    }
    shown
}

/// Whether a revocation can have this as a name.
pub(super) const fn is_name(text: &str) -> bool {
    !text.is_empty() && text.len() <= MAX_NAME_BYTES
}
