//! How far the edges that follow have come, for imports that wait for them.
//!
//! # How is one edge told from another?
//!
//! By its position in the history. An answer takes an edge to some sequence number, and its next
//! poll starts there. Credentials and addresses say less: a hundred edges may share both.
//!
//! # How far behind can an edge fall?
//!
//! An edge takes up to 256 changes for each round trip to the authority. The next piece of an
//! import (8,192 changes) goes out when no edge that follows has more than [`MOST_LEFT`] to fetch,
//! so at most 10,240 imported changes are ahead of it, in 40 answers, and 32 answers later the next
//! piece goes out:
//!
//! | round trip | until an edge has it all | imported a second |
//! |---|---|---|
//! | 5 ms | 0.2 s | 51,200 |
//! | 50 ms | 2 s | 5,120 |
//! | 200 ms | 8 s | 1,280 |
//!
//! The time that an edge takes to apply an answer, a millisecond or two, counts as part of the
//! round trip, and up to 0.2 s pass before an announcement. An edge's staleness is at most twice
//! the time in the table, because the position that it has to reach is chosen anew only when it
//! gets there.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How many changes an edge may have left to fetch when the next piece goes out: eight answers, so
/// that it has something to do while the piece is written.
const MOST_LEFT: u64 = 2_048;

/// An edge with more left than this was away, or is too slow to wait for.
const FAR_BEHIND: u64 = 65_536;

/// An edge that follows polls again within this time: after a round trip and, when the answer was
/// empty, half a second. One that does not has gone.
const REMEMBERED: Duration = Duration::from_secs(3);

/// The longest that one piece of an import waits for edges, or the holder of an edge's credential
/// could make all others wait: time for 32 answers of 256 changes, a whole piece, where each takes
/// a quarter of a second. An import of a million is over after 17 minutes at the latest.
const LONGEST_WAIT: Duration = Duration::from_secs(8);

/// How far the edges have come.
#[derive(Debug, Default)]
pub(super) struct Followers {
    /// How many wait for an answer, by the position that they poll from.
    asking: BTreeMap<u64, usize>,
    /// How many have been answered and not polled again, by the position that the answer took them
    /// to.
    answered: BTreeMap<u64, AnsweredEdges>,
    swept: Option<Instant>,
}

#[derive(Debug)]
struct AnsweredEdges {
    edges: usize,
    last: Instant,
}

impl Followers {
    /// An edge polls for what comes after a position.
    pub(super) fn ask(&mut self, after: u64) {
        if let Some(answered) = self.answered.get_mut(&after) {
            answered.edges = answered.edges.saturating_sub(1);
            if answered.edges == 0 {
                self.answered.remove(&after);
            }
        }
        *self.asking.entry(after).or_default() += 1;
    }

    /// The poll begun with [`ask`](Self::ask) was answered with everything up to `through`, or
    /// given up, which leaves the edge where it was.
    pub(super) fn answer(&mut self, after: u64, through: u64, now: Instant) {
        if let Some(edges) = self.asking.get_mut(&after) {
            *edges = edges.saturating_sub(1);
            if *edges == 0 {
                self.asking.remove(&after);
            }
        }
        let fresh = AnsweredEdges {
            edges: 0,
            last: now,
        };
        let answered = self.answered.entry(through).or_insert(fresh);
        answered.edges += 1;
        answered.last = now;
        if self
            .swept
            .is_none_or(|swept| now.saturating_duration_since(swept) >= REMEMBERED)
        {
            self.swept = Some(now);
            self.answered.retain(|_, answered| answered.is_kept(now));
        }
    }

    /// Whether the next piece of an import may go out, having waited since `since`, while the feed
    /// is at `head`.
    pub(super) fn let_go_on(&self, head: u64, since: Instant, now: Instant) -> bool {
        now.saturating_duration_since(since) >= LONGEST_WAIT || !self.is_behind(head, now)
    }

    /// Whether an edge that follows has too much left to fetch.
    fn is_behind(&self, head: u64, now: Instant) -> bool {
        // An edge that was away for longer is not waited for: it is catching up, not following.
        let behind = head.saturating_sub(FAR_BEHIND)..head.saturating_sub(MOST_LEFT);
        self.asking.range(behind.clone()).next().is_some()
            || self
                .answered
                .range(behind)
                .any(|(_, answered)| answered.is_kept(now))
    }
}

