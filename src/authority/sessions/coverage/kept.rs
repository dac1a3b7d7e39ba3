//! What was heard of edges, across a restart: `sessions.heard`, beside the snapshot of sessions.
//!
//! # When may it be used?
//!
//! When nothing that was reported can be missing: the authority was stopped, and every session is in the
//! snapshot as it was last seen. After a crash, sessions may have been used later than the snapshot says.
//! So the file is written last, at an orderly end, and removed before it is used.
//!
//! # How long was the authority down?
//!
//! The clock does not tell, since it may have been set meanwhile. The kernel counts the time since the
//! machine was started, which cannot be. With it, a restart is like any time in which the authority was
//! told nothing: a short one is no silence of any credential, a long one is, and a clock that was set
//! is found by comparing it with time that has passed. On another machine, or after its start, nothing
//! of that is known, and time begins anew.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{Coverage, GIVEN_UP_AFTER};
use crate::authority::clock::Uptime;
use crate::authority::store::checksum;
use crate::revocation::FilterKey;
use crate::time::UnixTime;

const FILE_NAME: &str = "sessions.heard";

const VERSION: u8 = 1;

/// A thousand stretches, and some thousand credentials.
const MOST_BYTES: usize = 1 << 20;

/// What an authority has heard of edges.
#[derive(Debug)]
pub(in crate::authority) struct Heard {
    /// For which time it is known whether sessions were used.
    pub coverage: Coverage,
    /// How much time has passed since the beginning of what is compared with it.
    pub passed: Duration,
    /// Since when every report has come to the registry.
    pub since: UnixTime,
}

impl Default for Heard {
    /// Nothing. As much time has passed as an authority with the same registry may know a source for that is
    /// silent, which would count as heard at the beginning otherwise.
    fn default() -> Self {
        Self {
            coverage: Coverage::default(),
            passed: GIVEN_UP_AFTER,
            since: UnixTime::EPOCH,
        }
    }
}

/// As it is in the file, with a checksum behind it.
#[derive(Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
struct Row {
    version: u8,
    /// Which start of the machine that was, and how long before.
    boot: String,
    uptime: Duration,
    passed: Duration,
    since: u64,
    coverage: Coverage,
}

/// Takes what the authority before this one has left in its directory, at this moment since the start of
/// the machine. It is used once, or not at all.
#[must_use]
pub(in crate::authority) fn take(
    directory: &Path,
    key: &FilterKey,
    now: Option<&Uptime>,
) -> Option<Heard> {
    let path = directory.join(FILE_NAME);
    let bytes = read(&path).ok()?;
    // What is still there after a crash would be used again, when something is missing.
    let removed = fs::remove_file(&path).and_then(|()| File::open(directory)?.sync_all());
    if let Err(error) = removed {
        tracing::warn!(%error, "what was heard of edges is not used, since it cannot be removed");
        return None;
    }
    decode(&bytes, key, now?)
}

/// Leaves that for the authority after this one.
///
/// # Errors
///
/// When it cannot be written, and then there is nothing.
pub(in crate::authority) fn leave(
    directory: &Path,
    key: &FilterKey,
    heard: Heard,
    now: &Uptime,
) -> io::Result<()> {
    let path = directory.join(FILE_NAME);
    let bytes = encode(key, heard, now)?;
    let written = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&path)
        .and_then(|mut file| {
            file.write_all(&bytes)?;
            file.sync_all()
        });
    if written.is_err() {
        let _ = fs::remove_file(&path);
    }
    written
}

fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?
        .take(MOST_BYTES as u64 + 1)
        .read_to_end(&mut bytes)?;
    Ok(bytes)
}

fn encode(key: &FilterKey, heard: Heard, now: &Uptime) -> io::Result<Vec<u8>> {
    let row = Row {
        version: VERSION,
        boot: now.boot.clone(),
        uptime: now.passed,
        passed: heard.passed,
        since: heard.since.seconds(),
        coverage: heard.coverage,
    };
    let mut bytes = serde_json::to_vec(&row)?;
    let sum = checksum(key, &[&bytes]).to_le_bytes();
    bytes.extend(sum);
    if bytes.len() > MOST_BYTES {
        return Err(io::ErrorKind::FileTooLarge.into());
    }
    Ok(bytes)
}

