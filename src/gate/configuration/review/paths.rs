//! What rules match: paths and headers that no request has, and open prefixes that reach further
//! than they seem to.

use serde_json::Value;

use super::shadowing::literal_prefix;
use super::{Reviewed, Rule, elements, finding};
use crate::configuration::Fault;

impl Reviewed<'_> {
    pub(super) fn paths(&self, findings: &mut Vec<Fault>) {
        for rule in self.rules() {
            findings.extend(rule.impossible_path());
            findings.extend(rule.loose_prefix());
            for (index, header) in elements(rule.matcher(), "headers").enumerate() {
                let path = format!("{}.match.headers[{index}]", rule.path);
                findings.extend(self.header(&path, header));
            }
        }
    }

    fn header(&self, path: &str, header: &Value) -> Option<Fault> {
        let name = header.get("name")?.as_str()?.to_ascii_lowercase();
        if self.policy.own_headers.has(name.as_bytes()) {
            let message = format!(
                "`{name}` is a header of the gate: it is removed from every request, so no rule \
                 can rely on it"
            );
            return Some(finding(format!("{path}.name"), message));
        }
        if name == ":path" {
            let message = "the path is compared as it was sent, which upstreams may read as \
                           another one: `/public/../admin` begins with `/public/`; hint: match by \
                           `prefix`, `path`, `path_separated_prefix` or `safe_regex`, where all \
                           readings have to agree";
            return Some(finding(format!("{path}.name"), message));
        }
        let range = header.get("range_match")?;
        let end = |key| range.get(key).map_or(Some(0), Value::as_i64);
        (end("start")? >= end("end")?).then(|| {
            let message = "no number is from `start` up to but not including `end`";
            finding(format!("{path}.range_match"), message)
        })
    }
}

impl Rule<'_> {
    /// Every path begins with `/` except the one of `OPTIONS *`, and none has a query in it.
    fn impossible_path(&self) -> Option<Fault> {
        if let Some((path, text)) = self.plain_path() {
            if !text.is_empty() && !text.starts_with(['/', '*']) {
                let message = "no request has such a path: expected a `/` at the beginning";
                return Some(finding(path, message));
            }
            if text.contains(['?', '#']) {
                let message = "no request has such a path: it is matched without the query; hint: \
                               `query_parameters`";
                return Some(finding(path, message));
            }
        }
        let (path, pattern) = self.pattern()?;
        let (literal, _) = literal_prefix(pattern);
        let message = if literal.contains(['?', '#']) {
            "no request has such a path: it is matched without the query; hint: `query_parameters`"
        } else if !literal.is_empty() && !literal.starts_with(['/', '*']) {
            "no request has such a path: the expression has to match the whole of it, which begins \
             with `/`"
        } else {
            return None;
        };
        Some(finding(path, message))
    }

    /// `/public` is the beginning of `/publications` too.
    fn loose_prefix(&self) -> Option<Fault> {
        let (path, prefix) = self.text("prefix")?;
        // A table of letters outside of ASCII would take two kilobytes.
        let in_a_word = |letter: char| letter.is_ascii_alphanumeric() || !letter.is_ascii();
        let ends_in_a_word = prefix.ends_with(in_a_word);
        (ends_in_a_word && !self.requirement.needs_token()).then(|| {
            let message = format!(
                "needs no token, and is the beginning of other words too: `{prefix}-x`; hint: \
                 `prefix: {prefix}/`, or `path_separated_prefix: {prefix}`"
            );
            finding(path, message)
        })
    }
}
