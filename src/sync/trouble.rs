//! When a leader lets go of its work.
//!
//! The one that leads may be the only one that cannot: its credential is refused, or its configuration
//! pins a key that signs nothing, and others in the same space have better luck. A leader that
//! answers are of no use to lets go after three of them. One that gets no answer at all would be
//! followed by others that get none either, most likely; it lets go too, later, in case it is a
//! matter of its worker.

use std::time::Duration;

use crate::time::Interval;

/// Answers of no use after which a leader lets go.
const MOST_REFUSALS: u32 = 3;

/// How long a leader goes on without success at most.
const LONGEST: Duration = Duration::from_secs(15);

/// What a leader has tried in vain since it last had success.
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

    /// An answer came that is of no use to this one.
    pub(super) const fn refused(&mut self, now_milliseconds: u64) {
        self.unanswered(now_milliseconds);
        self.refusals = self.refusals.saturating_add(1);
    }

    /// A part of something longer came. Answers of no use still count: a generation may come in
    /// whole, time and again, under a key that signs no changes any more.
    pub(super) const fn went_on(&mut self) {
        self.began_at = None;
    }

    /// Whether it is time to let go.
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
