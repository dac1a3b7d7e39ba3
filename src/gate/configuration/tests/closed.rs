//! What is written and cannot be read is a fault: every value of a configuration with every key is
//! replaced in turn by what cannot be read there, and the configuration as a whole must not be read
//! then as if that value were absent.

use std::collections::BTreeSet;

use super::list::as_documented;
use super::*;
use crate::configuration::joined;

/// Where `null` means the default, with a warning. A key by which a caller is kept out, or told to
/// the upstream as another, does not belong in this list.
const NULLABLE: &[&str] = &[
    "providers.<name>.allow_symmetric_keys",
    "providers.<name>.duplicate_cookies",
    "providers.<name>.forward",
    "providers.<name>.pad_forward_payload_header",
    "providers.<name>.claim_to_headers[].form",
    "providers.<name>.claims_to_filter_state",
    "providers.<name>.require_expiration",
    "providers.<name>.allow_bound_tokens",
    "providers.<name>.clear_route_cache",
    "providers.<name>.remote_jwks.http_uri.timeout",
    "providers.<name>.remote_jwks.openid_discovery.timeout",
    "providers.<name>.remote_jwks.async_fetch",
    "providers.<name>.remote_jwks.async_fetch.fast_listener",
    "providers.<name>.remote_jwks.async_fetch.failed_refetch_duration",
    "providers.<name>.remote_jwks.retry_policy",
    "providers.<name>.remote_jwks.retry_policy.num_retries",
    "providers.<name>.remote_jwks.retry_policy.retry_back_off",
    "providers.<name>.remote_jwks.retry_policy.retry_back_off.max_interval",
    "<regex>.google_re2",
    "unfit_session_headers",
    "bypass_cors_preflight",
    "strip_failure_response",
    "resource_metadata",
    "login_redirect",
    "login_redirect.return_parameter",
    "allow_unmatched",
    "realm",
    "revocation.authority",
    "revocation.on_stale",
    "revocation.on_missing_feed",
    "revocation.on_unconfirmed",
    "revocation.on_unnamed",
    "revocation.check_timeout",
    "revocation.reload_jitter",
];

/// Where a value of any kind is allowed.
pub(super) const OF_ANY_KIND: &[&str] = &[
    "<requirement>.claims[].equals",
    "<requirement>.claims[].one_of",
    "<requirement>.claims[].one_of[]",
    "<requirement>.claims[].contains",
    "<regex>.google_re2",
];

/// A path in a configuration: the members and elements that lead to a value.
#[derive(Clone, Debug)]
pub(super) struct NodePath(pub(super) Vec<Step>);

#[derive(Clone, Debug)]
pub(super) enum Step {
    Member(String),
    Element(usize),
}

impl NodePath {
    /// Every path below the whole.
    pub(super) fn all(value: &Value) -> Vec<Self> {
        let mut paths = Vec::new();
        Self(Vec::new()).collect(value, &mut paths);
        paths
    }

    fn collect(&self, value: &Value, paths: &mut Vec<Self>) {
        let steps: Vec<(Step, &Value)> = match value {
            Value::Object(members) => {
                let members = members.iter();
                let step = |(name, value)| (Step::Member(String::clone(name)), value);
                members.map(step).collect()
            }
            Value::Array(elements) => {
                let elements = elements.iter().enumerate();
                elements
                    .map(|(index, value)| (Step::Element(index), value))
                    .collect()
            }
            _ => Vec::new(),
        };
        for (step, value) in steps {
            let mut node = self.clone();
            node.0.push(step);
            paths.push(node.clone());
            node.collect(value, paths);
        }
    }

