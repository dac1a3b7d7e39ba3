//! What time it is according to the edges.
//!
//! A cut-off that names no instant begins at the authority's "now". If the authority's clock is an
//! hour behind, the cut-off misses every token issued in that hour, and would be acknowledged all
//! the same. So edges send their time with every poll, and while most of them agree that this clock
//! is off by more than the skew, such cut-offs are refused, unless the caller insists.
//!
//! # Who has a say?
//!
//! The holder of an `edge` credential can claim any time, and must not be able to keep others from
//! revoking. Each credential at each address has one voice; a credential is of the opinion of more
//! than half of its voices; and there is a verdict only when more than half of all voices and more
//! than half of all credentials are of the same opinion, ahead or behind, and there are two voices
//! at least. So one that lies is outvoted wherever there is another address or credential.
//!
//! # What remains?
//!
//! One edge alone, or all edges behind one address with one credential, are one voice: that only
//! warns. Where all edges share one credential, an attacker who has it and more addresses than
//! there are edges can outvote them; a caller who insists is not bound by the vote.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A poll takes up to a second over a bad line, and a synchronised clock is within that, too.
const LEAST_TOLERANCE: Duration = Duration::from_secs(5);

/// An edge polls at least once a minute.
const REMEMBERED: Duration = Duration::from_mins(5);

const JUDGED_EVERY: Duration = Duration::from_secs(1);

/// The connection limit.
const MAX_VOICES: usize = 10_000;

/// What edges have reported lately.
#[derive(Debug)]
pub(super) struct Clocks {
    tolerance_milliseconds: u64,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    voices: HashMap<Voice, Report>,
    judged: Option<(Instant, Verdict)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Voice {
    credential: Arc<str>,
    address: IpAddr,
}

#[derive(Clone, Copy, Debug)]
struct Report {
    /// The edge's time less this one.
    difference_milliseconds: i64,
    heard: Instant,
}

/// What the reports come to. Differences are in milliseconds, and positive where edges are ahead.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Verdict {
    /// How many voices there are.
    pub voices: usize,
    /// The median of what they report; 0 when there are none.
    pub difference_milliseconds: i64,
    /// Whether that is more than clocks may differ by.
    pub is_off: bool,
    /// Whether most of them agree, and no single one can have decided it.
    pub is_agreed: bool,
}

impl Clocks {
    /// No reports yet. Clocks may differ by this skew, or by five seconds where the skew is less,
    /// since polls take time and clocks are set in small steps.
    #[must_use]
    pub(super) fn new(skew: Duration) -> Self {
        let tolerance = skew.max(LEAST_TOLERANCE).as_millis();
        Self {
            tolerance_milliseconds: u64::try_from(tolerance).unwrap_or(u64::MAX),
            state: Mutex::default(),
        }
    }

    /// Records the time that an edge with this credential, at this address, reports. Both times are
    /// in milliseconds since 1970.
    pub(super) fn hear(
        &self,
        credential: &Arc<str>,
        address: IpAddr,
        said: u64,
        own: u64,
        now: Instant,
    ) {
        let voice = Voice {
            credential: Arc::clone(credential),
            address: network(address),
        };
        let mut state = self.lock();
        if state.voices.len() >= MAX_VOICES && !state.voices.contains_key(&voice) {
            state.forget(now);
            if state.voices.len() >= MAX_VOICES {
                return;
            }
        }
        let report = Report {
            difference_milliseconds: difference(said, own),
            heard: now,
        };
        state.voices.insert(voice, report);
    }

    /// The verdict, at most a second old.
    pub(super) fn verdict(&self, now: Instant) -> Verdict {
        let mut state = self.lock();
        if let Some((judged, verdict)) = state.judged
            && now.saturating_duration_since(judged) < JUDGED_EVERY
        {
            return verdict;
        }
        state.forget(now);
        let verdict = self.judge(&state.voices);
        state.judged = Some((now, verdict));
        verdict
    }

    fn judge(&self, voices: &HashMap<Voice, Report>) -> Verdict {
        let mut differences: Vec<i64> = voices
            .values()
            .map(|report| report.difference_milliseconds)
            .collect();
        differences.sort_unstable();
        let difference_milliseconds = median(&differences);
        let is_off = self.is_off(difference_milliseconds);
        let agrees = |report: &Report| {
            let difference = report.difference_milliseconds;
            self.is_off(difference) && difference.signum() == difference_milliseconds.signum()
        };
        let mut credentials = HashMap::<&str, Count>::new();
        let mut all = Count::default();
        for (voice, report) in voices {
            all.add(agrees(report));
            credentials
                .entry(&voice.credential)
                .or_default()
                .add(agrees(report));
        }
        let mut opinions = Count::default();
        for count in credentials.values() {
            opinions.add(count.is_most());
        }
        Verdict {
            voices: voices.len(),
            difference_milliseconds,
            is_off,
            is_agreed: is_off && voices.len() >= 2 && all.is_most() && opinions.is_most(),
        }
    }

    const fn is_off(&self, difference_milliseconds: i64) -> bool {
        difference_milliseconds.unsigned_abs() > self.tolerance_milliseconds
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn forget(&mut self, now: Instant) {
        self.voices
            .retain(|_, report| now.saturating_duration_since(report.heard) < REMEMBERED);
    }
}

impl Verdict {
    /// Whether most edges agree that this machine's clock is ahead, so that entries would lapse
    /// while they are still needed.
    #[must_use]
    pub(super) const fn is_ahead(&self) -> bool {
        self.is_agreed && self.difference_milliseconds < 0
    }

    /// Whether most edges agree that this machine's clock is behind, so that what is seen now would look
    /// older than it is once the clock is put right.
    #[must_use]
    pub(super) const fn is_behind(&self) -> bool {
        self.is_agreed && self.difference_milliseconds > 0
    }

    /// The difference in whole seconds, for people.
    #[must_use]
    pub(super) const fn seconds(&self) -> i64 {
        self.difference_milliseconds / 1_000
    }
}

#[derive(Clone, Copy, Debug, Default)]
struct Count {
    agreeing: usize,
    all: usize,
}

impl Count {
    fn add(&mut self, agrees: bool) {
        self.agreeing += usize::from(agrees);
        self.all += 1;
    }

    const fn is_most(self) -> bool {
        self.agreeing * 2 > self.all
    }
}

/// The holder of one IPv6 address has the other 2^64 of its network, too.
pub(super) fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(
            address.to_bits() & !u128::from(u64::MAX),
        )),
        address @ IpAddr::V4(_) => address,
    }
}

fn difference(said: u64, own: u64) -> i64 {
    let size = i64::try_from(said.abs_diff(own)).unwrap_or(i64::MAX);
    if said < own { -size } else { size }
}

/// Of sorted numbers, the one in the middle; of two in the middle the one that is closer to zero.
fn median(sorted: &[i64]) -> i64 {
    let (half, last) = (sorted.len() / 2, sorted.len().saturating_sub(1) / 2);
    let middle = [sorted.get(last), sorted.get(half)];
    let middle = middle.into_iter().flatten().copied();
    middle
        .min_by_key(|difference| difference.unsigned_abs())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests;
