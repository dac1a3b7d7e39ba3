//! Secrets in the database: what settings are encrypted with, where the operator gives a key.
//!
//! With a key (`--secret-key`), every setting is encrypted with AES-256-GCM under it, and bound to the
//! setting's name, so that none can be put in place of another. Not only those that are secret: a list of
//! them would be one more thing to forget.
//!
//! # What is in the column?
//!
//! | | content | checksum of the section |
//! |---|---|---|
//! | without a key | the setting | `Meta` |
//! | with one | nonce (12 bytes), the encrypted setting, tag (16 bytes) | `Vault` |
//!
//! So an accident is told from a wrong key, and what is encrypted from what is not. The checksum
//! protects from nothing else.
//!
//! # Why are there no numbers of keys?
//!
//! All settings change over to a new key in one transaction, so there is one key at a time. Nonces are
//! random; settings are written so seldom that no two are alike (2³² would be too many).
//!
//! Generations of the filter do not change over: what describes one is encrypted as settings are, since the
//! secret under which names are hashed is in it. They are removed, and the keeper builds another.
//!
//! # What does it not protect from?
//!
//! From a role that can write: it can put back an older version of a setting, and change the rest of the
//! tables as it likes.

use std::fmt;
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use tokio_postgres::types::Type;
use tokio_postgres::{Client, Row};

use super::connection::{Connector, Fault, STATEMENT_LIMIT};
use crate::authority::store::StoreError;
use crate::authority::store::error::{DatabaseError, Encryption};
use crate::authority::store::seal::Seal;

/// The longest file that is read: 44 digits and the end of a line, with room for mistakes to be told.
const MAX_FILE_BYTES: u64 = 1_024;

/// Base64 as `openssl rand -base64` has it, and as it is in URLs, padded or not.
const FORMS: [GeneralPurpose; 2] = [
    GeneralPurpose::new(&alphabet::STANDARD, LENIENT),
    GeneralPurpose::new(&alphabet::URL_SAFE, LENIENT),
];

const LENIENT: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);

pub(super) const SETTINGS: &str = "SELECT name, content FROM portcullis.settings ORDER BY name";

pub(super) const SETTING: &str = "SELECT content FROM portcullis.settings WHERE name = $1";

pub(super) const PUT_SETTING: &str =
    "INSERT INTO portcullis.settings (name, content) VALUES ($1, $2)
    ON CONFLICT (name) DO UPDATE SET content = excluded.content";

/// No commit, which may write settings, comes between what is read and what is written.
const LOCK_STATE: &str = "SELECT commits FROM portcullis.state WHERE is_only FOR UPDATE";

const WRITE: &str = "UPDATE portcullis.settings SET content = $2 WHERE name = $1";

const REMOVE_GENERATIONS: &str =
    "DELETE FROM portcullis.segments; DELETE FROM portcullis.generations";

/// A key that settings are encrypted with.
#[derive(Clone)]
pub struct SecretKey(LessSafeKey);

/// Encrypts settings, where there is a key.
#[derive(Clone, Default)]
pub(super) struct Vault {
    key: Option<SecretKey>,
}

/// What became of settings that were to be encrypted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Encrypted {
    /// So many are encrypted now.
    pub newly: usize,
    /// So many were so already.
    pub before: usize,
}

/// Why there is no key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum SecretKeyError {
    /// The file could not be read.
    #[error("could not read the key in `{}`", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Any user of the machine can read it.
    #[error("refused the key in `{}`, which every user of this machine may read or write (mode {mode:o})", path.display())]
    Open {
        /// The file.
        path: PathBuf,
        /// Its permissions.
        mode: u32,
    },
    /// It holds something else.
    #[error("expected a key of 32 bytes in Base64, and nothing else, in `{}`", .0.display())]
    Form(PathBuf),
}

