//! When a leader gives up the lead.
//!
//! The leader may be the only virtual machine that cannot do the work: its credential is refused,
//! or its configuration pins a key that signs nothing, while others in the same space would
//! succeed. A leader gives up after three useless answers. One that gets no answer at all would
//! most likely be followed by others that get none either; it gives up too, but later, in case the
//! cause is its worker.

use std::time::Duration;

use crate::time::Interval;

/// Useless answers after which a leader gives up.
const MOST_REFUSALS: u32 = 3;

/// The longest that a leader goes on without success.
const LONGEST: Duration = Duration::from_secs(15);

/// A leader's failures since its last success.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Trouble {
    began_at: Option<u64>,
    refusals: u32,
}

impl Trouble {
    /// No answer came.
    pub(super) const fn unanswered(&mut self, now_milliseconds: u64) {
        if self.began_at.is_none() {
            self.began_at = Some(now_milliseconds);
        }
    }

    /// A useless answer came.
    pub(super) const fn refused(&mut self, now_milliseconds: u64) {
        self.unanswered(now_milliseconds);
        self.refusals = self.refusals.saturating_add(1);
    }

    /// A part of something longer came. Useless answers still count: a generation may load
    /// completely, again and again, under a key that no longer signs changes.
    pub(super) const fn went_on(&mut self) {
        self.began_at = None;
    }

    /// Whether it is time to give up.
    pub(super) fn is_hopeless(&self, now_milliseconds: u64) -> bool {
        let is_long = |began_at| Interval::new(began_at, LONGEST).is_over(now_milliseconds);
        self.refusals >= MOST_REFUSALS || self.began_at.is_some_and(is_long)
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn three_answers_of_no_use_are_enough_and_silence_takes_fifteen_seconds() {
        let mut trouble = Trouble::default();
        assert!(!trouble.is_hopeless(0));
        trouble.unanswered(1_000);
        trouble.unanswered(9_000);
        assert!(!trouble.is_hopeless(15_999));
        assert!(trouble.is_hopeless(16_000));
        for is_enough in [false, false, true] {
            trouble.refused(10_000);
            assert_eq!(trouble.is_hopeless(10_000), is_enough);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_goes_on_is_not_silent_and_makes_up_for_no_answer_of_no_use() {
        let mut trouble = Trouble::default();
        trouble.refused(1_000);
        trouble.went_on();
        assert!(!trouble.is_hopeless(16_000));
        trouble.unanswered(16_000);
        assert!(!trouble.is_hopeless(30_999));
        assert!(trouble.is_hopeless(31_000));
        for is_enough in [false, true] {
            trouble.went_on();
            trouble.refused(31_000);
            assert_eq!(trouble.is_hopeless(31_000), is_enough);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_clock_that_was_set_back_keeps_no_leader() {
        let mut trouble = Trouble::default();
        trouble.unanswered(3_600_000);
        assert!(trouble.is_hopeless(0));
    }
}
