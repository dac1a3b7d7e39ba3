//! What one virtual machine knows of the feed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::{FeedKeys, FeedState, Names, SharedFilter, Status};
use crate::host::SharedData;
use crate::namespace::Namespace;

/// How far ahead of the clock the last answer may lie: clocks are corrected now and then.
const AHEAD_MILLISECONDS: u64 = 5_000;

/// The feed as this virtual machine saw it on its last tick. Shared between the follower, which
/// updates it, and the gate, which reads it.
#[derive(Debug)]
pub struct View {
    filter: SharedFilter,
    keys: FeedKeys,
    state: RefCell<Option<Rc<FeedState>>>,
}

/// Whether the feed can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No generation has been loaded.
    Missing,
    /// The authority has been silent for longer than `max_staleness`.
    Stale,
    /// The authority was heard within `max_staleness`.
    Current,
}

impl View {
    /// A view, empty as yet, of the feed whose records are in this namespace, as far as these keys
    /// vouch for it.
    #[must_use]
    pub fn new(space: Namespace, keys: FeedKeys) -> Self {
        Self {
            filter: SharedFilter::new(space),
            keys,
            state: RefCell::new(None),
        }
    }

    /// The current state.
    #[must_use]
    pub fn state(&self) -> Option<Rc<FeedState>> {
        self.state.borrow().clone()
    }

    /// The current state, or, before the first tick that has found one, the state in shared data:
    /// another virtual machine may have loaded it in between.
    fn at_hand(&self, host: &impl SharedData) -> Option<Rc<FeedState>> {
        self.state()
            .or_else(|| Some(Rc::new(self.published(host)?.0)))
    }

    /// The state in shared data, if the keys vouch for it, and its version there.
    pub(crate) fn published(&self, host: &impl SharedData) -> Option<(FeedState, u32)> {
        let found = self.filter.state(host)?;
        found.0.is_trusted_by(&self.keys).then_some(found)
    }

    pub(crate) fn replace(&self, state: Option<FeedState>) {
        self.state.replace(state.map(Rc::new));
    }

    pub(crate) const fn filter(&self) -> &SharedFilter {
        &self.filter
    }

    /// Whether the feed can be relied on at `now_milliseconds`, by the clock that it was followed
    /// with. A clock that was set back makes the feed stale until the authority is heard again,
    /// since its age is unknown.
    #[must_use]
    pub fn standing(
        &self,
        host: &impl SharedData,
        now_milliseconds: u64,
        max_staleness: Duration,
    ) -> Standing {
        let Some(state) = self.at_hand(host) else {
            return Standing::Missing;
        };
        let age = now_milliseconds.saturating_sub(state.verified_at);
        let is_ahead = state.verified_at > now_milliseconds.saturating_add(AHEAD_MILLISECONDS);
        if is_ahead || u128::from(age) > max_staleness.as_millis() {
            Standing::Stale
        } else {
            Standing::Current
        }
    }

    /// What the filter says of a token, and the names that were looked up; `names` computes them
    /// for a state. If records of the current state are gone, a newer state is looked for once.
    pub fn status(
        &self,
        host: &impl SharedData,
        names: impl Fn(&FeedState) -> Names,
    ) -> (Status, Names) {
        let ask = |state: &FeedState| {
            let names = names(state);
            (self.filter.status(host, state, &names), names)
        };
        let Some(state) = self.at_hand(host) else {
            return (Status::NoData, Names::default());
        };
        let answer = ask(&state);
        if answer.0 == Status::NoData
            && let Some((newer, _)) = self.published(host)
        {
            let answer = ask(&newer);
            if answer.0 == Status::NoData {
                self.filter.report_damage(host, &newer);
            }
            return answer;
        }
        answer
    }
}
