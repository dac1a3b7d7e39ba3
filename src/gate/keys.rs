//! Where a provider's keys come from, and where those that are in force now are kept.
//!
//! A policy does not change while it is at work; keys do. So the policy only names their source,
//! and a [`KeyRing`] beside it holds one [`KeySet`] a provider, which whoever fetches keys
//! replaces whole.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::policy::Policy;
use super::reason::Reason;
use super::token_cache::Key as TokenId;
use crate::time::Interval;
use crate::token::{KeyRules, KeySet, KeySetError};

/// Where a provider's keys come from.
#[derive(Clone, Debug)]
#[allow(
    clippy::large_enum_variant,
    reason = "one for each provider, and never moved; not large where pointers have 32 bits"
)]
pub enum KeySource {
    /// The configuration holds them.
    Local(Rc<KeySet>),
    /// A server does.
    Remote(RemoteKeys),
    /// An environment variable does that only Envoy knows; never so in the filter itself.
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
    /// says something shorter.
    pub cache_duration: Duration,
    /// Time between two attempts after a failure, before any backoff
    /// (`async_fetch.failed_refetch_duration`).
    pub failed_refetch: Duration,
    /// Attempts after the first within one fetch.
    pub retries: Retries,
    /// How long the last good set stays in force after its `cache_duration`, when no newer one
    /// can be had.
    pub max_stale: Duration,
    /// Which keys of the set may be used.
    pub rules: KeyRules,
}

/// What is asked for the keys.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum RemoteSource {
    /// The JWK Set itself.
    JwkSet(Location),
    /// The discovery document of OpenID Connect, which names the JWK Set in `jwks_uri`.
    Discovery {
        /// Where the document is.
        document: Location,
        /// What its `issuer` has to be (OpenID Connect Discovery 1.0 section 4.3).
        issuer: String,
    },
}

/// A URL as a call needs it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Location {
    /// Host, and port if one was given.
    pub authority: String,
    /// Path with query; begins with `/`.
    pub path: String,
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

impl Location {
    /// Takes `http://` or `https://`, a host, and a path apart. Which of the two schemes it is
    /// does not matter here: the cluster decides whether TLS is spoken.
    #[must_use]
    pub fn from_url(url: &str) -> Option<Self> {
        let rest = url
            .strip_prefix("https://")
            .or_else(|| url.strip_prefix("http://"))?;
        let end = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at_checked(end)?;
        let is_plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        let is_sound = !authority.is_empty()
            && !authority.contains(['@', '#', '\\'])
            && !path.contains('#')
            && is_plain(rest);
        is_sound.then(|| Self {
            authority: authority.to_owned(),
            path: match path {
                path if path.starts_with('/') => path.to_owned(),
                query => format!("/{query}"),
            },
        })
    }
}

impl RemoteKeys {
    /// Reads a JWK Set that was fetched, by this provider's rules.
    ///
    /// # Errors
    ///
    /// As [`KeySet::parse`].
    pub fn read(&self, text: &[u8]) -> Result<KeySet, KeySetError> {
        KeySet::parse(text, &self.rules)
    }
}

/// How old a fetched set may be to be believed about a signature that fails under its keys. An
/// issuer whose keys have no ids, or that uses one again, could have other keys since; older sets
/// are fetched again first, so a flood of forged tokens causes a fetch in so much time.
const TRUSTED_AGE: Duration = Duration::from_mins(1);

/// What the keys in force say against a token, as long as newer ones may say something else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    /// Place of the provider, as in [`Policy::key_sources`].
    pub provider: usize,
    pub(super) token: TokenId,
    /// A hash of the id of the key that is needed.
    pub key: u64,
    /// What the token is refused for if newer keys do not let it in.
    pub(super) reason: Reason,
}

/// What has come of waiting for newer keys of a provider: why a token is refused after all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyAnswer {
    pub(super) token: TokenId,
    pub(super) reason: Reason,
}

/// The keys that are in force now, for each provider of a [`Policy`] by its place.
#[derive(Debug)]
pub struct KeyRing {
    sets: Vec<Place>,
}

