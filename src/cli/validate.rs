//! `portcullis validate`: would the filter, or the authority, take this configuration?

mod connections;

use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::authority_file::Inspection;
use super::configuration_file::{self, ClusterFinding, Document, Found};
use super::{CommandError, authority_file, convert};
use crate::authority::{Configuration, SignalsConfiguration};
use crate::configuration::Fault;
use crate::gate::inspect_configuration;

/// The arguments of `portcullis validate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Plugin configurations, files of Envoy, Istio or Envoy Gateway with the filter in them, or
    /// files for the authority's `--config` and `--signals`; `ConfigMap`s with such a file too; JSON or
    /// YAML; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// End with 1 when there are warnings, too
    #[arg(long)]
    pub deny_warnings: bool,
}

/// Writes every fault to `output`, and every warning and every note on what cannot be known here to
/// `errors`, each on a line with its file, line and path. Every file is looked at.
///
/// # Errors
///
/// [`CommandError::ConfigurationFile`] or [`CommandError::Foreign`] when there is nothing to look at
/// in a file, else [`CommandError::Faults`] when there are faults, else [`CommandError::Warnings`]
/// when there are warnings and there should be none.
pub fn run(
    arguments: &Arguments,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), CommandError> {
    let (mut faults, mut warnings) = (0, 0);
    let mut unusable = Vec::new();
    for file in &arguments.files {
        let report = match Report::of(file) {
            Ok(report) => report,
            Err(error) => {
                unusable.push(error);
                continue;
            }
        };
        let shown = configuration_file::shown(file);
        let told = |kind: &str, findings: &[Finding]| Finding::lines(findings, kind, shown);
        let remarks = told("warning", &report.warnings) + &told("note", &report.notes);
        let mut result = told("error", &report.faults);
        let is_fine = report.warnings.is_empty() || !arguments.deny_warnings;
        if report.faults.is_empty() && is_fine {
            result = format!("{}: the configuration is valid\n", shown.display());
        }
        errors
            .write_all(remarks.as_bytes())
            .and_then(|()| output.write_all(result.as_bytes()))
            .map_err(CommandError::Output)?;
        faults += report.faults.len();
        warnings += report.warnings.len();
    }
    let mut unusable = unusable.into_iter();
    let first = unusable.next();
    for error in unusable {
        writeln!(errors, "error: {error}").map_err(CommandError::Output)?;
    }
    if let Some(error) = first {
        return Err(error);
    }
    if faults > 0 {
        return Err(CommandError::Faults { number: faults });
    }
    if warnings > 0 && arguments.deny_warnings {
        return Err(CommandError::Warnings { number: warnings });
    }
    Ok(())
}

/// A line of the report, with its path in the file.
pub(super) struct Finding {
    pub(super) line: usize,
    pub(super) text: String,
}

impl Finding {
    /// A line for each, with the file and what kind of finding it is.
    pub(super) fn lines(findings: &[Self], kind: &str, file: &Path) -> String {
        let file = file.display();
        let lines = findings
            .iter()
            .map(|Self { line, text }| format!("{file}:{line}: {kind}: {text}\n"));
        lines.collect()
    }
}

/// The report on a file.
#[derive(Default)]
struct Report {
    faults: Vec<Finding>,
    warnings: Vec<Finding>,
    /// What cannot be known here.
    notes: Vec<Finding>,
}

impl Report {
    fn of(file: &Path) -> Result<Self, CommandError> {
        let documents = configuration_file::documents(file)?;
        let mut report = Self {
            faults: surplus(&documents),
            ..Self::default()
        };
        let mut is_own = false;
        for document in &documents {
            is_own |= report.take_in(authority_file::found::<Configuration>(document));
            is_own |= report.take_in(authority_file::found::<SignalsConfiguration>(document));
        }
        match convert::found(file, &documents) {
            Ok(found) => found.iter().for_each(|one| report.look_at(one)),
            Err(error) if !is_own => return Err(error),
            Err(_) => {}
        }
        for source in convert::sources(&documents) {
            report.notes.push(Finding {
                line: source.line(),
                text: format!(
                    "{}: {} is not checked here; `portcullis convert` translates it",
                    source.path(),
                    source.kind().name()
                ),
            });
        }
        Ok(report)
    }

    /// Adds what there is to say about a file of the authority, if it is one.
    fn take_in<C>(&mut self, inspection: Option<Inspection<C>>) -> bool {
        let is_one = inspection.is_some();
        if let Some(inspection) = inspection {
            self.faults.extend(inspection.faults);
            self.warnings.extend(inspection.warnings);
        }
        is_one
    }

