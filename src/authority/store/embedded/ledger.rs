//! A ledger of what rows there must be.
//!
//! A flipped bit on the disk is not an error: the database finds fewer rows, or others. Those that it
//! finds are sealed; and for each kind of row the ledger has their number and the sum of their
//! checksums, which does not depend on their order. The ledger changes in the same transaction as
//! the rows. At the start all rows are read anyway, and their tallies have to match the ledger.
//!
//! # Why is there no hash over everything?
//!
//! It would have to be recomputed from all rows with every commit, or need a tree of hashes, which
//! costs a path for each row. A sum takes one hash for a row that is added, none for one that is
//! removed. It protects against accidents, not against an attacker who can write the file.

use redb::{Key, Table, TableDefinition, WriteTransaction};

use super::StoreError;
use super::failure::failed;
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::Kind;

/// One for each kind of entry, one for each other section.
const TALLIES: usize = Kind::ALL.len() + 5;

/// Kinds that a ledger counted before there were compound names.
const FORMER_KINDS: usize = 6;

/// After the fingerprint and the version of the entry.
const KIND_OFFSET: usize = 17;

/// The number of rows of one kind, and the sum of their checksums.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Tally {
    pub(super) count: u64,
    sum: u64,
}

/// The rows that must be in the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ledger {
    /// Commits so far.
    pub(super) commits: u64,
    tallies: [Tally; TALLIES],
}

/// A table whose rows are sealed and counted with every change.
pub(super) struct Rows<'t, K: Key + 'static> {
    table: Table<'t, K, &'static [u8]>,
    seal: Seal,
}

/// The row without its checksum, counted.
///
/// # Errors
///
/// As [`Seal::opened`].
pub(super) fn counted_in<'r>(
    seal: &Seal,
    key: &[u8],
    sealed: &'r [u8],
    ledger: &mut Ledger,
) -> Result<&'r [u8], StoreError> {
    let row = seal.opened(key, sealed)?;
    ledger.tally(seal.section, sealed)?.add(sealed);
    Ok(row)
}

impl<'t, K: Key + 'static> Rows<'t, K> {
    /// The rows of a table, which is created if it does not exist.
    pub(super) fn open(
        transaction: &'t WriteTransaction,
        table: TableDefinition<'_, K, &'static [u8]>,
        seal: Seal,
    ) -> Result<Self, StoreError> {
        let table = transaction.open_table(table).map_err(failed)?;
        Ok(Self { table, seal })
    }

    /// Applies `read` to the row under `key`.
    pub(super) fn get<T>(
        &self,
        key: &K::SelfType<'_>,
        read: impl FnOnce(&[u8]) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        use redb::ReadableTable as _;
        let Some(sealed) = self.table.get(key).map_err(failed)? else {
            return Ok(None);
        };
        let row = self
            .seal
            .opened(K::as_bytes(key).as_ref(), sealed.value())?;
        read(row).map(Some)
    }

    /// Puts the row under `key`, replacing the one that is there.
    pub(super) fn insert(
        &mut self,
        ledger: &mut Ledger,
        key: &K::SelfType<'_>,
        row: Vec<u8>,
    ) -> Result<(), StoreError> {
        let row = self.seal.sealed(K::as_bytes(key).as_ref(), row);
        let old = self.table.insert(key, row.as_slice()).map_err(failed)?;
        if let Some(old) = old {
            ledger
                .tally(self.seal.section, old.value())?
                .remove(old.value());
        }
        ledger.tally(self.seal.section, &row)?.add(&row);
        Ok(())
    }

    /// Removes the row under `key`, which has to be there.
    pub(super) fn remove(
        &mut self,
        ledger: &mut Ledger,
        key: &K::SelfType<'_>,
    ) -> Result<(), StoreError> {
        let old = self.table.remove(key).map_err(failed)?;
        let old = old.ok_or(StoreError::Row)?;
        ledger
            .tally(self.seal.section, old.value())?
            .remove(old.value());
        Ok(())
    }

    /// Removes the row under `key`, if it is there.
    pub(super) fn remove_if_there(
        &mut self,
        ledger: &mut Ledger,
        key: &K::SelfType<'_>,
    ) -> Result<(), StoreError> {
        if let Some(old) = self.table.remove(key).map_err(failed)? {
            ledger
                .tally(self.seal.section, old.value())?
                .remove(old.value());
        }
        Ok(())
    }

    /// Removes every row.
    pub(super) fn clear(&mut self, ledger: &mut Ledger) -> Result<(), StoreError> {
        let tally = ledger.tally(self.seal.section, &[])?;
        let remove = |_: K::SelfType<'_>, row: &[u8]| {
            tally.remove(row);
            false
        };
        self.table.retain(remove).map_err(failed)
    }
}

impl Rows<'_, u64> {
    /// Removes the rows up to this key.
    pub(super) fn remove_up_to(
        &mut self,
        ledger: &mut Ledger,
        last: u64,
    ) -> Result<(), StoreError> {
        let tally = ledger.tally(self.seal.section, &[])?;
        let remove = |_: u64, row: &[u8]| {
            tally.remove(row);
            false
        };
        self.table.retain_in(..=last, remove).map_err(failed)
    }
}

impl Tally {
    fn add(&mut self, sealed: &[u8]) {
        self.count = self.count.wrapping_add(1);
        self.sum = self.sum.wrapping_add(checksum_of(sealed));
    }

    fn remove(&mut self, sealed: &[u8]) {
        self.count = self.count.wrapping_sub(1);
        self.sum = self.sum.wrapping_sub(checksum_of(sealed));
    }
}

