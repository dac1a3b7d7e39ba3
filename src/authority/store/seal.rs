//! Seals on rows, whatever engine keeps them.
//!
//! A flipped bit on the disk is not an error: the database finds other rows. So every row ends in a
//! checksum over its table, its key and itself. It protects against accidents, not against an
//! attacker who can write to the store.

use std::hash::Hasher as _;

use siphasher::sip::SipHasher13;

use super::StoreError;
use crate::revocation::FilterKey;

/// What the rows of a table are sealed with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Seal {
    pub(super) section: Section,
    key: FilterKey,
}

/// A part of the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Section {
    /// `entries`, where each kind is counted separately.
    Entries,
    /// `subjects`.
    Subjects,
    /// `issuers`.
    Issuers,
    /// `log`.
    Log,
    /// `staged`.
    Staged,
    /// `meta`, without the ledger itself.
    Meta,
    /// Settings that are encrypted.
    Vault,
}

impl Seal {
    /// Of everything but `meta`, in which the key itself is kept.
    pub(super) const fn of(section: Section, key: FilterKey) -> Self {
        Self { section, key }
    }

    /// Of `meta`.
    pub(super) const fn of_meta() -> Self {
        Self::of(Section::Meta, FilterKey::new(*b"portcullis store"))
    }

    /// Of settings that are encrypted.
    pub(super) const fn of_vault() -> Self {
        Self {
            section: Section::Vault,
            ..Self::of_meta()
        }
    }

    fn checksum(&self, key: &[u8], row: &[u8]) -> u64 {
        checksum(&self.key, &[&[self.section as u8], key, row])
    }

    /// The row with its checksum.
    pub(super) fn sealed(&self, key: &[u8], mut row: Vec<u8>) -> Vec<u8> {
        let checksum = self.checksum(key, &row);
        row.extend(checksum.to_le_bytes());
        row
    }

    /// The row without its checksum.
    ///
    /// # Errors
    ///
    /// [`StoreError::Row`] when the checksum is another one.
    pub(super) fn opened<'r>(&self, key: &[u8], sealed: &'r [u8]) -> Result<&'r [u8], StoreError> {
        let (row, checksum) = sealed.split_last_chunk().ok_or(StoreError::Row)?;
        if u64::from_le_bytes(*checksum) != self.checksum(key, row) {
            return Err(StoreError::Row);
        }
        Ok(row)
    }
}

/// SipHash-1-3 over the concatenated parts.
pub(in crate::authority) fn checksum(key: &FilterKey, parts: &[&[u8]]) -> u64 {
    let mut hasher = SipHasher13::new_with_key(key.bytes());
    for part in parts {
        hasher.write(part);
    }
    hasher.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SEAL: Seal = Seal::of(Section::Log, FilterKey::new([7; 16]));

    #[test]
    fn a_row_with_any_bit_changed_or_under_another_key_is_not_opened() {
        let row = SEAL.sealed(b"key", b"some row".to_vec());
        assert_eq!(SEAL.opened(b"key", &row).unwrap(), b"some row");
        for bit in 0..row.len() * 8 {
            let mut changed = row.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(SEAL.opened(b"key", &changed).is_err(), "bit {bit}");
        }
        assert!(SEAL.opened(b"kez", &row).is_err());
        let elsewhere = Seal::of(Section::Staged, FilterKey::new([7; 16]));
        assert!(elsewhere.opened(b"key", &row).is_err());
        for length in 0..row.len() {
            assert!(SEAL.opened(b"key", &row[..length]).is_err());
        }
    }
}
