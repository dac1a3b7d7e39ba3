//! The revocation feed of one plugin in one virtual machine: who leads, and what the cache and the
//! metrics learn of it.

use super::background::Background;
use super::metrics::Metrics;
use crate::gate::Gate;
use crate::host::{BackgroundHost as _, CallId, CallOutcome};
use crate::sync::{FeedCounts, FeedSource, Follower, Lease, Purge, Role};

/// A heartbeat comes after this part of the staleness that is put up with. What it tells is as old as
/// its question, so that what is held grows two parts old when all is well; the third is for a
/// heartbeat that is lost.
const HEARTBEATS_PER_STALENESS: u32 = 3;

pub(super) struct Feed {
    follower: Follower,
    lease: Lease,
    reported: FeedCounts,
}

impl Feed {
    /// The feed of this gate, if it has one.
    pub(super) fn new(gate: &Gate) -> Option<Self> {
        let (settings, view) = gate.feed()?;
        let source = FeedSource {
            cluster: settings.cluster.clone(),
            authority: settings.authority.clone(),
            credential: settings.credential.clone(),
            keys: settings.keys.clone(),
            heartbeat: settings.max_staleness / HEARTBEATS_PER_STALENESS,
            reload_jitter: settings.reload_jitter,
            max_staleness: settings.max_staleness,
        };
        let mut follower = Follower::new(source, view.clone());
        // What another plugin or an earlier configuration has loaded is there before the first
        // request; otherwise requests would be refused until the first tick.
        follower.on_tick(&Background, false);
        Some(Self {
            follower,
            lease: Lease::new(settings.space(), Background.random()),
            reported: FeedCounts::default(),
        })
    }

    pub(super) fn tick(&mut self, gate: &Gate, metrics: &Metrics) {
        let now = Background.now_milliseconds();
        let leads = self.lease.tick(&Background, now) == Role::Leads;
        match self.follower.on_tick(&Background, leads) {
            Some(Purge::Everything) => gate.forget(None),
            Some(Purge::Named(names)) => gate.forget(Some(&names)),
            None => {}
        }
        if leads && self.follower.is_hopeless(now) {
            self.lease.stand_back(&Background, now, Background.random());
        }
        self.report(metrics);
        if leads && let Some((_, view)) = gate.feed() {
            let state = view.state();
            let staleness = self.follower.staleness(now);
            metrics.show_feed(state.as_deref(), self.follower.fill(), staleness);
        }
    }

    /// An answer to a call of the root context.
    pub(super) fn answered(&mut self, call: CallId, outcome: &CallOutcome, metrics: &Metrics) {
        self.follower.on_response(&Background, call, outcome);
        self.report(metrics);
    }

    /// Lets another virtual machine lead at once.
    pub(super) fn release(&self) {
        self.lease.release(&Background);
    }

    fn report(&mut self, metrics: &Metrics) {
        let counts = self.follower.counts();
        metrics.count_feed(&self.reported, &counts);
        self.reported = counts;
    }
}
