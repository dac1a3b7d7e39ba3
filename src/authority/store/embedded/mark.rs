//! The mark beside the store: which process has the directory, and how far the store had come.
//!
//! A store that is missing looks like one that never existed, and one that was put back to an
//! earlier state like one that never came further. The mark tells them apart. It is locked as long
//! as the store is open, and records after every commit how many there were. It is not synced to
//! the disk: after a power cut it may be behind the store, never ahead of it.
//!
//! ```text
//! struct Mark {            // little-endian
//!     magic: [u8; 8],      // "pcmark", 0, 1
//!     store: [u8; 16],     // which one; a copy has a number of its own
//!     commits: u64,
//!     sequence: u64,       // of the last change in the feed
//!     checksum: u64,
//! }
//! ```

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

use super::guard::Guard;
use super::{Holder, StoreError};
use crate::authority::store::checksum;
use crate::revocation::FilterKey;

const MARK_NAME: &str = "authority.mark";

/// The process that has the directory, and its address once it has one, on a line each.
const HOLDER_NAME: &str = "authority.holder";
const MAGIC: &[u8] = b"pcmark\0\x01";
const MARK_BYTES: usize = 48;

/// The mark, locked.
#[derive(Debug)]
pub(super) struct Mark {
    path: PathBuf,
    file: File,
    guard: Guard,
    /// Whether the log already says that the mark cannot be written.
    is_behind: AtomicBool,
}

/// How far a store has come.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Standing {
    pub(super) store: StoreNumber,
    pub(super) commits: u64,
    pub(super) sequence: u64,
}

/// The content of the mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Said {
    /// There was no store here.
    Nothing,
    /// There was one that had come so far.
    Was(Standing),
    /// There was one; how far it had come is unreadable.
    Unreadable,
}

impl Mark {
    /// Locks the directory for this process, until this is dropped.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`], [`StoreError::File`].
    pub(super) fn hold(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(MARK_NAME);
        let in_file = |source| StoreError::File {
            path: path.clone(),
            source,
        };
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .map_err(in_file)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(in_use(directory)),
            Err(TryLockError::Error(source)) => return Err(in_file(source)),
        }
        say_who(directory, "");
        let guard = Guard::of(&path).map_err(in_file)?;
        Ok(Self {
            file,
            guard,
            path,
            is_behind: AtomicBool::new(false),
        })
    }

    /// Refuses a directory that another process has, without taking it.
    ///
    /// # Errors
    ///
    /// [`StoreError::InUse`].
    pub(super) fn expect_free(directory: &Path) -> Result<(), StoreError> {
        let Ok(file) = File::open(directory.join(MARK_NAME)) else {
            return Ok(());
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => Err(in_use(directory)),
            // Other errors are reported when the directory is taken.
            Ok(()) | Err(TryLockError::Error(_)) => Ok(()),
        }
    }

    /// Reads the mark.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub(super) fn read(&self) -> Result<Said, StoreError> {
        let in_file = |source| StoreError::File {
            path: self.path.clone(),
            source,
        };
        if self.file.metadata().map_err(in_file)?.len() == 0 {
            return Ok(Said::Nothing);
        }
        let mut bytes = [0; MARK_BYTES];
        match self.file.read_exact_at(&mut bytes, 0) {
            Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => Err(in_file(error)),
            _ => Ok(decode(&bytes).map_or(Said::Unreadable, Said::Was)),
        }
    }

    /// Records how far the store has come. A failure is logged once: then the mark is behind, which
    /// may hide a loss but never invents one.
    pub(super) fn say(&self, standing: Standing) {
        let bytes = encode(standing);
        let mut known = self.guard.lock();
        let done = self.file.write_all_at(&bytes, 0);
        let is_written = known.written(0, &bytes, done).is_ok();
        drop(known);
        if !is_written && !self.is_behind.swap(true, Ordering::Relaxed) {
            tracing::warn!(path = %self.path.display(), "the store's mark cannot be written");
        }
        if is_written {
            self.is_behind.store(false, Ordering::Relaxed);
        }
    }

    /// Records it, and syncs it to the disk.
    ///
    /// # Errors
    ///
    /// [`StoreError::File`].
    pub(super) fn say_for_good(&self, standing: Standing) -> Result<(), StoreError> {
        self.say(standing);
        let directory = self.path.parent().map_or(Ok(()), |directory| {
            File::open(directory).and_then(|directory| directory.sync_all())
        });
        self.file
            .sync_all()
            .and(directory)
            .map_err(|source| StoreError::File {
                path: self.path.clone(),
                source,
            })
    }

    /// Whether the mark is still there: without it a second process could take the directory.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        self.guard.check()
    }
}

