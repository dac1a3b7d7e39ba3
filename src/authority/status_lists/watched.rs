//! One list, and the task that looks after it.

use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio::task::{JoinError, spawn_blocking};
use tokio::time::sleep;

use super::list::StatusList;
use super::reading::{Expected, ListFault, Reading, read};
use super::source::{FetchError, Source};
use super::{StatusLists, lock};
use crate::authority::clock;
use crate::authority::text::chain_of;
use crate::authority::verifier::Doubt;
use crate::backoff;
use crate::time::UnixTime;

/// The first wait after a failure.
const FIRST_RETRY: Duration = Duration::from_secs(1);

/// However short a `ttl` is.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// A list that was asked about.
#[derive(Debug)]
pub(super) struct Watched {
    pub(super) issuer: String,
    pub(super) uri: String,
    source: Arc<Source>,
    state: watch::Sender<State>,
    asked: Mutex<Instant>,
}

/// What is known of a list.
#[derive(Clone, Debug)]
enum State {
    /// Nothing yet: it is being fetched for the first time.
    Awaited,
    /// This.
    Known(Arc<Known>),
    /// Nothing: it could not be fetched, or has lapsed since.
    Unknown,
}

/// A list from which answers are read.
#[derive(Debug)]
pub(super) struct Known {
    pub(super) list: StatusList,
    /// When it has lapsed, unless another one has taken its place.
    until: Instant,
}

