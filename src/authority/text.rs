//! Parts of messages: errors with their causes, numbers with nouns.

use std::error::Error;
use std::iter;

/// An error and its causes, outermost first.
pub(super) fn causes<'e>(
    error: &'e (dyn Error + 'static),
) -> impl Iterator<Item = &'e (dyn Error + 'static)> {
    iter::successors(Some(error), |error| (*error).source())
}

/// The error with its causes on one line.
#[must_use]
pub fn chain_of(error: &(dyn Error + 'static)) -> String {
    let texts: Vec<_> = causes(error).map(ToString::to_string).collect();
    texts.join(": ")
}

/// A number with the singular or the plural that agrees with it.
#[must_use]
pub(super) fn counted(number: u64, one: &str, many: &str) -> String {
    format!("{number} {}", if number == 1 { one } else { many })
}
