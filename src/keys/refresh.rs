//! One JWK Set on a server, and how the local copy of it is kept up to date.
//!
//! The virtual machine that holds the lease fetches: when the set is about to expire, when a request
//! needs a key that is not in it, and after a failure, later each time. What comes is read by
//! [`RemoteKeys::read`] before it is published; garbage changes nothing but the counters. All virtual
//! machines, the leader included, use what is published in shared data and read it again with the
//! same code.
//!
//! # When is a key not there?
//!
//! When a fetch that began after the key was asked for has succeeded without it, and not before:
//! not after one that failed, nor after one that was already under way. Until then its requests
//! wait, and when that takes too long they are told that it is not known. What that may cost the
//! server is in [`super::record`].
//!
//! # What does the log say of a source?
//!
//! The leader says what has changed: another set of keys, a fault of another kind than the last, or
//! keys that were lost or are fetched again. What was said last is published with the keys, so
//! that a change of leaders neither repeats a fault nor hides one.
//!
//! Two leaders at once fetch twice and publish by compare-and-swap: the second finds that it is
//! late and takes over what the first has published.

use std::rc::Rc;
use std::time::Duration;

use super::RemoteKeys;
use super::record::{KEYS, Published};
use super::wishes::{WISHES, Wishes};
use crate::host::{BackgroundHost, Expected, SharedData};
use crate::namespace::{Namespace, RecordSecret};
use crate::sync::{Lease, Role};
use crate::time::{Interval, milliseconds};
use crate::token::KeySet;

mod fetching;

pub use fetching::FetchError;
use fetching::{Fetch, Phase};

/// Keys left out of a set that the log names one by one; it says before how many there are.
const MAX_COMPLAINTS: usize = 32;

/// What has happened since the last look, for counters.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Fetches that gave a usable set, changed or not.
    pub fetched: u32,
    /// Fetches that did not, all their tries included.
    pub failed: u32,
    /// Fetches of either kind for requests, whose keys were not in the set.
    pub refetched: u32,
}

/// A key that a request needs and that the keys in force lack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MissingKey {
    /// Index of the provider.
    pub provider: usize,
    /// A hash of the id of the key.
    pub key: u64,
    /// How long before the request a fetch may have begun that settles whether there is such a key.
    pub tolerance: Duration,
}

/// What a request that lacks a key should do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// Wait: a fetch is on its way.
    Wait,
    /// Not wait: a fetch has settled it, and there are no better keys.
    Settled,
    /// Not wait: no such fetch has succeeded, and none will in time.
    Unsettled,
}

/// One source of keys.
#[derive(Debug)]
pub(super) struct KeyRefresh {
    settings: RemoteKeys,
    /// Names of its providers, for the log.
    label: String,
    lease: Lease,
    role: Role,
    space: Namespace,
    published: Published,
    /// The version of the record that was read or written last.
    version: Option<u32>,
    keys: Option<Rc<KeySet>>,
    phase: Phase,
    counts: Counts,
}

impl KeyRefresh {
    /// Plugins with exactly the same settings share a source, in whatever virtual machines.
    pub(super) fn new(
        settings: RemoteKeys,
        label: String,
        holder: u64,
        secret: &RecordSecret,
    ) -> Self {
        let space = Namespace::new(secret, "keys", &settings);
        Self {
            lease: Lease::new(space.clone(), holder),
            role: Role::Follows,
            space,
            settings,
            label,
            published: Published::default(),
            version: None,
            keys: None,
            phase: Phase::Idle,
            counts: Counts::default(),
        }
    }

    pub(super) const fn settings(&self) -> &RemoteKeys {
        &self.settings
    }

    pub(super) fn add_label(&mut self, label: &str) {
        self.label = format!("{}, {label}", self.label);
    }

    /// Looks at shared data, and does what is due if it leads.
    pub(super) fn tick(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        self.look(host);
        self.role = self.lease.tick(host, now);
        // The host times a call by another clock than this one.
        if let Phase::Asking { patience, .. } = &mut self.phase {
            *patience = patience.begun_by(now);
        }
        match (&self.phase, self.role) {
            (
                Phase::Asking {
                    patience, fetch, ..
                },
                _,
            ) if patience.is_over(now) => {
                let fetch = *fetch;
                self.try_again(host, fetch, &FetchError::NoAnswer);
            }
            (Phase::Asking { .. }, _) => {}
            (_, Role::Follows) => self.phase = Phase::Idle,
            (Phase::Pausing { pause, fetch }, Role::Leads) => {
                if pause.is_over(now) {
                    let fetch = *fetch;
                    self.begin(host, fetch);
                }
            }
            (Phase::Idle, Role::Leads) => {
                if self.is_due(host, now) {
                    self.begin(host, Fetch::default());
                }
            }
        }
    }

    /// A request lacks a key, or all keys, and has been waiting since the start of `patience`. Says
    /// whether it should go on waiting, and asks for a fetch.
    pub(super) fn want(
        &self,
        host: &impl SharedData,
        now: u64,
        missing: &MissingKey,
        patience: Interval,
    ) -> Asked {
        let has_keys = self.keys(now).is_some();
        if !has_keys && self.published.finished_at == 0 && patience.contains(now) {
            return Asked::Wait;
        }
        let wishes = self.wishes(host, now);
        let first = wishes
            .since(missing.key)
            .unwrap_or(now)
            .min(patience.start());
        let tolerance = milliseconds(missing.tolerance);
        if has_keys && first.saturating_sub(tolerance) <= self.as_of(now) {
            return Asked::Settled;
        }
        self.wish(host, now, missing.key, wishes);
        // Without any keys there is an outage. Requests do not wait for its end, but their fetches
        // keep it short.
        if has_keys && patience.contains(self.next_at(now)) {
            Asked::Wait
        } else {
            Asked::Unsettled
        }
    }

