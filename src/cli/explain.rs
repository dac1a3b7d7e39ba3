//! `portcullis explain`: how one request is decided under one configuration, and why.
//!
//! The gate itself decides, over a host that is not Envoy; this module only records what it does.
//! It shows the claims that the gate looks at, never the token.

mod host;
mod steps;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::rc::Rc;
use std::str::FromStr;
use std::time::SystemTime;

use clap::Args;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use sha2::{Digest as _, Sha256};

use super::configuration_file::{self, ConfigurationFileError};
use super::printable::printable;
use super::token_names::{pasted, scheme_of};
use super::validate::joined;
use super::{CommandError, convert, mint};
use crate::authority::bare;
use crate::authority::to_hex;
use crate::configuration::Fault;
use crate::gate::{
    Attempt, Gate, PROOF_HEADER, PROOF_SCHEME, Verdict, Wait, inspect_configuration,
};
use crate::keys::KeySource;
use crate::time::UnixTime;
use crate::token::{Backend, KeySet, LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};
use host::ExplainingHost;
use steps::{Configured, Steps};

/// Parts of the given text that are shorter than this are too short to be a part of a token, and
/// may be words.
const SHORTEST_HIDDEN: usize = 8;

/// The arguments of `portcullis explain`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// A plugin configuration, or a file of Envoy, Istio or Envoy Gateway with one filter in it;
    /// JSON or YAML
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The token for `Authorization: Bearer`, or `DPoP` where `--header` has a proof, with or
    /// without that word before it; `-` reads it from standard input, where it stays out of the
    /// shell's history
    #[arg(long, value_name = "TOKEN")]
    pub token: Option<String>,
    /// Path of the request, with its query
    #[arg(long, default_value = "/")]
    pub path: String,
    /// Method of the request
    #[arg(long, default_value = "GET")]
    pub method: String,
    /// Scheme of the request, as the listener would have it
    #[arg(long, default_value = "https")]
    pub scheme: String,
    /// A header of the request, `:method: POST` and the like too; may be repeated. Without `Host`,
    /// the request is one to `localhost`
    #[arg(long = "header", value_name = "NAME: VALUE")]
    pub headers: Vec<Header>,
    /// Name of the route that Envoy would choose
    #[arg(long, value_name = "NAME")]
    pub route_name: Option<String>,
    /// The certificate, PEM, that the client shows for the connection; of which only the digest is
    /// looked at, so names in it are given by `--property`
    #[arg(long, value_name = "FILE")]
    pub client_certificate: Option<PathBuf>,
    /// A property as Envoy would have it, by its dotted name: `connection.uri_san_peer_certificate`,
    /// `filter_state.tier`; may be repeated
    #[arg(long = "property", value_name = "NAME=VALUE")]
    pub properties: Vec<Property>,
    /// The JWK Set of a provider whose keys are fetched, or stand in a variable; may be repeated
    #[arg(long = "jwks", value_name = "PROVIDER=FILE")]
    pub key_sets: Vec<KeySetFile>,
}

/// A header as it is typed: `name: value`, or `:name: value` for what HTTP/2 sends as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Header {
    name: String,
    value: String,
}

impl FromStr for Header {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (colon, rest) = match text.strip_prefix(':') {
            Some(rest) => (":", rest),
            None => ("", text),
        };
        let (name, value) = rest.split_once(':').unwrap_or(("", ""));
        let is_known =
            colon.is_empty() || ["method", "path", "scheme", "authority"].contains(&name);
        if name.trim().is_empty() || !is_known {
            return Err(ArgumentError("expected `NAME: VALUE`"));
        }
        Ok(Self {
            name: format!("{colon}{}", name.trim().to_ascii_lowercase()),
            value: value.trim().to_owned(),
        })
    }
}

/// A property of the request or its connection as it is typed: `name=value`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Property {
    name: String,
    value: String,
}

impl FromStr for Property {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((name, value)) if name.contains('.') => Ok(Self {
                name: name.to_owned(),
                value: value.to_owned(),
            }),
            _ => Err(ArgumentError("expected `NAME=VALUE`, with a dotted name")),
        }
    }
}

