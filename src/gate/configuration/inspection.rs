//! A configuration as it is looked at outside the filter: by an operator at a shell, where the
//! virtual machine's environment is not known.

use serde_json::Value;

use super::{Policy, decoded, policy, review};
use crate::configuration::{Fault, Reading, Variable};

/// What there is to say about a configuration.
#[derive(Debug, Default)]
pub struct Inspection {
    /// The policy, when there are no faults. It lacks what only Envoy knows: keys and credentials
    /// in variables that are [`Variable::Unknown`]. So it is good for looking at and for
    /// explaining, not for serving.
    pub policy: Option<Policy>,
    /// What keeps the filter from starting, with the paths.
    pub faults: Vec<Fault>,
    /// What the operator should know although it is not a fault, with the paths.
    pub warnings: Vec<Fault>,
    /// The configuration in its usual spelling; `null` when the text is not a configuration at all.
    pub configuration: Value,
}

impl Inspection {
    /// What opens the API although it looks closed, and what can never work, with the paths; empty
    /// for a configuration that has faults.
    #[must_use]
    pub fn review(&self) -> Vec<Fault> {
        let policy = self.policy.as_ref();
        policy.map_or_else(Vec::new, |policy| {
            review::review(&self.configuration, policy)
        })
    }

    /// The clusters that are named, each with the path of its name.
    #[must_use]
    pub fn clusters(&self) -> Vec<(String, &str)> {
        review::clusters(&self.configuration)
    }
}

/// Looks at a configuration as [`super::read`] reads it, except that some variables may be unknown,
/// each of which is a warning.
#[must_use]
pub fn inspect(bytes: &[u8], environment: &dyn Fn(&str) -> Variable) -> Inspection {
    let value = match decoded(bytes) {
        Ok(value) => value,
        Err(fault) => {
            return Inspection {
                faults: vec![fault],
                ..Inspection::default()
            };
        }
    };
    let reading = Reading::new(&value, environment);
    let policy = policy(reading.root()).ok();
    let configuration = reading.in_usual_spelling();
    let (faults, warnings) = reading.findings();
    Inspection {
        policy: policy.filter(|_| faults.is_empty()),
        faults,
        warnings,
        configuration,
    }
}
