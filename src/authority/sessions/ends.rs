//! Ends by themselves: carries out what the policies of issuers ask for.
//!
//! The registry is walked through, a page at a time, for sessions that are idle, too old or too many.
//! A subject with a new session is looked at at once as well. Each end is an ordinary revocation of the
//! session, which goes through the writer as any other does, and of which the store tells the registry.
//! If the process ends before that, or a subject could not be looked at, the next walk finds the session
//! again.
//!
//! # Why so many a second and no more?
//!
//! A million sessions may become idle at the same hour, and edges have to hear of each. What an operator
//! revokes meanwhile must not wait for them. So [`ENDS_PER_STEP`] bounds the pace, what is left waits for
//! the next walk and is counted, and where a commit fails, ends are given up before requests are.
//!
//! # What if the clock is wrong?
//!
//! While it is ahead of the time that has passed, or of most edges, no session ends. What counts as
//! idle is for [`Coverage`] to say.
//!
//! # What if subjects share a `sid`?
//!
//! A user whom two clients know by two names has two sessions of one `sid`, and a revocation of that
//! ends both. It ends when both have to; until then the one that has to is left, and counted.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

mod look;
mod others;
mod walk;

pub(in crate::authority) use others::exchange;

use super::coverage::{Coverage, Heard, Moment};
use super::outbox::Outbox;
use super::policy::{self, SessionPolicy, SessionRules};
use super::registry::{RegistryError, Reported};
use super::session::{Name, Session};
use crate::authority::clock::{self, Trust};
use crate::authority::entry::{Revocation, Target};
use crate::authority::request::Limits;
use crate::authority::store::{Rank, Revoked, StoreError, Work, Writing};
use crate::authority::{Authority, Issuer};
use crate::revocation::{Cause, Fingerprint, Kind};
use crate::time::UnixTime;
use look::Look;
pub(super) use walk::mark;
use walk::{Found, Walk};

/// Between two pages.
const STEP: Duration = Duration::from_millis(100);

/// Sessions that are looked at in a step: a millisecond or two, so that a walk through a million takes
/// two minutes and a hundredth of a core.
const PAGE_LENGTH: usize = 1_000;

/// A thousand a second.
const ENDS_PER_STEP: usize = 100;

/// From the end of a walk to the next one, if it has ended all that had to end.
const WALK_PAUSE: Duration = Duration::from_secs(1);

/// Subjects with a new session, until their turn comes. One for which there is no place here is looked
/// at on the next walk.
const QUEUE_LENGTH: usize = 10_000;

/// Of these, so many are looked at in a step.
const SUBJECTS_PER_STEP: usize = 500;

/// Who ends them, in the history of entries.
const ACTOR: &str = "session policy";

/// What ends sessions.
#[derive(Debug)]
pub(in crate::authority) struct Ends {
    /// By issuer.
    policies: HashMap<String, SessionPolicy>,
    coverage: Mutex<Coverage>,
    begun: Instant,
    /// How much time had passed then, since what an authority before this one heard.
    passed_before: Duration,
    crowded: mpsc::Sender<Subject>,
    /// What authorities with the same registry are still to be told.
    outbox: Mutex<Outbox>,
    /// Held while they are told: whether this authority has taken its leave of them.
    has_left: Mutex<bool>,
    /// When they could last not be told.
    away: Mutex<Option<Duration>>,
    /// Until the task that looks at them has begun.
    unclaimed: Mutex<Option<mpsc::Receiver<Subject>>>,
}

/// A subject that may have too many sessions.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Subject {
    issuer: Arc<str>,
    subject: Arc<str>,
}

impl Subject {
    fn of(session: &Session) -> Option<Self> {
        Some(Self {
            issuer: Arc::clone(&session.issuer),
            subject: Arc::clone(session.subject.as_ref()?),
        })
    }
}

/// A session that has to end.
#[derive(Clone, Debug)]
struct End {
    session: Session,
    cause: Cause,
}

