//! Paths that some upstreams take for a protected one, and that an open rule takes here, or one that asks for no
//! sign-in where the other does.
//!
//! To the gate, as to `jwt_authn`, a trailing slash and letters of the other case make another
//! path. Express and others answer both alike unless they are told otherwise.

use super::shadowing::{Paths, Text};
use super::{Reviewed, Rule, finding};
use crate::configuration::Fault;
use crate::gate::policy::Requirement;

/// A path in another spelling, and the rule that lets requests for it through.
struct Opened {
    spelling: String,
    by: String,
    how: Weakness,
}

/// How a rule asks less than another.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Weakness {
    /// For no token.
    IsOpen,
    /// Not how the user has signed in.
    AsksForNoSignIn,
    /// For a token that need not be bound to a key or certificate.
    TakesUnbound,
}

/// What a rule protects: a path, or what begins with it.
struct Protected {
    /// Where the rule says so.
    path: String,
    text: String,
    is_prefix: bool,
    /// How it is written so that other spellings are protected too.
    hint: String,
}

impl Reviewed<'_> {
    pub(super) fn open_spellings(&self, findings: &mut Vec<Fault>) {
        let rules: Vec<_> = self.rules().collect();
        for (index, rule) in rules.iter().enumerate() {
            let Some(Protected {
                path,
                text,
                is_prefix,
                hint,
            }) = rule.protected()
            else {
                continue;
            };
            let mut earlier = rules.iter().take(index);
            // What an earlier rule takes in any spelling is reported as such.
            if !rule.requirement.needs_token() || earlier.any(|earlier| earlier.takes(&text)) {
                continue;
            }
            let spellings = spellings(&text, is_prefix);
            let opened = spellings.filter_map(|spelling| {
                let (by, how) = self.opener(&rules, rule.requirement, &spelling)?;
                Some(Opened { spelling, by, how })
            });
            let opened: Vec<_> = opened.collect();
            let Some(Opened { by, how, .. }) = opened.first() else {
                continue;
            };
            let others = opened.iter();
            let others = others.filter(|other| other.by == *by && other.how == *how);
            let others: Vec<_> = others.map(|one| format!("`{}`", one.spelling)).collect();
            let (are, them) = match &*others {
                [_] => ("is another path", "it"),
                _ => ("are other paths", "them"),
            };
            let does = match how {
                Weakness::IsOpen => format!("leaves {them} open"),
                Weakness::AsksForNoSignIn => format!("asks for no such sign-in at {them}"),
                Weakness::TakesUnbound => {
                    format!("takes tokens at {them} that are bound to nothing")
                }
            };
            let message = format!(
                "{} {are}, and `{by}` {does}, though some upstreams answer {them} alike; hint: \
                 {hint}",
                others.join(" and "),
            );
            findings.push(finding(path, message));
        }
    }

    /// What lets requests for this path through with less than a rule asks for. A rule for this path alone is
    /// intended.
    fn opener(
        &self,
        rules: &[Rule<'_>],
        asked: &Requirement,
        path: &str,
    ) -> Option<(String, Weakness)> {
        let mut deciding = rules.iter().filter(|rule| rule.takes(path));
        let Some(rule) = deciding.next() else {
            let is_open = self.policy.allow_unmatched && !self.has_other_choices();
            return is_open.then(|| ("allow_unmatched".to_owned(), Weakness::IsOpen));
        };
        if matches!(rule.paths(), Some(Paths::Exact(_))) {
            return None;
        }
        let other = rule.requirement;
        let how = if !other.needs_token() {
            Weakness::IsOpen
        } else if asked.asks_for_sign_in(true) && !other.asks_for_sign_in(true) {
            Weakness::AsksForNoSignIn
        } else if self.takes_bound_alone(asked) && !self.takes_bound_alone(other) {
            Weakness::TakesUnbound
        } else {
            return None;
        };
        Some((rule.path.clone(), how))
    }

    /// Whether a token is asked for, in any case, that is bound to a key or certificate.
    fn takes_bound_alone(&self, requirement: &Requirement) -> bool {
        match requirement {
            Requirement::Token { provider, .. } => {
                let provider = self.policy.providers.get(*provider);
                provider.is_some_and(|provider| provider.possession.is_required())
            }
            Requirement::Any(alternatives) => {
                let mut requirements = alternatives.requirements.iter();
                requirements.all(|one| self.takes_bound_alone(one))
            }
            Requirement::All(requirements) => {
                requirements.iter().any(|one| self.takes_bound_alone(one))
            }
            Requirement::Nothing
            | Requirement::AllowMissing(_)
            | Requirement::AllowMissingOrFailed(_) => false,
        }
    }
}

impl Rule<'_> {
    /// Whether it takes every request for this path that reaches it.
    fn takes(&self, path: &str) -> bool {
        let path = Paths::Exact(Text::new(path));
        let covers = self.paths().is_some_and(|paths| paths.cover(&path));
        covers && !self.has_conditions()
    }

    fn protected(&self) -> Option<Protected> {
        if let Some((path, text)) = self.plain_path() {
            let bare = text.trim_end_matches('/');
            return Some(Protected {
                path,
                text: text.to_owned(),
                is_prefix: self.text("path").is_none(),
                hint: format!("`path_separated_prefix: {bare}` with `case_sensitive: false`"),
            });
        }
        let (path, pattern) = self.pattern()?;
        let (text, is_prefix) = match Paths::of_pattern(pattern) {
            Paths::Prefix(prefix) => (prefix.text, true),
            _ => (example(pattern)?, false),
        };
        Some(Protected {
            path,
            text,
            is_prefix,
            hint: "an expression has to match the whole path: `(?i)` before it takes any case, \
                   `(/.*)?` behind it what is below"
                .to_owned(),
        })
    }
}

/// A path that fits the regular expression, where one is found by writing out its usual parts.
fn example(pattern: &str) -> Option<String> {
    let mut written_out = pattern.to_owned();
    for (part, text) in [
        ("[^/]+", "a"),
        ("[^/]*", "a"),
        ("[0-9]+", "1"),
        (r"\d+", "1"),
        (r"\w+", "a"),
        (".+", "a"),
        (".*", "a"),
    ] {
        written_out = written_out.replace(part, text);
    }
    let Paths::Exact(text) = Paths::of_pattern(&written_out) else {
        return None;
    };
    let example = text.text.clone();
    let fits = Paths::of_pattern(pattern).cover(&Paths::Exact(text));
    fits.then_some(example)
}

/// With or without a trailing slash, and in the other case.
fn spellings(path: &str, is_prefix: bool) -> impl Iterator<Item = String> {
    let slash = match path.strip_suffix('/') {
        Some("") => None,
        Some(bare) => Some(bare.to_owned()),
        // What begins with it is taken as well.
        None if is_prefix => None,
        None => Some(format!("{path}/")),
    };
    let upper = path.to_ascii_uppercase();
    let other = if upper == path {
        path.to_ascii_lowercase()
    } else {
        upper
    };
    let case = (other != path).then_some(other);
    slash.into_iter().chain(case)
}
