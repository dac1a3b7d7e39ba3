//! How often the edge looks at everything.

use std::cell::Cell;
use std::time::Duration;

use crate::sync::TICK;

/// The period until everything is there without which requests are refused, for at most
/// [`MOST_EAGER_TICKS`]: a deployment waits for it.
const EAGER_TICK: Duration = Duration::from_millis(10);

/// Five seconds' worth.
const MOST_EAGER_TICKS: u32 = 500;

/// The period if there is nothing to do but to report what was counted.
const IDLE_TICK: Duration = Duration::from_secs(1);

/// Gauges are written once in this many ticks.
const TICKS_PER_SIGHT: u32 = 10;

/// How often the edge ticks, and what it does only now and then.
#[derive(Debug)]
pub(super) struct Pace {
    ticks: Cell<u32>,
    step: Cell<Step>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// Until everything is there.
    Eager,
    /// From then on.
    Steady,
    /// Always.
    Idle,
}

impl Pace {
    /// The pace of an edge that has something to keep up to date, or nothing.
    pub(super) const fn new(has_work: bool) -> Self {
        let step = if has_work { Step::Eager } else { Step::Idle };
        Self {
            ticks: Cell::new(0),
            step: Cell::new(step),
        }
    }

    /// The time from one tick to the next.
    pub(super) const fn period(&self) -> Duration {
        match self.step.get() {
            Step::Eager => EAGER_TICK,
            Step::Steady => TICK,
            Step::Idle => IDLE_TICK,
        }
    }

    /// Whether gauges are written in this tick.
    pub(super) const fn shows_gauges(&self) -> bool {
        self.ticks.get().is_multiple_of(TICKS_PER_SIGHT)
    }

    /// To be called at the end of every tick. Gives the new period after the last of the eager
    /// ticks.
    pub(super) fn count(&self, has_everything: bool) -> Option<Duration> {
        let ticks = self.ticks.get().wrapping_add(1);
        self.ticks.set(ticks);
        if self.step.get() == Step::Eager && (has_everything || ticks >= MOST_EAGER_TICKS) {
            self.step.set(Step::Steady);
            return Some(self.period());
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn ticks_are_eager_until_everything_is_there_or_for_five_seconds() {
        for ticks in [1, 7, MOST_EAGER_TICKS] {
            let pace = Pace::new(true);
            assert_eq!(pace.period(), EAGER_TICK);
            for tick in 1..ticks {
                assert_eq!(pace.count(false), None, "{tick}");
            }
            let has_everything = ticks < MOST_EAGER_TICKS;
            assert_eq!(pace.count(has_everything), Some(TICK), "{ticks}");
            assert_eq!(pace.period(), TICK);
            assert_eq!(pace.count(true), None, "it does not change again");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_edge_without_work_ticks_once_a_second() {
        let pace = Pace::new(false);
        assert_eq!(pace.period(), IDLE_TICK);
        assert_eq!(pace.count(true), None);
        assert_eq!(pace.period(), IDLE_TICK);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn gauges_are_written_in_the_first_tick_and_in_every_tenth_after_it() {
        let pace = Pace::new(true);
        let mut shown = Vec::new();
        for tick in 0..25 {
            if pace.shows_gauges() {
                shown.push(tick);
            }
            pace.count(false);
        }
        assert_eq!(shown, [0, 10, 20]);
    }
}
