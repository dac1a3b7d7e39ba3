//! Everything that is in force, in memory, by fingerprint: what checks are answered from.
//!
//! A look-up must never wait for the disk, nor for a revocation that is being written. So the table
//! is divided into shards, each behind a lock of its own that is held for one look-up.
//!
//! An entry takes 28 bytes and what the hash table leaves free, 33 to 66 bytes in all. Eight of them
//! are the number of its last change, under which the embedded engine of the store has its row.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use crate::identity_hash::IdentityHash;
use crate::revocation::cut_off::CutOff;
use crate::revocation::{Cause, Fingerprint, Kind};
use crate::time::UnixTime;

mod loading;

pub(super) use loading::Loader;

/// A sweep through fifty million entries locks each shard for two milliseconds. A commit of
/// thousands of entries at the same time may wait for the sweep in one shard after another.
const SHARDS: usize = 1024;

/// An instant as the index keeps it: seconds in 32 bits, which reach to the year 2106. A later
/// instant is kept as the last one; [`super::Limits`] lets none through.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Expiry(u32);

impl Expiry {
    fn at(time: UnixTime) -> Self {
        Self(u32::try_from(time.seconds()).unwrap_or(u32::MAX))
    }

    fn is_past(self, now: UnixTime) -> bool {
        self <= Self::at(now)
    }
}

/// An entry's row in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Row {
    /// When the entry is dropped.
    pub expires_at: UnixTime,
    /// Number of the entry's last change.
    pub sequence: u64,
    /// Why it was revoked, as far as clients can tell.
    pub cause: Cause,
    /// Of a session: the sign-in from which on it is not revoked; the epoch where none is.
    pub signed_in_from: UnixTime,
}

/// A [`Row`] as the index keeps it, in 12 bytes: with an aligned `u64` it would take 16. The cause is in
/// the first bits of the sequence number, which no history reaches, so that it takes no memory at all.
#[derive(Clone, Copy, Debug)]
struct PackedRow {
    expiry: Expiry,
    sequence: [u32; 2],
}

impl PackedRow {
    fn of(row: Row) -> Self {
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the halves are what is wanted"
        )]
        let [low, high] = [row.sequence as u32, (row.sequence >> 32) as u32];
        let cause = u32::from(row.cause.number()) << CAUSE_SHIFT;
        Self {
            expiry: Expiry::at(row.expires_at),
            sequence: [low, high & SEQUENCE_BITS | cause],
        }
    }

    fn sequence(self) -> u64 {
        let [low, high] = self.sequence;
        u64::from(low) | u64::from(high & SEQUENCE_BITS) << 32
    }

    fn cause(self) -> Cause {
        let [_, high] = self.sequence;
        let [.., first] = (high >> CAUSE_SHIFT).to_be_bytes();
        Cause::from_number(first)
    }
}

/// Where the cause is in the higher half of a sequence number.
const CAUSE_SHIFT: u32 = 29;

/// The rest of it. There are 2^61 numbers, a million a second for 73,000 years.
const SEQUENCE_BITS: u32 = (1 << CAUSE_SHIFT) - 1;

const _: () = assert!(Cause::ALL.len() <= 1 << (32 - CAUSE_SHIFT));

/// What the index is told after a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// A token, session or device is revoked.
    Entry(Fingerprint, Row),
    /// A cut-off holds.
    CutOff(CutOff, Row),
    /// An entry was restored; its history is kept.
    Restored(Fingerprint, Kind, Row),
    /// The store has no entry of a name any more.
    Dropped(Fingerprint),
    /// The store cannot read the entry of a name: it is dropped, if it has expired by then.
    DroppedIfExpired(Fingerprint, UnixTime),
}

/// Everything in force.
#[derive(Debug)]
pub(super) struct Index {
    entries: Box<[RwLock<ByFingerprint<PackedRow>>]>,
    cut_offs: RwLock<ByFingerprint<(CutOff, PackedRow)>>,
    /// Sessions that are not revoked for sign-ins from an instant on. They are few.
    sign_ins: RwLock<ByFingerprint<UnixTime>>,
    /// Restored entries, so that their history is found, and dropped in time.
    restored: RwLock<ByFingerprint<PackedRow>>,
    entry_count: AtomicU64,
    cut_off_count: AtomicU64,
}