/// Why there is no newer list.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("its signature is not known to be good")]
    Signature(#[from] Doubt),
    #[error(transparent)]
    List(#[from] ListFault),
    #[error("the lists of the issuer, or all together, would take too much memory")]
    NoRoom,
    #[error("a thread has failed")]
    Thread(#[from] JoinError),
}

impl Watched {
    pub(super) fn new(issuer: &str, uri: &str, source: Arc<Source>) -> Self {
        Self {
            issuer: issuer.to_owned(),
            uri: uri.to_owned(),
            source,
            state: watch::Sender::new(State::Awaited),
            asked: Mutex::new(Instant::now()),
        }
    }

    /// Notes that a token refers to it.
    pub(super) fn is_asked_about(&self) {
        *self.asked.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    pub(super) fn was_asked_within(&self, time: Duration) -> bool {
        let asked = *self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        asked.elapsed() < time
    }

    /// The list, once it was fetched or could not be.
    pub(super) async fn known(&self) -> Option<Arc<Known>> {
        let mut state = self.state.subscribe();
        let is_decided = |state: &State| !matches!(state, State::Awaited);
        let state = state.wait_for(is_decided).await.ok()?.clone();
        state.known().filter(|known| !known.has_lapsed())
    }

    /// The list that answers were read from last.
    fn last(&self) -> Option<Arc<Known>> {
        self.state.borrow().clone().known()
    }

    /// How long it still counts, if it does.
    fn left(&self) -> Option<Duration> {
        let last = self.last()?;
        Some(last.until.saturating_duration_since(Instant::now()))
    }

    /// For how long it is watched after it was asked about: of one of which nothing is known, no edge
    /// remembers anything.
    pub(super) fn kept(&self, watched_for: Duration) -> Duration {
        match self.last() {
            Some(_) => watched_for,
            None => watched_for.min(2 * self.source.settings.refresh),
        }
    }

    /// Memory that it takes.
    pub(super) fn bytes(&self) -> usize {
        self.last().map_or(0, |known| known.list.bytes())
    }
}

impl State {
    fn known(self) -> Option<Arc<Known>> {
        match self {
            Self::Known(known) => Some(known),
            Self::Awaited | Self::Unknown => None,
        }
    }
}

impl Known {
    fn has_lapsed(&self) -> bool {
        Instant::now() >= self.until
    }
}

impl StatusLists {
    /// Fetches a list again and again, for as long as it is asked about.
    pub(super) async fn watch(self: Arc<Self>, watched: Arc<Watched>) {
        let (mut newest, mut failures) = (None, 0);
        loop {
            let pause = match self.fetched_in_time(&watched, newest).await {
                Ok(reading) => {
                    failures = 0;
                    newest = Some(reading.issued_at);
                    let pause = watched.pause(&reading);
                    self.apply(&watched, reading).await;
                    pause
                }
                Err(trouble) => {
                    failures += 1;
                    self.failed(&watched, failures, &trouble);
                    let longest = watched.source.settings.refresh;
                    let random = getrandom::u64().unwrap_or_default();
                    backoff::wait(FIRST_RETRY, longest, failures, random)
                }
            };
            self.let_lapse(&watched).await;
            // It is fetched in good time before it lapses, and when it does.
            let early = |left: Duration| (left / 2).max(SHORTEST_REFRESH).min(left);
            sleep(watched.left().map_or(pause, |left| pause.min(early(left)))).await;
            if self.forget(&watched) {
                // Its changes are told no more.
                let all = self.parts.filter_key.statuses(&watched.issuer);
                self.announce(&[all]).await;
                return;
            }
        }
    }

    /// Fetches a list, however long that takes; one that lapses meanwhile has lapsed all the same.
    async fn fetched_in_time(
        &self,
        watched: &Arc<Watched>,
        newest: Option<UnixTime>,
    ) -> Result<Reading, Trouble> {
        let mut fetched = pin!(self.fetched(watched, newest));
        loop {
            let left = watched.left();
            tokio::select! {
                biased;
                done = &mut fetched => return done,
                () = sleep(left.unwrap_or_default()), if left.is_some() => {
                    self.let_lapse(watched).await;
                }
            }
        }
    }

    async fn fetched(
        &self,
        watched: &Arc<Watched>,
        newest: Option<UnixTime>,
    ) -> Result<Reading, Trouble> {
        // It is never closed.
        let _turn = watched.source.fetching.acquire().await;
        let from = Arc::clone(watched);
        let token = spawn_blocking(move || from.source.fetch(&from.uri)).await??;
        let verifier = &self.parts.verifier;
        let token = verifier.verify_list(&watched.issuer, token).await?;
        let (of, clock_skew) = (Arc::clone(watched), self.parts.clock_skew);
        let reading = spawn_blocking(move || {
            let expected = Expected {
                issuer: &of.issuer,
                uri: &of.uri,
                not_before: newest,
                now: clock::now(),
                clock_skew,
            };
            read(&token, expected)
        });
        let reading = reading.await??;
        let (before, after) = (watched.bytes(), reading.list.bytes());
        let is_room = lock(&self.bytes).take(&watched.issuer, before, after);
        is_room.then_some(reading).ok_or(Trouble::NoRoom)
    }

    /// Has answers read from a list, and then tells edges what is another status in it than in the last.
    async fn apply(self: &Arc<Self>, watched: &Arc<Watched>, reading: Reading) {
        let longest = watched.source.settings.max_staleness;
        let good_for = reading.good_for.map_or(longest, |time| time.min(longest));
        let newer = Arc::new(Known {
            list: reading.list,
            until: Instant::now() + good_for,
        });
        self.parts.metrics.status_list_fetched(true);
        let older = watched.last();
        watched.state.send_replace(State::Known(Arc::clone(&newer)));
        let Some(older) = older else { return };
        let (lists, of) = (Arc::clone(self), Arc::clone(watched));
        let changes = spawn_blocking(move || lists.changes(&of, &older, &newer)).await;
        // A thread that has failed has said nothing of what has changed.
        let all = || vec![self.parts.filter_key.statuses(&watched.issuer)];
        let changes = changes.unwrap_or_else(|_| all());
        if !changes.is_empty() {
            let (uri, names) = (&watched.uri, changes.len());
            tracing::info!(uri, names, "a status list has changed");
        }
        self.announce(&changes).await;
    }

    /// Notes that nothing is known of a list, if it has lapsed or never was, and has edges forget what they
    /// remember of it.
    async fn let_lapse(&self, watched: &Watched) {
        let last = watched.last();
        let Some(last) = last else {
            watched.state.send_replace(State::Unknown);
            return;
        };
        if last.has_lapsed() {
            watched.state.send_replace(State::Unknown);
            lock(&self.bytes).give_back(&watched.issuer, last.list.bytes());
            let uri = &watched.uri;
            tracing::error!(
                uri,
                "a status list has lapsed: its tokens are refused (503)"
            );
            let all = self.parts.filter_key.statuses(&watched.issuer);
            self.announce(&[all]).await;
        }
    }

    fn failed(&self, watched: &Watched, failures: u32, trouble: &Trouble) {
        self.parts.metrics.status_list_fetched(false);
        // The first, and then one in a while.
        if failures.is_power_of_two() {
            let (uri, error) = (&watched.uri, chain_of(trouble));
            tracing::warn!(uri, failures, error, "could not fetch a status list");
        }
    }
}

impl Watched {
    /// Until it is fetched again.
    fn pause(&self, reading: &Reading) -> Duration {
        let refresh = self.source.settings.refresh;
        let pause = reading.ttl.map_or(refresh, |ttl| ttl.min(refresh));
        pause.max(SHORTEST_REFRESH)
    }
}
