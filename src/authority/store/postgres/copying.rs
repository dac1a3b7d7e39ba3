//! Copying a whole store out of a database, and into one.
//!
//! What is copied into a database is one transaction, in which it is read back as well. A setting that
//! was committed before says that a copy has begun, until the same transaction removes it.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::journal::Touched;
use super::row::{PUT_CHANGES, Parameter, at_most, query, seal, signed, unsigned};
use super::snapshot::{OpenSnapshot, column, failed};
use super::state::Mark;
use super::{Database, DatabaseAddress, begin_reading, end_reading, schema, unreachable, vault};
use crate::authority::entry::Entry;
use crate::authority::store::copying::{
    self, CopyError, Next, PAGE, Part, Reading, Source, Target, Whole,
};
use crate::authority::store::engine::Snapshot;
use crate::authority::store::error::DatabaseError;
use crate::authority::store::rows::{FILTER_KEY, encode_entry, encode_log, owner_key};
use crate::authority::store::seal::Section;
use crate::authority::store::{Head, StoreError};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

/// The setting that says that a copy has begun.
const COPYING: &str = "copying";

/// The transaction may be long; only where its connection is lost without a word must it not hold the
/// store for ever.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL idle_in_transaction_session_timeout = '60s';
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = 0;
SELECT set_config('transaction_timeout', '0', true)
    WHERE current_setting('transaction_timeout', true) IS NOT NULL;
SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local');
SELECT commits FROM portcullis.state WHERE is_only FOR UPDATE";

/// What reads it back in pages goes by what the database knows of the tables.
const ANALYZE: &str = "ANALYZE portcullis.entries, portcullis.owners, portcullis.log";

const ANALYZE_LIMIT: Duration = Duration::from_mins(5);

/// A synchronous standby has to have all of it.
const COMMIT_LIMIT: Duration = Duration::from_mins(10);

const PUT_SETTINGS: &str = "INSERT INTO portcullis.settings (name, content)
    SELECT * FROM unnest($1::text[], $2::bytea[])
    ON CONFLICT (name) DO UPDATE SET content = excluded.content";

const PUT_HEAD: &str =
    "UPDATE portcullis.state SET commits = commits + 1, sequence = $1, chain = $2, mark = $3
    WHERE is_only";

/// So that an authority which is there already hears of it.
const PUT_JOURNAL: &str = "INSERT INTO portcullis.journal (commit, mark, content)
    SELECT commits, mark, $1 FROM portcullis.state WHERE is_only";

/// The store in a database, to be copied.
pub(in crate::authority::store) struct Original {
    connector: Arc<Connector>,
}

/// Tables without a store, to be copied into.
pub(in crate::authority::store) struct Fresh {
    connector: Arc<Connector>,
    /// In the transaction.
    client: Arc<Client>,
}

impl Original {
    /// A database that has a store in it. That no authority is at work on it is for the caller to see to.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::authority::store) fn open(address: DatabaseAddress) -> Result<Self, StoreError> {
        let connector = Database::of(address)?.connector;
        let nothing = || CopyError::Nothing(connector.place().to_owned());
        if !schema::has_tables(&connector)? {
            return Err(nothing().into());
        }
        expect_none_begun(&connector)?;
        let original = Self {
            connector: Arc::clone(&connector),
        };
        original.read(&mut |whole| {
            if copying::is_empty(whole)? {
                return Err(nothing().into());
            }
            Ok(())
        })?;
        Ok(original)
    }
}

impl Source for Original {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        let client = self.connector.for_reading()?;
        begin_reading(&self.connector, &client).map_err(unreachable)?;
        work(&OpenSnapshot::with_own_key(&self.connector, &client)?)?;
        end_reading(&self.connector, client);
        Ok(())
    }
}

impl Fresh {
    /// A database without a store, with tables, which are made where there are none.
    ///
    /// # Errors
    ///
    /// [`CopyError::NotEmpty`], and others.
    pub(in crate::authority::store) fn open(address: DatabaseAddress) -> Result<Self, StoreError> {
        let connector = Database::of(address)?.connector;
        schema::migrate(&connector)?;
        vault::expect(&connector, connector.connected()?)?;
        let client = connector.connected()?;
        let fresh = Self { connector, client };
        fresh.begin()?;
        fresh.settings(vec![(COPYING.to_owned(), Vec::new())])?;
        fresh.commit()?;
        fresh.begin()?;
        Ok(fresh)
    }

    /// Begins a transaction in which no other writes, and there is no store.
    fn begin(&self) -> Result<(), StoreError> {
        self.batch(BEGIN, STATEMENT_LIMIT)?;
        let snapshot = OpenSnapshot::with_own_key(&self.connector, &self.client)?;
        if copying::is_empty(&snapshot)? {
            Ok(())
        } else {
            Err(CopyError::NotEmpty(self.connector.place().to_owned()).into())
        }
    }

