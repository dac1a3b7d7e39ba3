//! How many connections the system allows the process.

use std::fs;

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// For reading credentials and certificates again, for a backup, and for connections that are being
/// closed.
const SPARE: usize = 16;

/// With fewer, callers could not be served; then accepting connections fails, and that is logged.
const LEAST: usize = 8;

/// Of what there is, the share of signals at most: strangers reach their listener over the internet, and
/// take no connection from operators and edges.
const SHARE_OF_SIGNALS: usize = 8;

/// How many connections each listener may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    /// For operators and edges.
    pub(super) main: usize,
    /// For signals; none where they are not received.
    pub(super) signals: usize,
}

/// At most these, and together no more than there are file descriptors for, apart from those that are
/// open and those that are needed now and then. The soft limit is raised to the hard one: it is low only
/// for programs that use `select`.
pub(super) fn connections(most: Connections) -> Connections {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else {
        return most;
    };
    let open = fs::read_dir("/dev/fd").map_or(SPARE, Iterator::count);
    let wanted = most.main + most.signals + open + SPARE;
    let wanted = u64::try_from(wanted).unwrap_or(u64::MAX);
    let raised = wanted.min(hard);
    let limit = if raised > soft && setrlimit(Resource::RLIMIT_NOFILE, raised, hard).is_ok() {
        raised
    } else {
        soft
    };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    divided(limit.saturating_sub(open + SPARE), most)
}

/// So many file descriptors, divided among listeners that may have these connections at most.
fn divided(descriptors: usize, most: Connections) -> Connections {
    let least = |most: usize| LEAST.min(most);
    let share = (descriptors / SHARE_OF_SIGNALS).max(least(most.signals));
    let signals = most.signals.min(share);
    let left = descriptors.saturating_sub(signals);
    Connections {
        main: left.clamp(least(most.main), most.main),
        signals,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signals_take_an_eighth_at_most_and_nothing_where_none_are_received() {
        let both = Connections {
            main: 10_000,
            signals: 1_024,
        };
        for (descriptors, main, signals) in [
            (100_000, 10_000, 1_024),
            (11_024, 10_000, 1_024),
            (8_192, 7_168, 1_024),
            (1_000, 875, 125),
            (20, 12, 8),
            (0, 8, 8),
        ] {
            let expected = Connections { main, signals };
            assert_eq!(divided(descriptors, both), expected, "{descriptors}");
        }
        let alone = Connections { signals: 0, ..both };
        for (descriptors, main) in [(100_000, 10_000), (1_000, 1_000), (0, 8)] {
            let expected = Connections { main, signals: 0 };
            assert_eq!(divided(descriptors, alone), expected, "{descriptors}");
        }
    }
}
