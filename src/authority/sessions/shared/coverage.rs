//! What was heard of edges, by any authority: an authority that hears nothing of a session must know
//! whether another one would have.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::connection::Command;
use super::{SHARDS, Shared, bytes, list, lock, number, scripts};
use crate::authority::sessions::registry::{HeardOf, Others, RegistryError, Tidings};
use crate::time::UnixTime;

/// Before the name of an authority, where others are credentials, which have no such character.
const AUTHORITY: char = '\u{1}';

/// How soon an authority says again that it is there, in milliseconds. Three times that later it is
/// silent: it may have lost its way to Redis, while edges report to it.
const AUTHORITY_INTERVAL: u64 = 5_000;

impl Shared {
    /// Tells others what was heard here, and asks what they have heard.
    pub(super) fn exchange_coverage(
        &self,
        tidings: &Tidings,
        now: UnixTime,
    ) -> Result<Others, RegistryError> {
        let before = self.commits_before();
        let answers = self.connection.call(self.beats())?;
        self.note_beats(&before, &answers);
        // In this order, so that nothing that still counts the time of before finds nothing lost.
        let was_lost = self.has_lost.load(Ordering::Acquire);
        if was_lost {
            self.heard_since.store(now.seconds(), Ordering::Relaxed);
            self.has_lost.store(false, Ordering::Release);
        }
        let answer = self
            .connection
            .call(vec![self.exchange_command(tidings, was_lost)]);
        let answer = answer.inspect_err(|_| {
            self.has_lost.fetch_or(was_lost, Ordering::Release);
        })?;
        if was_lost {
            tracing::warn!(
                "the registry of sessions has lost something; no session counts as idle for it"
            );
        }
        let mut answer = answer
            .into_iter()
            .next()
            .map_or(Ok(Vec::new()), list)?
            .into_iter();
        let losses = answer.next().and_then(bytes).unwrap_or_default();
        let losses = String::from_utf8_lossy(&losses).into_owned();
        let known = lock(&self.losses).replace(losses.clone());
        let has_lost = was_lost || known.is_some_and(|known| known != losses);
        let (heard, missing) = self.news(&answer.collect::<Vec<_>>());
        Ok(Others {
            heard,
            gone: self.gone(missing, has_lost),
            has_lost,
        })
    }

    fn exchange_command(&self, tidings: &Tidings, was_lost: bool) -> Command {
        let keys = vec![self.keys.common("sources"), self.keys.common("losses")];
        let has_lost = was_lost || tidings.has_lost;
        let mut arguments = vec![if has_lost {
            b"1".to_vec()
        } else {
            b"0".to_vec()
        }];
        let milliseconds = |duration: Duration| duration.as_millis().to_string().into_bytes();
        for heard in &tidings.heard {
            arguments.push(heard.source.clone().into_bytes());
            arguments.push(milliseconds(heard.ago));
            arguments.push(milliseconds(heard.interval));
        }
        if tidings.has_heard {
            arguments.push(self.source().into_bytes());
            arguments.push(b"0".to_vec());
            arguments.push(AUTHORITY_INTERVAL.to_string().into_bytes());
        }
        Command::script(&scripts::EXCHANGE, keys, arguments)
    }

    /// What is new of what all have heard. What was known before says nothing: a source does not
    /// speak by being remembered. With it, the authorities that were known and are missing.
    fn news(&self, values: &[::redis::Value]) -> (Vec<HeardOf>, HashSet<Vec<u8>>) {
        let mut known = lock(&self.heard);
        let mut current = HashMap::new();
        let mut news = Vec::new();
        for entry in values.chunks_exact(4) {
            let [source, heard, ago, interval] = entry else {
                continue;
            };
            let (Some(source), Some(heard)) = (bytes(source.clone()), bytes(heard.clone())) else {
                continue;
            };
            let milliseconds = |value| {
                let number = number(value).and_then(|number| u64::try_from(number).ok());
                Duration::from_millis(number.unwrap_or_default())
            };
            if known.get(&source) != Some(&heard) {
                news.push(HeardOf {
                    source: String::from_utf8_lossy(&source).into_owned(),
                    ago: milliseconds(ago),
                    interval: milliseconds(interval),
                });
            }
            current.insert(source, heard);
        }
        known.retain(|source, _| !current.contains_key(source) && is_authority(source));
        let missing = std::mem::replace(&mut *known, current).into_keys();
        (news, missing.collect())
    }

    /// Which authorities have taken their leave: those that are missing twice, while nothing was lost.
    /// Redis may have lost them after it was asked for that, and the next time tells.
    fn gone(&self, missing: HashSet<Vec<u8>>, has_lost: bool) -> Vec<String> {
        let before = std::mem::take(&mut *lock(&self.missing));
        if has_lost {
            return Vec::new();
        }
        *lock(&self.missing) = missing;
        let known = lock(&self.heard);
        let gone = before
            .into_iter()
            .filter(|source| !known.contains_key(source));
        gone.map(|source| String::from_utf8_lossy(&source).into_owned())
            .collect()
    }

    /// Says that this authority is not there any more, so that others do not wait for it.
    pub(super) fn withdraw(&self) {
        let command = Command::plain(vec![
            b"HDEL".to_vec(),
            self.keys.common("sources"),
            self.source().into_bytes(),
        ]);
        let _ = self.connection.call(vec![command]);
    }

    fn source(&self) -> String {
        format!("{AUTHORITY}{}", self.name)
    }
}

fn is_authority(source: &[u8]) -> bool {
    source.first().copied().map(char::from) == Some(AUTHORITY)
}

const _: () = assert!(SHARDS <= 256, "a shard is chosen by a byte");
