//! A bucket: how much of something is left, and how fast it fills again.

use std::time::Instant;

/// How much there is room for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Rate {
    /// How many at once.
    pub(super) burst: f64,
    /// How many come back in a second.
    pub(super) per_second: f64,
}

impl Rate {
    /// One of so many equal parts, but never less than one at once.
    #[expect(clippy::cast_precision_loss, reason = "a number of issuers in a file")]
    pub(super) fn part(self, of: usize) -> Self {
        let of = of.max(1) as f64;
        Self {
            burst: (self.burst / of).max(1.0),
            per_second: self.per_second / of,
        }
    }
}

/// How much of something is left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bucket {
    pub(super) level: f64,
    at: Instant,
}

impl Bucket {
    pub(super) const fn full(rate: Rate, now: Instant) -> Self {
        Self {
            level: rate.burst,
            at: now,
        }
    }

    /// Takes one, if there is one.
    pub(super) fn take(&mut self, rate: Rate, now: Instant) -> bool {
        let is_enough = self.has_one(rate, now);
        if is_enough {
            self.level -= 1.0;
        }
        is_enough
    }

    /// Whether there is one by now.
    pub(super) fn has_one(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        self.level >= 1.0
    }

    /// Puts one back, if there is room for it.
    pub(super) fn give_back(&mut self, rate: Rate, now: Instant) -> bool {
        self.fill(rate, now);
        let has_room = self.level < rate.burst;
        self.level = (self.level + 1.0).min(rate.burst);
        has_room
    }

    fn fill(&mut self, rate: Rate, now: Instant) {
        let passed = now.saturating_duration_since(self.at).as_secs_f64();
        self.level = (self.level + passed * rate.per_second).min(rate.burst);
        self.at = self.at.max(now);
    }
}