    fn commit(&self) -> Result<(), StoreError> {
        let committed = self.connector.execute(COMMIT_LIMIT, &self.client, "COMMIT");
        committed.map_err(|fault| {
            if fault.has_undone() {
                fault.before_commit()
            } else {
                DatabaseError::Unsure(fault.into()).into()
            }
        })
    }

    fn batch(&self, statements: &'static str, limit: Duration) -> Result<(), StoreError> {
        let done = self.connector.execute(limit, &self.client, statements);
        done.map_err(Fault::before_commit)
    }

    fn write(&self, statement: &'static str, rows: Vec<Parameter>) -> Result<(), StoreError> {
        let client = Arc::clone(&self.client);
        let written = self.connector.wait(STATEMENT_LIMIT, async move {
            query(&client, statement, &rows).await?;
            Ok(())
        });
        written.map_err(Fault::before_commit)
    }

    fn settings(&self, settings: Vec<(String, Vec<u8>)>) -> Result<(), StoreError> {
        let (mut names, mut contents) = (Vec::new(), Vec::new());
        for (name, bytes) in settings {
            contents.push(self.connector.vault().sealed(&name, bytes)?);
            names.push(name);
        }
        let names: Parameter = (Box::new(names), Type::TEXT_ARRAY);
        self.write(PUT_SETTINGS, vec![names, bytes(contents)])
    }

    fn put(&self, key: FilterKey, part: Part) -> Result<(), StoreError> {
        match part {
            Part::Settings(settings) => self.settings(settings),
            Part::Issuers(issuers) => {
                let issuers = issuers.into_iter().map(String::into_bytes).collect();
                self.write(
                    "INSERT INTO portcullis.issuers (issuer) SELECT * FROM unnest($1::bytea[])",
                    vec![bytes(issuers)],
                )
            }
            Part::Staged(number, part) => {
                let content = seal(Section::Staged, key).sealed(&number.to_le_bytes(), part);
                self.write(
                    "INSERT INTO portcullis.staged (number, content)
                    SELECT * FROM unnest($1::bigint[], $2::bytea[])",
                    vec![numbers(vec![signed(number)?]), bytes(vec![content])],
                )
            }
            Part::Changes(changes) => self.put_changes(key, &changes),
            Part::Entries(entries) => self.put_entries(key, &entries),
            Part::Owners(owners) => {
                let keys = owners.into_iter();
                let keys = keys.map(|(owner, name)| owner_key(owner, name).to_vec());
                self.write(
                    "INSERT INTO portcullis.owners (key) SELECT * FROM unnest($1::bytea[])",
                    vec![bytes(keys.collect())],
                )
            }
            Part::Head(head) => self.put_head(head),
        }
    }

    fn put_head(&self, head: Head) -> Result<(), StoreError> {
        let mark = Mark::make().map_err(StoreError::Random)?;
        let state: Vec<Parameter> = vec![
            (Box::new(signed(head.sequence)?), Type::INT8),
            (Box::new(head.chain.0.to_vec()), Type::BYTEA),
            (Box::new(mark.0.to_vec()), Type::BYTEA),
        ];
        self.write(PUT_HEAD, state)?;
        let touched = Touched {
            has_settings: true,
            ..Touched::default()
        };
        self.write(PUT_JOURNAL, vec![(Box::new(touched.encode()), Type::BYTEA)])
    }

    fn put_changes(
        &self,
        key: FilterKey,
        changes: &[(u64, Change, Chain)],
    ) -> Result<(), StoreError> {
        let seal = seal(Section::Log, key);
        let (mut sequences, mut contents) = (Vec::new(), Vec::new());
        for (sequence, change, chain) in changes {
            sequences.push(signed(*sequence)?);
            let row = encode_log(*chain, change);
            contents.push(seal.sealed(&sequence.to_le_bytes(), row));
        }
        self.write(PUT_CHANGES, vec![numbers(sequences), bytes(contents)])
    }

    fn put_entries(
        &self,
        key: FilterKey,
        entries: &[(Fingerprint, Entry)],
    ) -> Result<(), StoreError> {
        let seal = seal(Section::Entries, key);
        let (mut names, mut sequences, mut contents) = (Vec::new(), Vec::new(), Vec::new());
        for (name, entry) in entries {
            sequences.push(signed(entry.sequence)?);
            contents.push(seal.sealed(&name.0, encode_entry(*name, entry)));
            names.push(name.0.to_vec());
        }
        self.write(
            "INSERT INTO portcullis.entries (name, sequence, content)
            SELECT * FROM unnest($1::bytea[], $2::bigint[], $3::bytea[])",
            vec![bytes(names), numbers(sequences), bytes(contents)],
        )
    }
}

