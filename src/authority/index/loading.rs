//! Filling the index at the start of the authority.
//!
//! Fingerprints are random, so inserting entries one by one as they are read costs a cache miss for
//! each. Gathered by shard first, some hundreds in a row go into the same part of memory, which is
//! small enough for the processor's cache.

use super::{Effect, Index, PackedRow, SHARDS, write};
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// Some hundreds for each shard, in 15 MiB.
const GATHERED: usize = 512 * 1024;

/// Gathers what one thread has read, and hands it to the index in bulk: when enough has come
/// together, and when it is dropped.
#[derive(Debug)]
pub(crate) struct Loader<'i> {
    index: &'i Index,
    gathered: Vec<Vec<(Fingerprint, PackedRow)>>,
    count: usize,
}

impl Index {
    /// Makes room for so many tokens, sessions and devices, so that no table is copied into a
    /// larger one while they are loaded.
    pub(crate) fn reserve(&self, entries: u64) {
        // The shards' sizes differ by some hundredths.
        let each = entries / SHARDS as u64;
        let each = usize::try_from(each + each / 32).unwrap_or(usize::MAX);
        for shard in &self.entries {
            write(shard).reserve(each);
        }
    }

    /// For reading everything that the store has into an index that is empty.
    #[must_use]
    pub(crate) fn loader(&self) -> Loader<'_> {
        Loader {
            index: self,
            gathered: (0..SHARDS).map(|_| Vec::new()).collect(),
            count: 0,
        }
    }
}

impl Loader<'_> {
    /// Adds what the store has of a name. Each name may be added only once.
    pub(crate) fn add(&mut self, effect: Effect) {
        let Effect::Entry(name, row) = effect else {
            return self.index.apply(effect);
        };
        // The index is empty at first, so that there is nothing to remove.
        if row.signed_in_from > UnixTime::EPOCH {
            self.index.set_sign_in(name, row.signed_in_from);
        }
        if let Some(gathered) = self.gathered.get_mut(Index::shard_number(name)) {
            gathered.push((name, PackedRow::of(row)));
            self.count += 1;
        }
        if self.count >= GATHERED {
            self.hand_over();
        }
    }

    fn hand_over(&mut self) {
        for (shard, gathered) in self.index.entries.iter().zip(&mut self.gathered) {
            let mut shard = write(shard);
            let before = shard.len();
            shard.extend(gathered.drain(..));
            self.index.count_entries(shard.len() - before);
        }
        self.count = 0;
    }
}

impl Drop for Loader<'_> {
    fn drop(&mut self) {
        self.hand_over();
    }
}

#[cfg(test)]
mod tests {
    use super::super::Row;
    use super::*;
    use crate::revocation::{Cause, Kind};

    fn name(number: u32) -> Fingerprint {
        Fingerprint((u128::from(number) << 64 | u128::from(number)).to_le_bytes())
    }

    fn row(sequence: u32) -> Row {
        Row {
            expires_at: UnixTime::from_seconds(100).unwrap(),
            sequence: sequence.into(),
            cause: Cause::Plain,
            signed_in_from: UnixTime::EPOCH,
        }
    }

    #[test]
    fn what_several_threads_load_is_all_there() {
        let index = Index::new();
        index.reserve(300_000);
        std::thread::scope(|scope| {
            for thread in 0..3 {
                let index = &index;
                scope.spawn(move || {
                    let mut loader = index.loader();
                    for number in (thread * 100_000..).take(100_000) {
                        loader.add(Effect::Entry(name(number), row(number)));
                    }
                    let restored = name(1_000_000 + thread);
                    loader.add(Effect::Restored(restored, Kind::Session, row(thread)));
                });
            }
        });
        assert_eq!(index.entry_count(), 300_000);
        for number in 0..300_000 {
            assert_eq!(index.sequence_of(name(number)), Some(number.into()));
        }
        let now = UnixTime::EPOCH;
        assert!(index.revokes(name(299_999), None, now).is_some());
        assert!(index.revokes(name(1_000_000), None, now).is_none());
        assert_eq!(index.sequence_of(name(1_000_002)), Some(2));
    }
}
