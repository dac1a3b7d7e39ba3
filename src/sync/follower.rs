//! Following the authority's feed.
//!
//! Every virtual machine runs a [`Follower`]. On each tick it looks whether the state in shared
//! data has changed, and says which cached tokens are void. The one that leads talks to the
//! authority as well: it loads a generation when there is none or a newer one, and keeps a long
//! poll open for what changes. A message that is not signed, does not answer the call or does not
//! continue the history is never applied; what is held stays, and the call is made again, later
//! and later, with jitter.
//!
//! | part of a leader | its work |
//! |---|---|
//! | `polling` | the long poll, and the changes that come by it |
//! | `loading` | a generation, from its manifest to the switch |
//! | `attesting` | a signature by the current key for what is held |
//! | `tidying` | records of older generations, and how full those of this one are |
//! | `outage` | what is counted and logged of calls that fail and of a feed that grows old |

use std::rc::Rc;
use std::time::Duration;

use super::announcement::{VoidTokens, void_tokens};
use super::fault::Fault;
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
    /// it, so it is a part of `max_staleness`.
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
    view: Rc<View>,
    /// The version in shared data of what the view holds.
    version: Option<u32>,
    report: Report,
    /// What this one does while it leads.
    lead: Option<Lead>,
}

impl Follower {
    /// A follower that keeps `view` right, which holds nothing yet.
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

    /// What happened so far.
    #[must_use]
    pub const fn counts(&self) -> Counts {
        self.report.counts
    }

    /// How full the records are, if this one leads and has looked.
    #[must_use]
    pub fn fill(&self) -> Option<Fill> {
        self.lead.as_ref()?.fill()
    }

    /// How old what is held is, in milliseconds, if this one leads; as long as there has never been
    /// anything, for how long it has been tried.
    #[must_use]
    pub const fn staleness(&self, now_milliseconds: u64) -> u64 {
        self.report.staleness(now_milliseconds)
    }

    /// Whether this one should leave the lead to others, since it cannot do what a leader has to.
    #[must_use]
    pub fn is_hopeless(&self, now_milliseconds: u64) -> bool {
        self.report.is_hopeless(now_milliseconds)
    }

    /// Looks at shared data, and when this virtual machine leads, at the authority. Says which tokens
    /// of the cache are void, if any.
    pub fn on_tick(&mut self, host: &impl BackgroundHost, is_leading: bool) -> Option<VoidTokens> {
        let void = self.refresh(host);
        let mut scope = Scope {
            host,
            source: &self.source,
            view: &self.view,
            report: &mut self.report,
        };
        if is_leading {
            let lead = self.lead.get_or_insert_with(|| Lead::begin(&mut scope));
            lead.tick(&mut scope);
        } else if self.lead.take().is_some() {
            scope.report.hand_over();
        }
        void
    }

    /// Takes over a state that another virtual machine, or this one, has written.
    fn refresh(&mut self, host: &impl SharedData) -> Option<VoidTokens> {
        let held = self.view.state();
        let Some((state, version)) = self.view.published(host) else {
            // The record was written over, or is signed by keys that are not pinned here. What is
            // held is still true, but nothing adds to it any more.
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

    /// The end of one of this follower's calls. That of any other call changes nothing.
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
