//! How many connections the system allows the process.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For reading credentials and certificates again, for a backup, and for connections that are being
/// closed.
const SPARE: usize = 16;

/// With fewer, callers could not be served; then accepting connections fails, and that is logged.
const LEAST: usize = 8;

/// At most `most`, and no more than there are file descriptors for, apart from those that are open
/// and those that are needed now and then. The soft limit is raised to the hard one: it is low only
/// for programs that use `select`.
pub(super) fn connections(most: usize) -> usize {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return most;
    };
    let open = fs::read_dir("/dev/fd").map_or(SPARE, Iterator::count);
    let wanted = u64::try_from(most + open + SPARE).unwrap_or(u64::MAX);
    let raised = wanted.min(hard);
    let limit = if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        raised
    } else {
        soft
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    limit.saturating_sub(open + SPARE).clamp(LEAST, most)
}
