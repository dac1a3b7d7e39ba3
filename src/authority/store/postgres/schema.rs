//! The tables, and their version.
//!
//! Texts and keys are `bytea`: a name may have any character, and none is compared by a language's
//! rules. Rows are as the embedded engine has them, and sealed as there.

use std::sync::Arc;

use tokio_postgres::Client;
use tokio_postgres::types::Type;

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::{copying, vault};
use crate::authority::store::StoreError;
use crate::authority::store::error::DatabaseError;
use crate::authority::store::rows::FILTER_KEY;

/// The version of the tables that this program reads and writes.
pub(super) const VERSION: i32 = 2;

/// What two programs that make the tables at the same time wait for; the number is arbitrary.
const LOCK: &str = "SELECT pg_advisory_xact_lock(7238155302)";

/// From the catalogue itself: `to_regclass` answers from a cache of the session, which behind a pooler is the
/// session that was asked before another program made the tables.
const HAS_TABLES: &str = "SELECT EXISTS (SELECT FROM pg_catalog.pg_tables
    WHERE schemaname = 'portcullis' AND tablename = 'version')";

/// A table that the role must not use as it has to.
const MISSING_RIGHT: &str = "SELECT tables.name FROM unnest(ARRAY['entries', 'owners', 'issuers',
        'log', 'staged', 'settings', 'state', 'journal', 'lease', 'generations', 'segments',
        'edges']) AS tables (name),
    unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS rights (name)
    WHERE NOT has_table_privilege('portcullis.' || tables.name, rights.name) LIMIT 1";

const READ_VERSION: &str = "SELECT version FROM portcullis.version";

