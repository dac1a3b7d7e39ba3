//! Reading everything into the index at the start, and counting it.
//!
//! Edges wait for it, and refuse requests once they have waited too long. So all processors read,
//! each one part of the rows at a time.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread;

use redb::{
    Database, Key, ReadOnlyTable, ReadTransaction, ReadableDatabase as _, ReadableTable as _,
    ReadableTableMetadata as _, TableDefinition,
};

use super::StoreError;
use super::caught::caught;
use super::failure::failed;
use super::ledger::{Ledger, counted_in};
use super::tables::{ENTRIES, ISSUERS, LOG, META, STAGED, SUBJECTS};
use crate::authority::index::{Index, Loader};
use crate::authority::store::rows::effect_of;
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::FilterKey;

/// Sequence numbers in one part: few enough that all threads finish at about the same time.
const PART: u64 = 64 * 1024;

/// Fills the index, which has to be empty, if there is one, and returns the tallies of all rows of all tables.
///
/// # Errors
///
/// [`StoreError`]; then the index is not usable.
pub(super) fn load(
    database: &Database,
    index: Option<&Index>,
    key: FilterKey,
) -> Result<Ledger, StoreError> {
    let reading = database.begin_read().map_err(failed)?;
    let work = Work {
        entries: Entries::of(reading.open_table(ENTRIES).map_err(failed)?)?,
        subjects: Subjects::of(reading.open_table(SUBJECTS).map_err(failed)?),
        index,
        key,
    };
    if let Some(index) = index {
        index.reserve(work.entries.table.len().map_err(failed)?);
    }
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    let mut counted = Ledger::default();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| scope.spawn(|| caught(|| work.do_parts())))
            .collect();
        threads.into_iter().try_for_each(|thread| {
            counted.add(&thread.join().unwrap_or(Err(StoreError::Broken(None)))?);
            Ok::<_, StoreError>(())
        })
    })?;
    count_all(&reading, META, Seal::of_meta(), &mut counted)?;
    count_all(
        &reading,
        ISSUERS,
        Seal::of(Section::Issuers, key),
        &mut counted,
    )?;
    count_all(&reading, LOG, Seal::of(Section::Log, key), &mut counted)?;
    count_all(
        &reading,
        STAGED,
        Seal::of(Section::Staged, key),
        &mut counted,
    )?;
    Ok(counted)
}

fn count_all<K: Key>(
    reading: &ReadTransaction,
    table: TableDefinition<'_, K, &'static [u8]>,
    seal: Seal,
    counted: &mut Ledger,
) -> Result<(), StoreError> {
    let table = reading.open_table(table).map_err(failed)?;
    for row in table.iter().map_err(failed)? {
        let (key, row) = row.map_err(failed)?;
        counted_in(
            &seal,
            K::as_bytes(&key.value()).as_ref(),
            row.value(),
            counted,
        )?;
    }
    Ok(())
}

/// What is divided among the threads.
struct Work<'i> {
    entries: Entries,
    subjects: Subjects,
    index: Option<&'i Index>,
    key: FilterKey,
}

impl Work<'_> {
    /// Reads one part after another, until none is left.
    fn do_parts(&self) -> Result<Ledger, StoreError> {
        let mut counted = Ledger::default();
        let mut loader = self.index.map(Index::loader);
        while let Some(start) = self.entries.next_part() {
            self.load_entries(start, loader.as_mut(), &mut counted)?;
        }
        while let Some(first) = self.subjects.next_part() {
            self.count_subjects(first, &mut counted)?;
        }
        Ok(counted)
    }

    fn load_entries(
        &self,
        start: u64,
        mut loader: Option<&mut Loader<'_>>,
        counted: &mut Ledger,
    ) -> Result<(), StoreError> {
        let seal = Seal::of(Section::Entries, self.key);
        let end = start.saturating_add(PART);
        for row in self.entries.table.range(start..end).map_err(failed)? {
            let (sequence, row) = row.map_err(failed)?;
            let sequence = sequence.value();
            let row = counted_in(&seal, &sequence.to_le_bytes(), row.value(), counted)?;
            let effect = effect_of(sequence, row, &self.key)?;
            if let Some(loader) = &mut loader {
                loader.add(effect);
            }
        }
        Ok(())
    }

    fn count_subjects(&self, first: u8, counted: &mut Ledger) -> Result<(), StoreError> {
        let seal = Seal::of(Section::Subjects, self.key);
        let (mut start, mut end) = ([0; 32], [u8::MAX; 32]);
        (start[0], end[0]) = (first, first);
        let rows = self.subjects.table.range::<&[u8; 32]>(&start..=&end);
        for row in rows.map_err(failed)? {
            let (key, row) = row.map_err(failed)?;
            counted_in(&seal, key.value(), row.value(), counted)?;
        }
        Ok(())
    }
}

/// The rows of `entries` that are still to be read.
struct Entries {
    table: ReadOnlyTable<u64, &'static [u8]>,
    next: AtomicU64,
    last: Option<u64>,
}

impl Entries {
    fn of(table: ReadOnlyTable<u64, &'static [u8]>) -> Result<Self, StoreError> {
        let first = table.first().map_err(failed)?;
        let first = first.map_or(0, |(sequence, _)| sequence.value());
        let last = table.last().map_err(failed)?;
        let last = last.map(|(sequence, _)| sequence.value());
        Ok(Self {
            table,
            next: AtomicU64::new(first),
            last,
        })
    }

    /// Claims the next part, and returns where it begins.
    fn next_part(&self) -> Option<u64> {
        let advance = |start: u64| {
            self.last.filter(|last| start <= *last)?;
            start.checked_add(PART)
        };
        self.next
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, advance)
            .ok()
    }
}

/// The rows of `subjects` that are still to be read, by the first byte of their keys.
struct Subjects {
    table: ReadOnlyTable<&'static [u8; 32], &'static [u8]>,
    next: AtomicUsize,
}

impl Subjects {
    const fn of(table: ReadOnlyTable<&'static [u8; 32], &'static [u8]>) -> Self {
        Self {
            table,
            next: AtomicUsize::new(0),
        }
    }

    fn next_part(&self) -> Option<u8> {
        u8::try_from(self.next.fetch_add(1, Ordering::Relaxed)).ok()
    }
}
