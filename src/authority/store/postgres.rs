//! The engine for several authorities: a PostgreSQL database.
//!
//! | | |
//! |---|---|
//! | `address` | the text of `--store`, and TLS |
//! | `connection` | connections, and what their faults mean |
//! | `schema` | the tables, and their version |
//! | `state`, `journal` | the order of commits, and what each has touched |
//! | `in_step`, `follow`, `epoch` | coming in step with others, and with a database that was set back |
//! | `look_up` | commits whose answer was lost |
//! | `keeper` | which authority builds generations and sweeps |
//! | `replica` | this process as one of several |
//! | `transaction`, `snapshot`, `row` | writing and reading |
//! | `copying` | a whole store, out of the database and into it |
//! | `vault` | secrets, encrypted where there is a key |
//! | `shared` | what authorities keep for each other: generations, and the edges of each |
//!
//! # How do several authorities write?
//!
//! A commit locks the row of the state, so there is one order. With the row locked, the authority comes in
//! step with what the others have committed, and decides about what is in the database now. It adds a row
//! to the journal, by which the others come in step; each looks every few milliseconds whether it has to.
//!
//! # What happens when the connection is lost?
//!
//! Before the end of a transaction was asked for, nothing is written, and the writer tries once more.
//! After it, the engine locks the row of the state: the database has then decided about the old
//! transaction. The journal says whether the commit is there, under its mark. If so the engine waits for
//! another commit of its own, so that a synchronous standby has it too. Only when even that cannot be
//! found out is the caller told that the store is unavailable; later, [`Engine::recover`] finds out, as
//! after any failure.
//!
//! # And when the database was set back?
//!
//! A failover to a standby that lacked something shows in the number and the mark of the last commit. The
//! first authority that sees it begins a new epoch, and each loads anew what the database has.

use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio_postgres::Client;

use super::engine::{
    Backup, Commit, Engine, Fate, KeptGeneration, Look, Opened, OtherEdges, Taken, Task,
};
use super::error::{DatabaseError, StoreError};
use super::known::Known;
use crate::authority::clock;
use crate::authority::text::chain_of;
use crate::revocation::FilterKey;

mod address;
mod connection;
mod copying;
mod database;
mod epoch;
mod follow;
mod in_step;
mod journal;
mod keeper;
mod look_up;
mod replica;
mod row;
mod schema;
mod shared;
mod snapshot;
mod state;
mod transaction;
mod vault;

pub use address::{DatabaseAddress, DatabaseAddressError};
pub use database::Database;
pub use replica::{End, MAX_LEASE, Replica};
pub use schema::Migrated;
pub use vault::{Encrypted, SecretKey, SecretKeyError};

pub(super) use copying::{Fresh, Original};

use connection::{Connector, Fault, STATEMENT_LIMIT};
use replica::Presence;
use snapshot::OpenSnapshot;
use state::{COMMIT, Mark, Standing, State};
use transaction::OpenTransaction;

/// The engine.
pub(super) struct Postgres {
    connector: Arc<Connector>,
    presence: Arc<Presence>,
    filter_key: FilterKey,
    /// Has the name of each entry.
    known: Arc<Known>,
    writing: Link,
    following: Link,
    /// When the last transaction was begun in which something was written.
    sent: Mutex<Option<Duration>>,
    /// The changes of settings that have been taken.
    told_settings: AtomicU64,
    /// A commit whose end was asked for, and has not been answered.
    unsure: Mutex<Option<Commit>>,
    /// Whether the last transaction has found an entry in the database that is not in the index.
    has_clashed: AtomicBool,
}

/// A connection that is kept from one use to the next.
#[derive(Default)]
struct Link(Mutex<Option<Arc<Client>>>);

impl Standing {
    const fn commit(self) -> Commit {
        Commit {
            number: self.commits,
            mark: self.mark.0,
        }
    }
}

