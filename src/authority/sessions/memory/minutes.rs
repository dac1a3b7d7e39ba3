//! Records by the minute in which they were last seen, or ended.

use std::collections::BTreeMap;

use super::list::{List, Which};
use super::record::Record;
use super::slab::Slab;

/// A list for each minute that has any.
#[derive(Debug, Default)]
pub(super) struct Minutes(BTreeMap<u32, List>);

impl Minutes {
    pub(super) fn insert(&mut self, slab: &mut Slab, minute: u32, slot: u32) {
        let list = self.0.entry(minute).or_default();
        list.push_last(slab, Which::Minute, slot);
    }

    pub(super) fn remove(&mut self, slab: &mut Slab, minute: u32, slot: u32) {
        if let Some(list) = self.0.get_mut(&minute) {
            list.remove(slab, Which::Minute, slot);
            if list.count() == 0 {
                self.0.remove(&minute);
            }
        }
    }

    /// The first minute that has any, with one of its records.
    pub(super) fn first(&self) -> Option<(u32, u32)> {
        let (minute, list) = self.0.first_key_value()?;
        Some((*minute, list.first()?))
    }

    /// How many records there are from this minute on.
    pub(super) fn count_from(&self, minute: u32) -> u64 {
        let lists = self.0.range(minute..).map(|(_, list)| list);
        lists.map(|list| u64::from(list.count())).sum()
    }

    /// The minutes from the first to the last that have any, each with its records.
    pub(super) fn between<'s>(
        &'s self,
        slab: &'s Slab,
        first: u32,
        last: u32,
    ) -> impl Iterator<Item = (u32, impl Iterator<Item = (u32, &'s Record)> + 's)> + 's {
        let range = (first <= last).then(|| self.0.range(first..=last));
        let lists = range.into_iter().flatten();
        lists.map(|(minute, list)| (*minute, list.iter(slab, Which::Minute)))
    }
}
