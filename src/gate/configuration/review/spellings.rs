//! Paths that some upstreams take for a protected one, and that an open rule takes here.
//!
//! To the gate, as to `jwt_authn`, a trailing slash and letters of the other case make another
//! path. Express and others answer both alike unless they are told otherwise.

use super::shadowing::{Paths, Text};
use super::{Reviewed, Rule, finding};
use crate::configuration::Fault;

/// A path in another spelling, and the rule that lets requests for it through.
struct Opened {
    spelling: String,
    by: String,
}

impl Reviewed<'_> {
    pub(super) fn open_spellings(&self, findings: &mut Vec<Fault>) {
        let rules: Vec<_> = self.rules().collect();
        for (index, rule) in rules.iter().enumerate() {
            let Some((path, text)) = rule.plain_path() else {
                continue;
            };
            let mut earlier = rules.iter().take(index);
            // What an earlier rule takes in any spelling is reported as such.
            if !rule.requirement.needs_token() || earlier.any(|earlier| earlier.takes(text)) {
                continue;
            }
            let spellings = spellings(text, rule.is_prefix());
            let opened = spellings.filter_map(|spelling| {
                let by = self.opener(&rules, &spelling)?;
                Some(Opened { spelling, by })
            });
            let opened: Vec<_> = opened.collect();
            let Some(Opened { by, .. }) = opened.first() else {
                continue;
            };
            let others = opened.iter().filter(|other| other.by == *by);
            let others: Vec<_> = others.map(|one| format!("`{}`", one.spelling)).collect();
            let (are, them) = match &*others {
                [_] => ("is another path", "it"),
                _ => ("are other paths", "them"),
            };
            let message = format!(
                "{} {are}, and `{by}` leaves {them} open, though some upstreams answer {them} \
                 alike; hint: `path_separated_prefix: {}` with `case_sensitive: false`",
                others.join(" and "),
                text.trim_end_matches('/'),
            );
            findings.push(finding(path, message));
        }
    }

    /// What lets every request for this path through without a token. A rule for this path alone is
    /// intended.
    fn opener(&self, rules: &[Rule<'_>], path: &str) -> Option<String> {
        let mut deciding = rules.iter().filter(|rule| rule.takes(path));
        match deciding.next() {
            Some(rule) if rule.requirement.needs_token() => None,
            Some(rule) if matches!(rule.paths(), Some(Paths::Exact(_))) => None,
            Some(rule) => Some(rule.path.clone()),
            None => (self.policy.allow_unmatched && !self.has_other_choices())
                .then(|| "allow_unmatched".to_owned()),
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

    fn is_prefix(&self) -> bool {
        self.text("path").is_none()
    }
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
