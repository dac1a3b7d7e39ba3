//! Connections to the database, for threads that wait for it.
//!
//! The engine's callers are threads that wait, so its connections live on a small runtime of their
//! own, on which the lease is renewed however busy the rest of the process is.
//!
//! Nothing here outlives its transaction: statements have no names, and settings are those of one
//! transaction. So there may be a pooler in transaction mode in between.

use std::error::Error;
use std::fmt;
use std::future::poll_fn;
use std::sync::mpsc;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Config, NoTls};
use tokio_postgres_rustls::MakeRustlsConnect;

use super::address::DatabaseAddress;
use super::vault::Vault;
use crate::authority::store::error::{DatabaseError, StoreError};

/// How long a statement may take, its way to the database and back included.
pub(super) const STATEMENT_LIMIT: Duration = Duration::from_secs(10);

/// As PostgreSQL calls the primary key of the table.
const NAMES_OF_ENTRIES: &str = "entries_pkey";

/// Connections that are kept for readers.
const KEPT_CONNECTIONS: usize = 4;

/// The classes of SQLSTATE that say that the database is going away, is overloaded, or has given up a
/// transaction that may be tried again, and not that a statement is wrong or not allowed.
const PASSING_CLASSES: [&str; 6] = ["08", "40", "53", "57", "58", "XX"];

/// Also passing: the database has become one that is only read.
const READ_ONLY: &str = "25006";

/// Also passing: another transaction held the row for too long, or this one was idle for too long.
const WAITED: [&str; 2] = ["55P03", "25P03"];

/// What a wait for the database has ended with.
#[derive(Debug)]
pub(super) enum Fault {
    /// What the library says.
    Postgres(tokio_postgres::Error),
    /// It took too long.
    TimedOut,
    /// A row is not what was written.
    Row,
}

/// Makes connections.
pub(super) struct Connector {
    /// Taken when this is dropped.
    runtime: Option<Runtime>,
    config: Config,
    tls: Option<MakeRustlsConnect>,
    /// For readers.
    idle: Mutex<Vec<Arc<Client>>>,
    vault: Vault,
    /// The address without secrets, for messages.
    place: String,
}

impl Connector {
    pub(super) fn new(address: &DatabaseAddress) -> Result<Self, StoreError> {
        let tls = address.tls().map_err(DatabaseError::Tls)?;
        let runtime = Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("database")
            .enable_all()
            .build()
            .map_err(|error| StoreError::Failed(Box::new(error)))?;
        Ok(Self {
            runtime: Some(runtime),
            config: address.config.clone(),
            tls: tls.map(MakeRustlsConnect::new),
            idle: Mutex::default(),
            vault: Vault::new(address.secret_key.clone()),
            place: address.to_string(),
        })
    }

    /// What settings are encrypted with.
    pub(super) const fn vault(&self) -> &Vault {
        &self.vault
    }

    /// Which database it is, for messages.
    pub(super) fn place(&self) -> &str {
        &self.place
    }

    /// Runs something beside everything else.
    pub(super) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.runtime {
            runtime.spawn(work);
        }
    }

    /// Waits for work on the database, which is given up when it takes longer than `limit`. May be
    /// called anywhere, also on a thread of another runtime, which then is held up.
    pub(super) fn wait<T: Send + 'static>(
        &self,
        limit: Duration,
        work: impl Future<Output = Result<T, Fault>> + Send + 'static,
    ) -> Result<T, Fault> {
        let (sender, answer) = mpsc::sync_channel(1);
        self.spawn(async move {
            let done = tokio::time::timeout(limit, work).await;
            let _ = sender.send(done.unwrap_or(Err(Fault::TimedOut)));
        });
        answer.recv().unwrap_or(Err(Fault::TimedOut))
    }

    /// Waits for statements that are not asked for rows.
    pub(super) fn execute(
        &self,
        limit: Duration,
        client: &Arc<Client>,
        statements: &'static str,
    ) -> Result<(), Fault> {
        let client = Arc::clone(client);
        self.wait(
            limit,
            async move { Ok(client.batch_execute(statements).await?) },
        )
    }

    /// A new connection, to a host that can be written to.
    pub(super) async fn connect(self: Arc<Self>) -> Result<Arc<Client>, Fault> {
        let client = if let Some(tls) = self.tls.clone() {
            let (client, connection) = self.config.connect(tls).await?;
            tokio::spawn(connection);
            client
        } else {
            let (client, connection) = self.config.connect(NoTls).await?;
            tokio::spawn(connection);
            client
        };
        Ok(Arc::new(client))
    }

    /// As long as all hosts together may take.
    pub(super) fn connect_limit(&self) -> Duration {
        let hosts = u32::try_from(self.config.get_hosts().len()).unwrap_or(u32::MAX);
        let each = self.config.get_connect_timeout().copied();
        each.unwrap_or(STATEMENT_LIMIT)
            .saturating_mul(hosts)
            .saturating_add(Duration::from_secs(2))
    }

    /// A new connection.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Unreachable`].
    pub(super) fn connected(self: &Arc<Self>) -> Result<Arc<Client>, StoreError> {
        let connecting = Arc::clone(self).connect();
        let client = self.wait(self.connect_limit(), connecting);
        client.map_err(|fault| DatabaseError::Unreachable(fault.into()).into())
    }

    /// A connection of a reader before, or a new one.
    pub(super) fn for_reading(self: &Arc<Self>) -> Result<Arc<Client>, StoreError> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        while let Some(client) = idle.pop() {
            if !client.is_closed() {
                return Ok(client);
            }
        }
        drop(idle);
        self.connected()
    }

    /// Closes the connections that are kept for readers: the server that they lead to has become silent.
    pub(super) fn forget_idle(&self) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.clear();
    }

    /// Keeps a connection, which has no transaction open, for the next reader.
    pub(super) fn keep(&self, client: Arc<Client>) {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        if idle.len() < KEPT_CONNECTIONS {
            idle.push(client);
        }
    }
}

