//! How many connections the system lets the process have.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For reading credentials and certificates again, for a backup, and for connections that have just
/// been told to go.
const SPARE: usize = 16;

/// With less, no caller could be served; the system says so then.
const LEAST: usize = 8;

/// As many as `most`, and no more than there are file descriptors for beside those that are open
/// and those that the work needs now and then. The soft limit is raised as far as the hard one
/// allows, since it is low for programs that cannot deal with more.
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
