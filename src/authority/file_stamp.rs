//! Seeing that a file has changed.

use std::fs;
use std::path::Path;
use std::time::SystemTime;

/// When a file was written, and how long it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStamp {
    modified: SystemTime,
    length: u64,
}

impl FileStamp {
    /// Of the file at this path, if there is one. To be taken before the file is read, so that a
    /// change meanwhile is seen the next time.
    pub(super) fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            modified: metadata.modified().ok()?,
            length: metadata.len(),
        })
    }
}
