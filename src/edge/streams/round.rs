//! The walk through all requests that counts them as use of their sessions.

use std::time::Duration;

use super::LOOKS_PER_TICK;
use super::register::{Kept, Register};
use crate::time::Interval;

/// How far it is, and when it begins again.
#[derive(Debug)]
pub(super) struct Round {
    /// How often it begins.
    period: Duration,
    /// Until it begins again.
    pause: Interval,
    /// The next place, while it is under way.
    next: Option<usize>,
}

impl Round {
    pub(super) fn new(period: Duration) -> Self {
        Self {
            period,
            pause: Interval::default(),
            next: None,
        }
    }

    /// Goes on, as far as it goes in one tick.
    pub(super) fn go_on<T: Kept>(&mut self, now: u64, register: &Register<T>, count: impl Fn(&T)) {
        if self.next.is_none() && self.pause.is_over(now) {
            self.pause = Interval::new(now, self.period);
            self.next = Some(0);
        }
        if let Some(first) = self.next {
            let (some, next) = register.some(first, LOOKS_PER_TICK);
            some.for_each(count);
            self.next = next;
        }
    }
}
