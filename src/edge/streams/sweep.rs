//! The look at all requests, after which nothing that was missed matters any more.

use super::register::{Kept, Register, Watched};

/// How far it is, place by place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sweep {
    next: u32,
    /// Where it ends, once it has gone round.
    end: u32,
    has_gone_round: bool,
}

impl Sweep {
    /// One over all of them, from now on. Where one is under way it goes on from there and all the way
    /// round: were it to begin at the first place again each time, the last would never be looked at
    /// while changes are missed faster than it gets there.
    pub(super) fn anew(under_way: Option<Self>) -> Self {
        let place = under_way.map_or(0, |sweep| sweep.next);
        Self {
            next: place,
            end: place,
            has_gone_round: false,
        }
    }

    /// The next request to look at; `None` after the last.
    pub(super) fn next<T: Kept>(&mut self, register: &Register<T>) -> Option<Watched> {
        let mut found = register.from(self.next);
        if found.is_none() && !self.has_gone_round {
            self.has_gone_round = true;
            found = register.from(0);
        }
        let (watched, next) = found?;
        if self.has_gone_round && next > self.end {
            return None;
        }
        self.next = next;
        Some(watched)
    }
}
