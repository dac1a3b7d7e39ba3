//! The lease: which authority is the keeper, of all that have the database.
//!
//! All of them answer and write. What only one should do, since it is much work or must not be done twice
//! at the same time, the keeper does: it builds generations of the filter, drops what has expired and
//! finishes imports that were interrupted.
//!
//! The keeper renews the lease, which counts up `renewals`. Another authority takes it when the row has
//! not changed for as long as the lease runs, **by its own clock since it saw the last change**; so no
//! clock is compared with another. The keeper counts from before it sent the renewal, and a tenth less, so
//! it stops before another begins. Taking the lease counts up `fence`; where it matters that no other
//! authority has done so, a transaction looks at it, which does not depend on any clock.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use super::replica::Presence;
use super::row::{at_most, unsigned};
use crate::authority::clock;
use crate::authority::store::error::DatabaseError;
use crate::authority::text::chain_of;

const LOOK: &str = "SELECT fence, holder, url, lease_milliseconds, renewals
    FROM portcullis.lease WHERE is_only";

const TAKE: &str = "UPDATE portcullis.lease SET fence = fence + 1, holder = $1,
    lease_milliseconds = $2, renewals = renewals + 1, url = $5
    WHERE is_only AND fence = $3 AND renewals = $4 RETURNING fence";

const RENEW: &str = "UPDATE portcullis.lease SET renewals = renewals + 1, url = $3
    WHERE is_only AND fence = $1 AND holder = $2 RETURNING fence";

const RELEASE: &str = "UPDATE portcullis.lease SET holder = '', renewals = renewals + 1, url = ''
    WHERE is_only AND fence = $1 AND holder = $2";

/// A part of the lease, within which a renewal is answered or given up: so that there is time for another
/// one over a new connection, where the old one has become silent.
const RENEWALS_IN_A_LEASE: u32 = 4;

/// How long a renewal waits after one that has failed.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// The lease, as far as this process has it.
#[derive(Debug)]
pub(super) struct Keeper {
    duration: Duration,
    held: Mutex<Option<Held>>,
    url: Mutex<String>,
    /// The process is about to end.
    is_leaving: AtomicBool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Held {
    token: Token,
    valid_until: Duration,
}

/// What shows that it is held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) fence: i64,
    pub(super) holder: Vec<u8>,
}

/// The row of the lease.
#[derive(Clone, Debug)]
struct Lease {
    fence: i64,
    holder: Vec<u8>,
    url: String,
    duration: Duration,
    renewals: i64,
}

/// What a process that has not got the lease has seen of it, and since when it has not changed.
type Seen = Option<(Lease, Instant)>;

impl Lease {
    fn of(row: &Row) -> Result<Self, Fault> {
        Ok(Self {
            fence: row.try_get(0)?,
            holder: row.try_get(1)?,
            url: row.try_get(2)?,
            duration: Duration::from_millis(unsigned(row.try_get(3)?)?),
            renewals: row.try_get(4)?,
        })
    }

    fn is_same(&self, other: &Self) -> bool {
        (self.fence, self.renewals) == (other.fence, other.renewals)
    }
}

impl Keeper {
    pub(super) fn new(duration: Duration) -> Self {
        Self {
            duration,
            held: Mutex::default(),
            url: Mutex::default(),
            is_leaving: AtomicBool::new(false),
        }
    }

    pub(super) fn say_where(&self, url: &str) {
        url.clone_into(&mut locked(&self.url));
    }

    /// What shows that this process is the keeper, while its lease runs.
    pub(super) fn token(&self) -> Option<Token> {
        let now = clock::sleepless()?;
        let held = locked(&self.held);
        let held = held.as_ref().filter(|held| now < held.valid_until)?;
        Some(held.token.clone())
    }

    /// Notes that the lease was taken or renewed by something that was sent at this instant. The holder
    /// counts on a tenth less than another one waits for.
    fn hold(&self, token: Token, sent: Option<Duration>) {
        let valid_until = sent.map_or(Duration::ZERO, |sent| sent + self.duration.mul_f64(0.9));
        *locked(&self.held) = Some(Held { token, valid_until });
    }

    fn held(&self) -> Option<Token> {
        locked(&self.held).as_ref().map(|held| held.token.clone())
    }

