//! What can be done to the store, and doing it inside one transaction.

use redb::WriteTransaction;

use super::super::entry::{Action, Event, Record, Revocation, Target};
use super::super::index::{ByFingerprint, Effect, Index, Place};
use super::tables::Tables;
use super::{COMPLETE, HEAD, Head, Store, StoreError, split_row};
use crate::revocation::cut_off::{self, CutOff};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint, KEPT_CHANGES};
use crate::time::UnixTime;

/// A piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Work {
    /// Revoke something.
    Revoke(Box<Revocation>),
    /// Take a revocation back.
    Restore(Box<Restoration>),
    /// Forget what has expired; what has not stays.
    Drop(Vec<Fingerprint>),
    /// Keep bytes under a name.
    Keep(&'static str, Vec<u8>),
    /// Put a part of an import aside.
    Stage(u64, Vec<u8>),
    /// Revoke what a part of an import names, and remove the part.
    ApplyStaged(u64, Vec<Revocation>),
    /// Remove every part of an import, which is not complete any more.
    DropStaged,
}

impl Work {
    /// Whether it is of an import, and so needs as much room as thousands of others.
    #[must_use]
    pub const fn is_large(&self) -> bool {
        matches!(
            self,
            Self::Stage(..) | Self::ApplyStaged(..) | Self::DropStaged
        )
    }

    /// Whether it can wait: nobody is refused for it who asks for something else.
    #[must_use]
    pub const fn can_wait(&self) -> bool {
        self.is_large() || matches!(self, Self::Drop(_))
    }

    /// Whether it makes the file larger by as much.
    pub(super) const fn takes_room(&self) -> bool {
        matches!(self, Self::Stage(..) | Self::ApplyStaged(..))
    }
}

/// A revocation that is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restoration {
    /// What is not revoked any more.
    pub target: Target,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What became of a piece of work.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It is revoked now, or more of it than before.
    Revoked(Box<Record>),
    /// It was so already, and may be for longer now.
    AlreadyRevoked(Box<Record>),
    /// Every token that is named has expired already: nothing to do.
    AlreadyExpired,
    /// It is not revoked any more.
    Restored(Box<Record>),
    /// It was not revoked.
    NotRevoked,
    /// Done; for imports, this many revocations were new. Of what has expired, this many rows could
    /// not be read, and were left for the next start to find.
    Done(u64),
}

/// An open transaction with its tables.
pub(super) struct Transaction<'t> {
    tables: Tables<'t>,
    /// The issuer that was seen last, to spare looking it up again.
    last_issuer: String,
    index: &'t Index,
    /// Rows that this transaction has written or removed, which the index does not know of yet.
    moved: ByFingerprint<Option<u64>>,
    filter_key: FilterKey,
    now_milliseconds: u64,
    now: UnixTime,
    head: Head,
    changes: Vec<(Change, Chain)>,
    effects: Vec<Effect>,
}

/// What was done, before it is on the disk.
pub(super) struct Finished {
    pub(super) commits: u64,
    pub(super) sequence: u64,
    pub(super) changes: Vec<(Change, Chain)>,
    /// What the index has to be told once it is.
    pub(super) effects: Vec<Effect>,
}

