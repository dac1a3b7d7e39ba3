//! Makes text from outside safe to print on a terminal.
//!
//! A name in a token, or the reason of an entry, may contain characters that move the cursor,
//! reverse the direction of writing or are invisible, and so make one entry look like another.

use std::fmt::Write as _;

use crate::authority::is_seen;
pub(super) use crate::authority::printable;

/// What is revoked, by the claim of tokens or at the client that belongs to its name, safe to print.
pub(super) fn name_of_target(value: &str, claim: Option<&str>, client: Option<&str>) -> String {
    printable(&match (claim, client) {
        (Some(claim), _) => format!("{claim}={value}"),
        (None, Some(client)) => format!("{value} at {client}"),
        (None, None) => value.to_owned(),
    })
}

/// JSON with the same characters escaped the way JSON does it; in JSON they can only be inside
/// strings.
pub(super) fn printable_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for letter in json.chars() {
        if is_seen(letter) {
            shown.push(letter);
        } else {
            let mut units = [0; 2];
            for unit in letter.encode_utf16(&mut units) {
                // Writing to a string does not fail.
                let _ = write!(shown, "\\u{unit:04x}");
            }
        }
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_means_something_to_a_terminal_or_is_not_seen_is_escaped() {
        assert_eq!(printable("a\u{1b}[2Jé\"\\"), "a\\u{1b}[2Jé\"\\");
        assert_eq!(printable("alice\u{202e}nimda"), "alice\\u{202e}nimda");
        for hidden in [
            '\n',
            '\u{7f}',
            '\u{85}',
            '\u{ad}',
            '\u{200b}',
            '\u{200e}',
            '\u{2028}',
            '\u{2066}',
            '\u{feff}',
            '\u{e0041}',
            '\u{e000}',
        ] {
            let shown = printable(&format!("a{hidden}b"));
            assert!(shown.starts_with("a\\"), "{shown}");
        }
        for seen in ["Zoë", "e\u{301}", "देवनागरी", "文字", "עברית", "🙂"]
        {
            assert_eq!(printable(seen), seen);
        }
    }

    #[test]
    fn escaped_json_says_the_same() {
        let text = "alice\u{202e}nimda \u{e0041}🙂\n";
        let json = serde_json::to_string(text).unwrap();
        let shown = printable_json(&json);
        assert_eq!(shown, "\"alice\\u202enimda \\udb40\\udc41🙂\\n\"");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), text);
    }
}
