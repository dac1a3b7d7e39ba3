//! Reading, inside one transaction of the database, and everything at the start.

use std::ops::ControlFlow;
use std::sync::Arc;

use tokio_postgres::types::{FromSqlOwned, Type};
use tokio_postgres::{Client, Row};

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::row::{Parameter, at_most, head, query, seal, unsigned};
use super::vault::SETTING;
use crate::authority::entry::Entry;
use crate::authority::history::History;
use crate::authority::index::Index;
use crate::authority::store::engine::Snapshot;
use crate::authority::store::error::DatabaseError;
use crate::authority::store::rows::{FILTER_KEY, decode_entry, decode_log, effect_of, owner_key};
use crate::authority::store::seal::Section;
use crate::authority::store::{Head, StoreError};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY;
SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL statement_timeout = '10s'";

/// Rows that are asked for at once.
const PAGE: i64 = 1_000;

/// The same, at the start.
const LARGE_PAGE: i64 = 20_000;

/// A transaction that reads.
pub(super) struct OpenSnapshot<'c> {
    pub(super) connector: &'c Arc<Connector>,
    pub(super) client: Arc<Client>,
    pub(super) filter_key: FilterKey,
}

impl<'c> OpenSnapshot<'c> {
    /// What a transaction that has begun sees, with the secret under which names are hashed in it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn with_own_key(
        connector: &'c Arc<Connector>,
        client: &Arc<Client>,
    ) -> Result<Self, StoreError> {
        let mut snapshot = Self {
            connector,
            client: Arc::clone(client),
            // What settings are sealed with does not depend on it.
            filter_key: FilterKey::new([0; 16]),
        };
        let key = snapshot.setting(FILTER_KEY)?.ok_or(StoreError::Row)?;
        let key = key.try_into().map_err(|_| StoreError::Row)?;
        snapshot.filter_key = FilterKey::new(key);
        Ok(snapshot)
    }

    pub(super) fn ask(
        &self,
        statement: &'static str,
        parameters: Vec<Parameter>,
    ) -> Result<Vec<Row>, StoreError> {
        let client = Arc::clone(&self.client);
        let rows = self.connector.wait(STATEMENT_LIMIT, async move {
            query(&client, statement, &parameters).await
        });
        rows.map_err(failed)
    }

    fn entry_of(&self, name: &[u8], content: &[u8]) -> Result<(Fingerprint, Entry), StoreError> {
        let row = seal(Section::Entries, self.filter_key).opened(name, content)?;
        let (found, entry) = decode_entry(row)?;
        if found.0 == name {
            Ok((found, entry))
        } else {
            Err(StoreError::Row)
        }
    }

    /// An entry in a row of sequence, name and content.
    pub(super) fn entry_in(&self, row: &Row) -> Result<(Fingerprint, Entry), StoreError> {
        let (name, content): (Vec<u8>, Vec<u8>) = (column(row, 1)?, column(row, 2)?);
        self.entry_of(&name, &content)
    }

    /// Everything that is kept in memory, of which the head of the feed is known.
    pub(super) fn load(&self, head: Head) -> Result<(Arc<Index>, History), StoreError> {
        let index = Arc::new(Index::new());
        self.load_entries(&index)?;
        Ok((index, History::new(head, self.log(0)?)))
    }

    fn load_entries(&self, index: &Index) -> Result<(), StoreError> {
        let seal = seal(Section::Entries, self.filter_key);
        let mut loader = index.loader();
        let mut last = -1;
        loop {
            let rows = self.ask(
                "SELECT sequence, name, content FROM portcullis.entries WHERE sequence > $1
                ORDER BY sequence LIMIT $2",
                vec![
                    (Box::new(last), Type::INT8),
                    (Box::new(LARGE_PAGE), Type::INT8),
                ],
            )?;
            for row in &rows {
                last = column(row, 0)?;
                let (name, content): (Vec<u8>, Vec<u8>) = (column(row, 1)?, column(row, 2)?);
                let row = seal.opened(&name, &content)?;
                let sequence = unsigned(last).map_err(failed)?;
                loader.add(effect_of(sequence, row, &self.filter_key)?);
            }
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    /// Changes of the feed from `first` on, at most `limit` of them, each with its number and the chain
    /// after it.
    pub(super) fn changes_from(
        &self,
        first: u64,
        limit: i64,
    ) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        let seal = seal(Section::Log, self.filter_key);
        let rows = self.ask(
            "SELECT sequence, content FROM portcullis.log WHERE sequence >= $1
            ORDER BY sequence LIMIT $2",
            vec![
                (Box::new(at_most(first)), Type::INT8),
                (Box::new(limit), Type::INT8),
            ],
        )?;
        let rows = rows.iter().map(|row| {
            let sequence = unsigned(column(row, 0)?).map_err(failed)?;
            let content: Vec<u8> = column(row, 1)?;
            let row = seal.opened(&sequence.to_le_bytes(), &content)?;
            let (change, chain) = decode_log(row)?;
            Ok((sequence, change, chain))
        });
        rows.collect()
    }
}

