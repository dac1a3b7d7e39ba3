//! Which records were found whole, so that their checksum is not made again for every new token.
//!
//! The host changes a record's version with every write of any plugin. What has been checked
//! under a version is what it was.

use std::cell::RefCell;

use super::{FeedState, RecordKind};

/// Records that are remembered; one per slot, the newer one stays. 16 bytes each, as soon as the
/// first one is.
const SLOTS: usize = 8_192;

/// The records of one virtual machine that were found whole.
#[derive(Clone, Debug, Default)]
pub(super) struct Checked(RefCell<Vec<Sight>>);

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Sight {
    /// The loading, which is random, and the kind of the record.
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
