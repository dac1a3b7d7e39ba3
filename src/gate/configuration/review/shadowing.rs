//! Rules that no request reaches, since an earlier one matches all of theirs.
//!
//! The first rule that matches decides, so a rule is in the shadow of an earlier one when
//! everything that fits it fits the earlier one too. That is reported only if it follows from how
//! the two are written: a rule that some request can reach is never reported.

use serde_json::Value;

use super::{Reviewed, Rule, elements, finding};
use crate::configuration::Fault;
use crate::gate::text::{Pattern, TextMatcher};

/// The paths that a rule is for.
pub(super) enum Paths {
    /// Those that begin so.
    Prefix(Text),
    /// This one.
    Exact(Text),
    /// Those that begin so, up to the end of a segment.
    Segments(Text),
    /// Those that fit the regular expression.
    Pattern(String),
    /// Those of `CONNECT`, if they have any.
    Connect,
}

/// A text that paths are compared with.
pub(super) struct Text {
    pub(super) text: String,
    ignores_case: bool,
}

impl Reviewed<'_> {
    pub(super) fn shadowed_rules(&self, findings: &mut Vec<Fault>) {
        let rules: Vec<_> = self.rules().collect();
        for (index, rule) in rules.iter().enumerate() {
            let mut earlier = rules.iter().take(index);
            let Some(shadow) = earlier.find(|earlier| earlier.covers(rule)) else {
                continue;
            };
            let is_opened = rule.requirement.needs_token() && !shadow.requirement.needs_token();
            let consequence = if is_opened {
                ", and needs no token: what this rule is to protect is open"
            } else {
                ""
            };
            findings.push(finding(
                &*rule.path,
                format!(
                    "no request gets here: `{}`, which comes first, matches all of them\
                     {consequence}; hint: put this rule before it",
                    shadow.path
                ),
            ));
        }
    }
}

impl Rule<'_> {
    /// Whether each request that the other rule matches is matched by this one.
    fn covers(&self, other: &Self) -> bool {
        let (Some(paths), Some(others)) = (self.paths(), other.paths()) else {
            return false;
        };
        let headers = || {
            let mut own = elements(self.matcher(), "headers");
            own.all(|header| follows(header, other.matcher(), "headers"))
        };
        let parameters = || {
            let mut own = elements(self.matcher(), "query_parameters");
            own.all(|parameter| follows(parameter, other.matcher(), "query_parameters"))
        };
        paths.cover(&others) && headers() && parameters()
    }

    pub(super) fn paths(&self) -> Option<Paths> {
        let matcher = self.matcher();
        let case_sensitive = matcher.get("case_sensitive").and_then(Value::as_bool);
        let text = |text: &str| Text {
            text: text.to_owned(),
            ignores_case: case_sensitive == Some(false),
        };
        if let Some((_, prefix)) = self.text("prefix") {
            Some(Paths::Prefix(text(prefix)))
        } else if let Some((_, path)) = self.text("path") {
            Some(Paths::Exact(text(path)))
        } else if let Some((_, prefix)) = self.text("path_separated_prefix") {
            Some(Paths::Segments(text(prefix)))
        } else if let Some((_, pattern)) = self.pattern() {
            Some(Paths::of_pattern(pattern))
        } else {
            matcher.get("connect_matcher").map(|_| Paths::Connect)
        }
    }
}

impl Paths {
    /// A prefix or a whole path, if the regular expression is nothing else.
    pub(super) fn of_pattern(pattern: &str) -> Self {
        let (text, rest) = literal_prefix(pattern);
        let text = Text {
            text,
            ignores_case: false,
        };
        match rest {
            "" | "$" => Self::Exact(text),
            ".*" | ".*$" => Self::Prefix(text),
            _ => Self::Pattern(pattern.to_owned()),
        }
    }

    /// Whether each of the other paths is one of these.
    pub(super) fn cover(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Connect, Self::Connect) => true,
            (Self::Pattern(own), Self::Pattern(other)) => own == other,
            (Self::Pattern(own), Self::Exact(other)) => {
                let pattern = Pattern::new(own).map(TextMatcher::pattern);
                let matches = pattern.map(|own| own.matches(other.text.as_bytes()));
                matches == Some(Ok(true)) && !other.ignores_case
            }
            (
                Self::Prefix(own),
                Self::Prefix(other) | Self::Exact(other) | Self::Segments(other),
            ) => own.begins(other),
            (Self::Segments(own), Self::Exact(other) | Self::Segments(other)) => {
                own.equals(other) || own.with_slash().begins(other)
            }
            (Self::Segments(own), Self::Prefix(other)) => own.with_slash().begins(other),
            (Self::Exact(own), Self::Exact(other)) => own.equals(other),
            (Self::Prefix(own), Self::Pattern(pattern)) => own.begins(&Text::before(pattern)),
            (Self::Segments(own), Self::Pattern(pattern)) => {
                own.with_slash().begins(&Text::before(pattern))
            }
            // A `CONNECT` may have no path at all, and the remaining cases are not certain.
            _ => false,
        }
    }
}

