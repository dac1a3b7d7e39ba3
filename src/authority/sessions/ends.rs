//! Ends by themselves: carries out what the policies of issuers ask for.
//!
//! The registry is walked through, a page at a time, for sessions that are idle or too old; those that
//! are too many are found when a new one is reported. Each end is an ordinary revocation of the
//! session, which goes through the writer as any other does, and of which the store tells the registry.
//! If the process ends before that, the next walk finds the session again.
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

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::coverage::{Coverage, Moment};
use super::policy::{self, SessionPolicy, SessionRules};
use super::registry::{MAX_SESSIONS_OF_SUBJECT, Mark, RegistryError, Reported};
use super::session::{Ended, Session};
use crate::authority::clock::{self, Trust};
use crate::authority::entry::{Revocation, Target};
use crate::authority::request::Limits;
use crate::authority::store::{Rank, Revoked, StoreError, Work, Writing};
use crate::authority::{Authority, Issuer};
use crate::revocation::{Cause, Kind};
use crate::time::UnixTime;

/// Between two pages.
const STEP: Duration = Duration::from_millis(100);

/// Sessions that are looked at in a step: a millisecond or two, so that a walk through a million takes
/// two minutes and a hundredth of a core.
const PAGE_LENGTH: usize = 1_000;

/// A thousand a second.
const ENDS_PER_STEP: usize = 100;

/// From the end of a walk to the next one, if it has ended all that had to end.
const WALK_PAUSE: Duration = Duration::from_secs(1);

/// Sessions that have to make room for others, until their turn comes. One for which there is no place
/// here stays until its subject has another new one.
const QUEUE_LENGTH: usize = 10_000;

/// Who ends them, in the history of entries.
const ACTOR: &str = "session policy";

/// What ends sessions.
#[derive(Debug)]
pub(in crate::authority) struct Ends {
    /// By issuer.
    policies: HashMap<String, SessionPolicy>,
    coverage: Mutex<Coverage>,
    begun: Instant,
    displaced: mpsc::Sender<End>,
    /// Until the task that carries them out has begun.
    unclaimed: Mutex<Option<mpsc::Receiver<End>>>,
}

/// A session that has to end.
#[derive(Clone, Debug)]
struct End {
    session: Session,
    cause: Cause,
}

impl Ends {
    /// By the policies of these issuers.
    #[must_use]
    pub(in crate::authority) fn new(issuers: &[Issuer]) -> Self {
        let policies = issuers.iter().filter_map(|issuer| {
            let policy = issuer.session_policy.clone()?;
            Some((issuer.issuer.clone(), policy))
        });
        let (displaced, unclaimed) = mpsc::channel(QUEUE_LENGTH);
        Self {
            policies: policies.collect(),
            coverage: Mutex::default(),
            begun: Instant::now(),
            displaced,
            unclaimed: Mutex::new(Some(unclaimed)),
        }
    }

    /// Notes that an edge with this credential has reported, and will again within the interval.
    pub(in crate::authority) fn hear(&self, credential: &str, interval: Duration) {
        self.coverage().hear(credential, interval, self.now());
    }

    /// Notes that an edge does not tell of everything that it has seen.
    pub(in crate::authority) fn lose(&self) {
        self.coverage().lose(self.now());
    }

    /// Looks whether there are too many sessions of a subject, now that these are there. If the
    /// registry is not available, its next new session is soon enough.
    pub(in crate::authority) fn came(&self, authority: &Authority, new: &[Reported]) {
        let registry = authority.sessions.registry();
        for Reported { session, .. } in new {
            let policy = self.policies.get(&*session.issuer);
            let (Some(policy), Some(subject)) = (policy, &session.subject) else {
                continue;
            };
            if policy
                .rules(session.client.as_deref())
                .max_sessions
                .is_none()
            {
                continue;
            }
            let issuer = &session.issuer;
            let page = registry.of_subject(issuer, subject, None, MAX_SESSIONS_OF_SUBJECT);
            let mut others = page.unwrap_or_default().sessions;
            others.retain(|other| authority.index.revoked(other.id, clock::now()).is_none());
            for session in policy::excess(&others, session, policy) {
                let end = End {
                    session: session.clone(),
                    cause: Cause::Displaced,
                };
                let _ = self.displaced.try_send(end);
            }
        }
    }

    /// The sessions that make room for others; once.
    fn claim(&self) -> Option<mpsc::Receiver<End>> {
        let mut unclaimed = self.unclaimed.lock();
        let unclaimed = unclaimed.as_mut().ok()?;
        unclaimed.take()
    }

    fn coverage(&self) -> MutexGuard<'_, Coverage> {
        self.coverage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn now(&self) -> Moment {
        Moment {
            clock: clock::now_milliseconds(),
            passed: self.begun.elapsed(),
        }
    }

