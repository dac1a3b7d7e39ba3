//! What one virtual machine knows of the feed.

use std::cell::RefCell;
use std::rc::Rc;
use std::time::Duration;

use super::{FeedKeys, FeedState, Names, SharedFilter, Status};
use crate::host::SharedData;
use crate::namespace::Namespace;

/// How far ahead of the clock the feed may have been heard: clocks are put right now and then.
const AHEAD_MILLISECONDS: u64 = 5_000;

/// The feed as this virtual machine saw it on its last tick. Shared between the
/// follower, which keeps it right, and the gate, which asks.
#[derive(Debug)]
pub struct View {
    filter: SharedFilter,
    keys: FeedKeys,
    state: RefCell<Option<Rc<FeedState>>>,
}

/// How far the feed can be relied on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// No generation has been loaded.
    Missing,
    /// The authority has not been heard for longer than is put up with.
    Stale,
    /// It was heard within that time.
    Current,
}

impl View {
    /// A view of the feed whose records are in this namespace, as far as these keys vouch for it.
    /// It holds nothing yet.
    #[must_use]
    pub fn new(space: Namespace, keys: FeedKeys) -> Self {
        Self {
            filter: SharedFilter::new(space),
            keys,
            state: RefCell::new(None),
        }
    }

    /// What is held.
    #[must_use]
    pub fn state(&self) -> Option<Rc<FeedState>> {
        self.state.borrow().clone()
    }

    /// What is held, or, before the first tick that has found something, what there is now: another
    /// virtual machine may have loaded it in between.
    fn at_hand(&self, host: &impl SharedData) -> Option<Rc<FeedState>> {
        self.state()
            .or_else(|| Some(Rc::new(self.published(host)?.0)))
    }

    /// What stands in shared data now, if the keys vouch for it, and its version there.
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

    /// How far what is held can be relied on at `now_milliseconds`, a time of the same clock that
    /// the feed was followed by. A clock that was set back makes what is held stale, until the
    /// authority is heard again: how old it is cannot be told.
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

    /// What the filter says of a token, and the names that it was asked about; `names` makes them
    /// for a state. When records of the state that is held are gone, a newer state is looked for
    /// once.
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
