//! `sessions`: the bounds of the registry.

use std::time::Duration;

use super::duration::duration;
use crate::configuration::{Fields, Read};

/// The bounds of the registry of sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SessionLimits {
    /// How many sessions it keeps.
    pub max_sessions: usize,
    /// How long it keeps a session that is not used any more.
    pub retention: Duration,
}

impl Default for SessionLimits {
    fn default() -> Self {
        Self {
            max_sessions: DEFAULT_SESSIONS,
            retention: DEFAULT_RETENTION,
        }
    }
}

/// A third of a gigabyte of them.
const DEFAULT_SESSIONS: usize = 1_000_000;

const DEFAULT_RETENTION: Duration = Duration::from_hours(30 * 24);

/// 33 GB.
const MOST_SESSIONS: usize = 100_000_000;

/// A session that is used once a day is the same one for as long as it is kept.
const RETENTIONS: (Duration, Duration) = (Duration::from_hours(1), Duration::from_hours(400 * 24));

/// The section.
pub(super) fn sessions(fields: &mut Fields<'_>) -> Read<SessionLimits> {
    let Some(node) = fields.optional("sessions") else {
        return Ok(SessionLimits::default());
    };
    node.object(|fields| {
        let defaults = SessionLimits::default();
        let max_sessions = fields.number("max_sessions", (1, MOST_SESSIONS), defaults.max_sessions);
        let retention = match fields.optional("retention") {
            None => defaults.retention,
            Some(node) => {
                let retention = duration(node)?;
                let (least, most) = RETENTIONS;
                if !(least..=most).contains(&retention) {
                    return Err(node.fault("expected a duration from an hour to 400 days"));
                }
                retention
            }
        };
        Ok(SessionLimits {
            max_sessions,
            retention,
        })
    })
}