/// The row of `state` changes with every commit, and that of `lease` with every renewal, so their pages
/// have room for many versions of them, and none of these needs an index.
const CREATE: &str = "
CREATE SCHEMA IF NOT EXISTS portcullis;
CREATE TABLE portcullis.version (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    version integer NOT NULL
);
CREATE TABLE portcullis.state (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    commits bigint NOT NULL,
    sequence bigint NOT NULL,
    chain bytea NOT NULL
) WITH (fillfactor = 10);
CREATE TABLE portcullis.entries (
    name bytea PRIMARY KEY,
    sequence bigint NOT NULL UNIQUE,
    content bytea NOT NULL
);
CREATE TABLE portcullis.owners (key bytea PRIMARY KEY);
CREATE TABLE portcullis.issuers (issuer bytea PRIMARY KEY);
CREATE TABLE portcullis.log (sequence bigint PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE portcullis.staged (number bigint PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE portcullis.settings (name text PRIMARY KEY, content bytea NOT NULL);
INSERT INTO portcullis.version (version) VALUES (1);
INSERT INTO portcullis.state (commits, sequence, chain)
    VALUES (0, 0, decode(repeat('00', 32), 'hex'));
";

/// Removes what only the first version had. A program of that version that is still at work fails with
/// this, rather than write what others would not hear of.
const REMOVE_LEASE_OF_VERSION_1: &str = "
ALTER TABLE portcullis.state
    DROP COLUMN fence, DROP COLUMN holder, DROP COLUMN url, DROP COLUMN lease_milliseconds,
    DROP COLUMN renewals, DROP COLUMN expires_at;
";

/// Answers with a row while a program of version 1 may answer from memory, which others would not hear of.
const AT_WORK_ON_VERSION_1: &str = "SELECT 1 FROM portcullis.state
    WHERE holder <> '' AND expires_at > clock_timestamp() FOR UPDATE";

/// From version 1 to 2. The last commit gets its row in the journal, from which others follow. What is in
/// `segments` does not get smaller by compression.
const TO_VERSION_2: &str = "
ALTER TABLE portcullis.state
    ADD COLUMN line bigint NOT NULL DEFAULT 0,
    ADD COLUMN mark bytea NOT NULL DEFAULT decode(repeat('00', 16), 'hex'),
    ADD COLUMN touches bigint NOT NULL DEFAULT 0;
CREATE TABLE portcullis.journal (
    commit bigint PRIMARY KEY,
    mark bytea NOT NULL,
    content bytea NOT NULL
);
INSERT INTO portcullis.journal (commit, mark, content)
    SELECT commits, mark, decode('00', 'hex') FROM portcullis.state WHERE commits > 0;
CREATE TABLE portcullis.lease (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    fence bigint NOT NULL,
    holder bytea NOT NULL,
    url text NOT NULL,
    lease_milliseconds bigint NOT NULL,
    renewals bigint NOT NULL
) WITH (fillfactor = 10);
INSERT INTO portcullis.lease (fence, holder, url, lease_milliseconds, renewals)
    VALUES (0, '', '', 0, 0);
CREATE TABLE portcullis.generations (number bigint PRIMARY KEY, content bytea NOT NULL);
CREATE TABLE portcullis.segments (
    generation bigint NOT NULL,
    position integer NOT NULL,
    content bytea NOT NULL,
    PRIMARY KEY (generation, position)
);
ALTER TABLE portcullis.segments ALTER COLUMN content SET STORAGE EXTERNAL;
CREATE TABLE portcullis.edges (
    replica bytea PRIMARY KEY,
    content bytea NOT NULL,
    said_at timestamptz NOT NULL
) WITH (fillfactor = 50);
UPDATE portcullis.version SET version = 2;
";

/// What became of the tables when they were asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Migrated {
    /// It has made the tables.
    Made,
    /// It has brought those of an earlier version up to date.
    Updated,
    /// They were there already.
    Current,
}

/// Makes the tables where there are none, and brings those of an earlier version up to date.
///
/// # Errors
///
/// [`DatabaseError::Version`] when they are of a later version, and any other.
pub(super) fn migrate(connector: &Arc<Connector>) -> Result<Migrated, StoreError> {
    let client = connector.connected()?;
    let mut key = [0; 16];
    getrandom::fill(&mut key).map_err(StoreError::Random)?;
    let key = connector.vault().sealed(FILTER_KEY, key.to_vec())?;
    let made = connector.wait(STATEMENT_LIMIT, make(client, key));
    match made {
        Ok(Ok(made)) => Ok(made),
        Ok(Err(error)) => Err(error.into()),
        Err(fault) => Err(DatabaseError::NoTables(Some(fault.into())).into()),
    }
}

async fn make(client: Arc<Client>, key: Vec<u8>) -> Result<Result<Migrated, DatabaseError>, Fault> {
    client.batch_execute("BEGIN").await?;
    client.batch_execute(LOCK).await?;
    match version(&client).await? {
        Some(1) => {
            if !client
                .query_typed(AT_WORK_ON_VERSION_1, &[])
                .await?
                .is_empty()
            {
                client.batch_execute("ROLLBACK").await?;
                return Ok(Err(DatabaseError::AtWork));
            }
            client.batch_execute(REMOVE_LEASE_OF_VERSION_1).await?;
            client.batch_execute(TO_VERSION_2).await?;
            client.batch_execute("COMMIT").await?;
            return Ok(Ok(Migrated::Updated));
        }
        Some(found) => {
            client.batch_execute("ROLLBACK").await?;
            return Ok(if found == VERSION {
                Ok(Migrated::Current)
            } else {
                Err(other_version(found))
            });
        }
        None => {}
    }
    client.batch_execute(CREATE).await?;
    client.batch_execute(TO_VERSION_2).await?;
    client
        .query_typed(
            "INSERT INTO portcullis.settings (name, content) VALUES ($1, $2)",
            &[(&FILTER_KEY, Type::TEXT), (&key, Type::BYTEA)],
        )
        .await?;
    client.batch_execute("COMMIT").await?;
    Ok(Ok(Migrated::Made))
}

/// The version of the tables, if there are any.
async fn version(client: &Client) -> Result<Option<i32>, Fault> {
    let row = client.query_typed(HAS_TABLES, &[]).await?;
    let has_tables: bool = row.first().ok_or(Fault::Row)?.try_get(0)?;
    if !has_tables {
        return Ok(None);
    }
    let row = client.query_typed(READ_VERSION, &[]).await?;
    Ok(Some(row.first().ok_or(Fault::Row)?.try_get(0)?))
}

/// Expects the tables of this version; makes them where there are none.
///
/// # Errors
///
/// [`DatabaseError`].
pub(super) fn expect(connector: &Arc<Connector>) -> Result<(), StoreError> {
    if has_tables(connector)? {
        expect_rights(connector)?;
        return copying::expect_none_begun(connector);
    }
    if migrate(connector)? == Migrated::Made {
        tracing::info!("made the tables of the store in the database");
    }
    Ok(())
}

/// Expects the tables of this version, if there are any.
///
/// # Errors
///
/// [`DatabaseError`].
pub(super) fn has_tables(connector: &Arc<Connector>) -> Result<bool, StoreError> {
    let client = connector.connected()?;
    let reading = Arc::clone(&client);
    let found = connector.wait(STATEMENT_LIMIT, async move { version(&reading).await });
    match found {
        Ok(Some(VERSION)) => vault::expect(connector, client).map(|()| true),
        Ok(Some(found)) => Err(other_version(found).into()),
        Ok(None) => Ok(false),
        Err(fault) if fault.lacks_tables() => {
            Err(DatabaseError::NoTables(Some(fault.into())).into())
        }
        Err(fault) => Err(DatabaseError::Unreachable(fault.into()).into()),
    }
}

/// Expects the role to have the right to all that it has to do: one that was given rights to the tables of an
/// earlier version lacks those to later ones.
fn expect_rights(connector: &Arc<Connector>) -> Result<(), StoreError> {
    let client = connector.for_reading()?;
    let asking = Arc::clone(&client);
    let found = connector.wait(STATEMENT_LIMIT, async move {
        let rows = asking.query_typed(MISSING_RIGHT, &[]).await?;
        let missing: Option<String> = rows.first().map(|row| row.try_get(0)).transpose()?;
        Ok(missing)
    });
    let missing = found.map_err(|fault| DatabaseError::Unreachable(fault.into()))?;
    connector.keep(client);
    match missing {
        Some(table) => Err(DatabaseError::NoRight(table).into()),
        None => Ok(()),
    }
}

const fn other_version(found: i32) -> DatabaseError {
    DatabaseError::Version {
        expected: VERSION,
        found,
    }
}
