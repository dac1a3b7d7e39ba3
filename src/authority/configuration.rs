//! The authority's own file (`serve --config`): which issuers it trusts, and what it does by itself.
//!
//! There is one module for each section. The file is read as the filter's configuration is: each
//! unknown key is a fault, all faults are reported at once, and with one of them nothing is used.

use std::path::Path;

use serde_json::Value;

use super::sessions::suspicion::Policy;
use super::webhook::Receiver;
use crate::authority::{SessionPolicy, SignalsConfiguration};
use crate::configuration::{Fault, Fields, Node, Read, Reading, Variable};

mod duration;
mod file;
mod issuers;
mod session_policy;
mod sessions;
mod status_lists;
mod suspicion;
mod webhook;

pub(super) use duration::duration;
pub(super) use file::path;
pub use file::{ConfiguredFile, Document};
pub use issuers::{Issuer, IssuerKeys, KeyServer, SessionEnd};
pub(super) use issuers::{KEY_PLACES, issuer_keys, name, server, sessions_end};
pub use sessions::SessionLimits;
pub use status_lists::StatusListSource;

/// What the authority's file says. Without a file, it is empty.
#[derive(Clone, Debug, Default)]
pub struct Configuration {
    /// The issuers whose tokens count as evidence.
    pub issuers: Vec<Issuer>,
    /// The bounds of the registry of sessions.
    pub sessions: SessionLimits,
    /// From where on a session looks stolen, and what is done then.
    pub(super) suspicion: Policy,
    /// Who is told what happened.
    pub(super) webhook: Option<Receiver>,
}

/// A configuration, and what the operator should know about it although it is not a fault.
#[derive(Debug)]
pub struct Configured<C = Configuration> {
    /// The configuration; none if there are faults.
    pub configuration: Option<C>,
    /// What keeps the authority from starting, with the paths.
    pub faults: Vec<Fault>,
    /// Remarks, with their paths.
    pub warnings: Vec<Fault>,
}

impl Configuration {
    /// The keys at its top, by which it is known.
    pub(crate) const SECTIONS: [&str; 4] = ["issuers", "sessions", "suspicion", "webhook"];

    /// Whether a document is the authority's file, as far as its keys tell.
    #[must_use]
    pub fn is_in(document: &Value) -> bool {
        Self::SECTIONS
            .iter()
            .any(|section| document.get(section).is_some())
            && document.get("providers").is_none()
            && !SignalsConfiguration::is_in(document)
    }

    /// Reads the file's document. Files that it names are in this directory, unless their paths are
    /// absolute.
    #[must_use]
    pub fn read(document: &Value, directory: &Path) -> Configured {
        Configured::of(document, |root| configuration(root, directory))
    }
}

impl<C> Configured<C> {
    /// What a document says, of which nothing is used where there is a fault.
    pub(super) fn of(document: &Value, read: impl FnOnce(Node<'_>) -> Read<C>) -> Self {
        let reading = Reading::new(document, &|_| Variable::Unset);
        let configuration = read(reading.root()).ok();
        let (faults, warnings) = reading.findings();
        Self {
            configuration: configuration.filter(|_| faults.is_empty()),
            faults,
            warnings,
        }
    }
}

fn configuration(root: Node<'_>, directory: &Path) -> Read<Configuration> {
    root.object(|fields| {
        let issuers = issuers::issuers(fields, directory);
        let sessions = sessions::sessions(fields);
        // Every section is looked at before a fault ends this, or those after it would count as unknown.
        let suspicion = suspicion::suspicion(fields);
        let webhook = webhook::webhook(fields, directory);
        let (issuers, sessions) = (issuers?, sessions?);
        check_timeouts(fields, &issuers, &sessions);
        Ok(Configuration {
            issuers,
            sessions,
            suspicion: suspicion?,
            webhook: webhook?,
        })
    })
}

/// A session that the registry has dropped is not found idle any more.
fn check_timeouts(fields: &Fields<'_>, issuers: &[Issuer], sessions: &SessionLimits) {
    for (index, issuer) in issuers.iter().enumerate() {
        let rules = issuer.session_policy.iter().flat_map(SessionPolicy::all);
        let longest = rules.filter_map(|rules| rules.idle_timeout).max();
        if longest.is_some_and(|longest| longest >= sessions.retention) {
            let message = "expected every `idle_timeout` to be shorter than `sessions.retention`, \
                           after which a session is not known any more";
            fields.fault_at(format!("issuers[{index}].session_policy"), message);
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
