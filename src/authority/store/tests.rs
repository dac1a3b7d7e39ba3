//! What the store and its engines are tested with.

use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use super::*;
use crate::authority::entry::{Revocation, Target};
use crate::revocation::{Cause, Fingerprint, Kind};
use crate::time::UnixTime;

mod conformance;
mod copying;
mod memory;
mod postgres;
#[path = "../../../tests/support/postgres.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod postgres_server;
#[path = "../../../tests/support/way.rs"]
#[allow(dead_code, reason = "other tests need more of it")]
mod way;

pub(super) const NOW: u64 = 1_767_225_600_000;

pub(super) fn time(seconds_from_now: u64) -> UnixTime {
    UnixTime::from_seconds(NOW / 1000 + seconds_from_now).unwrap()
}

pub(super) fn target(kind: Kind, value: &str) -> Target {
    Target {
        kind,
        issuer: "https://issuer.example".into(),
        value: value.into(),
        qualifier: String::new(),
    }
}

pub(super) fn revocation(kind: Kind, value: &str, lives: u64) -> Revocation {
    Revocation {
        target: target(kind, value),
        expires_at: time(lives),
        not_before: time(1),
        except_session: None,
        subject: None,
        cause: Cause::Plain,
        actor: "operator".into(),
        reason: String::new(),
        origin: None,
    }
}

pub(super) fn restoration(kind: Kind, value: &str) -> Restoration {
    Restoration {
        target: target(kind, value),
        actor: "operator".into(),
        reason: String::new(),
        origin: None,
    }
}

/// Opens a store that was just closed. A server that another test starts at this moment has what this
/// process had open, the lock of the directory too, until it is a program of its own.
pub(super) fn open_after_another(directory: &Path, opening: Opening) -> Result<Store, StoreError> {
    let since = Instant::now();
    loop {
        match Store::open(directory, opening) {
            Err(StoreError::InUse { .. }) if since.elapsed() < Duration::from_secs(2) => {
                thread::sleep(Duration::from_millis(5));
            }
            opened => return opened,
        }
    }
}

/// Revokes something in a commit of its own.
pub(super) fn revoke(
    store: &Store,
    revocation: &Revocation,
) -> Result<Committed<Revoked>, StoreError> {
    store.commit(NOW, |writing| writing.revoke(revocation))
}

/// Revokes many things in one commit.
pub(super) fn revoke_all(store: &Store, revocations: &[Revocation]) -> Committed<Vec<Revoked>> {
    let committed = store.commit(NOW, |writing| {
        let revocations = revocations.iter();
        revocations
            .map(|revocation| writing.revoke(revocation))
            .collect()
    });
    committed.unwrap()
}

pub(super) fn name_of(store: &Store, kind: Kind, value: &str) -> Fingerprint {
    target(kind, value).fingerprint(&store.filter_key())
}

/// Numbers that are the same in every run.
pub(super) struct Random(pub(super) u64);

impl Random {
    pub(super) fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) % end
    }

    /// An index into a list of this length.
    pub(super) fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).unwrap()
    }
}

/// At the start, keys and the first epoch are kept while the writer is at work already.
#[test]
fn each_of_two_commits_at_once_is_told_its_own_changes() {
    const COMMITS: usize = 100;
    let directory = tempfile::tempdir().unwrap();
    let opening = Opening {
        cache_bytes: 1 << 20,
        checked_bytes: CHECKED_BYTES,
        loss: Loss::Refused,
        now_milliseconds: NOW,
    };
    let store = Store::open(directory.path(), opening).unwrap();
    let told = |work: &dyn Fn(&mut Writing<'_>) -> Result<(), StoreError>| -> usize {
        let commits = (0..COMMITS).map(|_| store.commit(NOW, |writing| work(writing)));
        commits
            .map(|committed| committed.unwrap().changes.len())
            .sum()
    };
    let name = name_of(&store, Kind::Session, "s");
    thread::scope(|scope| {
        let kept = scope.spawn(|| told(&|writing| writing.keep(&Epoch(NOW))));
        let announced = told(&|writing| writing.announce(name));
        assert_eq!((announced, kept.join().unwrap()), (COMMITS, 0));
    });
}
