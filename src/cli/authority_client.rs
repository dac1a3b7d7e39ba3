//! Talking to a running authority.
//!
//! A refusal is never reported as a broken connection. So a request says `Expect: 100-continue`:
//! its body is held back until the authority asks for it, and a request that is refused for its
//! headers ends with that refusal, in place of a "broken pipe" from sending to a peer that has hung
//! up already. An error in reading the file that is sent is reported as such.

use std::fmt;
use std::fs;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use serde::Serialize;
use serde::de::DeserializeOwned;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::{Agent, Body, SendBody};

use crate::authority::http::{ProblemBody, TLS_EXPECTED};
use crate::authority::trusted_certificates;

mod error;

pub use error::{ClientError, Distrust};

/// Where the authority is, and by what its certificate is believed.
#[derive(Clone, Debug, Args)]
#[group(skip)]
pub struct Place {
    /// The authority's URL; with TLS, by a name that its certificate has
    #[arg(
        long,
        value_name = "URL",
        env = "PORTCULLIS_AUTHORITY",
        default_value = "http://127.0.0.1:10002"
    )]
    pub authority: String,
    /// The certificate authority to trust, PEM [default: the public ones]
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_AUTHORITY_CA")]
    pub certificate_authority: Option<PathBuf>,
}

/// Where the authority is, and how to speak to it.
#[derive(Clone, Debug, Args)]
// Its name would be that of the command's own arguments, which clap takes for one group.
#[group(skip)]
pub struct Arguments {
    /// Where it is.
    #[command(flatten)]
    pub place: Place,
    /// The file with the secret that `portcullis credential` printed; or set
    /// `PORTCULLIS_CREDENTIAL` to the secret itself
    // No flag takes the secret itself: every user of the machine could read it.
    #[arg(long, value_name = "FILE", env = "PORTCULLIS_CREDENTIAL_FILE")]
    pub credential_file: Option<PathBuf>,
    /// Print the authority's answer as JSON
    #[arg(long)]
    pub json: bool,
}

/// A client with its credential.
pub struct Client {
    agent: Agent,
    base: String,
    credential: Option<String>,
}

/// Without the credential.
impl fmt::Debug for Client {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Client");
        shown.field("base", &self.base).finish_non_exhaustive()
    }
}

impl Client {
    /// A client as the arguments describe it.
    ///
    /// # Errors
    ///
    /// [`ClientError::Read`], [`ClientError::Certificate`] and [`ClientError::Credential`].
    pub fn new(arguments: &Arguments) -> Result<Self, ClientError> {
        Ok(Self {
            credential: credential(arguments)?,
            ..Self::without_credential(&arguments.place)?
        })
    }

