//! What the system reports about a process.

use std::fs;
use std::time::Duration;

/// Ticks of a second in `/proc`, on every Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time so far.
pub(crate) fn cpu(id: u32) -> Duration {
    let stat = fs::read_to_string(format!("/proc/{id}/stat")).expect("a running process");
    // The name, which may have spaces, ends with the last parenthesis.
    let (_, fields) = stat.rsplit_once(')').expect("a name");
    let fields: Vec<&str> = fields.split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<f64>().expect("a number");
    Duration::from_secs_f64((ticks(11) + ticks(12)) / TICKS_PER_SECOND)
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