fn in_use(directory: &Path) -> StoreError {
    let text = fs::read_to_string(directory.join(HOLDER_NAME)).unwrap_or_default();
    let mut lines = text.lines();
    let id = lines.next().and_then(|id| id.parse().ok());
    let url = lines.next().unwrap_or_default();
    StoreError::InUse {
        directory: directory.to_owned(),
        holder: id.map(|id| Holder {
            id,
            url: url.to_owned(),
        }),
    }
}

/// Records which process has the directory, for a process that finds it locked. It is for people
/// only, and true only while the lock is held, so nothing depends on it.
pub(super) fn say_who(directory: &Path, url: &str) {
    let text = format!("{}\n{url}\n", std::process::id());
    let _ = fs::write(directory.join(HOLDER_NAME), text);
}

fn encode(standing: Standing) -> [u8; MARK_BYTES] {
    let mut bytes = [0; MARK_BYTES];
    let numbers = [standing.commits, standing.sequence].map(u64::to_le_bytes);
    let parts = MAGIC
        .iter()
        .chain(&standing.store)
        .chain(numbers.as_flattened());
    bytes
        .iter_mut()
        .zip(parts)
        .for_each(|(byte, part)| *byte = *part);
    if let Some((said, last)) = bytes.split_last_chunk_mut() {
        *last = checksum_of(said).to_le_bytes();
    }
    bytes
}

fn decode(bytes: &[u8; MARK_BYTES]) -> Option<Standing> {
    let (said, checksum) = bytes.split_last_chunk()?;
    if checksum_of(said) != u64::from_le_bytes(*checksum) {
        return None;
    }
    let rest = said.strip_prefix(MAGIC)?;
    let (store, rest) = rest.split_first_chunk()?;
    let (commits, sequence) = rest.split_first_chunk()?;
    Some(Standing {
        store: *store,
        commits: u64::from_le_bytes(*commits),
        sequence: u64::from_le_bytes(sequence.try_into().ok()?),
    })
}

fn checksum_of(said: &[u8]) -> u64 {
    checksum(&FilterKey::new(*b"portcullis mark "), &[said])
}

/// Tells one store from another, and from its copies.
pub(super) type StoreNumber = [u8; 16];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mark_says_what_it_was_told_or_that_it_cannot_be_read() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::hold(directory.path()).unwrap();
        assert_eq!(mark.read().unwrap(), Said::Nothing);
        let standing = Standing {
            store: [9; 16],
            commits: 5,
            sequence: 7,
        };
        mark.say_for_good(standing).unwrap();
        assert_eq!(mark.read().unwrap(), Said::Was(standing));
        mark.check().unwrap();
        let bytes = encode(standing);
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes;
            changed[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode(&changed), None, "bit {bit}");
        }
        mark.file.set_len(20).unwrap();
        assert_eq!(mark.read().unwrap(), Said::Unreadable);
    }

    #[test]
    fn a_directory_is_held_once() {
        let directory = tempfile::tempdir().unwrap();
        let mark = Mark::hold(directory.path()).unwrap();
        let second = Mark::hold(directory.path());
        let told = second.unwrap_err().to_string();
        let process = format!("is in use by process {}", std::process::id());
        assert!(told.ends_with(&process), "{told}");
        assert!(Mark::expect_free(directory.path()).is_err());
        say_who(directory.path(), "http://127.0.0.1:7");
        let told = Mark::hold(directory.path()).unwrap_err().to_string();
        let serving = format!("{process}, which listens on http://127.0.0.1:7");
        assert!(told.ends_with(&serving), "{told}");
        drop(mark);
        assert!(Mark::expect_free(directory.path()).is_ok());
        assert!(Mark::hold(directory.path()).is_ok());
    }
}
