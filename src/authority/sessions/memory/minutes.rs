//! Records by the minute in which they were last seen, or ended.

use std::collections::{BTreeMap, BTreeSet};

use super::list::{List, Which};
use super::record::Record;
use super::slab::Slab;

/// Lists for each minute that has any.
#[derive(Debug, Default)]
pub(super) struct Minutes {
    lists: BTreeMap<u32, Lists>,
    /// Minutes with sessions that are tokens.
    with_tokens: BTreeSet<u32>,
}

/// The records of a minute.
#[derive(Debug, Default)]
struct Lists {
    /// With a `sid`.
    sessions: List,
    /// Tokens without one.
    tokens: List,
}

impl Minutes {
    pub(super) fn insert(&mut self, slab: &mut Slab, minute: u32, slot: u32) {
        let lists = self.lists.entry(minute).or_default();
        if is_token(slab, slot) {
            lists.tokens.push_last(slab, Which::Minute, slot);
            self.with_tokens.insert(minute);
        } else {
            lists.sessions.push_last(slab, Which::Minute, slot);
        }
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, minute: u32, slot: u32) {
        let Some(lists) = self.lists.get_mut(&minute) else {
            return;
        };
        if is_token(slab, slot) {
            lists.tokens.remove(slab, Which::Minute, slot);
        } else {
            lists.sessions.remove(slab, Which::Minute, slot);
        }
        if lists.tokens.count() == 0 {
            self.with_tokens.remove(&minute);
        }
        if lists.count() == 0 {
            self.lists.remove(&minute);
        }
    }

    /// The first minute that has any, with one of its records.
    pub(super) fn first(&self) -> Option<(u32, u32)> {
        let (minute, lists) = self.lists.first_key_value()?;
        Some((*minute, lists.tokens.first().or(lists.sessions.first())?))
    }

    /// The first minute that has tokens without `sid`, with one of them.
    pub(super) fn first_token(&self) -> Option<(u32, u32)> {
        let minute = *self.with_tokens.first()?;
        Some((minute, self.lists.get(&minute)?.tokens.first()?))
    }

    /// How many records there are from this minute on.
    pub(super) fn count_from(&self, minute: u32) -> u64 {
        let lists = self.lists.range(minute..).map(|(_, lists)| lists);
        lists.map(|lists| u64::from(lists.count())).sum()
    }

    /// The minutes from the first to the last that have any, each with its records.
    pub(super) fn between<'s>(
        &'s self,
        slab: &'s Slab,
        first: u32,
        last: u32,
    ) -> impl Iterator<Item = (u32, impl Iterator<Item = (u32, &'s Record)> + 's)> + 's {
        let range = (first <= last).then(|| self.lists.range(first..=last));
        let lists = range.into_iter().flatten();
        lists.map(|(minute, lists)| {
            let sessions = lists.sessions.iter(slab, Which::Minute);
            (
                *minute,
                sessions.chain(lists.tokens.iter(slab, Which::Minute)),
            )
        })
    }
}

impl Lists {
    const fn count(&self) -> u32 {
        self.sessions.count() + self.tokens.count()
    }
}

fn is_token(slab: &Slab, slot: u32) -> bool {
    slab.get(slot).is_some_and(Record::is_token)
}