    /// As faults name it.
    pub(super) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.0 {
            match step {
                Step::Member(name) => path = joined(&path, name),
                Step::Element(index) => path = format!("{path}[{index}]"),
            }
        }
        path
    }

    pub(super) fn get<'v>(&self, value: &'v mut Value) -> &'v mut Value {
        self.0.iter().fold(value, |value, step| match step {
            Step::Member(name) => &mut value[name],
            Step::Element(index) => &mut value[*index],
        })
    }

    pub(super) fn with(&self, configuration: &Value, value: Value) -> Value {
        let mut configuration = configuration.clone();
        *self.get(&mut configuration) = value;
        configuration
    }

    /// The configuration without this member.
    pub(super) fn without(&self, configuration: &Value) -> Value {
        let mut configuration = configuration.clone();
        if let Some((Step::Member(name), parent)) = self.0.split_last() {
            let parent = Self(parent.to_vec()).get(&mut configuration);
            parent.as_object_mut().unwrap().remove(name);
        }
        configuration
    }

    /// The configuration with this member's name spelt as `name`; `None` for an element, and for
    /// a name that the operator chooses.
    pub(super) fn renamed(&self, configuration: &Value, name: &str) -> Option<Value> {
        const NAMED_BY_THE_OPERATOR: [&str; 4] = [
            "providers",
            "requirement_map",
            "requirement_by_route_name",
            "filter_state_rules.requires",
        ];
        let (Step::Member(old), parent) = self.0.split_last()? else {
            return None;
        };
        let parent = Self(parent.to_vec());
        if NAMED_BY_THE_OPERATOR.contains(&&*parent.path()) {
            return None;
        }
        let mut configuration = configuration.clone();
        let members = parent.get(&mut configuration).as_object_mut()?;
        let value = members.remove(old)?;
        members.insert(name.to_owned(), value);
        Some(configuration)
    }
}

/// Where an empty text is one, or means that the key is left out.
const MAY_BE_EMPTY: &[&str] = &[
    "providers.<name>.issuer",
    "providers.<name>.forward_payload_header",
    "providers.<name>.from_headers[].value_prefix",
    "rules[].match.prefix",
    "<text>.exact",
];

/// Every key there is, with keys and credentials in variables too.
fn configurations() -> [Value; 2] {
    let mut by_variables = complete();
    by_variables["providers"]["idp"]["local_jwks"] = json!({"environment_variable": "JWKS"});
    by_variables["revocation"]["credential"] = json!({"environment_variable": "CREDENTIAL"});
    [complete(), by_variables]
}

fn paths(findings: &[Fault]) -> Vec<&str> {
    findings.iter().map(|finding| &*finding.path).collect()
}

