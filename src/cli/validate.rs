//! `portcullis validate`: would the filter take this configuration?

use std::io::Write;
use std::path::PathBuf;

use clap::Args;

use super::{CommandError, configuration_file};
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

/// Writes every fault to `output` and every warning to `errors`, each on a line with its place.
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
    let file = arguments.file.display();
    let (mut faults, mut warnings) = (0, 0);
    for found in configuration_file::read(&arguments.file)? {
        let text = found.configuration.to_string();
        let inspection = inspect_configuration(text.as_bytes(), &super::variable);
        faults += inspection.faults.len();
        warnings += inspection.warnings.len();
        let line = |kind: &str, finding: &Fault| {
            let place = joined(&found.place, &finding.path);
            format!("{file}: {kind}: {place}{}", finding.message)
        };
        for fault in &inspection.faults {
            writeln!(output, "{}", line("error", fault)).map_err(CommandError::Output)?;
        }
        for warning in &inspection.warnings {
            writeln!(errors, "{}", line("warning", warning)).map_err(CommandError::Output)?;
        }
    }
    if faults > 0 {
        return Err(CommandError::Faults { number: faults });
    }
    if warnings > 0 && arguments.deny_warnings {
        return Err(CommandError::Warnings { number: warnings });
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
        let text = "{providers: {a: {local_jwks: {environment_variable: \
                    PORTCULLIS_TEST_NOT_SET}}}, stat_prefix: x}";
        let (output, warnings, is_valid) = outcome(text, false);
        assert!(is_valid);
        assert_eq!(output, "portcullis.yaml: the configuration is valid\n");
        for expected in [
            "portcullis.yaml: warning: stat_prefix: has no effect",
            "portcullis.yaml: warning: providers.a.local_jwks.environment_variable: \
             `PORTCULLIS_TEST_NOT_SET` is not set here",
        ] {
            assert!(warnings.contains(expected), "{warnings}");
        }
        let (output, again, is_valid) = outcome(text, true);
        assert!(!is_valid);
        assert_eq!((output, again), (String::new(), warnings));
    }
}
