//! OAuth 2.0 at the listener for signals: clients revoke their tokens (RFC 7009), and resource servers
//! that are behind no Envoy ask about tokens (RFC 7662), with signed answers where they want them
//! (RFC 9701).
//!
//! | | |
//! |---|---|
//! | `configuration` | `oauth` in the signals file: who may ask, and for what |
//! | `form` | what a client sends, and who it says it is |
//! | `assertion` | by what it shows that, where that is no secret |
//! | `desk` | one request, from its bytes to its answer and its record |
//! | `revocation` | from a token that its client revokes to what is revoked: pure |
//! | `introspection` | what a resource server is told of a token: pure |
//! | `answer_key` | the key that answers are signed with |
//! | `http` | the paths, and what each answer is |
//!
//! This is no authorization server: it issues nothing. The tokens are those of the `issuers` in the
//! authority's own file (`serve --config`), by whose rules users' tokens are verified too.

use std::collections::HashMap;
use std::time::Instant;

use super::MOST_AT_WORK;
use super::admission::Admission;
use super::configuration::SignalsConfiguration;
use super::rooms::Rooms;
use super::secret::{Presented, Secret, SignalSecretError};
use crate::authority::clock;
use crate::authority::configuration::Issuer;
use crate::authority::store::{Store, StoreError};
use crate::authority::verifier::Signatory;
use crate::signer::KeyError;

mod answer_key;
mod assertion;
pub(super) mod configuration;
mod desk;
mod form;
#[cfg(any(test, fuzzing))]
pub(super) mod fuzzing;
pub(super) mod http;
mod introspection;
mod revocation;

pub use configuration::{IntrospectRule, OAuthClient, OAuthConfiguration, RevokeRule, RevokeScope};

use answer_key::AnswerKey;

/// What there is for OAuth clients, where some are configured.
#[derive(Debug)]
pub(in crate::authority) struct OAuth {
    configuration: OAuthConfiguration,
    /// The secrets of those clients that have one.
    secrets: HashMap<String, Secret>,
    /// Apart from that of signals: who knows the secret of a client is not known for a provider's
    /// signatures, nor the other way round.
    admission: Admission,
    /// Where requests are worked on, by the clients.
    rooms: Rooms,
    key: AnswerKey,
    /// `public_url`: what this server calls itself.
    issuer: String,
}

impl OAuth {
    /// Reads the secrets and the key. `known` are the issuers of the authority's own file.
    ///
    /// # Errors
    ///
    /// [`OAuthError`].
    pub(in crate::authority) fn start(
        signals: &SignalsConfiguration,
        known: &[Issuer],
        store: &Store,
    ) -> Result<Option<Self>, OAuthError> {
        let Some((configuration, issuer)) = signals.oauth.clone().zip(signals.public_url.clone())
        else {
            return Ok(None);
        };
        check_issuers(&configuration, known)?;
        let mut secrets = HashMap::new();
        for client in &configuration.clients {
            if let Some(source) = &client.secret {
                secrets.insert(client.client_id.clone(), Secret::open(source)?);
            }
        }
        let key = AnswerKey::load_or_make(store, clock::now_milliseconds())?;
        tracing::info!(
            revocation_endpoint = format!("{issuer}{}", http::REVOKE_PATH),
            introspection_endpoint = format!("{issuer}{}", http::INTROSPECT_PATH),
            jwks_uri = format!("{issuer}{}", http::KEYS_PATH),
            "OAuth clients are answered"
        );
        Ok(Some(Self {
            admission: configuration.admission(signals.limits.requests_per_second),
            rooms: configuration.rooms(),
            configuration,
            secrets,
            key,
            issuer,
        }))
    }

    /// How guesses are rationed.
    pub(super) const fn admission(&self) -> &Admission {
        &self.admission
    }

    fn client(&self, client_id: &str) -> Option<&OAuthClient> {
        let mut clients = self.configuration.clients.iter();
        clients.find(|client| client.client_id == client_id)
    }

    /// The client with this secret.
    fn client_with(&self, client_id: &str, presented: Presented) -> Option<&OAuthClient> {
        let Some(secret) = self.secrets.get(client_id) else {
            presented.compare_with_nothing();
            return None;
        };
        let is_shown = secret.is(presented, Instant::now());
        self.client(client_id).filter(|_| is_shown)
    }

    /// What an assertion for this path may have as `aud`.
    fn audiences<'a>(&'a self, url: &'a str) -> Vec<&'a str> {
        let others = self.configuration.assertion_audiences.iter();
        let others = others.map(String::as_str);
        [self.issuer.as_str(), url]
            .into_iter()
            .chain(others)
            .collect()
    }

    fn url(&self, path: &str) -> String {
        format!("{}{path}", self.issuer)
    }
}

impl OAuthConfiguration {
    /// With a share for each client that signs assertions.
    fn admission(&self, requests_per_second: u32) -> Admission {
        let clients = self.clients.iter().filter(|client| client.keys.is_some());
        Admission::new(
            requests_per_second,
            clients.map(|client| &*client.client_id),
        )
    }

    fn rooms(&self) -> Rooms {
        let clients = self.clients.iter();
        Rooms::new(clients.map(|client| &*client.client_id), MOST_AT_WORK)
    }

    /// The clients that sign assertions.
    pub(in crate::authority) fn signatories(&self) -> Vec<Signatory> {
        let clients = self.clients.iter();
        let signatories = clients.filter_map(|client| {
            Some(Signatory {
                issuer: client.client_id.clone(),
                keys: client.keys.clone()?,
            })
        });
        signatories.collect()
    }
}

/// Without the keys of its issuer, no token of a client could be verified.
fn check_issuers(configuration: &OAuthConfiguration, known: &[Issuer]) -> Result<(), OAuthError> {
    for client in &configuration.clients {
        let rule = client.revoke.iter();
        for issuer in rule.flat_map(|rule| &rule.issuers) {
            if !known.iter().any(|known| known.issuer == *issuer) {
                return Err(OAuthError::StrangeIssuer {
                    client_id: client.client_id.clone(),
                    issuer: issuer.clone(),
                });
            }
        }
        if client.introspect.is_some() && known.is_empty() {
            return Err(OAuthError::NoIssuers {
                client_id: client.client_id.clone(),
            });
        }
    }
    Ok(())
}

/// Why OAuth clients cannot be answered.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OAuthError {
    /// A client may revoke tokens of an issuer that is not known.
    #[error(
        "`revoke.issuers` of the OAuth client `{client_id}` has `{issuer}`, which is none of the \
         `issuers` in the authority's file (`--config`)"
    )]
    StrangeIssuer {
        /// The client.
        client_id: String,
        /// The issuer.
        issuer: String,
    },
    /// A client may ask about tokens, and there are no issuers.
    #[error(
        "the OAuth client `{client_id}` may introspect tokens, and there are no `issuers` in the \
         authority's file (`--config`), by which they could be verified"
    )]
    NoIssuers {
        /// The client.
        client_id: String,
    },
    /// A client has no secret.
    #[error(transparent)]
    Secret(#[from] SignalSecretError),
    /// The key that answers are signed with could not be kept.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// It could not be made or read.
    #[error("the key for signed answers is not usable")]
    Key(#[from] KeyError),
}
