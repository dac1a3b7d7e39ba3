//! The lease: which authority is at work, of all that have the database.
//!
//! One row, `portcullis.state`, has the head of the feed and the lease. The one at work renews the
//! lease, by a statement of its own or with a commit; both count up `renewals`. An authority that
//! stands by looks at the row, and takes the lease when it has not changed for as long as the lease
//! runs, **by its own clock since it saw the last change**; so no clock is compared with another. The
//! holder counts from before it sent the renewal, and a tenth less, so it stops before another begins.
//!
//! Taking the lease counts up `fence`. A commit locks the row first and looks whether fence and
//! holder are still its own: it comes before the takeover, which then waits for it, or it is refused.
//! This does not depend on any clock; what the clock decides is only who may answer from memory.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::row::{at_most, head, unsigned};
use crate::authority::clock;
use crate::authority::store::error::{DatabaseError, StoreError};
use crate::authority::store::{Epoch, Head, Setting as _};
use crate::authority::text::chain_of;

/// Set for each transaction that may hold the row of the state. A process that is stopped in the middle
/// of one must not keep others from taking its lease. Without waiting for the disk, nothing would be
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

pub(super) const LOCK_STATE: &str =
    "SELECT fence, holder, commits, sequence, chain, url, lease_milliseconds, renewals
    FROM portcullis.state WHERE is_only FOR UPDATE";

const LOOK: &str =
    "SELECT fence, holder, commits, sequence, chain, url, lease_milliseconds, renewals
    FROM portcullis.state WHERE is_only";

const TAKE: &str = "UPDATE portcullis.state SET fence = fence + 1, holder = $1,
    lease_milliseconds = $2, renewals = renewals + 1, url = '',
    expires_at = clock_timestamp() + $2 * interval '1 millisecond'
    WHERE is_only AND fence = $3 AND renewals = $4
    RETURNING fence, holder, commits, sequence, chain, url, lease_milliseconds, renewals";

const RENEW: &str = "UPDATE portcullis.state SET renewals = renewals + 1, url = $3,
    expires_at = clock_timestamp() + lease_milliseconds * interval '1 millisecond'
    WHERE is_only AND fence = $1 AND holder = $2 RETURNING commits";

const RELEASE: &str = "UPDATE portcullis.state SET holder = '', renewals = renewals + 1, url = '',
    expires_at = clock_timestamp() WHERE is_only AND fence = $1 AND holder = $2";

/// A part of the lease, within which a renewal is answered or given up: so that there is time for another one
/// over a new connection, where the old one has become silent.
const RENEWALS_IN_A_LEASE: u32 = 4;

/// How long a renewal waits after one that has failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// How far the store has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Standing {
    /// Commits so far.
    pub(super) commits: u64,
    /// The head of the feed after the last of them.
    pub(super) head: Head,
}

/// The row of the state.
#[derive(Clone, Debug)]
pub(super) struct State {
    pub(super) fence: i64,
    pub(super) holder: Vec<u8>,
    pub(super) standing: Standing,
    pub(super) url: String,
    lease: Duration,
    renewals: i64,
}

/// Why an authority is at work no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// Another one has taken the lease.
    TakenOver,
    /// The database lacks so many commits.
    SetBack(u64),
    /// It has let go of the lease.
    Released,
}

impl fmt::Display for End {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TakenOver => formatter.write_str("another one has taken over"),
            Self::SetBack(commits) => write!(formatter, "the database lacks {commits} commits"),
            Self::Released => formatter.write_str("it has let go of the lease"),
        }
    }
}

/// The lease, while this process holds it.
#[derive(Debug)]
pub(super) struct Term {
    pub(super) fence: i64,
    pub(super) holder: Vec<u8>,
    pub(super) duration: Duration,
    progress: Mutex<Progress>,
    /// By [`Sent::now`]'s clock.
    valid_until: Mutex<Duration>,
    is_lapsed: AtomicBool,
    url: Mutex<String>,
    end: watch::Sender<Option<End>>,
    /// Commits that the database lacks, before that is dealt with.
    lacks: Mutex<Option<u64>>,
}

/// When something was sent that renews a lease, by a clock that goes on while the machine sleeps: another
/// authority, which does not, takes over meanwhile.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sent(Option<Duration>);

/// How far this process has come.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    pub(super) standing: Standing,
    /// Including a commit that may or may not be on the disk.
    pub(super) unsure: Option<Standing>,
}