    /// A client that shows no credential.
    ///
    /// # Errors
    ///
    /// [`ClientError::Read`] and [`ClientError::Certificate`].
    pub fn without_credential(place: &Place) -> Result<Self, ClientError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // Only one address is meant; a redirect would carry the credential elsewhere.
            .max_redirects(0)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_await_100(Some(BODY_WAIT));
        if let Some(path) = &place.certificate_authority {
            let roots = RootCerts::new_with_certs(&certificates(path)?);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            base: place.authority.trim_end_matches('/').to_owned(),
            credential: None,
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
    /// [`ClientError`]; of these [`ClientError::Input`] when it cannot be read.
    pub fn post_raw<T: DeserializeOwned>(
        &self,
        path: &str,
        media_type: &str,
        body: impl Read,
    ) -> Result<T, ClientError> {
        let mut request = self.agent.post(format!("{}{path}", self.base));
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        let request = request
            .header("content-type", media_type)
            .header("expect", "100-continue");
        let mut input = Input { body, fault: None };
        let response = request.send(SendBody::from_reader(&mut input));
        match input.fault {
            Some(source) => Err(ClientError::Input(source)),
            None => self.answer(response),
        }
    }

    /// Whether `GET` of a path says within this time that the server is ready.
    ///
    /// # Errors
    ///
    /// [`ClientError`]; of these [`ClientError::NotReady`] with what it says instead.
    pub fn expect_ready(&self, path: &str, within: Duration) -> Result<(), ClientError> {
        let request = self.agent.get(format!("{}{path}", self.base));
        let request = request.config().timeout_global(Some(within)).build();
        let (status, body) = self.received(request.call())?;
        match status.as_u16() {
            200..=299 => Ok(()),
            503 => Err(ClientError::NotReady(
                String::from_utf8_lossy(&body).trim().to_owned(),
            )),
            other => Err(ClientError::Status(other)),
        }
    }

    fn answer<T: DeserializeOwned>(
        &self,
        response: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> Result<T, ClientError> {
        let (status, body) = self.received(response)?;
        if status.is_success() {
            return serde_json::from_slice(&body).map_err(ClientError::Answer);
        }
        match serde_json::from_slice::<ProblemBody>(&body) {
            Ok(problem) => Err(self.refused(problem)),
            Err(_) => Err(ClientError::Status(status.as_u16())),
        }
    }

    /// The status and the body of what was answered.
    fn received(
        &self,
        response: Result<ureq::http::Response<Body>, ureq::Error>,
    ) -> Result<(ureq::http::StatusCode, Vec<u8>), ClientError> {
        let failed = |source| {
            let error = ClientError::of(&self.base, source);
            if error.is_hung_up() {
                self.other_way().unwrap_or(error)
            } else {
                error
            }
        };
        let response = response.map_err(failed)?;
        let status = response.status();
        let body = response
            .into_body()
            .into_with_config()
            .limit(MAX_ANSWER_BYTES)
            .read_to_vec()
            .map_err(failed)?;
        Ok((status, body))
    }

    /// Whether the peer at this address, which did not understand plain HTTP, speaks TLS, or the other
    /// way round. Nothing is sent to it, so it does not matter whose it is.
    fn other_way(&self) -> Option<ClientError> {
        let url = self.base.clone();
        if let Some(address) = self.base.strip_prefix("http://") {
            // Whatever it answers, it speaks TLS.
            let is_answered = Self::asked_for_health(&format!("https://{address}")).is_some();
            return is_answered.then_some(ClientError::SpeaksTls { url });
        }
        let address = self.base.strip_prefix("https://")?;
        // Many servers that speak TLS answer plain HTTP with a hint that they do.
        let status = Self::asked_for_health(&format!("http://{address}"))?;
        status
            .is_success()
            .then_some(ClientError::SpeaksNoTls { url })
    }

    fn asked_for_health(base: &str) -> Option<ureq::http::StatusCode> {
        let tls = TlsConfig::builder().disable_verification(true).build();
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .timeout_global(Some(CONNECT_TIMEOUT))
            .tls_config(tls);
        let agent: Agent = config.build().into();
        let answer = agent.get(format!("{base}/healthz")).call();
        answer.ok().map(|answer| answer.status())
    }

    fn refused(&self, problem: ProblemBody) -> ClientError {
        match problem.status {
            401 if self.credential.is_none() => ClientError::NoCredential,
            401 => ClientError::UnknownCredential,
            403 if problem.code == "role_missing" => ClientError::Role(problem.detail),
            500.. => ClientError::Unable(Box::new(problem)),
            // Of another import or backup, not of what was asked for: the same is done later.
            409 if problem.code.ends_with("_in_progress") => ClientError::Unable(Box::new(problem)),
            _ if problem.code == TLS_EXPECTED => ClientError::SpeaksTls {
                url: self.base.clone(),
            },
            _ => ClientError::Refused(Box::new(problem)),
        }
    }
}

/// A body that records its own read error, so that an unreadable file is not blamed on the peer.
struct Input<R> {
    body: R,
    fault: Option<io::Error>,
}

impl<R: Read> Read for Input<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.body.read(buffer) {
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                let kind = error.kind();
                self.fault = Some(error);
                Err(kind.into())
            }
            read => read,
        }
    }
}

fn credential(arguments: &Arguments) -> Result<Option<String>, ClientError> {
    let text = match &arguments.credential_file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|source| ClientError::Read {
                path: path.clone(),
                source,
            })?;
            Some(text)
        }
        None => std::env::var("PORTCULLIS_CREDENTIAL").ok(),
    };
    let text = text.map(|text| text.trim().to_owned());
    // A variable that is set to nothing is what a script leaves where it has no secret.
    let text = text.filter(|text| !text.is_empty() || arguments.credential_file.is_some());
    let is_one =
        |text: &String| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match text {
        Some(text) if !is_one(&text) => Err(ClientError::Credential),
        text => Ok(text),
    }
}

fn certificates(path: &Path) -> Result<Vec<Certificate<'static>>, ClientError> {
    let pem = fs::read(path).map_err(|source| ClientError::Read {
        path: path.to_owned(),
        source,
    })?;
    trusted_certificates(&pem).ok_or_else(|| ClientError::Certificate(path.to_owned()))
}

/// The largest page of a listing.
const MAX_ANSWER_BYTES: u64 = 64 << 20;

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long a body waits where a proxy on the way does not know `Expect: 100-continue`. The authority
/// itself answers at once.
const BODY_WAIT: Duration = Duration::from_secs(1);
