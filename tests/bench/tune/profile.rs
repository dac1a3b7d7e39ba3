//! What the requests did, scenario by scenario.

use std::collections::BTreeMap;

/// A branch that goes the same way at least so often has a hint.
const OFTEN: f64 = 0.98;

/// Which probes answered, and how.
#[derive(Default)]
pub(crate) struct Profile {
    /// For each probe that was reached, in how many scenarios it was, and the sum of the shares of
    /// yes in them. Every scenario counts the same, however many turns of a loop it has.
    shares: BTreeMap<u32, (u32, f64)>,
}

impl Profile {
    /// What one scenario did: for each probe, how often it has said no and yes.
    pub(crate) fn add(&mut self, answers: &[[u64; 2]]) {
        let reached = (0..).zip(answers).filter(|(_, counts)| **counts != [0, 0]);
        for (probe, [no, yes]) in reached {
            let (scenarios, shares) = self.shares.entry(probe).or_default();
            *scenarios += 1;
            *shares += *yes as f64 / (no + yes) as f64;
        }
    }

    /// What was reached, whatever the numbers of the probes.
    pub(crate) fn in_any_order(&self) -> Vec<(u32, f64)> {
        let mut shares: Vec<_> = self.shares.values().copied().collect();
        shares.sort_by(|one, other| one.0.cmp(&other.0).then(one.1.total_cmp(&other.1)));
        shares
    }

    /// In how many scenarios it was reached.
    pub(crate) fn scenarios(&self, probe: u32) -> u32 {
        self.shares
            .get(&probe)
            .map_or(0, |(scenarios, _)| *scenarios)
    }

    /// Which way a branch goes, if it is almost always the same: whether it is taken.
    pub(crate) fn hint(&self, probe: u32) -> Option<bool> {
        let (scenarios, shares) = self.shares.get(&probe)?;
        let share = shares / f64::from(*scenarios);
        let is_taken = share >= OFTEN;
        (is_taken || share <= 1.0 - OFTEN).then_some(is_taken)
    }
}
