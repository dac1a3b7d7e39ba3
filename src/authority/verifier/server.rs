//! A server with keys, as it is called.

use std::fs;
use std::io::Read as _;

use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig, parse_pem};

use super::VerifierError;
use crate::authority::configuration::KeyServer;
use crate::authority::text::chain_of;
use crate::host::{Call, CallOutcome};
use crate::token::MAX_JWK_SET_BYTES;

/// A connection to one server, or none yet.
#[derive(Clone, Debug)]
pub(super) struct Server {
    origin: String,
    agent: Agent,
}

impl Server {
    /// What calls to it have as their cluster. Two issuers that trust a server for different reasons
    /// have two.
    pub(super) fn name(server: &KeyServer) -> String {
        match &server.certificate_authority {
            Some(file) => format!("{} ({})", server.origin, file.path.display()),
            None => server.origin.clone(),
        }
    }

    /// The server, with the certificate authorities that it is trusted for.
    pub(super) fn open(server: &KeyServer) -> Result<Self, VerifierError> {
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            // They would lead to another server than the one that the operator has named.
            .max_redirects(0)
            .https_only(server.origin.starts_with("https://"))
            .user_agent("portcullis");
        if server.origin.starts_with("http://") {
            config = config.proxy(None);
        }
        if let Some(file) = &server.certificate_authority {
            let pem = fs::read(&file.path).map_err(|source| VerifierError::Read {
                file: file.clone(),
                source,
            })?;
            let certificates = trusted_certificates(&pem);
            let certificates =
                certificates.ok_or_else(|| VerifierError::Certificates { file: file.clone() })?;
            let roots = RootCerts::new_with_certs(&certificates);
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        Ok(Self {
            origin: server.origin.clone(),
            agent: config.build().into(),
        })
    }

    /// Makes a call and waits for its end.
    pub(super) fn answer(&self, call: &Call) -> CallOutcome {
        self.asked(call).unwrap_or_else(|error| {
            let error = chain_of(&error);
            tracing::warn!(server = self.origin, error, "a call for keys has failed");
            CallOutcome::Failed
        })
    }

    fn asked(&self, call: &Call) -> Result<CallOutcome, ureq::Error> {
        let request = self.agent.get(format!("{}{}", self.origin, call.path));
        let mut request = request.config().timeout_global(Some(call.timeout)).build();
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let response = request.call()?;
        let status = response.status().as_u16();
        let headers = response.headers().iter().map(|(name, value)| {
            let name = name.as_str().to_owned();
            (name, value.as_bytes().to_vec())
        });
        let headers = headers.collect();
        // One byte more than there may be, so that what is too long is seen to be.
        let limit = MAX_JWK_SET_BYTES as u64 + 1;
        let mut body = Vec::new();
        let mut reader = response.into_body().into_reader().take(limit);
        reader.read_to_end(&mut body)?;
        Ok(CallOutcome::Answered {
            status,
            headers,
            body,
        })
    }
}

/// The certificates in a PEM file; none where there are none.
#[must_use]
pub fn trusted_certificates(pem: &[u8]) -> Option<Vec<Certificate<'static>>> {
    let certificates = parse_pem(pem).filter_map(|item| match item {
        Ok(PemItem::Certificate(certificate)) => Some(certificate),
        _ => None,
    });
    let certificates: Vec<_> = certificates.collect();
    (!certificates.is_empty()).then_some(certificates)
}