impl State {
    pub(super) fn of(row: &Row) -> Result<Self, Fault> {
        let lease: i64 = row.try_get(6)?;
        let chain: Vec<u8> = row.try_get(4)?;
        Ok(Self {
            fence: row.try_get(0)?,
            holder: row.try_get(1)?,
            standing: Standing {
                commits: unsigned(row.try_get(2)?)?,
                head: head(row.try_get(3)?, &chain)?,
            },
            url: row.try_get(5)?,
            lease: Duration::from_millis(unsigned(lease)?),
            renewals: row.try_get(7)?,
        })
    }

    fn is_free(&self) -> bool {
        self.holder.is_empty()
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.fence, self.renewals) == (other.fence, other.renewals)
    }
}

impl Sent {
    pub(super) fn now() -> Self {
        Self(clock::sleepless())
    }

    /// Without a clock, no lease is ever good.
    fn good_until(self, duration: Duration) -> Duration {
        self.0
            .map_or(Duration::ZERO, |sent| sent + usable(duration))
    }
}

impl Term {
    fn new(state: State, duration: Duration, sent: Sent) -> Self {
        Self {
            fence: state.fence,
            holder: state.holder,
            duration,
            progress: Mutex::new(Progress {
                standing: state.standing,
                unsure: None,
            }),
            valid_until: Mutex::new(sent.good_until(duration)),
            is_lapsed: AtomicBool::new(false),
            url: Mutex::default(),
            end: watch::Sender::new(None),
            lacks: Mutex::default(),
        }
    }

    pub(super) fn progress(&self) -> MutexGuard<'_, Progress> {
        locked(&self.progress)
    }

    /// Whether what this process has in memory may be what is in force.
    pub(super) fn check(&self) -> Result<(), DatabaseError> {
        match *self.end.borrow() {
            Some(End::SetBack(commits)) => return Err(DatabaseError::SetBack(commits)),
            Some(End::TakenOver | End::Released) => return Err(DatabaseError::TakenOver),
            None => {}
        }
        if let Some(commits) = *locked(&self.lacks) {
            return Err(DatabaseError::SetBack(commits));
        }
        let now = clock::sleepless();
        let is_valid = now.is_some_and(|now| now < *locked(&self.valid_until));
        let was_lapsed = self.is_lapsed.swap(!is_valid, Ordering::Relaxed);
        if was_lapsed && is_valid {
            tracing::info!(fence = self.fence, "the lease is renewed again");
        }
        if is_valid {
            Ok(())
        } else {
            Err(DatabaseError::Lapsed)
        }
    }

    /// Notes that the lease was renewed by something that was sent at this instant.
    pub(super) fn extend(&self, sent: Sent) {
        let mut valid_until = locked(&self.valid_until);
        *valid_until = (*valid_until).max(sent.good_until(self.duration));
    }

    pub(super) fn say_where(&self, url: &str) {
        url.clone_into(&mut locked(&self.url));
    }

    /// Notes that another one has the lease.
    pub(super) fn lose(&self) -> StoreError {
        self.finish(End::TakenOver);
        DatabaseError::TakenOver.into()
    }

    /// Notes that the database lacks commits.
    pub(super) fn set_back_to(&self, commits: u64) -> StoreError {
        let lacking = self.progress().standing.commits.saturating_sub(commits);
        *locked(&self.lacks) = Some(lacking);
        DatabaseError::SetBack(lacking).into()
    }

    pub(super) fn finish(&self, end: End) {
        self.end.send_if_modified(|ended| {
            let is_first = ended.is_none();
            if is_first {
                *ended = Some(end);
                match end {
                    End::TakenOver => tracing::error!(
                        fence = self.fence,
                        "lost the lease: another authority has taken over; nothing is answered \
                         here any more"
                    ),
                    End::SetBack(commits) => tracing::error!(
                        commits,
                        "the database lacks commits that it had acknowledged; what was revoked \
                         with them has to be revoked again; a new epoch begins"
                    ),
                    End::Released => tracing::info!(fence = self.fence, "let go of the lease"),
                }
            }
            is_first
        });
    }

    pub(super) fn ended(&self) -> watch::Receiver<Option<End>> {
        self.end.subscribe()
    }
}

