//! Why an authority does not start.

use std::io;

use super::sessions::{SharedError, StartError};
use super::signals::{OAuthError, SignalsError};
use super::status_lists::SourceError;
use super::store::StoreError;
use super::verifier::VerifierError;
use super::webhook::WebhookError;

/// Why an authority does not start.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AuthorityError {
    /// The store is not usable.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Users' tokens cannot be verified.
    #[error(transparent)]
    Verifier(#[from] VerifierError),
    /// The system has no thread to give.
    #[error("could not start a thread")]
    Thread(#[source] io::Error),
    /// Status lists cannot be fetched.
    #[error(transparent)]
    StatusLists(#[from] SourceError),
    /// Signals cannot be received.
    #[error(transparent)]
    Signals(#[from] SignalsError),
    /// Nobody can be told what happens.
    #[error(transparent)]
    Webhook(#[from] WebhookError),
    /// The registry of sessions is not usable.
    #[error(transparent)]
    Sessions(#[from] SharedError),
    /// OAuth clients cannot be answered.
    #[error(transparent)]
    OAuth(#[from] OAuthError),
}

impl From<StartError> for AuthorityError {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Thread(error) => Self::Thread(error),
            StartError::Shared(error) => Self::Sessions(error),
        }
    }
}
