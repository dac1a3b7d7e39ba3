//! Where the keys of one provider come from.

use std::rc::Rc;
use std::time::Duration;

use super::Url;
use crate::token::{KeyRules, KeySet, KeySetError};

/// How long a fetched set is used, as in `jwt_authn`.
pub const DEFAULT_CACHE_DURATION: Duration = Duration::from_mins(10);

/// Pause after a failed fetch, as in `jwt_authn`.
pub const DEFAULT_FAILED_REFETCH: Duration = Duration::from_secs(1);

/// How long one fetch may take if `timeout` is left out, which `jwt_authn` does not allow.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(5);

/// How long old keys stay in force while the server cannot be reached. `jwt_authn` keeps them
/// forever or not at all; a day outlasts most outages, and is less than most certificates live.
pub const DEFAULT_MAX_STALE: Duration = Duration::from_hours(24);

/// Where a provider's keys come from.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each provider, and never moved; not large where pointers have 32 bits"
)]
pub enum KeySource {
    /// The configuration.
    Local(Rc<KeySet>),
    /// A server.
    Remote(RemoteKeys),
    /// An environment variable that only Envoy knows; never in the filter itself.
    Unknown(KeyRules),
}

/// How keys are fetched (`remote_jwks`). Everything that has a default in the configuration has
/// it here already.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RemoteKeys {
    /// What is asked.
    pub source: RemoteSource,
    /// Name of the cluster in Envoy's configuration.
    pub cluster: String,
    /// How long one attempt may take.
    pub timeout: Duration,
    /// How long a fetched set is used before the next fetch, unless the server's `Cache-Control`
    /// asks for less.
    pub cache_duration: Duration,
    /// Time between two attempts after a failure, before any backoff
    /// (`async_fetch.failed_refetch_duration`).
    pub failed_refetch: Duration,
    /// Attempts after the first within one fetch.
    pub retries: Retries,
    /// How long the last good set stays in force after its `cache_duration` while fetches fail.
    pub max_stale: Duration,
    /// Which keys of the set may be used.
    pub rules: KeyRules,
}

/// What is asked for the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteSource {
    /// The JWK Set itself.
    JwkSet(Url),
    /// The discovery document of OpenID Connect, which names the JWK Set in `jwks_uri`.
    Discovery {
        /// Where the document is.
        document: Url,
        /// What its `issuer` has to be (OpenID Connect Discovery 1.0 section 4.3).
        issuer: String,
    },
}

/// How often one fetch is tried again, and when (`retry_policy`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Retries {
    /// Attempts after the first.
    pub number: u32,
    /// The first pause; later ones double.
    pub base_interval: Duration,
    /// The longest pause.
    pub max_interval: Duration,
}

impl RemoteKeys {
    /// Those that a server has, where nothing else is configured.
    #[cfg(not(target_family = "wasm"))]
    #[must_use]
    pub fn of(source: RemoteSource, cluster: String) -> Self {
        Self {
            source,
            cluster,
            timeout: DEFAULT_TIMEOUT,
            cache_duration: DEFAULT_CACHE_DURATION,
            failed_refetch: DEFAULT_FAILED_REFETCH,
            retries: Retries {
                number: 0,
                base_interval: DEFAULT_FAILED_REFETCH,
                max_interval: DEFAULT_FAILED_REFETCH,
            },
            max_stale: DEFAULT_MAX_STALE,
            rules: KeyRules::default(),
        }
    }

    /// Reads a JWK Set that was fetched, by this provider's rules.
    ///
    /// # Errors
    ///
    /// As [`KeySet::parse`].
    pub fn read(&self, text: &[u8]) -> Result<KeySet, KeySetError> {
        KeySet::parse(text, &self.rules)
    }

    /// Those of a JWK Set on a server, for tests.
    #[cfg(any(test, fuzzing))]
    pub(crate) fn example() -> Self {
        Self {
            source: RemoteSource::JwkSet(Url {
                authority: "issuer.example".to_owned(),
                path: "/jwks".to_owned(),
            }),
            cluster: "issuer".to_owned(),
            timeout: Duration::from_secs(5),
            cache_duration: Duration::from_mins(10),
            failed_refetch: Duration::from_secs(1),
            retries: Retries {
                number: 0,
                base_interval: Duration::from_secs(1),
                max_interval: Duration::from_secs(10),
            },
            max_stale: Duration::from_hours(24),
            rules: KeyRules::default(),
        }
    }
}
