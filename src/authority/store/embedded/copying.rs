//! Copying a whole store out of a file, and into a new one.
//!
//! What is copied from is opened on trial, and stays as it is. What is copied into gets its name when all
//! of it is there.

use std::fs;
use std::path::{Path, PathBuf};

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::StoreError;
use super::caught::{caught, discard};
use super::failure::failed;
use super::file::{
    FILE_NAME, FORMAT_NAME, STORE_NUMBER, begin_write, filter_key, make_database, put_beginnings,
    store_number,
};
use super::mark::{Mark, Said, Standing};
use super::opening::{make_directory, try_out};
use super::salvage::install;
use super::tables::{
    ENTRIES, META, SUBJECTS, Tables, changes_in, head_in, issuers_in, ledger_in, staged_in,
};
use crate::authority::entry::Entry;
use crate::authority::store::Head;
use crate::authority::store::copying::{
    CopyError, Next, PAGE, Part, Reading, Source, Target, Whole,
};
use crate::authority::store::rows::{
    FILTER_KEY, HEAD, decode_entry, encode_entry, encode_log, owner_key,
};
use crate::authority::store::seal::{Seal, Section};
use crate::revocation::{Chain, Change, FilterKey, Fingerprint};

/// Rows are read and written in order, so hardly any page is needed twice.
const CACHE_BYTES: usize = 64 << 20;

/// The store in a directory, to be copied.
pub(in crate::authority::store) struct Original {
    /// Taken when this is dropped.
    database: Option<Database>,
    _mark: Mark,
}

/// A directory without a store, to be copied into.
pub(in crate::authority::store) struct Fresh {
    /// Taken when it is done.
    database: Option<Database>,
    path: PathBuf,
    mark: Mark,
}

/// Everything, inside one transaction of redb.
struct OpenWhole {
    transaction: ReadTransaction,
    key: FilterKey,
}

impl Original {
    /// The store in a directory, which no process may have. It has to be whole, as when an authority
    /// starts.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(in crate::authority::store) fn open(directory: &Path) -> Result<Self, StoreError> {
        let path = directory.join(FILE_NAME);
        // Nothing is made in a directory that is named by mistake.
        if !path.exists() {
            return Err(CopyError::Nothing(directory.display().to_string()).into());
        }
        let mark = Mark::hold(directory)?;
        let said = mark.read()?;
        let database = try_out(&path, CACHE_BYTES, said)?;
        Ok(Self {
            database: Some(database),
            _mark: mark,
        })
    }
}

impl Source for Original {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        let database = self.database.as_ref().ok_or(StoreError::Closed)?;
        caught(|| work(&OpenWhole::of(database)?))
    }
}

impl Drop for Original {
    fn drop(&mut self) {
        discard(self.database.take());
    }
}

impl Fresh {
    /// A directory, made when it is not there, that has no store and no process.
    ///
    /// # Errors
    ///
    /// [`CopyError::NotEmpty`], and others.
    pub(in crate::authority::store) fn open(directory: &Path) -> Result<Self, StoreError> {
        make_directory(directory)?;
        let mark = Mark::hold(directory)?;
        let path = directory.join(FILE_NAME);
        if path.exists() || mark.read()? != Said::Nothing {
            return Err(CopyError::NotEmpty(directory.display().to_string()).into());
        }
        let unfinished = unfinished(&path);
        match fs::remove_file(&unfinished) {
            Err(source) if source.kind() != std::io::ErrorKind::NotFound => {
                return Err(StoreError::File {
                    path: unfinished,
                    source,
                });
            }
            _ => {}
        }
        let database = caught(|| make_database(&unfinished, CACHE_BYTES))?;
        Ok(Self {
            database: Some(database),
            path,
            mark,
        })
    }

    fn database(&self) -> Result<&Database, StoreError> {
        self.database.as_ref().ok_or(StoreError::Closed)
    }
}

impl Source for Fresh {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        let database = self.database()?;
        caught(|| work(&OpenWhole::of(database)?))
    }
}

impl Target for Fresh {
    /// In one transaction, of which redb writes pages to the file before its end.
    fn fill(&mut self, key: FilterKey, next: Next<'_>) -> Result<(), StoreError> {
        let database = self.database()?;
        caught(|| {
            let transaction = begin_write(database)?;
            let mut tables = Tables::make(&transaction, key)?;
            put_beginnings(&mut tables, key)?;
            while let Some(part) = next()? {
                put(&mut tables, part)?;
            }
            tables.finish()?;
            transaction.commit().map_err(failed)
        })
    }

    fn keep(mut self: Box<Self>) -> Result<(), StoreError> {
        let standing = caught(|| {
            let reading = self.database()?.begin_read().map_err(failed)?;
            Ok(Standing {
                store: store_number(&reading)?,
                commits: ledger_in(&reading)?.commits,
                sequence: head_in(&reading)?.sequence,
            })
        })?;
        discard(self.database.take());
        install(&unfinished(&self.path), &self.path)?;
        self.mark.say_for_good(standing)
    }
}