    fn lose(&self) {
        *locked(&self.held) = None;
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Takes the lease whenever it is free, and renews it, until this process loads everything anew or is done.
pub(super) async fn keep(connector: Arc<Connector>, presence: Weak<Presence>) {
    let Some((lease, mut ended)) = presence
        .upgrade()
        .map(|presence| (presence.lease, presence.ended()))
    else {
        return;
    };
    let (mut client, mut seen, mut is_failing) = (None, None, false);
    let looks = (lease / 20).clamp(Duration::from_millis(50), Duration::from_secs(1));
    while let Some(presence) = presence.upgrade() {
        let held = presence.keeper.held();
        let limit = (lease / RENEWALS_IN_A_LEASE).min(STATEMENT_LIMIT);
        let turn = turn(&connector, &mut client, &mut seen, &presence.keeper);
        let done = tokio::time::timeout(limit, turn).await;
        let done = done.unwrap_or(Err(Fault::TimedOut));
        let was_failing = is_failing;
        is_failing = done.is_err();
        if let Err(fault) = done {
            client = None;
            if !was_failing {
                let error = DatabaseError::Unreachable(fault.into());
                tracing::warn!(error = %chain_of(&error), "could not look at the keeper's lease");
            }
        }
        let pause = match (&held, is_failing) {
            (_, true) => RETRY_PAUSE,
            (Some(_), false) => (lease / 5).min(Duration::from_secs(5)),
            (None, false) => looks,
        };
        drop(presence);
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            // Also when nothing of this process is left.
            _ = ended.wait_for(Option::is_some) => return,
        }
    }
}

/// Renews the lease, or looks at it, and takes it if it may.
async fn turn(
    connector: &Arc<Connector>,
    kept: &mut Option<Arc<Client>>,
    seen: &mut Seen,
    keeper: &Keeper,
) -> Result<(), Fault> {
    if keeper.is_leaving.load(Ordering::Relaxed) {
        return Ok(());
    }
    let client = if let Some(client) = kept.take().filter(|client| !client.is_closed()) {
        client
    } else {
        // It may be another server than before, which lacks renewals that the keeper counts on.
        *seen = None;
        Arc::clone(connector).connect().await?
    };
    match keeper.held() {
        Some(token) => renew(&client, keeper, token).await?,
        None => attempt(&client, seen, keeper).await?,
    }
    *kept = Some(client);
    Ok(())
}

async fn renew(client: &Client, keeper: &Keeper, token: Token) -> Result<(), Fault> {
    let sent = clock::sleepless();
    let url = locked(&keeper.url).clone();
    let parameters: [(&(dyn ToSql + Sync), Type); 3] = [
        (&token.fence, Type::INT8),
        (&token.holder, Type::BYTEA),
        (&url, Type::TEXT),
    ];
    if client.query_typed(RENEW, &parameters).await?.is_empty() {
        keeper.lose();
        tracing::warn!(
            fence = token.fence,
            "another authority has become the keeper"
        );
    } else {
        keeper.hold(token, sent);
    }
    Ok(())
}

async fn attempt(client: &Client, seen: &mut Seen, keeper: &Keeper) -> Result<(), Fault> {
    let rows = client.query_typed(LOOK, &[]).await?;
    let lease = Lease::of(rows.first().ok_or(Fault::Row)?)?;
    let since = match seen {
        Some((last, since)) if last.is_same(&lease) => *since,
        _ => Instant::now(),
    };
    let is_new = !matches!(seen, Some((last, _)) if last.fence == lease.fence);
    if is_new && !lease.holder.is_empty() {
        tracing::info!(url = lease.url, "another authority is the keeper");
    }
    let is_free = lease.holder.is_empty() || since.elapsed() >= lease.duration;
    *seen = Some((lease.clone(), since));
    if !is_free {
        return Ok(());
    }
    let mut holder = vec![0; 16];
    getrandom::fill(&mut holder).map_err(|_| Fault::TimedOut)?;
    let milliseconds = u64::try_from(keeper.duration.as_millis()).unwrap_or(u64::MAX);
    let milliseconds = at_most(milliseconds);
    let url = locked(&keeper.url).clone();
    let sent = clock::sleepless();
    let parameters: [(&(dyn ToSql + Sync), Type); 5] = [
        (&holder, Type::BYTEA),
        (&milliseconds, Type::INT8),
        (&lease.fence, Type::INT8),
        (&lease.renewals, Type::INT8),
        (&url, Type::TEXT),
    ];
    // Where the answer is lost, no one has this holder's number, and the lease runs out.
    let rows = client.query_typed(TAKE, &parameters).await?;
    if let Some(row) = rows.first() {
        let fence = row.try_get(0)?;
        keeper.hold(Token { fence, holder }, sent);
        *seen = None;
        tracing::info!(
            fence,
            seconds = keeper.duration.as_secs_f64(),
            "this authority is the keeper: it builds generations, and drops what has expired"
        );
    }
    Ok(())
}

/// Lets go of the lease, so that another authority need not wait for its end.
pub(super) async fn release(
    connector: Arc<Connector>,
    presence: Arc<Presence>,
) -> Result<(), Fault> {
    presence.keeper.is_leaving.store(true, Ordering::Relaxed);
    let Some(token) = presence.keeper.held() else {
        return Ok(());
    };
    presence.keeper.lose();
    let client = connector.connect().await?;
    let parameters: [(&(dyn ToSql + Sync), Type); 2] =
        [(&token.fence, Type::INT8), (&token.holder, Type::BYTEA)];
    client.query_typed(RELEASE, &parameters).await?;
    Ok(())
}