/// By fingerprint, which is its own hash.
pub(super) type ByFingerprint<V> = HashMap<Fingerprint, V, IdentityHash>;

impl Index {
    /// Nothing in force.
    #[must_use]
    pub(super) fn new() -> Self {
        Self {
            entries: (0..SHARDS).map(|_| RwLock::default()).collect(),
            cut_offs: RwLock::default(),
            sign_ins: RwLock::default(),
            restored: RwLock::default(),
            entry_count: AtomicU64::new(0),
            cut_off_count: AtomicU64::new(0),
        }
    }

    /// Brings the index in step with the store.
    pub(super) fn apply(&self, effect: Effect) {
        match effect {
            Effect::Entry(name, row) => {
                self.forget_restored(name);
                self.set_sign_in(name, row.signed_in_from);
                if let Some(shard) = self.shard(name)
                    && write(shard).insert(name, PackedRow::of(row)).is_none()
                {
                    self.count_entries(1);
                }
            }
            Effect::CutOff(cut_off, row) => {
                self.forget_restored(cut_off.key);
                let value = (cut_off, PackedRow::of(row));
                if write(&self.cut_offs).insert(cut_off.key, value).is_none() {
                    self.cut_off_count.fetch_add(1, Ordering::Relaxed);
                }
            }
            Effect::Restored(name, kind, row) => {
                self.remove(name, kind.is_cut_off());
                write(&self.restored).insert(name, PackedRow::of(row));
            }
            Effect::Dropped(name) => {
                self.remove(name, true);
                self.remove(name, false);
                self.forget_restored(name);
            }
            Effect::DroppedIfExpired(name, now) => {
                if self.row_of(name).is_some_and(|row| row.expiry.is_past(now)) {
                    self.apply(Effect::Dropped(name));
                }
            }
        }
    }

    fn forget_restored(&self, name: Fingerprint) {
        // Rarely is there one, and readers do not block one another.
        if read(&self.restored).contains_key(&name) {
            write(&self.restored).remove(&name);
        }
    }

    fn remove(&self, name: Fingerprint, is_cut_off: bool) {
        if is_cut_off {
            if write(&self.cut_offs).remove(&name).is_some() {
                self.cut_off_count.fetch_sub(1, Ordering::Relaxed);
            }
        } else if let Some(shard) = self.shard(name)
            && write(shard).remove(&name).is_some()
        {
            self.entry_count.fetch_sub(1, Ordering::Relaxed);
            self.set_sign_in(name, UnixTime::EPOCH);
        }
    }

    fn set_sign_in(&self, name: Fingerprint, from: UnixTime) {
        if from > UnixTime::EPOCH {
            write(&self.sign_ins).insert(name, from);
        } else if read(&self.sign_ins).contains_key(&name) {
            write(&self.sign_ins).remove(&name);
        }
    }

    /// Why this token, session or device is revoked at `now`, if it is, for a token for which this instant
    /// counts, its [`Issuance`](crate::revocation::Issuance). One without may be of any sign-in.
    #[must_use]
    pub(super) fn revokes(
        &self,
        name: Fingerprint,
        issued: Option<UnixTime>,
        now: UnixTime,
    ) -> Option<Cause> {
        let Some(shard) = self.shard(name) else {
            return Some(Cause::Plain);
        };
        let row = read(shard).get(&name).copied();
        let row = row.filter(|row| !row.expiry.is_past(now))?;
        let sign_in = read(&self.sign_ins).get(&name).copied();
        let is_later = |from| issued.is_some_and(|issued| issued >= from);
        (!sign_in.is_some_and(is_later)).then(|| row.cause())
    }

    /// From which sign-in on a session lives again that is revoked at `now`; `None` where it is not, or
    /// for good.
    #[must_use]
    pub(super) fn lives_again_from(&self, name: Fingerprint, now: UnixTime) -> Option<UnixTime> {
        let row = read(self.shard(name)?).get(&name).copied();
        row.filter(|row| !row.expiry.is_past(now))?;
        read(&self.sign_ins).get(&name).copied()
    }

    /// The cut-off that holds for what has this fingerprint at `now`.
    #[must_use]
    pub(super) fn cut_off(&self, key: Fingerprint, now: UnixTime) -> Option<CutOff> {
        read(&self.cut_offs)
            .get(&key)
            .filter(|(_, row)| !row.expiry.is_past(now))
            .map(|(cut_off, _)| *cut_off)
    }