impl Text {
    /// In this case and no other.
    pub(super) fn new(text: &str) -> Self {
        Self {
            text: text.to_owned(),
            ignores_case: false,
        }
    }

    /// What every path begins with that fits this regular expression.
    fn before(pattern: &str) -> Self {
        Self::new(&literal_prefix(pattern).0)
    }

    fn with_slash(&self) -> Self {
        Self {
            text: format!("{}/", self.text),
            ignores_case: self.ignores_case,
        }
    }

    /// Both texts in a spelling in which they can be compared: if they agree, everything that fits
    /// `other` in any case fits this one. `None` if case matters here and not there.
    fn comparable(&self, other: &Self) -> Option<(String, String)> {
        let has_letters = self.text.bytes().any(|byte| byte.is_ascii_alphabetic());
        if self.ignores_case {
            let lower = |text: &Self| text.text.to_ascii_lowercase();
            Some((lower(self), lower(other)))
        } else if other.ignores_case && has_letters {
            None
        } else {
            Some((self.text.clone(), other.text.clone()))
        }
    }

    fn begins(&self, other: &Self) -> bool {
        let texts = self.comparable(other);
        texts.is_some_and(|(own, other)| other.starts_with(&own))
    }

    fn equals(&self, other: &Self) -> bool {
        let texts = self.comparable(other);
        texts.is_some_and(|(own, other)| own == other)
    }
}

/// What every text begins with that fits a regular expression as a whole, and the rest of the
/// expression. May be shorter than possible, never longer.
pub(super) fn literal_prefix(pattern: &str) -> (String, &str) {
    let pattern = pattern.strip_prefix('^').unwrap_or(pattern);
    if may_have_alternatives(pattern) {
        return (String::new(), pattern);
    }
    let mut literal = String::new();
    let mut rest = pattern;
    loop {
        let mut letters = rest.chars();
        let letter = match (letters.next(), letters.clone().next()) {
            (Some('\\'), Some(escaped)) if escaped.is_ascii_punctuation() => {
                letters.next();
                escaped
            }
            (Some(plain), _) if !r"\.^$*+?()[]{}|".contains(plain) => plain,
            _ => return (literal, rest),
        };
        let after = letters.as_str();
        // It may be missing or repeated.
        if after.starts_with(['*', '?', '{', '+']) {
            return (literal, rest);
        }
        literal.push(letter);
        rest = after;
    }
}

/// Whether the expression as a whole may be one of several: whether there is a `|` outside of
/// parentheses. If brackets and escapes make that hard to tell, there may be.
fn may_have_alternatives(pattern: &str) -> bool {
    if !pattern.contains('|') {
        return false;
    }
    let mut depth = 0_usize;
    pattern.contains(['[', '\\'])
        || pattern.chars().any(|letter| {
            match letter {
                '(' => depth += 1,
                ')' => depth = depth.saturating_sub(1),
                _ => {}
            }
            letter == '|' && depth == 0
        })
}

/// Whether this condition holds for every request for which those of the other rule hold.
fn follows(condition: &Value, other: &Value, key: &str) -> bool {
    elements(other, key).any(|known| {
        let is_same_name = name(known).is_some() && name(known) == name(condition);
        known == condition || (is_same_name && asks_for_presence(condition) && is_present(known))
    })
}

/// Names of parameters differ by their case. If two names of one header count as different, a
/// finding is missed.
fn name(condition: &Value) -> Option<&str> {
    condition.get("name")?.as_str()
}

/// Whether the condition is that there is such a header or parameter, and no more.
fn asks_for_presence(condition: &Value) -> bool {
    let members = condition.as_object().into_iter().flatten();
    let mut members = members.map(|(key, value)| (key.as_str(), value));
    members.all(|(key, value)| match key {
        "name" => true,
        "present_match" => *value == Value::Bool(true),
        _ => *value == Value::Bool(false),
    })
}

/// Whether the condition holds only where there is such a header or parameter.
fn is_present(condition: &Value) -> bool {
    let is_set = |key| condition.get(key) == Some(&Value::Bool(true));
    let asks_for_a_value = || {
        let keys = [
            "string_match",
            "range_match",
            "exact_match",
            "prefix_match",
            "suffix_match",
            "contains_match",
            "safe_regex_match",
        ];
        keys.into_iter().any(|key| condition.get(key).is_some())
    };
    !is_set("treat_missing_header_as_empty") && (asks_for_presence(condition) || asks_for_a_value())
}
