//! `streams[].transmitter` and `streams[].delivery.poll`: where events come from, and how it is asked
//! for them.

use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::secrets::{SecretSource, secret_source};
use crate::authority::configuration::{duration, path, server};
use crate::configuration::{Fields, Node, Read};

/// The transmitter of a stream (Shared Signals Framework 1.0 section 7).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransmitterSettings {
    /// Where its metadata is.
    pub metadata: Metadata,
    /// The file with the certificate authorities to trust, in place of the public ones.
    pub certificate_authority: Option<PathBuf>,
    /// What it is shown.
    pub authorization: Option<Authorization>,
    /// Whether the stream is created, updated and watched from here.
    pub manage: bool,
    /// The stream there that is taken over, where it has no other mark by which it could be known.
    pub stream_id: Option<String>,
    /// The types of events that are asked for; those that mean something here if there are none.
    pub events_requested: Vec<String>,
    /// The subjects that are added to the stream, as subject identifiers (RFC 9493).
    pub subjects: Vec<Value>,
}

/// Where the metadata of a transmitter is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Metadata {
    /// `/.well-known/ssf-configuration` of the issuer.
    SharedSignals,
    /// `/.well-known/risc-configuration` of the issuer, as transmitters before Shared Signals have it.
    Risc,
    /// At this URL.
    Url(String),
}

/// What a transmitter is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// A bearer token that stays the same.
    Bearer(SecretSource),
    /// A token by the client credentials grant of OAuth 2.0 (RFC 6749 section 4.4).
    ClientCredentials(ClientCredentials),
}

/// A client of the transmitter's authorization server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClientCredentials {
    /// Where tokens are asked for.
    pub token_endpoint: String,
    /// The client.
    pub client_id: String,
    /// Its secret.
    pub client_secret: SecretSource,
    /// How it is shown.
    pub method: SecretMethod,
    /// What is asked for.
    pub scope: Option<String>,
}

/// How a client shows its secret (OpenID Connect Core 1.0 section 9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SecretMethod {
    /// In the header `Authorization`.
    Basic,
    /// In the form.
    Post,
}

/// How events are asked for (RFC 8936).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Poll {
    /// Where, unless the transmitter says it when the stream is created.
    pub endpoint: Option<String>,
    /// How many at once.
    pub max_events: u32,
    /// How long an answer may take. A transmitter that has nothing to say holds it back.
    pub timeout: Duration,
}

/// A thousand kilobytes of events, or little more.
const DEFAULT_MAX_EVENTS: usize = 100;

/// More than most transmitters hold an answer back for.
const DEFAULT_TIMEOUT: Duration = Duration::from_mins(1);

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_mins(10);

/// The section `transmitter` of a stream.
pub(super) fn transmitter(node: Node<'_>, directory: &Path) -> Read<TransmitterSettings> {
    node.object(|fields| {
        let metadata = metadata(fields);
        let certificate_authority = fields.optional("certificate_authority");
        let certificate_authority = certificate_authority.map(|node| path(node, directory));
        let authorization = fields.optional("authorization");
        let authorization =
            authorization.map(|node| node.object(|fields| self::authorization(fields, directory)));
        let manage = fields.flag("manage", true);
        let stream_id = fields.optional_text("stream_id").map(str::to_owned);
        let events_requested = fields.texts("events_requested");
        let subjects = fields.each("subjects", |node| {
            let _ = node.entries()?;
            node.value().cloned()
        });
        Ok(TransmitterSettings {
            metadata: metadata?,
            certificate_authority: certificate_authority.transpose()?,
            authorization: authorization.transpose()?,
            manage,
            stream_id,
            events_requested,
            subjects,
        })
    })
}

fn metadata(fields: &mut Fields<'_>) -> Read<Metadata> {
    #[derive(Clone, Copy)]
    enum Place {
        WellKnown,
        Url,
    }
    let places = [("well_known", Place::WellKnown), ("metadata", Place::Url)];
    match fields.at_most_one_of(&places)? {
        None => Ok(Metadata::SharedSignals),
        Some((Place::Url, node)) => url(node).map(Metadata::Url),
        Some((Place::WellKnown, node)) => {
            node.word(&[("ssf", false), ("risc", true)]).map(|is_risc| {
                if is_risc {
                    Metadata::Risc
                } else {
                    Metadata::SharedSignals
                }
            })
        }
    }
}

fn authorization(fields: &mut Fields<'_>, directory: &Path) -> Read<Authorization> {
    let (is_bearer, node) = fields.one_of(&[("bearer", true), ("client_credentials", false)])?;
    if is_bearer {
        return secret_source(node, directory).map(Authorization::Bearer);
    }
    node.object(|fields| {
        let token_endpoint = fields.required("token_endpoint").and_then(url);
        let client_id = fields.required_text("client_id");
        let client_secret = fields
            .required("client_secret")
            .and_then(|node| secret_source(node, directory));
        let method = fields.word("method", &METHODS, SecretMethod::Basic);
        let scope = fields.optional_text("scope").map(str::to_owned);
        Ok(Authorization::ClientCredentials(ClientCredentials {
            token_endpoint: token_endpoint?,
            client_id: client_id?.to_owned(),
            client_secret: client_secret?,
            method,
            scope,
        }))
    })
}

const METHODS: [(&str, SecretMethod); 2] = [
    ("client_secret_basic", SecretMethod::Basic),
    ("client_secret_post", SecretMethod::Post),
];

/// The section `delivery.poll` of a stream.
pub(super) fn poll(node: Node<'_>) -> Read<Poll> {
    node.object(|fields| {
        let endpoint = fields.optional("endpoint").map(url);
        let max_events = fields.number("max_events", (1, 1_000), DEFAULT_MAX_EVENTS);
        let timeout = match fields.optional("timeout") {
            None => DEFAULT_TIMEOUT,
            Some(node) => {
                let timeout = duration(node)?;
                if !TIMEOUTS.contains(&timeout) {
                    return Err(node.fault("expected a duration from 1s to 10m"));
                }
                timeout
            }
        };
        Ok(Poll {
            endpoint: endpoint.transpose()?,
            max_events: u32::try_from(max_events).unwrap_or(1),
            timeout,
        })
    })
}

/// A URL to which credentials may go.
fn url(node: Node<'_>) -> Read<String> {
    server(node, None)?;
    node.text().map(str::to_owned)
}