impl<'t> Transaction<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        store: &'t Store,
        now_milliseconds: u64,
    ) -> Result<Self, StoreError> {
        let tables = Tables::open(transaction, store.filter_key)?;
        let head = tables.meta.get(&HEAD, Head::decode)?;
        let head = head.ok_or(StoreError::Row)?;
        Ok(Self {
            tables,
            last_issuer: String::new(),
            index: &store.index,
            moved: ByFingerprint::default(),
            filter_key: store.filter_key,
            now_milliseconds,
            now: UnixTime::from_seconds(now_milliseconds / 1000).unwrap_or(UnixTime::MAX),
            head,
            changes: Vec::new(),
            effects: Vec::new(),
        })
    }

    pub(super) fn perform(&mut self, work: &Work) -> Result<Outcome, StoreError> {
        match work {
            Work::Revoke(revocation) => self.revoke(revocation),
            Work::Restore(restoration) => self.restore(restoration),
            Work::Drop(names) => {
                let mut damaged = 0;
                for name in names {
                    damaged += u64::from(!self.drop_expired(*name)?);
                }
                Ok(Outcome::Done(damaged))
            }
            Work::Keep(name, bytes) => {
                self.tables.put_meta(name, bytes.clone())?;
                Ok(Outcome::Done(0))
            }
            Work::Stage(number, bytes) => {
                let tables = &mut self.tables;
                tables
                    .staged
                    .insert(&mut tables.ledger, number, bytes.clone())?;
                Ok(Outcome::Done(0))
            }
            Work::ApplyStaged(number, revocations) => self.apply_staged(*number, revocations),
            Work::DropStaged => {
                let tables = &mut self.tables;
                tables.staged.clear(&mut tables.ledger)?;
                tables.put_meta(COMPLETE, Vec::new())?;
                Ok(Outcome::Done(0))
            }
        }
    }

    /// Writes where the feed stands now and cuts off the oldest part of its log.
    pub(super) fn finish(self) -> Result<Finished, StoreError> {
        let mut tables = self.tables;
        if !self.changes.is_empty() {
            tables.put_meta(HEAD, self.head.encode().to_vec())?;
            let floor = self.head.sequence.saturating_sub(LOG_LENGTH as u64);
            tables.log.remove_up_to(&mut tables.ledger, floor)?;
        }
        Ok(Finished {
            commits: tables.finish()?.commits,
            sequence: self.head.sequence,
            changes: self.changes,
            effects: self.effects,
        })
    }

    fn revoke(&mut self, revocation: &Revocation) -> Result<Outcome, StoreError> {
        if revocation.expires_at <= self.now {
            return Ok(Outcome::AlreadyExpired);
        }
        let name = revocation.target.fingerprint(&self.filter_key);
        let old = self.record(name)?;
        let known = old
            .as_ref()
            .map(|old| (old.expires_at, old.subject.is_empty()));
        let mut record = match old {
            Some(old) if old.is_in_force(self.now) => old,
            Some(old) => Record {
                in_force: false,
                expires_at: revocation.expires_at,
                ..old
            },
            None => Record::new(revocation.target.clone()),
        };
        let is_new = !record.in_force;
        let changes_feed = if is_new {
            record.in_force = true;
            record.set_cut_off(revocation);
            true
        } else {
            revocation.target.kind.is_cut_off() && record.extend_cut_off(revocation)
        };
        record.expires_at = record.expires_at.max(revocation.expires_at);
        if record.subject.is_empty() {
            record.subject.clone_from(&revocation.subject);
        }
        let same = (record.expires_at, record.subject.is_empty());
        if !changes_feed && known == Some(same) {
            return Ok(Outcome::AlreadyRevoked(Box::new(record)));
        }
        record.note(self.event(Action::Revoked, &revocation.actor, &revocation.reason));
        if changes_feed {
            let change = if record.target.kind.is_cut_off() {
                Change::SetCutOff(record.cut_off(&self.filter_key))
            } else {
                Change::Add(name)
            };
            self.log_change(change, &mut record)?;
        }
        self.put(name, &record)?;
        self.effects.push(self.effect(name, &record));
        Ok(if changes_feed {
            Outcome::Revoked(Box::new(record))
        } else {
            Outcome::AlreadyRevoked(Box::new(record))
        })
    }

    fn restore(&mut self, restoration: &Restoration) -> Result<Outcome, StoreError> {
        let name = restoration.target.fingerprint(&self.filter_key);
        let record = self.record(name)?;
        let in_force = record.filter(|record| record.is_in_force(self.now));
        let Some(mut record) = in_force else {
            return Ok(Outcome::NotRevoked);
        };
        record.in_force = false;
        record.note(self.event(Action::Restored, &restoration.actor, &restoration.reason));
        let kind = record.target.kind;
        let change = if kind.is_cut_off() {
            Change::ClearCutOff(name)
        } else {
            Change::Restore(name)
        };
        self.log_change(change, &mut record)?;
        self.put(name, &record)?;
        self.effects.push(self.effect(name, &record));
        Ok(Outcome::Restored(Box::new(record)))
    }

    /// Gives whether the row could be read. One that cannot stays, and memory forgets it: it revokes
    /// nothing any more, and must not keep others from being dropped.
    fn drop_expired(&mut self, name: Fingerprint) -> Result<bool, StoreError> {
        let record = match self.record(name) {
            Ok(Some(record)) => record,
            Ok(None) => {
                self.effects.push(Effect::Dropped(name));
                return Ok(true);
            }
            Err(StoreError::Row) => {
                if !self.moved.contains_key(&name) && self.index.is_expired(name, self.now) {
                    self.effects.push(Effect::Dropped(name));
                }
                return Ok(false);
            }
            Err(error) => return Err(error),
        };
        if record.expires_at > self.now {
            self.effects.push(self.effect(name, &record));
            return Ok(true);
        }
        let tables = &mut self.tables;
        tables
            .entries
            .remove(&mut tables.ledger, &record.sequence)?;
        self.moved.insert(name, None);
        if let Some(owner) = record.owner(&self.filter_key) {
            let owner = owner_key(owner, name);
            tables
                .subjects
                .remove_if_there(&mut tables.ledger, &&owner)?;
        }
        self.effects.push(Effect::Dropped(name));
        Ok(true)
    }

    fn apply_staged(
        &mut self,
        number: u64,
        revocations: &[Revocation],
    ) -> Result<Outcome, StoreError> {
        let mut new = 0;
        for revocation in revocations {
            if let Outcome::Revoked(_) = self.revoke(revocation)? {
                new += 1;
            }
        }
        let tables = &mut self.tables;
        tables.staged.remove_if_there(&mut tables.ledger, &number)?;
        Ok(Outcome::Done(new))
    }

    /// Gives the change its number, in the log and as the key of the record's row, whose old one is
    /// removed.
    fn log_change(&mut self, change: Change, record: &mut Record) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        if record.sequence != 0 {
            tables
                .entries
                .remove(&mut tables.ledger, &record.sequence)?;
        }
        self.head = Head {
            sequence: self.head.sequence.saturating_add(1),
            chain: self.head.chain.followed_by(&change),
        };
        record.sequence = self.head.sequence;
        let mut row = self.head.chain.0.to_vec();
        change.encode_to(&mut row);
        tables
            .log
            .insert(&mut tables.ledger, &record.sequence, row)?;
        self.changes.push((change, self.head.chain));
        Ok(())
    }

    fn put(&mut self, name: Fingerprint, record: &Record) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        if let Some(owner) = record.owner(&self.filter_key) {
            let owner = owner_key(owner, name);
            tables
                .subjects
                .insert(&mut tables.ledger, &&owner, Vec::new())?;
        }
        if record.target.issuer != self.last_issuer {
            self.last_issuer.clone_from(&record.target.issuer);
            let issuer = self.last_issuer.as_str();
            if tables.issuers.get(&issuer, |_| Ok(()))?.is_none() {
                tables
                    .issuers
                    .insert(&mut tables.ledger, &issuer, Vec::new())?;
            }
        }
        let encoded = record.encode();
        // With room for the checksum.
        let mut row = Vec::with_capacity(encoded.len() + 24);
        row.extend(name.0);
        row.extend(encoded);
        tables
            .entries
            .insert(&mut tables.ledger, &record.sequence, row)?;
        self.moved.insert(name, Some(record.sequence));
        Ok(())
    }

    /// The entry of this name. The index knows where its row is; one that is not there is lost.
    fn record(&self, name: Fingerprint) -> Result<Option<Record>, StoreError> {
        let moved = self.moved.get(&name).copied();
        let Some(sequence) = moved.unwrap_or_else(|| self.index.sequence_of(name)) else {
            return Ok(None);
        };
        let record = self.tables.entries.get(&sequence, |row| {
            let (found, record) = split_row(row)?;
            let record = Record::decode(record).filter(|_| found == name);
            record.ok_or(StoreError::Row)
        })?;
        record.map(Some).ok_or(StoreError::Row)
    }

    /// What the index has to know of a record.
    fn effect(&self, name: Fingerprint, record: &Record) -> Effect {
        let place = Place {
            expires_at: record.expires_at,
            sequence: record.sequence,
        };
        let kind = record.target.kind;
        match (record.in_force, kind.is_cut_off()) {
            (false, _) => Effect::Restored(name, kind, place),
            (true, true) => Effect::CutOff(record.cut_off(&self.filter_key), place),
            (true, false) => Effect::Entry(name, place),
        }
    }

    fn event(&self, action: Action, actor: &str, reason: &str) -> Event {
        Event {
            time: self.now_milliseconds,
            action,
            actor: actor.to_owned(),
            reason: reason.to_owned(),
        }
    }
}