impl AnsweredEdges {
    fn is_kept(&self, now: Instant) -> bool {
        now.saturating_duration_since(self.last) < REMEMBERED
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PIECE: u64 = 8_192;
    const PIECES: u64 = 30;
    const ANSWER: u64 = 256;
    const MILLISECOND: Duration = Duration::from_millis(1);

    /// What an edge does. It holds everything up to `position`.
    struct Edge {
        round_trip: u32,
        position: u64,
        /// While an answer or a poll travels: the position it leads to, and the milliseconds left.
        travelling: Option<(u64, u32)>,
    }

    impl Edge {
        fn waiting(followers: &mut Followers, round_trip: u32, position: u64) -> Self {
            followers.ask(position);
            Self {
                round_trip,
                position,
                travelling: None,
            }
        }

        /// A millisecond goes by, while so much has been announced and the feed is at `head`.
        fn tick(&mut self, followers: &mut Followers, announced: u64, head: u64, now: Instant) {
            match &mut self.travelling {
                None if announced > self.position => {
                    let through = head.min(self.position + ANSWER);
                    followers.answer(self.position, through, now);
                    self.travelling = Some((through, self.round_trip));
                }
                None => {}
                Some((_, left)) if *left > 1 => *left -= 1,
                Some((through, _)) => {
                    self.position = *through;
                    self.travelling = None;
                    followers.ask(self.position);
                }
            }
        }
    }

    /// An import that begins at `head`: the most changes that any edge lacked, and how many
    /// milliseconds passed until the last piece was out.
    fn import(followers: &mut Followers, edges: &mut [Edge], mut head: u64) -> (u64, u32) {
        let start = Instant::now();
        let (mut most, mut pieces, mut announced) = (0, 0, head);
        let mut since = start;
        for milliseconds in 0.. {
            let now = start + milliseconds * MILLISECOND;
            if followers.let_go_on(head, since, now) {
                if pieces == PIECES {
                    return (most, milliseconds);
                }
                (head, pieces, since) = (head + PIECE, pieces + 1, now);
            }
            if milliseconds % 200 == 0 {
                announced = head;
            }
            for edge in &mut *edges {
                edge.tick(followers, announced, head, now);
                most = most.max(head - edge.position);
            }
        }
        unreachable!("it ends")
    }

    #[test]
    fn an_import_stays_near_every_edge_that_follows_however_long_its_round_trip_is() {
        for round_trip in [5, 50, 200] {
            let mut followers = Followers::default();
            // The farthest edge counts; near ones do not hide it.
            let mut edges = [1, 7, round_trip, round_trip]
                .map(|round_trip| Edge::waiting(&mut followers, round_trip, 0));
            let (most, took) = import(&mut followers, &mut edges, 0);
            // An answer that is under way counts as fetched.
            assert!(most <= PIECE + MOST_LEFT + ANSWER, "{round_trip}: {most}");
            // The simulated edge asks a millisecond after it has an answer.
            let answers = u32::try_from(PIECE / ANSWER).unwrap();
            let longest = answers * (round_trip + 2) + 200;
            let pieces = u32::try_from(PIECES).unwrap();
            assert!(took <= pieces * longest, "{round_trip}: {took}");
        }
    }

    #[test]
    fn an_edge_that_falls_silent_is_waited_for_once_and_for_seconds_only() {
        let mut followers = Followers::default();
        let start = Instant::now();
        followers.ask(0);
        followers.answer(0, ANSWER, start);
        let after = |time| followers.let_go_on(PIECE, start, start + time);
        assert!(!after(REMEMBERED.saturating_sub(MILLISECOND)));
        assert!(after(REMEMBERED));
        let mut silent = [Edge::waiting(&mut followers, 60_000, 0)];
        let (_, took) = import(&mut followers, &mut silent, 0);
        assert!(Duration::from_millis(took.into()) <= REMEMBERED + 250 * MILLISECOND);
    }

    #[test]
    fn no_edge_holds_a_piece_of_an_import_back_for_longer_than_the_longest_wait() {
        let mut followers = Followers::default();
        let start = Instant::now();
        // It polls from the same position, time and again.
        for second in 0..8 {
            let now = start + second * 1_000 * MILLISECOND;
            followers.ask(0);
            followers.answer(0, 0, now);
            assert!(!followers.let_go_on(PIECE, start, now), "{second}");
        }
        assert!(followers.let_go_on(PIECE, start, start + LONGEST_WAIT));
    }

    #[test]
    fn an_edge_that_was_away_is_not_waited_for_and_one_that_is_near_neither() {
        let now = Instant::now();
        let head = 100_000;
        for (position, is_waited_for) in [
            (head, false),
            (head - MOST_LEFT, false),
            (head - MOST_LEFT - 1, true),
            (head - FAR_BEHIND, true),
            (head - FAR_BEHIND - 1, false),
        ] {
            let mut followers = Followers::default();
            followers.ask(position);
            assert_eq!(followers.is_behind(head, now), is_waited_for, "{position}");
            followers.answer(position, position, now);
            assert_eq!(followers.is_behind(head, now), is_waited_for, "{position}");
        }
    }

    #[test]
    fn positions_of_edges_that_have_gone_are_dropped() {
        let mut followers = Followers::default();
        let start = Instant::now();
        for position in 0..1_000 {
            followers.ask(position);
            followers.answer(position, position, start);
        }
        assert_eq!(followers.answered.len(), 1_000);
        followers.ask(5_000);
        followers.answer(5_000, 5_001, start + REMEMBERED);
        assert_eq!(followers.answered.len(), 1);
        assert!(followers.asking.is_empty());
    }
}
