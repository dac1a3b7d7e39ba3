//! Writing, inside one transaction of redb.

use redb::WriteTransaction;

use super::tables::Tables;
use super::{Embedded, Head, StoreError};
use crate::authority::entry::Entry;
use crate::authority::index::{ByFingerprint, Index};
use crate::authority::store::engine::Transaction;
use crate::authority::store::rows::{HEAD, decode_entry, encode_entry, encode_log, owner_key};
use crate::revocation::{Change, Fingerprint};

/// A transaction with its tables open.
pub(super) struct OpenTransaction<'t> {
    tables: Tables<'t>,
    /// The head as of the last commit.
    last_head: Head,
    head: Head,
    /// The last issuer seen, to avoid looking it up again.
    last_issuer: String,
    index: &'t Index,
    /// The keys of rows that this transaction has written or removed, by name. The index is told of
    /// them once they are on the disk.
    moved: ByFingerprint<Option<u64>>,
}

impl<'t> OpenTransaction<'t> {
    pub(super) fn new(
        transaction: &'t WriteTransaction,
        engine: &'t Embedded,
    ) -> Result<Self, StoreError> {
        let tables = Tables::open(transaction, engine.filter_key)?;
        let head = tables.meta.get(&HEAD, Head::decode)?;
        let head = head.ok_or(StoreError::Row)?;
        Ok(Self {
            tables,
            last_head: head,
            head,
            last_issuer: String::new(),
            index: &engine.index,
            moved: ByFingerprint::default(),
        })
    }

    /// Writes head and ledger; returns the number of this commit, and the head after it.
    pub(super) fn finish(mut self) -> Result<(u64, Head), StoreError> {
        if self.head != self.last_head {
            self.tables.put_meta(HEAD, self.head.encode().to_vec())?;
        }
        Ok((self.tables.finish()?.commits, self.head))
    }

    fn row_of(&self, name: Fingerprint) -> Option<u64> {
        let moved = self.moved.get(&name).copied();
        moved.unwrap_or_else(|| self.index.sequence_of(name))
    }

    fn put_issuer(&mut self, issuer: &str) -> Result<(), StoreError> {
        if issuer == self.last_issuer {
            return Ok(());
        }
        issuer.clone_into(&mut self.last_issuer);
        let tables = &mut self.tables;
        if tables.issuers.get(&issuer, |_| Ok(()))?.is_none() {
            tables
                .issuers
                .insert(&mut tables.ledger, &issuer, Vec::new())?;
        }
        Ok(())
    }
}

impl Transaction for OpenTransaction<'_> {
    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    /// A row that is not under its key is lost.
    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        let Some(sequence) = self.row_of(name) else {
            return Ok(None);
        };
        let (found, entry) = self
            .tables
            .entries
            .get(&sequence, decode_entry)?
            .ok_or(StoreError::Row)?;
        if found != name {
            return Err(StoreError::Row);
        }
        Ok(Some(entry))
    }

    fn put_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        let old = self.row_of(name).filter(|old| *old != entry.sequence);
        let tables = &mut self.tables;
        if let Some(old) = old {
            tables.entries.remove(&mut tables.ledger, &old)?;
        }
        if let Some(owner) = owner {
            let owner = owner_key(owner, name);
            tables
                .subjects
                .insert(&mut tables.ledger, &&owner, Vec::new())?;
        }
        let row = encode_entry(name, entry);
        tables
            .entries
            .insert(&mut tables.ledger, &entry.sequence, row)?;
        self.moved.insert(name, Some(entry.sequence));
        self.put_issuer(&entry.target.issuer)
    }

    fn remove_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        let row = self.row_of(name).ok_or(StoreError::Row)?;
        let tables = &mut self.tables;
        tables.entries.remove(&mut tables.ledger, &row)?;
        self.moved.insert(name, None);
        if let Some(owner) = owner {
            let owner = owner_key(owner, name);
            tables
                .subjects
                .remove_if_there(&mut tables.ledger, &&owner)?;
        }
        Ok(())
    }

    fn append(&mut self, head: Head, change: &Change) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        let row = encode_log(head.chain, change);
        tables.log.insert(&mut tables.ledger, &head.sequence, row)?;
        self.head = head;
        Ok(())
    }

    fn trim_log(&mut self, through: u64) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        tables.log.remove_up_to(&mut tables.ledger, through)
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.tables.meta.get(&name, |bytes| Ok(bytes.to_vec()))
    }

    fn put_setting(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.tables.put_meta(name, bytes)
    }

    fn stage(&mut self, number: u64, part: Vec<u8>) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        tables.staged.insert(&mut tables.ledger, &number, part)
    }

    fn unstage(&mut self, number: u64) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        tables.staged.remove_if_there(&mut tables.ledger, &number)
    }

    fn unstage_all(&mut self) -> Result<(), StoreError> {
        let tables = &mut self.tables;
        tables.staged.clear(&mut tables.ledger)
    }
}
