//! Searching entries, for people.

use std::ops::ControlFlow;

use super::engine::Snapshot;
use super::{Store, StoreError};
use crate::authority::entry::{Entry, Target};
use crate::revocation::{FilterKey, Fingerprint, Kind};
use crate::time::UnixTime;

/// Comparing two names takes as many steps as the product of their lengths: some ten milliseconds
/// for all together.
const MAX_COMPARED: usize = 1_000;
const MAX_COMPARED_BYTES: usize = 128;

/// Rows that one request looks at: some ten milliseconds.
const MAX_ROWS: usize = 10_000;

/// The first of all names.
const FIRST: Fingerprint = Fingerprint([0; 16]);

/// Which entries are looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Filter {
    /// Only of this kind.
    pub kind: Option<Kind>,
    /// Only of this issuer.
    pub issuer: Option<String>,
    /// Only with this name: a session's id, a subject, …
    pub value: Option<String>,
    /// Only of this claim.
    pub claim: Option<String>,
    /// Only of subjects at this client.
    pub client: Option<String>,
    /// Only what belongs to this subject: its cut-off, and entries that were said to belong to it.
    pub subject: Option<String>,
    /// Also those that were restored or have lapsed.
    pub include_restored: bool,
    /// The clock, for those that have lapsed and are not dropped yet.
    pub now: UnixTime,
}

/// Some entries, and where to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Page {
    /// The entries with their fingerprints.
    pub entries: Vec<(Fingerprint, Entry)>,
    /// The cursor for what follows; `None` at the end.
    pub next: Option<String>,
}

impl Store {
    /// One entry.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn entry(&self, name: Fingerprint) -> Result<Option<Entry>, StoreError> {
        self.read(|snapshot| snapshot.entry(name))
    }

    /// Entries, newest first; those with a given name or subject in no order. A page may have fewer
    /// than `limit` entries and still a next one, since a search looks at no more than 10,000 rows
    /// at a time. A cursor in another form starts from the beginning.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn list(
        &self,
        filter: &Filter,
        cursor: Option<&str>,
        limit: usize,
    ) -> Result<Page, StoreError> {
        self.read(|snapshot| {
            let search = Search {
                snapshot,
                key: self.filter_key,
                filter,
                limit,
                entries: Vec::new(),
            };
            match (&filter.value, &filter.subject) {
                (Some(value), _) => search.named(value),
                (None, Some(subject)) => search.owned(subject, cursor),
                (None, None) => search.newest(cursor),
            }
        })
    }

    /// Issuers of which something was ever revoked, at most so many.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn issuers(&self, limit: usize) -> Result<Vec<String>, StoreError> {
        self.read(|snapshot| snapshot.issuers(limit))
    }

    /// Whether anything of an issuer was ever revoked.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(crate) fn issuer(&self, issuer: &str) -> Result<KnownIssuer, StoreError> {
        self.read(|snapshot| {
            if snapshot.has_issuer(issuer)? {
                return Ok(KnownIssuer::Same);
            }
            let others = snapshot.issuers(MAX_ROWS)?;
            Ok(KnownIssuer::Other {
                similar: most_similar(issuer, others),
            })
        })
    }
}

/// Whether two names are alike: one letter in ten differs, or two of a short one. That covers a
/// slash at the end, `http` for `https`, and transposed letters.
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
pub(crate) enum KnownIssuer {
    /// Something of it was revoked.
    Same,
    /// Nothing was.
    Other {
        /// A similar name of which something was.
        similar: Option<String>,
    },
}

/// A page that is being filled.
struct Search<'s> {
    snapshot: &'s dyn Snapshot,
    key: FilterKey,
    filter: &'s Filter,
    limit: usize,
    entries: Vec<(Fingerprint, Entry)>,
}

