//! Why an authority does not start with a registry.

use super::address::RegistryAddress;
use super::connection::Failure;

/// Why an authority does not start with a registry.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SharedError {
    /// The address, or a certificate, cannot be used.
    #[error("could not use the registry of sessions at {address}: {text}")]
    Unusable {
        /// Without the password.
        address: String,
        /// What the client says.
        text: String,
    },
    /// User and password are not the right ones, or may not do what has to be done.
    #[error("the registry of sessions at {address} refuses this user: {text}")]
    Refused {
        /// Without the password.
        address: String,
        /// What the server says.
        text: String,
    },
    /// The server's certificate is not trusted.
    #[error("the registry of sessions at {address} is not trusted: {text}")]
    Untrusted {
        /// Without the password.
        address: String,
        /// What is wrong with it.
        text: String,
    },
    /// It is a cluster, or it is none.
    #[error("the registry of sessions at {address}: {text}")]
    Form {
        /// Without the password.
        address: String,
        /// What the server says.
        text: String,
    },
    /// The server is too old.
    #[error("the registry of sessions at {address} is older than Redis 7")]
    Old {
        /// Without the password.
        address: String,
    },
}

impl SharedError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub const fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Refused { .. } => Some(
                "give the password in `PORTCULLIS_SESSIONS` or `--sessions-password`; the user needs \
                 the commands that envoy/sessions.md lists",
            ),
            Self::Untrusted { .. } => Some(
                "`--sessions-ca` names the certificate authority, where it is not the system's",
            ),
            Self::Form { .. } => Some("a cluster is `redis+cluster://`, one server `redis://`"),
            Self::Unusable { .. } | Self::Old { .. } => None,
        }
    }
}

/// Tells a fault of the operator's from a server that cannot be reached.
pub(super) fn expect_unreachable(
    address: &RegistryAddress,
    failure: &Failure,
) -> Result<(), SharedError> {
    let (address, text) = (address.to_string(), failure.text());
    let says = |words: &[&str]| words.iter().any(|word| text.contains(word));
    if says(&[
        "WRONGPASS",
        "NOAUTH",
        "NOPERM",
        "AUTH failed",
        "AuthenticationFailed",
    ]) {
        return Err(SharedError::Refused { address, text });
    }
    if says(&["invalid peer certificate", "InvalidCertificate"]) {
        return Err(SharedError::Untrusted { address, text });
    }
    if says(&["cluster support disabled", "MOVED", "Moved"]) {
        return Err(SharedError::Form { address, text });
    }
    tracing::error!(
        address,
        error = text,
        "the registry of sessions is not available"
    );
    Ok(())
}