impl Postgres {
    /// Reads everything that is in a database, and takes part in what is done there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open(
        database: &Database,
        lease: Duration,
    ) -> Result<(Opened, Replica), StoreError> {
        let connector = Arc::clone(&database.connector);
        let client = connector.for_reading()?;
        let sent = clock::sleepless();
        begin_reading(&connector, &client).map_err(unreachable)?;
        let looking = Arc::clone(&client);
        let state = connector.wait(STATEMENT_LIMIT, async move { State::look(&looking).await });
        let state = state.map_err(unreachable)?;
        let snapshot = OpenSnapshot::with_own_key(&connector, &client)?;
        let (index, history) = snapshot.load(state.standing.head)?;
        let filter_key = snapshot.filter_key;
        end_reading(&connector, client);
        let known = Arc::new(Known::new(index, history, state.standing.commit()));
        // What was read is as old as the beginning of its transaction.
        let presence = Arc::new(Presence::new(lease, state.line, sent)?);
        connector.spawn(keeper::keep(
            Arc::clone(&connector),
            Arc::downgrade(&presence),
        ));
        let replica = Replica::new(&connector, &presence);
        let opened = Opened {
            engine: Box::new(Self {
                connector,
                presence,
                filter_key,
                known: Arc::clone(&known),
                writing: Link::default(),
                following: Link::default(),
                sent: Mutex::default(),
                told_settings: AtomicU64::new(0),
                unsure: Mutex::default(),
                has_clashed: AtomicBool::new(false),
            }),
            known,
            filter_key,
        };
        Ok((opened, replica))
    }

    /// Begins a transaction, with the row of the state locked. Over a connection that was lost
    /// meanwhile, this is where it shows, and nothing was asked for yet; so that is tried once more.
    fn begin(&self) -> Result<(Arc<Client>, State), StoreError> {
        if let Some(client) = self.writing.take()
            && let Ok(state) = self.lock_state(&client)
        {
            return Ok((client, state));
        }
        let client = self.connector.connected()?;
        let state = self.lock_state(&client).map_err(Fault::before_commit)?;
        Ok((client, state))
    }

    fn lock_state(&self, client: &Arc<Client>) -> Result<State, Fault> {
        let client = Arc::clone(client);
        let locking = async move { State::lock(&client).await };
        self.connector.wait(STATEMENT_LIMIT, locking)
    }

    fn commit(&self, client: &Arc<Client>) -> Result<(), Fault> {
        self.connector.execute(STATEMENT_LIMIT, client, COMMIT)
    }
}

impl Link {
    /// The connection, if one is kept and has not been closed.
    fn take(&self) -> Option<Arc<Client>> {
        let kept = locked(&self.0).take();
        kept.filter(|client| !client.is_closed())
    }

