//! The signals file (`serve --signals`): where signals are received, from whom, and what they mean.
//!
//! It is read as the authority's own file is: each unknown key is a fault, all faults are reported at
//! once, and with one of them nothing is used.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::authority::configuration::{Configured, path};
use crate::authority::is_private;
use crate::configuration::{Fields, Node, Read};
use crate::keys::Url;

use super::oauth::OAuthConfiguration;
use super::oauth::configuration::oauth;

mod global_revocation;
mod issuers;
mod limits;
mod secrets;
mod streams;
mod transmitter;

pub use global_revocation::{CallerAuthentication, GlobalRevocationRules, UnknownSubjects};
pub use issuers::{LogoutScope, SignalIssuer, SignalReceivers, SubjectClaims, SubjectRule};
pub use limits::{RecordLimits, SignalLimits, SubjectForm};
pub(super) use secrets::secret_source;
pub use secrets::{SecretPlace, SecretSource};
pub use streams::{Delivery, EventActions, Push, Stream};
pub use transmitter::{
    Authorization, ClientCredentials, Metadata, Poll, SecretMethod, TransmitterSettings,
};

/// What the signals file says.
#[derive(Clone, Debug)]
pub struct SignalsConfiguration {
    /// Where signals are received; port 0 picks a free one.
    pub listen: SocketAddr,
    /// The certificate, where TLS is spoken.
    pub tls: Option<TlsFiles>,
    /// Under which URL identity providers reach the listener, without a slash at its end.
    pub public_url: Option<String>,
    /// How much a sender may ask of it.
    pub limits: SignalLimits,
    /// What is kept of signals.
    pub records: RecordLimits,
    /// Who is listened to.
    pub issuers: Vec<SignalIssuer>,
    /// Which OAuth clients are answered.
    pub oauth: Option<OAuthConfiguration>,
    /// Streams of security events.
    pub streams: Vec<Stream>,
}

/// A certificate with its chain and its key, PEM files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TlsFiles {
    /// The certificate and its chain.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
}

impl SignalsConfiguration {
    /// The keys at its top that are in no other file.
    pub(crate) const SECTIONS: [&str; 8] = [
        "oauth",
        "listen",
        "tls",
        "allow_insecure_listen",
        "public_url",
        "limits",
        "records",
        "streams",
    ];

    /// The keys of an issuer that are in no other file.
    pub(crate) const OF_ISSUERS: [&str; 4] = [
        "client_ids",
        "receivers",
        "logout_without_sid",
        "tokens_carry_sid",
    ];

    /// Whether a document is a signals file, as far as its keys tell. Issuers are in the authority's
    /// own file too.
    #[must_use]
    pub fn is_in(document: &Value) -> bool {
        let has = |value: &Value, keys: &[&str]| keys.iter().any(|key| value.get(key).is_some());
        let issuers = document.get("issuers").and_then(Value::as_array);
        let mut issuers = issuers.into_iter().flatten();
        let is_told =
            has(document, &Self::SECTIONS) || issuers.any(|issuer| has(issuer, &Self::OF_ISSUERS));
        is_told
            && !has(
                document,
                &["providers", "services", "static_resources", "kind"],
            )
    }

    /// Reads the file's document. Files that it names are in this directory, unless their paths are
    /// absolute.
    #[must_use]
    pub fn read(document: &Value, directory: &Path) -> Configured<Self> {
        Configured::of(document, |root| configuration(root, directory))
    }
}

