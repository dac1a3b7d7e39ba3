//! What is still to be told to authorities that have the same registry.

use std::collections::BTreeMap;
use std::time::Duration;

use super::coverage::Moment;
use super::registry::{HeardOf, Tidings};

/// What was heard here since they were told the last time.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    /// By credential: when it was heard, and its interval.
    heard: BTreeMap<String, (Duration, Duration)>,
    has_heard: bool,
    has_lost: bool,
}

impl Outbox {
    /// Notes that an edge with this credential has reported, and will again within the interval.
    pub(super) fn hear(&mut self, credential: &str, interval: Duration, now: Moment) {
        self.has_heard = true;
        if let Some(heard) = self.heard.get_mut(credential) {
            *heard = (heard.0.max(now.passed), interval.max(heard.1));
        } else {
            let heard = (now.passed, interval);
            self.heard.insert(credential.to_owned(), heard);
        }
    }

    /// Notes that an edge does not tell of everything that it has seen.
    pub(super) const fn lose(&mut self) {
        self.has_lost = true;
    }

    /// What is to be told now.
    pub(super) fn take(&mut self, now: Moment) -> Tidings {
        let heard = std::mem::take(&mut self.heard).into_iter();
        let heard = heard.map(|(source, (heard, interval))| HeardOf {
            source,
            ago: now.passed.saturating_sub(heard),
            interval,
        });
        Tidings {
            heard: heard.collect(),
            has_heard: self.has_heard,
            has_lost: std::mem::take(&mut self.has_lost),
        }
    }

    /// Keeps what could not be told for the next time.
    pub(super) fn put_back(&mut self, tidings: Tidings, now: Moment) {
        for HeardOf {
            source,
            ago,
            interval,
        } in tidings.heard
        {
            let passed = now.passed.saturating_sub(ago);
            self.hear(&source, interval, Moment { passed, ..now });
        }
        self.has_lost |= tidings.has_lost;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(seconds: u64) -> Moment {
        Moment {
            clock: 0,
            passed: Duration::from_secs(seconds),
        }
    }

    #[test]
    fn what_could_not_be_told_is_told_the_next_time() {
        let mut outbox = Outbox::default();
        let minute = Duration::from_mins(1);
        outbox.hear("a", minute, at(10));
        outbox.hear("a", Duration::from_secs(5), at(20));
        outbox.lose();
        let tidings = outbox.take(at(25));
        let heard = |ago: u64| HeardOf {
            source: "a".to_owned(),
            ago: Duration::from_secs(ago),
            interval: minute,
        };
        assert_eq!(tidings.heard, [heard(5)]);
        assert!(tidings.has_lost);
        assert_eq!(outbox.take(at(25)).heard, []);
        outbox.put_back(tidings, at(30));
        outbox.hear("b", minute, at(31));
        let again = outbox.take(at(35));
        assert_eq!(again.heard[0], heard(10));
        assert_eq!(again.heard.len(), 2);
        assert!(again.has_lost && again.has_heard);
        assert!(!outbox.take(at(36)).has_lost);
    }
}