    fn keep(&self, client: Arc<Client>) {
        *locked(&self.0) = Some(client);
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Engine for Postgres {
    fn read(&self, work: Look<'_>) -> Result<(), StoreError> {
        let mut client = self.connector.for_reading()?;
        // One that was lost meanwhile shows it here.
        if begin_reading(&self.connector, &client).is_err() {
            client = self.connector.connected()?;
            begin_reading(&self.connector, &client).map_err(unreachable)?;
        }
        work(&OpenSnapshot {
            connector: &self.connector,
            client: Arc::clone(&client),
            filter_key: self.filter_key,
        })?;
        end_reading(&self.connector, client);
        Ok(())
    }

    fn write(&self, work: Task<'_>) -> Result<Commit, StoreError> {
        self.check()?;
        // Not when a commit is looked up, since others may have committed after it.
        *locked(&self.sent) = clock::sleepless();
        // A connection with a transaction that is given up is given up as well.
        let (client, state) = self.begin()?;
        self.come_in_step(&client, state)?;
        let mut open = OpenTransaction::new(self, Arc::clone(&client), state.standing);
        work(&mut open)?;
        let mark = Mark::make().map_err(StoreError::Random)?;
        let commit = open.finish(mark)?.commit();
        *locked(&self.unsure) = Some(commit);
        match self.commit(&client) {
            Ok(()) => {
                *locked(&self.unsure) = None;
                self.writing.keep(client);
                Ok(commit)
            }
            Err(fault) if fault.has_undone() => {
                *locked(&self.unsure) = None;
                Err(DatabaseError::Interrupted(fault.into()).into())
            }
            Err(fault) => {
                drop(client);
                let unsure = DatabaseError::Unsure(fault.into());
                tracing::warn!(error = %chain_of(&unsure), "a commit has no answer; looking it up");
                match self.look_up_patiently() {
                    Ok(Fate::Committed(commit)) => Ok(commit),
                    Ok(Fate::Lost) => {
                        Err(DatabaseError::Interrupted("it is not in the database".into()).into())
                    }
                    Err(error) => {
                        tracing::error!(error = %chain_of(&error), "could not look a commit up");
                        Err(unsure.into())
                    }
                }
            }
        }
    }

    fn recover(&self) -> Result<Fate, StoreError> {
        if let Some(end) = self.presence.end() {
            return Err(DatabaseError::from(end).into());
        }
        self.look_up()
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(self.presence.check()?)
    }

    fn check_recent(&self) -> Result<(), StoreError> {
        Ok(self.presence.check()?)
    }

    fn seen(&self) -> Option<watch::Receiver<Duration>> {
        Some(self.presence.seen())
    }

    fn follow(&self, taken: Taken<'_>) -> Result<(), StoreError> {
        if let Some(end) = self.presence.end() {
            return Err(DatabaseError::from(end).into());
        }
        let client = match self.following.take() {
            Some(client) => client,
            None => self.connector.connected()?,
        };
        let sent = clock::sleepless();
        self.look_and_follow(&client)?;
        self.following.keep(client);
        let settings = self.known.settings();
        taken()?;
        self.told_settings.store(settings, Ordering::Release);
        self.presence.saw(sent);
        Ok(())
    }

    fn settled(&self) {
        // Settings that were changed with it, or by others before, have to be taken first.
        if self.told_settings.load(Ordering::Acquire) == self.known.settings() {
            let sent = *locked(&self.sent);
            self.presence.saw(sent);
        }
    }

    fn is_keeper(&self) -> bool {
        self.presence.keeper.token().is_some()
    }

    fn put_generation(&self, generation: &KeptGeneration) -> Result<(), StoreError> {
        shared::put_generation(&self.connector, generation)
    }

    fn generation(&self, number: u64) -> Result<Option<KeptGeneration>, StoreError> {
        shared::generation(&self.connector, number)
    }

    fn exchange_edges(&self, own: Option<Vec<u8>>) -> Result<Vec<OtherEdges>, StoreError> {
        shared::exchange_edges(&self.connector, self.presence.number, own)
    }

    fn check_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn back_up(&self, _: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        Err(DatabaseError::OwnBackup.into())
    }

    fn say_where(&self, url: &str) {
        self.presence.keeper.say_where(url);
    }
}

fn begin_reading(connector: &Connector, client: &Arc<Client>) -> Result<(), Fault> {
    connector.execute(STATEMENT_LIMIT, client, snapshot::BEGIN)
}

/// Ends the transaction of a reader. A connection on which that fails is not used again.
fn end_reading(connector: &Connector, client: Arc<Client>) {
    let ended = connector.execute(STATEMENT_LIMIT, &client, "COMMIT");
    if ended.is_ok() {
        connector.keep(client);
    }
}

fn unreachable(fault: Fault) -> StoreError {
    DatabaseError::Unreachable(fault.into()).into()
}

impl fmt::Debug for Postgres {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Postgres")
            .field("presence", &self.presence)
            .finish_non_exhaustive()
    }
}
