//! Keys in a file, which is read again when it changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use super::VerifierError;
use crate::authority::file_stamp::FileStamp;
use crate::authority::text::chain_of;
use crate::token::{KeyRules, KeySet};

/// A file with the keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyFile {
    path: PathBuf,
    seen: Option<FileStamp>,
}

impl KeyFile {
    /// Reads the file.
    pub(super) fn open(path: &Path) -> Result<(Self, Rc<KeySet>), VerifierError> {
        let seen = FileStamp::of(path);
        let keys = read(path)?;
        let path = path.to_owned();
        Ok((Self { path, seen }, Rc::new(keys)))
    }

    /// The keys of a file that has changed. One that cannot be used is reported, and those from
    /// before stay in force.
    pub(super) fn look(&mut self) -> Option<Rc<KeySet>> {
        let now_seen = FileStamp::of(&self.path);
        if now_seen == self.seen {
            return None;
        }
        self.seen = now_seen;
        match read(&self.path) {
            Ok(keys) => {
                let file = self.path.display();
                tracing::info!(%file, usable = keys.keys().len(), "read the changed keys");
                Some(Rc::new(keys))
            }
            Err(error) => {
                tracing::error!(
                    error = %chain_of(&error),
                    "the changed keys are not usable; those from before stay in force"
                );
                None
            }
        }
    }
}

fn read(path: &Path) -> Result<KeySet, VerifierError> {
    let text = fs::read(path).map_err(|source| VerifierError::Read {
        path: path.to_owned(),
        source,
    })?;
    let keys = KeySet::parse(&text, &KeyRules::default());
    let keys = keys.map_err(|source| VerifierError::Keys {
        path: path.to_owned(),
        source,
    })?;
    for complaint in keys.complaints() {
        tracing::warn!(file = %path.display(), "{complaint}");
    }
    Ok(keys)
}