#[derive(Debug, Default)]
struct Place {
    keys: RefCell<Option<Rc<KeySet>>>,
    /// Start of the fetch that gave them, in milliseconds since the epoch.
    as_of: Cell<u64>,
}

impl KeyRing {
    /// Local keys are in force from the start; remote ones once [`KeyRing::set`] was called.
    #[must_use]
    pub fn new(policy: &Policy) -> Self {
        let sets = policy.key_sources().map(|(_, source)| match source {
            KeySource::Local(keys) => Place {
                keys: RefCell::new(Some(Rc::clone(keys))),
                as_of: Cell::new(0),
            },
            KeySource::Remote(_) | KeySource::Unknown(_) => Place::default(),
        });
        Self {
            sets: sets.collect(),
        }
    }

    /// The keys of the provider with this place; `None` while there are none that may be used.
    #[must_use]
    pub fn get(&self, provider: usize) -> Option<Rc<KeySet>> {
        self.sets.get(provider)?.keys.borrow().clone()
    }

    /// Whether there are keys of every provider.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.sets.iter().all(|set| set.keys.borrow().is_some())
    }

    /// Puts keys in force, or with `None` takes those that are too old out of it.
    pub fn set(&self, provider: usize, keys: Option<Rc<KeySet>>) {
        if let Some(place) = self.sets.get(provider) {
            place.keys.replace(keys);
        }
    }

    /// Says when the fetch began that gave the keys in force, or has confirmed them.
    pub fn set_as_of(&self, provider: usize, milliseconds: u64) {
        if let Some(place) = self.sets.get(provider) {
            place.as_of.set(milliseconds);
        }
    }

    /// Whether a signature that fails under these keys is a bad one.
    pub(super) fn are_trusted(&self, provider: usize, now_milliseconds: u64) -> bool {
        let place = self.sets.get(provider);
        place.is_some_and(|place| {
            Interval::new(place.as_of.get(), TRUSTED_AGE).contains(now_milliseconds)
        })
    }
}

impl Lack {
    /// One of nobody's token.
    #[cfg(test)]
    #[must_use]
    pub fn example(provider: usize, key: u64, reason: Reason) -> Self {
        Self {
            provider,
            token: TokenId::default(),
            key,
            reason,
        }
    }

    /// How long before the request came a fetch may have begun whose word is final. That there is
    /// no key of this name nobody can know from an older one: issuers begin to use keys that they
    /// have only just published.
    #[must_use]
    pub const fn tolerance(&self) -> Duration {
        match self.reason {
            Reason::SignatureInvalid | Reason::AlgorithmMismatch => TRUSTED_AGE,
            _ => Duration::ZERO,
        }
    }

    /// The answer when such a fetch has had no better keys.
    #[must_use]
    pub const fn settled(self) -> KeyAnswer {
        KeyAnswer {
            token: self.token,
            reason: self.reason,
        }
    }

    /// The answer when there was no such fetch, or none in time.
    #[must_use]
    pub const fn unsettled(self) -> KeyAnswer {
        KeyAnswer {
            token: self.token,
            reason: match self.reason {
                reason @ (Reason::KeysUnavailable | Reason::IssuerUndisclosed) => reason,
                _ => Reason::KeyUnconfirmed,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn urls_are_taken_apart_for_calls() {
        for (url, authority, path) in [
            ("https://idp.example/jwks", "idp.example", "/jwks"),
            ("http://idp.example:8080", "idp.example:8080", "/"),
            ("https://[::1]:8443/a?b=c", "[::1]:8443", "/a?b=c"),
            ("https://idp.example?x", "idp.example", "/?x"),
        ] {
            let location = Location::from_url(url).unwrap();
            assert_eq!(
                (location.authority.as_str(), location.path.as_str()),
                (authority, path)
            );
        }
        for url in [
            "",
            "idp.example/jwks",
            "ftp://idp.example/",
            "https:///jwks",
            "https://user@idp.example/",
            "https://idp.example/#x",
            "https://idp.example/a b",
            "https://idp.example/\r\nx: y",
        ] {
            assert_eq!(Location::from_url(url), None, "{url}");
        }
    }
}
