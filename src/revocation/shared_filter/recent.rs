//! Buckets of cut-offs that a virtual machine has read lately.
//!
//! Nearly all tokens have the same issuer and one of a few clients, so nearly all need the same
//! buckets. A bucket that was read is used until the feed moves on: every change of a bucket has a
//! sequence number of its own, and a virtual machine that has not seen that number yet has not
//! voided its cached tokens either.

use std::cell::RefCell;
use std::rc::Rc;

use super::{Body, FeedState};

/// Buckets that are kept, of some 1,500 bytes each.
const SLOTS: usize = 16;

/// The buckets that were read last, one in each slot.
#[derive(Clone, Debug, Default)]
pub(super) struct Recent(RefCell<Vec<Option<Read>>>);

#[derive(Clone, Debug)]
struct Read {
    /// The load, which is random.
    load: u64,
    sequence: u64,
    index: u32,
    bucket: Rc<Body>,
}

impl Recent {
    pub(super) fn get(&self, state: &FeedState, index: u32) -> Option<Rc<Body>> {
        let slots = self.0.borrow();
        let read = slots.get(slot_of(index))?.as_ref()?;
        let is_it = (read.load, read.sequence, read.index) == (state.load, state.sequence, index);
        is_it.then(|| Rc::clone(&read.bucket))
    }

    pub(super) fn add(&self, state: &FeedState, index: u32, bucket: Rc<Body>) {
        let mut slots = self.0.borrow_mut();
        if slots.is_empty() {
            slots.resize(SLOTS, None);
        }
        if let Some(slot) = slots.get_mut(slot_of(index)) {
            *slot = Some(Read {
                load: state.load,
                sequence: state.sequence,
                index,
                bucket,
            });
        }
    }
}

const fn slot_of(index: u32) -> usize {
    index as usize % SLOTS
}
