//! The authority's own file and the signals file, for the command that serves by them and the one that
//! checks them.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::configuration_file::{self, ConfigurationFileError, Document};
use super::validate::Finding;
use crate::authority::{Configuration, Configured, SignalsConfiguration};
use crate::configuration::Fault;

/// What a file of the authority says.
pub(super) trait OwnFile: Sized {
    /// What the file is called.
    const NAME: &'static str;

    /// Whether a document is such a file, as far as its keys tell.
    fn is_in(document: &Value) -> bool;

    /// Reads a document; files that it names are in this directory.
    fn of(document: &Value, directory: &Path) -> Configured<Self>;
}

impl OwnFile for Configuration {
    const NAME: &'static str = "the authority's file";

    fn is_in(document: &Value) -> bool {
        Self::is_in(document)
    }

    fn of(document: &Value, directory: &Path) -> Configured<Self> {
        Self::read(document, directory)
    }
}

impl OwnFile for SignalsConfiguration {
    const NAME: &'static str = "the signals file";

    fn is_in(document: &Value) -> bool {
        Self::is_in(document)
    }

    fn of(document: &Value, directory: &Path) -> Configured<Self> {
        Self::read(document, directory)
    }
}

/// What there is to say about a file of the authority.
pub(super) struct Inspection<C> {
    /// None if there are faults.
    pub(super) configuration: Option<C>,
    pub(super) faults: Vec<Finding>,
    pub(super) warnings: Vec<Finding>,
}

/// Looks at a document if it is such a file.
pub(super) fn found<C: OwnFile>(document: &Document) -> Option<Inspection<C>> {
    C::is_in(&document.value).then(|| inspect(document))
}

/// Looks at a document that is such a file.
fn inspect<C: OwnFile>(document: &Document) -> Inspection<C> {
    let directory = document.file.parent().unwrap_or(Path::new(""));
    let configured = C::of(&document.value, directory);
    let found = |faults: &[Fault]| {
        let findings = faults.iter().map(|fault| {
            let path = super::validate::joined(&document.path, &fault.path);
            Finding {
                line: document.lines.of(&fault.path),
                text: format!("{path}{}", fault.message),
            }
        });
        findings.collect()
    };
    Inspection {
        configuration: configured.configuration,
        faults: found(&configured.faults),
        warnings: found(&configured.warnings),
    }
}

/// Why a file of the authority is of no use.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityFileError {
    /// It could not be read.
    #[error(transparent)]
    Unreadable(#[from] ConfigurationFileError),
    /// It is not one document.
    #[error("{path}: expected one document, found {number}")]
    Documents {
        /// The file.
        path: PathBuf,
        /// How many there are.
        number: usize,
    },
    /// It has faults.
    #[error("{file} is not usable:\n{faults}")]
    Faults {
        /// What the file is called.
        file: &'static str,
        /// A line for each.
        faults: String,
    },
}

/// Reads a file; gives the warnings as lines besides.
pub(super) fn read<C: OwnFile>(path: &Path) -> Result<(C, String), AuthorityFileError> {
    let documents = configuration_file::documents(path)?;
    let [document] = documents.as_slice() else {
        return Err(AuthorityFileError::Documents {
            path: path.to_owned(),
            number: documents.len(),
        });
    };
    let inspection = inspect::<C>(document);
    let shown = configuration_file::shown(path);
    let lines = |findings: &[Finding], kind| Finding::lines(findings, kind, shown);
    let Some(configuration) = inspection.configuration else {
        let faults = lines(&inspection.faults, "error");
        return Err(AuthorityFileError::Faults {
            file: C::NAME,
            faults: faults.trim_end().to_owned(),
        });
    };
    Ok((configuration, lines(&inspection.warnings, "warning")))
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::super::validate;
    use super::*;

    /// What serves by the file says, and what checks it writes and says.
    fn outcomes(text: &str) -> (Result<Configuration, String>, String, Result<(), String>) {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("authority.yaml");
        fs::write(&file, text).unwrap();
        let plain = |text: String| {
            let directory = format!("{}/", directory.path().display());
            text.replace(&directory, "")
        };
        let read = read::<Configuration>(&file).map_err(|error| plain(error.to_string()));
        let (mut output, mut errors) = (Vec::new(), Vec::new());
        let arguments = validate::Arguments {
            files: vec![file],
            deny_warnings: false,
        };
        let validated = validate::run(&arguments, &mut output, &mut errors);
        let validated = validated.map_err(|error| plain(error.to_string()));
        let output = plain(String::from_utf8(output).unwrap());
        (
            read.map(|(configuration, _)| configuration),
            output,
            validated,
        )
    }

    #[test]
    fn a_file_is_read_and_found_valid() {
        let text = "issuers:\n- {issuer: https://id.example, keys: {jwks_file: jwks.json}}\n";
        let (read, output, validated) = outcomes(text);
        assert_eq!(read.unwrap().issuers.len(), 1);
        assert_eq!(output, "authority.yaml: the configuration is valid\n");
        assert_eq!(validated, Ok(()));
    }

    #[test]
    fn every_fault_is_told_with_its_line_by_what_serves_and_what_checks() {
        let text = "\
issuers:
- issuer: https://id.example
  keys: {jwks_uri: 'http://id.example/keys'}
- issuer: https://login.example
  keys: {jwks_file: jwks.json}
  audience: api
";
        let expected = "\
authority.yaml:3: error: issuers[0].keys.jwks_uri: expected a URL that begins with `https://`, or \
with `http://` where its host is on loopback
authority.yaml:6: error: issuers[1].audience: unknown key, did you mean `audiences`?
";
        let (read, output, validated) = outcomes(text);
        let fault = format!(
            "the authority's file is not usable:\n{}",
            expected.trim_end()
        );
        assert_eq!(read.unwrap_err(), fault);
        assert_eq!(output, expected);
        assert!(validated.is_err());
    }

    #[test]
    fn the_signals_file_is_found_valid_or_every_fault_told_with_its_line() {
        let text = "\
listen: 0.0.0.0:10003
issuers:
- issuer: https://id.example
  keys: {jwks_file: jwks.json}
  client_ids: [web]
  receivers: {back_channel_logot: true}
";
        let (_, output, validated) = outcomes(text);
        assert!(validated.is_err());
        let lines: Vec<_> = output.lines().collect();
        assert_eq!(lines.len(), 2, "{output}");
        let public = "authority.yaml:1: error: listen: others can connect there, and there is no";
        assert!(lines[0].starts_with(public), "{output}");
        assert_eq!(
            lines[1],
            "authority.yaml:6: error: issuers[0].receivers.back_channel_logot: unknown key, did you \
             mean `back_channel_logout`?"
        );
        let text = text
            .replace("0.0.0.0", "127.0.0.1")
            .replace("logot", "logout");
        let (as_own, output, validated) = outcomes(&text);
        assert_eq!(output, "authority.yaml: the configuration is valid\n");
        assert_eq!(validated, Ok(()));
        // Given to the other option, it is not taken for what that is about.
        assert!(as_own.unwrap_err().contains("listen: unknown key"));
    }

    #[test]
    fn what_is_no_document_of_the_authority_is_told() {
        let two = "issuers: []\n---\nissuers: []\n";
        assert_eq!(
            outcomes(two).0.unwrap_err(),
            "authority.yaml: expected one document, found 2"
        );
        assert!(
            outcomes("issuers: [")
                .0
                .unwrap_err()
                .starts_with("authority.yaml:")
        );
        assert!(
            outcomes("providers: {}")
                .0
                .unwrap_err()
                .contains("unknown key")
        );
    }
}
