//! Talking to a running authority.

use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};
use ureq::{Agent, Body, SendBody};

use super::printable::printable;
use crate::authority::http::ProblemBody;

/// Where the authority is, and how to speak to it.
#[derive(Clone, Debug, Args)]
// Its name would be that of the command's own arguments, which clap takes for one group.
#[group(skip)]
pub struct Arguments {
    /// The authority's URL
    #[arg(
        long,
        global = true,
        value_name = "URL",
        env = "PORTCULLIS_AUTHORITY",
        default_value = "http://127.0.0.1:10002"
    )]
    pub authority: String,
    /// The file with the secret that `portcullis credential` printed; or set
    /// `PORTCULLIS_CREDENTIAL` to the secret itself
    // No flag takes the secret itself: everybody on the machine could read it.
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PORTCULLIS_CREDENTIAL_FILE"
    )]
    pub credential_file: Option<PathBuf>,
    /// The certificate authority to trust, PEM [default: the public ones]
    #[arg(
        long,
        global = true,
        value_name = "FILE",
        env = "PORTCULLIS_AUTHORITY_CA"
    )]
    pub certificate_authority: Option<PathBuf>,
    /// Print the authority's answer as JSON
    #[arg(long, global = true)]
    pub json: bool,
}

/// A client with its credential.
#[derive(Debug)]
pub struct Client {
    agent: Agent,
    base: String,
    credential: Option<String>,
}

impl Client {
    /// A client as the arguments describe it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Read`] and [`ClientError::Certificate`].
    pub fn new(arguments: &Arguments) -> Result<Self, ClientError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Only one address is meant; a redirect would carry the credential elsewhere.
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT));
        if let Some(path) = &arguments.certificate_authority {
            let roots = RootCerts::new_with_certs(&certificates(path)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            base: arguments.authority.trim_end_matches('/').to_owned(),
            credential: credential(arguments)?,
        })
    }

    /// `GET` of a path with its query.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, ClientError> {
        let mut request = self.agent.get(format!("{}{path}", self.base));
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        self.answer(request.call())
    }

    /// `POST` of a JSON body.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn post<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &impl Serialize,
    ) -> Result<T, ClientError> {
        let body = serde_json::to_string(body).map_err(ClientError::Answer)?;
        self.post_raw(path, "application/json", body.as_bytes())
    }

    /// `POST` of whatever can be read.
    ///
    /// # Errors
    ///
    /// [`ClientError`].
    pub fn post_raw<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        mut body: impl Read,
    ) -> Result<T, ClientError> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        let request = request.header("content-type", media_type);
        self.answer(request.send(SendBody::from_reader(&mut body)))
    }

    fn answer<T: DeserializeOwned>(
        &self,
        response: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> Result<T, ClientError> {
        let response = response.map_err(|source| ClientError::Unreachable {
            url: self.base.clone(),
            source: Box::new(source),
        })?;
        let status = response.status();
        let body = response
            .into_body()
            .into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(|source| ClientError::Unreachable {
                url: self.base.clone(),
                source: Box::new(source),
            })?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(ClientError::Answer);
        }
        match serde_json::from_slice::<ProblemBody>(&body) {
            Ok(problem) => Err(ClientError::Refused(Box::new(problem))),
            Err(_) => Err(ClientError::Status(status.as_u16())),
        }
    }
}

/// Why there is no answer to print.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ClientError {
    /// A file could not be read.
    #[error("could not read `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file holds no certificate.
    #[error("`{}` holds no certificate", .0.display())]
    Certificate(PathBuf),
    /// The authority does not answer.
    #[error("could not reach the authority at {url}")]
    Unreachable {
        /// Its address.
        url: String,
        /// What went wrong.
        source: Box<ureq::Error>,
    },
    /// The authority refuses.
    #[error("the authority refuses: {}{}", printable(&.0.detail), lines(.0))]
    Refused(Box<ProblemBody>),
    /// Something answers that is no authority.
    #[error("expected an answer of the authority, found status {0}")]
    Status(u16),
    /// The answer is not what it should be.
    #[error("expected an answer of the authority")]
    Answer(#[source] serde_json::Error),
}

impl ClientError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Unreachable { .. } => Some(
                "`portcullis serve` starts one; `--authority` or `PORTCULLIS_AUTHORITY` says \
                 where it is",
            ),
            Self::Refused(problem) if problem.status == 401 => Some(
                "name the file with the secret in `--credential-file`, or set \
                 `PORTCULLIS_CREDENTIAL`",
            ),
            _ => None,
        }
    }
}

fn lines(problem: &ProblemBody) -> String {
    let line = |fault: &crate::authority::import::LineFault| {
        format!("\nline {}: {}", fault.line, fault.message)
    };
    let more = match problem.more_lines {
        0 => String::new(),
        more => format!("\nand {more} more"),
    };
    problem.lines.iter().map(line).chain([more]).collect()
}

fn credential(arguments: &Arguments) -> Result<Option<String>, ClientError> {
    if let Some(path) = &arguments.credential_file {
        let text = fs::read_to_string(path).map_err(|source| ClientError::Read {
            path: path.clone(),
            source,
        })?;
        return Ok(Some(text.trim().to_owned()));
    }
    Ok(std::env::var("PORTCULLIS_CREDENTIAL").ok())
}

fn certificates(path: &PathBuf) -> Result<Vec<Certificate<'static>>, ClientError> {
    let pem = fs::read(path).map_err(|source| ClientError::Read {
        path: path.clone(),
        source,
    })?;
    let certificates: Vec<_> = parse_pem(&pem)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if certificates.is_empty() {
        Err(ClientError::Certificate(path.clone()))
    } else {
        Ok(certificates)
    }
}

/// The largest page of a listing.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
