//! The metadata of a transmitter (Shared Signals Framework 1.0 section 7.1), and where it is.

use serde::Deserialize;

use super::fault::{Fault, FaultReason};
use super::read;
use super::wire::Spelling;
use crate::authority::signals::configuration::Metadata;
use crate::authority::signals::text::shown;
use crate::keys::Url;

/// Subject members that a transmitter can call critical, at most.
const MOST_MEMBERS: usize = 64;

/// What a transmitter says of itself. Members that mean nothing here are not read.
#[derive(Debug, Deserialize)]
pub(in crate::authority::signals) struct Endpoints {
    issuer: String,
    #[serde(default)]
    jwks_uri: Option<String>,
    #[serde(default)]
    configuration_endpoint: Option<String>,
    #[serde(default)]
    status_endpoint: Option<String>,
    #[serde(default)]
    add_subject_endpoint: Option<String>,
    #[serde(default)]
    verification_endpoint: Option<String>,
    #[serde(default)]
    delivery_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    critical_subject_members: Vec<String>,
}

impl Endpoints {
    /// Reads a metadata document, which has to be of this issuer.
    pub(super) fn read(document: &[u8], issuer: &str) -> Result<Self, Fault> {
        let metadata: Self = read(document).map_err(|fault| Fault {
            reason: FaultReason::MetadataInvalid,
            ..fault
        })?;
        if metadata.issuer != issuer {
            let detail = format!(
                "`issuer` of the metadata is `{}`, expected `{issuer}`",
                shown(&metadata.issuer)
            );
            return Err(FaultReason::MetadataInvalid.because(detail));
        }
        if metadata.critical_subject_members.len() > MOST_MEMBERS {
            let detail = format!("more than {MOST_MEMBERS} `critical_subject_members`");
            return Err(FaultReason::MetadataInvalid.because(detail));
        }
        Ok(metadata)
    }

    /// How the transmitter calls this way of delivery: by its older name where it has no other. One that
    /// does not say what it offers is taken to know the name that the framework has.
    ///
    /// # Errors
    ///
    /// [`FaultReason::Unsupported`] where it does not offer it.
    pub(in crate::authority::signals) fn spelling(
        &self,
        method: &'static str,
    ) -> Result<Spelling, Fault> {
        let Some(methods) = &self.delivery_methods_supported else {
            return Ok(Spelling::Framework);
        };
        let mut spellings = Spelling::ALL.into_iter();
        let is_offered = |spelling: &Spelling| {
            let name = spelling.of(method);
            methods.iter().any(|found| found == name)
        };
        spellings.find(is_offered).ok_or_else(|| {
            let detail =
                format!("`delivery_methods_supported` of the transmitter lacks `{method}`");
            FaultReason::Unsupported.because(detail)
        })
    }

    /// Where it says that its keys are.
    pub(in crate::authority::signals) fn keys(&self) -> Option<&str> {
        self.jwks_uri.as_deref()
    }

    /// The members of a complex subject without which an event must not be acted upon.
    pub(in crate::authority::signals) fn critical_members(&self) -> &[String] {
        &self.critical_subject_members
    }

    pub(super) fn configuration(&self) -> Result<&str, Fault> {
        named(
            self.configuration_endpoint.as_ref(),
            "configuration_endpoint",
        )
    }

    pub(super) fn status(&self) -> Option<&str> {
        self.status_endpoint.as_deref()
    }

    pub(super) fn add_subject(&self) -> Result<&str, Fault> {
        named(self.add_subject_endpoint.as_ref(), "add_subject_endpoint")
    }

    pub(super) fn verification(&self) -> Result<&str, Fault> {
        named(self.verification_endpoint.as_ref(), "verification_endpoint")
    }

    /// Whether a verification event can be asked for.
    pub(in crate::authority::signals) const fn has_verification(&self) -> bool {
        self.verification_endpoint.is_some()
    }
}

fn named<'a>(endpoint: Option<&'a String>, name: &str) -> Result<&'a str, Fault> {
    endpoint.map(String::as_str).ok_or_else(|| lacks(name))
}

/// The transmitter does not offer what is needed.
pub(super) fn lacks(endpoint: &str) -> Fault {
    let detail = format!("the transmitter's metadata has no `{endpoint}`");
    FaultReason::Unsupported.because(detail)
}

/// Where the metadata of an issuer is. The path of an issuer goes behind the well-known one (section
/// 7.2.1, as in RFC 8414 section 3.1).
pub(super) fn url(issuer: &str, metadata: &Metadata) -> Result<String, Fault> {
    let name = match metadata {
        Metadata::Url(url) => return Ok(url.clone()),
        Metadata::SharedSignals => "ssf-configuration",
        Metadata::Risc => "risc-configuration",
    };
    let parsed = Url::parse(issuer).filter(|url| !url.path.contains('?'));
    let Some(url) = parsed else {
        let detail = "the issuer is no URL with a well-known path; say where its `metadata` is";
        return Err(FaultReason::MetadataInvalid.because(detail));
    };
    let scheme = if issuer.starts_with("https:") {
        "https"
    } else {
        "http"
    };
    let path = url.path.trim_end_matches('/');
    Ok(format!(
        "{scheme}://{}/.well-known/{name}{path}",
        url.authority
    ))
}