/// Sends each of these without waiting for the answers to those before it, and waits for all answers: one way
/// there and back. Statements are carried out in this order. Of several faults, that of the first is told:
/// in a transaction, those after it say only that there was one before.
///
/// `join_all` does not promise to poll in this order.
pub(super) async fn in_one_way<T>(
    work: impl IntoIterator<Item = impl Future<Output = Result<T, Fault>>>,
) -> Result<Vec<T>, Fault> {
    let mut waiting: Vec<_> = work
        .into_iter()
        .map(|each| (Box::pin(each), None))
        .collect();
    poll_fn(|context| {
        // What is polled first is sent first.
        for (each, answer) in waiting.iter_mut().filter(|(_, answer)| answer.is_none()) {
            if let Poll::Ready(heard) = each.as_mut().poll(context) {
                *answer = Some(heard);
            }
        }
        if waiting.iter().all(|(_, answer)| answer.is_some()) {
            Poll::Ready(())
        } else {
            Poll::Pending
        }
    })
    .await;
    waiting
        .into_iter()
        .filter_map(|(_, answer)| answer)
        .collect()
}

impl Drop for Connector {
    fn drop(&mut self) {
        // A runtime must not be waited for on a thread of another one.
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Connector")
    }
}

impl Fault {
    /// Whether the database has understood the statement and said no.
    pub(super) fn is_refusal(&self) -> bool {
        self.code().is_some_and(|code| {
            let class = code.get(..2).unwrap_or_default();
            !PASSING_CLASSES.contains(&class) && code != READ_ONLY && !WAITED.contains(&code)
        })
    }

    /// Whether the end of a transaction was refused, so that nothing of it is written. All that says
    /// that the connection or the database is going away leaves it open.
    pub(super) fn has_undone(&self) -> bool {
        let code = self.code();
        code.is_some_and(|code| code.starts_with("40") && code != "40003") || self.is_refusal()
    }

    /// Whether there is a row already of the name of an entry that was to be added.
    pub(super) fn has_clashed(&self) -> bool {
        let Self::Postgres(error) = self else {
            return false;
        };
        let told = error.as_db_error();
        told.is_some_and(|told| {
            *told.code() == SqlState::UNIQUE_VIOLATION
                && told.constraint() == Some(NAMES_OF_ENTRIES)
        })
    }

    /// Whether there is no such table, or none that this role may use.
    pub(super) fn lacks_tables(&self) -> bool {
        matches!(self.code(), Some("42P01" | "3F000" | "42501"))
    }

    fn code(&self) -> Option<&str> {
        match self {
            Self::Postgres(error) => error.code().map(SqlState::code),
            _ => None,
        }
    }

    /// As the error of a transaction whose end was not asked for.
    pub(super) fn before_commit(self) -> StoreError {
        match self {
            Self::Row => StoreError::Row,
            fault if fault.is_refusal() => DatabaseError::Refused(fault.into()).into(),
            fault => DatabaseError::Interrupted(fault.into()).into(),
        }
    }
}

impl From<tokio_postgres::Error> for Fault {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Postgres(error)
    }
}

impl From<Fault> for Box<dyn Error + Send + Sync> {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Postgres(error) => Box::new(error),
            Fault::TimedOut => "no answer in time".into(),
            Fault::Row => "a row that is damaged".into(),
        }
    }
}