impl SecretKey {
    /// Reads the key in a file.
    ///
    /// # Errors
    ///
    /// [`SecretKeyError`].
    pub fn read(path: &Path) -> Result<Self, SecretKeyError> {
        let unread = |source| SecretKeyError::Read {
            path: path.to_owned(),
            source,
        };
        let file = File::open(path).map_err(unread)?;
        // A group may have it: that is how a secret of Kubernetes reaches a process without root.
        let mode = file.metadata().map_err(unread)?.permissions().mode() & 0o7777;
        if mode & 0o007 != 0 {
            let path = path.to_owned();
            return Err(SecretKeyError::Open { path, mode });
        }
        let mut text = Vec::new();
        let mut limited = file.take(MAX_FILE_BYTES);
        limited.read_to_end(&mut text).map_err(unread)?;
        Self::parse(&text).ok_or_else(|| SecretKeyError::Form(path.to_owned()))
    }

    fn parse(text: &[u8]) -> Option<Self> {
        let text = text.trim_ascii_end();
        let mut decoded = FORMS.iter().filter_map(|form| form.decode(text).ok());
        let bytes: [u8; 32] = decoded.next()?.try_into().ok()?;
        let key = UnboundKey::new(&AES_256_GCM, &bytes).ok()?;
        Some(Self(LessSafeKey::new(key)))
    }

    fn encrypted(&self, name: &str, mut bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        let mut nonce = [0; NONCE_LEN];
        getrandom::fill(&mut nonce).map_err(StoreError::Random)?;
        let bound = Aad::from(name.as_bytes());
        let sealed = Nonce::assume_unique_for_key(nonce);
        let done = self.0.seal_in_place_append_tag(sealed, bound, &mut bytes);
        // Only more than 64 GiB cannot be.
        done.map_err(|_| StoreError::Row)?;
        Ok([&nonce[..], &bytes].concat())
    }

    fn decrypted(&self, name: &str, content: &[u8]) -> Option<Vec<u8>> {
        let (nonce, bytes) = content.split_first_chunk()?;
        let nonce = Nonce::assume_unique_for_key(*nonce);
        let mut bytes = bytes.to_vec();
        let opened = self
            .0
            .open_in_place(nonce, Aad::from(name.as_bytes()), &mut bytes);
        let length = opened.ok()?.len();
        bytes.truncate(length);
        Some(bytes)
    }
}

impl Vault {
    pub(super) const fn new(key: Option<SecretKey>) -> Self {
        Self { key }
    }

    /// What is written for a setting.
    ///
    /// # Errors
    ///
    /// [`StoreError::Random`].
    pub(super) fn sealed(&self, name: &str, bytes: Vec<u8>) -> Result<Vec<u8>, StoreError> {
        Ok(match &self.key {
            None => plain_seal().sealed(name.as_bytes(), bytes),
            Some(key) => encrypted_seal().sealed(name.as_bytes(), key.encrypted(name, bytes)?),
        })
    }

    /// The setting that was written as this.
    ///
    /// # Errors
    ///
    /// [`DatabaseError::Secret`] when it is encrypted in another way than this, and
    /// [`StoreError::Row`] when it is damaged.
    pub(super) fn opened(&self, name: &str, content: &[u8]) -> Result<Vec<u8>, StoreError> {
        let refused = |encryption| {
            let setting = name.to_owned();
            DatabaseError::Secret {
                setting,
                encryption,
            }
            .into()
        };
        match (&self.key, open(name, content)?) {
            (None, Content::Plain(bytes)) => Ok(bytes.to_vec()),
            (None, Content::Encrypted(_)) => Err(refused(Encryption::NoKey)),
            (Some(_), Content::Plain(_)) => Err(refused(Encryption::None)),
            (Some(key), Content::Encrypted(bytes)) => key
                .decrypted(name, bytes)
                .ok_or_else(|| refused(Encryption::OtherKey)),
        }
    }

