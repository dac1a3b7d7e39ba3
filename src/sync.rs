//! Keeping an edge in step: what runs beside the requests, on every tick.
//!
//! One virtual machine of a process leads; only it talks to the authority, and it writes what it
//! learns into shared data, where the others find it on their next tick. Two leaders at once do no
//! harm, nor does one that dies between any two writes: bits are only ever set, a generation
//! becomes visible by one write when it is whole, and everything that is read back is checked.

mod announcement;
mod follower;
mod loader;

pub use announcement::Purge;
pub use follower::{Counts, FeedSource, Follower};
