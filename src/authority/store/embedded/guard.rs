//! Whether the file that is open is still the one that its path names.
//!
//! Writes to a file that was removed, renamed or replaced succeed, and are gone when it is closed.
//! A file that was truncated or overwritten by another program has lost what was in it already. So
//! before and after every commit, and between them, the path is checked: does it name the same
//! file, with the same length, and with the header that was written last?

use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::{StoreError, Taken};

/// What redb writes anew with every commit.
const HEADER_BYTES: usize = 320;

/// The file that is open, as it should be.
#[derive(Debug)]
pub(super) struct Guard {
    path: PathBuf,
    /// Open for as long as the store is, so that no other file gets its inode number.
    file: File,
    known: Mutex<Known>,
}

/// What this process has written; `None` where that is unknown, after a failed write.
#[derive(Debug)]
pub(super) struct Known {
    length: Option<u64>,
    header: Option<Header>,
}

impl Guard {
    /// Of an existing file.
    pub(super) fn of(path: &Path) -> io::Result<Self> {
        let file = File::open(path)?;
        let known = Known {
            length: Some(file.metadata()?.len()),
            header: read_header(&file)?,
        };
        Ok(Self {
            path: path.to_owned(),
            file,
            known: Mutex::new(known),
        })
    }

    /// Whether the path still names the file, and the file is as it was left.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`].
    pub(super) fn check(&self) -> Result<(), StoreError> {
        let known = self.lock();
        self.answer(self.compare(&known))
    }

    /// Whether an opened file is the one that is guarded.
    ///
    /// # Errors
    ///
    /// [`StoreError::Taken`].
    pub(super) fn expect(&self, file: &File) -> Result<(), StoreError> {
        let compared = file.metadata().and_then(|other| {
            let is_other = identity(&other) != identity(&self.file.metadata()?);
            Ok(is_other.then_some(Taken::Replaced))
        });
        self.answer(compared)
    }

    fn answer(&self, compared: io::Result<Option<Taken>>) -> Result<(), StoreError> {
        let path = self.path.clone();
        match compared {
            Ok(None) => Ok(()),
            Ok(Some(how)) => Err(StoreError::Taken { path, how }),
            Err(error) if error.kind() == ErrorKind::NotFound => Err(StoreError::Taken {
                path,
                how: Taken::Removed,
            }),
            Err(source) => Err(StoreError::File { path, source }),
        }
    }

    fn compare(&self, known: &Known) -> io::Result<Option<Taken>> {
        let (named, open) = (fs::metadata(&self.path)?, self.file.metadata()?);
        if identity(&named) != identity(&open) {
            return Ok(Some(Taken::Replaced));
        }
        if known.length.is_some_and(|length| length != named.len()) {
            return Ok(Some(Taken::Resized));
        }
        let header = read_header(&self.file)?;
        let is_other = known.header.is_some() && header != known.header;
        Ok(is_other.then_some(Taken::Overwritten))
    }

    /// Accepts the file as it is, after a failed write, once it has been read again.
    pub(super) fn learn(&self) -> io::Result<()> {
        let mut known = self.lock();
        let length = self.file.metadata()?.len();
        known.length.get_or_insert(length);
        if known.header.is_none() {
            known.header = read_header(&self.file)?;
        }
        Ok(())
    }

    /// The header, where it is known.
    pub(super) fn header(&self) -> Option<Header> {
        self.lock().header
    }

    /// Held while the file is changed, so that no check sees half a change.
    pub(super) fn lock(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Known {
    /// Expects the file to have this length.
    pub(super) fn resized<T>(&mut self, length: u64, done: io::Result<T>) -> io::Result<T> {
        self.length = done.is_ok().then_some(length);
        done
    }

    /// Expects the file to have these bytes at `offset`.
    pub(super) fn written<T>(
        &mut self,
        offset: u64,
        bytes: &[u8],
        done: io::Result<T>,
    ) -> io::Result<T> {
        let end = offset.saturating_add(bytes.len() as u64);
        if self.length.is_some_and(|length| end > length) {
            self.length = done.is_ok().then_some(end);
        }
        let Ok(start) = usize::try_from(offset) else {
            return done;
        };
        if start >= HEADER_BYTES {
            return done;
        }
        if let (0, Some(whole)) = (start, bytes.first_chunk()) {
            self.header = Some(*whole);
        }
        let part = self
            .header
            .as_mut()
            .and_then(|header| header.get_mut(start..));
        if let Some(part) = part {
            part.iter_mut()
                .zip(bytes)
                .for_each(|(old, new)| *old = *new);
        }
        self.header = self.header.filter(|_| done.is_ok());
        done
    }
}

fn identity(metadata: &Metadata) -> (u64, u64) {
    (metadata.dev(), metadata.ino())
}

/// `None` of a file that is shorter.
fn read_header(file: &File) -> io::Result<Option<Header>> {
    let mut header = [0; HEADER_BYTES];
    match file.read_exact_at(&mut header, 0) {
        Ok(()) => Ok(Some(header)),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}

pub(super) type Header = [u8; HEADER_BYTES];
