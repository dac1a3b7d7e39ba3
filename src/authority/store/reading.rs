//! Looking entries up, for people.

use std::thread;
use std::time::Duration;

use redb::{Database, ReadTransaction, ReadableDatabase as _, ReadableTable as _};

use super::super::entry::{Record, Target};
use super::seal::{Seal, Section};
use super::tables::{ENTRIES, ISSUERS, SUBJECTS};
use super::transaction::owner_key;
use super::{Store, StoreError, failed, split_row};
use crate::revocation::{Fingerprint, Kind};
use crate::time::UnixTime;

/// Which entries are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only of this issuer.
    pub issuer: Option<String>,
    /// Only with this name: a session's id, a subject, …
    pub value: Option<String>,
    /// Only what is this subject's: the cut-off for it, and what was said to be its own.
    pub subject: Option<String>,
    /// Those that were taken back or have lapsed, too.
    pub include_restored: bool,
    /// The clock, for those that have lapsed and are not dropped yet.
    pub now: UnixTime,
}

/// Some entries, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries with their fingerprints.
    pub entries: Vec<(Fingerprint, Record)>,
    /// The cursor for what follows; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// One entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn entry(&self, name: Fingerprint) -> Result<Option<Record>, StoreError> {
        self.with(|database| Reading::new(self, database)?.entry(name))
    }

    /// Entries, newest first; those with a given name or subject in no order. A page may have
    /// fewer than `limit` entries and still a next one, since a search looks at no more than
    /// 10,000 rows at a time. A cursor that is none of ours starts from the beginning.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn list(
        &self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.with(|database| {
            let reading = Reading::new(self, database)?;
            match (&filter.value, &filter.subject) {
                (Some(value), _) => reading.named(filter, value, limit),
                (None, Some(subject)) => reading.owned(filter, subject, cursor, limit),
                (None, None) => reading.newest(filter, cursor, limit),
            }
        })
    }

    /// Whether anything of an issuer was ever revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn issuer(&self, issuer: &str) -> Result<KnownIssuer, StoreError> {
        self.with(|database| {
            let reading = Reading::new(self, database)?;
            let issuers = reading.transaction.open_table(ISSUERS).map_err(failed)?;
            if issuers.get(issuer).map_err(failed)?.is_some() {
                return Ok(KnownIssuer::Same);
            }
            let others = reading.issuers(&Filter::default())?;
            Ok(KnownIssuer::Other {
                similar: most_similar(issuer, others),
            })
        })
    }
}

/// Names of which one in ten letters differs, or two of a short one: a slash at the end, `http` for
/// `https`, letters that were exchanged.
fn most_similar(issuer: &str, others: Vec<String>) -> Option<String> {
    let is_comparable = |other: &String| other.len().max(issuer.len()) <= MAX_COMPARED_BYTES;
    let others = others.into_iter().filter(is_comparable).take(MAX_COMPARED);
    let distances = others.map(|other| (strsim::osa_distance(issuer, &other), other));
    let nearest = distances.min_by_key(|(distance, _)| *distance);
    let nearest = nearest.filter(|(distance, _)| *distance <= (issuer.len() / 10).max(2));
    nearest.map(|(_, other)| other)
}

/// Whether the store has heard of an issuer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KnownIssuer {
    /// Something of it was revoked.
    Same,
    /// Nothing was.
    Other {
        /// One of which something was, and whose name is nearly the same.
        similar: Option<String>,
    },
}

/// What index and disk say of a name at one moment.
enum Found {
    Nothing,
    Entry(Box<Record>),
    /// Not the same.
    Disagreement,
}

struct Reading<'s> {
    store: &'s Store,
    database: &'s Database,
    transaction: ReadTransaction,
}

impl<'s> Reading<'s> {
    fn new(store: &'s Store, database: &'s Database) -> Result<Self, StoreError> {
        let transaction = database.begin_read().map_err(failed)?;
        Ok(Self {
            store,
            database,
            transaction,
        })
    }

    /// What is on the disk now.
    fn anew(&self) -> Result<Self, StoreError> {
        Self::new(self.store, self.database)
    }

    /// The index is told of a commit when it is on the disk, so for a moment it may be behind, and
    /// ahead of a transaction that began before. What is at neither place after that is lost.
    fn entry(&self, name: Fingerprint) -> Result<Option<Record>, StoreError> {
        let mut found = self.entry_now(name)?;
        for _ in 0..ATTEMPTS {
            match found {
                Found::Nothing => return Ok(None),
                Found::Entry(record) => return Ok(Some(*record)),
                Found::Disagreement => thread::sleep(ATTEMPT_PAUSE),
            }
            found = self.anew()?.entry_now(name)?;
        }
        Err(StoreError::Row)
    }

    fn entry_now(&self, name: Fingerprint) -> Result<Found, StoreError> {
        let Some(sequence) = self.store.index.sequence_of(name) else {
            return Ok(Found::Nothing);
        };
        let entries = self.transaction.open_table(ENTRIES).map_err(failed)?;
        let Some(row) = entries.get(sequence).map_err(failed)? else {
            return Ok(Found::Disagreement);
        };
        let (found, record) = self.open(sequence, row.value())?;
        Ok(if found == name {
            Found::Entry(Box::new(record))
        } else {
            Found::Disagreement
        })
    }

