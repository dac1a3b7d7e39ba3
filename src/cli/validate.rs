//! `portcullis validate`: would the filter take this configuration?

use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::Value;

use super::CommandError;
use super::configuration_file::{self, ClusterFinding, Found};
use crate::gate::{Fault, inspect_configuration};

/// The arguments of `portcullis validate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A plugin configuration, or a file of Envoy, Istio or Envoy Gateway with the filter in it;
    /// JSON or YAML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// End with 1 when there are warnings, too
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Writes every fault to `output`, and every warning and what cannot be found out here to `errors`,
/// each on a line with its place.
///
/// # Errors
///
/// [`CommandError::Faults`] when there are faults, [`CommandError::Warnings`] when there are
/// warnings and there should be none, [`CommandError::ConfigurationFile`] when there is nothing to
/// look at.
pub fn run(
    arguments: &Arguments,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut report = Report::default();
    for found in configuration_file::read(&arguments.file)? {
        report.look_at(&found);
    }
    let file = arguments.file.display();
    let lines = |kind: &'static str, findings: &[String]| {
        let lines = findings
            .iter()
            .map(|finding| format!("{file}: {kind}: {finding}\n"));
        lines.collect::<String>()
    };
    let faults = lines("error", &report.faults);
    let remarks = lines("warning", &report.warnings) + &lines("note", &report.notes);
    errors
        .write_all(remarks.as_bytes())
        .and_then(|()| output.write_all(faults.as_bytes()))
        .map_err(CommandError::Output)?;
    let (faults, warnings) = (report.faults.len(), report.warnings.len());
    if faults > 0 {
        return Err(CommandError::Faults { number: faults });
    }
    if warnings > 0 && arguments.deny_warnings {
        return Err(CommandError::Warnings { number: warnings });
    }
    writeln!(output, "{file}: the configuration is valid").map_err(CommandError::Output)
}

/// What is to be said of a file, each with its place in it.
#[derive(Default)]
struct Report {
    faults: Vec<String>,
    warnings: Vec<String>,
    /// What cannot be found out here.
    notes: Vec<String>,
}

impl Report {
    fn look_at(&mut self, found: &Found) {
        let surroundings = &found.surroundings;
        let environment = |name: &str| surroundings.variable(name, super::variable);
        let inspection = inspect_configuration(found.text.as_bytes(), &environment);
        let line = |path: &str, message: &str| format!("{}{message}", joined(&found.place, path));
        let told = |finding: &Fault| line(&finding.path, &finding.message);
        self.faults.extend(inspection.faults.iter().map(told));
        let openings = surroundings.openings.iter();
        let openings = openings.map(|(place, message)| format!("{place}: {message}"));
        self.warnings.extend(openings);
        self.warnings.extend(inspection.warnings.iter().map(told));
        self.warnings.extend(inspection.review().iter().map(told));
        let routes = inspection.configuration.get("requirement_by_route_name");
        let routes = routes.and_then(Value::as_object).into_iter().flatten();
        for (name, _) in routes.filter(|(name, _)| surroundings.lacks_route(name)) {
            let message = format!("no route in this file is called `{name}`");
            let warning = line("requirement_by_route_name", &message);
            self.warnings.push(warning);
        }
        for (path, cluster) in inspection.clusters() {
            let message = match surroundings.cluster(cluster) {
                None => continue,
                Some(ClusterFinding::Missing) => {
                    format!(
                        "`{cluster}` is none of the clusters in this file, so no call gets there"
                    )
                }
                Some(ClusterFinding::Plaintext) => format!(
                    "`{cluster}` leads to another machine without TLS: whoever stands in between \
                     can have {}; hint: `transport_socket`",
                    if path.starts_with("revocation") {
                        "the credential, and the key that the feed's names are hashed with"
                    } else {
                        "their own keys taken for those of the issuer"
                    }
                ),
                Some(ClusterFinding::Unknown) => {
                    let message = format!(
                        "clusters come from `cds_config` too, so whether `{cluster}` is one of them \
                         is not known here"
                    );
                    self.notes.push(line(&path, &message));
                    continue;
                }
            };
            self.warnings.push(line(&path, &message));
        }
    }
}

/// The path of a fault in the whole file, and what separates it from the message.
fn joined(place: &str, path: &str) -> String {
    match (place, path) {
        ("", "") => String::new(),
        (place, "") => format!("{place}: "),
        ("", path) => format!("{path}: "),
        (place, path) if path.starts_with('[') => format!("{place}{path}: "),
        (place, path) => format!("{place}.{path}: "),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Faults, warnings, and whether it is taken.
    fn outcome(text: &str, deny_warnings: bool) -> (String, String, bool) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("portcullis.yaml");
        fs::write(&file, text).unwrap();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let arguments = Arguments {
            file,
            deny_warnings,
        };
        let outcome = run(&arguments, &mut output, &mut errors);
        let directory = format!("{}/", directory.path().display());
        let told = |bytes| String::from_utf8(bytes).unwrap().replace(&directory, "");
        (told(output), told(errors), outcome.is_ok())
    }

    #[test]
    fn every_fault_is_a_line_with_its_place_in_the_file() {
        let text = "\
spec:
  pluginConfig:
    providers: {idp: {isuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: a}}}}
    rules: [{match: {prefix: /}, requires: {provider_name: ipd}}]