fn configuration(root: Node<'_>, directory: &Path) -> Read<SignalsConfiguration> {
    root.object(|fields| {
        let tls = tls(fields, directory);
        let is_insecure_allowed = fields.flag("allow_insecure_listen", false);
        let is_protected = !matches!(tls, Ok(None)) || is_insecure_allowed;
        let listen = listen(fields, is_protected);
        let public_url = public_url(fields);
        let limits = limits::limits(fields);
        let records = limits::records(fields);
        // One that cannot be read is there.
        let has_url = !matches!(public_url, Ok(None));
        let oauth = oauth(fields, directory, has_url);
        let issuers = issuers::issuers(fields, directory, !matches!(oauth, Ok(None)));
        if let (Ok(public_url), Ok(issuers)) = (&public_url, &issuers) {
            check_endpoints(fields, public_url.as_deref(), issuers);
        }
        let streams = streams::streams(fields, issuers.as_deref().ok(), directory);
        let (issuers, streams) = (issuers?, streams?);
        warn_of_silence(fields, &issuers, &streams);
        Ok(SignalsConfiguration {
            listen: listen?,
            tls: tls?,
            public_url: public_url?,
            limits: limits?,
            records: records?,
            issuers,
            streams,
            oauth: oauth?,
        })
    })
}

/// An issuer from which nothing comes is a mistake, and harms nobody.
fn warn_of_silence(fields: &mut Fields<'_>, issuers: &[SignalIssuer], streams: &[Stream]) {
    let Some(Ok(nodes)) = fields.optional("issuers").map(Node::elements) else {
        return;
    };
    for (node, issuer) in nodes.zip(issuers) {
        let has_stream = streams.iter().any(|stream| stream.issuer == issuer.issuer);
        if issuer.receivers == SignalReceivers::default() && !has_stream {
            node.warning("nothing is received from this issuer: it has no receiver that is on, and no stream");
        }
    }
}

/// Each path is one issuer's, and what a JWT is for is the whole URL of it.
fn check_endpoints(fields: &Fields<'_>, public_url: Option<&str>, issuers: &[SignalIssuer]) {
    let mut names = HashSet::new();
    for (index, issuer) in issuers.iter().enumerate() {
        let Some(rules) = &issuer.receivers.global_token_revocation else {
            continue;
        };
        let at = |key: &str| format!("issuers[{index}].receivers.global_token_revocation{key}");
        if !names.insert(rules.name.as_str()) {
            fields.fault_at(at(".name"), "expected a name that no other issuer has");
        }
        if issuer.receivers.take_signed_callers() && public_url.is_none() {
            let message = "`public_url` is missing: `aud` of a caller's JWT has to be the URL of this \
                           receiver";
            fields.fault_at(at(""), message);
        }
    }
}

/// Without TLS, an attacker on the way could keep signals from arriving, which nobody would notice.
fn listen(fields: &mut Fields<'_>, is_protected: bool) -> Read<SocketAddr> {
    let Some(node) = fields.optional("listen") else {
        return Ok(DEFAULT_LISTEN);
    };
    let address = node.text()?.parse::<SocketAddr>();
    let address = address.map_err(|_| {
        node.fault("expected an address and a port, `127.0.0.1:10003` for instance")
    })?;
    if is_private(address) || is_protected {
        return Ok(address);
    }
    Err(node.fault(
        "others can connect there, and there is no `tls`; hint: `allow_insecure_listen: true` where \
         something in front of it speaks TLS",
    ))
}

fn tls(fields: &mut Fields<'_>, directory: &Path) -> Read<Option<TlsFiles>> {
    let Some(node) = fields.optional("tls") else {
        return Ok(None);
    };
    node.object(|fields| {
        let mut file = |key| fields.required(key).and_then(|node| path(node, directory));
        let (certificate, key) = (file("certificate"), file("key"));
        Ok(Some(TlsFiles {
            certificate: certificate?,
            key: key?,
        }))
    })
}

fn public_url(fields: &mut Fields<'_>) -> Read<Option<String>> {
    let Some(node) = fields.optional("public_url") else {
        return Ok(None);
    };
    let text = node.text()?.trim_end_matches('/');
    match Url::parse(text) {
        Some(url) if !url.path.contains('?') => Ok(Some(text.to_owned())),
        _ => Err(node.fault(
            "expected a URL that begins with `https://` or `http://`, without query and fragment",
        )),
    }
}

const DEFAULT_LISTEN: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 10_003);
#[cfg(test)]
mod tests;