pub(super) fn column<T: FromSqlOwned>(row: &Row, index: usize) -> Result<T, StoreError> {
    row.try_get(index).map_err(|_| StoreError::Row)
}

pub(super) fn failed(fault: Fault) -> StoreError {
    match fault {
        Fault::Row => StoreError::Row,
        fault if fault.is_refusal() => DatabaseError::Refused(fault.into()).into(),
        fault => DatabaseError::Unreachable(fault.into()).into(),
    }
}

impl Snapshot for OpenSnapshot<'_> {
    fn head(&self) -> Result<Head, StoreError> {
        let rows = self.ask(
            "SELECT sequence, chain FROM portcullis.state WHERE is_only",
            Vec::new(),
        )?;
        let row = rows.first().ok_or(StoreError::Row)?;
        let chain: Vec<u8> = column(row, 1)?;
        head(column(row, 0)?, &chain).map_err(failed)
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        let rows = self.ask(SETTING, vec![(Box::new(name.to_owned()), Type::TEXT)])?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let content: Vec<u8> = column(row, 0)?;
        self.connector.vault().opened(name, &content).map(Some)
    }

    fn log(&self, after: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        self.changes_from(after.saturating_add(1), i64::MAX)
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        let rows = self.ask(
            "SELECT number, content FROM portcullis.staged WHERE number >= $1
            ORDER BY number LIMIT 1",
            vec![(Box::new(at_most(number)), Type::INT8)],
        )?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let number = unsigned(column(row, 0)?).map_err(failed)?;
        let content: Vec<u8> = column(row, 1)?;
        let part =
            seal(Section::Staged, self.filter_key).opened(&number.to_le_bytes(), &content)?;
        Ok(Some((number, part.to_vec())))
    }

    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        let rows = self.ask(
            "SELECT content FROM portcullis.entries WHERE name = $1",
            vec![(Box::new(name.0.to_vec()), Type::BYTEA)],
        )?;
        let Some(row) = rows.first() else {
            return Ok(None);
        };
        let content: Vec<u8> = column(row, 0)?;
        Ok(Some(self.entry_of(&name.0, &content)?.1))
    }

    fn newest(
        &self,
        before: u64,
        visit: &mut dyn FnMut(Fingerprint, Entry) -> ControlFlow<()>,
    ) -> Result<(), StoreError> {
        let mut before = at_most(before);
        loop {
            let rows = self.ask(
                "SELECT sequence, name, content FROM portcullis.entries WHERE sequence < $1
                ORDER BY sequence DESC LIMIT $2",
                vec![(Box::new(before), Type::INT8), (Box::new(PAGE), Type::INT8)],
            )?;
            for row in &rows {
                before = column(row, 0)?;
                let (name, entry) = self.entry_in(row)?;
                if visit(name, entry).is_break() {
                    return Ok(());
                }
            }
            if rows.is_empty() {
                return Ok(());
            }
        }
    }

    fn owned(
        &self,
        owner: Fingerprint,
        first: Fingerprint,
        visit: &mut dyn FnMut(Fingerprint) -> Result<ControlFlow<()>, StoreError>,
    ) -> Result<(), StoreError> {
        let mut from = owner_key(owner, first).to_vec();
        let last = owner_key(owner, Fingerprint([u8::MAX; 16])).to_vec();
        loop {
            let rows = self.ask(
                "SELECT key FROM portcullis.owners WHERE key >= $1 AND key <= $2
                ORDER BY key LIMIT $3",
                vec![
                    (Box::new(from.clone()), Type::BYTEA),
                    (Box::new(last.clone()), Type::BYTEA),
                    (Box::new(PAGE), Type::INT8),
                ],
            )?;
            for row in &rows {
                from = column(row, 0)?;
                let name = from.last_chunk().copied().map(Fingerprint);
                if visit(name.ok_or(StoreError::Row)?)?.is_break() {
                    return Ok(());
                }
            }
            if rows.is_empty() {
                return Ok(());
            }
            // What follows the last one in the order of `bytea`.
            from.push(0);
        }
    }

    fn has_issuer(&self, issuer: &str) -> Result<bool, StoreError> {
        let rows = self.ask(
            "SELECT 1 FROM portcullis.issuers WHERE issuer = $1",
            vec![(Box::new(issuer.as_bytes().to_vec()), Type::BYTEA)],
        )?;
        Ok(!rows.is_empty())
    }

    fn issuers(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        let rows = self.ask(
            "SELECT issuer FROM portcullis.issuers ORDER BY issuer LIMIT $1",
            vec![(Box::new(at_most(limit as u64)), Type::INT8)],
        )?;
        let rows = rows.iter().map(|row| {
            let issuer: Vec<u8> = column(row, 0)?;
            String::from_utf8(issuer).map_err(|_| StoreError::Row)
        });
        rows.collect()
    }
}
