//! Staying in step: one copy of the work, however many virtual machines a process has.
//!
//! Envoy runs the module once for every worker, and once more on the main thread. What has to be
//! fetched from other servers is fetched by one of them, which holds a [`Lease`] in shared data,
//! and publishes it there for the others, which look on every [`TICK`]. What is read back is
//! untrusted: other plugins may share the space.
//!
//! Everything here is a state machine over [`crate::host::BackgroundHost`]: time is an argument,
//! nothing blocks, and a host that answers late, twice or not at all does no harm.
//!
//! # Why a lease for each source of keys, not one for everything
//!
//! Two plugins with different configurations, old and new during an update, or two listeners, may
//! live in the same space. Each of them needs a leader for *its* sources, and plugins with the same
//! source should share the fetches. It spreads the work over the workers, too. Looking at a lease
//! costs a microsecond for each source and tick.

mod announcement;
mod claim;
mod discard;
mod fault;
mod follower;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod lease;
mod line;
mod loader;
mod mark;
mod trouble;

use std::time::Duration;

pub use announcement::VoidTokens;
pub use fault::Fault;
pub use follower::{Counts as FeedCounts, FeedSource, Follower};
pub use lease::{Lease, Role};

/// How often every virtual machine looks at shared data. The others have what one publishes after
/// this time at the latest.
pub const TICK: Duration = Duration::from_millis(100);
