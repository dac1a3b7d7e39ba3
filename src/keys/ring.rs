//! The keys in force.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use super::KeySource;
use crate::time::Interval;
use crate::token::KeySet;

/// How old a fetched set may be to be believed about a signature that fails under its keys. An
/// issuer whose keys have no ids, or that uses an id again, could have other keys by now; older
/// sets are fetched again first, so a flood of forged tokens causes one fetch in this time.
pub const TRUSTED_AGE: Duration = Duration::from_mins(1);

/// The keys that are in force now: one set for each provider, by the provider's index.
///
/// A configuration does not change while it is in use, and keys do. So the configuration only says
/// where they come from, and a ring beside it holds the sets, each of which is replaced as a whole.
#[derive(Debug)]
pub struct KeyRing {
    providers: Vec<ProviderKeys>,
}

#[derive(Debug, Default)]
struct ProviderKeys {
    keys: RefCell<Option<Rc<KeySet>>>,
    /// Start of the fetch that gave them, in milliseconds since the epoch.
    as_of: Cell<u64>,
}

impl KeyRing {
    /// A ring for providers with these sources. Local keys are in force from the start, remote ones
    /// once [`KeyRing::set`] was called.
    #[must_use]
    pub fn new<'s>(sources: impl Iterator<Item = &'s KeySource>) -> Self {
        let providers = sources.map(|source| match source {
            KeySource::Local(keys) => ProviderKeys {
                keys: RefCell::new(Some(Rc::clone(keys))),
                as_of: Cell::new(0),
            },
            KeySource::Remote(_) | KeySource::Unknown(_) => ProviderKeys::default(),
        });
        Self {
            providers: providers.collect(),
        }
    }

    /// The keys of the provider with this index; `None` while there are none that may be used.
    #[must_use]
    pub fn get(&self, provider: usize) -> Option<Rc<KeySet>> {
        self.providers.get(provider)?.keys.borrow().clone()
    }

    /// Whether every provider has keys.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.providers
            .iter()
            .all(|provider| provider.keys.borrow().is_some())
    }

    /// Puts keys in force, or with `None` takes keys that are too old out of force.
    pub fn set(&self, provider: usize, keys: Option<Rc<KeySet>>) {
        if let Some(provider) = self.providers.get(provider) {
            provider.keys.replace(keys);
        }
    }

    /// Notes when the fetch began that gave the keys in force, or confirmed them.
    pub fn set_as_of(&self, provider: usize, milliseconds: u64) {
        if let Some(provider) = self.providers.get(provider) {
            provider.as_of.set(milliseconds);
        }
    }

    /// Whether a signature that fails under these keys is a bad one.
    #[must_use]
    pub fn are_trusted(&self, provider: usize, now_milliseconds: u64) -> bool {
        let provider = self.providers.get(provider);
        provider.is_some_and(|provider| {
            Interval::new(provider.as_of.get(), TRUSTED_AGE).contains(now_milliseconds)
        })
    }
}
