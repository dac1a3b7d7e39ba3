//! The keys of all providers that get theirs from a server.

use std::rc::Rc;

use super::refresh::{Asked, Counts, KeyRefresh, MissingKey};
use super::{KeyRing, KeySource};
use crate::host::{BackgroundHost, CallId, CallOutcome, SharedData};
use crate::namespace::RecordSecret;
use crate::sync::Role;
use crate::time::Interval;
use crate::token::KeySet;

/// Keeps a [`KeyRing`] up to date.
#[derive(Debug)]
pub struct KeyKeeper {
    ring: Rc<KeyRing>,
    sources: Vec<Source>,
}

#[derive(Debug)]
struct Source {
    refresh: KeyRefresh,
    /// Indices of the providers that use it.
    providers: Vec<usize>,
    /// What the ring was last given.
    told: Option<Rc<KeySet>>,
}

/// The state of one provider's keys, for gauges.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sight {
    /// Whether this virtual machine is the one that reports it.
    pub is_leader: bool,
    /// Keys that may be used; 0 also when the set is too old.
    pub usable: usize,
    /// Keys of the set that cannot be used.
    pub left_out: usize,
    /// Time since the set was fetched; 0 when there is none.
    pub age_seconds: u64,
}

impl KeyKeeper {
    /// Keeps `ring`, which was made for the providers with these names and sources. Published
    /// records are sealed under `secret`. `holder` is a random number that no other virtual machine
    /// has.
    #[must_use]
    pub fn new<'s>(
        key_sources: impl Iterator<Item = (&'s str, &'s KeySource)>,
        secret: &RecordSecret,
        ring: Rc<KeyRing>,
        holder: u64,
    ) -> Self {
        let mut sources: Vec<Source> = Vec::new();
        for (provider, (name, source)) in key_sources.enumerate() {
            let KeySource::Remote(settings) = source else {
                continue;
            };
            let same = |source: &&mut Source| source.refresh.settings() == settings;
            if let Some(source) = sources.iter_mut().find(same) {
                source.providers.push(provider);
                source.refresh.add_label(name);
            } else {
                sources.push(Source {
                    refresh: KeyRefresh::new(settings.clone(), name.to_owned(), holder, secret),
                    providers: vec![provider],
                    told: None,
                });
            }
        }
        Self { ring, sources }
    }

    /// Whether there is nothing to keep, so that no tick is needed.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.sources.is_empty()
    }

    /// To be called on every tick.
    pub fn tick(&mut self, host: &impl BackgroundHost) {
        for source in &mut self.sources {
            source.refresh.tick(host);
        }
        self.tell(host.now_milliseconds());
    }

    /// To be called with the end of every call for keys.
    pub fn answered(&mut self, host: &impl BackgroundHost, call: CallId, outcome: &CallOutcome) {
        for source in &mut self.sources {
            if source.refresh.answered(host, call, outcome) {
                break;
            }
        }
        self.tell(host.now_milliseconds());
    }

    /// A request came at the start of `patience`, and the keys in force lack one that it needs:
    /// should it wait for newer ones?
    pub fn want(
        &self,
        host: &impl SharedData,
        now_milliseconds: u64,
        missing: &MissingKey,
        patience: Interval,
    ) -> Asked {
        match self.source(missing.provider) {
            Some(source) => source
                .refresh
                .want(host, now_milliseconds, missing, patience),
            None => Asked::Settled,
        }
    }

    /// Changes whenever a fetch of this provider's keys has ended.
    #[must_use]
    pub fn finished_at(&self, provider: usize) -> u64 {
        self.source(provider)
            .map_or(0, |source| source.refresh.finished_at())
    }

    /// The state of one provider's keys.
    #[must_use]
    pub fn sight(&self, provider: usize, now_milliseconds: u64) -> Sight {
        let Some(Source { refresh, .. }) = self.source(provider) else {
            return Sight::default();
        };
        let keys = refresh.keys(now_milliseconds);
        let age = match refresh.fetched_at() {
            0 => 0,
            fetched_at => now_milliseconds.saturating_sub(fetched_at),
        };
        Sight {
            is_leader: refresh.role() == Role::Leads,
            usable: keys.map_or(0, |keys| keys.keys().len()),
            left_out: keys.map_or(0, |keys| keys.left_out().len()),
            age_seconds: age / 1000,
        }
    }

    /// What every source has done since this was last called, under the index of its first provider.
    pub fn take_counts(&mut self) -> impl Iterator<Item = (usize, Counts)> {
        self.sources.iter_mut().filter_map(|source| {
            let provider = *source.providers.first()?;
            Some((provider, source.refresh.take_counts()))
        })
    }

    /// Indices of the providers with remote keys.
    pub fn providers(&self) -> impl Iterator<Item = usize> {
        self.sources
            .iter()
            .flat_map(|source| &source.providers)
            .copied()
    }

    /// Lets another virtual machine lead, since this one stops.
    pub fn release(&self, host: &impl SharedData) {
        for source in &self.sources {
            source.refresh.release(host);
        }
    }

    fn source(&self, provider: usize) -> Option<&Source> {
        self.sources
            .iter()
            .find(|source| source.providers.contains(&provider))
    }

    /// Gives the ring what has changed.
    fn tell(&mut self, now: u64) {
        for Source {
            refresh,
            providers,
            told,
        } in &mut self.sources
        {
            for provider in &*providers {
                self.ring.set_as_of(*provider, refresh.as_of(now));
            }
            let keys = refresh.keys(now);
            if keys.map(Rc::as_ptr) != told.as_ref().map(Rc::as_ptr) {
                *told = keys.cloned();
                for provider in providers {
                    self.ring.set(*provider, told.clone());
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
