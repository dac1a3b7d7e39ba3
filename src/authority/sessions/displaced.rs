//! Sessions that a registry drops for want of room, and how the operator hears of it.
//!
//! # Why is that an error?
//!
//! What is dropped is not revoked, and no session policy ends it until it is used again. Those that are
//! dropped are the longest idle ones, which a policy was about to end.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use super::session::{Name, Session};

/// How often the operator is told, at most.
const PAUSE: Duration = Duration::from_mins(1);

/// Sessions dropped for want of room, since the start.
#[derive(Debug, Default)]
pub(super) struct Displaced {
    ended: AtomicU64,
    tokens: AtomicU64,
    sessions: AtomicU64,
    of_subjects: AtomicU64,
}

/// Live sessions that were dropped since the registry was full.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct Lost {
    /// With a `sid`.
    pub sessions: u64,
    /// Tokens without one.
    pub tokens: u64,
}

/// Tells the operator of a full registry.
#[derive(Debug, Default)]
pub(super) struct Alarm {
    told: Lost,
    last: Option<Instant>,
}

impl Displaced {
    /// The registry was full, and this had to go.
    pub(super) fn for_room(&self, session: &Session) {
        let counter = match (&session.ended, &session.name) {
            (Some(_), _) => &self.ended,
            (None, Name::Token(_)) => &self.tokens,
            (None, Name::Session(_)) => &self.sessions,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// A subject had too many, and so many had to go.
    pub(super) fn of_subject(&self, count: u64) {
        self.of_subjects.fetch_add(count, Ordering::Relaxed);
    }

    /// All of them.
    #[must_use]
    pub(super) fn total(&self) -> u64 {
        let all = [&self.ended, &self.tokens, &self.sessions, &self.of_subjects];
        all.map(|count| count.load(Ordering::Relaxed)).iter().sum()
    }

    /// Live ones that went since the registry was full.
    #[must_use]
    pub(super) fn lost(&self) -> Lost {
        Lost {
            sessions: self.sessions.load(Ordering::Relaxed),
            tokens: self.tokens.load(Ordering::Relaxed),
        }
    }
}

impl Alarm {
    /// What the operator is to be told of now: what was lost since the last time, if that was long ago.
    #[must_use]
    pub(super) fn due(&mut self, lost: Lost, now: Instant) -> Option<Lost> {
        let is_recent = |last: Instant| now.saturating_duration_since(last) < PAUSE;
        if lost == self.told || self.last.is_some_and(is_recent) {
            return None;
        }
        let new = Lost {
            sessions: lost.sessions.saturating_sub(self.told.sessions),
            tokens: lost.tokens.saturating_sub(self.told.tokens),
        };
        (self.told, self.last) = (lost, Some(now));
        Some(new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_operator_hears_of_all_that_was_lost_and_at_most_once_a_minute() {
        let mut alarm = Alarm::default();
        let start = Instant::now();
        let lost = |sessions, tokens| Lost { sessions, tokens };
        let mut due = |seconds, lost| alarm.due(lost, start + Duration::from_secs(seconds));
        assert_eq!(due(0, lost(0, 0)), None);
        assert_eq!(due(10, lost(2, 3)), Some(lost(2, 3)));
        assert_eq!(due(69, lost(5, 3)), None);
        assert_eq!(due(70, lost(6, 4)), Some(lost(4, 1)));
        assert_eq!(due(200, lost(6, 4)), None);
    }
}
