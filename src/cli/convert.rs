//! `portcullis convert`: turns existing configurations into one of the plugin.
//!
//! The result means the same, or says where it does not: whatever cannot be translated is a warning
//! with its path, and the command ends with 1 unless that is accepted. Where there is a choice,
//! less goes through than before. What would let more through, as far as the files tell, is never
//! accepted.

mod clauses;
mod envoy_gateway;
mod istio;
mod item;
mod jwt_authn;
mod shape;
mod source;
mod template;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::configuration_file::{self, Document, Found};
use super::{CommandError, yaml};
use crate::configuration::Variable;
use crate::gate::inspect_configuration;
use item::{Item, Remark, Remarks};
pub(super) use source::sources;
use source::{Source, SourceKind, kind};

/// The arguments of `portcullis convert`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Files with Envoy's `jwt_authn` filter, an Istio `RequestAuthentication` and the
    /// `AuthorizationPolicy` beside it, or an Envoy Gateway `SecurityPolicy`; `-` is standard input
    #[arg(value_name = "FILE", required = true)]
    pub files: Vec<PathBuf>,
    /// End with 0 although something could not be translated, unless a warning says OPEN
    #[arg(long)]
    pub accept_differences: bool,
    /// Print JSON, one configuration on a line
    #[arg(long)]
    pub json: bool,
}

/// The plugin configurations in a file.
///
/// # Errors
///
/// As [`found`], and [`CommandError::ConfigurationFile`] where it cannot be read.
pub(super) fn configurations(file: &Path) -> Result<Vec<Found>, CommandError> {
    found(file, &configuration_file::documents(file)?)
}

/// The plugin configurations in the documents of this file.
///
/// # Errors
///
/// [`CommandError::Foreign`] when there is none but something that can be translated to one, else
/// [`CommandError::ConfigurationFile`].
pub(super) fn found(file: &Path, documents: &[Document]) -> Result<Vec<Found>, CommandError> {
    let found = configuration_file::found(documents);
    if !found.is_empty() {
        return Ok(found);
    }
    let path = configuration_file::shown(file).to_owned();
    Err(match sources(documents).first() {
        Some(source) => CommandError::Foreign {
            path,
            line: source.line(),
            kind: source.kind().name(),
        },
        None => configuration_file::nothing(file, documents).into(),
    })
}

/// Writes a plugin configuration for everything that the files have to `output`, as YAML or JSON,
/// and the remarks on it to `errors`, each on a line with its file, line and path.
///
/// # Errors
///
/// [`CommandError::Differences`] when something could not be translated and that was not accepted,
/// [`CommandError::Opens`] when more would go through than before, accepted or not,
/// [`CommandError::Faults`] when what came out would not be taken by the filter, other errors when
/// there was nothing to translate.
pub fn run(
    arguments: &Arguments,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut documents = Vec::new();
    for file in &arguments.files {
        documents.extend(configuration_file::documents(file)?);
    }
    let read = |name: &str| fs::read_to_string(name).ok();
    let remarks = Remarks::default();
    let converted = converted(&documents, &remarks, &read);
    if converted.is_empty() {
        return Err(nothing(arguments, &documents));
    }
    let differences = remarks.differences.borrow();
    for (kind, remarks) in [
        ("warning", &*differences),
        ("note", &*remarks.notes.borrow()),
    ] {
        for remark in remarks {
            tell(kind, remark, errors).map_err(CommandError::Output)?;
        }
    }
    let written = write(&converted, arguments.json, output, errors);
    match written.map_err(CommandError::Output)? {
        0 => {}
        number => return Err(CommandError::Faults { number }),
    }
    match differences.iter().filter(|remark| remark.opens).count() {
        0 => {}
        number => return Err(CommandError::Opens { number }),
    }
    match differences.len() {
        number if number > 0 && !arguments.accept_differences => {
            Err(CommandError::Differences { number })
        }
        _ => Ok(()),
    }
}

