//! In which order the events of one answer are carried out: many at once, which share commits, but
//! those about one subject one after the other, as they stand (SSF 1.0 section 8.1.2).

use std::collections::HashSet;
use std::ops::Range;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

/// Events that are carried out at once: fewer than the verifier has room for, also where several streams
/// are polled.
const MOST_AT_ONCE: usize = 64;

/// Divides events into turns. All of one turn are about different subjects.
pub(in crate::authority::signals) fn turns(
    tokens: &[(String, Option<String>)],
) -> Vec<Range<usize>> {
    let mut turns = Vec::new();
    let mut subjects = HashSet::new();
    let mut start = 0;
    for (index, (_, token)) in tokens.iter().enumerate() {
        let subject = token.as_deref().and_then(unverified_subject);
        // What has no subject that can be read may be about any.
        let begins = index - start == MOST_AT_ONCE
            || subject
                .as_ref()
                .is_none_or(|subject| subjects.contains(subject))
            || subjects.is_empty();
        if begins && index > start {
            turns.push(start..index);
            start = index;
            subjects.clear();
        }
        subjects.extend(subject);
    }
    if start < tokens.len() {
        turns.push(start..tokens.len());
    }
    turns
}

/// What a token is about, only to tell whether two are about the same. Nothing is believed of it.
fn unverified_subject(token: &str) -> Option<String> {
    let claims = token.split('.').nth(1)?;
    let claims = URL_SAFE_NO_PAD.decode(claims).ok()?;
    let claims: Value = serde_json::from_slice(&claims).ok()?;
    if let Some(subject) = claims.get("sub_id") {
        return Some(subject.to_string());
    }
    let events = claims.get("events")?.as_object()?;
    let subject = events.values().find_map(|event| event.get("subject"))?;
    Some(subject.to_string())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(claims: &Value) -> (String, Option<String>) {
        let claims = URL_SAFE_NO_PAD.encode(claims.to_string());
        (String::new(), Some(format!("a.{claims}.c")))
    }

    fn bounds(tokens: &[(String, Option<String>)]) -> Vec<(usize, usize)> {
        let turns = turns(tokens).into_iter();
        turns.map(|turn| (turn.start, turn.end)).collect()
    }

    fn of(subject: &str) -> (String, Option<String>) {
        event(&json!({"sub_id": {"format": "opaque", "id": subject}}))
    }

    #[test]
    fn events_of_one_subject_are_never_in_one_turn() {
        let older = event(&json!({"events": {"e": {"subject": {"email": "a"}}}}));
        for (tokens, expected) in [
            (vec![], vec![]),
            (vec![of("a")], vec![(0, 1)]),
            (vec![of("a"), of("b"), of("c")], vec![(0, 3)]),
            (
                vec![of("a"), of("b"), of("a"), of("b")],
                vec![(0, 2), (2, 4)],
            ),
            (
                vec![of("a"), of("a"), of("a")],
                vec![(0, 1), (1, 2), (2, 3)],
            ),
            (vec![older.clone(), of("b"), older], vec![(0, 2), (2, 3)]),
        ] {
            assert_eq!(bounds(&tokens), expected, "{tokens:?}");
        }
    }

    #[test]
    fn what_has_no_subject_has_a_turn_of_its_own() {
        let nothing = (String::new(), None);
        let tokens = [
            of("a"),
            nothing.clone(),
            of("b"),
            event(&json!({})),
            nothing,
        ];
        assert_eq!(bounds(&tokens), [(0, 1), (1, 2), (2, 3), (3, 4), (4, 5)]);
    }

    #[test]
    fn a_turn_is_bounded() {
        let tokens: Vec<_> = (0..150).map(|number| of(&number.to_string())).collect();
        assert_eq!(bounds(&tokens), [(0, 64), (64, 128), (128, 150)]);
    }
}