/// What the holder of a lease counts on; another one waits for all of it.
fn usable(duration: Duration) -> Duration {
    duration.mul_f64(0.9)
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Waits until the lease is free or has run out, and takes it. `Err` only where the database says what
/// will not pass by itself.
pub(super) async fn stand_by(
    connector: Arc<Connector>,
    duration: Duration,
    watched: watch::Sender<super::Standby>,
) -> Result<Term, StoreError> {
    let pause = (duration / 20).clamp(Duration::from_millis(50), Duration::from_secs(1));
    let mut client = None;
    let mut seen: Option<(State, Instant)> = None;
    let mut was_away = false;
    loop {
        let trial = attempt(&connector, &mut client, &mut seen, duration);
        match tokio::time::timeout(STATEMENT_LIMIT, trial).await {
            Ok(Ok(Some(term))) => {
                tracing::info!(
                    fence = term.fence,
                    seconds = duration.as_secs_f64(),
                    "took the lease; this authority is at work"
                );
                return Ok(term);
            }
            Ok(Ok(None)) => {
                was_away = false;
                let url = seen.as_ref().map(|(state, _)| state.url.clone());
                watched.send_if_modified(|standby| {
                    let now = super::Standby::Behind(url.unwrap_or_default());
                    let is_news = *standby != now;
                    if let super::Standby::Behind(url) = &now
                        && is_news
                    {
                        tracing::info!(url, "standing by: another authority has the lease");
                    }
                    *standby = now;
                    is_news
                });
            }
            Ok(Err(fault)) if fault.lacks_tables() => {
                return Err(DatabaseError::NoTables(Some(fault.into())).into());
            }
            failed => {
                client = None;
                let fault = match failed {
                    Ok(Err(fault)) => fault,
                    _ => Fault::TimedOut,
                };
                if !was_away {
                    let error = DatabaseError::Unreachable(fault.into());
                    tracing::error!(error = %chain_of(&error), "cannot look at the lease");
                }
                was_away = true;
                watched.send_replace(super::Standby::Away);
            }
        }
        tokio::time::sleep(pause).await;
    }
}

/// Looks at the lease once, and takes it if it may.
async fn attempt(
    connector: &Arc<Connector>,
    kept: &mut Option<Arc<Client>>,
    seen: &mut Option<(State, Instant)>,
    duration: Duration,
) -> Result<Option<Term>, Fault> {
    let client = if let Some(client) = kept.take().filter(|client| !client.is_closed()) {
        client
    } else {
        // It may be another server than before, which lacks renewals that its holder counts on.
        *seen = None;
        Arc::clone(connector).connect().await?
    };
    let rows = client.query_typed(LOOK, &[]).await?;
    let state = State::of(rows.first().ok_or(Fault::Row)?)?;
    let since = match seen {
        Some((last, since)) if last.is_same(&state) => *since,
        _ => Instant::now(),
    };
    *seen = Some((state.clone(), since));
    if !state.is_free() && since.elapsed() < state.lease {
        *kept = Some(client);
        return Ok(None);
    }
    let mut holder = vec![0; 16];
    getrandom::fill(&mut holder).map_err(|_| Fault::TimedOut)?;
    let sent = Sent::now();
    client.batch_execute(BEGIN).await?;
    let milliseconds = at_most(u64::try_from(duration.as_millis()).unwrap_or(u64::MAX));
    let rows = client
        .query_typed(
            TAKE,
            &[
                (&holder, Type::BYTEA),
                (&milliseconds, Type::INT8),
                (&state.fence, Type::INT8),
                (&state.renewals, Type::INT8),
            ],
        )
        .await?;
    // Where the answer is lost, no one has this holder's number, and the lease runs out.
    client.batch_execute(COMMIT).await?;
    let taken = rows.first().map(State::of).transpose()?;
    Ok(taken.map(|state| Term::new(state, duration, sent)))
}

/// Renews the lease, until it is lost or let go of.
pub(super) async fn keep(connector: Arc<Connector>, term: Arc<Term>) {
    let interval = (term.duration / 5).min(Duration::from_secs(5));
    let mut client = None;
    let mut is_failing = false;
    let mut ended = term.ended();
    loop {
        let pause = if is_failing { RETRY_PAUSE } else { interval };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            _ = ended.changed() => return,
        }
        let lacks = *locked(&term.lacks);
        if let Some(commits) = lacks {
            let begun = begin_epoch(&connector, &term);
            match tokio::time::timeout(STATEMENT_LIMIT, begun).await {
                Ok(Ok(true)) => return term.finish(End::SetBack(commits)),
                Ok(Ok(false)) => return term.finish(End::TakenOver),
                Ok(Err(fault)) => warn("could not begin a new epoch", fault),
                Err(_) => warn("could not begin a new epoch", Fault::TimedOut),
            }
            is_failing = true;
            continue;
        }
        let known = term.progress().standing.commits;
        let sent = Sent::now();
        let renewal = renew(&connector, &mut client, &term);
        let limit = (term.duration / RENEWALS_IN_A_LEASE).min(STATEMENT_LIMIT);
        match tokio::time::timeout(limit, renewal).await {
            Ok(Ok(Some(commits))) if commits < known => {
                let _ = term.set_back_to(commits);
                is_failing = true;
            }
            Ok(Ok(Some(_))) => {
                term.extend(sent);
                is_failing = false;
            }
            Ok(Ok(None)) => {
                let looked = look(&connector);
                let state = tokio::time::timeout(limit, looked).await;
                match state.unwrap_or(Err(Fault::TimedOut)) {
                    // The takeover itself was lost with commits that came after it.
                    Ok(state) if state.fence < term.fence => {
                        let _ = term.set_back_to(state.standing.commits);
                    }
                    Ok(_) => return term.finish(End::TakenOver),
                    Err(fault) => warn("could not renew the lease", fault),
                }
                is_failing = true;
            }
            failed => {
                client = None;
                if !is_failing {
                    let fault = match failed {
                        Ok(Err(fault)) => fault,
                        _ => Fault::TimedOut,
                    };
                    warn("could not renew the lease", fault);
                }
                is_failing = true;
            }
        }
    }
}

