//! The file that holds a private key, as a JWK (RFC 7517).

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use crate::signer::{KeyError, Signer};

/// Reads the private key in `path`.
///
/// # Errors
///
/// [`KeyFileError::Read`] and [`KeyFileError::Invalid`].
pub fn read(path: &Path) -> Result<Signer, KeyFileError> {
    let json = fs::read_to_string(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Signer::from_jwk(&json).map_err(|source| KeyFileError::Invalid {
        path: path.to_owned(),
        source,
    })
}

/// Writes the private key into a new file that only its owner can read.
///
/// # Errors
///
/// [`KeyFileError::Exists`] when there is anything at `path` already, a dangling link included: a
/// private key that is overwritten is lost for good. [`KeyFileError::Write`] else.
pub fn write_new(path: &Path, signer: &Signer) -> Result<(), KeyFileError> {
    let failed = |source: io::Error| KeyFileError::Write {
        path: path.to_owned(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(OWNER_ONLY)
        .open(path)
        .map_err(|source| match source.kind() {
            io::ErrorKind::AlreadyExists => KeyFileError::Exists {
                path: path.to_owned(),
            },
            _ => failed(source),
        })?;
    writeln!(file, "{}", signer.to_jwk())
        .and_then(|()| file.sync_all())
        .map_err(|source| {
            // Half a key is useless and would block the next attempt.
            let _ = fs::remove_file(path);
            failed(source)
        })
}

/// Why a key file cannot be used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum KeyFileError {
    /// The file could not be read.
    #[error("could not read key file `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The file holds no key that tokens can be signed with.
    #[error("key file `{}` is not usable", path.display())]
    Invalid {
        /// The file.
        path: PathBuf,
        /// What is wrong with the key.
        source: KeyError,
    },
    /// The file holds a set of keys, none of which tokens can be checked with.
    #[error("the keys in `{}` are not usable", path.display())]
    Set {
        /// The file.
        path: PathBuf,
        /// What is wrong with them.
        source: crate::token::KeySetError,
    },
    /// There is a file of this name, which is never overwritten.
    #[error("key file `{}` already exists", path.display())]
    Exists {
        /// The file.
        path: PathBuf,
    },
    /// The file could not be written.
    #[error("could not write key file `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

impl KeyFileError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                Some("`portcullis keygen --out FILE` makes a key file")
            }
            Self::Invalid {
                source: KeyError::PublicOnly,
                ..
            } => Some("the private key is in the file that `portcullis keygen --out FILE` wrote"),
            Self::Exists { .. } => Some(
                "name another file, or remove this one if no token signed with its key is in use",
            ),
            Self::Read { .. } | Self::Invalid { .. } | Self::Set { .. } | Self::Write { .. } => {
                None
            }
        }
    }
}

const OWNER_ONLY: u32 = 0o600;
