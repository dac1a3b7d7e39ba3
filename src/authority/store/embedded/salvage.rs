//! Recovering what can be read from a damaged store.
//!
//! The checksum of every row shows whether it is what was written, so a row that is found is right,
//! however it was found. Only entries matter: the search tables follow from them, and the feed's
//! log has no meaning in the new epoch that begins.

use std::fs::{self, File};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use redb::{Database, ReadableDatabase as _, ReadableTable as _};

use super::backend::Backend;
use super::caught::{caught, discard};
use super::failure::failed;
use super::file::{
    Trust, begin_write, filter_key, guard, make_database, put_beginnings, try_database,
};
use super::guard::Guard;
use super::ledger::Ledger;
use super::mark::Said;
use super::opening::Opening;
use super::tables::{ENTRIES, STAGED, Tables, head_in, kept_in, ledger_in};
use super::{CompleteImport, Damage, Epoch, Head, KeptKeys, Setting as _, StoreError};
use crate::authority::store::rows::{HEAD, decode_entry, owner_key};
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::{Chain, FilterKey};

/// Some seconds' worth. If the root of a large table is damaged, every read fails.
const MAX_FAILURES: u64 = 10_000;

/// Entries that are read at once.
const PART: u64 = 4096;

/// Pages of staged pieces: gigabytes.
const MAX_STAGED_READS: u64 = 1 << 20;

/// A damaged store, open for reading.
pub(super) struct Wreck {
    database: Database,
    backend: Backend,
    key: FilterKey,
    feed_keys: Vec<u8>,
    ledger: Option<Ledger>,
    head: Head,
    last: u64,
}

impl Wreck {
    /// How much of a store that cannot be opened is left.
    ///
    /// # Errors
    ///
    /// [`StoreError`] other than damage, such as a disk that cannot be read.
    pub(super) fn assess(
        path: &Path,
        guard: &Arc<Guard>,
        said: Said,
    ) -> Result<Damage, StoreError> {
        let Some(wreck) = Self::open(path, guard, said) else {
            return Ok(Damage::Unreadable);
        };
        let mut left = 0;
        let is_all = wreck.entries(&mut Budget(MAX_FAILURES), &mut |_, _| {
            left += 1;
            Ok(())
        })?;
        let entries = wreck.ledger.map(|ledger| ledger.entries());
        wreck.close();
        Ok(Damage::Changed {
            lost: entries.map(|entries| entries.saturating_sub(left)),
            left,
            is_all,
        })
    }

    /// `None` where the keys cannot be read, without which nothing else can be used.
    fn open(path: &Path, guard: &Arc<Guard>, said: Said) -> Option<Self> {
        [Trust::Given, Trust::Withheld]
            .into_iter()
            .find_map(|trust| {
                // Without a cache every page is read from the file, so that a walk along a cycle
                // uses up its reads.
                let opened = caught(|| try_database(path, 0, guard, trust));
                let (database, backend) = opened.ok()?;
                let read = caught(|| Self::read(&database, said));
                let Ok((key, feed_keys, ledger, head, last)) = read else {
                    discard(database);
                    return None;
                };
                Some(Self {
                    database,
                    backend,
                    key,
                    feed_keys,
                    ledger,
                    head,
                    last,
                })
            })
    }

    #[expect(clippy::type_complexity, reason = "the parts of the one who calls it")]
    fn read(
        database: &Database,
        said: Said,
    ) -> Result<(FilterKey, Vec<u8>, Option<Ledger>, Head, u64), StoreError> {
        let reading = database.begin_read().map_err(failed)?;
        let key = filter_key(&reading)?;
        let feed_keys = kept_in(&reading, KeptKeys::NAME)?.ok_or(StoreError::Row)?;
        let ledger = caught(|| ledger_in(&reading)).ok();
        let head = caught(|| head_in(&reading)).ok();
        let marked = match said {
            Said::Was(standing) => standing.sequence,
            Said::Nothing | Said::Unreadable => 0,
        };
        let last = caught(|| {
            let entries = reading.open_table(ENTRIES).map_err(failed)?;
            let last = entries.last().map_err(failed)?;
            Ok(last.map_or(0, |(sequence, _)| sequence.value()))
        });
        // A key that is read from a damaged page may be any number.
        let last = last.unwrap_or(0).min(1 << 40);
        let known = head.map_or(last, |head| head.sequence).max(marked);
        let head = head.unwrap_or(Head {
            sequence: known,
            chain: Chain::EMPTY,
        });
        Ok((key, feed_keys, ledger, head, known))
    }

