//! Emptying the records of older generations, and measuring how full those of the current one are.

use std::time::Duration;

use super::lead::Scope;
use crate::host::BackgroundHost;
use crate::revocation::Fill;
use crate::sync::discard::Discard;
use crate::time::Interval;

/// How often the fill of the records is measured.
const FILL_INTERVAL: Duration = Duration::from_secs(1);

/// Maintains the records of the feed.
#[derive(Debug)]
pub(super) struct Tidier {
    discard: Option<Discard>,
    fill: Option<Fill>,
    /// How long the last measurement counts.
    fill_counts: Interval,
}

impl Tidier {
    /// Begins by emptying records that are not in use.
    pub(super) fn begin(now: u64) -> Self {
        Self {
            discard: Some(Discard::begin(now)),
            fill: None,
            fill_counts: Interval::default(),
        }
    }

    /// How full the records were when last measured.
    pub(super) const fn fill(&self) -> Option<Fill> {
        self.fill
    }

    /// Begins to empty the records that a new generation has replaced.
    pub(super) fn discard(&mut self, now: u64) {
        self.discard = Some(Discard::begin(now));
    }

    /// Empties some more records, unless a generation is being loaded, and measures the fill from
    /// time to time.
    pub(super) fn advance(&mut self, scope: &Scope<'_, impl BackgroundHost>, is_loading: bool) {
        let Some(state) = scope.view.state() else {
            return;
        };
        let (host, filter, now) = (scope.host, scope.filter(), scope.now());
        if !is_loading
            && let Some(discard) = &mut self.discard
            && discard.step(host, filter, &state, now)
        {
            self.discard = None;
        }
        if !self.fill_counts.contains(now) {
            self.fill = filter.fill(host, &state, host.random());
            self.fill_counts = Interval::new(now, FILL_INTERVAL);
        }
    }
}