    fn look_at(&mut self, found: &Found) {
        let surroundings = &found.surroundings;
        let environment = |name: &str| surroundings.variable(name, super::variable);
        let inspection = inspect_configuration(found.text.as_bytes(), &environment);
        let finding = |path: &str, message: &str| Finding {
            line: found.line(path),
            text: format!("{}{message}", joined(&found.path, path)),
        };
        let told = |fault: &Fault| finding(&fault.path, &fault.message);
        self.faults.extend(inspection.faults.iter().map(told));
        let openings = surroundings.openings.iter().map(|(path, message)| {
            let (path, line) = found.around(path);
            let text = format!("{path}: {message}");
            Finding { line, text }
        });
        self.warnings.extend(openings);
        self.warnings.extend(inspection.warnings.iter().map(told));
        self.warnings.extend(inspection.review().iter().map(told));
        let compared = found.misread().filter(|(path, _)| is_compared(path));
        self.warnings
            .extend(compared.map(|(path, message)| finding(path, message)));
        let routes = inspection.configuration.get("requirement_by_route_name");
        let routes = routes.and_then(Value::as_object).into_iter().flatten();
        for (name, _) in routes.filter(|(name, _)| surroundings.lacks_route(name)) {
            let message = format!("no route in this file is called `{name}`");
            let warning = finding("requirement_by_route_name", &message);
            self.warnings.push(warning);
        }
        let connections = connections::findings(&inspection.configuration, surroundings);
        let connections = connections.into_iter();
        self.warnings
            .extend(connections.map(|(path, message)| finding(&path, message)));
        for (path, cluster) in inspection.clusters() {
            let Some(found) = surroundings.cluster(cluster) else {
                continue;
            };
            let told = finding(&path, &connections::of_cluster(&path, cluster, found));
            if found == ClusterFinding::Unknown {
                self.notes.push(told);
            } else {
                self.warnings.push(told);
            }
        }
    }
}

/// Faults of documents that stand in one file, or in one of a `ConfigMap`, with others. Several belong
/// together for Kubernetes alone; of all other files the first is read, or none.
fn surplus(documents: &[Document]) -> Vec<Finding> {
    let is_object = |document: &Document| document.value.get("kind").is_some();
    let mut faults = Vec::new();
    for (index, document) in documents.iter().enumerate() {
        let earlier = documents.iter().take(index);
        let mut earlier = earlier.filter(|earlier| earlier.path == document.path);
        let Some(first) = earlier.next() else {
            continue;
        };
        if !(is_object(first) && is_object(document)) {
            let path = joined(&document.path, "");
            faults.push(Finding {
                line: document.lines.of(""),
                text: format!(
                    "{path}expected one document, found another after `---`; hint: a file for each, as \
                     only Kubernetes reads several, each with its `kind`"
                ),
            });
        }
    }
    faults
}

/// Whether a claim is compared with this value, which may be of any type. Everywhere else a value
/// of another type is a fault or makes no difference.
fn is_compared(path: &str) -> bool {
    let condition = path.rsplit_once(".claims").map(|(_, condition)| condition);
    let keys = [".equals", ".one_of", ".oneOf", ".contains"];
    condition.is_some_and(|condition| keys.iter().any(|key| condition.contains(key)))
}