    /// Number of the last change of an entry, whether it is in force or not.
    #[must_use]
    pub(super) fn sequence_of(&self, name: Fingerprint) -> Option<u64> {
        self.row_of(name).map(PackedRow::sequence)
    }

    fn row_of(&self, name: Fingerprint) -> Option<PackedRow> {
        let entry = self
            .shard(name)
            .and_then(|shard| read(shard).get(&name).copied());
        let cut_off = || read(&self.cut_offs).get(&name).map(|(_, row)| *row);
        let restored = || read(&self.restored).get(&name).copied();
        entry.or_else(cut_off).or_else(restored)
    }

    /// Tokens, sessions and devices, expired ones included until they are swept.
    #[must_use]
    pub(super) fn entry_count(&self) -> u64 {
        self.entry_count.load(Ordering::Relaxed)
    }

    /// Cut-offs, likewise.
    #[must_use]
    pub(super) fn cut_off_count(&self) -> u64 {
        self.cut_off_count.load(Ordering::Relaxed)
    }

    /// Hands every token, session and device in force at `now` to `visit`. One shard at a time is
    /// locked for reading; what changes meanwhile may or may not be seen.
    pub(super) fn for_each_entry(&self, now: UnixTime, mut visit: impl FnMut(Fingerprint)) {
        for shard in &self.entries {
            for (name, row) in &*read(shard) {
                if !row.expiry.is_past(now) {
                    visit(*name);
                }
            }
        }
    }

    /// Every cut-off in force at `now`.
    #[must_use]
    pub(super) fn cut_offs(&self, now: UnixTime) -> Vec<CutOff> {
        read(&self.cut_offs)
            .values()
            .filter(|(_, row)| !row.expiry.is_past(now))
            .map(|(cut_off, _)| *cut_off)
            .collect()
    }

    /// Expired names, at most `limit` of them.
    #[must_use]
    pub(super) fn expired(&self, now: UnixTime, limit: usize) -> Vec<Fingerprint> {
        let mut expired: Vec<Fingerprint> = read(&self.cut_offs)
            .iter()
            .filter(|(_, (_, row))| row.expiry.is_past(now))
            .map(|(name, _)| *name)
            .take(limit)
            .collect();
        for shard in self.entries.iter().chain([&self.restored]) {
            let left = limit.saturating_sub(expired.len());
            if left == 0 {
                break;
            }
            let shard = read(shard);
            let past = shard.iter().filter(|(_, row)| row.expiry.is_past(now));
            expired.extend(past.map(|(name, _)| *name).take(left));
        }
        expired
    }

    /// The shard of a fingerprint. There always is one, since its number is taken modulo their
    /// count.
    fn shard(&self, name: Fingerprint) -> Option<&RwLock<ByFingerprint<PackedRow>>> {
        self.entries.get(Self::shard_number(name))
    }

    /// From bytes that the hash tables do not use.
    fn shard_number(name: Fingerprint) -> usize {
        let [.., high, low] = name.0;
        usize::from(u16::from_be_bytes([high, low])) % SHARDS
    }

    fn count_entries(&self, more: usize) {
        self.entry_count.fetch_add(more as u64, Ordering::Relaxed);
    }
}

impl Default for Index {
    fn default() -> Self {
        Self::new()
    }
}

// A thread that panicked while it held a lock has left at worst one insertion undone, and the
// table is sound; refusing every check from then on would be the greater harm.
fn read<T>(lock: &RwLock<T>) -> RwLockReadGuard<'_, T> {
    lock.read().unwrap_or_else(PoisonError::into_inner)
}