pub(super) fn owner_key(owner: Fingerprint, name: Fingerprint) -> [u8; 32] {
    let mut key = [0; 32];
    let (first, second) = key.split_at_mut(16);
    first.copy_from_slice(&owner.0);
    second.copy_from_slice(&name.0);
    key
}

pub(super) fn decode_log(row: &[u8]) -> Result<(Change, Chain), StoreError> {
    let (chain, change) = row.split_first_chunk().ok_or(StoreError::Row)?;
    let (operation, rest) = change.split_first().ok_or(StoreError::Row)?;
    let name = || {
        let bytes = rest.try_into().map_err(|_| StoreError::Row)?;
        Ok::<_, StoreError>(Fingerprint(bytes))
    };
    let change = match operation {
        1 => Change::Add(name()?),
        2 => Change::Restore(name()?),
        3 => Change::SetCutOff(read_cut_off(rest)?),
        4 => Change::ClearCutOff(name()?),
        _ => return Err(StoreError::Row),
    };
    Ok((change, Chain(*chain)))
}

fn read_cut_off(bytes: &[u8]) -> Result<CutOff, StoreError> {
    let cut_offs = cut_off::decode(bytes).map_err(|_| StoreError::Row)?;
    cut_offs.into_iter().next().ok_or(StoreError::Row)
}

/// Changes that the log keeps.
pub const LOG_LENGTH: usize = KEPT_CHANGES as usize;