fn decode(bytes: &[u8], key: &FilterKey, now: &Uptime) -> Option<Heard> {
    let (row, sum) = bytes.split_last_chunk()?;
    if bytes.len() > MOST_BYTES || checksum(key, &[row]).to_le_bytes() != *sum {
        return None;
    }
    let row: Row = serde_json::from_slice(row).ok()?;
    let is_same_start = row.version == VERSION && row.boot == now.boot;
    let down = now
        .passed
        .checked_sub(row.uptime)
        .filter(|_| is_same_start)?;
    Some(Heard {
        coverage: row.coverage,
        passed: row.passed + down,
        since: UnixTime::from_seconds(row.since)?,
    })
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::Moment;
    use super::*;

    const KEY: FilterKey = FilterKey::new(*b"what was heard..");

    fn up(seconds: u64) -> Uptime {
        Uptime {
            boot: "a start".to_owned(),
            passed: Duration::from_secs(seconds),
        }
    }

    /// What is known after a restart of a machine's authority, as bytes have it.
    pub(in crate::authority::sessions::coverage) fn restarted(
        coverage: Coverage,
        stopped: u64,
        started: u64,
    ) -> Option<Heard> {
        let heard = Heard {
            coverage,
            passed: Duration::from_secs(stopped),
            since: UnixTime::EPOCH,
        };
        let bytes = encode(&KEY, heard, &up(1_000 + stopped)).unwrap();
        decode(&bytes, &KEY, &up(1_000 + started))
    }

    fn heard() -> Heard {
        let mut coverage = Coverage::default();
        let now = Moment {
            clock: 1_767_225_600_000,
            passed: Duration::from_secs(9),
        };
        coverage.hear("edge", Duration::from_mins(1), now);
        Heard {
            coverage,
            passed: Duration::from_millis(9_500),
            since: UnixTime::from_seconds(1_767_225_000).unwrap(),
        }
    }

    #[test]
    fn it_is_used_once_and_the_time_since_is_added() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        assert!(take(path, &KEY, Some(&up(5))).is_none());
        leave(path, &KEY, heard(), &up(100)).unwrap();
        let found = take(path, &KEY, Some(&up(130))).unwrap();
        assert_eq!(found.passed, Duration::from_millis(39_500));
        let left = heard();
        assert_eq!(found.since, left.since);
        assert_eq!(
            format!("{:?}", found.coverage),
            format!("{:?}", left.coverage)
        );
        assert!(take(path, &KEY, Some(&up(130))).is_none(), "a crash later");
        assert_eq!(fs::read_dir(path).unwrap().count(), 0);
    }

    #[test]
    fn nothing_is_known_after_a_start_of_the_machine_or_where_the_kernel_does_not_tell() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let other = Uptime {
            boot: "another".to_owned(),
            ..up(130)
        };
        for now in [None, Some(&other), Some(&up(99))] {
            leave(path, &KEY, heard(), &up(100)).unwrap();
            assert!(take(path, &KEY, now).is_none(), "{now:?}");
            assert_eq!(fs::read_dir(path).unwrap().count(), 0);
        }
    }

    #[test]
    fn bytes_that_were_changed_or_are_of_another_store_are_nothing() {
        let bytes = encode(&KEY, heard(), &up(100)).unwrap();
        assert!(decode(&bytes, &KEY, &up(100)).is_some());
        assert!(decode(&bytes, &FilterKey::new([9; 16]), &up(100)).is_none());
        for position in 0..bytes.len() {
            assert!(decode(&bytes[..position], &KEY, &up(100)).is_none());
            let mut damaged = bytes.clone();
            damaged[position] ^= 1;
            assert!(decode(&damaged, &KEY, &up(100)).is_none(), "{position}");
        }
    }
}
