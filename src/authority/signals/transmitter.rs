//! A transmitter of events, as it is spoken to (Shared Signals Framework 1.0 sections 7 and 8.1,
//! RFC 8936).
//!
//! | | |
//! |---|---|
//! | `calls` | one call: bounded in time and size, to where credentials may go |
//! | `credential` | what the transmitter is shown |
//! | `metadata` | where its endpoints are |
//! | `wire` | what is sent and answered |
//! | `fault` | why a call came to nothing |
//!
//! All of it waits for answers, so it belongs on a thread that may.
//!
//! # Where do credentials go?
//!
//! To the endpoints that the metadata names, which may be on other servers: Google's are. The metadata
//! comes from where the operator has said, over TLS, and redirects are not followed. A transmitter on
//! loopback may name plain endpoints on loopback; one elsewhere cannot lead there.

mod calls;
mod credential;
mod fault;
mod metadata;
mod wire;

pub(in crate::authority) use fault::{Fault, FaultReason};
#[cfg(any(test, fuzzing))]
pub(super) use wire::MOST_SETS;
pub(super) use wire::{
    POLL_METHOD, PUSH_METHOD, PollAnswer, PollRequest, SetError, Spelling, StreamDescription,
    Wanted, WantedDelivery,
};

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use ureq::http::Method;

use super::configuration::TransmitterSettings;
use super::events::StreamStatus;
use crate::percent::encoded;
use calls::{Answer, Ask, Body, Http};
use credential::Credential;
use metadata::Endpoints;

/// How long a transmitter may take for anything but a poll.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A stream's description has about a kilobyte, and there may be a list of them.
const MOST_BYTES: u64 = 1 << 20;

/// The most that is read of the answer to a poll. Whatever is in a longer one is asked for again, with
/// less at once.
pub(super) const MOST_POLLED_BYTES: u64 = 8 << 20;

/// A transmitter.
#[derive(Debug)]
pub(super) struct Transmitter {
    issuer: String,
    metadata_url: String,
    http: Http,
    credential: Credential,
    endpoints: Mutex<Option<Arc<Endpoints>>>,
}

impl Transmitter {
    /// The transmitter of this issuer. `endpoint` is where it is polled, if the operator says so.
    ///
    /// # Errors
    ///
    /// When there are no certificate authorities in their file, or a secret is not there.
    pub(super) fn open(
        issuer: &str,
        settings: &TransmitterSettings,
        endpoint: Option<&str>,
    ) -> Result<Self, Fault> {
        let metadata_url = metadata::url(issuer, &settings.metadata)?;
        let named = endpoint.filter(|_| !settings.manage);
        let allows_plain = named.unwrap_or(&metadata_url).starts_with("http://");
        let http = Http::open(settings.certificate_authority.as_deref(), allows_plain)?;
        let credential = Credential::open(settings.authorization.as_ref());
        let credential = credential.map_err(|error| {
            let error = crate::authority::text::chain_of(&error);
            FaultReason::CredentialRefused.because(error)
        })?;
        Ok(Self {
            issuer: issuer.to_owned(),
            metadata_url,
            http,
            credential,
            endpoints: Mutex::default(),
        })
    }

