//! An allocator that counts what each thread holds, with what allocators add to every block, and
//! how many blocks it has asked for.

#![allow(unsafe_code, reason = "an allocator is one")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use crate::token::heap;

thread_local! {
    static HELD: Cell<usize> = const { Cell::new(0) };
    static BLOCKS: Cell<usize> = const { Cell::new(0) };
}

/// Bytes that this thread has allocated and not freed.
pub(super) fn held() -> usize {
    HELD.get()
}

/// Blocks that this thread has ever allocated.
pub(super) fn blocks() -> usize {
    BLOCKS.get()
}

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// SAFETY: what is allocated is the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        HELD.set(HELD.get().wrapping_add(heap::block(layout.size())));
        BLOCKS.set(BLOCKS.get().wrapping_add(1));
        // SAFETY: as the caller has it.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        HELD.set(HELD.get().wrapping_sub(heap::block(layout.size())));
        // SAFETY: as the caller has it.
        unsafe { System.dealloc(block, layout) }
    }
}