impl Ledger {
    /// Tokens, sessions, devices and cut-offs, in force or restored.
    pub(super) fn entries(&self) -> u64 {
        let entries = self.tallies.iter().take(Kind::ALL.len());
        entries.map(|tally| tally.count).sum()
    }

    /// Adds what another one has counted.
    pub(super) fn add(&mut self, other: &Self) {
        for (tally, more) in self.tallies.iter_mut().zip(&other.tallies) {
            tally.count = tally.count.wrapping_add(more.count);
            tally.sum = tally.sum.wrapping_add(more.sum);
        }
    }

    /// Whether another ledger has counted the same rows.
    pub(super) fn is_of(&self, counted: &Self) -> bool {
        self.tallies == counted.tallies
    }

    /// The same, apart from `meta`.
    pub(super) fn is_of_beside_meta(&self, counted: &Self) -> bool {
        let meta = Section::Meta as usize - 1 + Kind::ALL.len();
        let rows = |ledger: &Self| ledger.tallies.into_iter().take(meta).collect::<Vec<_>>();
        rows(self) == rows(counted)
    }

    /// A row of `entries` is counted by the byte in it that says its kind.
    fn tally(&mut self, section: Section, row: &[u8]) -> Result<&mut Tally, StoreError> {
        let number = match section {
            Section::Entries => usize::from(*row.get(KIND_OFFSET).ok_or(StoreError::Row)?)
                .checked_sub(1)
                .filter(|number| *number < Kind::ALL.len())
                .ok_or(StoreError::Row)?,
            other => other as usize - 1 + Kind::ALL.len(),
        };
        self.tallies.get_mut(number).ok_or(StoreError::Row)
    }

    /// Its row: the commits, and of each tally count and sum, all 64 bits in little-endian order.
    pub(super) fn encode(&self) -> Vec<u8> {
        let tallies = self
            .tallies
            .iter()
            .flat_map(|tally| [tally.count, tally.sum]);
        std::iter::once(self.commits)
            .chain(tallies)
            .flat_map(u64::to_le_bytes)
            .collect()
    }

    pub(super) fn decode(row: &[u8]) -> Result<Self, StoreError> {
        let numbers: Vec<u64> = row
            .chunks_exact(8)
            .filter_map(|bytes| bytes.try_into().ok().map(u64::from_le_bytes))
            .collect();
        let (commits, rest) = numbers.split_first().ok_or(StoreError::Row)?;
        // Of the kinds that came later there was nothing to count.
        let later = Kind::ALL.len() - FORMER_KINDS;
        let mut rest = rest.to_vec();
        if row.len() == 8 + 16 * (TALLIES - later) {
            let at = 2 * FORMER_KINDS;
            rest.splice(at..at, vec![0; 2 * later]);
        } else if row.len() != 8 + 16 * TALLIES {
            return Err(StoreError::Row);
        }
        let mut ledger = Self {
            commits: *commits,
            ..Self::default()
        };
        for (tally, numbers) in ledger.tallies.iter_mut().zip(rest.chunks_exact(2)) {
            if let [count, sum] = *numbers {
                *tally = Tally { count, sum };
            }
        }
        Ok(ledger)
    }
}

fn checksum_of(sealed: &[u8]) -> u64 {
    sealed
        .last_chunk()
        .map_or(0, |checksum| u64::from_le_bytes(*checksum))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::FilterKey;

    const SEAL: Seal = Seal::of(Section::Log, FilterKey::new([7; 16]));

    fn sealed(seal: Seal, key: &[u8], row: &[u8]) -> Vec<u8> {
        seal.sealed(key, row.to_vec())
    }

    #[test]
    fn what_comes_and_goes_in_any_order_adds_up_to_what_is_left() {
        let rows: Vec<_> = (0..9_u8)
            .map(|row| sealed(SEAL, &[row], &[row; 3]))
            .collect();
        let mut ledger = Ledger::default();
        for row in &rows {
            ledger.tally(Section::Log, row).unwrap().add(row);
        }
        for row in rows[2..].iter().rev() {
            ledger.tally(Section::Log, row).unwrap().remove(row);
        }
        let mut counted = Ledger::default();
        for number in [1, 0] {
            counted_in(&SEAL, &[number], &rows[usize::from(number)], &mut counted).unwrap();
        }
        assert!(ledger.is_of(&counted));
        counted_in(&SEAL, &[2], &rows[2], &mut counted).unwrap();
        assert!(!ledger.is_of(&counted));
    }

    #[test]
    fn a_ledger_comes_back_as_it_was() {
        let mut ledger = Ledger {
            commits: 77,
            ..Ledger::default()
        };
        for (number, tally) in ledger.tallies.iter_mut().enumerate() {
            (tally.count, tally.sum) = (number as u64, u64::MAX - number as u64);
        }
        assert_eq!(Ledger::decode(&ledger.encode()).unwrap(), ledger);
        assert_eq!(ledger.entries(), 28);
        assert!(Ledger::decode(&ledger.encode()[8..]).is_err());
        assert!(Ledger::decode(&[]).is_err());
    }

    #[test]
    fn a_ledger_that_counts_no_compound_names_is_read_as_one_of_none() {
        let mut ledger = Ledger {
            commits: 77,
            ..Ledger::default()
        };
        for (number, tally) in ledger.tallies.iter_mut().enumerate() {
            (tally.count, tally.sum) = (number as u64 + 1, number as u64 + 100);
        }
        ledger.tallies[6..8].fill(Tally::default());
        let mut former = ledger.encode();
        former.drain(8 + 6 * 16..8 + 8 * 16);
        assert_eq!(Ledger::decode(&former).unwrap(), ledger);
        assert!(Ledger::decode(&former[..former.len() - 16]).is_err());
    }
}
