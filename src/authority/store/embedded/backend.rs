//! The file as redb sees it: guarded, and on trial until everything in it was found intact.
//!
//! # Why a trial?
//!
//! Opening a file writes to it, and closing it again writes more. A damaged file should be left as
//! it was found, so that something can still be recovered from it. So what redb writes while it
//! opens the file is kept in memory, and goes to the disk once the rows have been read and are
//! complete.

use std::fs::File;
use std::io;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use redb::backends::FileBackend;
use redb::{BackendError, StorageBackend};

use super::StoreError;
use super::failure::failed;
use super::guard::Guard;

/// The file, for redb and for ending the trial.
#[derive(Clone, Debug)]
pub(super) struct Backend(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    file: FileBackend,
    guard: Arc<Guard>,
    trial: RwLock<Option<Trial>>,
    /// Reads that are left, for a walk through pages that may form a cycle.
    reads: AtomicU64,
}

/// What was written and is not in the file yet.
#[derive(Debug)]
struct Trial {
    length: u64,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Write(u64, Vec<u8>),
    Resize(u64),
    Sync,
}

impl Backend {
    /// A file that is opened for good: what is written goes to the disk.
    pub(super) fn new(file: File, guard: Arc<Guard>) -> Result<Self, StoreError> {
        Ok(Self(Arc::new(Inner {
            file: FileBackend::new(file).map_err(failed)?,
            guard,
            trial: RwLock::new(None),
            reads: AtomicU64::new(u64::MAX),
        })))
    }

    /// A file that is on trial until [`Backend::acquit`].
    pub(super) fn on_trial(file: File, guard: Arc<Guard>) -> Result<Self, StoreError> {
        let length = file
            .metadata()
            .map_err(|error| failed(redb::Error::Io(error)))?
            .len();
        let backend = Self::new(file, guard)?;
        let trial = Trial {
            length,
            steps: Vec::new(),
        };
        *backend
            .0
            .trial
            .write()
            .unwrap_or_else(PoisonError::into_inner) = Some(trial);
        Ok(backend)
    }

    /// Writes to the disk what was written on trial, in order.
    ///
    /// # Errors
    ///
    /// [`StoreError::Failed`]; the trial is over all the same, and the file has to be reopened.
    pub(super) fn acquit(&self) -> Result<(), StoreError> {
        let mut trial = self.0.trial.write().unwrap_or_else(PoisonError::into_inner);
        let steps = trial.take().map_or(Vec::new(), |trial| trial.steps);
        let done = steps.into_iter().try_for_each(|step| match step {
            Step::Write(offset, bytes) => self.0.write(offset, &bytes),
            Step::Resize(length) => self.0.set_len(length),
            Step::Sync => self.0.file.sync_data(),
        });
        done.map_err(|error| failed(redb::Error::Io(error)))
    }

    /// Allows so many more reads; later ones fail.
    pub(super) fn allow_reads(&self, reads: u64) {
        self.0.reads.store(reads, Ordering::Relaxed);
    }
}

impl Inner {
    fn write(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let mut known = self.guard.lock();
        let done = self.file.write(offset, bytes);
        known.written(offset, bytes, done)
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let mut known = self.guard.lock();
        let done = self.file.set_len(length);
        known.resized(length, done)
    }

    /// Reads what the file has of this range; the rest is zero.
    fn read_some(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        out.fill(0);
        let left = self.file.len()?.saturating_sub(offset);
        let length = usize::try_from(left).unwrap_or(usize::MAX).min(out.len());
        match out.get_mut(..length) {
            Some(out) if !out.is_empty() => self.file.read(offset, out),
            _ => Ok(()),
        }
    }

    /// Runs `work` on the trial, if there is one.
    fn on_trial(&self, work: impl FnOnce(&mut Trial)) -> bool {
        let mut trial = self.trial.write().unwrap_or_else(PoisonError::into_inner);
        trial.as_mut().map(work).is_some()
    }
}

impl Trial {
    /// Overlays what was written on what was read.
    fn overlay(&self, offset: u64, out: &mut [u8]) {
        for step in &self.steps {
            let Step::Write(start, bytes) = step else {
                continue;
            };
            let first = usize::try_from(start.saturating_sub(offset)).unwrap_or(usize::MAX);
            let skipped = usize::try_from(offset.saturating_sub(*start)).unwrap_or(usize::MAX);
            let to = out.get_mut(first..).unwrap_or_default();
            let from = bytes.get(skipped..).unwrap_or_default();
            to.iter_mut().zip(from).for_each(|(old, new)| *old = *new);
        }
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let trial = self.0.trial.read().unwrap_or_else(PoisonError::into_inner);
        trial
            .as_ref()
            .map_or_else(|| self.0.file.len(), |trial| Ok(trial.length))
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        let left = self
            .0
            .reads
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                if left == u64::MAX {
                    Some(left)
                } else {
                    left.checked_sub(1)
                }
            });
        if left.is_err() {
            return Err(io::Error::other("the pages form a cycle"));
        }
        let trial = self.0.trial.read().unwrap_or_else(PoisonError::into_inner);
        let Some(trial) = trial.as_ref() else {
            return self.0.file.read(offset, out);
        };
        if offset.saturating_add(out.len() as u64) > trial.length {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.0.read_some(offset, out)?;
        trial.overlay(offset, out);
        Ok(())
    }

    fn set_len(&self, length: u64) -> io::Result<()> {
        let is_kept = self.0.on_trial(|trial| {
            trial.length = length;
            trial.steps.push(Step::Resize(length));
        });
        if is_kept {
            Ok(())
        } else {
            self.0.set_len(length)
        }
    }

    fn sync_data(&self) -> io::Result<()> {
        let is_kept = self.0.on_trial(|trial| trial.steps.push(Step::Sync));
        if is_kept {
            Ok(())
        } else {
            self.0.file.sync_data()
        }
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        let is_kept = self
            .0
            .on_trial(|trial| trial.steps.push(Step::Write(offset, data.to_vec())));
        if is_kept {
            Ok(())
        } else {
            self.0.write(offset, data)
        }
    }

    fn close(&self) -> io::Result<()> {
        self.0.file.close()
    }

    fn try_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.try_lock_range(start, end)
    }

    fn try_lock_shared_range(
        &self,
        start: Bound<u64>,
        end: Bound<u64>,
    ) -> Result<bool, BackendError> {
        self.0.file.try_lock_shared_range(start, end)
    }

    fn lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_range(start, end)
    }

    fn lock_shared_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.lock_shared_range(start, end)
    }

    fn unlock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<(), BackendError> {
        self.0.file.unlock_range(start, end)
    }

    fn query_lock_range(&self, start: Bound<u64>, end: Bound<u64>) -> Result<bool, BackendError> {
        self.0.file.query_lock_range(start, end)
    }
}
