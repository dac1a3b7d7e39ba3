//! Which plugins could write the keys that are fetched.

use super::{Reviewed, finding, members};
use crate::configuration::{Fault, joined};

impl Reviewed<'_> {
    /// Without a secret in the configuration, records in shared data are sealed under a key that
    /// every plugin can derive. Of these records, only fetched keys could let an attacker in.
    pub(super) fn records(&self, findings: &mut Vec<Fault>) {
        let is_written = |key| self.configuration.get(key).is_some();
        if is_written("shared_data_secret") || is_written("revocation") {
            return;
        }
        let mut providers = members(self.configuration, "providers");
        let remote = providers.find(|(_, provider)| provider.get("remote_jwks").is_some());
        if let Some((name, _)) = remote {
            let path = joined(&joined("providers", name), "remote_jwks");
            let message = "another Wasm plugin with the same `vm_id`, which Istio leaves empty for \
                           all of them, could put keys of its own in place of the fetched ones; \
                           hint: `shared_data_secret`";
            findings.push(finding(&path, message));
        }
    }
}