/// A file with the keys of a provider as it is typed: `provider=file`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySetFile {
    provider: String,
    file: PathBuf,
}

impl FromStr for KeySetFile {
    type Err = ArgumentError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once('=') {
            Some((provider, file)) if !provider.is_empty() => Ok(Self {
                provider: provider.to_owned(),
                file: file.into(),
            }),
            _ => Err(ArgumentError("expected `PROVIDER=FILE`")),
        }
    }
}

/// An argument that is not in the expected form.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ArgumentError(&'static str);

/// Why nothing could be explained.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ExplainError {
    /// The token, a key set or the certificate could not be read.
    #[error("could not read {path}")]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("{path}: expected a certificate, PEM")]
    Certificate {
        /// The file.
        path: PathBuf,
    },
    /// A file holds no usable keys.
    #[error("{path}: expected a JWK Set")]
    KeySet {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: crate::token::KeySetError,
    },
    /// No provider of that name has its keys outside of the configuration.
    #[error("expected the name of a provider whose keys are not known here, found `{name}`")]
    Provider {
        /// The name.
        name: String,
    },
}

/// Writes to `output` what is checked and how it comes out, step by step, and to `errors` what is
/// not known of the configuration.
///
/// # Errors
///
/// [`CommandError::Refused`] when the request would be refused; other errors when that could not
/// be found out.
pub fn run(
    arguments: &Arguments,
    now: SystemTime,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), CommandError> {
    let now = mint::unix_time(now)?;
    let mut found = convert::configurations(&arguments.file)?;
    let number = found.len();
    let (Some(found), 1) = (found.pop(), number) else {
        return Err(ConfigurationFileError::Several {
            path: configuration_file::shown(&arguments.file).to_owned(),
            number,
        }
        .into());
    };
    let environment = |name: &str| found.surroundings.variable(name, super::variable);
    let inspection = inspect_configuration(found.text.as_bytes(), &environment);
    let line = |path: &str| found.line(path);
    for warning in &inspection.warnings {
        writeln!(errors, "warning: {warning}").map_err(CommandError::Output)?;
    }
    let file = configuration_file::shown(&arguments.file).display();
    for Fault { path, message } in &inspection.faults {
        let path_in_file = joined(&found.path, path);
        writeln!(
            errors,
            "{file}:{}: error: {path_in_file}{message}",
            line(path)
        )
        .map_err(CommandError::Output)?;
    }
    let number = inspection.faults.len();
    let configuration = inspection.configuration;
    let policy = inspection.policy.ok_or(CommandError::Faults { number })?;
    let (policy, has_revocation) = policy.without_feed();
    let policy = policy.without_nonces();
    // One token is checked, once, so the hash key of the token cache need not be secret.
    let gate = Gate::new(policy, Backend::Module, [0; 16]);
    put_keys(&gate, &arguments.key_sets, errors)?;
    let pasted = pasted_token(arguments)?;
    let token = pasted.as_deref().map(|pasted| bare(pasted).to_owned());
    let mut host = ExplainingHost::new(now, arguments);
    for Header { name, value } in &arguments.headers {
        host.add_header(name, value);
    }
    // A proof comes with a token that is bound to a key.
    let mut proofs = arguments.headers.iter();
    let proof = proofs.find(|header| header.name == PROOF_HEADER);
    let has_proof = proof.is_some();
    if let Some(token) = &token {
        let usual = if has_proof { PROOF_SCHEME } else { "Bearer" };
        let scheme = pasted.as_deref().and_then(scheme_of).unwrap_or(usual);
        host.add_header("authorization", &format!("{scheme} {token}"));
        // It was given as a token, well formed or not.
        host.hide(token, SHORTEST_HIDDEN);
    }
    // The first of a name counts.
    for Property { name, value } in &arguments.properties {
        host.add_property(name, value);
    }
    if host.is_encrypted() {
        host.add_property("connection.tls_version", "TLSv1.3");
    }
    if let Some(name) = &arguments.route_name {
        host.add_property("xds.route_name", name);
    }
    if let Some(file) = &arguments.client_certificate {
        let digest = digest_of(file)?;
        host.add_property("connection.sha256_peer_certificate_digest", &digest);
    }
    if has_revocation {
        let note = "whether a token was revoked is not checked here; `portcullis check` asks \
                    the authority";
        writeln!(output, "note       {note}").map_err(CommandError::Output)?;
    }
    if has_proof {
        let note = "whether a proof was used before, and which nonces are good, is known to each \
                    Envoy alone";
        writeln!(output, "note       {note}").map_err(CommandError::Output)?;
    }
    let token = token.or_else(|| host.only_token());
    let configured = Configured {
        configuration: &configuration,
        line: &line,
        route: arguments.route_name.as_deref(),
    };
    let given = Given {
        token: token.as_deref(),
        proof: proof.map(|header| &*header.value),
    };
    explain(&gate, &host, given, configured, output)
}