fn is_at_or_below(path: &str, ancestor: &str) -> bool {
    let rest = path.strip_prefix(ancestor);
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

#[test]
fn null_is_a_fault_wherever_its_absence_could_let_a_caller_in() {
    let mut nullable = BTreeSet::new();
    for configuration in configurations() {
        for node in NodePath::all(&configuration) {
            let path = node.path();
            match read_value(&node.with(&configuration, Value::Null)) {
                Ok(configured) => {
                    let warnings = paths(&configured.warnings);
                    assert_eq!(warnings, [&*path], "no warning");
                    nullable.insert(as_documented(&path));
                }
                Err(faults) => assert!(paths(&faults).contains(&&*path), "{path}: {faults:?}"),
            }
        }
    }
    let expected: BTreeSet<_> = NULLABLE.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(nullable, expected);
}

#[test]
fn keys_without_effect_may_be_null() {
    for key in ["stat_prefix", "providers.idp.jwt_cache_config"] {
        let steps = key.split('.').map(|name| Step::Member(name.to_owned()));
        let node = NodePath(steps.collect());
        let read = read_value(&node.with(&complete(), Value::Null));
        assert_eq!(paths(&read.unwrap().warnings), [key]);
    }
}

#[test]
fn null_in_a_value_that_claims_are_compared_with_is_a_fault_at_any_depth() {
    for (key, value, path) in [
        ("equals", json!({"a": [1, null]}), "equals.a[1]"),
        ("one_of", json!([1, {"a": null}]), "one_of[1].a"),
        ("contains", json!([null]), "contains[0]"),
    ] {
        let claims = json!([{"claim_name": "a", key: value}]);
        let requires = json!({"provider_name": "idp", "claims": claims});
        let rules = json!([{"match": {"prefix": "/"}, "requires": requires}]);
        let found = read_value(&with(&["rules"], rules)).unwrap_err();
        assert_eq!(
            paths(&found),
            [format!("rules[0].requires.claims[0].{path}")]
        );
    }
}

#[test]
fn a_value_of_another_kind_is_a_fault_everywhere() {
    for configuration in configurations() {
        for node in NodePath::all(&configuration) {
            let path = node.path();
            let mut original = configuration.clone();
            let original = node.get(&mut original);
            for value in [
                json!(true),
                json!(-0.5),
                json!([[]]),
                json!({"no such key": {}}),
            ] {
                let is_alike = std::mem::discriminant(original) == std::mem::discriminant(&value);
                if is_alike || OF_ANY_KIND.contains(&&*as_documented(&path)) {
                    continue;
                }
                let read = read_value(&node.with(&configuration, value.clone()));
                let Err(faults) = read else {
                    panic!("{path}: {value} is taken");
                };
                let found = paths(&faults);
                let is_told = found.iter().any(|found| is_at_or_below(found, &path));
                assert!(is_told, "{path}: {value}: {faults:?}");
            }
        }
    }
}

#[test]
fn an_empty_text_is_a_fault_wherever_one_is_needed() {
    let mut found = BTreeSet::new();
    for configuration in configurations() {
        for node in NodePath::all(&configuration) {
            let path = as_documented(&node.path());
            if OF_ANY_KIND.contains(&&*path) {
                continue;
            }
            match read_value(&node.with(&configuration, json!(""))) {
                Ok(_) => {
                    found.insert(path);
                }
                Err(faults) => assert!(paths(&faults).contains(&&*node.path()), "{faults:?}"),
            }
        }
    }
    let expected: BTreeSet<_> = MAY_BE_EMPTY.iter().map(|path| (*path).to_owned()).collect();
    assert_eq!(found, expected);
}

#[test]
fn a_misspelt_key_is_a_fault_everywhere() {
    for configuration in configurations() {
        for node in NodePath::all(&configuration) {
            let path = node.path();
            let Some(Step::Member(name)) = node.0.last() else {
                continue;
            };
            let misspelt = format!("{name}_");
            if let Some(configuration) = node.renamed(&configuration, &misspelt) {
                let Err(faults) = read_value(&configuration) else {
                    panic!("{path}_ is taken");
                };
                let expected = format!("{path}_");
                assert!(paths(&faults).contains(&&*expected), "{path}: {faults:?}");
            }
        }
    }
}

#[test]
fn a_variable_that_is_not_set_is_a_fault_wherever_one_can_be() {
    let unset = json!({"environment_variable": "NOT_SET"});
    for (steps, path) in [
        (
            &["providers", "idp", "local_jwks"][..],
            "providers.idp.local_jwks.environment_variable",
        ),
        (
            &["revocation", "credential"],
            "revocation.credential.environment_variable",
        ),
        (
            &["revocation", "public_keys", "0"],
            "revocation.public_keys[0].environment_variable",
        ),
        (
            &["revocation", "public_keys", "1"],
            "revocation.public_keys[1].environment_variable",
        ),
        (
            &["shared_data_secret"],
            "shared_data_secret.environment_variable",
        ),
    ] {
        let configuration = with(steps, unset.clone());
        let found = read_value(&configuration).unwrap_err();
        assert_eq!(paths(&found), [path]);
        assert!(!found[0].message.contains("NOT_SET"), "{found:?}");

        // If only Envoy knows it, that is a warning that names the variable.
        let inspection = inspected(&configuration);
        assert_eq!(inspection.faults, []);
        assert_eq!(paths(&inspection.warnings), [path]);
        assert!(inspection.warnings[0].message.contains("`NOT_SET`"));
        let policy = inspection.policy.expect("a policy to look at");
        assert!(policy.revocation.is_some());
    }
}

#[test]
fn a_variable_that_holds_nothing_that_can_be_read_is_a_fault() {
    for value in ["", " ", "{}", "\u{fffd}"] {
        for (steps, expected) in [
            (
                &["providers", "idp", "local_jwks"][..],
                "providers.idp.local_jwks",
            ),
            (&["revocation", "credential"], "revocation.credential"),
            (
                &["revocation", "public_keys", "0"],
                "revocation.public_keys[0]",
            ),
        ] {
            if (value, steps[1]) == ("{}", "credential") {
                continue;
            }
            let configuration = with(steps, json!({"environment_variable": "ODD"}));
            let environment = |name: &str| match name {
                "ODD" => Some(value.to_owned()),
                name => environment(name),
            };
            let found = read(configuration.to_string().as_bytes(), &environment).unwrap_err();
            assert!(is_at_or_below(&found[0].path, expected), "{found:?}");
        }
    }
}
