//! The engine for authorities that stand in for each other: a PostgreSQL database.
//!
//! | | |
//! |---|---|
//! | `address` | the text of `--store`, and TLS |
//! | `connection` | connections, and what their faults mean |
//! | `schema` | the tables, and their version |
//! | `lease` | which authority is at work |
//! | `transaction`, `snapshot`, `row` | writing and reading |
//! | `copying` | a whole store, out of the database and into it |
//! | `vault` | secrets, encrypted where there is a key |
//!
//! # What happens when the connection is lost?
//!
//! Before the end of a transaction was asked for, nothing is written, and the writer tries once more.
//! After it, the engine looks the state up, with its row locked: the database has then decided about
//! the old transaction. What it finds there it commits once more itself, and waits for that, so that
//! a synchronous standby has it too. Only when even that cannot be found out is the caller told that
//! the store is unavailable; later, [`Engine::recover`] finds out, as after any failure.
//!
//! # And when the database was set back?
//!
//! A failover to a standby that lacked something shows in the number of commits, at the next commit or
//! renewal. The authority then begins a new epoch, and starts again from what the database has.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::Client;

use super::engine::{Backup, Engine, Fate, Look, Opened, Task};
use super::error::{DatabaseError, StoreError};
use crate::authority::index::Index;
use crate::authority::text::chain_of;
use crate::revocation::FilterKey;

mod address;
mod connection;
mod copying;
mod lease;
mod row;
mod schema;
mod snapshot;
mod transaction;
mod vault;

pub use address::{DatabaseAddress, DatabaseAddressError};
pub use lease::End;
pub use schema::Migrated;
pub use vault::{Encrypted, SecretKey, SecretKeyError};

pub(super) use copying::{Fresh, Original};

use connection::{Connector, Fault, STATEMENT_LIMIT};
use lease::{Sent, Standing, State, Term};
use snapshot::OpenSnapshot;
use transaction::OpenTransaction;

/// How long a commit whose answer was lost is looked up before its callers are told that the store is
/// unavailable. About as long as a failover of a well-kept database takes.
const LOOK_UP_LIMIT: Duration = Duration::from_secs(5);
const LOOK_UP_PAUSE: Duration = Duration::from_millis(100);

/// How long the lease may take to be let go of at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// What an authority that stands by has seen last.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standby {
    /// Nothing yet.
    Starting,
    /// Another one is at work, at this address if it has said one.
    Behind(String),
    /// The database does not answer.
    Away,
}

/// A database with its tables, before or while the store in it is open.
#[derive(Clone)]
pub struct Database {
    address: DatabaseAddress,
    connector: Arc<Connector>,
}

/// The right to be at work on a database.
#[derive(Clone, Debug)]
pub struct Lease {
    database: Database,
    term: Arc<Term>,
}

/// The engine.
pub(super) struct Postgres {
    connector: Arc<Connector>,
    term: Arc<Term>,
    filter_key: FilterKey,
    /// Has the name of each entry.
    index: Arc<Index>,
    /// For writing.
    link: Mutex<Option<Arc<Client>>>,
}

impl Database {
    /// A database that can be connected to, with the tables of this version. They are made where there
    /// are none, and the role may make them.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn open(address: DatabaseAddress) -> Result<Self, StoreError> {
        let database = Self::of(address)?;
        schema::expect(&database.connector)?;
        Ok(database)
    }

    fn of(address: DatabaseAddress) -> Result<Self, StoreError> {
        Ok(Self {
            connector: Arc::new(Connector::new(&address)?),
            address,
        })
    }

    /// Makes the tables where there are none.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`].
    pub fn migrate(address: DatabaseAddress) -> Result<Migrated, StoreError> {
        schema::migrate(&Self::of(address)?.connector)
    }

    /// Encrypts every setting with the key of this address: those that are not encrypted, and those that
    /// are with the old key.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Secret`] when one is encrypted with neither, and any other.
    pub fn encrypt(
        address: DatabaseAddress,
        old: Option<SecretKey>,
    ) -> Result<Encrypted, StoreError> {
        vault::encrypt(&Self::of(address)?.connector, old)
    }

    /// Waits until no other authority is at work, and becomes the one that is.
    ///
    /// # Errors
    ///
    /// [`StoreError::Database`] where waiting does not help.
    pub async fn stand_by(
        &self,
        lease: Duration,
        watched: watch::Sender<Standby>,
    ) -> Result<Lease, StoreError> {
        let (sender, taken) = tokio::sync::oneshot::channel();
        let connector = Arc::clone(&self.connector);
        // On its own runtime. Given up when this future is dropped: the answer then has no taker.
        self.connector.spawn(async move {
            let mut sender = sender;
            let waiting = lease::stand_by(Arc::clone(&connector), lease, watched);
            let term = tokio::select! {
                term = waiting => term,
                () = sender.closed() => return,
            };
            let _ = sender.send(term);
        });
        let term = Arc::new(taken.await.map_err(|_| StoreError::Closed)??);
        let keeping = lease::keep(Arc::clone(&self.connector), Arc::clone(&term));
        self.connector.spawn(keeping);
        Ok(Lease {
            database: self.clone(),
            term,
        })
    }
}

