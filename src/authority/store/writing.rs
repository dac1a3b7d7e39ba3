//! Carrying out work inside one transaction, whatever the engine.

use std::collections::HashSet;

use super::decide::{self, Now, Restoration, RestorationDecision, RevocationDecision};
use super::engine::Transaction;
use super::setting::{AreaHolder, CompleteImport, GenerationNumber, Setting};
use super::{Head, StoreError};
use crate::authority::entry::{Entry, Revocation, Target};
use crate::authority::index::{Effect, Row};
use crate::authority::sessions::{Ended, Mark};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint, KEPT_CHANGES};
use crate::time::UnixTime;

/// Changes that the log keeps.
pub(crate) const LOG_LENGTH: usize = KEPT_CHANGES as usize;

/// The outcome of a revocation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Revoked {
    /// It is revoked now, or more of it than before.
    Newly(Box<Entry>),
    /// It was so already, and may be for longer now.
    Already(Box<Entry>),
    /// Every token that is named has expired already: nothing to do.
    Expired,
}

/// The outcome of a restoration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Restored {
    /// It is not revoked any more.
    Newly(Box<Entry>),
    /// It stays revoked, by others than the origin that has taken its own part back.
    Withdrawn(Box<Entry>),
    /// It was not revoked, or not by this origin.
    NotRevoked,
}

/// The outcome of dropping expired entries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Dropped {
    /// So many could not be read, and were left for the next start to find.
    pub damaged: u64,
}

/// The outcome of a part of an import.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    /// So many of its revocations were new.
    pub revoked: u64,
}

/// A transaction, and its effects on the index and the feed.
pub(crate) struct Writing<'t> {
    transaction: &'t mut dyn Transaction,
    filter_key: FilterKey,
    now: Now,
    head: Head,
    told: Told,
}

/// What the index and the feed are told once it is on the disk.
#[derive(Debug, Default)]
pub(super) struct Told {
    pub(super) effects: Vec<Effect>,
    /// The sequence number before the first of the changes.
    pub(super) after: u64,
    /// Each with the chain after it.
    pub(super) changes: Vec<(Change, Chain)>,
    /// For the registry of sessions.
    pub(super) marks: Vec<Mark>,
    /// Whether a setting has changed.
    pub(super) has_settings: bool,
}

/// What other processes have committed.
#[derive(Debug)]
pub(super) struct News {
    /// The sequence number before the first of the changes.
    pub(super) after: u64,
    /// Each with the chain after it.
    pub(super) changes: Vec<(Change, Chain)>,
    /// Every entry that may have changed, as it is now; `None` for one that is not there any more.
    pub(super) entries: Vec<(Fingerprint, Option<Entry>)>,
    /// Whether a setting has changed.
    pub(super) has_settings: bool,
}

impl Told {
    /// What news mean for this process.
    pub(super) fn of(news: News, now: UnixTime, key: &FilterKey) -> Self {
        let is_revoking = |(change, _): &&(Change, Chain)| {
            matches!(change, Change::Add(_) | Change::SetCutOff(_))
        };
        let revoking = news.changes.iter().filter(is_revoking);
        let revoked: HashSet<Fingerprint> =
            revoking.map(|(change, _)| change.fingerprint()).collect();
        let (mut effects, mut marks) = (Vec::new(), Vec::new());
        for (name, entry) in news.entries {
            let Some(entry) = entry else {
                effects.push(Effect::Dropped(name));
                continue;
            };
            if entry.in_force && revoked.contains(&name) {
                marks.push(mark_of(name, &entry, now, key));
            }
            effects.push(effect_of(name, &entry, key));
        }
        Self {
            effects,
            after: news.after,
            changes: news.changes,
            marks,
            has_settings: news.has_settings,
        }
    }
}

impl<'t> Writing<'t> {
    pub(super) fn new(
        transaction: &'t mut dyn Transaction,
        filter_key: FilterKey,
        now: Now,
    ) -> Result<Self, StoreError> {
        let head = transaction.head()?;
        Ok(Self {
            head,
            transaction,
            filter_key,
            now,
            told: Told {
                after: head.sequence,
                ..Told::default()
            },
        })
    }