    /// Hands every entry that can be read to `visit`, in the order of their sequence numbers.
    /// `false` when so much could not be read that the rest was given up.
    fn entries(
        &self,
        budget: &mut Budget,
        visit: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<bool, StoreError> {
        let mut start = 0;
        while start <= self.last && !budget.is_spent() {
            let end = start.saturating_add(PART);
            self.entries_between(start, end, budget, visit)?;
            start = end;
        }
        Ok(!budget.is_spent())
    }

    /// If a part cannot be read as a whole, its halves are tried.
    fn entries_between(
        &self,
        start: u64,
        end: u64,
        budget: &mut Budget,
        visit: &mut dyn FnMut(u64, Vec<u8>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        if budget.is_spent() {
            return Ok(());
        }
        self.backend
            .allow_reads((end - start).saturating_mul(4) + 64);
        if let Ok(rows) = caught(|| self.rows_between(start, end)) {
            return rows.into_iter().try_for_each(|(key, row)| visit(key, row));
        }
        budget.spend();
        if end - start > 1 {
            let middle = start + (end - start) / 2;
            self.entries_between(start, middle, budget, visit)?;
            self.entries_between(middle, end, budget, visit)?;
        }
        Ok(())
    }

    fn rows_between(&self, start: u64, end: u64) -> Result<Vec<(u64, Vec<u8>)>, StoreError> {
        let seal = Seal::of(Section::Entries, self.key);
        let reading = self.database.begin_read().map_err(failed)?;
        let entries = reading.open_table(ENTRIES).map_err(failed)?;
        let mut rows = Vec::new();
        let mut next = start;
        for row in entries.range(start..end).map_err(failed)? {
            let (sequence, row) = row.map_err(failed)?;
            let sequence = sequence.value();
            if !(next..end).contains(&sequence) {
                return Err(StoreError::Broken(None));
            }
            next = sequence + 1;
            if let Ok(row) = seal.opened(&sequence.to_le_bytes(), row.value()) {
                rows.push((sequence, row.to_vec()));
            }
        }
        Ok(rows)
    }

    /// A staged import, complete or not, as far as it can be read.
    fn staged(&self) -> Vec<(u64, Vec<u8>)> {
        let seal = Seal::of(Section::Staged, self.key);
        let mut pieces = Vec::new();
        self.backend.allow_reads(MAX_STAGED_READS);
        // What has been gathered when it panics is right.
        let _ = caught(|| {
            let reading = self.database.begin_read().map_err(failed)?;
            let staged = reading.open_table(STAGED).map_err(failed)?;
            for row in staged.iter().map_err(failed)? {
                let (number, row) = row.map_err(failed)?;
                let number = number.value();
                if let Ok(row) = seal.opened(&number.to_le_bytes(), row.value()) {
                    pieces.push((number, row.to_vec()));
                }
            }
            Ok(())
        });
        pieces
    }

    fn kept(&self, name: &str) -> Option<Vec<u8>> {
        self.backend.allow_reads(MAX_STAGED_READS);
        caught(|| kept_in(&self.database.begin_read().map_err(failed)?, name)).ok()?
    }

    fn close(self) {
        self.backend.allow_reads(u64::MAX);
        discard(self.database);
    }
}

/// Makes a store of what can be read, which replaces the damaged one; the damaged one is kept.
pub(super) fn salvage(path: &Path, said: Said, opening: Opening) -> Result<(), StoreError> {
    let unfinished = unfinished(path);
    let guard = guard(path)?;
    let wreck = Wreck::open(path, &guard, said).ok_or(StoreError::Broken(None))?;
    let database = make_database(&unfinished, opening.cache_bytes)?;
    let written = write(&wreck, &database, opening.now_milliseconds);
    wreck.close();
    drop(database);
    written?;
    let damaged = path.with_file_name(format!(
        "authority.damaged-{}.redb",
        opening.now_milliseconds
    ));
    fs::rename(path, &damaged).map_err(|source| StoreError::File {
        path: damaged.clone(),
        source,
    })?;
    tracing::error!(path = %damaged.display(), "the damaged store is kept");
    install(&unfinished, path)
}

fn write(wreck: &Wreck, database: &Database, now_milliseconds: u64) -> Result<(), StoreError> {
    let transaction = begin_write(database)?;
    let mut tables = Tables::make(&transaction, wreck.key)?;
    put_beginnings(&mut tables, wreck.key)?;
    tables.put_meta(HEAD, wreck.head.encode().to_vec())?;
    tables.put_meta(KeptKeys::NAME, wreck.feed_keys.clone())?;
    // A new epoch from the beginning: once this store is installed, a start cannot see what it
    // lacks. An unreadable epoch counts as the earliest.
    let epoch = wreck.kept(Epoch::NAME);
    let epoch = epoch.and_then(|epoch| Epoch::decode(&epoch));
    let epoch = epoch.unwrap_or(Epoch(0)).after(now_milliseconds);
    tables.put_meta(Epoch::NAME, epoch.encode())?;
    tracing::error!(
        new_epoch = epoch.0,
        sequence = wreck.head.sequence,
        "what was revoked with the entries that are missing has to be revoked again; a new epoch begins"
    );
    if let Some(complete) = wreck.kept(CompleteImport::NAME) {
        tables.put_meta(CompleteImport::NAME, complete)?;
    }
    for (number, piece) in wreck.staged() {
        tables.staged.insert(&mut tables.ledger, &number, piece)?;
    }
    let mut last_issuer = String::new();
    // Without a bound: this read has to be complete.
    wreck.entries(&mut Budget(u64::MAX), &mut |sequence, row| {
        put_entry(&mut tables, wreck.key, sequence, row, &mut last_issuer)
    })?;
    tables.finish()?;
    transaction.commit().map_err(failed)
}

fn put_entry(
    tables: &mut Tables<'_>,
    key: FilterKey,
    sequence: u64,
    row: Vec<u8>,
    last_issuer: &mut String,
) -> Result<(), StoreError> {
    let (name, entry) = decode_entry(&row)?;
    if let Some(owner) = entry.owner(&key) {
        let owner = owner_key(owner, name);
        tables
            .subjects
            .insert(&mut tables.ledger, &&owner, Vec::new())?;
    }
    if entry.target.issuer != *last_issuer {
        last_issuer.clone_from(&entry.target.issuer);
        tables
            .issuers
            .insert(&mut tables.ledger, &last_issuer.as_str(), Vec::new())?;
    }
    tables.entries.insert(&mut tables.ledger, &sequence, row)
}

/// The path at which a store is made before it is installed.
pub(super) fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("unfinished")
}

/// Removes what a killed process has left of a store that it made.
pub(super) fn tidy_up(path: &Path) -> Result<(), StoreError> {
    let unfinished = unfinished(path);
    match fs::remove_file(&unfinished) {
        Err(source) if source.kind() != ErrorKind::NotFound => Err(StoreError::File {
            path: unfinished,
            source,
        }),
        _ => Ok(()),
    }
}

/// Moves a finished file to its path, and syncs the directory, since the name has to be on the disk
/// as well.
pub(super) fn install(unfinished: &Path, path: &Path) -> Result<(), StoreError> {
    let renamed = fs::rename(unfinished, path).and_then(|()| match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    });
    renamed.map_err(|source| StoreError::File {
        path: path.to_owned(),
        source,
    })
}

/// How many more reads may fail.
struct Budget(u64);

impl Budget {
    const fn is_spent(&self) -> bool {
        self.0 == 0
    }

    const fn spend(&mut self) {
        self.0 = self.0.saturating_sub(1);
    }
}
