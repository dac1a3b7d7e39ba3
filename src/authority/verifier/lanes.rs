//! Whose turn it is: what strangers send waits for what others ask.

use std::collections::VecDeque;

use super::Standing;

/// How many questions of others come before one of a stranger that waits. Without this, a provider whose
/// first statement it is would wait for as long as the others are busy.
const BEFORE_A_STRANGER: u32 = 8;

/// Questions in two queues.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    known: VecDeque<T>,
    strangers: VecDeque<T>,
    /// How many have come before the first stranger.
    passed: u32,
}

impl<T> Default for Lanes<T> {
    fn default() -> Self {
        Self {
            known: VecDeque::new(),
            strangers: VecDeque::new(),
            passed: 0,
        }
    }
}

impl<T> Lanes<T> {
    pub(super) fn add(&mut self, sender: Standing, question: T) {
        match sender {
            Standing::Known => self.known.push_back(question),
            Standing::Stranger => self.strangers.push_back(question),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.known.is_empty() && self.strangers.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<T> {
        let is_strangers_turn = self.passed >= BEFORE_A_STRANGER || self.known.is_empty();
        if is_strangers_turn && let Some(question) = self.strangers.pop_front() {
            self.passed = 0;
            return Some(question);
        }
        let question = self.known.pop_front()?;
        self.passed = if self.strangers.is_empty() {
            0
        } else {
            self.passed + 1
        };
        Some(question)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(of: &[(Standing, u32)]) -> Vec<u32> {
        let mut lanes = Lanes::default();
        for (sender, question) in of {
            lanes.add(*sender, *question);
        }
        std::iter::from_fn(|| lanes.next()).collect()
    }

    #[test]
    fn a_genuine_statement_passes_all_that_strangers_have_sent_before() {
        let forged = (0..64).map(|number| (Standing::Stranger, number));
        let questions: Vec<_> = forged.chain([(Standing::Known, 100)]).collect();
        assert_eq!(order(&questions)[0], 100);
    }

    #[test]
    fn a_stranger_has_a_turn_while_others_are_busy() {
        let others = (0..20).map(|number| (Standing::Known, number));
        let questions: Vec<_> = [(Standing::Stranger, 100)]
            .into_iter()
            .chain(others)
            .collect();
        let order = order(&questions);
        assert_eq!(order.iter().position(|&question| question == 100), Some(8));
        assert_eq!(order.len(), 21);
    }

    #[test]
    fn each_lane_keeps_its_order() {
        let both = [Standing::Known, Standing::Stranger];
        let questions: Vec<_> = (0..10).flat_map(|n| both.map(|lane| (lane, n))).collect();
        let mut lanes = Lanes::default();
        for (sender, number) in questions {
            lanes.add(sender, (sender, number));
        }
        let all: Vec<_> = std::iter::from_fn(|| lanes.next()).collect();
        for lane in both {
            let of_lane = all.iter().filter(|(sender, _)| *sender == lane);
            let numbers: Vec<_> = of_lane.map(|(_, number)| *number).collect();
            assert_eq!(numbers, (0..10).collect::<Vec<_>>());
        }
        assert!(lanes.is_empty());
    }
}