/// Writes these, and what is wrong with them; returns the number of faults.
fn write(
    converted: &[Converted],
    as_json: bool,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> io::Result<usize> {
    let mut faults = 0;
    for one in converted {
        let text = one.configuration.to_string();
        let inspection = inspect_configuration(text.as_bytes(), &|_| Variable::Unknown);
        for fault in &inspection.faults {
            writeln!(errors, "error: the result has a fault: {fault}")?;
        }
        // A finding that holds for the original too is no difference, so these do not count.
        for finding in inspection.warnings.iter().chain(&inspection.review()) {
            writeln!(errors, "warning: in the result: {finding}")?;
        }
        faults += inspection.faults.len();
        if as_json {
            writeln!(output, "{text}")?;
            continue;
        }
        let separator = if converted.len() > 1 { "---\n" } else { "" };
        let title = super::printable::printable(&one.title);
        let yaml = yaml::to_yaml(&one.configuration);
        write!(output, "{separator}# {title}\n{yaml}")?;
    }
    Ok(faults)
}

fn tell(kind: &str, remark: &Remark, errors: &mut dyn Write) -> io::Result<()> {
    let Remark {
        file,
        line,
        path,
        message,
        ..
    } = remark;
    let separator = if path.is_empty() { "" } else { ": " };
    let file = file.display();
    writeln!(errors, "{file}:{line}: {kind}: {path}{separator}{message}")
}

fn nothing(arguments: &Arguments, documents: &[Document]) -> CommandError {
    let path = arguments.files.first();
    let path = path.map_or(Path::new("-"), |file| configuration_file::shown(file));
    let path = path.to_owned();
    if !configuration_file::found(documents).is_empty() {
        return CommandError::Converted { path };
    }
    let mut documents = documents.iter();
    match documents.find(|document| kind(document) == Some("AuthorizationPolicy")) {
        Some(policy) => CommandError::PolicyAlone {
            path: policy.file.to_path_buf(),
            line: policy.lines.of(""),
        },
        None => CommandError::Untranslatable { path },
    }
}

/// A plugin configuration, and what it is for.
struct Converted {
    title: String,
    configuration: Value,
}

fn converted(
    documents: &[Document],
    remarks: &Remarks,
    files: jwt_authn::Files<'_>,
) -> Vec<Converted> {
    tell_repeated(documents, remarks);
    for policy in of_kind(documents, "SecurityPolicy", remarks) {
        envoy_gateway::merges(&policy);
    }
    let mut converted = Vec::new();
    for source in sources(documents) {
        let (title, configuration) = match source.kind() {
            SourceKind::RequestAuthentication => continue,
            SourceKind::JwtAuthn => native(&source, documents, remarks, files),
            SourceKind::SecurityPolicy => {
                let item = source.item(remarks);
                let maps = of_kind(documents, "ConfigMap", remarks);
                let title = format!("in place of `jwt` in {}", named(&item));
                (title, envoy_gateway::policy(&item, &maps))
            }
        };
        converted.push(Converted {
            title,
            configuration,
        });
    }
    let found = istio::configurations(
        &of_kind(documents, "RequestAuthentication", remarks),
        &of_kind(documents, "AuthorizationPolicy", remarks),
    );
    converted.extend(found.into_iter().map(|(target, configuration)| Converted {
        title: format!("for {target}"),
        configuration,
    }));
    converted
}

fn native(
    source: &Source<'_>,
    documents: &[Document],
    remarks: &Remarks,
    files: jwt_authn::Files<'_>,
) -> (String, Value) {
    let item = source.item(remarks);
    let mut configuration = jwt_authn::filter(&item, files);
    let documents = documents.iter();
    let documents: Vec<_> = documents
        .map(|document| Item::of(document, remarks))
        .collect();
    for (path, message) in &source.chain.differences {
        let at = Item {
            path: path.clone(),
            ..item.clone()
        };
        at.differs(*message);
    }
    jwt_authn::routes(&documents, source.chain.filter, &mut configuration);
    let path = source.path();
    let replaced = if path.is_empty() { "this file" } else { &path };
    (format!("in place of {replaced}"), configuration.into())
}

fn of_kind<'d>(documents: &'d [Document], wanted: &str, remarks: &'d Remarks) -> Vec<Item<'d>> {
    let documents = documents
        .iter()
        .filter(|document| kind(document) == Some(wanted));
    documents
        .map(|document| Item::of(document, remarks))
        .collect()
}

/// Warns of every resource that the documents contain twice: a cluster keeps the last one.
fn tell_repeated(documents: &[Document], remarks: &Remarks) {
    let mut seen = BTreeSet::new();
    for kind in RESOURCES {
        for item in of_kind(documents, kind, remarks) {
            let metadata = item.member("metadata");
            let is_named = metadata.is_some_and(|metadata| metadata.member("name").is_some());
            if is_named && !seen.insert(named(&item)) {
                item.opens(
                    "has stood in these files before; a cluster keeps only the last one, and here the \
                     first still counts, which may OPEN what the last one closes; hint: leave the \
                     other out",
                );
            }
        }
    }
}

/// A resource of Kubernetes by its kind and name.
fn named(item: &Item<'_>) -> String {
    let metadata = item.member("metadata");
    let name = |key: &str| metadata.as_ref().and_then(|metadata| metadata.text_of(key));
    let kind = item.text_of("kind").unwrap_or_default();
    match (name("namespace"), name("name")) {
        (Some(namespace), Some(name)) => format!("{kind} {namespace}/{name}"),
        (_, Some(name)) => format!("{kind} {name}"),
        _ => kind,
    }
}

/// The resources that are read.
const RESOURCES: [&str; 4] = [
    "AuthorizationPolicy",
    "ConfigMap",
    "RequestAuthentication",
    "SecurityPolicy",
];

#[cfg(test)]
mod tests;
