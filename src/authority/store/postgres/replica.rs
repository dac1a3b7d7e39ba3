//! This process as one of several on a database: since when it has not seen the database, and why it
//! cannot go on with what it has loaded.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;

use super::connection::Connector;
use super::keeper::{self, Keeper};
use crate::authority::clock;
use crate::authority::store::error::{DatabaseError, StoreError};
use crate::authority::text::{chain_of, counted};

/// The longest time for which an authority may answer without seeing the database.
pub const MAX_LEASE: Duration = Duration::from_mins(5);

/// How long the lease may take to be let go of at the end.
const RELEASE_LIMIT: Duration = Duration::from_secs(3);

/// Why a process has to load everything anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The database lacks so many commits that this process knows of. A new epoch has begun.
    SetBack(u64),
    /// Another process has found that.
    OtherLine,
    /// What it lacks is not kept any more.
    Overtaken,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetBack(commits) => {
                let commits = counted(*commits, "commit", "commits");
                write!(formatter, "the database lacks {commits}")
            }
            Self::OtherLine => {
                formatter.write_str("another authority has found that the database was set back")
            }
            Self::Overtaken => formatter.write_str(
                "this authority is so far behind the database that what it lacks is not kept any more",
            ),
        }
    }
}

impl From<End> for DatabaseError {
    fn from(end: End) -> Self {
        match end {
            End::SetBack(commits) => Self::SetBack(commits),
            End::OtherLine | End::Overtaken => Self::Outdated,
        }
    }
}

/// One of the processes that serve what is in a database.
#[derive(Debug)]
pub(super) struct Presence {
    /// How long it answers without having seen the database; also the keeper's lease.
    pub(super) lease: Duration,
    /// The line of commits that it has loaded.
    pub(super) line: i64,
    /// A random number of this process.
    pub(super) number: [u8; 16],
    pub(super) keeper: Keeper,
    /// When something was sent to the database last that it has answered, by a clock that goes on while
    /// the machine sleeps.
    seen: watch::Sender<Duration>,
    is_away: AtomicBool,
    end: watch::Sender<Option<End>>,
}

impl Presence {
    pub(super) fn new(
        lease: Duration,
        line: i64,
        seen: Option<Duration>,
    ) -> Result<Self, StoreError> {
        let mut number = [0; 16];
        getrandom::fill(&mut number).map_err(StoreError::Random)?;
        Ok(Self {
            lease,
            line,
            number,
            keeper: Keeper::new(lease),
            seen: watch::Sender::new(seen.unwrap_or_default()),
            is_away: AtomicBool::new(false),
            end: watch::Sender::new(None),
        })
    }

    /// Notes that what is in memory is in step with the database as of this instant.
    pub(super) fn saw(&self, sent: Option<Duration>) {
        let Some(sent) = sent else { return };
        self.seen.send_if_modified(|seen| {
            let is_later = sent > *seen;
            *seen = sent.max(*seen);
            is_later
        });
    }

    pub(super) fn seen(&self) -> watch::Receiver<Duration> {
        self.seen.subscribe()
    }

    /// Whether what this process has in memory is recent enough to answer from.
    pub(super) fn check(&self) -> Result<(), DatabaseError> {
        if let Some(end) = self.end() {
            return Err(end.into());
        }
        let seen = *self.seen.borrow();
        // Without a clock, nothing is recent.
        let is_near = clock::sleepless().is_some_and(|now| now.saturating_sub(seen) < self.lease);
        let was_away = self.is_away.swap(!is_near, Ordering::Relaxed);
        match (was_away, is_near) {
            (false, false) => tracing::error!(
                seconds = self.lease.as_secs_f64(),
                "the database was not reached for as long as the lease; nothing is answered from memory"
            ),
            (true, true) => tracing::info!("the database is back"),
            _ => {}
        }
        if is_near {
            Ok(())
        } else {
            Err(DatabaseError::Away)
        }
    }

    pub(super) fn finish(&self, end: End) -> StoreError {
        self.end.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(end);
                tracing::error!(why = %end, "everything is loaded anew from the database");
            }
            is_first
        });
        DatabaseError::from(end).into()
    }

    pub(super) fn end(&self) -> Option<End> {
        *self.end.borrow()
    }

    pub(super) fn ended(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }
}

/// The part that this process has among those on its database.
#[derive(Clone, Debug)]
pub struct Replica {
    connector: Arc<Connector>,
    presence: Arc<Presence>,
}

impl Replica {
    pub(super) fn new(connector: &Arc<Connector>, presence: &Arc<Presence>) -> Self {
        Self {
            connector: Arc::clone(connector),
            presence: Arc::clone(presence),
        }
    }

    /// Waits until this process has to load everything anew.
    pub async fn ended(&self) -> End {
        let mut ended = self.presence.ended();
        let end = ended.wait_for(Option::is_some).await;
        end.ok().and_then(|end| *end).unwrap_or(End::Overtaken)
    }

    /// Why this process has to load everything anew, if it has to.
    #[must_use]
    pub fn end(&self) -> Option<End> {
        self.presence.end()
    }

    /// Lets go of the keeper's lease, at the end of the process, so that another authority need not wait
    /// until it runs out.
    pub fn leave(&self) {
        let releasing = keeper::release(Arc::clone(&self.connector), Arc::clone(&self.presence));
        if let Err(fault) = self.connector.wait(RELEASE_LIMIT, releasing) {
            let error = DatabaseError::Unreachable(fault.into());
            tracing::warn!(error = %chain_of(&error), "could not let go of the lease");
        }
    }
}