    /// Fetches the metadata, and keeps it.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn discover(&self) -> Result<Arc<Endpoints>, Fault> {
        let answer = self.http.ask(&Ask {
            authorization: None,
            ..ask(Method::GET, &self.metadata_url)
        })?;
        let endpoints = Arc::new(Endpoints::read(&answer.success()?, &self.issuer)?);
        let mut kept = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        *kept = Some(Arc::clone(&endpoints));
        Ok(endpoints)
    }

    /// The metadata, fetched if it never was.
    fn endpoints(&self) -> Result<Arc<Endpoints>, Fault> {
        let kept = self
            .endpoints
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        kept.map_or_else(|| self.discover(), Ok)
    }

    /// Creates a stream (section 8.1.1.1).
    ///
    /// # Errors
    ///
    /// [`Fault`]; of these [`FaultReason::Conflict`] where there may be no more.
    pub(super) fn create(&self, wanted: &Wanted) -> Result<StreamDescription, Fault> {
        let endpoints = self.endpoints()?;
        let url = endpoints.configuration()?;
        let answer = self.told(Method::POST, url, wanted)?;
        self.described(&answer)
    }

    /// Reads a stream (section 8.1.1.2).
    ///
    /// # Errors
    ///
    /// [`Fault`]; of these [`FaultReason::NotFound`] where there is no such stream.
    pub(super) fn read(&self, stream_id: &str) -> Result<StreamDescription, Fault> {
        let endpoints = self.endpoints()?;
        let url = of_stream(endpoints.configuration()?, stream_id);
        let answer = self.authorized(&ask(Method::GET, &url))?;
        self.described(&answer)
    }

    /// The streams of this receiver.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn list(&self) -> Result<Vec<StreamDescription>, Fault> {
        let endpoints = self.endpoints()?;
        let answer = self.authorized(&ask(Method::GET, endpoints.configuration()?))?;
        // Some answer with the only one there is.
        let streams: wire::OneOrMany = read(&answer)?;
        Ok(streams.into_vec())
    }

    /// Changes a stream to what is wanted (sections 8.1.1.3 and 8.1.1.4).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn update(
        &self,
        stream_id: &str,
        wanted: &Wanted,
    ) -> Result<StreamDescription, Fault> {
        let endpoints = self.endpoints()?;
        let url = endpoints.configuration()?;
        let body = wanted.of_stream(stream_id);
        let answer = match self.told(Method::PATCH, url, &body) {
            Err(fault) if fault.reason == FaultReason::MethodUnknown => {
                self.told(Method::PUT, url, &body)?
            }
            answer => answer?,
        };
        if answer.is_empty() {
            // 202: it will be done.
            return self.read(stream_id);
        }
        self.described(&answer)
    }

    /// Deletes a stream (section 8.1.1.5).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn delete(&self, stream_id: &str) -> Result<(), Fault> {
        let endpoints = self.endpoints()?;
        let url = of_stream(endpoints.configuration()?, stream_id);
        self.authorized(&ask(Method::DELETE, &url)).map(drop)
    }

    /// The status of a stream (section 8.1.2.1); none where the transmitter does not tell.
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn status(&self, stream_id: &str) -> Result<Option<StreamStatus>, Fault> {
        let endpoints = self.endpoints()?;
        let Some(url) = endpoints.status() else {
            return Ok(None);
        };
        let answer = self.authorized(&ask(Method::GET, &of_stream(url, stream_id)))?;
        let answer: wire::StatusAnswer = read(&answer)?;
        let status = StreamStatus::of(&answer.status);
        status.map(Some).ok_or_else(|| {
            let status = super::text::shown(&answer.status);
            FaultReason::AnswerInvalid.because(format!("`status` of the stream is `{status}`"))
        })
    }

    /// Changes the status of a stream (section 8.1.2.2).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn set_status(
        &self,
        stream_id: &str,
        status: StreamStatus,
        reason: Option<&str>,
    ) -> Result<(), Fault> {
        let endpoints = self.endpoints()?;
        let url = endpoints
            .status()
            .ok_or_else(|| metadata::lacks("status_endpoint"))?;
        let mut body = json!({"stream_id": stream_id, "status": status.name()});
        if let (Some(reason), Some(members)) = (reason, body.as_object_mut()) {
            members.insert("reason".to_owned(), reason.into());
        }
        self.told(Method::POST, url, &body).map(drop)
    }

    /// Adds a subject to a stream (section 8.1.3.2).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn add_subject(&self, stream_id: &str, subject: &Value) -> Result<(), Fault> {
        let endpoints = self.endpoints()?;
        let body = json!({"stream_id": stream_id, "subject": subject, "verified": true});
        self.told(Method::POST, endpoints.add_subject()?, &body)
            .map(drop)
    }

    /// Asks for a verification event (section 8.1.4.2).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn verify(&self, stream_id: &str, state: &str) -> Result<(), Fault> {
        let endpoints = self.endpoints()?;
        let body = json!({"stream_id": stream_id, "state": state});
        self.told(Method::POST, endpoints.verification()?, &body)
            .map(drop)
    }

    /// Polls (RFC 8936 section 2.4).
    ///
    /// # Errors
    ///
    /// [`Fault`].
    pub(super) fn poll(
        &self,
        url: &str,
        request: &PollRequest,
        timeout: Duration,
    ) -> Result<PollAnswer, Fault> {
        let answer = self.authorized(&Ask {
            timeout,
            longest: MOST_POLLED_BYTES,
            body: Some(body_of(request)?),
            // That of the descriptions in `setErrs` (section 2.6).
            language: (!request.set_errors.is_empty()).then_some("en"),
            ..ask(Method::POST, url)
        })?;
        if request.is_acknowledgement_only() {
            return Ok(PollAnswer::default());
        }
        PollAnswer::parse(&answer)
    }

    fn told(&self, method: Method, url: &str, body: &impl Serialize) -> Result<Vec<u8>, Fault> {
        self.authorized(&Ask {
            body: Some(body_of(body)?),
            ..ask(method, url)
        })
    }

    /// Makes a call with the credential, once more with a new one where that was refused.
    fn authorized(&self, ask: &Ask<'_>) -> Result<Vec<u8>, Fault> {
        let answer = self.asked(ask)?;
        if answer.status == 401 && self.credential.is_renewed() {
            return self.asked(ask)?.success();
        }
        answer.success()
    }

    fn asked(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let authorization = self.credential.header(&self.http)?;
        self.http.ask(&Ask {
            authorization: authorization.as_deref(),
            body: ask.body.clone(),
            method: ask.method.clone(),
            ..*ask
        })
    }

    /// A stream, which has to be of this issuer.
    fn described(&self, answer: &[u8]) -> Result<StreamDescription, Fault> {
        self.checked(read(answer)?)
    }

    /// A stream, if it is of this issuer, which it has to say (section 8.1.1).
    ///
    /// # Errors
    ///
    /// [`FaultReason::AnswerInvalid`].
    pub(super) fn checked(&self, stream: StreamDescription) -> Result<StreamDescription, Fault> {
        let found = match &stream.iss {
            Some(issuer) if *issuer == self.issuer => return Ok(stream),
            Some(issuer) => format!("is `{}`", super::text::shown(issuer)),
            None => "is missing".to_owned(),
        };
        let detail = format!("`iss` of the stream {found}, expected `{}`", self.issuer);
        Err(FaultReason::AnswerInvalid.because(detail))
    }
}

fn ask(method: Method, url: &str) -> Ask<'_> {
    Ask {
        method,
        url,
        authorization: None,
        body: None,
        language: None,
        timeout: TIMEOUT,
        longest: MOST_BYTES,
    }
}

fn body_of(body: &impl Serialize) -> Result<Body, Fault> {
    let body = serde_json::to_vec(body);
    body.map(Body::Json)
        .map_err(|error| FaultReason::AnswerInvalid.because(error.to_string()))
}

fn read<T: DeserializeOwned>(answer: &[u8]) -> Result<T, Fault> {
    serde_json::from_slice(answer)
        .map_err(|error| FaultReason::AnswerInvalid.because(format!("the answer: {error}")))
}

/// The URL of an endpoint with `stream_id`.
fn of_stream(url: &str, stream_id: &str) -> String {
    let separator = if url.contains('?') { '&' } else { '?' };
    let id = encoded(stream_id);
    format!("{url}{separator}stream_id={id}")
}

#[cfg(test)]
mod tests;
