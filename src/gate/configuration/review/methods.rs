//! Methods as no client sends them: they are compared with their case (RFC 9110 section 9.1).

use super::{Reviewed, finding};
use crate::configuration::Fault;
use crate::gate::matching::{HeaderMatcher, ValueMatcher};

impl Reviewed<'_> {
    pub(super) fn methods(&self, findings: &mut Vec<Fault>) {
        for rule in self.rules() {
            for (index, header) in rule.known.headers.iter().enumerate() {
                if let Some(method) = in_lower_case(header) {
                    let path = format!("{}.match.headers[{index}]", rule.path);
                    let message = format!(
                        "is for `{}`, which no client sends: methods are compared with their case; \
                         hint: `{method}`",
                        method.to_ascii_lowercase()
                    );
                    findings.push(finding(path, message));
                }
            }
        }
    }
}

/// A method that the matcher takes in lower case, and not as clients send it.
fn in_lower_case(header: &HeaderMatcher) -> Option<&'static str> {
    let ValueMatcher::Text(text) = &header.value else {
        return None;
    };
    let takes = |method: &str| text.matches(method.as_bytes()) == Ok(true);
    let mut methods = METHODS.into_iter().filter(|_| header.name == ":method");
    methods.find(|method| takes(&method.to_ascii_lowercase()) && !takes(method))
}

/// Methods in use, of HTTP, of `WebDAV` and of caches.
const METHODS: [&str; 20] = [
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "CONNECT",
    "TRACE",
    "QUERY",
    "PROPFIND",
    "PROPPATCH",
    "MKCOL",
    "COPY",
    "MOVE",
    "LOCK",
    "UNLOCK",
    "REPORT",
    "SEARCH",
    "PURGE",
];