";
        let (faults, _, is_valid) = outcome(text, false);
        assert!(!is_valid);
        assert_eq!(
            faults.lines().collect::<Vec<_>>(),
            [
                "portcullis.yaml: error: spec.pluginConfig.providers.idp.isuer: \
                 unknown key, did you mean `issuer`?",
                "portcullis.yaml: error: spec.pluginConfig.rules[0].requires.provider_name: \
                 no provider is called `ipd`",
            ]
        );
    }

    #[test]
    fn warnings_make_a_configuration_invalid_only_for_those_who_deny_them() {
        let text = "{providers: {a: {audiences: [api], local_jwks: {environment_variable: \
                    PORTCULLIS_TEST_NOT_SET}}}, stat_prefix: x, \
                    rules: [{match: {prefix: a}, requires: {provider_name: a}}]}";
        let (output, warnings, is_valid) = outcome(text, false);
        assert!(is_valid);
        assert_eq!(output, "portcullis.yaml: the configuration is valid\n");
        for expected in [
            "portcullis.yaml: warning: stat_prefix: has no effect",
            "portcullis.yaml: warning: providers.a.local_jwks.environment_variable: \
             `PORTCULLIS_TEST_NOT_SET` is not set here",
            "portcullis.yaml: warning: rules[0].match.prefix: no request has such a path",
        ] {
            assert!(warnings.contains(expected), "{warnings}");
        }
        let (output, again, is_valid) = outcome(text, true);
        assert!(!is_valid);
        assert_eq!((output, again), (String::new(), warnings));
    }

    #[test]
    fn what_stands_around_a_configuration_is_looked_at_too() {
        let text = "\
static_resources:
  clusters: [{name: idp}]
  listeners:
  - routes: [{name: here}]
    filters:
    - config:
        fail_open: true
        vm_config: {environment_variables: {host_env_keys: [PORTCULLIS_TEST_LISTED]}}
        configuration:
          '@type': type.googleapis.com/google.protobuf.Struct
          value:
            providers:
              idp:
                audiences: [api]
                remote_jwks: {http_uri: {uri: 'https://idp.example/', cluster: ipd}}
            rules: [{match: {prefix: /}, requires: {provider_name: idp}}]
            requirement_map: {open: {}}
            requirement_by_route_name: {here: open, gone: open}
            revocation:
              cluster: authority
              credential: {environment_variable: PORTCULLIS_TEST_LISTED}
              public_keys: [{environment_variable: PORTCULLIS_TEST_HIDDEN}]
";
        let config = "static_resources.listeners[0].filters[0].config";
        let key = format!("{config}.configuration.revocation.public_keys[0].environment_variable");
        let remote = "providers.idp.remote_jwks.http_uri.cluster";
        let (faults, warnings, is_valid) = outcome(text, false);
        assert!(!is_valid);
        assert_eq!(faults.lines().count(), 1, "{faults}");
        let expected = format!("portcullis.yaml: error: {key}: the variable is not set");
        assert!(faults.starts_with(&expected), "{faults}");
        for (warning, expected) in warnings.lines().zip([
            format!("{config}.fail_open: every request goes through"),
            format!("{config}.configuration.revocation.credential.environment_variable: `PORT"),
            format!(
                "{config}.configuration.requirement_by_route_name: no route in this file is called \
                 `gone`"
            ),
            format!("{config}.configuration.{remote}: `ipd` is none of the clusters in this file"),
            format!("{config}.configuration.revocation.cluster: `authority` is none of the "),
        ]) {
            let expected = format!("portcullis.yaml: warning: {expected}");
            assert!(warning.starts_with(&expected), "{expected}: {warning}");
        }
        assert_eq!(warnings.lines().count(), 5, "{warnings}");

        let text = text.replace("HIDDEN", "LISTED");
        let dynamic = format!("{text}dynamic_resources: {{cds_config: {{ads: {{}}}}}}\n");
        let (output, remarks, is_valid) = outcome(&dynamic, false);
        assert!(is_valid, "{output}");
        let note = format!(
            "portcullis.yaml: note: {config}.configuration.{remote}: clusters come from \
             `cds_config` too"
        );
        assert!(remarks.contains(&note), "{remarks}");
        assert!(!remarks.contains("none of the clusters"), "{remarks}");
    }
}