    /// It is so late by now, where it was waited for since the clock was read.
    pub(crate) fn is_later(&mut self, milliseconds: u64) {
        self.now.milliseconds = self.now.milliseconds.max(milliseconds);
    }

    /// Asks for the entries of these names at once, which are read one by one then.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn expect<'n>(
        &mut self,
        targets: impl Iterator<Item = &'n Target>,
    ) -> Result<(), StoreError> {
        let names: Vec<_> = targets
            .map(|target| target.fingerprint(&self.filter_key))
            .collect();
        self.transaction.expect(&names)
    }

    /// Removes the oldest part of the log.
    pub(super) fn finish(self) -> Result<Told, StoreError> {
        if !self.told.changes.is_empty() {
            let oldest = self.head.sequence.saturating_sub(LOG_LENGTH as u64);
            self.transaction.trim_log(oldest)?;
        }
        Ok(self.told)
    }

    /// Revokes something.
    ///
    /// # Errors
    ///
    /// [`StoreError`], as all below; the transaction has to be given up then.
    pub(crate) fn revoke(&mut self, revocation: &Revocation) -> Result<Revoked, StoreError> {
        let name = revocation.target.fingerprint(&self.filter_key);
        let old = self.transaction.entry(name)?;
        Ok(match decide::revoke(old, revocation, self.now) {
            RevocationDecision::Expired => Revoked::Expired,
            RevocationDecision::Unchanged(entry) => Revoked::Already(Box::new(entry)),
            RevocationDecision::Noted(entry) => {
                self.put(name, &entry)?;
                Revoked::Already(Box::new(entry))
            }
            RevocationDecision::Changed(entry) => Revoked::Newly(self.put_change(name, entry)?),
        })
    }

    /// Restores an entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn restore(&mut self, restoration: &Restoration) -> Result<Restored, StoreError> {
        let name = restoration.target.fingerprint(&self.filter_key);
        let old = self.transaction.entry(name)?;
        Ok(match decide::restore(old, restoration, self.now) {
            RestorationDecision::NotInForce => Restored::NotRevoked,
            RestorationDecision::Noted(entry) => {
                self.put(name, &entry)?;
                Restored::Withdrawn(Box::new(entry))
            }
            RestorationDecision::Changed(entry) => Restored::Newly(self.put_change(name, entry)?),
        })
    }

    /// Drops those of these entries that have expired.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn drop_expired(&mut self, names: &[Fingerprint]) -> Result<Dropped, StoreError> {
        let mut dropped = Dropped::default();
        self.transaction.expect(names)?;
        for name in names {
            match self.transaction.entry(*name) {
                Ok(Some(entry)) if entry.expires_at > self.now.time() => {
                    self.tell(*name, &entry);
                }
                Ok(Some(entry)) => {
                    let owner = entry.owner(&self.filter_key);
                    self.transaction.remove_entry(*name, owner)?;
                    self.told.effects.push(Effect::Dropped(*name));
                }
                Ok(None) => self.told.effects.push(Effect::Dropped(*name)),
                // It revokes nothing any more, and must not keep others from being dropped.
                Err(StoreError::Row) => {
                    dropped.damaged += 1;
                    let lapsed = Effect::DroppedIfExpired(*name, self.now.time());
                    self.told.effects.push(lapsed);
                }
                Err(error) => return Err(error),
            }
        }
        Ok(dropped)
    }

    /// Has edges look again at tokens with this name, of which there is no entry. To an edge, that is as if
    /// one had been restored: it forgets what it remembers of such tokens, and revokes nothing.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn announce(&mut self, name: Fingerprint) -> Result<(), StoreError> {
        self.append(Change::Restore(name))
    }

    /// Keeps the number of a generation that was written, so that other processes load it.
    ///
    /// # Errors
    ///
    /// [`StoreError`], also where another process has become the keeper.
    pub(crate) fn publish(&mut self, number: GenerationNumber) -> Result<(), StoreError> {
        self.transaction.expect_keeper()?;
        self.transaction.expect_generation(number.0)?;
        self.keep(&number)
    }

    /// Keeps a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn keep<S: Setting>(&mut self, setting: &S) -> Result<(), StoreError> {
        self.told.has_settings = true;
        self.transaction.put_setting(S::NAME, setting.encode())
    }

    /// A setting, if it was ever kept.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn kept<S: Setting>(&self) -> Result<Option<S>, StoreError> {
        let bytes = self.transaction.setting(S::NAME)?;
        bytes.as_deref().map(S::read).transpose()
    }

    /// Stages a part of an import.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn stage(&mut self, number: u64, part: &[u8]) -> Result<(), StoreError> {
        self.transaction.stage(number, part.to_vec())
    }

    /// Revokes what a part of an import names, and removes the part.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn apply_staged(
        &mut self,
        number: u64,
        revocations: &[Revocation],
    ) -> Result<Applied, StoreError> {
        let mut applied = Applied::default();
        self.expect(revocations.iter().map(|revocation| &revocation.target))?;
        for revocation in revocations {
            if let Revoked::Newly(_) = self.revoke(revocation)? {
                applied.revoked += 1;
            }
        }
        self.transaction.unstage(number)?;
        Ok(applied)
    }

    /// Removes every part of an import, which then no longer counts as complete, and frees the area for
    /// another one.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn drop_staged(&mut self) -> Result<(), StoreError> {
        self.transaction.unstage_all()?;
        if self.kept::<AreaHolder>()?.is_some() {
            self.keep(&AreaHolder(None))?;
        }
        self.keep(&CompleteImport(None))
    }

    /// Writes an entry together with its change in the feed, whose number it gets.
    fn put_change(
        &mut self,
        name: Fingerprint,
        mut entry: Entry,
    ) -> Result<Box<Entry>, StoreError> {
        self.append(change_of(name, &entry, &self.filter_key))?;
        entry.sequence = self.head.sequence;
        if entry.in_force {
            let mark = mark_of(name, &entry, self.now.time(), &self.filter_key);
            self.told.marks.push(mark);
        }
        self.put(name, &entry)?;
        Ok(Box::new(entry))
    }

    /// Appends a change to the feed.
    fn append(&mut self, change: Change) -> Result<(), StoreError> {
        self.head = Head {
            sequence: self.head.sequence.saturating_add(1),
            chain: self.head.chain.followed_by(&change),
        };
        self.transaction.append(self.head, &change)?;
        self.told.changes.push((change, self.head.chain));
        Ok(())
    }

    fn put(&mut self, name: Fingerprint, entry: &Entry) -> Result<(), StoreError> {
        let owner = entry.owner(&self.filter_key);
        self.transaction.put_entry(name, owner, entry)?;
        self.tell(name, entry);
        Ok(())
    }

    fn tell(&mut self, name: Fingerprint, entry: &Entry) {
        let effect = effect_of(name, entry, &self.filter_key);
        self.told.effects.push(effect);
    }
}