    /// Before when a session was last seen that may have to end; `None` where none has to.
    fn seen_before(&self, coverage: &Coverage, heard_since: UnixTime) -> Option<UnixTime> {
        let rules = || self.policies.values().flat_map(SessionPolicy::all);
        if rules().any(|rules| rules.max_session_age.is_some()) {
            return Some(UnixTime::MAX);
        }
        rules()
            .filter_map(|rules| rules.idle_timeout)
            .filter_map(|timeout| idle_since(coverage, heard_since, timeout))
            .max()
    }

    /// Those of a page that have to end.
    fn due(&self, sessions: Vec<Session>, heard_since: UnixTime, now: UnixTime) -> Vec<End> {
        let coverage = self.coverage();
        let idle_since = |timeout| idle_since(&coverage, heard_since, timeout);
        let ends = sessions.into_iter().filter_map(|session| {
            let policy = self.policies.get(&*session.issuer)?;
            let cause = policy::due(&session, policy, idle_since, now)?;
            Some(End { session, cause })
        });
        ends.collect()
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

/// A walk through the registry.
#[derive(Debug, Default)]
struct Walk {
    /// Where the next page begins.
    after: Option<String>,
    /// Sessions that were found and are still to end.
    left: usize,
    /// When the last page was looked at, unless the next walk is to begin at once.
    last_page: Option<Instant>,
}

/// Ends sessions, for ever.
pub(in crate::authority) async fn run(authority: Arc<Authority>) {
    let ends = &authority.ends;
    let Some(mut displaced) = ends.claim() else {
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
        let mut due = Vec::new();
        while due.len() < ENDS_PER_STEP
            && let Ok(end) = displaced.try_recv()
        {
            due.push(end);
        }
        match walk.next_page(&authority).await {
            Ok(Some(found)) => {
                let room = ENDS_PER_STEP - due.len();
                walk.left += found.len().saturating_sub(room);
                due.extend(found.into_iter().take(room));
                if walk.after.is_none() {
                    let waiting = walk.begin_anew() + displaced.len();
                    authority.metrics.sessions.wait_to_end(waiting);
                }
            }
            Ok(None) => {}
            // While it is loaded, or away.
            Err(error) => tracing::debug!(%error, "sessions cannot be looked through"),
        }
        if !due.is_empty() {
            carry_out(&authority, due).await;
        }
    }
}

impl Walk {
    /// Begins the next walk: at once if there are sessions still to end, and how many.
    fn begin_anew(&mut self) -> usize {
        let left = std::mem::take(&mut self.left);
        if left > 0 {
            self.last_page = None;
        }
        left
    }

    /// The sessions of the next page that have to end; `None` between two walks.
    async fn next_page(
        &mut self,
        authority: &Arc<Authority>,
    ) -> Result<Option<Vec<End>>, RegistryError> {
        let is_pausing = self
            .last_page
            .is_some_and(|last_page| last_page.elapsed() < WALK_PAUSE);
        if self.after.is_none() && is_pausing {
            return Ok(None);
        }
        let after = self.after.take();
        self.last_page = Some(Instant::now());
        let authority = Arc::clone(authority);
        let looked = tokio::task::spawn_blocking(move || {
            let (ends, registry) = (&authority.ends, authority.sessions.registry());
            let heard_since = registry.heard_since();
            let Some(before) = ends.seen_before(&ends.coverage(), heard_since) else {
                return Ok((Vec::new(), None));
            };
            let from = UnixTime::EPOCH;
            let page = registry.last_seen_between(from, before, after.as_deref(), PAGE_LENGTH)?;
            let due = ends.due(page.sessions, heard_since, clock::now());
            Ok((due, page.next))
        });
        let (due, next) = looked.await.unwrap_or(Err(RegistryError::Away))?;
        self.after = next;
        Ok(Some(due))
    }
}

/// Ends these sessions, and returns once that is on the disk.
async fn carry_out(authority: &Arc<Authority>, due: Vec<End>) {
    let (now, limits) = (clock::now(), authority.limits());
    let mut marks = Vec::new();
    let mut under_way = JoinSet::new();
    for end in due {
        // Reported after it was revoked, by an edge that had not heard of it.
        if let Some(cause) = authority.index.revoked(end.session.id, now) {
            marks.push(Mark {
                kind: Kind::Session,
                name: end.session.id,
                cut_off: None,
                ended: Ended { at: now, cause },
            });
            continue;
        }
        let reason = authority.ends.reason(&end);
        let work = EndSession(revocation(&end, reason, now, &limits));
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

fn revocation(end: &End, reason: String, now: UnixTime, limits: &Limits) -> Revocation {
    let Session { issuer, name, .. } = &end.session;
    let kept = limits.clock_skew + limits.max_token_lifetime + limits.expiry_margin;
    Revocation {
        target: Target {
            kind: Kind::Session,
            issuer: issuer.as_ref().to_owned(),
            value: name.value().as_ref().to_owned(),
        },
        expires_at: now.later_by(kept),
        not_before: UnixTime::EPOCH,
        except_session: None,
        subject: end.session.subject.as_deref().map(str::to_owned),
        cause: end.cause,
        actor: ACTOR.to_owned(),
        reason,
    }
}