impl Drop for Fresh {
    fn drop(&mut self) {
        discard(self.database.take());
    }
}

/// Refuses a directory in which a copy was begun that is not there.
///
/// # Errors
///
/// [`CopyError::BrokenOff`].
pub(super) fn expect_none_begun(path: &Path) -> Result<(), StoreError> {
    if path.exists() || !unfinished(path).exists() {
        return Ok(());
    }
    let directory = path.parent().unwrap_or(path);
    Err(CopyError::BrokenOff(directory.display().to_string()).into())
}

/// The path at which a copy is made.
fn unfinished(path: &Path) -> PathBuf {
    path.with_extension("copying")
}

fn put(tables: &mut Tables<'_>, part: Part) -> Result<(), StoreError> {
    let ledger = &mut tables.ledger;
    match part {
        Part::Settings(rows) => {
            for (name, bytes) in rows {
                tables.meta.insert(ledger, &name.as_str(), bytes)?;
            }
        }
        Part::Issuers(rows) => {
            for issuer in rows {
                let issuer = issuer.as_str();
                tables.issuers.insert(ledger, &issuer, Vec::new())?;
            }
        }
        Part::Staged(number, part) => tables.staged.insert(ledger, &number, part)?,
        Part::Changes(rows) => {
            for (sequence, change, chain) in rows {
                let row = encode_log(chain, &change);
                tables.log.insert(ledger, &sequence, row)?;
            }
        }
        Part::Entries(rows) => {
            for (name, entry) in rows {
                let row = encode_entry(name, &entry);
                tables.entries.insert(ledger, &entry.sequence, row)?;
            }
        }
        Part::Owners(rows) => {
            for (owner, name) in rows {
                let key = owner_key(owner, name);
                tables.subjects.insert(ledger, &&key, Vec::new())?;
            }
        }
        Part::Head(head) => {
            let name = HEAD;
            tables.meta.insert(ledger, &name, head.encode().to_vec())?;
        }
    }
    Ok(())
}

impl OpenWhole {
    fn of(database: &Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        let key = filter_key(&transaction)?;
        Ok(Self { transaction, key })
    }

    const fn seal(&self, section: Section) -> Seal {
        Seal::of(section, self.key)
    }
}

impl Whole for OpenWhole {
    fn filter_key(&self) -> Result<FilterKey, StoreError> {
        Ok(self.key)
    }

    fn head(&self) -> Result<Head, StoreError> {
        head_in(&self.transaction)
    }

    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let meta = self.transaction.open_table(META).map_err(failed)?;
        let mut settings = Vec::new();
        for row in meta.iter().map_err(failed)? {
            let (name, row) = row.map_err(failed)?;
            let name = name.value();
            let bytes = Seal::of_meta().opened(name.as_bytes(), row.value())?;
            if ![FORMAT_NAME, STORE_NUMBER, FILTER_KEY, HEAD].contains(&name) {
                settings.push((name.to_owned(), bytes.to_vec()));
            }
        }
        Ok(settings)
    }

    fn issuers(&self) -> Result<Vec<String>, StoreError> {
        issuers_in(&self.transaction, self.key, usize::MAX)
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        staged_in(&self.transaction, self.key, number)
    }

    fn changes(&self, first: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        changes_in(&self.transaction, self.key, first, PAGE)
    }

    fn entries(&self, first: u64) -> Result<Vec<(Fingerprint, Entry)>, StoreError> {
        let seal = self.seal(Section::Entries);
        let entries = self.transaction.open_table(ENTRIES).map_err(failed)?;
        let rows = entries.range(first..).map_err(failed)?.take(PAGE);
        rows.map(|row| {
            let (sequence, row) = row.map_err(failed)?;
            let sequence = sequence.value();
            let row = seal.opened(&sequence.to_le_bytes(), row.value())?;
            let (name, entry) = decode_entry(row)?;
            if entry.sequence == sequence {
                Ok((name, entry))
            } else {
                Err(StoreError::Row)
            }
        })
        .collect()
    }

    fn owners(
        &self,
        after: Option<(Fingerprint, Fingerprint)>,
    ) -> Result<Vec<(Fingerprint, Fingerprint)>, StoreError> {
        let seal = self.seal(Section::Subjects);
        let subjects = self.transaction.open_table(SUBJECTS).map_err(failed)?;
        let first = after.map_or([0; 32], |(owner, name)| owner_key(owner, name));
        let rows = subjects.range::<&[u8; 32]>(&first..).map_err(failed)?;
        let mut owners = Vec::new();
        for row in rows {
            let (key, row) = row.map_err(failed)?;
            let key = key.value();
            seal.opened(key, row.value())?;
            let (owner, name) = key.split_first_chunk().ok_or(StoreError::Row)?;
            let name = name.first_chunk().ok_or(StoreError::Row)?;
            let found = (Fingerprint(*owner), Fingerprint(*name));
            if after != Some(found) {
                owners.push(found);
            }
            if owners.len() == PAGE {
                break;
            }
        }
        Ok(owners)
    }
}
