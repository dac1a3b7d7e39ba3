//! Telling one store from another.

use sha2::{Digest as _, Sha256};

use super::{Copied, Part, Whole};
use crate::authority::store::StoreError;
use crate::authority::store::rows::{encode_entry, encode_log, owner_key};

/// What tells one store from another: how much there is of each kind, and hashes over it in order.
#[derive(Clone, Default)]
pub(super) struct Summary {
    pub(super) copied: Copied,
    hashes: [Sha256; SECTIONS.len()],
}

pub(super) const KEY: usize = 0;
pub(super) const SETTINGS: usize = 1;
const ISSUERS: usize = 2;
const STAGED: usize = 3;
const CHANGES: usize = 4;
const ENTRIES: usize = 5;
const OWNERS: usize = 6;
pub(super) const HEAD: usize = 7;
pub(super) const ALL: [usize; SECTIONS.len()] = [
    KEY, SETTINGS, ISSUERS, STAGED, CHANGES, ENTRIES, OWNERS, HEAD,
];

/// What is compared, under these numbers.
const SECTIONS: [&str; 8] = [
    "filter's keys",
    "settings",
    "issuers",
    "parts of an import",
    "changes of the feed",
    "entries",
    "owners of entries",
    "heads of the feed",
];

impl Summary {
    pub(super) fn of(whole: &dyn Whole) -> Result<Self, StoreError> {
        let mut summary = Self::default();
        summary.hash(KEY, &[whole.filter_key()?.bytes()]);
        Ok(summary)
    }

    pub(super) fn add(&mut self, part: &Part) {
        self.copied.count(part);
        match part {
            Part::Settings(rows) => rows
                .iter()
                .for_each(|(name, bytes)| self.hash(SETTINGS, &[name.as_bytes(), bytes])),
            Part::Issuers(rows) => rows
                .iter()
                .for_each(|issuer| self.hash(ISSUERS, &[issuer.as_bytes()])),
            Part::Staged(number, part) => self.hash(STAGED, &[&number.to_le_bytes(), part]),
            Part::Changes(rows) => rows.iter().for_each(|(sequence, change, chain)| {
                self.hash(
                    CHANGES,
                    &[&sequence.to_le_bytes(), &encode_log(*chain, change)],
                );
            }),
            Part::Entries(rows) => rows
                .iter()
                .for_each(|(name, entry)| self.hash(ENTRIES, &[&encode_entry(*name, entry)])),
            Part::Owners(rows) => rows
                .iter()
                .for_each(|(owner, name)| self.hash(OWNERS, &[&owner_key(*owner, *name)])),
            Part::Head(head) => self.hash(HEAD, &[&head.encode()]),
        }
    }

    fn hash(&mut self, section: usize, fields: &[&[u8]]) {
        if let Some(hash) = self.hashes.get_mut(section) {
            for field in fields {
                hash.update((field.len() as u64).to_le_bytes());
                hash.update(field);
            }
        }
    }

    /// What is not the same in another one, of these sections.
    pub(super) fn difference(&self, other: &Self, sections: &[usize]) -> Option<&'static str> {
        let differing = sections.iter().find(|section| {
            let hash = |summary: &Self| {
                let hash = summary.hashes.get(**section).cloned();
                hash.map(Sha256::finalize)
            };
            hash(self) != hash(other)
        });
        differing.and_then(|section| SECTIONS.get(*section).copied())
    }
}
