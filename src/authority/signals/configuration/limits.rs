//! `limits` and `records`: how much a sender may ask for, and what is kept.

use std::ops::RangeInclusive;
use std::time::Duration;

use crate::authority::configuration::duration;
use crate::configuration::{Fields, Read};

/// How much a sender may ask of the listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalLimits {
    /// The longest body, in bytes.
    pub body: usize,
    /// Genuine signals of one issuer per second, with ten seconds' worth at once.
    pub requests_per_second: u32,
    /// How long an answer may take.
    pub timeout: Duration,
}

/// What is kept of signals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordLimits {
    /// For how long.
    pub retention: Duration,
    /// How many at most.
    pub max_records: usize,
    /// How subjects and sessions stand in them.
    pub subjects: SubjectForm,
}

/// How a record has a name that a signal gives to a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubjectForm {
    /// As it was given.
    Plain,
    /// As a hash under a key of this installation, so that records of one user can be found, and tell
    /// nothing to a reader who does not know the user.
    Hash,
}

impl Default for SignalLimits {
    fn default() -> Self {
        Self {
            body: MOST_BYTES,
            requests_per_second: DEFAULT_RATE,
            timeout: Duration::from_secs(2),
        }
    }
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self {
            retention: DEFAULT_RETENTION,
            max_records: DEFAULT_RECORDS,
            subjects: SubjectForm::Plain,
        }
    }
}

/// A logout token has about a kilobyte. As many bytes as any request to the authority may have.
const MOST_BYTES: usize = 64 * 1024;

/// An administrator who ends every session of a realm makes a provider send thousands at once, and
/// it tries once.
const DEFAULT_RATE: u32 = 1_000;

const TIMEOUTS: RangeInclusive<Duration> = Duration::from_millis(200)..=Duration::from_secs(10);

const DEFAULT_RETENTION: Duration = Duration::from_hours(30 * 24);

const RETENTIONS: RangeInclusive<Duration> =
    Duration::from_hours(1)..=Duration::from_hours(400 * 24);

/// Some fifty megabytes.
const DEFAULT_RECORDS: usize = 100_000;

/// The section.
pub(super) fn limits(fields: &mut Fields<'_>) -> Read<SignalLimits> {
    let defaults = SignalLimits::default();
    let Some(node) = fields.optional("limits") else {
        return Ok(defaults);
    };
    node.object(|fields| {
        let body = fields.number("body", (1_024, MOST_BYTES), defaults.body);
        let rate = fields.number("requests_per_second", (1, 100_000), DEFAULT_RATE as usize);
        let timeout = match fields.optional("timeout") {
            None => defaults.timeout,
            Some(node) => {
                let timeout = node.duration()?;
                if !TIMEOUTS.contains(&timeout) {
                    return Err(node.fault("expected a duration from 0.2s to 10s"));
                }
                timeout
            }
        };
        Ok(SignalLimits {
            body,
            requests_per_second: u32::try_from(rate).unwrap_or(DEFAULT_RATE),
            timeout,
        })
    })
}

/// The section.
pub(super) fn records(fields: &mut Fields<'_>) -> Read<RecordLimits> {
    let defaults = RecordLimits::default();
    let Some(node) = fields.optional("records") else {
        return Ok(defaults);
    };
    node.object(|fields| {
        let max_records = fields.number("max_records", (1, 10_000_000), defaults.max_records);
        let subjects = fields.word("subjects", &SUBJECTS, defaults.subjects);
        let retention = match fields.optional("retention") {
            None => defaults.retention,
            Some(node) => {
                let retention = duration(node)?;
                if !RETENTIONS.contains(&retention) {
                    return Err(node.fault("expected a duration from an hour to 400 days"));
                }
                retention
            }
        };
        Ok(RecordLimits {
            retention,
            max_records,
            subjects,
        })
    })
}

const SUBJECTS: [(&str, SubjectForm); 2] =
    [("plain", SubjectForm::Plain), ("hash", SubjectForm::Hash)];