impl End {
    /// The name that is revoked.
    const fn id(&self) -> Fingerprint {
        self.session.id
    }
}

impl Ends {
    /// By the policies of these issuers, with what was heard of edges so far.
    #[must_use]
    pub(in crate::authority) fn new(issuers: &[Issuer], heard: Heard) -> Self {
        let policies = issuers.iter().filter_map(|issuer| {
            let policy = issuer.session_policy.clone()?;
            Some((issuer.issuer.clone(), policy))
        });
        let (crowded, unclaimed) = mpsc::channel(QUEUE_LENGTH);
        Self {
            policies: policies.collect(),
            coverage: Mutex::new(heard.coverage),
            begun: Instant::now(),
            passed_before: heard.passed,
            crowded,
            outbox: Mutex::default(),
            has_left: Mutex::default(),
            away: Mutex::default(),
            unclaimed: Mutex::new(Some(unclaimed)),
        }
    }

    /// Notes that an edge with this credential has reported, and will again within the interval.
    pub(in crate::authority) fn hear(&self, credential: &str, interval: Duration) {
        let now = self.now();
        self.coverage().hear(credential, interval, now);
        lock(&self.outbox).hear(credential, interval, now);
    }

    /// What was heard so far; `None` where no session ends for being idle.
    #[must_use]
    pub(in crate::authority) fn heard(&self, since: UnixTime) -> Option<Heard> {
        self.rules().find(|rules| rules.idle_timeout.is_some())?;
        let mut coverage = self.coverage();
        let now = self.now();
        coverage.pass(now);
        Some(Heard {
            coverage: coverage.clone(),
            passed: now.passed,
            since,
        })
    }

    /// Notes that an edge does not tell of everything that it has seen.
    pub(in crate::authority) fn lose(&self) {
        self.coverage().lose(self.now());
        lock(&self.outbox).lose();
    }

    /// Has the subjects of these sessions looked at, which may have too many now.
    pub(in crate::authority) fn came(&self, new: &[Reported]) {
        for Reported { session, .. } in new {
            let is_counted = self.policies.get(&*session.issuer).is_some_and(|policy| {
                let rules = policy.rules(session.client.as_deref());
                rules.max_sessions.is_some() && matches!(session.name, Name::Session(_))
            });
            if let Some(subject) = Subject::of(session).filter(|_| is_counted) {
                // Otherwise the next walk does.
                let _ = self.crowded.try_send(subject);
            }
        }
    }

    /// The subjects that may have too many sessions; once.
    fn claim(&self) -> Option<mpsc::Receiver<Subject>> {
        let mut unclaimed = self.unclaimed.lock();
        let unclaimed = unclaimed.as_mut().ok()?;
        unclaimed.take()
    }

