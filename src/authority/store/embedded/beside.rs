//! Files of redb beside the store's own, which hold what can be lost without a user being let through.

use std::fs::{self, OpenOptions};
use std::io;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use redb::backends::FileBackend;
use redb::{Builder, Database};

use super::StoreError;
use super::caught::caught;
use super::failure::failed;

/// How much memory redb may use for pages of such a file.
const CACHE_BYTES: usize = 16 << 20;

/// Opens the file, which is made where there is none, for nobody but the owner.
///
/// # Errors
///
/// [`StoreError`]: it cannot be opened, or is damaged.
pub(in crate::authority) fn open_beside(path: &Path) -> Result<Database, StoreError> {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .map_err(|source| StoreError::File {
            path: path.to_owned(),
            source,
        })?;
    let mut builder = Builder::new();
    builder.set_cache_size(CACHE_BYTES);
    caught(|| {
        let backend = FileBackend::new(file).map_err(failed)?;
        builder.create_with_backend(backend).map_err(failed)
    })
}

/// Keeps a file that cannot be read, and is closed, in place of the last such, so that the reason can be
/// found.
///
/// # Errors
///
/// It cannot be renamed.
pub(in crate::authority) fn set_aside(path: &Path) -> io::Result<()> {
    fs::rename(path, path.with_extension("redb.damaged"))
}
