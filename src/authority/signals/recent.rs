//! The last so many of something that is told apart.

use std::collections::{HashSet, VecDeque};
use std::hash::Hash;

/// The last ones. A new one takes the place of the oldest.
#[derive(Debug)]
pub(super) struct Recent<T> {
    most: usize,
    known: HashSet<T>,
    order: VecDeque<T>,
}

impl<T: Copy + Eq + Hash> Recent<T> {
    /// None yet, and never more than so many.
    pub(super) fn new(most: usize) -> Self {
        Self {
            most,
            known: HashSet::new(),
            order: VecDeque::new(),
        }
    }

    pub(super) fn contains(&self, one: &T) -> bool {
        self.known.contains(one)
    }

    pub(super) fn insert(&mut self, one: T) {
        if !self.known.insert(one) {
            return;
        }
        self.order.push_back(one);
        if self.order.len() > self.most
            && let Some(oldest) = self.order.pop_front()
        {
            self.known.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_makes_room_and_what_comes_again_takes_none() {
        let mut recent = Recent::new(2);
        for one in [1, 2, 2, 1, 2, 3] {
            recent.insert(one);
        }
        assert_eq!(
            [1, 2, 3].map(|one| recent.contains(&one)),
            [false, true, true]
        );
        assert_eq!((recent.known.len(), recent.order.len()), (2, 2));
    }
}
