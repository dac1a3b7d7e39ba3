//! Keys in a file, which is read again when it changes.

use std::fs;
use std::rc::Rc;

use super::VerifierError;
use crate::authority::configuration::ConfiguredFile;
use crate::authority::file_stamp::FileStamp;
use crate::authority::text::chain_of;
use crate::token::{KeyRules, KeySet};

/// A file with the keys of one issuer.
#[derive(Debug)]
pub(super) struct KeyFile {
    file: ConfiguredFile,
    seen: Option<FileStamp>,
}

impl KeyFile {
    /// Reads the file.
    pub(super) fn open(file: &ConfiguredFile) -> Result<(Self, Rc<KeySet>), VerifierError> {
        let seen = FileStamp::of(&file.path);
        let keys = read(file)?;
        let file = file.clone();
        Ok((Self { file, seen }, Rc::new(keys)))
    }

    /// The keys of a file that has changed. One that cannot be used is reported, and those from
    /// before stay in force.
    pub(super) fn look(&mut self) -> Option<Rc<KeySet>> {
        let now_seen = FileStamp::of(&self.file.path);
        if now_seen == self.seen {
            return None;
        }
        self.seen = now_seen;
        match read(&self.file) {
            Ok(keys) => {
                let file = self.file.path.display();
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

fn read(file: &ConfiguredFile) -> Result<KeySet, VerifierError> {
    let text = fs::read(&file.path).map_err(|source| VerifierError::Read {
        file: file.clone(),
        source,
    })?;
    let keys = KeySet::parse(&text, &KeyRules::default());
    let keys = keys.map_err(|source| VerifierError::Keys {
        file: file.clone(),
        source,
    })?;
    for complaint in keys.complaints() {
        tracing::warn!(file = %file.path.display(), "{complaint}");
    }
    Ok(keys)
}
