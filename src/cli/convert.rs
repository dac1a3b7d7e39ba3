//! `portcullis convert`: from what people have to a plugin configuration.
//!
//! What comes out means the same, or it is told what does not: whatever cannot be translated is a
//! warning with its place, and the command ends with 1 unless that is accepted. Where there is a
//! choice, less goes through than before. What would let more through, as far as the files tell, is
//! never accepted.

mod clauses;
mod envoy_gateway;
mod istio;
mod item;
mod jwt_authn;
mod shape;
mod template;

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::Value;

use super::configuration_file::{self, ConfigurationFileError, Document, Found};
use super::{CommandError, yaml};
use crate::configuration::{Variable, joined as joined_path};
use crate::gate::inspect_configuration;
use item::{Item, Remark, Remarks};

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

/// What can be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    JwtAuthn,
    RequestAuthentication,
    SecurityPolicy,
}

impl Kind {
    /// What it is called in messages.
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::JwtAuthn => "Envoy's own `jwt_authn` filter",
            Self::RequestAuthentication => "an Istio `RequestAuthentication`",
            Self::SecurityPolicy => "an Envoy Gateway `SecurityPolicy`",
        }
    }
}

/// Something that can be translated, and where it stands.
#[derive(Debug)]
pub(super) struct Source<'d> {
    kind: Kind,
    document: &'d Document,
    /// Path in the document.
    path: String,
    value: &'d Value,
    /// For `jwt_authn` only.
    chain: Chain<'d>,
}

/// How a filter stands in its chain.
#[derive(Clone, Debug)]
struct Chain<'d> {
    /// The name that it has there, by which routes mean it.
    filter: &'d str,
    /// Whether it stands in another filter, which has the name in the chain.
    is_wrapped: bool,
    /// What the translation does not do as the original did, by paths.
    differences: Vec<(String, &'static str)>,
}

impl<'d> Chain<'d> {
    /// How what is in this object stands.
    fn with(&self, path: &str, members: &'d serde_json::Map<String, Value>) -> Self {
        let mut inner = self.clone();
        if !self.is_wrapped
            && let Some(name) = members.get("name").and_then(Value::as_str)
        {
            inner.filter = name;
        }
        let mut differs = |name: &str, message| {
            inner.differences.push((joined_path(path, name), message));
        };
        let is_filter = members.contains_key("typed_config") || members.contains_key("typedConfig");
        if is_filter && members.get("disabled") == Some(&Value::Bool(true)) {
            differs(
                "disabled",
                "the filter is off but where a route turns it on, and what is written is on \
                 everywhere; hint: say `disabled: true` of the new filter too, and turn it on there",
            );
        }
        for name in members.keys() {
            match yaml::plain(name).as_str() {
                "configdiscovery" => differs(
                    name,
                    "what counts comes from elsewhere and cannot be seen here, even if it asks for \
                     more; only what stands in for it is translated; hint: convert that",
                ),
                "extensionconfig" | "xdsmatcher" => {
                    differs(
                        name,
                        "the filter is one that only some requests reach, and what is written is for \
                         all of them; hint: put the new filter in the same place",
                    );
                }
                _ => {}
            }
        }
        inner.is_wrapped |= members
            .keys()
            .any(|name| matches!(yaml::plain(name).as_str(), "extensionconfig" | "xdsmatcher"));
        inner
    }

    const fn new() -> Self {
        Self {
            filter: NATIVE,
            is_wrapped: false,
            differences: Vec::new(),
        }
    }
}

impl Source<'_> {
    pub(super) const fn kind(&self) -> Kind {
        self.kind
    }

    /// Its path in the file.
    pub(super) fn place(&self) -> String {
        configuration_file::under(&self.document.place, &self.path)
    }

    pub(super) fn line(&self) -> usize {
        self.document.lines.of(&self.path)
    }

    fn item<'i>(&'i self, remarks: &'i Remarks) -> Item<'i> {
        Item {
            path: self.path.clone(),
            value: self.value,
            ..Item::of(self.document, remarks)
        }
    }
}

/// Everything in these documents that can be translated.
pub(super) fn sources(documents: &[Document]) -> Vec<Source<'_>> {
    let mut sources = Vec::new();
    for document in documents {
        let kind = match kind(document) {
            Some("RequestAuthentication") => Kind::RequestAuthentication,
            Some("SecurityPolicy") if has_tokens(document) => Kind::SecurityPolicy,
            _ => {
                collect_filters(document, "", &document.value, &Chain::new(), &mut sources);
                continue;
            }
        };
        sources.push(Source {
            kind,
            document,
            path: String::new(),
            value: &document.value,
            chain: Chain::new(),
        });
    }
    sources
}

