//! Writing, inside one transaction of the database.
//!
//! What is written is gathered, and goes to the database in a few statements at the end, none of which waits
//! for the answer to the one before: others wait for the row of the state meanwhile. What is read is asked
//! for at once, but only for names that the index has: it was brought in step with the database when the
//! row of the state was locked.
//!
//! An entry that the index lacks is added without a look at what is there, which takes the database half as
//! long. Only damage makes that wrong, as where the entry could not be read and was dropped from memory: then
//! the transaction fails, and the next one looks.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::Postgres;
use super::connection::{Fault, STATEMENT_LIMIT, in_one_way};
use super::journal::Touched;
use super::row::{first_bytes, query, seal, signed};
use super::state::{Mark, Standing};
use super::vault::SETTING;
use crate::authority::entry::Entry;
use crate::authority::index::ByFingerprint;
use crate::authority::store::engine::Transaction;
use crate::authority::store::error::DatabaseError;
use crate::authority::store::rows::{decode_entry, encode_log, owner_key};
use crate::authority::store::seal::Section;
use crate::authority::store::{Head, StoreError};
use crate::revocation::{Change, Fingerprint};

mod statements;

use statements::of_journal;

/// A transaction whose row of the state is locked.
pub(super) struct OpenTransaction<'t> {
    engine: &'t Postgres,
    client: Arc<Client>,
    /// The commit before.
    before: u64,
    head: Head,
    /// Entries that were asked for; `None` for one that is damaged.
    fetched: ByFingerprint<Option<Entry>>,
    /// Entries that are written, or removed.
    entries: ByFingerprint<Option<Entry>>,
    owners: HashMap<[u8; 32], bool>,
    issuers: BTreeSet<String>,
    log: Vec<(u64, Vec<u8>)>,
    /// Names that the log has by this transaction.
    logged: HashSet<Fingerprint>,
    trimmed: Option<u64>,
    settings: BTreeMap<String, Vec<u8>>,
    staged: BTreeMap<u64, Option<Vec<u8>>>,
    is_unstaged: bool,
}

impl<'t> OpenTransaction<'t> {
    pub(super) fn new(engine: &'t Postgres, client: Arc<Client>, before: Standing) -> Self {
        Self {
            engine,
            client,
            before: before.commits,
            head: before.head,
            fetched: ByFingerprint::default(),
            entries: ByFingerprint::default(),
            owners: HashMap::new(),
            issuers: BTreeSet::new(),
            log: Vec::new(),
            logged: HashSet::new(),
            trimmed: None,
            settings: BTreeMap::new(),
            staged: BTreeMap::new(),
            is_unstaged: false,
        }
    }

    /// Writes everything, a row of the journal, and the state as of one commit more; returns how far the
    /// store will have come.
    pub(super) fn finish(self, mark: Mark) -> Result<Standing, StoreError> {
        let engine = self.engine;
        let standing = Standing {
            commits: self.before.saturating_add(1),
            mark,
            head: self.head,
        };
        let client = Arc::clone(&self.client);
        let touched = self.touched();
        let mut statements = self.statements()?;
        of_journal(standing, &touched, &mut statements)?;
        statements.push((
            "UPDATE portcullis.state SET commits = $1, mark = $2, sequence = $3, chain = $4
            WHERE is_only",
            vec![
                (Box::new(signed(standing.commits)?), Type::INT8),
                (Box::new(mark.0.to_vec()), Type::BYTEA),
                (Box::new(signed(standing.head.sequence)?), Type::INT8),
                (Box::new(standing.head.chain.0.to_vec()), Type::BYTEA),
            ],
        ));
        let written = engine.connector.wait(STATEMENT_LIMIT, async move {
            let statements = statements.iter();
            in_one_way(statements.map(|(statement, rows)| query(&client, statement, rows))).await
        });
        match written {
            Ok(_) => Ok(standing),
            Err(fault) if fault.has_clashed() => {
                engine.has_clashed.store(true, Ordering::Relaxed);
                Err(DatabaseError::Interrupted(fault.into()).into())
            }
            Err(fault) => Err(fault.before_commit()),
        }
    }

    /// What others cannot tell from the log.
    fn touched(&self) -> Touched {
        let names = self
            .entries
            .keys()
            .filter(|name| !self.logged.contains(*name));
        Touched {
            names: names.copied().collect(),
            has_settings: !self.settings.is_empty(),
        }
    }

    /// Asks for entries that the index has.
    fn fetch(&self, names: Vec<Fingerprint>) -> Result<ByFingerprint<Option<Entry>>, StoreError> {
        let client = Arc::clone(&self.client);
        let asked: Vec<Vec<u8>> = names.iter().map(|name| name.0.to_vec()).collect();
        let rows = self.engine.connector.wait(STATEMENT_LIMIT, async move {
            let rows = client
                .query_typed(
                    "SELECT name, content FROM portcullis.entries WHERE name = ANY($1)",
                    &[(&asked, Type::BYTEA_ARRAY)],
                )
                .await?;
            let mut found = Vec::with_capacity(rows.len());
            for row in rows {
                let name: Vec<u8> = row.try_get(0)?;
                let content: Vec<u8> = row.try_get(1)?;
                found.push((name, content));
            }
            Ok(found)
        });
        let seal = seal(Section::Entries, self.engine.filter_key);
        // One that the index has, and the database has not, is lost.
        let mut fetched: ByFingerprint<Option<Entry>> =
            names.into_iter().map(|name| (name, None)).collect();
        for (name, content) in rows.map_err(Fault::before_commit)? {
            let name = Fingerprint(name.try_into().map_err(|_| StoreError::Row)?);
            let row = seal.opened(&name.0, &content).and_then(decode_entry);
            let entry = row.ok().filter(|(found, _)| *found == name);
            fetched.insert(name, entry.map(|(_, entry)| entry));
        }
        Ok(fetched)
    }
}