fn write<T>(lock: &RwLock<T>) -> RwLockWriteGuard<'_, T> {
    lock.write().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn until(seconds: u64) -> Row {
        Row {
            expires_at: time(seconds),
            sequence: u64::MAX / 8 - seconds,
            cause: Cause::Plain,
            signed_in_from: UnixTime::EPOCH,
        }
    }

    fn name(byte: u8) -> Fingerprint {
        Fingerprint([byte; 16])
    }

    #[test]
    fn an_entry_is_in_force_until_it_expires() {
        let index = Index::new();
        index.apply(Effect::Entry(name(1), until(100)));
        assert_eq!(index.revokes(name(1), None, time(99)), Some(Cause::Plain));
        assert_eq!(index.revokes(name(1), None, time(100)), None);
        assert_eq!(index.revokes(name(2), None, time(1)), None);
        assert_eq!(index.expired(time(100), 10), [name(1)]);
        assert_eq!(index.expired(time(99), 10), []);
    }

    #[test]
    fn the_cause_is_kept_beside_the_largest_sequence_numbers_and_takes_no_memory() {
        let index = Index::new();
        for cause in Cause::ALL {
            for sequence in [0, 1, u64::from(u32::MAX) + 1, u64::MAX / 8] {
                let row = Row {
                    expires_at: time(100),
                    sequence,
                    cause,
                    signed_in_from: UnixTime::EPOCH,
                };
                index.apply(Effect::Entry(name(1), row));
                assert_eq!(index.revokes(name(1), None, time(99)), Some(cause));
                assert_eq!(index.revokes(name(1), None, time(100)), None);
                assert_eq!(index.sequence_of(name(1)), Some(sequence));
            }
        }
        assert_eq!(size_of::<(Fingerprint, PackedRow)>(), 28);
    }

    #[test]
    fn counts_follow_what_is_there() {
        let index = Index::new();
        let cut_off = CutOff {
            key: name(3),
            not_before: time(50),
            except: None,
            is_compound: false,
        };
        for _ in 0..2 {
            index.apply(Effect::Entry(name(1), until(100)));
            index.apply(Effect::CutOff(cut_off, until(100)));
        }
        assert_eq!((index.entry_count(), index.cut_off_count()), (1, 1));
        assert_eq!(index.cut_off(name(3), time(1)), Some(cut_off));
        assert_eq!(index.cut_offs(time(100)), []);
        for _ in 0..2 {
            index.apply(Effect::Dropped(name(1)));
            index.apply(Effect::Restored(name(3), Kind::Subject, until(7)));
        }
        assert_eq!((index.entry_count(), index.cut_off_count()), (0, 0));
        assert_eq!(index.sequence_of(name(3)), Some(u64::MAX / 8 - 7));
        assert_eq!(index.sequence_of(name(1)), None);
        assert_eq!(index.expired(time(7), 10), [name(3)]);
        index.apply(Effect::Dropped(name(3)));
        assert_eq!(index.expired(time(7), 10), []);
    }

    #[test]
    fn a_session_is_not_revoked_for_sign_ins_from_its_instant_on() {
        let index = Index::new();
        let row = Row {
            signed_in_from: time(50),
            ..until(100)
        };
        let revokes = |issued: Option<u64>| index.revokes(name(1), issued.map(time), time(1));
        index.apply(Effect::Entry(name(1), row));
        assert_eq!(revokes(Some(49)), Some(Cause::Plain));
        assert_eq!(revokes(Some(50)), None);
        assert_eq!(revokes(None), Some(Cause::Plain));
        assert_eq!(index.revokes(name(1), None, time(1)), Some(Cause::Plain));
        index.apply(Effect::Entry(name(1), until(100)));
        assert_eq!(revokes(Some(50)), Some(Cause::Plain), "for ever now");
        index.apply(Effect::Entry(name(1), row));
        index.apply(Effect::Restored(name(1), Kind::Session, row));
        index.apply(Effect::Entry(name(1), until(100)));
        assert_eq!(revokes(Some(50)), Some(Cause::Plain), "revoked anew");
        index.apply(Effect::Dropped(name(1)));
        assert!(read(&index.sign_ins).is_empty());
        let mut loader = index.loader();
        loader.add(Effect::Entry(name(1), row));
        drop(loader);
        assert_eq!(
            (revokes(Some(49)), revokes(Some(50))),
            (Some(Cause::Plain), None)
        );
    }

    #[test]
    fn every_entry_in_force_is_visited_once() {
        let index = Index::new();
        for byte in 0..200 {
            index.apply(Effect::Entry(name(byte), until(u64::from(byte) + 1)));
        }
        let mut visited = Vec::new();
        index.for_each_entry(time(100), |name| visited.push(name));
        visited.sort_unstable();
        assert_eq!(visited, (100..200).map(name).collect::<Vec<_>>());
        assert_eq!(index.expired(time(100), 7).len(), 7);
        assert_eq!(index.expired(time(100), 1_000).len(), 100);
    }
}
