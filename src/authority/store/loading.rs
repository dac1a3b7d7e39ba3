//! Reading everything into the index, at the start.
//!
//! Edges wait for it, and refuse once they have waited for too long. So all processors read, each a
//! part of the rows at a time.

use std::num::NonZero;
use std::panic;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;

use redb::{ReadOnlyTable, ReadableDatabase as _, ReadableTable as _, ReadableTableMetadata as _};

use super::{ENTRIES, Store, StoreError, failed};

impl Store {
    /// Fills the index, which has to be empty.
    pub(super) fn load(&self) -> Result<(), StoreError> {
        self.with(|database| {
            let reading = database.begin_read().map_err(failed)?;
            let rows = Rows::of(reading.open_table(ENTRIES).map_err(failed)?)?;
            self.index.reserve(rows.table.len().map_err(failed)?);
            let threads = thread::available_parallelism().map_or(1, NonZero::get);
            thread::scope(|scope| {
                let threads: Vec<_> = (0..threads)
                    .map(|_| scope.spawn(|| self.load_parts(&rows)))
                    .collect();
                threads.into_iter().try_for_each(|thread| {
                    let loaded = thread.join();
                    loaded.unwrap_or_else(|panicked| panic::resume_unwind(panicked))
                })
            })
        })
    }

    /// Loads one part after the other, until none is left.
    fn load_parts(&self, rows: &Rows) -> Result<(), StoreError> {
        let mut loader = self.index.loader();
        while let Some(start) = rows.next_part() {
            let end = start.saturating_add(PART);
            for row in rows.table.range(start..end).map_err(failed)? {
                let (sequence, row) = row.map_err(failed)?;
                loader.add(self.effect(sequence.value(), row.value())?);
            }
        }
        Ok(())
    }
}

/// The rows that are still to be read.
struct Rows {
    table: ReadOnlyTable<u64, &'static [u8]>,
    next: AtomicU64,
    last: Option<u64>,
}

impl Rows {
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

    /// Where a part begins that nobody else reads.
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

/// Sequence numbers in one part: few enough that all threads end at about the same time.
const PART: u64 = 64 * 1024;