impl Search<'_> {
    fn page(self, next: Option<String>) -> Page {
        Page {
            entries: self.entries,
            next,
        }
    }

    /// Adds the entry of a name to the page if it matches.
    fn take(&mut self, name: Fingerprint) -> Result<(), StoreError> {
        let entry = self.snapshot.entry(name)?;
        if let Some(entry) = entry.filter(|entry| self.filter.takes(entry)) {
            self.entries.push((name, entry));
        }
        Ok(())
    }

    fn newest(mut self, cursor: Option<&str>) -> Result<Page, StoreError> {
        let end = cursor.and_then(|cursor| cursor.parse().ok());
        let (mut looked_at, mut next) = (0, None);
        self.snapshot
            .newest(end.unwrap_or(u64::MAX), &mut |name, entry| {
                if self.entries.len() == self.limit || looked_at == MAX_ROWS {
                    next = Some(entry.sequence.saturating_add(1).to_string());
                    return ControlFlow::Break(());
                }
                looked_at += 1;
                if self.filter.takes(&entry) {
                    self.entries.push((name, entry));
                }
                ControlFlow::Continue(())
            })?;
        Ok(self.page(next))
    }

    /// Issuer and kind are part of the fingerprint, so where the search leaves them open, all are
    /// tried.
    fn named(mut self, value: &str) -> Result<Page, StoreError> {
        for issuer in self.issuers()? {
            for kind in Kind::ALL {
                let qualifier = match kind {
                    Kind::Claim => self.filter.claim.clone(),
                    Kind::SubjectAndClient => self.filter.client.clone(),
                    _ => Some(String::new()),
                };
                if self.filter.kind.is_none_or(|wanted| wanted == kind)
                    && let Some(qualifier) = qualifier
                {
                    let target = Target {
                        qualifier,
                        ..Target::named(kind, &issuer, value)
                    };
                    self.take(target.fingerprint(&self.key))?;
                }
            }
        }
        self.entries.truncate(self.limit);
        Ok(self.page(None))
    }

    fn owned(mut self, subject: &str, cursor: Option<&str>) -> Result<Page, StoreError> {
        let mut owners: Vec<Fingerprint> = self
            .issuers()?
            .iter()
            .map(|issuer| self.key.fingerprint(Kind::Subject, issuer, subject))
            .collect();
        owners.sort_unstable();
        let start = cursor.and_then(from_hex).map(OwnedCursor::of);
        let mut next = None;
        for owner in owners {
            if start.is_some_and(|start| start.owner > owner) {
                continue;
            }
            // The cut-off of the owner at which the previous page ended was on that page.
            if start.is_none_or(|start| start.owner < owner) {
                self.take(owner)?;
            }
            let first = start.filter(|start| start.owner == owner);
            let first = first.map_or(FIRST, |start| start.name);
            let snapshot = self.snapshot;
            snapshot.owned(owner, first, &mut |name| {
                if self.entries.len() >= self.limit {
                    next = Some(OwnedCursor { owner, name }.text());
                    return Ok(ControlFlow::Break(()));
                }
                self.take(name)?;
                Ok(ControlFlow::Continue(()))
            })?;
            if next.is_some() {
                break;
            }
        }
        Ok(self.page(next))
    }

    fn issuers(&self) -> Result<Vec<String>, StoreError> {
        match &self.filter.issuer {
            Some(issuer) => Ok(vec![issuer.clone()]),
            None => self.snapshot.issuers(MAX_ROWS),
        }
    }
}

/// Where a page begins in a search by subject, across all issuers.
#[derive(Clone, Copy)]
struct OwnedCursor {
    owner: Fingerprint,
    name: Fingerprint,
}

impl OwnedCursor {
    fn of(halves: [u8; 32]) -> Self {
        let (mut owner, mut name) = (FIRST, FIRST);
        let (first, second) = halves.split_at(16);
        owner.0.copy_from_slice(first);
        name.0.copy_from_slice(second);
        Self { owner, name }
    }

    fn text(self) -> String {
        to_hex([self.owner.0, self.name.0].as_flattened())
    }
}

impl Filter {
    fn takes(&self, entry: &Entry) -> bool {
        let target = &entry.target;
        let is_qualified = |kind, wanted: Option<&String>| {
            wanted.is_none_or(|wanted| target.kind == kind && *wanted == target.qualifier)
        };
        (entry.is_in_force(self.now) || self.include_restored)
            && self.kind.is_none_or(|kind| kind == target.kind)
            && self
                .issuer
                .as_ref()
                .is_none_or(|issuer| *issuer == target.issuer)
            && is_qualified(Kind::Claim, self.claim.as_ref())
            && is_qualified(Kind::SubjectAndClient, self.client.as_ref())
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub(crate) fn to_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    digits
        .filter_map(|digit| char::from_digit(digit.into(), 16))
        .collect()
}

/// So many bytes from as many pairs of hexadecimal digits.
#[must_use]
pub(crate) fn from_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
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
