//! Where the keys of token issuers come from, and how the local copies are kept up to date.
//!
//! | part | what it is |
//! |---|---|
//! | `source` | where the keys of one provider come from: the configuration, or a server |
//! | `url` | a URL as a call needs it |
//! | `discovery`, `freshness` | what a server's answer says about the location and the lifetime of a JWK Set |
//! | `refresh` | one source on a server: when it is fetched, by which virtual machine, and what a failure means |
//! | `record`, `wishes` | what the virtual machines of a process tell each other about a source |
//! | `ring` | the keys in force, one set for each provider |
//! | `keeper` | all sources of a configuration; keeps the ring up to date |
//!
//! The gate verifies tokens with a [`KeyRing`]. A [`KeyKeeper`] is driven by ticks and by the ends
//! of its calls; in the filter the worker that holds the source's [`crate::sync::Lease`] fetches, and
//! all of them read the outcome from shared data. Nothing here knows policies, requests or Envoy: a
//! native program that receives tokens, such as the authority, gives a [`KeyKeeper`] its sources and
//! a [`crate::host::BackgroundHost`] of its own.

mod discovery;
mod freshness;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod keeper;
mod record;
mod refresh;
mod ring;
mod source;
mod url;
mod wishes;

pub use discovery::DiscoveryError;
pub use keeper::{KeyKeeper, Sight};
pub use refresh::{Asked, Counts, FetchError, MissingKey};
pub use ring::{KeyRing, TRUSTED_AGE};
pub use source::{
    DEFAULT_CACHE_DURATION, DEFAULT_FAILED_REFETCH, DEFAULT_MAX_STALE, DEFAULT_TIMEOUT, KeySource,
    RemoteKeys, RemoteSource, Retries,
};
pub use url::Url;
