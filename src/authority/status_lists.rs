//! Status lists (draft-ietf-oauth-status-list-17): issuers say in them which of their tokens are not good
//! any more.
//!
//! A token refers to an entry of a list by the list's address and an index. An edge has no lists: where
//! it meets such a token for the first time it asks the authority, as it does when the revocation filter
//! says "maybe", and remembers the answer with the token. Here, a list is fetched when it is asked about
//! for the first time, and *watched* from then on: fetched again every so often and compared. The name of
//! every status that has changed is written to the feed ([`Announce`]), and edges forget what they
//! remember of tokens with that name. So a change reaches an edge as a revocation does, and costs a check
//! for each token that it concerns.
//!
//! # How does no edge remember what an older list said?
//!
//! A new list is *first* what answers are read from, and *then* its changes are written to the feed. Say
//! that the answer to a check was read from the older list. It was read before the new list took its
//! place, and so before the change was written, and the edge asked before it heard of the change. When
//! it does hear of it:
//!
//! - before the answer comes, the answer is overtaken ([`Check`](crate::gate::Check)): it serves once,
//!   and the next request asks again;
//! - after that, the token is void, and asked about again.
//!
//! The other way round there would be a time in which an edge has heard of the change, asks, and is told
//! and remembers what the older list said.
//!
//! The changes of a list are written before it is fetched again, and tried for as long as that takes; so
//! none is ever skipped, also if a status changes and changes back.
//!
//! # And over a restart?
//!
//! What edges remember outlives this process, and what it knew of the lists does not. So the first thing
//! written is a name that *all* tokens of an issuer that refer to lists have, and edges forget what they
//! remember of all of these. They ask again as requests come, and lists are watched again once they are
//! asked about. That is also what is written where a list cannot be fetched any more: an edge must not go
//! on with what it remembers when nothing else is known. And where more has changed than
//! [`MOST_CHANGES`] at once. Nothing is kept on the disk for it.
//!
//! # Why are they no revocations with entries of their own?
//!
//! An entry would be dropped with the longest life of a token, and would have to be renewed for as long
//! as the list says the same; a list of a million tokens that an issuer has given up would be a million
//! entries; and answers would have two sources that have to be kept in step. The list says it all, and
//! the feed only says when to look.
//!
//! # What can an attacker do?
//!
//! He cannot make tokens, so he cannot have any address called that he likes. An issuer that can be made
//! to write one into a token cannot either: it has to begin as the configuration says, and redirects are
//! not followed. A list is signed by its issuer, for its address; an older one than the last is not
//! taken, so that one that was recorded takes nothing back. Its size is bounded, packed and unpacked.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::{sleep, timeout};

use super::configuration::Issuer;
use super::metrics::Metrics;
use super::store::Announce;
use super::verifier::Verifier;
use super::writer::Writer;
use crate::revocation::wire::{StatusReference, TokenStatus};
use crate::revocation::{FilterKey, Fingerprint};

#[cfg(any(test, fuzzing))]
pub(crate) mod fuzzing;
mod list;
mod reading;
mod shares;
mod source;
mod watched;

pub use source::SourceError;

use shares::Shares;
use source::Source;
use watched::{Known, Watched};

/// Lists that are watched, of all issuers together ([`Shares`]). An issuer has one for each hundred thousand
/// tokens or so.
const MOST_LISTS: usize = 1_000;

/// Memory that all of them may take, in bytes, shared in the same way.
const MOST_BYTES: usize = 256 << 20;

/// Changes of one list that are told one by one.
///
/// Each of them makes void what has the same slot, too: of half a thousand, one slot in eight.
const MOST_CHANGES: usize = 500;

/// Changes in one piece of work, so that a revocation that comes meanwhile does not wait for long.
const CHANGES_AT_ONCE: usize = 500;

/// How long a check waits for a list that is fetched for the first time: less than an edge waits for the
/// answer. The fetch goes on, and the next request finds it done.
const PATIENCE: Duration = Duration::from_millis(900);

/// Between attempts to write what has changed.
const WRITE_PAUSE: Duration = Duration::from_secs(1);

/// The lists of all issuers.
#[derive(Debug)]
pub(super) struct StatusLists {
    issuers: HashMap<String, Arc<Source>>,
    lists: Mutex<HashMap<ListName, Arc<Watched>>>,
    /// How many of each issuer are watched.
    counted: Mutex<Shares>,
    /// Memory that they take.
    bytes: Mutex<Shares>,
    parts: Parts,
}

/// A list: its issuer, and its address.
type ListName = (String, String);

/// What the lists are looked after with.
#[derive(Debug)]
pub(super) struct Parts {
    /// Verifies lists.
    pub verifier: Verifier,
    /// Tells edges of changes.
    pub writer: Writer,
    /// What names are hashed with.
    pub filter_key: FilterKey,
    /// For the operator.
    pub metrics: Arc<Metrics>,
    /// How far clocks may differ.
    pub clock_skew: Duration,
    /// How long a list is watched after it was asked about: no edge remembers a token for longer than it
    /// lives.
    pub watched_for: Duration,
}