/// What came with the request.
#[derive(Clone, Copy)]
struct Given<'g> {
    token: Option<&'g str>,
    proof: Option<&'g str>,
}

fn explain(
    gate: &Gate,
    host: &ExplainingHost,
    given: Given<'_>,
    configured: Configured<'_>,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let [token, proof] = [given.token, given.proof].map(|text| {
        text.map(|text| UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, text.as_bytes()))
    });
    let proof = proof.as_ref().and_then(|proof| proof.as_ref().ok());
    let now = host.now_of_the_request();
    let mut steps = Steps::new(configured, token.as_ref(), proof, now);
    let verdict = gate.explain_request(host, Attempt::Last, &mut steps);
    let mut lines = steps.into_lines();
    lines.extend(host.outcome(&verdict));
    for line in lines {
        writeln!(output, "{}", printable(&host.redacted(&line))).map_err(CommandError::Output)?;
    }
    match verdict {
        Verdict::Forward | Verdict::Wait(Wait::Session(_)) => Ok(()),
        Verdict::Stop | Verdict::Wait(_) => Err(CommandError::Refused),
    }
}

fn put_keys(gate: &Gate, files: &[KeySetFile], errors: &mut dyn Write) -> Result<(), CommandError> {
    for KeySetFile { provider, file } in files {
        let mut sources = gate.policy().key_sources().enumerate();
        let source = sources.find_map(|(index, (name, source))| match source {
            KeySource::Remote(remote) if name == provider => Some((index, &remote.rules)),
            KeySource::Unknown(rules) if name == provider => Some((index, rules)),
            _ => None,
        });
        let (index, rules) = source.ok_or_else(|| ExplainError::Provider {
            name: provider.clone(),
        })?;
        let text = fs::read(file).map_err(|source| ExplainError::Read {
            path: file.clone(),
            source,
        })?;
        let keys = KeySet::parse(&text, rules).map_err(|source| ExplainError::KeySet {
            path: file.clone(),
            source,
        })?;
        for key in keys.complaints() {
            writeln!(errors, "{}: warning: {key}", file.display()).map_err(CommandError::Output)?;
        }
        gate.keys().set(index, Some(Rc::new(keys)));
    }
    Ok(())
}

/// SHA-256 of the first certificate in a file, in hexadecimal.
fn digest_of(file: &Path) -> Result<String, ExplainError> {
    let text = fs::read(file).map_err(|source| ExplainError::Read {
        path: file.to_owned(),
        source,
    })?;
    let certificate = CertificateDer::from_pem_slice(&text);
    let certificate = certificate.map_err(|_| ExplainError::Certificate {
        path: file.to_owned(),
    })?;
    Ok(to_hex(&Sha256::digest(&certificate)))
}

/// The token with what was pasted with it.
fn pasted_token(arguments: &Arguments) -> Result<Option<String>, ExplainError> {
    let pasted = arguments.token.as_deref().map(pasted);
    pasted.transpose().map_err(|source| ExplainError::Read {
        path: "standard input".into(),
        source,
    })
}

/// How far off an instant is, in words.
fn distance(from: UnixTime, to: UnixTime) -> String {
    let seconds = to.seconds().abs_diff(from.seconds());
    let text = humantime::format_duration(std::time::Duration::from_secs(seconds));
    if to.seconds() >= from.seconds() {
        format!("in {text}")
    } else {
        format!("{text} ago")
    }
}

#[cfg(test)]
mod tests;