/// The path of a fault in the whole file, and what separates it from the message.
pub(super) fn joined(outer: &str, inner: &str) -> String {
    match configuration_file::under(outer, inner) {
        path if path.is_empty() => path,
        path => format!("{path}: "),
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Faults, warnings, and whether it is taken.
    pub(super) fn outcome(text: &str, deny_warnings: bool) -> (String, String, bool) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("portcullis.yaml");
        fs::write(&file, text).unwrap();
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let arguments = Arguments {
            files: vec![file],
            deny_warnings,
        };
        let outcome = run(&arguments, &mut output, &mut errors);
        let directory = format!("{}/", directory.path().display());
        let told = |bytes| String::from_utf8(bytes).unwrap().replace(&directory, "");
        (told(output), told(errors), outcome.is_ok())
    }

    #[test]
    fn every_fault_is_a_line_with_its_path_in_the_file() {
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
                "portcullis.yaml:3: error: spec.pluginConfig.providers.idp.isuer: \
                 unknown key, did you mean `issuer`?",
                "portcullis.yaml:4: error: spec.pluginConfig.rules[0].requires.provider_name: \
                 no provider is called `ipd`",
            ]
        );
    }

    #[test]
    fn only_objects_of_kubernetes_stand_together_in_a_file() {
        let plugin =
            "providers: {a: {audiences: [api], local_jwks: {inline_string: '{\"keys\": []}'}}}\n";
        let surplus =
            "error: expected one document, found another after `---`; hint: a file for each";
        for (first, second) in [
            (plugin, plugin),
            (plugin, "rules: []\n"),
            (plugin, "kind: ConfigMap\n"),
            ("sessions: {}\n", plugin),
            ("issuers: []\n", "issuers: []\n"),
            ("streams: []\n", "text\n"),
            ("kind: ConfigMap\n", plugin),
        ] {
            let (faults, _, is_valid) = outcome(&format!("{first}---\n{second}"), false);
            let expected = format!("portcullis.yaml:3: {surplus}");
            assert!(!is_valid && faults.contains(&expected), "{faults}");
        }
        let map =
            "kind: ConfigMap\ndata:\n  a.yaml: |\n    sessions: {}\n    ---\n    sessions: {}\n";
        let (faults, _, _) = outcome(&format!("kind: Namespace\n---\n{map}"), false);
        let expected = "portcullis.yaml:8: error: data[\"a.yaml\"]: expected one document";
        assert!(faults.contains(expected), "{faults}");
        assert_eq!(faults.lines().count(), 1, "{faults}");
        // An empty one is none.
        let (faults, _, _) = outcome(&format!("---\n{plugin}---\n# the end\n"), false);
        assert!(!faults.contains("expected one document"), "{faults}");
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
            "portcullis.yaml:1: warning: stat_prefix: has no effect",
            "portcullis.yaml:1: warning: providers.a.local_jwks.environment_variable: \
             `PORTCULLIS_TEST_NOT_SET` is not set here",
            "portcullis.yaml:1: warning: rules[0].match.prefix: no request has such a path",
        ] {
            assert!(warnings.contains(expected), "{warnings}");
        }
        let (output, again, is_valid) = outcome(text, true);
        assert!(!is_valid);
        assert_eq!((output, again), (String::new(), warnings));
    }

    #[test]
    fn a_configuration_is_valid_in_every_spelling() {
        let text = include_str!("../../tests/vectors/configurations/as-people-write-it.yaml");
        let (output, warnings, _) = outcome(text, false);
        assert_eq!(output, "portcullis.yaml: the configuration is valid\n");
        let set = "is empty, so it counts as not set, as in `jwt_authn`";
        for expected in [
            format!("portcullis.yaml:16: warning: providers.camel.forward_payload_header: {set}"),
            format!("portcullis.yaml:19: warning: providers.remote.issuer: {set}"),
        ] {
            assert!(warnings.contains(&expected), "{warnings}");
        }
    }

    #[test]
    fn what_claims_are_compared_with_is_told_where_it_reads_otherwise_than_it_looks() {
        let text = "\
providers: {a: {audiences: [api], local_jwks: {environment_variable: X}, forward: no}}
rules:
- match: {prefix: /}
  requires:
    provider_name: a
    claims:
    - {claim_name: country, equals: no}
    - {claim_name: country, one_of: ['no', no]}
    - claim_name: tenant
      contains: 4294967296
";
        let (_, warnings, _) = outcome(text, false);
        let claims = "warning: rules[0].requires.claims";
        for expected in [
            format!("portcullis.yaml:7: {claims}[0].equals: `no` is read as `false`; hint: put"),
            format!("portcullis.yaml:8: {claims}[1].one_of[1]: `no` is read as `false`"),
            format!("portcullis.yaml:10: {claims}[2].contains: `4294967296` is read as text"),
        ] {
            assert!(warnings.contains(&expected), "{warnings}");
        }
        assert!(
            !warnings.contains("one_of[0]") && !warnings.contains("forward"),
            "{warnings}"
        );
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
        let expected = format!("portcullis.yaml:22: error: {key}: the variable is not set");
        assert!(faults.starts_with(&expected), "{faults}");
        for (warning, (line, expected)) in warnings.lines().zip([
            (7, format!("{config}.fail_open: every request goes through")),
            (21, format!("{config}.configuration.revocation.credential.environment_variable: `PO")),
            (18, format!(
                "{config}.configuration.requirement_by_route_name: no route in this file is called \
                 `gone`"
            )),
            (15, format!("{config}.configuration.{remote}: `ipd` is none of the clusters in this")),
            (20, format!("{config}.configuration.revocation.cluster: `authority` is none of the ")),
        ]) {
            let expected = format!("portcullis.yaml:{line}: warning: {expected}");
            assert!(warning.starts_with(&expected), "{expected}: {warning}");
        }
        assert_eq!(warnings.lines().count(), 5, "{warnings}");

        let text = text.replace("HIDDEN", "LISTED");
        let dynamic = format!("{text}dynamic_resources: {{cds_config: {{ads: {{}}}}}}\n");
        let (output, remarks, is_valid) = outcome(&dynamic, false);
        assert!(is_valid, "{output}");
        let note = format!(
            "portcullis.yaml:15: note: {config}.configuration.{remote}: clusters come from \
             `cds_config` too"
        );
        assert!(remarks.contains(&note), "{remarks}");
        assert!(!remarks.contains("none of the clusters"), "{remarks}");
    }
}
