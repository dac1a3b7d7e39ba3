//! What has to go, and how many there are.

use std::collections::{BTreeMap, HashSet};
use std::sync::atomic::Ordering;

use super::bucket::{Change, EXPIRY_MARGIN, ended_score, score};
use super::connection::Command;
use super::keys::Keys;
use super::writing::Outcome;
use super::{Place, SHARDS, Shared, bytes, list, number, scripts};
use crate::authority::sessions::registry::{
    Counts, ENDED_KEPT, MAX_SESSIONS_OF_SUBJECT, RegistryError,
};
use crate::authority::sessions::session::Session;
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// Sessions that are dropped at a time.
const DROPPED_TOGETHER: u64 = 1_000;

impl Shared {
    /// Drops the longest idle sessions of subjects that have too many.
    pub(super) fn trim_subjects(
        &self,
        subjects: Vec<(usize, Fingerprint)>,
        now: UnixTime,
    ) -> Result<(), RegistryError> {
        for (shard, owner) in subjects {
            // All but the last so many, of which there are some more if another has come meanwhile.
            let most = MAX_SESSIONS_OF_SUBJECT;
            let ids = self.range(
                self.keys.subject(shard, owner),
                "0",
                &format!("-{}", most + 1),
            )?;
            let places: Vec<Place> = ids.iter().map(|(id, _)| (shard, *id)).collect();
            self.forget_missing(&places, Some(owner), now)?;
            let dropped = self.drop_unless_changed(places, &ids, now, |session| {
                self.keys.owner_of(session) == owner
            })?;
            self.displaced.of_subject(dropped.len() as u64);
        }
        Ok(())
    }

    /// Drops sessions until there are no more than there may be.
    pub(super) fn make_room(&self, now: UnixTime) -> Result<(), RegistryError> {
        let most = self.limits.max_sessions as u64;
        if self.known_count() <= most {
            return Ok(());
        }
        // Others may have dropped some already.
        let before = self.commits_before();
        // If they do not answer, what they said last has to do.
        if let Ok(answers) = self.connection.call(self.beats()) {
            self.note_beats(&before, &answers);
        }
        let surplus = self
            .known_count()
            .saturating_sub(most)
            .min(DROPPED_TOGETHER);
        if surplus == 0 {
            return Ok(());
        }
        let first = self.first_to_go(surplus)?;
        let ids: Vec<_> = first.iter().map(|((_, id), score)| (*id, *score)).collect();
        let places: Vec<Place> = first.into_iter().map(|(place, _)| place).collect();
        self.forget_missing(&places, None, now)?;
        let dropped = self.drop_unless_changed(places, &ids, now, |_| true)?;
        for session in &dropped {
            self.displaced.for_room(session);
        }
        Ok(())
    }

    /// So many that have to go first, with their scores: those that have ended, then tokens without
    /// `sid`, then the others, of each those that were not seen for longest.
    fn first_to_go(&self, count: u64) -> Result<Vec<(Place, i64)>, RegistryError> {
        let last = (count - 1).to_string();
        let seen = self.ranges(|shard| self.keys.seen(shard), &last)?;
        let tokens = self.ranges(|shard| self.keys.tokens(shard), &last)?;
        let tokens = tokens.into_iter().map(|token| (Rank::Token, token));
        let seen = seen.into_iter().map(|session| {
            let (_, score) = session;
            let rank = if score < 0 { Rank::Ended } else { Rank::Live };
            (rank, session)
        });
        let mut all: Vec<_> = seen.chain(tokens).collect();
        all.sort_unstable_by_key(|(rank, (place, score))| (*rank, *score, *place));
        let mut known = HashSet::new();
        let mut first: Vec<_> = all.into_iter().map(|(_, session)| session).collect();
        // A token is in both orders.
        first.retain(|(place, _)| known.insert(*place));
        first.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        Ok(first)
    }

    fn known_count(&self) -> u64 {
        let counts = self.shards.iter();
        counts
            .map(|shard| shard.count.load(Ordering::Relaxed))
            .sum()
    }

