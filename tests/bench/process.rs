//! What the system reports about a process.

use std::fs;
use std::ops::Range;
use std::time::Duration;

/// Ticks of a second in `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time so far.
pub(crate) fn cpu(id: u32) -> Duration {
    ticks(id, USED).expect("a running process")
}

/// Where in `/proc/…/stat`, behind the name, the ticks of the process itself are, and those of children that
/// have ended and been waited for.
const USED: Range<usize> = 11..13;
const USED_BY_CHILDREN: Range<usize> = 13..15;

fn ticks(id: u32, which: Range<usize>) -> Option<Duration> {
    let fields = fields(id)?;
    let ticks = fields.get(which).expect("times");
    let ticks = ticks.iter().map(|ticks| ticks.parse::<f64>());
    let sum: f64 = ticks.map(|ticks| ticks.expect("a number")).sum();
    Some(Duration::from_secs_f64(sum / TICKS_PER_SECOND))
}

/// What the system says of a process behind its name; `None` where it has ended.
fn fields(id: u32) -> Option<Vec<String>> {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name, which may have spaces, ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    Some(fields.split_whitespace().map(str::to_owned).collect())
}

/// Processor time since it was `earlier`.
pub(crate) fn cpu_since(id: u32, earlier: Duration) -> Duration {
    cpu(id).saturating_sub(earlier)
}

/// A line of `/proc/…/status`, in KiB.
pub(crate) fn kib(id: u32, name: &str) -> f64 {
    let status = fs::read_to_string(format!("/proc/{id}/status")).expect("a running process");
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let figure = line.and_then(|line| line.trim_start_matches(':').trim().strip_suffix(" kB"));
    figure.and_then(|figure| figure.parse().ok()).expect("kB")
}

/// Processor time so far of a process and of all that it has started, of one generation.
pub(crate) fn cpu_with_children(id: u32) -> Duration {
    let whole = USED.start..USED_BY_CHILDREN.end;
    let own = ticks(id, whole.clone()).expect("a running process");
    // The second field behind the name.
    let is_child = |child: &u32| fields(*child).is_some_and(|fields| fields[1] == id.to_string());
    let processes = fs::read_dir("/proc").expect("processes");
    let ids = processes.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    let children = ids
        .filter(is_child)
        .filter_map(|child| ticks(child, whole.clone()));
    own + children.sum::<Duration>()
}