impl Lease {
    /// Waits until this authority is at work no more.
    pub async fn ended(&self) -> End {
        let mut ended = self.term.ended();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(End::TakenOver)
    }

    /// Why this authority is at work no more, if it is not.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        *self.term.ended().borrow()
    }

    /// Lets go of the lease, at the end of the process, so that another authority need not wait until
    /// it runs out.
    pub fn release(&self) {
        let connector = &self.database.connector;
        let releasing = lease::release(Arc::clone(connector), Arc::clone(&self.term));
        if let Err(fault) = connector.wait(RELEASE_LIMIT, releasing) {
            let error = DatabaseError::Unreachable(fault.into());
            tracing::warn!(error = %chain_of(&error), "could not let go of the lease");
        }
    }
}

impl Postgres {
    /// Opens the store that a lease is for, and reads all of it.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn open(lease: &Lease) -> Result<Opened, StoreError> {
        let connector = Arc::clone(&lease.database.connector);
        let index = Arc::new(Index::new());
        let client = connector.for_reading()?;
        let mut snapshot = OpenSnapshot {
            connector: &connector,
            client: Arc::clone(&client),
            // What settings are sealed with does not depend on it.
            filter_key: FilterKey::new([0; 16]),
        };
        begin_reading(&connector, &client).map_err(unreachable)?;
        snapshot.filter_key = snapshot.filter_key()?;
        snapshot.load(&index)?;
        let filter_key = snapshot.filter_key;
        end_reading(&connector, client);
        Ok(Opened {
            engine: Box::new(Self {
                connector,
                term: Arc::clone(&lease.term),
                filter_key,
                index: Arc::clone(&index),
                link: Mutex::new(None),
            }),
            index,
            filter_key,
        })
    }

    /// Begins a transaction, with the row of the state locked. Over a connection that was lost
    /// meanwhile, this is where it shows, and nothing was asked for yet; so that is tried once more.
    fn begin(&self) -> Result<(Arc<Client>, State), StoreError> {
        let kept = self.link().take().filter(|client| !client.is_closed());
        if let Some(client) = kept
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
        self.connector.wait(STATEMENT_LIMIT, async move {
            client.batch_execute(lease::BEGIN).await?;
            let rows = client.query_typed(lease::LOCK_STATE, &[]).await?;
            State::of(rows.first().ok_or(Fault::Row)?)
        })
    }

    /// Expects the row of the state to be of this term.
    fn expect_own(&self, state: &State) -> Result<(), StoreError> {
        let term = &self.term;
        if (state.fence, &state.holder) == (term.fence, &term.holder) {
            return Ok(());
        }
        if state.standing.commits < term.progress().standing.commits {
            return Err(term.set_back_to(state.standing.commits));
        }
        Err(term.lose())
    }

    fn commit(&self, client: &Arc<Client>) -> Result<(), Fault> {
        let client = Arc::clone(client);
        self.connector.wait(STATEMENT_LIMIT, async move {
            Ok(client.batch_execute(lease::COMMIT).await?)
        })
    }

    /// Finds out what became of the transaction whose end was asked for, and commits once more, so that
    /// what it finds is as safe as anything that is acknowledged.
    fn look_up(&self) -> Result<Fate, StoreError> {
        let (client, state) = self.begin()?;
        self.expect_own(&state)?;
        let progress = *self.term.progress();
        let found = state.standing;
        let fate = if Some(found) == progress.unsure {
            Fate::Committed
        } else if found == progress.standing {
            Fate::Lost
        } else if found.commits < progress.standing.commits {
            return Err(self.term.set_back_to(found.commits));
        } else {
            return Err(StoreError::Row);
        };
        let sent = Sent::now();
        let bumping = Arc::clone(&client);
        let bumped = self.connector.wait(STATEMENT_LIMIT, async move {
            bumping
                .batch_execute("UPDATE portcullis.state SET renewals = renewals + 1 WHERE is_only")
                .await?;
            Ok(())
        });
        bumped
            .and_then(|()| self.commit(&client))
            .map_err(unreachable)?;
        self.term.extend(sent);
        let mut progress = self.term.progress();
        progress.unsure = None;
        progress.standing = found;
        drop(progress);
        *self.link() = Some(client);
        Ok(fate)
    }

    fn look_up_patiently(&self) -> Result<Fate, StoreError> {
        let began = Instant::now();
        loop {
            match self.look_up() {
                Err(error) if self.term.check().is_ok() && began.elapsed() < LOOK_UP_LIMIT => {
                    tracing::debug!(error = %chain_of(&error), "could not look a commit up yet");
                    thread::sleep(LOOK_UP_PAUSE);
                }
                other => return other,
            }
        }
    }

    fn link(&self) -> std::sync::MutexGuard<'_, Option<Arc<Client>>> {
        self.link.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn settle(&self, standing: Standing) {
        let mut progress = self.term.progress();
        progress.standing = standing;
        progress.unsure = None;
    }
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

    fn write(&self, work: Task<'_>) -> Result<(), StoreError> {
        self.check()?;
        let (client, state) = self.begin()?;
        // A connection with a transaction that is given up is given up as well.
        self.expect_own(&state)?;
        let standing = self.term.progress().standing;
        if state.standing != standing {
            if state.standing.commits < standing.commits {
                return Err(self.term.set_back_to(state.standing.commits));
            }
            return Err(StoreError::Row);
        }
        let mut open = OpenTransaction::new(self, Arc::clone(&client), standing.head);
        work(&mut open)?;
        let sent = Sent::now();
        let after = open.finish()?;
        self.term.progress().unsure = Some(after);
        match self.commit(&client) {
            Ok(()) => {
                self.settle(after);
                self.term.extend(sent);
                *self.link() = Some(client);
                Ok(())
            }
            Err(fault) if fault.has_undone() => {
                self.term.progress().unsure = None;
                Err(DatabaseError::Interrupted(fault.into()).into())
            }
            Err(fault) => {
                drop(client);
                let unsure = DatabaseError::Unsure(fault.into());
                tracing::warn!(error = %chain_of(&unsure), "a commit has no answer; looking it up");
                match self.look_up_patiently() {
                    Ok(Fate::Committed) => Ok(()),
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
        self.term.check()?;
        self.look_up()
    }

    fn check(&self) -> Result<(), StoreError> {
        Ok(self.term.check()?)
    }

    fn check_sole(&self) -> Result<(), StoreError> {
        Ok(self.term.check()?)
    }

    fn check_room(&self) -> Result<(), StoreError> {
        Ok(())
    }

    fn back_up(&self, _: &dyn Fn() -> bool) -> Result<Backup, StoreError> {
        Err(DatabaseError::OwnBackup.into())
    }

    fn say_where(&self, url: &str) {
        self.term.say_where(url);
    }
}

fn begin_reading(connector: &Connector, client: &Arc<Client>) -> Result<(), Fault> {
    let client = Arc::clone(client);
    connector.wait(STATEMENT_LIMIT, async move {
        Ok(client.batch_execute(snapshot::BEGIN).await?)
    })
}

/// Ends the transaction of a reader. A connection on which that fails is not used again.
fn end_reading(connector: &Connector, client: Arc<Client>) {
    let ending = Arc::clone(&client);
    let ended = connector.wait(STATEMENT_LIMIT, async move {
        Ok(ending.batch_execute("COMMIT").await?)
    });
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
            .field("fence", &self.term.fence)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.address, formatter)
    }
}