    /// Drops those that are no further than they were. Returns these.
    fn drop_unless_changed(
        &self,
        places: Vec<Place>,
        then: &[(Fingerprint, i64)],
        now: UnixTime,
        is_wanted: impl Fn(&Session) -> bool,
    ) -> Result<Vec<Session>, RegistryError> {
        let then: std::collections::HashMap<_, _> = then.iter().copied().collect();
        self.modify(places, now, |_, session| {
            let is_same = then
                .get(&session.id)
                .is_some_and(|then| score(session) <= *then);
            (is_same && is_wanted(session)).then_some(None)
        })
    }

    /// Drops what is past its time, and what is left of what Redis has dropped.
    pub(super) fn drop_past(&self, now: UnixTime) -> Result<(), RegistryError> {
        let earlier =
            |by: u64| UnixTime::from_seconds(now.seconds().saturating_sub(by)).unwrap_or_default();
        let past_ended = earlier(ENDED_KEPT.as_secs());
        let past_live = earlier(self.limits.retention.as_secs());
        let is_past = |session: &Session| match session.ended {
            Some(ended) => ended.at < past_ended,
            None => session.last_seen < past_live,
        };
        let ranges = [
            ("-inf".to_owned(), format!("({}", ended_score(past_ended))),
            ("0".to_owned(), format!("({}", past_live.seconds())),
        ];
        for (from, to) in &ranges {
            loop {
                let (places, is_full) = self.places_scored(from, to)?;
                let forgotten = self.forget_missing(&places, None, now)?;
                let dropped =
                    self.modify(places, now, |_, session| is_past(session).then_some(None))?;
                if !is_full || (dropped.is_empty() && forgotten == 0) {
                    break;
                }
            }
        }
        let kept = self.limits.retention + EXPIRY_MARGIN;
        self.forget_subjects(earlier(kept.as_secs()))
    }

    /// Forgets subjects of whom no session was seen since then: Redis has dropped what they had.
    fn forget_subjects(&self, since: UnixTime) -> Result<(), RegistryError> {
        let commands = (0..SHARDS).map(|shard| {
            Command::plain(vec![
                b"ZREMRANGEBYSCORE".to_vec(),
                self.keys.subjects(shard),
                b"-inf".to_vec(),
                format!("({}", since.seconds()).into_bytes(),
            ])
        });
        self.connection.call(commands.collect()).map(|_| ())
    }

    /// Some of those with a score in this range, and whether there may be more.
    fn places_scored(&self, from: &str, to: &str) -> Result<(Vec<Place>, bool), RegistryError> {
        let most = usize::try_from(DROPPED_TOGETHER).unwrap_or(usize::MAX) / SHARDS;
        let limit = most.to_string();
        let commands = (0..SHARDS).map(|shard| {
            Command::plain(vec![
                b"ZRANGE".to_vec(),
                self.keys.seen(shard),
                from.as_bytes().to_vec(),
                to.as_bytes().to_vec(),
                b"BYSCORE".to_vec(),
                b"LIMIT".to_vec(),
                b"0".to_vec(),
                limit.clone().into_bytes(),
            ])
        });
        let (mut places, mut is_full) = (Vec::new(), false);
        let answers = self.connection.call(commands.collect())?;
        for (shard, answer) in answers.into_iter().enumerate() {
            let ids = list(answer)?;
            is_full |= ids.len() >= most;
            let ids = ids.into_iter().filter_map(fingerprint);
            places.extend(ids.map(|id| (shard, id)));
        }
        Ok((places, is_full))
    }

    /// Takes ids out of the order of which there is no session, since Redis has dropped it, and from this
    /// subject those of which it has none. Returns how many.
    fn forget_missing(
        &self,
        places: &[Place],
        owner: Option<Fingerprint>,
        now: UnixTime,
    ) -> Result<usize, RegistryError> {
        let mut changes: BTreeMap<usize, Vec<Change>> = BTreeMap::new();
        for ((shard, id), bucket) in self.read(places)? {
            let is_missing = match owner {
                // What cannot be read may be its.
                Some(_) if bucket.sessions.is_empty() => bucket.stamp.is_empty(),
                Some(owner) => {
                    let mut sessions = bucket.sessions.iter();
                    sessions.all(|session| self.keys.owner_of(session) != owner)
                }
                None => bucket.stamp.is_empty(),
            };
            if is_missing {
                let change = bucket.forget(id, owner, self.stamp(), self.kept(now));
                changes.entry(shard).or_default().push(change);
            }
        }
        let counts: BTreeMap<usize, usize> = changes
            .iter()
            .map(|(shard, changes)| (*shard, changes.len()))
            .collect();
        let outcomes = self.commit(changes)?;
        let written = outcomes
            .iter()
            .filter(|(_, outcome)| **outcome != Outcome::Stale);
        Ok(written.filter_map(|(shard, _)| counts.get(shard)).sum())
    }

