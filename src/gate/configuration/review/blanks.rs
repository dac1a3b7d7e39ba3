//! Blanks in issuers and audiences, which are compared as they are written.

use serde_json::Value;

use super::{Reviewed, elements, finding, members};
use crate::configuration::{Fault, joined};

impl Reviewed<'_> {
    pub(super) fn blanks(&self, findings: &mut Vec<Fault>) {
        for (name, written) in members(self.configuration, "providers") {
            let path = joined("providers", name);
            let issuer = written.get("issuer").and_then(Value::as_str);
            if issuer.is_some_and(|issuer| issuer.trim() != issuer) {
                let message = "begins or ends with a blank or a line break, which belongs to what \
                               `iss` has to be; hint: in YAML, a block after `|` or `>` ends with \
                               a line break";
                findings.push(finding(joined(&path, "issuer"), message));
            }
            audiences(&path, written, findings);
        }
    }
}

/// What is wrong with the `audiences` of a provider or a requirement, which has this path.
pub(super) fn audiences(path: &str, holder: &Value, findings: &mut Vec<Fault>) {
    for (index, audience) in elements(holder, "audiences").enumerate() {
        let audience = audience.as_str().unwrap_or_default();
        if audience.contains(char::is_whitespace) {
            let message = "has a blank in it, and is one audience, which a token has to name with \
                           the blank; hint: an element of the list for each audience";
            findings.push(finding(format!("{path}.audiences[{index}]"), message));
        }
    }
}