/// The plugin configurations in a file, and its documents.
///
/// # Errors
///
/// [`CommandError::Foreign`] when there is none, but what can be translated to one, else
/// [`CommandError::ConfigurationFile`].
pub(super) fn configurations(file: &Path) -> Result<(Vec<Found>, Vec<Document>), CommandError> {
    let documents = configuration_file::documents(file)?;
    let found = configuration_file::found(&documents);
    if !found.is_empty() {
        return Ok((found, documents));
    }
    let path = configuration_file::shown(file).to_owned();
    Err(match sources(&documents).first() {
        Some(source) => CommandError::Foreign {
            path,
            line: source.line(),
            kind: source.kind().name(),
        },
        None => ConfigurationFileError::Nothing { path }.into(),
    })
}

fn kind(document: &Document) -> Option<&str> {
    document.value.get("kind")?.as_str()
}

fn has_tokens(policy: &Document) -> bool {
    let spec = policy.value.get("spec");
    spec.and_then(|spec| spec.get("jwt"))
        .is_some_and(Value::is_object)
}

/// Envoy's filters, by the type of their configuration, which nobody else has.
fn collect_filters<'d>(
    document: &'d Document,
    path: &str,
    value: &'d Value,
    outer: &Chain<'d>,
    sources: &mut Vec<Source<'d>>,
) {
    match value {
        Value::Object(members) => {
            let is_native = |key: &str| {
                let kind = members.get(key).and_then(Value::as_str);
                kind.is_some_and(|kind| {
                    kind.contains("filters.http.jwt_authn.") && kind.ends_with(".JwtAuthentication")
                })
            };
            // A `TypedStruct` names the type of what it wraps.
            let wrapped = members.get("value").filter(|_| is_native("type_url"));
            let inside = wrapped.map(|value| (joined_path(path, "value"), value));
            let found = is_native("@type").then(|| (path.to_owned(), value));
            if let Some((path, value)) = found.or(inside) {
                sources.push(Source {
                    kind: Kind::JwtAuthn,
                    document,
                    path,
                    value,
                    chain: outer.clone(),
                });
                return;
            }
            let chain = outer.with(path, members);
            for (name, inner) in members {
                collect_filters(document, &joined_path(path, name), inner, &chain, sources);
            }
        }
        Value::Array(elements) => {
            for (index, inner) in elements.iter().enumerate() {
                let path = format!("{path}[{index}]");
                collect_filters(document, &path, inner, outer, sources);
            }
        }
        _ => {}
    }
}

/// Writes a plugin configuration for everything that the files have to `output`, as YAML or JSON, and what
/// is to be said of it to `errors`, each on a line with its file, line and place.
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
    let mut faults = 0;
    for one in &converted {
        let text = one.configuration.to_string();
        let inspection = inspect_configuration(text.as_bytes(), &|_| Variable::Unknown);
        for fault in &inspection.faults {
            writeln!(errors, "error: what came out has a fault: {fault}")
                .map_err(CommandError::Output)?;
        }
        // What is doubtful in the original is no difference, so these do not count.
        for finding in inspection.warnings.iter().chain(&inspection.review()) {
            writeln!(errors, "warning: of what came out: {finding}")
                .map_err(CommandError::Output)?;
        }
        faults += inspection.faults.len();
        if arguments.json {
            writeln!(output, "{text}").map_err(CommandError::Output)?;
            continue;
        }
        let separator = if converted.len() > 1 { "---\n" } else { "" };
        let title = super::printable::printable(&one.title);
        let yaml = yaml::to_yaml(&one.configuration);
        write!(output, "{separator}# {title}\n{yaml}").map_err(CommandError::Output)?;
    }
    if faults > 0 {
        return Err(CommandError::Faults { number: faults });
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

fn tell(kind: &str, remark: &Remark, errors: &mut dyn Write) -> io::Result<()> {
    let Remark {
        file,
        line,
        place,
        message,
        ..
    } = remark;
    let separator = if place.is_empty() { "" } else { ": " };
    let file = file.display();
    writeln!(errors, "{file}:{line}: {kind}: {place}{separator}{message}")
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
        let (title, configuration) = match source.kind {
            Kind::RequestAuthentication => continue,
            Kind::JwtAuthn => native(&source, documents, remarks, files),
            Kind::SecurityPolicy => {
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
    let place = source.place();
    let place = if place.is_empty() {
        "this file"
    } else {
        &place
    };
    (format!("in place of {place}"), configuration.into())
}

fn of_kind<'d>(documents: &'d [Document], wanted: &str, remarks: &'d Remarks) -> Vec<Item<'d>> {
    let documents = documents
        .iter()
        .filter(|document| kind(document) == Some(wanted));
    documents
        .map(|document| Item::of(document, remarks))
        .collect()
}

/// Says of every resource that has stood in the documents before: a cluster keeps the last one.
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

/// The name that Envoy's filter has unless somebody gave it another.
const NATIVE: &str = "envoy.filters.http.jwt_authn";

#[cfg(test)]
mod tests;
