//! When the next generation is built.

use std::time::Duration;

use tokio::time::Instant;

/// Every generation makes edges empty their token caches.
const SHORTEST: Duration = Duration::from_secs(1);

/// A long import overtakes every generation. Where one takes longer to build than the import to
/// overtake it, all of them are in vain, and building without a pause keeps one processor busy and
/// the index locked in parts for as long as the import lasts. With this it is a fifth of that.
const PAUSE: u32 = 4;

/// Whether a generation should be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Urgency {
    /// The newest generation is good.
    None,
    /// The newest is too full, or too empty.
    Due,
    /// It is far too full: edges ask about many tokens that are not revoked, or have long buckets to
    /// rewrite.
    Crowded,
    /// An edge that fetches the newest cannot go on from it: what changed since is not kept any
    /// more.
    Overtaken,
    /// There is no generation.
    Now,
}

/// How much time passes between two generations.
#[derive(Debug)]
pub(super) struct Pace {
    interval: Duration,
    /// When the last attempt ended, and how long it took.
    last: Option<(Instant, Duration)>,
}

impl Pace {
    /// Before the first generation. The interval is configured.
    pub(super) const fn new(interval: Duration) -> Self {
        Self {
            interval,
            last: None,
        }
    }

    /// An attempt to build a generation has ended, and took so long.
    pub(super) fn built(&mut self, now: Instant, took: Duration) {
        self.last = Some((now, took));
    }

    /// Whether to build one now.
    pub(super) fn allows(&self, urgency: Urgency, now: Instant) -> bool {
        let Some((last, took)) = self.last else {
            return urgency != Urgency::None;
        };
        let pause = match urgency {
            Urgency::None => return false,
            Urgency::Due => self.interval,
            Urgency::Crowded => SHORTEST.max(took * PAUSE),
            Urgency::Overtaken => took * PAUSE,
            Urgency::Now => Duration::ZERO,
        };
        now.saturating_duration_since(last) >= pause
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn the_first_generation_is_built_at_once() {
        let pace = Pace::new(60 * SECOND);
        let now = Instant::now();
        assert!(!pace.allows(Urgency::None, now));
        assert!(pace.allows(Urgency::Due, now));
        assert!(pace.allows(Urgency::Overtaken, now));
        assert!(pace.allows(Urgency::Now, now));
    }

    #[test]
    fn building_leaves_time_for_what_overtakes_it() {
        let mut pace = Pace::new(60 * SECOND);
        let start = Instant::now();
        pace.built(start, 3 * SECOND);
        let after = |seconds: u32| start + seconds * SECOND;
        assert!(!pace.allows(Urgency::Overtaken, after(11)));
        assert!(pace.allows(Urgency::Overtaken, after(12)));
        assert!(!pace.allows(Urgency::Crowded, after(11)));
        assert!(pace.allows(Urgency::Crowded, after(12)));
        assert!(!pace.allows(Urgency::Due, after(59)));
        assert!(pace.allows(Urgency::Due, after(60)));
        assert!(pace.allows(Urgency::Now, start));
        pace.built(start, Duration::from_millis(5));
        assert!(!pace.allows(Urgency::Crowded, start + SECOND / 2));
        assert!(pace.allows(Urgency::Crowded, start + SECOND));
    }
}