impl Transaction for OpenTransaction<'_> {
    fn head(&self) -> Result<Head, StoreError> {
        Ok(self.head)
    }

    fn expect(&mut self, names: &[Fingerprint]) -> Result<(), StoreError> {
        let names = names.iter().filter(|name| {
            !self.entries.contains_key(*name)
                && !self.fetched.contains_key(*name)
                && self.engine.known.index().sequence_of(**name).is_some()
        });
        let names: Vec<Fingerprint> = names.copied().collect();
        if !names.is_empty() {
            let fetched = self.fetch(names)?;
            self.fetched.extend(fetched);
        }
        Ok(())
    }

    fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        if let Some(written) = self.entries.get(&name) {
            return Ok(written.clone());
        }
        if let Some(fetched) = self.fetched.get(&name) {
            return fetched.clone().map(Some).ok_or(StoreError::Row);
        }
        if self.engine.known.index().sequence_of(name).is_none() {
            return Ok(None);
        }
        let mut fetched = self.fetch(vec![name])?;
        let entry = fetched.remove(&name).flatten();
        entry.map(Some).ok_or(StoreError::Row)
    }

    fn put_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
        entry: &Entry,
    ) -> Result<(), StoreError> {
        if let Some(owner) = owner {
            self.owners.insert(owner_key(owner, name), true);
        }
        self.issuers.insert(entry.target.issuer.clone());
        self.entries.insert(name, Some(entry.clone()));
        Ok(())
    }

    fn remove_entry(
        &mut self,
        name: Fingerprint,
        owner: Option<Fingerprint>,
    ) -> Result<(), StoreError> {
        let is_there = match self.entries.get(&name) {
            Some(written) => written.is_some(),
            None => self.engine.known.index().sequence_of(name).is_some(),
        };
        if !is_there {
            return Err(StoreError::Row);
        }
        self.entries.insert(name, None);
        if let Some(owner) = owner {
            self.owners.insert(owner_key(owner, name), false);
        }
        Ok(())
    }

    fn append(&mut self, head: Head, change: &Change) -> Result<(), StoreError> {
        self.log
            .push((head.sequence, encode_log(head.chain, change)));
        self.logged.insert(change.fingerprint());
        self.head = head;
        Ok(())
    }

    fn trim_log(&mut self, through: u64) -> Result<(), StoreError> {
        self.log.retain(|(sequence, _)| *sequence > through);
        self.trimmed = self.trimmed.max(Some(through));
        Ok(())
    }

    fn setting(&self, name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        if let Some(written) = self.settings.get(name) {
            return Ok(Some(written.clone()));
        }
        let (client, asked) = (Arc::clone(&self.client), name.to_owned());
        let found = self.engine.connector.wait(STATEMENT_LIMIT, async move {
            let rows = client.query_typed(SETTING, &[(&asked, Type::TEXT)]).await?;
            first_bytes(&rows)
        });
        let sealed = found.map_err(Fault::before_commit)?;
        let vault = self.engine.connector.vault();
        sealed.map(|sealed| vault.opened(name, &sealed)).transpose()
    }

    fn expect_keeper(&self) -> Result<(), StoreError> {
        let not_keeper = || DatabaseError::NotKeeper;
        let token = self.engine.presence.keeper.token().ok_or_else(not_keeper)?;
        let client = Arc::clone(&self.client);
        let found = self.engine.connector.wait(STATEMENT_LIMIT, async move {
            // Shared, so that the lease does not pass on before this transaction has ended.
            let statement = "SELECT fence FROM portcullis.lease
                WHERE is_only AND fence = $1 AND holder = $2 FOR SHARE";
            let asked = [
                (&token.fence as _, Type::INT8),
                (&token.holder as _, Type::BYTEA),
            ];
            Ok(client.query_typed(statement, &asked).await?.len())
        });
        match found.map_err(Fault::before_commit)? {
            1 => Ok(()),
            _ => Err(not_keeper().into()),
        }
    }

    fn expect_generation(&self, number: u64) -> Result<(), StoreError> {
        let (client, number) = (Arc::clone(&self.client), signed(number)?);
        let found = self.engine.connector.wait(STATEMENT_LIMIT, async move {
            let statement = "SELECT number FROM portcullis.generations WHERE number = $1";
            let rows = client
                .query_typed(statement, &[(&number, Type::INT8)])
                .await?;
            Ok(rows.len())
        });
        match found.map_err(Fault::before_commit)? {
            1 => Ok(()),
            _ => Err(StoreError::Row),
        }
    }

    fn put_setting(&mut self, name: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        self.settings.insert(name.to_owned(), bytes);
        Ok(())
    }

    fn stage(&mut self, number: u64, part: Vec<u8>) -> Result<(), StoreError> {
        self.staged.insert(number, Some(part));
        Ok(())
    }

    fn unstage(&mut self, number: u64) -> Result<(), StoreError> {
        self.staged.insert(number, None);
        Ok(())
    }

    fn unstage_all(&mut self) -> Result<(), StoreError> {
        self.staged.clear();
        self.is_unstaged = true;
        Ok(())
    }
}