/// Why the status of a token is not known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(super) enum Unknown {
    /// The issuer has no `status_lists` in the authority's file.
    #[error("the issuer has no `status_lists` in the authority's file")]
    Issuer,
    /// The list is none of the issuer's.
    #[error("the address of the list is none that `status_lists.uris` of its issuer permits")]
    Address,
    /// There are too many others.
    #[error("more lists of the issuer are watched than there is room for")]
    NoRoom,
    /// The list could not be fetched, or not verified, or has expired since. Why is in the log.
    #[error("the list is not known at present; the authority's log says why")]
    List,
    /// The list has no such entry.
    #[error("the list has no entry with this index")]
    Index,
}

impl Unknown {
    /// Whether it may be known a moment later.
    #[must_use]
    pub(super) const fn may_pass(self) -> bool {
        matches!(self, Self::NoRoom | Self::List)
    }
}

impl StatusLists {
    /// Has edges forget what an earlier process has told them, and waits for the first question. Must be
    /// called within a Tokio runtime.
    ///
    /// # Errors
    ///
    /// [`SourceError`].
    pub(super) fn start(issuers: &[Issuer], parts: Parts) -> Result<Arc<Self>, SourceError> {
        let with_lists = issuers.iter().filter_map(|issuer| {
            let lists = issuer.status_lists.as_ref()?;
            let source = Source::open(lists).map(Arc::new);
            Some(source.map(|source| (issuer.issuer.clone(), source)))
        });
        let issuers = with_lists.collect::<Result<HashMap<_, _>, _>>()?;
        let share = |most| Mutex::new(Shares::new(most, issuers.len()));
        let lists = Arc::new(Self {
            lists: Mutex::default(),
            counted: share(MOST_LISTS),
            bytes: share(MOST_BYTES),
            issuers,
            parts,
        });
        let key = lists.parts.filter_key;
        let names: Vec<_> = lists
            .issuers
            .keys()
            .map(|issuer| key.statuses(issuer))
            .collect();
        if !names.is_empty() {
            let lists = Arc::clone(&lists);
            tokio::spawn(async move { lists.announce(&names).await });
        }
        Ok(lists)
    }

    /// The status that a token of this issuer refers to.
    ///
    /// # Errors
    ///
    /// [`Unknown`].
    pub(super) async fn status(
        self: &Arc<Self>,
        issuer: &str,
        reference: &StatusReference,
    ) -> Result<TokenStatus, Unknown> {
        let status = self.looked_up(issuer, reference).await;
        self.parts.metrics.status_asked(status.ok());
        status
    }

    async fn looked_up(
        self: &Arc<Self>,
        issuer: &str,
        reference: &StatusReference,
    ) -> Result<TokenStatus, Unknown> {
        let watched = self.watched(issuer, &reference.uri)?;
        let known = timeout(PATIENCE, watched.known()).await;
        let known = known.ok().flatten().ok_or(Unknown::List)?;
        known.list.status(reference.idx).ok_or(Unknown::Index)
    }

    /// The list at this address, which is watched from now on.
    fn watched(self: &Arc<Self>, issuer: &str, uri: &str) -> Result<Arc<Watched>, Unknown> {
        let source = self.issuers.get(issuer).ok_or(Unknown::Issuer)?;
        let name = (issuer.to_owned(), uri.to_owned());
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(watched) = lists.get(&name) {
            watched.is_asked_about();
            return Ok(Arc::clone(watched));
        }
        if !source.covers(uri) {
            return Err(Unknown::Address);
        }
        if !lock(&self.counted).take(issuer, 0, 1) {
            return Err(Unknown::NoRoom);
        }
        let watched = Arc::new(Watched::new(issuer, uri, Arc::clone(source)));
        lists.insert(name, Arc::clone(&watched));
        self.parts.metrics.status_lists_watched(lists.len());
        tokio::spawn(Arc::clone(self).watch(Arc::clone(&watched)));
        Ok(watched)
    }

    /// Stops watching a list, unless it was asked about just now.
    fn forget(&self, watched: &Watched) -> bool {
        let name = (watched.issuer.clone(), watched.uri.clone());
        let mut lists = self.lists.lock().unwrap_or_else(PoisonError::into_inner);
        if watched.was_asked_within(watched.kept(self.parts.watched_for)) {
            return false;
        }
        lists.remove(&name);
        self.parts.metrics.status_lists_watched(lists.len());
        lock(&self.counted).give_back(&watched.issuer, 1);
        lock(&self.bytes).give_back(&watched.issuer, watched.bytes());
        true
    }

    /// Has edges look again at tokens with these names, however long that takes to write.
    async fn announce(&self, names: &[Fingerprint]) {
        for names in names.chunks(CHANGES_AT_ONCE) {
            loop {
                let work = Announce(names.to_vec());
                if self.parts.writer.write_in_turn(work).await.is_ok() {
                    break;
                }
                sleep(WRITE_PAUSE).await;
            }
        }
    }

    /// The names of what is another status in `newer`, or that of all.
    fn changes(&self, watched: &Watched, older: &Known, newer: &Known) -> Vec<Fingerprint> {
        let key = self.parts.filter_key;
        let changes = older.list.changes(&newer.list).take(MOST_CHANGES + 1);
        let names = changes.map(|index| key.status(&watched.issuer, &watched.uri, index));
        let names: Vec<_> = names.collect();
        if names.len() > MOST_CHANGES {
            vec![key.statuses(&watched.issuer)]
        } else {
            names
        }
    }
}

fn lock(shares: &Mutex<Shares>) -> MutexGuard<'_, Shares> {
    shares.lock().unwrap_or_else(PoisonError::into_inner)
}
