//! Why the store does not do what it is asked.

use std::io;
use std::path::PathBuf;

use super::file::FORMAT;

/// Why the store does not do what it is asked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The directory could not be made.
    #[error("could not make directory `{}`", path.display())]
    Directory {
        /// The directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file could not be opened.
    #[error("could not open store `{}`", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Reading or writing failed.
    #[error("the store failed")]
    Failed(#[source] Box<redb::Error>),
    /// A row is not of the form that this version writes.
    #[error("the store holds a row that this version cannot read")]
    Row,
    /// The file was made by a version with another format.
    #[error("expected format {FORMAT} of the store, found {0}")]
    Format(u8),
    /// The file could not be opened again after an error.
    #[error("the store is closed after an error")]
    Closed,
    /// One copy at a time is enough.
    #[error("a backup is being made")]
    BackingUp,
    /// A copy must not keep the store from being opened anew, nor the process from ending.
    #[error("the backup was broken off")]
    BrokenOff,
    /// The system has no randomness for a secret.
    #[error("could not make a secret")]
    Random(#[source] getrandom::Error),
}

/// Any error of the database.
pub(super) fn failed(error: impl Into<redb::Error>) -> StoreError {
    StoreError::Failed(Box::new(error.into()))
}
