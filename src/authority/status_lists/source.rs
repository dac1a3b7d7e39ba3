//! Fetching a list from its server.

use std::fs;
use std::io::{self, Read as _};
use std::time::Duration;

use tokio::sync::Semaphore;
use ureq::Agent;
use ureq::tls::{RootCerts, TlsConfig};

use crate::authority::configuration::{ConfiguredFile, StatusListSource};
use crate::authority::text::chain_of;
use crate::authority::verifier::{MAX_LIST_BYTES, trusted_certificates};

/// How long a server may take.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Lists of one issuer that are fetched and unpacked at the same time.
const FETCHES_AT_ONCE: usize = 4;

/// What is asked for (draft-ietf-oauth-status-list section 8.1).
const MEDIA_TYPE: &str = "application/statuslist+jwt";

/// The servers of an issuer's lists.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) settings: StatusListSource,
    /// For servers on other machines.
    secure: Agent,
    /// For those on loopback.
    plain: Agent,
    /// A server that hangs keeps no list of another issuer waiting.
    pub(super) fetching: Semaphore,
}

/// Why a list could not be fetched.
#[derive(Debug, thiserror::Error)]
pub(super) enum FetchError {
    #[error("{}", chain_of(.0.as_ref()))]
    Connection(Box<ureq::Error>),
    #[error("the answer broke off")]
    Body(#[source] io::Error),
    #[error("the answer was {0}")]
    Status(u16),
    #[error("expected at most {MAX_LIST_BYTES} bytes")]
    TooLong,
    #[error("the answer is no token")]
    NoText,
}

/// Why there is no source.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SourceError {
    /// A file has no certificates, or could not be read.
    #[error("{}: expected certificates in PEM in `{}`", file.place(), file.path.display())]
    Certificates {
        /// The file.
        file: ConfiguredFile,
        /// What the system said.
        source: Option<io::Error>,
    },
}

impl Source {
    /// Reads the certificate authorities that its servers are trusted for.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub(super) fn open(settings: &StatusListSource) -> Result<Self, SourceError> {
        let config = || {
            Agent::config_builder()
                .http_status_as_error(false)
                // They would lead to another server than those that the operator has named.
                .max_redirects(0)
                .timeout_global(Some(TIMEOUT))
                .user_agent("portcullis")
        };
        let mut secure = config().https_only(true);
        if let Some(file) = &settings.certificate_authority {
            let fault = |source| SourceError::Certificates {
                file: file.clone(),
                source,
            };
            let pem = fs::read(&file.path).map_err(|error| fault(Some(error)))?;
            let certificates = trusted_certificates(&pem).ok_or_else(|| fault(None))?;
            let roots = RootCerts::new_with_certs(&certificates);
            secure = secure.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            settings: settings.clone(),
            secure: secure.build().into(),
            plain: config().proxy(None).build().into(),
            fetching: Semaphore::new(FETCHES_AT_ONCE),
        })
    }

    /// Whether a list may be at this address.
    pub(super) fn covers(&self, uri: &str) -> bool {
        self.settings.covers(uri)
    }

    /// Fetches what is at this address, which has to be [covered](Self::covers). Blocks.
    ///
    /// # Errors
    ///
    /// [`FetchError`].
    pub(super) fn fetch(&self, uri: &str) -> Result<String, FetchError> {
        let is_secure = uri.starts_with("https://");
        let agent = if is_secure { &self.secure } else { &self.plain };
        let answer = agent.get(uri).header("accept", MEDIA_TYPE).call();
        let answer = answer.map_err(Box::new).map_err(FetchError::Connection)?;
        let status = answer.status().as_u16();
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        // One byte more than there may be, so that what is too long is seen to be.
        let limit = MAX_LIST_BYTES as u64 + 1;
        let mut body = Vec::new();
        let mut reader = answer.into_body().into_reader().take(limit);
        reader.read_to_end(&mut body).map_err(FetchError::Body)?;
        if body.len() > MAX_LIST_BYTES {
            return Err(FetchError::TooLong);
        }
        let text = String::from_utf8(body).map_err(|_| FetchError::NoText)?;
        Ok(text.trim_ascii().to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::authority::configuration::Document;

    #[test]
    fn certificate_authorities_that_are_not_there_are_named_by_their_key() {
        let directory = tempfile::tempdir().unwrap();
        let empty = directory.path().join("empty.pem");
        fs::write(&empty, "").unwrap();
        for path in [directory.path().join("nowhere.pem"), empty] {
            let at = "issuers[2].status_lists.certificate_authority";
            let settings = StatusListSource {
                uris: vec!["https://i/lists/".to_owned()],
                refresh: Duration::from_mins(1),
                max_staleness: Duration::from_mins(15),
                certificate_authority: Some(ConfiguredFile {
                    document: Document::Authority,
                    at: at.to_owned(),
                    path: path.clone(),
                }),
            };
            let told = Source::open(&settings).unwrap_err().to_string();
            let expected = format!(
                "`{at}` of the authority's file: expected certificates in PEM in `{}`",
                path.display()
            );
            assert_eq!(told, expected);
        }
    }
}
