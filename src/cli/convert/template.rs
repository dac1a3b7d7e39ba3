//! Envoy's URI templates (`path_match_policy`) as regular expressions.

/// What Envoy takes for a letter of a segment: `pchar` of RFC 3986 section 3.3, with `%` alone.
const LETTER: &str = "a-zA-Z0-9._~%!$&'()+,;:@=-";

/// A pattern for the same paths; `None` if it is not a template.
pub(super) fn pattern(template: &str) -> Option<String> {
    let rest = template.strip_prefix('/')?;
    let mut pattern = String::new();
    for segment in segments(rest)? {
        pattern.push('/');
        pattern.push_str(&segment);
    }
    Some(pattern)
}

/// The patterns of the segments; slashes inside of braces separate those of a variable.
fn segments(text: &str) -> Option<Vec<String>> {
    let mut segments = Vec::new();
    let mut rest = text;
    loop {
        let (segment, behind) = if let Some(variable) = rest.strip_prefix('{') {
            let (variable, behind) = variable.split_once('}')?;
            let inner = match variable.split_once('=') {
                Some((_, inner)) => self::segments(inner)?.join("/"),
                None => star(),
            };
            match behind.split_once('/') {
                Some((literal, behind)) => (inner + &literal_of(literal)?, Some(behind)),
                None => (inner + &literal_of(behind)?, None),
            }
        } else {
            let (segment, behind) = match rest.split_once('/') {
                Some((segment, behind)) => (segment, Some(behind)),
                None => (rest, None),
            };
            let segment = match segment {
                "*" => star(),
                "**" => format!("[/{LETTER}]*"),
                literal => literal_of(literal)?,
            };
            (segment, behind)
        };
        segments.push(segment);
        match behind {
            Some(behind) => rest = behind,
            None => return Some(segments),
        }
    }
}

fn star() -> String {
    format!("[{LETTER}]+")
}

fn literal_of(text: &str) -> Option<String> {
    if text.contains(['*', '{', '}']) {
        return None;
    }
    Some(regex_lite::escape(text))
}

#[cfg(test)]
mod tests {
    use regex_lite::Regex;

    use super::*;

    #[test]
    fn a_template_matches_the_same_paths_as_a_pattern() {
        for (template, path, expected) in [
            ("/a/{id}", "/a/7", true),
            ("/a/{id}", "/a/", false),
            ("/a/{id}", "/a/7/b", false),
            ("/a/*/b", "/a/x/b", true),
            ("/a/**", "/a/x/y", true),
            ("/a/**", "/b/x", false),
            ("/a/{x=b/*}/c", "/a/b/z/c", true),
            ("/a/{x=b/*}/c", "/a/d/z/c", false),
            ("/a.b", "/axb", false),
            ("/a/{id}.json", "/a/7.json", true),
            ("/a/{id=**}", "/a/b/c", true),
        ] {
            let pattern = pattern(template).unwrap();
            let pattern = Regex::new(&format!("^(?:{pattern})$")).unwrap();
            assert_eq!(pattern.is_match(path), expected, "{template} {path}");
        }
        assert_eq!(pattern("a"), None);
        assert_eq!(pattern("/a*"), None);
        assert_eq!(pattern("/{a"), None);
    }
}
