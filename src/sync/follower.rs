//! Following the authority's feed.
//!
//! Every virtual machine runs a [`Follower`]. On each tick it looks whether the state in shared
//! data has changed, and says which cached tokens are void. The leader also talks to the authority:
//! it loads a generation when there is none or a newer one, and keeps a long poll open for changes.
//! A message that is not signed, does not answer the call or does not continue the history is never
//! applied; the current state stays, and the call is retried, with growing pauses and jitter.
//!
//! | part of a leader | its work |
//! |---|---|
//! | `polling` | the long poll, and the changes that come by it |
//! | `loading` | a generation, from its manifest to the switch |
//! | `attesting` | a signature by the current key for the manifest in use |
//! | `tidying` | records of older generations, and how full those of this one are |
//! | `outage` | counting and logging failed calls and a stale feed |

use std::rc::Rc;
use std::time::Duration;

use super::announcement::{VoidTokens, void_tokens};
use super::fault::Fault;
use super::lease::Role;
use crate::host::{BackgroundHost, CallId, CallOutcome, SharedData};
use crate::revocation::{FeedKeys, Fill, View};

mod attesting;
mod calls;
mod lead;
mod loading;
mod outage;
mod polling;
mod remarks;
mod tidying;

use lead::{Lead, Scope};
use outage::Report;

/// The source of the feed.
#[derive(Clone)]
pub struct FeedSource {
    /// Envoy's name for the authority.
    pub cluster: String,
    /// `:authority` of the requests.
    pub authority: String,
    /// The bearer token; an `edge` credential.
    pub credential: String,
    /// Keys that may sign the feed.
    pub keys: FeedKeys,
    /// How long the authority may hold a poll when nothing changes. A heartbeat comes after it, so
    /// it is a part of `max_staleness`.
    pub heartbeat: Duration,
    /// The longest random delay before a newer generation is loaded, so that a thousand edges do
    /// not all load it at once.
    pub reload_jitter: Duration,
    /// The age past which the feed is reported as stale.
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

/// Counters for metrics. All of them only grow.
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
    /// Calls that failed, by the number of the [`Fault`].
    pub faults: [u64; Fault::ALL.len()],
}

impl Counts {
    /// How often this fault has occurred.
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
    view: Rc<View>,
    /// The version in shared data of the view's state.
    version: Option<u32>,
    report: Report,
    /// The leader's work, while this one leads.
    lead: Option<Lead>,
}

impl Follower {
    /// A follower that updates `view`, which is still empty.
    #[must_use]
    pub fn new(source: FeedSource, view: Rc<View>) -> Self {
        Self {
            source,
            view,
            version: None,
            report: Report::default(),
            lead: None,
        }
    }

    /// The counters so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.report.counts
    }

    /// How full the records are, if this one leads and has measured.
    #[must_use]
    pub fn fill(&self) -> Option<Fill> {
        self.lead.as_ref()?.fill()
    }

    /// Staleness in milliseconds, if this one leads; as long as nothing was ever loaded, the time
    /// since loading was first tried.
    #[must_use]
    pub const fn staleness(&self, now_milliseconds: u64) -> u64 {
        self.report.staleness(now_milliseconds)
    }

    /// Whether this one should leave the lead to others, since it does not succeed.
    #[must_use]
    pub fn is_hopeless(&self, now_milliseconds: u64) -> bool {
        self.report.is_hopeless(now_milliseconds)
    }

    /// Looks at shared data and, as the leader, at the authority. Returns which cached tokens are
    /// void, if any.
    pub fn on_tick(&mut self, host: &impl BackgroundHost, role: Role) -> Option<VoidTokens> {
        let void = self.refresh(host);
        let mut scope = Scope {
            host,
            source: &self.source,
            view: &self.view,
            report: &mut self.report,
        };
        if role == Role::Leads {
            let lead = self.lead.get_or_insert_with(|| Lead::begin(&mut scope));
            lead.tick(&mut scope);
        } else if self.lead.take().is_some() {
            scope.report.hand_over();
        }
        void
    }

    /// Adopts a state that another virtual machine, or this one, has written.
    fn refresh(&mut self, host: &impl SharedData) -> Option<VoidTokens> {
        let held = self.view.state();
        let Some((state, version)) = self.view.published(host) else {
            // The record was overwritten, or is signed by keys that are not pinned here. The view's
            // state is still true, but nothing updates it any more.
            self.version = None;
            self.view.replace(None);
            return held.map(|_| VoidTokens::All);
        };
        if self.version == Some(version) && held.is_some() {
            return None;
        }
        self.version = Some(version);
        let void = void_tokens(host, self.view.filter(), held.as_deref(), &state);
        self.view.replace(Some(state));
        Some(void).filter(|void| *void != VoidTokens::Named(Vec::new()))
    }

    /// The end of one of this follower's calls. Other calls are ignored.
    pub fn on_response(&mut self, host: &impl BackgroundHost, id: CallId, outcome: &CallOutcome) {
        let mut scope = Scope {
            host,
            source: &self.source,
            view: &self.view,
            report: &mut self.report,
        };
        if let Some(lead) = &mut self.lead {
            lead.on_response(&mut scope, id, outcome);
        }
    }
}

#[cfg(test)]
mod tests;