    /// What is to be written in place of this, so that [`opened`](Self::opened) opens it; `None` when it
    /// does already.
    fn resealed(
        &self,
        old: &Self,
        name: &str,
        content: &[u8],
    ) -> Result<Option<Vec<u8>>, StoreError> {
        if self.opened(name, content).is_ok() {
            return Ok(None);
        }
        let bytes = match (open(name, content)?, &old.key) {
            (Content::Plain(bytes), _) => bytes.to_vec(),
            (Content::Encrypted(_), None) => self.opened(name, content)?,
            (Content::Encrypted(_), Some(_)) => old.opened(name, content)?,
        };
        self.sealed(name, bytes).map(Some)
    }
}

enum Content<'r> {
    Plain(&'r [u8]),
    Encrypted(&'r [u8]),
}

fn open<'r>(name: &str, content: &'r [u8]) -> Result<Content<'r>, StoreError> {
    let plain = plain_seal().opened(name.as_bytes(), content);
    plain.map(Content::Plain).or_else(|_| {
        let encrypted = encrypted_seal().opened(name.as_bytes(), content);
        encrypted.map(Content::Encrypted)
    })
}

/// The checksums of settings that are not encrypted.
const fn plain_seal() -> Seal {
    Seal::of_meta()
}

const fn encrypted_seal() -> Seal {
    Seal::of_vault()
}

/// Expects every setting to be encrypted as it is to be, or not at all: so that this is known when an
/// authority starts, and not when it is needed.
///
/// # Errors
///
/// [`DatabaseError::Secret`], and others of the database.
pub(super) fn expect(connector: &Connector, client: Arc<Client>) -> Result<(), StoreError> {
    let reading = Arc::clone(&client);
    let rows = connector.wait(STATEMENT_LIMIT, async move {
        let rows = reading.query_typed(SETTINGS, &[]).await?;
        rows.iter().map(setting).collect::<Result<Vec<_>, _>>()
    });
    let rows = rows.map_err(|fault| match fault {
        fault if fault.lacks_tables() => DatabaseError::NoTables(Some(fault.into())),
        fault => DatabaseError::Unreachable(fault.into()),
    })?;
    for (name, content) in rows {
        match connector.vault().opened(&name, &content) {
            // What is damaged is found when it is read.
            Ok(_) | Err(StoreError::Row) => {}
            Err(error) => return Err(error),
        }
    }
    connector.keep(client);
    Ok(())
}

/// Encrypts every setting with the key, those that are not encrypted and those that are with the old one.
/// Removes generations, which are of before, if there was any such setting.
///
/// # Errors
///
/// [`DatabaseError::Secret`] when one is encrypted with neither; then nothing is changed.
pub(super) fn encrypt(
    connector: &Arc<Connector>,
    old: Option<SecretKey>,
) -> Result<Encrypted, StoreError> {
    let client = connector.connected()?;
    let (vault, old) = (connector.vault().clone(), Vault::new(old));
    let encrypted = connector.wait(STATEMENT_LIMIT, async move {
        client.batch_execute("BEGIN").await?;
        client.query_typed(LOCK_STATE, &[]).await?;
        let mut encrypted = Encrypted::default();
        for row in client.query_typed(SETTINGS, &[]).await? {
            let (name, content) = setting(&row)?;
            match vault.resealed(&old, &name, &content) {
                Ok(Some(content)) => {
                    let parameters: [(&(dyn tokio_postgres::types::ToSql + Sync), Type); 2] =
                        [(&name, Type::TEXT), (&content, Type::BYTEA)];
                    client.query_typed(WRITE, &parameters).await?;
                    encrypted.newly += 1;
                }
                Ok(None) => encrypted.before += 1,
                // The transaction ends with the connection.
                Err(error) => return Ok(Err(error)),
            }
        }
        if encrypted.newly > 0 {
            client.batch_execute(REMOVE_GENERATIONS).await?;
        }
        client.batch_execute("COMMIT").await?;
        Ok(Ok(encrypted))
    });
    encrypted.map_err(Fault::before_commit)?
}

fn setting(row: &Row) -> Result<(String, Vec<u8>), Fault> {
    Ok((row.try_get(0)?, row.try_get(1)?))
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SecretKey(…)")
    }
}

#[cfg(test)]
mod tests;
