//! Whether shards still have what was written to them.

use std::sync::atomic::Ordering;

use super::connection::Command;
use super::{SHARDS, Shared, number, scripts};

impl Shared {
    /// The highest number of commits of this process that a shard has told.
    pub(super) fn commits_of(&self, shard: usize) -> u64 {
        let shard = self.shards.get(shard);
        shard.map_or(0, |shard| shard.commits.load(Ordering::Relaxed))
    }

    /// Takes in what a shard says about itself. What it had counted before this was asked is the least that
    /// it can have.
    pub(super) fn note_shard(
        &self,
        shard: usize,
        before: u64,
        commits: Option<i64>,
        count: Option<i64>,
    ) {
        let Some(shard) = self.shards.get(shard) else {
            return;
        };
        let number = |number: Option<i64>| number.and_then(|number| u64::try_from(number).ok());
        if let Some(count) = number(count) {
            shard.count.store(count, Ordering::Relaxed);
        }
        let Some(commits) = number(commits) else {
            return;
        };
        if commits <= before {
            self.has_lost.store(true, Ordering::Relaxed);
            shard.commits.store(commits, Ordering::Relaxed);
        } else {
            shard.commits.fetch_max(commits, Ordering::Relaxed);
        }
    }

    /// Counts in every shard, and asks how many sessions it has.
    pub(super) fn beats(&self) -> Vec<Command> {
        let beats = (0..SHARDS).map(|shard| {
            let keys = vec![self.keys.beats(shard, self.process), self.keys.seen(shard)];
            Command::script(&scripts::BEAT, keys, Vec::new())
        });
        beats.collect()
    }

    /// What is to be handed over with the answers to the beats.
    pub(super) fn commits_before(&self) -> Vec<u64> {
        (0..SHARDS).map(|shard| self.commits_of(shard)).collect()
    }

    /// Takes in the answers of shards. Returns the version of the oldest server.
    pub(super) fn note_beats(&self, before: &[u64], answers: &[::redis::Value]) -> i64 {
        let mut oldest = i64::MAX;
        for ((shard, answer), before) in answers.iter().enumerate().zip(before) {
            let ::redis::Value::Array(answer) = answer else {
                continue;
            };
            let [commits, count, version] = &**answer else {
                continue;
            };
            self.note_shard(shard, *before, number(commits), number(count));
            oldest = oldest.min(number(version).unwrap_or_default());
        }
        oldest
    }
}
