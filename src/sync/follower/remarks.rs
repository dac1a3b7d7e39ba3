//! What the leaders of a process have logged, and what tells their process from others.
//!
//! During an outage leaders follow one another, and each would log the same again. So what was
//! logged is kept in shared data, where the next one finds it: the record is read when a leader
//! begins, and written when something is logged or resolved. To the authority, all leaders of a process
//! are the same edge.
//!
//! ```text
//! struct Remarks {
//!     process: u64,                    // random
//!     began_at: u64,                   // when the first one led, in milliseconds since 1970
//!     is_late: u64,                    // 1 when it was logged that `max_staleness` is exceeded
//!     complaints: [(u64, u64); 3],     // for each kind of work: a hash of the last complaint, and when
//! }
//! ```

use std::time::Duration;

use crate::host::{BackgroundHost, Expected, SharedData};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;
use crate::time::Interval;

/// The name of its record.
const NAME: &str = "remarks";

/// How often the same complaint is logged.
const SAME_COMPLAINT: Duration = Duration::from_mins(10);

/// Kinds of work that fail independently of one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Work {
    /// Polling for changes.
    Poll,
    /// Loading a generation.
    Load,
    /// Getting the manifest in use signed by the current key.
    Attest,
}

/// What has been logged, as far as this one knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Remarks {
    pub(super) process: u64,
    pub(super) began_at: u64,
    pub(super) is_late: bool,
    complaints: [Complaint; 3],
}

/// The default means none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Complaint {
    hash: u64,
    at: u64,
}

impl Remarks {
    /// The remarks of earlier leaders; empty ones if this is the first.
    pub(super) fn begin(host: &impl BackgroundHost, space: &Namespace, now: u64) -> Self {
        let shared = host.shared(&space.key_of(NAME));
        let found = shared.and_then(|shared| Self::decode(space.open(NAME, &shared.bytes)?));
        // A time in the future was written before the clock was set back.
        if let Some(found) = found.filter(|found| found.began_at <= now) {
            return found;
        }
        let first = || Self {
            process: host.random(),
            ..Self::default()
        };
        let beginning = Self {
            began_at: now,
            ..found.unwrap_or_else(first)
        };
        beginning.write(host, space);
        beginning
    }

    /// Notes a complaint, and returns whether to log it: it differs from the last one, or ten
    /// minutes have passed.
    pub(super) fn complain(&mut self, space: &Namespace, work: Work, text: &str, now: u64) -> bool {
        let hash = space.checksum(&[text.as_bytes()]);
        let is_known = self.complaints.iter().any(|known| {
            known.hash == hash && Interval::new(known.at, SAME_COMPLAINT).contains(now)
        });
        if let Some(complaint) = self.complaints.get_mut(work as usize)
            && !is_known
        {
            *complaint = Complaint { hash, at: now };
        }
        !is_known
    }

    /// Notes that this work succeeds, and returns whether there was a complaint about it.
    pub(super) fn settle(&mut self, work: Work) -> bool {
        let complaint = self.complaints.get_mut(work as usize);
        complaint.is_some_and(|complaint| std::mem::take(complaint) != Complaint::default())
    }

    pub(super) fn write(&self, host: &impl SharedData, space: &Namespace) {
        let record = space.seal(NAME, &self.encode());
        host.set_shared(&space.key_of(NAME), &record, Expected::Anything);
    }

    fn encode(&self) -> Vec<u8> {
        let complaints = self.complaints.iter();
        let complaints = complaints.flat_map(|complaint| [complaint.hash, complaint.at]);
        let numbers = [self.process, self.began_at, u64::from(self.is_late)];
        let numbers = numbers.into_iter().chain(complaints);
        numbers.flat_map(u64::to_le_bytes).collect()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = LittleEndian(payload);
        let mut remarks = Self {
            process: fields.u64()?,
            began_at: fields.u64()?,
            is_late: fields.u64()? != 0,
            ..Self::default()
        };
        for complaint in &mut remarks.complaints {
            complaint.hash = fields.u64()?;
            complaint.at = fields.u64()?;
        }
        fields.end(remarks)
    }
}
