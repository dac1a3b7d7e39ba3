//! Reading, inside one transaction of redb.

use std::ops::ControlFlow;
use std::thread;
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase as _};

use super::failure::failed;
use super::tables::{
    ENTRIES, ISSUERS, SUBJECTS, changes_in, head_in, issuers_in, kept_in, staged_in,
};
use super::{Embedded, Head, StoreError};
use crate::authority::entry::Entry;
use crate::authority::store::engine::Snapshot;
use crate::authority::store::rows::{decode_entry, owner_key};
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::{Chain, Change, Fingerprint};

/// A second together, more than the writer takes from the disk to the index.
const ATTEMPTS: usize = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// A transaction that reads.
pub(super) struct OpenSnapshot<'e> {
    engine: &'e Embedded,
    database: &'e Database,
    transaction: ReadTransaction,
}

/// What index and disk have of a name at one moment.
enum Found {
    Nothing,
    Entry(Box<Entry>),
    /// They differ.
    Disagreement,
}

impl<'e> OpenSnapshot<'e> {
    pub(super) fn new(engine: &'e Embedded, database: &'e Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        Ok(Self {
            engine,
            database,
            transaction,
        })
    }

    /// What is on the disk now.
    fn anew(&self) -> Result<Self, StoreError> {
        Self::new(self.engine, self.database)
    }

    fn entry_now(&self, name: Fingerprint) -> Result<Found, StoreError> {
        let Some(sequence) = self.engine.index.sequence_of(name) else {
            return Ok(Found::Nothing);
        };
        let entries = self.transaction.open_table(ENTRIES).map_err(failed)?;
        let Some(row) = entries.get(sequence).map_err(failed)? else {
            return Ok(Found::Disagreement);
        };
        let (found, entry) = self.open(sequence, row.value())?;
        Ok(if found == name {
            Found::Entry(Box::new(entry))
        } else {
            Found::Disagreement
        })
    }

    fn open(&self, sequence: u64, row: &[u8]) -> Result<(Fingerprint, Entry), StoreError> {
        let seal = self.seal(Section::Entries);
        decode_entry(seal.opened(&sequence.to_le_bytes(), row)?)
    }

    const fn seal(&self, section: Section) -> Seal {
        Seal::of(section, self.engine.filter_key)
    }
}

impl Snapshot for OpenSnapshot<'_> {
    fn head(&self) -> Result<Head, StoreError> {
        head_in(&self.transaction)
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        kept_in(&self.transaction, name)
    }

    fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        let first = after.saturating_add(1);
        changes_in(&self.transaction, self.engine.filter_key, first, usize::MAX)
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        staged_in(&self.transaction, self.engine.filter_key, number)
    }

    /// The index is told of a commit once it is on the disk, so for a moment it may be behind the
    /// disk, or ahead of a transaction that began before. If the two still differ after that, the
    /// row is lost.
    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        let mut found = self.entry_now(name)?;
        for _ in 0..ATTEMPTS {
            match found {
                Found::Nothing => return Ok(None),
                Found::Entry(entry) => return Ok(Some(*entry)),
                Found::Disagreement => thread::sleep(ATTEMPT_PAUSE),
            }
            found = self.anew()?.entry_now(name)?;
        }
        Err(StoreError::Row)
    }

    fn newest(
        &self,
        before: u64,
        visit: &mut dyn FnMut(Fingerprint, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let rows = self.transaction.open_table(ENTRIES).map_err(failed)?;
        for row in rows.range(..before).map_err(failed)?.rev() {
            let (sequence, row) = row.map_err(failed)?;
            let (name, entry) = self.open(sequence.value(), row.value())?;
            if visit(name, entry).is_break() {
                break;
            }
        }
        Ok(())
    }

    fn owned(
        &self,
        owner: Fingerprint,
        first: Fingerprint,
        visit: &mut dyn FnMut(Fingerprint) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let subjects = self.transaction.open_table(SUBJECTS).map_err(failed)?;
        let seal = self.seal(Section::Subjects);
        let first = owner_key(owner, first);
        let last = owner_key(owner, Fingerprint([u8::MAX; 16]));
        let rows = subjects.range::<&[u8; 32]>(&first..=&last);
        for row in rows.map_err(failed)? {
            let (key, row) = row.map_err(failed)?;
            seal.opened(key.value(), row.value())?;
            let name = key.value().last_chunk().copied().map(Fingerprint);
            if visit(name.ok_or(StoreError::Row)?)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn has_issuer(&self, issuer: &str) -> Result<bool, StoreError> {
        let issuers = self.transaction.open_table(ISSUERS).map_err(failed)?;
        Ok(issuers.get(issuer).map_err(failed)?.is_some())
    }

    fn issuers(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        issuers_in(&self.transaction, self.engine.filter_key, limit)
    }
}