    fn open(&self, sequence: u64, row: &[u8]) -> Result<(Fingerprint, Record), StoreError> {
        let seal = Seal::of(Section::Entries, self.store.filter_key);
        let row = seal.opened(&sequence.to_le_bytes(), row)?;
        let (name, record) = split_row(row)?;
        Ok((name, Record::decode(record).ok_or(StoreError::Row)?))
    }

    fn newest(
        &self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let end = cursor.and_then(|cursor| cursor.parse().ok());
        let rows = self.transaction.open_table(ENTRIES).map_err(failed)?;
        let mut entries = Vec::new();
        let rows = rows.range(..end.unwrap_or(u64::MAX)).map_err(failed)?;
        for (looked_at, row) in rows.rev().enumerate() {
            let (sequence, row) = row.map_err(failed)?;
            if entries.len() == limit || looked_at == MAX_ROWS {
                let next = sequence.value().saturating_add(1).to_string();
                return Ok(Page {
                    entries,
                    next: Some(next),
                });
            }
            let (name, record) = self.open(sequence.value(), row.value())?;
            if filter.takes(&record) {
                entries.push((name, record));
            }
        }
        Ok(Page {
            entries,
            next: None,
        })
    }

    /// Fingerprints hold issuer and kind, so where these are open, all of them are tried.
    fn named(&self, filter: &Filter, value: &str, limit: usize) -> Result<Page, StoreError> {
        let mut entries = Vec::new();
        for issuer in self.issuers(filter)? {
            for kind in Kind::ALL {
                if filter.kind.is_some_and(|wanted| wanted != kind) {
                    continue;
                }
                let target = Target {
                    kind,
                    issuer: issuer.clone(),
                    value: value.to_owned(),
                };
                let name = target.fingerprint(&self.store.filter_key);
                if let Some(record) = self.entry(name)?.filter(|record| filter.takes(record)) {
                    entries.push((name, record));
                }
            }
        }
        entries.truncate(limit);
        Ok(Page {
            entries,
            next: None,
        })
    }

    fn owned(
        &self,
        filter: &Filter,
        subject: &str,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        let key = self.store.filter_key;
        let mut owners: Vec<Fingerprint> = self
            .issuers(filter)?
            .iter()
            .map(|issuer| key.fingerprint(Kind::Subject, issuer, subject))
            .collect();
        owners.sort_unstable();
        let cursor = cursor.and_then(from_hex::<32>);
        let subjects = self.transaction.open_table(SUBJECTS).map_err(failed)?;
        let seal = Seal::of(Section::Subjects, key);
        let mut entries = Vec::new();
        for owner in owners {
            if cursor.is_none()
                && let Some(record) = self.entry(owner)?.filter(|record| filter.takes(record))
            {
                entries.push((owner, record));
            }
            let first = owner_key(owner, Fingerprint([0; 16]));
            let last = owner_key(owner, Fingerprint([u8::MAX; 16]));
            let start = cursor.map_or(first, |cursor| cursor.max(first));
            if start > last {
                continue;
            }
            for row in subjects
                .range::<&[u8; 32]>(&start..=&last)
                .map_err(failed)?
            {
                let (key, row) = row.map_err(failed)?;
                seal.opened(key.value(), row.value())?;
                if entries.len() >= limit {
                    let next = Some(to_hex(key.value()));
                    return Ok(Page { entries, next });
                }
                let name = key.value().last_chunk().copied().map(Fingerprint);
                let name = name.ok_or(StoreError::Row)?;
                if let Some(record) = self.entry(name)?.filter(|record| filter.takes(record)) {
                    entries.push((name, record));
                }
            }
        }
        Ok(Page {
            entries,
            next: None,
        })
    }

    fn issuers(&self, filter: &Filter) -> Result<Vec<String>, StoreError> {
        if let Some(issuer) = &filter.issuer {
            return Ok(vec![issuer.clone()]);
        }
        let issuers = self.transaction.open_table(ISSUERS).map_err(failed)?;
        let seal = Seal::of(Section::Issuers, self.store.filter_key);
        let rows = issuers.iter().map_err(failed)?.take(MAX_ROWS);
        rows.map(|row| {
            let (issuer, row) = row.map_err(failed)?;
            seal.opened(issuer.value().as_bytes(), row.value())?;
            Ok(issuer.value().to_owned())
        })
        .collect()
    }
}

impl Filter {
    fn takes(&self, record: &Record) -> bool {
        let target = &record.target;
        (record.is_in_force(self.now) || self.include_restored)
            && self.kind.is_none_or(|kind| kind == target.kind)
            && self
                .issuer
                .as_ref()
                .is_none_or(|issuer| *issuer == target.issuer)
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// So many bytes from as many pairs of hexadecimal digits.
#[must_use]
pub fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digits = text.as_bytes();
    if digits.len() != 2 * N || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
        *byte = u8::from_str_radix(str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(bytes)
}

/// Together a second, in which the writer surely gets from the disk to the index.
const ATTEMPTS: usize = 50;
const ATTEMPT_PAUSE: Duration = Duration::from_millis(20);

/// Comparing takes as many steps as the product of the lengths: all together some ten milliseconds.
const MAX_COMPARED: usize = 1_000;
const MAX_COMPARED_BYTES: usize = 128;

/// Rows that one request looks at: some ten milliseconds.
const MAX_ROWS: usize = 10_000;