fn warn(what: &'static str, fault: Fault) {
    let error = DatabaseError::Unreachable(fault.into());
    tracing::warn!(error = %chain_of(&error), "{what}");
}

async fn renew(
    connector: &Arc<Connector>,
    kept: &mut Option<Arc<Client>>,
    term: &Term,
) -> Result<Option<u64>, Fault> {
    let client = match kept.take().filter(|client| !client.is_closed()) {
        Some(client) => client,
        None => Arc::clone(connector).connect().await?,
    };
    let url = locked(&term.url).clone();
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 3] = [
        (&term.fence, Type::INT8),
        (&term.holder, Type::BYTEA),
        (&url, Type::TEXT),
    ];
    let rows = client.query_typed(RENEW, &parameters).await?;
    *kept = Some(client);
    let commits = rows.first().map(|row| row.try_get(0)).transpose()?;
    commits.map(unsigned).transpose()
}

/// Lets go of the lease, so that another authority need not wait for its end.
pub(super) async fn release(connector: Arc<Connector>, term: Arc<Term>) -> Result<(), Fault> {
    term.finish(End::Released);
    let client = connector.connect().await?;
    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
        [(&term.fence, Type::INT8), (&term.holder, Type::BYTEA)];
    client.query_typed(RELEASE, &parameters).await?;
    Ok(())
}

async fn look(connector: &Arc<Connector>) -> Result<State, Fault> {
    let client = Arc::clone(connector).connect().await?;
    let rows = client.query_typed(LOOK, &[]).await?;
    State::of(rows.first().ok_or(Fault::Row)?)
}

/// Begins a new epoch in a database that lacks what edges may have been told, and frees the lease, since an
/// authority reads the epoch when it begins to work. Does nothing, and says so, where another authority has
/// taken over since: then it is for the edges to show what they know.
async fn begin_epoch(connector: &Arc<Connector>, term: &Term) -> Result<bool, Fault> {
    let client = Arc::clone(connector).connect().await?;
    client.batch_execute(BEGIN).await?;
    let rows = client.query_typed(LOCK_STATE, &[]).await?;
    let state = State::of(rows.first().ok_or(Fault::Row)?)?;
    let is_own = state.fence == term.fence && state.holder == term.holder;
    if !is_own && state.fence >= term.fence {
        client.batch_execute("ROLLBACK").await?;
        return Ok(false);
    }
    let name = Epoch::NAME;
    let rows = client
        .query_typed(
            "SELECT content FROM portcullis.settings WHERE name = $1",
            &[(&name, Type::TEXT)],
        )
        .await?;
    let old: Option<Vec<u8>> = rows.first().map(|row| row.try_get(0)).transpose()?;
    let old = match &old {
        Some(sealed) => {
            let bytes = connector.vault().opened(name, sealed);
            bytes
                .and_then(|bytes| Epoch::read(&bytes))
                .map_err(|_| Fault::Row)?
        }
        None => Epoch(0),
    };
    let epoch = old.after(clock::now_milliseconds());
    let sealed = connector.vault().sealed(name, epoch.encode());
    let sealed = sealed.map_err(|_| Fault::Row)?;
    client
        .query_typed(
            "INSERT INTO portcullis.settings (name, content) VALUES ($1, $2)
            ON CONFLICT (name) DO UPDATE SET content = excluded.content",
            &[(&name, Type::TEXT), (&sealed, Type::BYTEA)],
        )
        .await?;
    client
        .batch_execute(
            "UPDATE portcullis.state SET fence = fence + 1, holder = '', renewals = renewals + 1,
            commits = commits + 1 WHERE is_only",
        )
        .await?;
    client.batch_execute(COMMIT).await?;
    Ok(true)
}
