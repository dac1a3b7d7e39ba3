//! `portcullis validate`: would the filter take this configuration?

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, configuration_file};
use crate::gate::{Fault, read_configuration};

/// The arguments of `portcullis validate`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A plugin configuration, or a file of Envoy, Istio or Envoy Gateway with the filter in it;
    /// JSON or YAML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
}

/// Writes every fault and every warning to `output`, each on a line with its place.
///
/// # Errors
///
/// [`CommandError::Faults`] when there are faults, [`CommandError::ConfigurationFile`] when there
/// is nothing to look at.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let file = arguments.file.display();
    let mut number = 0;
    for found in configuration_file::read(&arguments.file)? {
        let text = found.configuration.to_string();
        let mut tell = |kind: &str, findings: &[Fault]| {
            findings.iter().try_for_each(|finding| {
                let place = joined(&found.place, &finding.path);
                writeln!(output, "{file}: {kind}: {place}{}", finding.message)
            })
        };
        match read_configuration(text.as_bytes(), &super::variable) {
            Ok(configured) => tell("warning", &configured.warnings),
            Err(faults) => {
                number += faults.len();
                tell("error", &faults)
            }
        }
        .map_err(CommandError::Output)?;
    }
    if number > 0 {
        return Err(CommandError::Faults { number });
    }
    writeln!(output, "{file}: the configuration is valid").map_err(CommandError::Output)
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

    fn outcome(text: &str) -> (String, bool) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("portcullis.yaml");
        fs::write(&file, text).unwrap();
        let mut output = Vec::new();
        let outcome = run(&Arguments { file }, &mut output);
        let output = String::from_utf8(output).unwrap();
        let directory = format!("{}/", directory.path().display());
        (output.replace(&directory, ""), outcome.is_ok())
    }

    #[test]
    fn every_fault_is_a_line_with_its_place_in_the_file() {
        let text = "\
spec:
  pluginConfig:
    providers: {idp: {isuer: x, remote_jwks: {http_uri: {uri: 'https://a/', cluster: a}}}}
    rules: [{match: {prefix: /}, requires: {provider_name: ipd}}]
";
        let (output, is_valid) = outcome(text);
        assert!(!is_valid);
        assert_eq!(
            output.lines().collect::<Vec<_>>(),
            [
                "portcullis.yaml: error: spec.pluginConfig.providers.idp.isuer: \
                 unknown key, did you mean `issuer`?",
                "portcullis.yaml: error: spec.pluginConfig.rules[0].requires.provider_name: \
                 no provider is called `ipd`",
            ]
        );
    }

    #[test]
    fn warnings_do_not_make_a_configuration_invalid() {
        let text = "{providers: {a: {remote_jwks: {http_uri: \
                    {uri: 'https://a/', cluster: a}}}}, stat_prefix: x}";
        let (output, is_valid) = outcome(text);
        assert!(is_valid);
        assert!(
            output.contains("warning: stat_prefix: has no effect"),
            "{output}"
        );
        assert!(output.ends_with("the configuration is valid\n"), "{output}");
    }
}