    /// Everything that was published before this instant is in the keys in force.
    pub(super) const fn as_of(&self, now: u64) -> u64 {
        self.published.believed(now)
    }

    /// When the next fetch for requests is made at the latest.
    fn next_at(&self, now: u64) -> u64 {
        let granted = self.published.grants_at(now);
        self.published.next_at.min(granted).max(now)
    }

    /// The keys that may be used now.
    ///
    /// The one instant that is compared as it is: a clock that was set back must not take away keys
    /// that are good. A fetch is due then, and [`Published::set_back_to`] makes sure that its
    /// failure makes them no younger than they can be.
    pub(super) fn keys(&self, now: u64) -> Option<&Rc<KeySet>> {
        let expires_at = self.published.expires_at;
        let unusable_at = expires_at.saturating_add(milliseconds(self.settings.max_stale));
        self.keys.as_ref().filter(|_| now < unusable_at)
    }

    /// Changes when a fetch has ended, whether it succeeded or not.
    pub(super) const fn finished_at(&self) -> u64 {
        self.published.finished_at
    }

    /// When the set in use was fetched.
    pub(super) const fn fetched_at(&self) -> u64 {
        self.published.fetched_at
    }

    pub(super) const fn role(&self) -> Role {
        self.role
    }

    pub(super) fn take_counts(&mut self) -> Counts {
        std::mem::take(&mut self.counts)
    }

    pub(super) fn release(&self, host: &impl SharedData) {
        self.lease.release(host);
    }

    /// Takes over what is published, if it is new.
    fn look(&mut self, host: &impl BackgroundHost) {
        let Some(shared) = host.shared(&self.space.key_of(KEYS)) else {
            return;
        };
        if self.version == Some(shared.version) {
            return;
        }
        // Also noted for bytes that are no record, so that they can be replaced.
        self.version = Some(shared.version);
        let Some(published) = Published::open(&self.space, &shared.bytes) else {
            return;
        };
        if published.set == self.published.set {
            self.published = published;
        } else if let Ok(keys) = self.settings.read(&published.set) {
            self.published = published;
            self.adopt(host, keys);
        }
    }

    /// The same bytes give the same [`Rc`], which shows a holder of keys whether they changed.
    fn adopt(&mut self, host: &impl BackgroundHost, keys: KeySet) {
        if self.role == Role::Leads {
            let usable = keys.keys().len();
            let label = &self.label;
            let left_out_too = match keys.left_out().len() {
                0 => String::new(),
                number => format!(", {number} left out"),
            };
            host.info(&format!("keys of {label}: {usable} usable{left_out_too}"));
            for key in keys.complaints().take(MAX_COMPLAINTS) {
                host.warn(&format!("keys of {label}: {key}"));
            }
        }
        self.keys = Some(Rc::new(keys));
    }

    /// Whether a fetch is to begin: one is due, or requests have asked for one and may have it.
    fn is_due(&self, host: &impl BackgroundHost, now: u64) -> bool {
        let published = &self.published;
        Interval::between(published.finished_at, published.next_at).is_over(now)
            || published.grants_at(now) <= now && self.is_wanted(host, now)
    }

    /// Whether requests have asked for a fetch that was not made yet.
    fn is_wanted(&self, host: &impl BackgroundHost, now: u64) -> bool {
        self.wishes(host, now).want_later_than(self.as_of(now))
    }

    /// Publishes what is known here, unless another leader has published since the last read: then
    /// that is taken over.
    fn publish(&mut self, host: &impl BackgroundHost) {
        let expected = self.version.map_or(Expected::Absent, Expected::Version);
        let key = self.space.key_of(KEYS);
        let bytes = self.published.seal(&self.space);
        if host.set_shared(&key, &bytes, expected) {
            // The host does not tell the version that the write made. A write between the two calls
            // is noticed, since its bytes differ.
            let written = host.shared(&key);
            let written = written.filter(|shared| shared.bytes == bytes);
            self.version = written.map(|shared| shared.version);
        }
        self.look(host);
    }

    /// What all virtual machines have asked for.
    fn wishes(&self, host: &impl SharedData, now: u64) -> Wishes {
        let shared = host.shared(&self.space.key_of(WISHES));
        let bytes = shared.map(|shared| shared.bytes).unwrap_or_default();
        Wishes::open(&self.space, &bytes, now)
    }

    /// Two machines that write at once may lose one of their wishes. The requests that wait for it ask
    /// again when the fetch that serves the other has ended.
    fn wish(&self, host: &impl SharedData, now: u64, key: u64, mut wishes: Wishes) {
        if wishes.add(key, now, self.as_of(now)) {
            let bytes = wishes.seal(&self.space);
            host.set_shared(&self.space.key_of(WISHES), &bytes, Expected::Anything);
        }
    }
}

#[cfg(test)]
mod tests;
