use std::any::Any;
use std::cell::Cell;
use std::fs;
use std::path::Path;

use super::file::FILE_NAME;
use super::*;
use crate::authority::entry::Revocation;
use crate::authority::store::tests::{
    NOW, Random, name_of, open_after_another, restoration, revocation, revoke, revoke_all, time,
};
use crate::authority::store::{Filter, Store};
use crate::revocation::{Fingerprint, Kind};

mod damage;
mod taken;

const MARK: &str = "authority.mark";

fn open() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path()).unwrap();
    (directory, store)
}

fn open_in(directory: &Path) -> Result<Store, StoreError> {
    open_with(directory, Loss::Refused)
}

fn open_with(directory: &Path, loss: Loss) -> Result<Store, StoreError> {
    open_after_another(directory, opening(loss))
}

pub(in crate::authority::store) fn opening(loss: Loss) -> Opening {
    Opening {
        cache_bytes: 1 << 20,
        checked_bytes: CHECKED_BYTES,
        loss,
        now_milliseconds: NOW,
    }
}

impl Embedded {
    fn under(store: &Store) -> &Self {
        let engine: &dyn Any = &*store.engine;
        engine.downcast_ref().unwrap()
    }
}

impl Store {
    /// Damages the row of an entry, as a disk does.
    pub(in crate::authority) fn damage(&self, name: Fingerprint) {
        let sequence = self.index().sequence_of(name).unwrap();
        Embedded::under(self)
            .with(|database| {
                let transaction = begin_write(database)?;
                transaction
                    .open_table(tables::ENTRIES)
                    .map_err(failed)?
                    .insert(sequence, [7_u8; 60].as_slice())
                    .map_err(failed)?;
                transaction.commit().map_err(failed)
            })
            .unwrap();
    }
}

fn token(value: &str, lives: u64) -> Revocation {
    revocation(Kind::Token, value, lives)
}

fn session(value: &str, lives: u64) -> Revocation {
    revocation(Kind::Session, value, lives)
}

/// It no longer revokes anything. The next start reports the damage.
#[test]
fn an_expired_row_that_cannot_be_read_keeps_no_other_from_being_dropped() {
    let (directory, store) = open();
    let works = [("a", 10), ("b", 10), ("c", 1_000)];
    revoke_all(&store, &works.map(|(value, lives)| session(value, lives)));
    let names = ["a", "b", "c"].map(|value| name_of(&store, Kind::Session, value));
    store.damage(names[0]);
    store.damage(names[2]);
    let later = NOW + 10_000;
    let committed = store.commit(later, |writing| writing.drop_expired(&names));
    assert_eq!(committed.unwrap().outcome.damaged, 2);
    assert_eq!(store.index().expired(time(10), 10), []);
    assert!(
        store.index().revokes(names[2], None, time(10)).is_some(),
        "not expired"
    );
    assert_eq!(store.index().entry_count(), 1);
    drop(store);
    assert!(open_in(directory.path()).unwrap_err().is_loss());
}