impl Source for Fresh {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        work(&OpenSnapshot::with_own_key(&self.connector, &self.client)?)
    }
}

impl Target for Fresh {
    fn fill(&mut self, key: FilterKey, next: Next<'_>) -> Result<(), StoreError> {
        self.settings(vec![(FILTER_KEY.to_owned(), key.bytes().to_vec())])?;
        while let Some(part) = next()? {
            self.put(key, part)?;
        }
        self.batch(ANALYZE, ANALYZE_LIMIT)
    }

    fn keep(self: Box<Self>) -> Result<(), StoreError> {
        let name: Parameter = (Box::new(COPYING), Type::TEXT);
        self.write(
            "DELETE FROM portcullis.settings WHERE name = $1",
            vec![name],
        )?;
        self.commit()
    }
}

/// Refuses a database into which a copy was begun that is not there.
///
/// # Errors
///
/// [`CopyError::BrokenOff`], and others.
pub(super) fn expect_none_begun(connector: &Arc<Connector>) -> Result<(), StoreError> {
    let client = connector.for_reading()?;
    let asking = Arc::clone(&client);
    let rows = connector.wait(STATEMENT_LIMIT, async move {
        Ok(asking
            .query_typed(vault::SETTING, &[(&COPYING, Type::TEXT)])
            .await?)
    });
    let is_begun = !rows.map_err(failed)?.is_empty();
    connector.keep(client);
    if is_begun {
        return Err(CopyError::BrokenOff(connector.place().to_owned()).into());
    }
    Ok(())
}

fn bytes(values: Vec<Vec<u8>>) -> Parameter {
    (Box::new(values), Type::BYTEA_ARRAY)
}

fn numbers(values: Vec<i64>) -> Parameter {
    (Box::new(values), Type::INT8_ARRAY)
}

fn limit() -> Parameter {
    (Box::new(at_most(PAGE as u64)), Type::INT8)
}

impl Whole for OpenSnapshot<'_> {
    fn filter_key(&self) -> Result<FilterKey, StoreError> {
        Ok(self.filter_key)
    }

    fn head(&self) -> Result<Head, StoreError> {
        Snapshot::head(self)
    }

    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let rows = self.ask(vault::SETTINGS, Vec::new())?;
        let mut settings = Vec::new();
        for row in &rows {
            let (name, content): (String, Vec<u8>) = (column(row, 0)?, column(row, 1)?);
            if ![FILTER_KEY, COPYING].contains(&name.as_str()) {
                let bytes = self.connector.vault().opened(&name, &content)?;
                settings.push((name, bytes));
            }
        }
        Ok(settings)
    }

    fn issuers(&self) -> Result<Vec<String>, StoreError> {
        Snapshot::issuers(self, usize::MAX)
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        Snapshot::staged(self, number)
    }

    fn changes(&self, first: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        self.changes_from(first, at_most(PAGE as u64))
    }

    fn entries(&self, first: u64) -> Result<Vec<(Fingerprint, Entry)>, StoreError> {
        let rows = self.ask(
            "SELECT sequence, name, content FROM portcullis.entries WHERE sequence >= $1
            ORDER BY sequence LIMIT $2",
            vec![(Box::new(at_most(first)), Type::INT8), limit()],
        )?;
        let rows = rows.iter().map(|row| {
            let sequence = unsigned(column(row, 0)?).map_err(failed)?;
            let (name, entry) = self.entry_in(row)?;
            if entry.sequence == sequence {
                Ok((name, entry))
            } else {
                Err(StoreError::Row)
            }
        });
        rows.collect()
    }

    fn owners(
        &self,
        after: Option<(Fingerprint, Fingerprint)>,
    ) -> Result<Vec<(Fingerprint, Fingerprint)>, StoreError> {
        let after = after.map_or(Vec::new(), |(owner, name)| owner_key(owner, name).to_vec());
        let rows = self.ask(
            "SELECT key FROM portcullis.owners WHERE key > $1 ORDER BY key LIMIT $2",
            vec![(Box::new(after), Type::BYTEA), limit()],
        )?;
        let rows = rows.iter().map(|row| {
            let key: Vec<u8> = column(row, 0)?;
            let key: [u8; 32] = key.try_into().map_err(|_| StoreError::Row)?;
            let (owner, name) = key.split_first_chunk().ok_or(StoreError::Row)?;
            let name = name.first_chunk().ok_or(StoreError::Row)?;
            Ok((Fingerprint(*owner), Fingerprint(*name)))
        });
        rows.collect()
    }
}
