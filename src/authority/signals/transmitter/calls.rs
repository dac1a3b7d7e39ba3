//! One call, bounded in time and size.

use std::fs;
use std::io::Read as _;
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::header::{ACCEPT, AUTHORIZATION, CONTENT_LANGUAGE, CONTENT_TYPE, RETRY_AFTER};
use ureq::http::{HeaderValue, Method, Request};
use ureq::tls::{RootCerts, TlsConfig};

use super::fault::{Fault, FaultReason};
use crate::authority::http::is_loopback;
use crate::authority::text::chain_of;
use crate::authority::verifier::trusted_certificates;
use crate::keys::Url;

/// How long a connection may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The longest time that a transmitter can ask for to be left alone.
const LONGEST_RETRY: Duration = Duration::from_mins(10);

const USER_AGENT: &str = concat!("portcullis/", env!("CARGO_PKG_VERSION"));

/// What calls are made with.
#[derive(Debug)]
pub(super) struct Http {
    agent: Agent,
    /// Whether servers on loopback may be asked without TLS.
    allows_plain: bool,
}

/// A call.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) authorization: Option<&'a str>,
    pub(super) body: Option<Body>,
    /// In which language its texts for people are.
    pub(super) language: Option<&'static str>,
    pub(super) timeout: Duration,
    /// The most bytes that are read of the answer.
    pub(super) longest: u64,
}

/// What is sent.
#[derive(Clone)]
pub(super) enum Body {
    Json(Vec<u8>),
    Form(String),
}

/// What was answered.
pub(super) struct Answer {
    pub(super) status: u16,
    asked: String,
    retry_after: Option<Duration>,
    body: Vec<u8>,
}

impl Answer {
    /// The body, if the status is one of success.
    pub(super) fn success(self) -> Result<Vec<u8>, Fault> {
        if (200..=299).contains(&self.status) {
            return Ok(self.body);
        }
        let detail = format!("{} was answered {}", self.asked, self.status);
        Err(Fault {
            retry_after: self.retry_after,
            ..FaultReason::of_status(self.status).because(detail)
        })
    }
}

impl Http {
    /// With these certificate authorities in place of the public ones.
    pub(super) fn open(
        certificate_authority: Option<&Path>,
        allows_plain: bool,
    ) -> Result<Self, Fault> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // An answer cannot lead to another server, to which the credential would go.
            .max_redirects(0)
            .https_only(!allows_plain)
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .user_agent(USER_AGENT);
        if allows_plain {
            config = config.proxy(None);
        }
        if let Some(path) = certificate_authority {
            let refused = |what: String| {
                let detail = format!("`{}`: {what}", path.display());
                FaultReason::Unreachable.because(detail)
            };
            let pem = fs::read(path).map_err(|error| refused(error.to_string()))?;
            let certificates = trusted_certificates(&pem)
                .ok_or_else(|| refused("expected certificates in PEM".to_owned()))?;
            let roots = RootCerts::new_with_certs(&certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            agent: config.build().into(),
            allows_plain,
        })
    }

    /// Makes a call and waits for its end. An answer of any status is one.
    pub(super) fn ask(&self, ask: &Ask<'_>) -> Result<Answer, Fault> {
        let asked = format!("{} {}", ask.method, plain(ask.url));
        if !may_be_asked(ask.url, self.allows_plain) {
            let detail = format!("{asked}: expected `https`, or `http` on loopback from loopback");
            return Err(FaultReason::MetadataInvalid.because(detail));
        }
        let failed = |error: &ureq::Error| {
            let is_late = match error {
                ureq::Error::Timeout(timeout) => {
                    !matches!(timeout, ureq::Timeout::Connect | ureq::Timeout::Resolve)
                }
                _ => false,
            };
            let reason = if is_late {
                FaultReason::TimedOut
            } else {
                FaultReason::Unreachable
            };
            reason.because(format!("{asked}: {}", chain_of(error)))
        };
        let response = self.sent(ask).map_err(|error| failed(&error))?;
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(seconds);
        let mut body = Vec::new();
        // One byte more than there may be, so that what is too long is seen to be.
        let reader = response.into_body().into_reader();
        let read = reader.take(ask.longest + 1).read_to_end(&mut body);
        read.map_err(|error| failed(&error.into()))?;
        if body.len() as u64 > ask.longest {
            let detail = format!("{asked}: the answer has more than {} bytes", ask.longest);
            return Err(FaultReason::AnswerTooLarge.because(detail));
        }
        Ok(Answer {
            status,
            asked,
            retry_after,
            body,
        })
    }

    fn sent(&self, ask: &Ask<'_>) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
        let mut request = Request::builder()
            .method(ask.method.clone())
            .uri(ask.url)
            .header(ACCEPT, "application/json");
        if let Some(authorization) = ask.authorization {
            let mut value =
                HeaderValue::from_str(authorization).map_err(ureq::http::Error::from)?;
            value.set_sensitive(true);
            request = request.header(AUTHORIZATION, value);
        }
        if let Some(language) = ask.language {
            request = request.header(CONTENT_LANGUAGE, language);
        }
        let timeout = Some(ask.timeout);
        let Some(body) = ask.body.clone() else {
            let request = self.agent.configure_request(request.body(())?);
            return self.agent.run(request.timeout_global(timeout).build());
        };
        let (media_type, body) = match body {
            Body::Json(body) => ("application/json", body),
            Body::Form(body) => ("application/x-www-form-urlencoded", body.into_bytes()),
        };
        let request = request.header(CONTENT_TYPE, media_type).body(body)?;
        let request = self.agent.configure_request(request);
        self.agent.run(request.timeout_global(timeout).build())
    }
}

/// Whether something may be sent there: over TLS, or to this machine.
pub(super) fn may_be_asked(url: &str, allows_plain: bool) -> bool {
    let Some(parsed) = Url::parse(url) else {
        return false;
    };
    url.starts_with("https://") || (allows_plain && is_loopback(parsed.authority.as_bytes()))
}

/// A URL without its query, for the log.
fn plain(url: &str) -> &str {
    url.split_once('?').map_or(url, |(plain, _)| plain)
}

/// `Retry-After` in seconds; dates are not read.
fn seconds(value: &HeaderValue) -> Option<Duration> {
    let seconds: u64 = value.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(LONGEST_RETRY))
}
