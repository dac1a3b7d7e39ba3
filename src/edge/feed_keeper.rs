//! The revocation feed of one plugin in one virtual machine: who leads, and what the token cache
//! and the metrics are told.

use std::time::Duration;

use super::calls::Caller;
use super::{EdgeHost, Metric};
use crate::gate::Gate;
use crate::host::{BackgroundHost, CallId, CallOutcome, SharedData};
use crate::sync::{FeedCounts, FeedSource, Follower, Lease, Role, VoidTokens};

/// A heartbeat is due after this part of `max_staleness`. It is as old as the poll that it answers,
/// so the feed becomes two parts old when all is well; the third part is for a heartbeat that is
/// lost.
const HEARTBEATS_PER_STALENESS: u32 = 3;

/// However old the feed may become: what watches its age goes by the same number for every edge.
const LONGEST_HEARTBEAT: Duration = Duration::from_secs(10);

/// Keeps a gate's feed up to date.
#[derive(Debug)]
pub(super) struct FeedKeeper {
    follower: Follower,
    lease: Lease,
    reported: FeedCounts,
}

impl FeedKeeper {
    /// The keeper of this gate's feed, if it has one.
    pub(super) fn new(host: &impl BackgroundHost, gate: &Gate) -> Option<Self> {
        let (settings, view) = gate.feed()?;
        let source = FeedSource {
            cluster: settings.cluster.clone(),
            authority: settings.authority.clone(),
            credential: settings.credential.clone(),
            keys: settings.keys.clone(),
            heartbeat: (settings.max_staleness / HEARTBEATS_PER_STALENESS).min(LONGEST_HEARTBEAT),
            reload_jitter: settings.reload_jitter,
            max_staleness: settings.max_staleness,
        };
        let mut follower = Follower::new(source, view.clone());
        // Takes over what another plugin or an earlier configuration has loaded; otherwise requests
        // would be refused until the first tick.
        follower.on_tick(host, Role::Follows);
        Some(Self {
            follower,
            lease: Lease::new(settings.space(), host.random()),
            reported: FeedCounts::default(),
        })
    }

    /// Takes over what is published, and follows the authority if this virtual machine leads. Says
    /// what has changed, after it has voided the cached tokens.
    pub(super) fn tick<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
    ) -> Option<VoidTokens> {
        let now = host.now_milliseconds();
        let role = self.lease.tick(host, now);
        let changes = self.follower.on_tick(host, role);
        match &changes {
            Some(VoidTokens::All) => gate.void_all(),
            Some(VoidTokens::Named(names)) => gate.void(names),
            None => {}
        }
        let leads = role == Role::Leads;
        if leads && self.follower.is_hopeless(now) {
            self.lease.stand_back(host, now, host.random());
        }
        self.report(host);
        if leads && let Some((_, view)) = gate.feed() {
            host.measure(Metric::Feed {
                state: view.state().as_deref(),
                fill: self.follower.fill(),
                staleness: self.follower.staleness(now),
            });
        }
        changes
    }

    /// Takes the end of one of its calls.
    pub(super) fn answered<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        call: CallId,
        outcome: &CallOutcome,
    ) {
        self.follower.on_response(host, call, outcome);
        self.report(host);
    }

    /// Lets another virtual machine lead at once.
    pub(super) fn release(&self, host: &impl SharedData) {
        self.lease.release(host);
    }

    fn report<H: EdgeHost>(&mut self, host: &Caller<'_, H>) {
        let counts = self.follower.counts();
        host.measure(Metric::FeedCounts {
            before: &self.reported,
            now: &counts,
        });
        self.reported = counts;
    }
}
