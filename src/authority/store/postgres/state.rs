//! The row of the state, which every commit locks: so all commits have one order.

use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connection::Fault;
use super::row::{first_bytes, head, unsigned};
use crate::authority::store::Head;

/// Set for each transaction that may hold the row of the state. A process that is stopped in the middle
/// of one must not keep others from committing. Without waiting for the disk, nothing would be
/// acknowledged that survives.
pub(super) const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE;
SET LOCAL idle_in_transaction_session_timeout = '3s';
SET LOCAL lock_timeout = '5s';
SET LOCAL statement_timeout = '10s';
SELECT set_config('synchronous_commit', 'on', true)
    WHERE current_setting('synchronous_commit') IN ('off', 'local')";

/// A timeout that strikes while the commit waits for a synchronous standby would end the wait, and the
/// database would then say that it is committed.
pub(super) const COMMIT: &str = "SET LOCAL statement_timeout = 0; COMMIT";

const LOCK: &str = "SELECT line, commits, mark, sequence, chain FROM portcullis.state
    WHERE is_only FOR UPDATE";

const LOOK: &str =
    "SELECT line, commits, mark, sequence, chain FROM portcullis.state WHERE is_only";

/// A random number that tells a commit from any other with the same number, which a database that was set
/// back gives out again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark(pub(super) [u8; 16]);

/// A commit, and what there is after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Its number.
    pub(super) commits: u64,
    pub(super) mark: Mark,
    /// The head of the feed after it.
    pub(super) head: Head,
}

/// The row of the state.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct State {
    /// Another number after the database was set back: what was loaded under the one before is not in
    /// step with it.
    pub(super) line: i64,
    /// The last commit.
    pub(super) standing: Standing,
}

impl Mark {
    pub(super) fn make() -> Result<Self, getrandom::Error> {
        let mut mark = [0; 16];
        getrandom::fill(&mut mark)?;
        Ok(Self(mark))
    }

    pub(super) fn of(bytes: &[u8]) -> Result<Self, Fault> {
        Ok(Self(bytes.try_into().map_err(|_| Fault::Row)?))
    }
}

impl State {
    fn of(row: &Row) -> Result<Self, Fault> {
        let (mark, chain): (Vec<u8>, Vec<u8>) = (row.try_get(2)?, row.try_get(4)?);
        Ok(Self {
            line: row.try_get(0)?,
            standing: Standing {
                commits: unsigned(row.try_get(1)?)?,
                mark: Mark::of(&mark)?,
                head: head(row.try_get(3)?, &chain)?,
            },
        })
    }

    /// The row as it is for this client.
    pub(super) async fn look(client: &Client) -> Result<Self, Fault> {
        let rows = client.query_typed(LOOK, &[]).await?;
        Self::of(rows.first().ok_or(Fault::Row)?)
    }

    /// Begins a transaction, and locks the row in it.
    pub(super) async fn lock(client: &Client) -> Result<Self, Fault> {
        Self::after(client, BEGIN, LOCK).await
    }

    /// The row as a snapshot has it that begins with it.
    pub(super) async fn look_first(client: &Client, begin: &str) -> Result<Self, Fault> {
        Self::after(client, begin, LOOK).await
    }

    /// Begins a transaction with a statement that answers with the row, in one way there and back. Where it
    /// does not begin, the connection is given up, and with it whatever the statement has locked.
    async fn after(client: &Client, begin: &str, statement: &str) -> Result<Self, Fault> {
        let (has_begun, rows) = tokio::join!(
            biased;
            client.batch_execute(begin),
            client.query_typed(statement, &[]),
        );
        has_begun?;
        Self::of(rows?.first().ok_or(Fault::Row)?)
    }

    /// Notes in the open transaction that it was looked at, so that its end waits for the disk, and for a
    /// synchronous standby.
    pub(super) async fn touch(client: &Client) -> Result<(), Fault> {
        let touch = "UPDATE portcullis.state SET touches = touches + 1 WHERE is_only";
        Ok(client.batch_execute(touch).await?)
    }

    /// The mark of a commit, as long as the journal has it.
    pub(super) async fn mark_of(client: &Client, commit: i64) -> Result<Option<Mark>, Fault> {
        let rows = client
            .query_typed(
                "SELECT mark FROM portcullis.journal WHERE commit = $1",
                &[(&commit, Type::INT8)],
            )
            .await?;
        first_bytes(&rows)?.as_deref().map(Mark::of).transpose()
    }
}
