//! The machine: which core does what, and the clock of a process.

use std::fs;
use std::process::Command;
use std::time::Duration;

use nix::sched::{CpuSet, sched_getaffinity, sched_setaffinity};
use nix::time::ClockId;
use nix::unistd::Pid;

use crate::support;

/// The two cores that are used, of those that this process may run on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Cores {
    load: usize,
    envoy: usize,
    both: CpuSet,
}

impl Cores {
    /// The first core for the load, the last for Envoy. On a machine with one they share it.
    pub(crate) fn find() -> Self {
        let both = sched_getaffinity(Pid::from_raw(0)).expect("the cores of this process");
        let mut usable = (0..CpuSet::count()).filter(|core| both.is_set(*core) == Ok(true));
        let load = usable.next().expect("a core");
        Self {
            load,
            envoy: usable.next_back().unwrap_or(load),
            both,
        }
    }

    /// What is started while `start` runs stays on Envoy's core; this thread is on the other one
    /// afterwards.
    pub(crate) fn start_on_envoys<T>(self, start: impl FnOnce() -> T) -> T {
        pin(&only(self.envoy));
        let started = start();
        pin(&only(self.load));
        started
    }

    /// What is started while `start` runs stays on the core of the load; this thread is on Envoy's
    /// afterwards.
    pub(crate) fn on_loads<T>(self, start: impl FnOnce() -> T) -> T {
        pin(&only(self.load));
        let started = start();
        pin(&only(self.envoy));
        started
    }

    /// This thread, and what it starts from now on, may run anywhere.
    pub(crate) fn release(self) {
        pin(&self.both);
    }
}

fn only(core: usize) -> CpuSet {
    let mut set = CpuSet::new();
    set.set(core).expect("a core of this machine");
    set
}

fn pin(cores: &CpuSet) {
    sched_setaffinity(Pid::from_raw(0), cores).expect("cores to run on");
}

/// The processor time of all threads of a process, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ProcessClock(ClockId);

impl ProcessClock {
    pub(crate) fn of(process: u32) -> Self {
        let process = Pid::from_raw(process.try_into().expect("a process"));
        Self(ClockId::pid_cpu_clock_id(process).expect("the clock of a running process"))
    }

    pub(crate) fn now(self) -> Duration {
        self.0.now().expect("a running process").into()
    }
}

/// One line about the machine.
pub(crate) fn description() -> String {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpu.lines().find_map(|line| line.strip_prefix("model name"));
    let cpu = cpu.map_or("unknown processor", |name| {
        name.trim_start_matches(['\t', ':', ' '])
    });
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let kernel = said_by("uname", &["-sr"]);
    let load = load();
    format!("{cpu}, {cores} cores, {kernel}, load {load:.2} when it began")
}

/// Runnable threads, averaged over the last minute; `None` where that is not known.
fn load() -> f64 {
    let load = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let load = load.split(' ').next().unwrap_or_default();
    load.parse().unwrap_or(f64::NAN)
}

/// The same for each core.
pub(crate) fn load_per_core() -> f64 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    load() / cores as f64
}

/// The versions of what was measured, and the state of the sources.
pub(crate) fn versions() -> String {
    let envoy = said_by(&support::Envoy::program().to_string_lossy(), &["--version"]);
    // `…/envoy  version: 9d8…/1.40.0/Clean/RELEASE/BoringSSL`.
    let envoy = envoy.split('/').rev().nth(3).unwrap_or("?").to_owned();
    let commit = said_by("git", &["describe", "--always", "--dirty", "--abbrev=12"]);
    let commit = if commit.is_empty() {
        "?-dirty"
    } else {
        &commit
    };
    let rustc = said_by("rustc", &["--version"]);
    format!(
        "Portcullis {commit}, module {}, Envoy {envoy}, {rustc}",
        module()
    )
}

/// Size and checksum of the filter that was measured, which need not be that of the commit.
fn module() -> String {
    let path = std::env::var("PORTCULLIS_WASM").unwrap_or_else(|_| "target/portcullis.wasm".into());
    let sum = said_by("cksum", &[&path]);
    let mut words = sum.split(' ');
    let (sum, size) = (
        words.next().unwrap_or_default(),
        words.next().unwrap_or("?"),
    );
    format!("of {size} bytes (cksum {sum})")
}

/// Today, as the machine has it.
pub(crate) fn date() -> String {
    said_by("date", &["--utc", "+%Y-%m-%d"])
}

fn said_by(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| output.stdout).unwrap_or_default();
    String::from_utf8_lossy(&text).trim().to_owned()
}
