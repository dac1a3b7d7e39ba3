//! The tables in an open transaction, and the ledger that goes with them.

use redb::{ReadTransaction, ReadableTable as _, TableDefinition, WriteTransaction};

use super::failure::failed;
use super::ledger::{Ledger, Rows};
use super::{Head, StoreError};
use crate::authority::store::rows::{HEAD, decode_log};
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::{Chain, Change, FilterKey};

pub(super) const META: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("meta");
pub(super) const LEDGER: TableDefinition<'_, (), &[u8]> = TableDefinition::new("ledger");
pub(super) const ENTRIES: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("entries");
pub(super) const SUBJECTS: TableDefinition<'_, &[u8; 32], &[u8]> = TableDefinition::new("subjects");
pub(super) const ISSUERS: TableDefinition<'_, &str, &[u8]> = TableDefinition::new("issuers");
pub(super) const LOG: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("log");
pub(super) const STAGED: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("staged");

const LEDGER_SEAL: Seal = Seal::of_meta();

/// All tables of a store, for writing. The ledger counts every change at once; [`Tables::finish`]
/// writes it to the store.
pub(super) struct Tables<'t> {
    pub(super) entries: Rows<'t, u64>,
    pub(super) subjects: Rows<'t, &'static [u8; 32]>,
    pub(super) issuers: Rows<'t, &'static str>,
    pub(super) log: Rows<'t, u64>,
    pub(super) staged: Rows<'t, u64>,
    pub(super) meta: Rows<'t, &'static str>,
    /// In a table of its own, since the ledger cannot count itself.
    ledger_row: redb::Table<'t, (), &'static [u8]>,
    pub(super) ledger: Ledger,
}

impl<'t> Tables<'t> {
    /// The tables of an existing store.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        key: FilterKey,
    ) -> Result<Self, StoreError> {
        let mut tables = Self::make(transaction, key)?;
        let row = redb::ReadableTable::get(&tables.ledger_row, ()).map_err(failed)?;
        let row = row.ok_or(StoreError::Row)?;
        tables.ledger = Ledger::decode(LEDGER_SEAL.opened(&[], row.value())?)?;
        drop(row);
        Ok(tables)
    }

    /// Empty tables with a ledger to match.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn make(
        transaction: &'t WriteTransaction,
        key: FilterKey,
    ) -> Result<Self, StoreError> {
        let seal = |section| Seal::of(section, key);
        Ok(Self {
            entries: Rows::open(transaction, ENTRIES, seal(Section::Entries))?,
            subjects: Rows::open(transaction, SUBJECTS, seal(Section::Subjects))?,
            issuers: Rows::open(transaction, ISSUERS, seal(Section::Issuers))?,
            log: Rows::open(transaction, LOG, seal(Section::Log))?,
            staged: Rows::open(transaction, STAGED, seal(Section::Staged))?,
            meta: Rows::open(transaction, META, Seal::of_meta())?,
            ledger_row: transaction.open_table(LEDGER).map_err(failed)?,
            ledger: Ledger::default(),
        })
    }

    /// Keeps bytes under a name.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn put_meta(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.meta.insert(&mut self.ledger, &name, bytes)
    }

    /// Writes the ledger, as of one commit more.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn finish(mut self) -> Result<Ledger, StoreError> {
        self.ledger.commits = self.ledger.commits.saturating_add(1);
        let row = LEDGER_SEAL.sealed(&[], self.ledger.encode());
        self.ledger_row.insert((), row.as_slice()).map_err(failed)?;
        Ok(self.ledger)
    }
}

/// The ledger.
pub(super) fn ledger_in(reading: &ReadTransaction) -> Result<Ledger, StoreError> {
    let table = reading.open_table(LEDGER).map_err(failed)?;
    let row = table.get(()).map_err(failed)?.ok_or(StoreError::Row)?;
    Ledger::decode(LEDGER_SEAL.opened(&[], row.value())?)
}

/// The bytes kept under a name.
pub(super) fn kept_in(
    reading: &ReadTransaction,
    name: &str,
) -> Result<Option<Vec<u8>>, StoreError> {
    let meta = reading.open_table(META).map_err(failed)?;
    let Some(row) = meta.get(name).map_err(failed)? else {
        return Ok(None);
    };
    let row = Seal::of_meta().opened(name.as_bytes(), row.value())?;
    Ok(Some(row.to_vec()))
}

/// The head of the feed.
///
/// # Errors
///
/// [`StoreError`].
pub(super) fn head_in(reading: &ReadTransaction) -> Result<Head, StoreError> {
    let head = kept_in(reading, HEAD)?.ok_or(StoreError::Row)?;
    Head::decode(&head)
}

/// Changes of the feed from `first` on, at most `limit` of them, each with its number and the chain after
/// it.
///
/// # Errors
///
/// [`StoreError`].
pub(super) fn changes_in(
    reading: &ReadTransaction,
    key: FilterKey,
    first: u64,
    limit: usize,
) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
    let seal = Seal::of(Section::Log, key);
    let log = reading.open_table(LOG).map_err(failed)?;
    let rows = log.range(first..).map_err(failed)?.take(limit);
    rows.map(|row| {
        let (sequence, row) = row.map_err(failed)?;
        let sequence = sequence.value();
        let row = seal.opened(&sequence.to_le_bytes(), row.value())?;
        let (change, chain) = decode_log(row)?;
        Ok((sequence, change, chain))
    })
    .collect()
}

/// The first staged part of an import, of those from `number` on.
///
/// # Errors
///
/// [`StoreError`].
pub(super) fn staged_in(
    reading: &ReadTransaction,
    key: FilterKey,
    number: u64,
) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
    let staged = reading.open_table(STAGED).map_err(failed)?;
    let first = staged.range(number..).map_err(failed)?.next();
    let Some(row) = first else {
        return Ok(None);
    };
    let (number, part) = row.map_err(failed)?;
    let number = number.value();
    let seal = Seal::of(Section::Staged, key);
    let part = seal.opened(&number.to_le_bytes(), part.value())?;
    Ok(Some((number, part.to_vec())))
}

/// At most `limit` issuers.
///
/// # Errors
///
/// [`StoreError`].
pub(super) fn issuers_in(
    reading: &ReadTransaction,
    key: FilterKey,
    limit: usize,
) -> Result<Vec<String>, StoreError> {
    let issuers = reading.open_table(ISSUERS).map_err(failed)?;
    let seal = Seal::of(Section::Issuers, key);
    let rows = issuers.iter().map_err(failed)?.take(limit);
    rows.map(|row| {
        let (issuer, row) = row.map_err(failed)?;
        seal.opened(issuer.value().as_bytes(), row.value())?;
        Ok(issuer.value().to_owned())
    })
    .collect()
}
