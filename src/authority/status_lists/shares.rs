//! What the lists of all issuers share, of which no issuer can take all.
//!
//! Half of it is divided: each issuer has its part, whatever the others take. The other half is for those
//! that come first. So an issuer that is alone has everything, and one with a million lists leaves the
//! others what they would have if all were like it.

use std::collections::HashMap;

/// How much each issuer has taken of something.
#[derive(Debug)]
pub(super) struct Shares {
    /// Of each issuer.
    own: usize,
    /// Of those that come first.
    common: usize,
    taken: HashMap<String, usize>,
}

impl Shares {
    /// So much, for so many issuers.
    pub(super) fn new(most: usize, issuers: usize) -> Self {
        let issuers = issuers.max(1);
        let own = most / 2 / issuers;
        Self {
            own,
            common: most - own * issuers,
            taken: HashMap::new(),
        }
    }

    /// Takes so much in place of what an issuer has had, if there is as much.
    pub(super) fn take(&mut self, issuer: &str, before: usize, after: usize) -> bool {
        let taken = self.taken.get(issuer).copied().unwrap_or_default();
        let wanted = taken.saturating_sub(before).saturating_add(after);
        let common = |taken: usize| taken.saturating_sub(self.own);
        let others = self.taken.iter().filter(|(other, _)| *other != issuer);
        let of_others: usize = others.map(|(_, taken)| common(*taken)).sum();
        let is_room = after <= before
            || common(wanted) <= self.common.saturating_sub(of_others)
            || wanted <= self.own;
        if is_room {
            self.taken.insert(issuer.to_owned(), wanted);
        }
        is_room
    }

    /// Gives back so much of what an issuer has.
    pub(super) fn give_back(&mut self, issuer: &str, amount: usize) {
        self.take(issuer, amount, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_issuer_that_takes_what_it_can_leaves_every_other_its_own() {
        let mut shares = Shares::new(120, 3);
        let all = |shares: &mut Shares, issuer: &str| {
            let mut taken = 0;
            while shares.take(issuer, 0, 1) {
                taken += 1;
            }
            taken
        };
        assert_eq!(all(&mut shares, "a"), 80);
        assert_eq!(all(&mut shares, "b"), 20);
        shares.give_back("a", 30);
        assert_eq!(all(&mut shares, "b"), 30);
        assert_eq!(all(&mut shares, "c"), 20);
        // In place of what it has, anything that is no larger.
        assert!(shares.take("a", 10, 10) && !shares.take("a", 10, 11));
        assert!(shares.take("a", 50, 0));
        assert_eq!(all(&mut Shares::new(120, 1), "a"), 120);
    }
}
