//! Following the authority's feed.
//!
//! Every virtual machine runs a [`Follower`]. On each tick it looks whether the state in shared
//! data has changed, and says which cached tokens have to go. The one that leads talks to the
//! authority as well: it loads a generation when there is none or a newer one, and keeps a long
//! poll open for what changes. A message that is not signed, does not answer the question or does
//! not continue the history is never applied; what is held stays, and it is asked again, later
//! and later, with jitter.

use std::rc::Rc;
use std::time::Duration;

use super::announcement::{Begun, Purge, purge};
use super::discard::Discard;
use super::fault::Fault;
use super::line::Line;
use super::loader::{LoadError, Loader};
use super::mark::{Mark, fresher};
use super::trouble::Trouble;
use crate::host::{BackgroundHost, Call, CallId, CallOutcome, Expected, SharedData};
use crate::revocation::{
    Batch, BatchError, FeedKeys, FeedState, Fill, ManifestError, SharedFilter, Signer, View,
};
use crate::time::{Interval, milliseconds};

mod loading;
mod outage;
mod remarks;

use remarks::{Remarks, Work};

/// Where the feed comes from.
#[derive(Clone)]
pub struct FeedSource {
    /// Envoy's name for the authority.
    pub cluster: String,
    /// `:authority` of the requests.
    pub authority: String,
    /// What stands after `Bearer `; an `edge` credential.
    pub credential: String,
    /// Keys that may sign the feed.
    pub keys: FeedKeys,
    /// How long the authority may hold a poll back when nothing changes. A heartbeat comes after
    /// it, so it is a part of the staleness that is put up with.
    pub heartbeat: Duration,
    /// Most of the delay before a newer generation is loaded, so that a thousand edges do not all
    /// load it at once.
    pub reload_jitter: Duration,
    /// The age past which it is said that the feed is stale.
    pub max_staleness: Duration,
}

impl std::fmt::Debug for FeedSource {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("FeedSource")
            .field("cluster", &self.cluster)
            .finish_non_exhaustive()
    }
}

/// What happened, for metrics. All of them only grow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Batches with changes that were applied.
    pub batches: u64,
    /// Changes in them.
    pub changes: u64,
    /// Batches without changes.
    pub heartbeats: u64,
    /// Generations that were loaded.
    pub generations: u64,
    /// Calls that came to nothing, by the number of the [`Fault`].
    pub faults: [u64; Fault::ALL.len()],
}

impl Counts {
    /// How often there was this fault.
    #[must_use]
    pub fn of(&self, fault: Fault) -> u64 {
        self.faults.get(fault as usize).copied().unwrap_or_default()
    }

    fn add(&mut self, fault: Fault) {
        if let Some(count) = self.faults.get_mut(fault as usize) {
            *count += 1;
        }
    }
}

/// Follows one feed.
#[derive(Debug)]
pub struct Follower {
    source: FeedSource,
    filter: SharedFilter,
    view: Rc<View>,
    version: u32,
    is_leading: bool,
    remarks: Remarks,
    /// The moment from before which nothing was missing when this one last looked, or that of the
    /// first leader while nothing was ever loaded.
    heard_at: u64,
    /// Whether this one has heard the authority since it began to lead.
    has_heard: bool,
    trouble: Trouble,
    poll: Line<Asked>,
    mark: Mark,
    /// The newest generation that the authority has told of.
    told: u64,
    load: Line<Step>,
    /// For the manifest of what is held, under a signature that is pinned here. A line of its own:
    /// the pauses after its failures are not for what has to be loaded.
    attest: Line<()>,
    loader: Option<Loader>,
    /// Set when a generation has to be loaded, to what is waited for before that.
    load_after: Option<Interval>,
    /// When this one has last loaded one.
    loaded_at: u64,
    discard: Option<Discard>,
    /// How full the records are, and when that was looked at.
    fill: (Option<Fill>, Interval),
    counts: Counts,
}

/// What the loader's outstanding call is for.
#[derive(Debug)]
enum Step {
    Manifest,
    Segment,
    Changes(Asked),
}

