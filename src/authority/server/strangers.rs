//! Connections on which nobody has shown a credential yet.
//!
//! They have a number of places of their own, which is bounded. When all are taken, the newest gets
//! the place of the oldest: whoever has a credential shows it within a moment, and is no stranger
//! from then on, while one who keeps a place without it loses it to the next. So nobody without a
//! credential keeps those out who have one, as long as they show it before so many newer connections
//! have come that the place has gone to one of them.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// All of them.
#[derive(Debug)]
pub(super) struct Strangers {
    waiting: Mutex<Waiting>,
    limit: usize,
}

#[derive(Debug, Default)]
struct Waiting {
    last_number: u64,
    /// The oldest first, each with the means to send it away.
    by_number: BTreeMap<u64, Arc<Notify>>,
}

/// One connection, a stranger until [`become_known`](Self::become_known). Its requests have it
/// among their extensions.
#[derive(Debug)]
pub(in crate::authority) struct Stranger {
    strangers: Arc<Strangers>,
    number: u64,
    sent_away: Arc<Notify>,
}

impl Strangers {
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self {
            waiting: Mutex::default(),
            limit,
        })
    }

    /// Gives a place to one more, that of the oldest when there is no other.
    pub(super) fn admit(self: &Arc<Self>) -> Stranger {
        let sent_away = Arc::new(Notify::new());
        let mut waiting = self.lock();
        waiting.last_number += 1;
        let number = waiting.last_number;
        waiting.by_number.insert(number, Arc::clone(&sent_away));
        while waiting.by_number.len() > self.limit {
            waiting.send_oldest_away();
        }
        drop(waiting);
        Stranger {
            strangers: Arc::clone(self),
            number,
            sent_away,
        }
    }

    /// Makes room, where the system has none for another connection.
    pub(super) fn send_away(&self, count: usize) {
        let mut waiting = self.lock();
        for _ in 0..count {
            waiting.send_oldest_away();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn send_oldest_away(&mut self) {
        if let Some((_, sent_away)) = self.by_number.pop_first() {
            sent_away.notify_one();
        }
    }
}

impl Stranger {
    /// Somebody has shown a credential on this connection, which keeps its place from now on.
    pub(in crate::authority) fn become_known(&self) {
        self.strangers.lock().by_number.remove(&self.number);
    }

    /// Returns when the connection has lost its place.
    pub(super) async fn sent_away(&self) {
        self.sent_away.notified().await;
    }
}

impl Drop for Stranger {
    fn drop(&mut self) {
        self.become_known();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn is_sent_away(stranger: &Stranger) -> bool {
        let soon = std::time::Duration::from_millis(1);
        tokio::time::timeout(soon, stranger.sent_away())
            .await
            .is_ok()
    }

    #[tokio::test]
    async fn the_oldest_stranger_makes_room_and_nobody_who_is_known() {
        let strangers = Strangers::new(2);
        let known = strangers.admit();
        known.become_known();
        let first = strangers.admit();
        let gone = strangers.admit();
        drop(gone);
        let second = strangers.admit();
        assert!(!is_sent_away(&first).await);
        let third = strangers.admit();
        assert!(is_sent_away(&first).await);
        strangers.send_away(1);
        assert!(is_sent_away(&second).await);
        assert!(!is_sent_away(&third).await);
        strangers.send_away(5);
        assert!(is_sent_away(&third).await);
        assert!(!is_sent_away(&known).await);
    }
}
