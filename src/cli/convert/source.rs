//! What can be translated in some documents, and where it is.

use serde_json::{Map, Value};

use super::item::{Item, Remarks};
use crate::cli::configuration_file::{self, Document};
use crate::cli::yaml::plain;
use crate::configuration::joined;

/// What can be translated.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::cli) enum SourceKind {
    JwtAuthn,
    RequestAuthentication,
    SecurityPolicy,
}

impl SourceKind {
    /// What it is called in messages.
    pub(in crate::cli) const fn name(self) -> &'static str {
        match self {
            Self::JwtAuthn => "Envoy's own `jwt_authn` filter",
            Self::RequestAuthentication => "an Istio `RequestAuthentication`",
            Self::SecurityPolicy => "an Envoy Gateway `SecurityPolicy`",
        }
    }
}

/// Something that can be translated, and where it is.
#[derive(Debug)]
pub(in crate::cli) struct Source<'d> {
    kind: SourceKind,
    document: &'d Document,
    /// Path in the document.
    path: String,
    value: &'d Value,
    /// For `jwt_authn` only.
    pub(super) chain: Chain<'d>,
}

/// The position of a filter in its chain.
#[derive(Clone, Debug)]
pub(super) struct Chain<'d> {
    /// Its name there, by which routes refer to it.
    pub(super) filter: &'d str,
    /// Whether it is wrapped in another filter, which has the name in the chain.
    is_wrapped: bool,
    /// What the translation does differently from the original, by path.
    pub(super) differences: Vec<(String, &'static str)>,
}

impl<'d> Chain<'d> {
    /// The position of what is in this object.
    fn with(&self, path: &str, members: &'d Map<String, Value>) -> Self {
        let mut inner = self.clone();
        if !self.is_wrapped
            && let Some(name) = members.get("name").and_then(Value::as_str)
        {
            inner.filter = name;
        }
        let mut differs = |name: &str, message| {
            inner.differences.push((joined(path, name), message));
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
            match plain(name).as_str() {
                "configdiscovery" => differs(
                    name,
                    "what counts comes from elsewhere and cannot be seen here, even if it asks for \
                     more; only what stands in for it is translated; hint: convert that",
                ),
                "extensionconfig" | "xdsmatcher" => {
                    differs(
                        name,
                        "the filter is one that only some requests reach, and what is written is for \
                         all of them; hint: put the new filter in the same position",
                    );
                }
                _ => {}
            }
        }
        inner.is_wrapped |= members
            .keys()
            .any(|name| matches!(plain(name).as_str(), "extensionconfig" | "xdsmatcher"));
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
    pub(in crate::cli) const fn kind(&self) -> SourceKind {
        self.kind
    }

    /// Its path in the file.
    pub(in crate::cli) fn path(&self) -> String {
        configuration_file::under(&self.document.path, &self.path)
    }

    pub(in crate::cli) fn line(&self) -> usize {
        self.document.lines.of(&self.path)
    }

    pub(super) fn item<'i>(&'i self, remarks: &'i Remarks) -> Item<'i> {
        Item {
            path: self.path.clone(),
            value: self.value,
            ..Item::of(self.document, remarks)
        }
    }
}

/// Everything in these documents that can be translated.
pub(in crate::cli) fn sources(documents: &[Document]) -> Vec<Source<'_>> {
    let mut sources = Vec::new();
    for document in documents {
        let kind = match kind(document) {
            Some("RequestAuthentication") => SourceKind::RequestAuthentication,
            Some("SecurityPolicy") if has_tokens(document) => SourceKind::SecurityPolicy,
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

pub(super) fn kind(document: &Document) -> Option<&str> {
    document.value.get("kind")?.as_str()
}

fn has_tokens(policy: &Document) -> bool {
    let spec = policy.value.get("spec");
    spec.and_then(|spec| spec.get("jwt"))
        .is_some_and(Value::is_object)
}

/// Envoy's filters, recognized by the type of their configuration.
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
            let inside = wrapped.map(|value| (joined(path, "value"), value));
            let found = is_native("@type").then(|| (path.to_owned(), value));
            if let Some((path, value)) = found.or(inside) {
                sources.push(Source {
                    kind: SourceKind::JwtAuthn,
                    document,
                    path,
                    value,
                    chain: outer.clone(),
                });
                return;
            }
            let chain = outer.with(path, members);
            for (name, inner) in members {
                collect_filters(document, &joined(path, name), inner, &chain, sources);
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

/// The usual name of Envoy's filter.
const NATIVE: &str = "envoy.filters.http.jwt_authn";