/// The change that tells edges of an entry.
fn change_of(name: Fingerprint, entry: &Entry, key: &FilterKey) -> Change {
    match (entry.in_force, entry.target.kind.is_cut_off()) {
        (true, false) => Change::Add(name),
        (true, true) => Change::SetCutOff(entry.cut_off(key)),
        (false, false) => Change::Restore(name),
        (false, true) => Change::ClearCutOff(name),
    }
}

/// What tells the registry of sessions that something is revoked.
fn mark_of(name: Fingerprint, entry: &Entry, now: UnixTime, key: &FilterKey) -> Mark {
    let kind = entry.target.kind;
    let leaves_some = kind.is_cut_off() || entry.signed_in_from() > UnixTime::EPOCH;
    Mark {
        kind,
        name,
        cut_off: leaves_some.then(|| entry.cut_off(key)),
        ended: Ended {
            at: now,
            cause: entry.cause,
        },
    }
}

/// The effect that tells the index of an entry.
pub(super) fn effect_of(name: Fingerprint, entry: &Entry, key: &FilterKey) -> Effect {
    let row = Row {
        expires_at: entry.expires_at,
        sequence: entry.sequence,
        cause: entry.cause,
        signed_in_from: entry.signed_in_from(),
    };
    let kind = entry.target.kind;
    match (entry.in_force, kind.is_cut_off()) {
        (false, _) => Effect::Restored(name, kind, row),
        (true, true) => Effect::CutOff(entry.cut_off(key), row),
        (true, false) => Effect::Entry(name, row),
    }
}