    fn coverage(&self) -> MutexGuard<'_, Coverage> {
        lock(&self.coverage)
    }

    fn now(&self) -> Moment {
        Moment {
            clock: clock::now_milliseconds(),
            passed: self.passed_before + self.begun.elapsed(),
        }
    }

    /// Everything that holds for some session.
    fn rules(&self) -> impl Iterator<Item = &SessionRules> {
        self.policies.values().flat_map(SessionPolicy::all)
    }

    /// Before when a session was last seen that has been idle for a timeout, for each of which that is
    /// known.
    fn idle_since(&self, heard_since: UnixTime) -> HashMap<Duration, UnixTime> {
        let coverage = self.coverage();
        let timeouts = self.rules().filter_map(|rules| rules.idle_timeout);
        let since = timeouts.filter_map(|timeout| {
            let since = idle_since(&coverage, heard_since, timeout)?;
            Some((timeout, since))
        });
        since.collect()
    }

    /// Whether an end that was decided a moment ago is still one, with what has been heard since.
    fn is_still_due(&self, end: &End, heard_since: UnixTime, now: UnixTime) -> bool {
        if end.cause != Cause::Idle {
            return true;
        }
        let idle_since = self.idle_since(heard_since);
        let policy = self.policies.get(&*end.session.issuer);
        policy.is_some_and(|policy| {
            policy::due(
                &end.session,
                policy,
                |timeout| idle_since.get(&timeout).copied(),
                now,
            )
            .is_some()
        })
    }

    /// Before when a session was last seen that may have to end; `None` where none has to.
    fn seen_before(&self, idle_since: &HashMap<Duration, UnixTime>) -> Option<UnixTime> {
        let is_of_any =
            |rules: &SessionRules| rules.max_session_age.is_some() || rules.max_sessions.is_some();
        if self.rules().any(is_of_any) {
            return Some(UnixTime::MAX);
        }
        idle_since.values().max().copied()
    }

    /// Why it ends, for the history.
    fn reason(&self, end: &End) -> String {
        let policy = self.policies.get(&*end.session.issuer);
        let rules = policy.map(|policy| *policy.rules(end.session.client.as_deref()));
        let SessionRules {
            idle_timeout,
            max_session_age,
            max_sessions,
            ..
        } = rules.unwrap_or_default();
        let time = |time: Option<Duration>| humantime::format_duration(time.unwrap_or_default());
        match end.cause {
            Cause::Idle => format!("not used for {}", time(idle_timeout)),
            Cause::TooOld => format!("signed in {} ago", time(max_session_age)),
            _ => format!(
                "its subject has more than {} sessions",
                max_sessions.map_or(0, std::num::NonZeroU32::get)
            ),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A session that was last seen before this is idle. What came before the registry heard of
/// everything counts as used then.
fn idle_since(coverage: &Coverage, heard_since: UnixTime, timeout: Duration) -> Option<UnixTime> {
    let since = coverage
        .idle_since(timeout)
        .map(UnixTime::from_milliseconds);
    since.filter(|since| *since >= heard_since)
}

/// The end of a session, which gives way to requests.
#[derive(Clone, Debug)]
struct EndSession(Revocation);

impl Work for EndSession {
    type Outcome = Revoked;
    const RANK: Rank = Rank::Background;

    fn carry_out(&self, writing: &mut Writing<'_>) -> Result<Revoked, StoreError> {
        writing.revoke(&self.0)
    }
}

/// Ends sessions, for ever.
pub(in crate::authority) async fn run(authority: Arc<Authority>) {
    let ends = &authority.ends;
    let Some(mut crowded) = ends.claim() else {
        return;
    };
    if ends.policies.is_empty() {
        return;
    }
    let mut trust = Trust::new(clock::now_milliseconds(), Instant::now());
    let mut walk = Walk::default();
    loop {
        tokio::time::sleep(STEP).await;
        let silent = {
            let (mut coverage, now) = (ends.coverage(), ends.now());
            coverage.pass(now);
            coverage.silent(now)
        };
        authority.metrics.sessions.silent(silent);
        let is_kept = trust.is_kept(clock::now_milliseconds(), Instant::now());
        if !is_kept || authority.clocks.verdict(Instant::now()).is_ahead() {
            continue;
        }
        let mut subjects = Vec::new();
        while subjects.len() < SUBJECTS_PER_STEP
            && let Ok(subject) = crowded.try_recv()
        {
            subjects.push(subject);
        }
        match step(&authority, &mut walk, subjects).await {
            Ok(found) => {
                if let Some(seen) = found.seen {
                    authority.metrics.sessions.walked(seen.left, seen.held);
                }
                carry_out(&authority, found).await;
            }
            // While it is loaded, or away.
            Err(error) => tracing::debug!(%error, "sessions cannot be looked through"),
        }
    }
}

/// Takes a step of the walk where it may block.
async fn step(
    authority: &Arc<Authority>,
    walk: &mut Walk,
    subjects: Vec<Subject>,
) -> Result<Found, RegistryError> {
    let (mut taken, authority) = (std::mem::take(walk), Arc::clone(authority));
    let looked = tokio::task::spawn_blocking(move || {
        let (ends, registry) = (&authority.ends, authority.sessions.registry());
        // What another authority has heard may be that time does not count.
        if let Err(error) = ends.exchange(registry) {
            return (taken, Err(error));
        }
        let (now, limits) = (clock::now(), authority.limits());
        let idle_since = ends.idle_since(registry.heard_since());
        let look = Look {
            registry,
            policies: &ends.policies,
            idle_since: &idle_since,
            revoked: &|session| {
                let issued = session.issuance().for_kind(session.name.kind());
                authority.index.revokes(session.id, issued, now)
            },
            now,
            clock_skew: limits.clock_skew,
        };
        let before = ends.seen_before(&idle_since);
        let mut found = taken.step(&look, subjects, before, Instant::now());
        if let Ok(found) = &mut found
            && !ends.is_settled(ends.now())
        {
            found.due.retain(|end| end.cause != Cause::Displaced);
        }
        (taken, found)
    });
    let (taken, found) = looked.await.map_err(|_| RegistryError::Away)?;
    *walk = taken;
    found
}

/// Ends these sessions, and returns once that is on the disk.
async fn carry_out(authority: &Arc<Authority>, found: Found) {
    let Found { due, marks, .. } = found;
    let due = claimed(authority, due).await;
    let (now, limits) = (clock::now(), authority.limits());
    let mut under_way = JoinSet::new();
    for end in due {
        let reason = authority.ends.reason(&end);
        let not_before = authority.session_ends.not_before_of(&end.session);
        let revocation = revocation(&end, reason, not_before, (now, &limits));
        let work = EndSession(revocation);
        let writer = authority.writer.clone();
        under_way.spawn(async move { writer.write_in_turn(work).await });
    }
    // If one fails, the writer has logged why, and the next walk finds the session again.
    while under_way.join_next().await.is_some() {}
    if marks.is_empty() {
        return;
    }
    let authority = Arc::clone(authority);
    let mark = move || authority.sessions.registry().mark(&marks);
    if let Ok(Err(error)) = tokio::task::spawn_blocking(mark).await {
        tracing::warn!(%error, "sessions that have ended cannot be marked");
    }
}

/// Those that are still due, and that no other authority ends. If that cannot be known, none: they are found
/// again.
async fn claimed(authority: &Arc<Authority>, due: Vec<End>) -> Vec<End> {
    let authority = Arc::clone(authority);
    let claim = move || {
        let registry = authority.sessions.registry();
        let ends = due.iter().map(|end| (&end.session, end.cause));
        let claimed = registry.claim(&ends.collect::<Vec<_>>());
        let claimed = claimed.inspect_err(|error| tracing::debug!(%error, "no session is ended"));
        let claimed = claimed.unwrap_or_default().into_iter();
        let due = due.into_iter().zip(claimed);
        let (heard_since, now) = (registry.heard_since(), clock::now());
        due.filter_map(|(end, is_claimed)| is_claimed.then_some(end))
            .filter(|end| authority.ends.is_still_due(end, heard_since, now))
            .collect()
    };
    tokio::task::spawn_blocking(claim).await.unwrap_or_default()
}

fn revocation(
    end: &End,
    reason: String,
    not_before: UnixTime,
    (now, limits): (UnixTime, &Limits),
) -> Revocation {
    let Session { issuer, name, .. } = &end.session;
    let kept = limits.clock_skew + limits.max_token_lifetime + limits.expiry_margin;
    Revocation {
        target: Target {
            kind: Kind::Session,
            issuer: issuer.as_ref().to_owned(),
            value: name.value().as_ref().to_owned(),
            qualifier: String::new(),
        },
        expires_at: now.later_by(kept),
        not_before,
        except_session: None,
        subject: end.session.subject.as_deref().map(str::to_owned),
        cause: end.cause,
        actor: ACTOR.to_owned(),
        reason,
        origin: None,
    }
}

#[cfg(test)]
mod tests;