    /// Ids with their scores, by rank.
    fn range(
        &self,
        key: Vec<u8>,
        first: &str,
        last: &str,
    ) -> Result<Vec<(Fingerprint, i64)>, RegistryError> {
        let answers = self
            .connection
            .call(vec![range_command(key, first, last)])?;
        answers.into_iter().next().map_or(Ok(Vec::new()), scored)
    }

    /// The first ids of an order that every shard has, up to a rank.
    fn ranges(
        &self,
        key: impl Fn(usize) -> Vec<u8>,
        last: &str,
    ) -> Result<Vec<(Place, i64)>, RegistryError> {
        let commands = (0..SHARDS).map(|shard| range_command(key(shard), "0", last));
        let answers = self.connection.call(commands.collect())?;
        let mut found = Vec::new();
        for (shard, answer) in answers.into_iter().enumerate() {
            let ids = scored(answer)?.into_iter();
            found.extend(ids.map(|(id, score)| ((shard, id), score)));
        }
        Ok(found)
    }

    /// The sessions of a subject.
    pub(super) fn ids_of_subject(
        &self,
        shard: usize,
        owner: Fingerprint,
    ) -> Result<Vec<Fingerprint>, RegistryError> {
        let ids = self.range(self.keys.subject(shard, owner), "0", "-1")?;
        Ok(ids.into_iter().map(|(id, _)| id).collect())
    }

    /// How many there are.
    pub(super) fn count(&self, now: UnixTime) -> Result<Counts, RegistryError> {
        let windows = Counts::WINDOWS.map(|window| {
            let since = now.seconds().saturating_sub(window.as_secs());
            since.to_string().into_bytes()
        });
        let commands = (0..SHARDS).map(|shard| {
            let keys = vec![self.keys.seen(shard), self.keys.subjects(shard)];
            Command::script(&scripts::COUNT, keys, windows.to_vec())
        });
        let mut counts = Counts {
            displaced: self.displaced.total(),
            ..Counts::default()
        };
        for answer in self.connection.call(commands.collect())? {
            let answer = list(answer)?;
            let mut numbers = answer
                .iter()
                .map(|value| number(value).and_then(|number| u64::try_from(number).ok()));
            let mut next = || numbers.next().flatten().unwrap_or_default();
            counts.sessions += next();
            for sessions in &mut counts.active_sessions {
                *sessions += next();
            }
            for subjects in &mut counts.active_subjects {
                *subjects += next();
            }
        }
        Ok(counts)
    }
}

/// What goes first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Ended,
    Token,
    Live,
}

fn range_command(key: Vec<u8>, first: &str, last: &str) -> Command {
    Command::plain(vec![
        b"ZRANGE".to_vec(),
        key,
        first.as_bytes().to_vec(),
        last.as_bytes().to_vec(),
        b"WITHSCORES".to_vec(),
    ])
}

/// Ids with their scores, which stand by turns.
pub(super) fn scored(answer: ::redis::Value) -> Result<Vec<(Fingerprint, i64)>, RegistryError> {
    let mut values = list(answer)?.into_iter();
    let mut found = Vec::new();
    while let (Some(id), Some(score)) = (values.next(), values.next()) {
        if let (Some(id), Some(score)) = (fingerprint(id), number(&score)) {
            found.push((id, score));
        }
    }
    Ok(found)
}

/// An id as it stands in a sorted set.
pub(super) fn fingerprint(value: ::redis::Value) -> Option<Fingerprint> {
    let bytes = bytes(value)?;
    bytes.try_into().ok().map(Fingerprint)
}

impl Shared {
    /// The shard of an owner, for lists.
    pub(super) fn shard_of_subject(&self, issuer: &str, subject: &str) -> (usize, Fingerprint) {
        let owner = self
            .keys
            .key()
            .fingerprint(crate::revocation::Kind::Subject, issuer, subject);
        (Keys::shard(owner), owner)
    }
}
