//! Which records were found intact, so that their checksum is not computed again for every new
//! token.
//!
//! The host changes a record's version with every write of any plugin, so a record with the version
//! that was checked is unchanged.

use std::cell::RefCell;

use super::{FeedState, RecordKind};

/// Number of slots. Each remembers one record, the latest. They take 16 bytes each, allocated with
/// the first record.
const SLOTS: usize = 8_192;

/// The records that one virtual machine has found intact.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked(RefCell<Vec<Sight>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sight {
    /// The load, which is random, and the kind of the record.
    load: u64,
    index: u32,
    /// Never 0, so that an empty slot matches no record.
    version: u32,
}

impl Sight {
    fn new(state: &FeedState, record: RecordKind, index: u32, version: u32) -> Self {
        let load = match record {
            RecordKind::Page => state.load,
            RecordKind::Bucket => !state.load,
        };
        Self {
            load,
            index,
            version,
        }
    }

    const fn slot(self) -> usize {
        self.index as usize % SLOTS
    }
}

impl Checked {
    pub(super) fn holds(
        &self,
        state: &FeedState,
        record: RecordKind,
        index: u32,
        version: u32,
    ) -> bool {
        let sight = Sight::new(state, record, index, version);
        version != 0 && self.0.borrow().get(sight.slot()) == Some(&sight)
    }

    pub(super) fn add(&self, state: &FeedState, record: RecordKind, index: u32, version: u32) {
        let sight = Sight::new(state, record, index, version);
        let mut slots = self.0.borrow_mut();
        if slots.is_empty() {
            slots.resize(SLOTS, Sight::default());
        }
        if let Some(slot) = slots.get_mut(sight.slot()) {
            *slot = sight;
        }
    }
}