#[test]
fn the_file_is_for_its_owner_only() {
    use std::os::unix::fs::PermissionsExt as _;
    let (directory, _store) = open();
    let file = directory.path().join(FILE_NAME);
    let mode = fs::metadata(file).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_store_can_be_opened_once_at_a_time_and_again_after_an_error() {
    let (directory, store) = open();
    assert!(open_in(directory.path()).is_err());
    store.recover().unwrap();
    revoke(&store, &session("a", 10)).unwrap();
}

#[test]
fn everything_is_read_again_from_a_file_of_many_parts() {
    let (directory, store) = open();
    let many: Vec<_> = (0..70_000)
        .map(|number| session(&number.to_string(), 10))
        .collect();
    store
        .commit(NOW, |writing| {
            writing.apply_staged(0, &many)?;
            writing.revoke(&revocation(Kind::Subject, "u", 10))?;
            writing.restore(&restoration(Kind::Session, "7"))
        })
        .unwrap();
    let cut_offs = store.index().cut_offs(time(0));
    drop(store);
    let store = open_in(directory.path()).unwrap();
    let index = store.index();
    assert_eq!(index.entry_count(), 69_999);
    assert_eq!(index.cut_offs(time(0)), cut_offs);
    for number in 0..70_000 {
        let name = name_of(&store, Kind::Session, &number.to_string());
        assert_eq!(
            index.revokes(name, None, time(9)).is_some(),
            number != 7,
            "{number}"
        );
        assert!(index.sequence_of(name).is_some(), "{number}");
    }
}

#[test]
fn a_file_whose_process_was_killed_is_opened_without_reading_all_of_it() {
    let (directory, store) = open();
    let reads_all = || {
        // What a killed process leaves behind.
        let copy = directory.path().join("copy");
        fs::copy(directory.path().join(FILE_NAME), &copy).unwrap();
        let mut builder = redb::Builder::new();
        builder.set_repair_callback(redb::RepairSession::abort);
        matches!(builder.open(copy), Err(redb::DatabaseError::RepairAborted))
    };
    store.commit(NOW, |_| Ok(())).unwrap();
    assert!(
        !reads_all(),
        "after the first, empty, commit of every process"
    );
    revoke(&store, &token("a", 10)).unwrap();
    assert!(!reads_all(), "after a commit");
    store.recover().unwrap();
    revoke(&store, &token("b", 10)).unwrap();
    assert!(!reads_all(), "after it was opened anew");
}

/// A backup calls `is_stopping` before each row, which is where these tests do what has to happen
/// meanwhile.
#[test]
fn only_one_backup_is_made_at_a_time() {
    let (_directory, store) = open();
    revoke(&store, &token("a", 10)).unwrap();
    let backup = store.back_up(&|| {
        let second = store.back_up(&|| false);
        assert!(matches!(second, Err(StoreError::BackingUp)), "{second:?}");
        false
    });
    assert_eq!(backup.unwrap().sequence, 1);
}

#[test]
fn a_backup_does_not_keep_the_store_from_being_opened_anew() {
    let (directory, store) = open();
    let sessions: Vec<_> = (0..9)
        .map(|number| session(&number.to_string(), 10))
        .collect();
    revoke_all(&store, &sessions);
    let calls = Cell::new(0);
    let ask = || calls.replace(calls.get() + 1) + 1;
    let count = || {
        ask();
        false
    };
    store.back_up(&count).unwrap();
    let last = calls.get();
    assert!(last > 20, "{last}");
    for number in [1, 7, last] {
        calls.set(0);
        let broken_off = store.back_up(&|| {
            assert!(ask() <= number, "it goes on");
            if calls.get() == number {
                store.recover().unwrap();
            }
            false
        });
        let is_broken_off = matches!(broken_off, Err(StoreError::BrokenOff));
        assert!(is_broken_off, "{number}: {broken_off:?}");
        assert!(!directory.path().join("backup.unfinished").exists());
        let name = format!("after {number}");
        revoke(&store, &token(&name, 10)).unwrap();
    }
    assert_eq!(store.back_up(&|| false).unwrap().sequence, 12);
}

#[test]
fn a_backup_ends_when_the_authority_does_and_leaves_the_last_one() {
    let (directory, store) = open();
    store.back_up(&|| false).unwrap();
    let last = fs::read(directory.path().join("backup.redb")).unwrap();
    revoke(&store, &token("a", 10)).unwrap();
    let broken_off = store.back_up(&|| true);
    let is_broken_off = matches!(broken_off, Err(StoreError::BrokenOff));
    assert!(is_broken_off, "{broken_off:?}");
    assert!(!directory.path().join("backup.unfinished").exists());
    assert_eq!(
        fs::read(directory.path().join("backup.redb")).unwrap(),
        last
    );
}

#[test]
fn what_a_killed_process_left_of_a_backup_is_removed_at_the_start() {
    let (directory, store) = open();
    store.back_up(&|| false).unwrap();
    drop(store);
    let unfinished = directory.path().join("backup.unfinished");
    fs::write(&unfinished, "a signing key").unwrap();
    let _store = open_in(directory.path()).unwrap();
    assert!(!unfinished.exists());
    assert!(directory.path().join("backup.redb").exists());
}