/// A question that was asked for changes.
#[derive(Clone, Copy, Debug)]
struct Asked {
    nonce: u64,
    /// When, in milliseconds.
    sent: u64,
    /// How long the authority may hold it back while there is none.
    wait: Duration,
}

/// Why an answer is not used.
#[derive(Debug, thiserror::Error)]
enum Refusal {
    #[error("batch: {0}")]
    Batch(#[from] BatchError),
    #[error("manifest: {0}")]
    Manifest(#[from] ManifestError),
    #[error("{0}")]
    Load(#[from] LoadError),
    #[error("the answer is to another question")]
    Nonce,
    #[error("changes do not continue the history that is held")]
    Discontinuous,
    #[error("changes that are held already are not in the authority's history any more")]
    Lost,
    #[error("the manifest is older than what is held")]
    Replayed,
    #[error("the authority has fewer changes than what is held")]
    Lagging,
}

impl Refusal {
    /// Whether it is a matter of what is held, and so none any more when that is loaded anew.
    const fn is_mended_by_loading(&self) -> bool {
        matches!(self, Self::Load(_) | Self::Discontinuous | Self::Lost)
    }
}

const CALL_TIMEOUT: Duration = Duration::from_secs(5);
/// Empty answers do not come faster than this, whatever the authority does.
const SHORTEST_POLL: Duration = Duration::from_millis(500);
/// Records that are found missing as soon as they are loaded are not loaded again sooner than this:
/// somebody who writes over them all the time would have the whole filter fetched all the time.
/// Meanwhile the authority is asked about every token.
const REPAIR_PAUSE: Duration = Duration::from_secs(3);
/// Most of the delay before a generation is loaded that replaces a crowded one.
const CROWDED_JITTER: Duration = Duration::from_secs(1);
/// How often it is looked how full the records are.
const FILL_INTERVAL: Duration = Duration::from_secs(1);

impl Follower {
    /// A follower that keeps `view` right, which holds nothing yet.
    #[must_use]
    pub fn new(source: FeedSource, view: Rc<View>) -> Self {
        Self {
            source,
            filter: view.filter().clone(),
            view,
            version: 0,
            is_leading: false,
            remarks: Remarks::default(),
            heard_at: 0,
            has_heard: false,
            trouble: Trouble::default(),
            poll: Line::default(),
            mark: Mark::default(),
            told: 0,
            load: Line::default(),
            attest: Line::default(),
            loader: None,
            load_after: None,
            loaded_at: 0,
            discard: None,
            fill: (None, Interval::new(0, Duration::ZERO)),
            counts: Counts::default(),
        }
    }

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.counts
    }

    /// How full the records are, if this one leads and has looked.
    #[must_use]
    pub const fn fill(&self) -> Option<Fill> {
        self.fill.0
    }

    /// What stands in shared data, whoever has signed it. It was written by one of ours, who has
    /// verified it by its own keys.
    fn read_state(&self, host: &impl SharedData) -> Option<(FeedState, u32)> {
        self.filter.state(host)
    }

    /// Looks at shared data, and when this virtual machine leads, at the authority. Says what has
    /// to leave the cache of tokens, if anything.
    pub fn on_tick(&mut self, host: &impl BackgroundHost, is_leading: bool) -> Option<Purge> {
        let purge = self.refresh(host);
        if is_leading && !self.is_leading {
            let now = host.now_milliseconds();
            // Whoever led before may have died before it had tidied up.
            self.discard = Some(Discard::begin(now));
            self.remarks = Remarks::begin(host, self.filter.space(), now);
            // An outage does not begin anew with every leader.
            let heard = self
                .read_state(host)
                .map_or(self.remarks.began_at, |(state, _)| state.verified_at);
            self.heard_at = heard;
            self.poll = Line::well_at(heard);
            self.load = Line::well_at(heard);
            self.attest = Line::well_at(heard);
        }
        if !is_leading && self.is_leading {
            self.poll = Line::default();
            self.load = Line::default();
            self.attest = Line::default();
            self.has_heard = false;
            self.trouble = Trouble::default();
            self.loader = None;
            // Whoever leads now finds out for itself, and has perhaps loaded it long since when
            // this one leads again.
            self.load_after = None;
        }
        self.is_leading = is_leading;
        if is_leading {
            self.lead(host);
        }
        purge
    }

    /// Takes over a state that another virtual machine, or this one, has written.
    fn refresh(&mut self, host: &impl SharedData) -> Option<Purge> {
        let held = self.view.state();
        let Some((state, version)) = self.view.published(host) else {
            // Somebody wrote over it, or keys sign it now that are not pinned here. What is held is
            // still true, but nothing adds to it any more.
            self.version = 0;
            self.view.replace(None);
            return held.map(|_| Purge::Everything);
        };
        if version == self.version && held.is_some() {
            return None;
        }
        self.version = version;
        let purge = purge(host, &self.filter, held.as_deref(), &state);
        self.view.replace(Some(state));
        Some(purge).filter(|purge| *purge != Purge::Named(Vec::new()))
    }

    /// How old what is held is, in milliseconds, if this one leads; as long as there has never been
    /// anything, for how long it has been tried.
    #[must_use]
    pub const fn staleness(&self, now_milliseconds: u64) -> u64 {
        now_milliseconds.saturating_sub(self.heard_at)
    }

    /// Whether this one should leave the lead to others, since it cannot do what a leader has to.
    #[must_use]
    pub fn is_hopeless(&self, now_milliseconds: u64) -> bool {
        self.trouble.is_hopeless(now_milliseconds)
    }

    fn lead(&mut self, host: &impl BackgroundHost) {
        let now = host.now_milliseconds();
        let longest_poll = self.source.heartbeat + 2 * CALL_TIMEOUT;
        if self.poll.give_up(host, longest_poll) {
            self.on_no_use(host, Work::Poll, &CallOutcome::Failed);
        }
        if self.load.give_up(host, 2 * CALL_TIMEOUT) {
            self.on_no_use(host, Work::Load, &CallOutcome::Failed);
            self.loader = None;
        }
        if self.attest.give_up(host, 2 * CALL_TIMEOUT) {
            self.on_no_use(host, Work::Attest, &CallOutcome::Failed);
        }
        if self
            .read_state(host)
            .is_none_or(|(state, _)| self.filter.is_damaged(host, &state))
        {
            let pause = Interval::new(self.loaded_at, REPAIR_PAUSE);
            self.load_within(now, pause.remaining(now));
        }
        if self.load.is_free(now) {
            self.continue_loading(host, now);
        }
        if self.attest.is_free(now) {
            self.continue_attesting(host);
        }
        if self.poll.is_free(now) {
            self.start_poll(host);
        }
        self.continue_discarding(host, now);
        self.look_at_the_age(host, now);
        if !self.fill.1.contains(now)
            && let Some(state) = self.view.state()
        {
            let fill = self.filter.fill(host, &state, host.random());
            self.fill = (fill, Interval::new(now, FILL_INTERVAL));
        }
    }

    /// An answer to one of this follower's calls; `false` for anybody else's.
    pub fn on_response(
        &mut self,
        host: &impl BackgroundHost,
        id: CallId,
        outcome: &CallOutcome,
    ) -> bool {
        if let Some(asked) = self.poll.take(id) {
            self.on_poll(host, asked, outcome);
            if self.poll.is_free(host.now_milliseconds()) {
                self.start_poll(host);
            }
            return true;
        }
        if let Some(step) = self.load.take(id) {
            self.on_load(host, &step, outcome);
            return true;
        }
        if self.attest.take(id).is_some() {
            self.on_attest(host, outcome);
            return true;
        }
        false
    }

    // --- the long poll

    fn start_poll(&mut self, host: &impl BackgroundHost) {
        let Some((state, _)) = self.read_state(host) else {
            return;
        };
        // Who begins to lead finds out at once how things stand: the one before may have been in
        // the middle of a poll, time and again, and what is held grows stale meanwhile. The same
        // after a failure.
        let wait = if self.has_heard && self.poll.is_well() {
            self.source.heartbeat
        } else {
            Duration::ZERO
        };
        let asked = Asked::now(host, wait);
        let call = self.changes_call(&state, asked);
        if let Err(reason) = self.poll.start(host, &call, asked) {
            self.on_not_sent(host, Work::Poll, reason);
        }
    }

    fn on_poll(&mut self, host: &impl BackgroundHost, asked: Asked, outcome: &CallOutcome) {
        let now = host.now_milliseconds();
        match outcome {
            CallOutcome::Answered {
                status: 200, body, ..
            } => match self.apply(host, asked, body) {
                Ok(changes) => {
                    self.poll.succeed(host);
                    self.has_heard = true;
                    self.trouble = Trouble::default();
                    self.settle(host, Work::Poll);
                    if changes == 0 && asked.wait == self.source.heartbeat {
                        self.poll.rest(SHORTEST_POLL);
                    }
                }
                Err(refusal) => self.refuse(host, &refusal),
            },
            // The authority has forgotten what came after our sequence number, or begun anew.
            CallOutcome::Answered {
                status: 409 | 410, ..
            } => {
                self.load_within(now, Duration::ZERO);
                self.poll.fail(host);
            }
            _ => {
                self.on_no_use(host, Work::Poll, outcome);
                self.poll.fail(host);
            }
        }
    }

    /// Applies a batch to what is held and says how many changes there were.
    fn apply(
        &mut self,
        host: &impl BackgroundHost,
        asked: Asked,
        body: &[u8],
    ) -> Result<usize, Refusal> {
        let (batch, signer) = self.fresh_batch(asked, body)?;
        // Not `self.state`: that is what the cache of tokens has been told of.
        let Some((state, version)) = self.read_state(host) else {
            return Ok(0);
        };
        if batch.epoch == state.epoch && batch.after < state.sequence {
            // Another leader was faster. What it has not applied either is asked for next.
            return Ok(0);
        }
        if (batch.epoch, batch.after, batch.chain) != (state.epoch, state.sequence, state.chain) {
            return Err(Refusal::Discontinuous);
        }
        let begun = Begun::read(host, &self.filter, &state);
        if begun.is_lost_by(&batch) {
            return Err(Refusal::Lost);
        }
        let mut next = state.clone();
        next.sequence = batch.through();
        next.chain = batch.chain_through();
        next.evidence = batch.evidence;
        next.batch_signer = signer;
        if batch.changes.is_empty() {
            self.counts.heartbeats += 1;
        } else {
            // Wrapping, since the count comes from shared data: one that goes back empties caches.
            next.batches = next.batches.wrapping_add(1);
            if !begun.announce(host, &self.filter, &next, &batch) {
                // Another leader is about to apply the same.
                return Ok(0);
            }
            if self.read_state(host).is_none_or(|(_, now)| now != version) {
                // It has done so, and what was announced here is looked for no more where later
                // batches are in: nothing may be applied by it.
                return Ok(0);
            }
            if !self.apply_changes(host, &state, version, &batch)? {
                return Ok(0);
            }
            self.counts.batches += 1;
            self.counts.changes += batch.changes.len() as u64;
        }
        self.told = batch.generation;
        if state.is_older_than(batch.epoch, batch.generation) {
            self.load_newer(host, &state);
        }
        let found = self.mark.reached(&batch, asked.sent);
        next.verified_at = fresher(state.verified_at, found, host.now_milliseconds());
        // When another leader was at work at the same time, its state stays. What was written here
        // does no harm to that: it has all of it already, or will have.
        let expected = Expected::Version(version);
        self.filter.write_state(host, &next, expected);
        // What is held is taken from there on the next tick, together with what has to leave the
        // cache.
        Ok(batch.changes.len())
    }

    /// Applies the changes of a batch to the records of the state with this version. `false` when
    /// another leader has replaced that state, and its records with it.
    fn apply_changes(
        &self,
        host: &impl BackgroundHost,
        state: &FeedState,
        version: u32,
        batch: &Batch,
    ) -> Result<bool, Refusal> {
        let is_applied = self.filter.apply(host, state, batch.after, &batch.changes);
        if !is_applied {
            if self.read_state(host).is_some_and(|(_, now)| now != version) {
                return Ok(false);
            }
            self.filter.report_damage(host, state);
            return Err(LoadError::Gone.into());
        }
        Ok(true)
    }

    fn fresh_batch(&self, asked: Asked, body: &[u8]) -> Result<(Batch, Signer), Refusal> {
        let (batch, signer) = Batch::decode_signed(body, &self.source.keys)?;
        if batch.nonce == asked.nonce {
            Ok((batch, signer))
        } else {
            Err(Refusal::Nonce)
        }
    }

    fn refuse(&mut self, host: &impl BackgroundHost, refusal: &Refusal) {
        // What a generation that is on its way mends says nothing against the one that loads it:
        // whoever leads next would have to begin with that anew.
        let is_being_mended = self.load_after.is_some() && refusal.is_mended_by_loading();
        if !is_being_mended {
            self.trouble.refused(host.now_milliseconds());
        }
        self.on_refusal(host, Work::Poll, refusal);
        if matches!(refusal, Refusal::Discontinuous | Refusal::Lost) {
            self.load_within(host.now_milliseconds(), Duration::ZERO);
        }
        self.poll.fail(host);
    }

    /// A newer generation can wait, so that a thousand edges do not all load it at once; it waits for
    /// less where the one that is held is crowded.
    fn load_newer(&mut self, host: &impl BackgroundHost, state: &FeedState) {
        let now = host.now_milliseconds();
        let jitter =
            |longest: Duration| Duration::from_millis(host.random() % milliseconds(longest).max(1));
        let longest = self.source.reload_jitter;
        let known = self.load_after.map(|pause| pause.remaining(now));
        if known.is_none() {
            self.load_within(now, jitter(longest));
        }
        let is_late = known.is_none_or(|known| known > CROWDED_JITTER);
        if is_late
            && let Some(fill) = self.filter.fill(host, state, host.random())
            && fill.is_crowded()
        {
            self.load_within(now, jitter(longest.min(CROWDED_JITTER)));
        }
    }

    /// What can wait is loaded with jitter; what cannot does not wait for that.
    fn load_within(&mut self, now: u64, longest: Duration) {
        let known = self.load_after.map(|pause| pause.remaining(now));
        if known.is_none_or(|known| longest < known) {
            self.load_after = Some(Interval::new(now, longest));
        }
    }

    // --- tidying up

    /// Empties what nobody reads any more, some of it at a time, unless a generation is being loaded.
    fn continue_discarding(&mut self, host: &impl BackgroundHost, now: u64) {
        let (Some(discard), Some(state)) = (&mut self.discard, self.view.state()) else {
            return;
        };
        if self.loader.is_none() && discard.step(host, &self.filter, &state, now) {
            self.discard = None;
        }
    }

    // --- calls

    /// Asks for what came after a state, which says what it holds.
    fn changes_call(&self, state: &FeedState, asked: Asked) -> Call {
        let Asked { nonce, sent, wait } = asked;
        let (epoch, after, chain) = (state.epoch, state.sequence, state.chain.to_text());
        let evidence = state.evidence.to_text();
        let generation = state.generation.max(self.told);
        let wait_seconds = wait.as_secs();
        let path = format!(
            "/v1/feed/deltas?epoch={epoch}&after={after}&chain={chain}&evidence={evidence}\
             &generation={generation}&time={sent}&nonce={nonce}&wait={wait_seconds}"
        );
        self.get(path, wait + CALL_TIMEOUT)
    }

    fn get(&self, path: String, timeout: Duration) -> Call {
        Call {
            cluster: self.source.cluster.clone(),
            method: "GET",
            authority: self.source.authority.clone(),
            path,
            headers: vec![(
                "authorization",
                format!("Bearer {}", self.source.credential),
            )],
            body: None,
            timeout,
        }
    }
}

impl Asked {
    /// A question that is about to be sent.
    fn now(host: &impl BackgroundHost, wait: Duration) -> Self {
        Self {
            nonce: host.random(),
            sent: host.now_milliseconds(),
            wait,
        }
    }
}

#[cfg(test)]
mod tests;
