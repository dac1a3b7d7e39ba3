//! Parts of messages: errors with their causes, numbers with nouns, and texts from outside.

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

/// The text with every character escaped that does not show as itself: controls, direction marks,
/// zero-width blanks, and unassigned code points. Marks that combine with the letter before them
/// stay.
#[must_use]
pub fn printable(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for letter in text.chars() {
        if is_seen(letter) {
            shown.push(letter);
        } else {
            shown.extend(letter.escape_default());
        }
    }
    shown
}

/// The standard library knows which letters can be seen; behind another letter, it takes marks that
/// are put on letters for such. Quotes and backslashes it escapes for another reason.
pub(crate) fn is_seen(letter: char) -> bool {
    if letter.is_ascii() {
        return !letter.is_ascii_control();
    }
    let mut escaped = [0; 8];
    let text = ["a", letter.encode_utf8(&mut escaped)].concat();
    text.escape_debug().eq(text.chars())
}

/// The token in what was pasted: a whole header, a token in quotes, or the token alone.
#[must_use]
pub(crate) fn bare(pasted: &str) -> &str {
    let mut text = pasted.trim().trim_matches(['"', '\'']).trim();
    for word in ["authorization:", "bearer ", "dpop "] {
        if let Some((start, rest)) = text.split_at_checked(word.len())
            && start.eq_ignore_ascii_case(word)
        {
            text = rest.trim_start();
        }
    }
    text
}
