use std::cell::Cell;
use std::fs;
use std::path::Path;

use super::file::FILE_NAME;
use super::*;
use crate::authority::entry::{Revocation, Target};
use crate::revocation::Kind;
use crate::time::UnixTime;

mod damage;

const NOW: u64 = 1_767_225_600_000;

fn time(seconds_from_now: u64) -> UnixTime {
    UnixTime::from_seconds(NOW / 1000 + seconds_from_now).unwrap()
}

fn target(kind: Kind, value: &str) -> Target {
    Target {
        kind,
        issuer: "https://issuer.example".into(),
        value: value.into(),
    }
}

fn revocation(kind: Kind, value: &str, lives: u64) -> Revocation {
    Revocation {
        target: target(kind, value),
        expires_at: time(lives),
        not_before: time(1),
        except_session: String::new(),
        subject: String::new(),
        actor: "operator".into(),
        reason: String::new(),
    }
}

fn revoke(kind: Kind, value: &str, lives: u64) -> Work {
    Work::Revoke(Box::new(revocation(kind, value, lives)))
}

fn open() -> (tempfile::TempDir, Store) {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path()).unwrap();
    (directory, store)
}

fn open_in(directory: &Path) -> Result<Store, StoreError> {
    open_with(directory, Loss::Refused)
}

fn open_with(directory: &Path, loss: Loss) -> Result<Store, StoreError> {
    Store::open(directory, opening(loss))
}

fn opening(loss: Loss) -> Opening {
    Opening {
        cache_bytes: 1 << 20,
        checked_bytes: CHECKED_BYTES,
        loss,
        now_milliseconds: NOW,
    }
}

impl Store {
    /// Damages the row of an entry, as a disk does.
    pub(in crate::authority) fn damage(&self, name: Fingerprint) {
        let sequence = self.index.sequence_of(name).unwrap();
        self.with(|database| {
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

#[test]
fn work_in_one_commit_sees_what_went_before() {
    let (_directory, store) = open();
    let works = [
        revoke(Kind::Session, "a", 10),
        revoke(Kind::Session, "a", 10),
    ];
    let committed = store.commit(&works, NOW).unwrap();
    assert!(matches!(committed.outcomes[0], Outcome::Revoked(_)));
    assert!(matches!(committed.outcomes[1], Outcome::AlreadyRevoked(_)));
    assert_eq!(committed.changes.len(), 1);
    assert_eq!(store.head().unwrap().sequence, 1);
}

#[test]
fn a_longer_life_is_kept_and_is_no_change_for_edges() {
    let (_directory, store) = open();
    store.commit(&[revoke(Kind::Token, "a", 10)], NOW).unwrap();
    let longer = store.commit(&[revoke(Kind::Token, "a", 20)], NOW).unwrap();
    assert!(matches!(longer.outcomes[0], Outcome::AlreadyRevoked(_)));
    assert!(longer.changes.is_empty());
    store.commit(&[revoke(Kind::Token, "a", 5)], NOW).unwrap();
    let name = target(Kind::Token, "a").fingerprint(&store.filter_key());
    assert!(store.index().is_revoked(name, time(19)));
    assert!(!store.index().is_revoked(name, time(20)));
}

#[test]
fn what_expired_is_dropped_and_what_did_not_stays() {
    let (_directory, store) = open();
    let works = [revoke(Kind::Token, "a", 10), revoke(Kind::Subject, "u", 20)];
    store.commit(&works, NOW).unwrap();
    let key = store.filter_key();
    let names = [target(Kind::Token, "a"), target(Kind::Subject, "u")]
        .map(|target| target.fingerprint(&key));
    let later = NOW + 15_000;
    let dropped = store.commit(&[Work::Drop(names.to_vec())], later).unwrap();
    assert_eq!(
        (store.index().entry_count(), store.index().cut_off_count()),
        (0, 1)
    );
    assert!(dropped.changes.is_empty());
    assert_eq!(store.entry(names[0]).unwrap(), None);
    assert!(store.entry(names[1]).unwrap().is_some());
    let page = store.list(&Filter::default(), None, 10).unwrap();
    assert_eq!(page.entries.len(), 1);
    // What expired and is revoked again is new to edges.
    let again = store
        .commit(&[revoke(Kind::Token, "a", 30)], later)
        .unwrap();
    assert_eq!(again.changes.len(), 1);
}

/// It revokes nothing any more. What it was is for the next start to say.
#[test]
fn an_expired_row_that_cannot_be_read_keeps_no_other_from_being_dropped() {
    let (directory, store) = open();
    let works = [("a", 10), ("b", 10), ("c", 1_000)];
    let works = works.map(|(value, lives)| revoke(Kind::Session, value, lives));
    store.commit(&works, NOW).unwrap();
    let names =
        ["a", "b", "c"].map(|value| target(Kind::Session, value).fingerprint(&store.filter_key()));
    store.damage(names[0]);
    store.damage(names[2]);
    let later = NOW + 10_000;
    let drop_all = Work::Drop(names.to_vec());
    let committed = store.commit(&[drop_all], later).unwrap();
    assert_eq!(committed.outcomes, [Outcome::Done(2)]);
    assert_eq!(store.index().expired(time(10), 10), []);
    assert!(store.index().is_revoked(names[2], time(10)), "not expired");
    assert_eq!(store.index().entry_count(), 1);
    drop(store);
    assert!(open_in(directory.path()).unwrap_err().is_loss());
}

#[test]
fn a_later_cut_off_replaces_an_earlier_one_and_never_the_reverse() {
    let (_directory, store) = open();
    let with = |not_before, except: &str| {
        Work::Revoke(Box::new(Revocation {
            not_before: time(not_before),
            except_session: except.into(),
            ..revocation(Kind::Subject, "u", 100)
        }))
    };
    let change_count = |work| store.commit(&[work], NOW).unwrap().changes.len();
    assert_eq!(change_count(with(10, "s")), 1);
    assert_eq!(change_count(with(10, "s")), 0);
    assert_eq!(change_count(with(5, "s")), 0);
    assert_eq!(change_count(with(5, "")), 1, "the session is older");
    assert_eq!(change_count(with(10, "")), 1, "the session goes on no more");
    assert_eq!(change_count(with(5, "")), 0);
    assert_eq!(change_count(with(11, "s")), 1);
    let name = target(Kind::Subject, "u").fingerprint(&store.filter_key());
    let record = store.entry(name).unwrap().unwrap();
    assert_eq!(
        (record.not_before, record.except_from),
        (time(11), time(10))
    );
    assert_eq!(record.sequence, 4);
}

/// Every way to set two or three cut-offs one after the other, against all of them asked singly.
#[test]
fn no_cut_off_brings_back_what_an_earlier_one_has_revoked() {
    let cut_offs = [5, 10, 15].into_iter().flat_map(|not_before| {
        let sessions = ["", "s", "t"].into_iter();
        sessions.map(move |except| (not_before, except))
    });
    let cut_offs: Vec<(u64, &str)> = cut_offs.collect();
    let (_directory, store) = open();
    let key = store.filter_key();
    let mut user = 0;
    for &first in &cut_offs {
        for &second in &cut_offs {
            for &third in &cut_offs {
                user += 1;
                let asked = [first, second, third];
                let value = user.to_string();
                let works = asked.map(|(not_before, except)| {
                    Work::Revoke(Box::new(Revocation {
                        not_before: time(not_before),
                        except_session: except.into(),
                        ..revocation(Kind::Subject, &value, 100)
                    }))
                });
                store.commit(&works, NOW).unwrap();
                let name = target(Kind::Subject, &value).fingerprint(&key);
                let held = store.index().cut_off(name, time(0)).unwrap();
                for session in ["s", "t", "u"] {
                    let hashed = target(Kind::Session, session).fingerprint(&key);
                    for issued_at in [4, 5, 9, 10, 14, 15] {
                        let is_meant = asked.iter().any(|(not_before, except)| {
                            issued_at < *not_before && session != *except
                        });
                        assert_eq!(
                            held.revokes(Some(time(issued_at)), Some(hashed)),
                            is_meant,
                            "{session} at {issued_at} after {asked:?}"
                        );
                    }
                }
            }
        }
    }
}

#[test]
fn the_log_and_the_chain_come_back_as_they_were_written() {
    let (directory, store) = open();
    let restoration = Restoration {
        target: target(Kind::Client, "c"),
        actor: String::new(),
        reason: String::new(),
    };
    let works = [
        revoke(Kind::Session, "a", 10),
        revoke(Kind::Client, "c", 10),
        Work::Restore(Box::new(restoration)),
    ];
    let committed = store.commit(&works, NOW).unwrap();
    drop(store);
    let store = open_in(directory.path()).unwrap();
    let log: Vec<_> = store
        .log(0)
        .unwrap()
        .into_iter()
        .map(|(_, change, chain)| (change, chain))
        .collect();
    assert_eq!(log, committed.changes);
    let (_, last) = committed.changes[2];
    assert_eq!(
        store.head().unwrap(),
        Head {
            sequence: 3,
            chain: last
        }
    );
    assert_eq!(store.log(2).unwrap().len(), 1);
    let mut chain = Chain::EMPTY;
    for (change, after) in log {
        chain = chain.followed_by(&change);
        assert_eq!(chain, after);
    }
}

#[test]
fn what_is_loaded_is_what_is_in_force() {
    let (directory, store) = open();
    let works = [
        revoke(Kind::Session, "a", 10),
        revoke(Kind::Issuer, "", 10),
        revoke(Kind::Device, "d", 10),
    ];
    store.commit(&works, NOW).unwrap();
    let restoration = Restoration {
        target: target(Kind::Device, "d"),
        actor: String::new(),
        reason: String::new(),
    };
    store
        .commit(&[Work::Restore(Box::new(restoration))], NOW)
        .unwrap();
    let key = store.filter_key();
    drop(store);
    let store = open_in(directory.path()).unwrap();
    assert_eq!(store.filter_key(), key);
    let index = store.index();
    let name = |kind, value| target(kind, value).fingerprint(&key);
    assert!(index.is_revoked(name(Kind::Session, "a"), time(0)));
    assert!(!index.is_revoked(name(Kind::Device, "d"), time(0)));
    assert!(index.cut_off(name(Kind::Issuer, ""), time(0)).is_some());
    assert_eq!(index.expired(time(10), 10).len(), 3);
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
    store.reopen().unwrap();
    store
        .commit(&[revoke(Kind::Session, "a", 10)], NOW)
        .unwrap();
}

#[test]
fn everything_is_read_again_from_a_file_of_many_parts() {
    let (directory, store) = open();
    let many: Vec<_> = (0..70_000)
        .map(|number| revocation(Kind::Session, &number.to_string(), 10))
        .collect();
    let restore = Work::Restore(Box::new(Restoration {
        target: target(Kind::Session, "7"),
        actor: String::new(),
        reason: String::new(),
    }));
    let works = [
        Work::ApplyStaged(0, many),
        revoke(Kind::Subject, "u", 10),
        restore,
    ];
    store.commit(&works, NOW).unwrap();
    let cut_offs = store.index().cut_offs(time(0));
    drop(store);
    let store = open_in(directory.path()).unwrap();
    let index = store.index();
    assert_eq!(index.entry_count(), 69_999);
    assert_eq!(index.cut_offs(time(0)), cut_offs);
    let key = store.filter_key();
    for number in 0..70_000 {
        let name = target(Kind::Session, &number.to_string()).fingerprint(&key);
        assert_eq!(index.is_revoked(name, time(9)), number != 7, "{number}");
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
    store.commit(&[], NOW).unwrap();
    assert!(
        !reads_all(),
        "after the first, empty, commit of every process"
    );
    store.commit(&[revoke(Kind::Token, "a", 10)], NOW).unwrap();
    assert!(!reads_all(), "after a commit");
    store.reopen().unwrap();
    store.commit(&[revoke(Kind::Token, "b", 10)], NOW).unwrap();
    assert!(!reads_all(), "after it was opened anew");
}

/// What is asked of a backup before each row is where these tests do what has to happen meanwhile.
#[test]
fn only_one_backup_is_made_at_a_time() {
    let (_directory, store) = open();
    store.commit(&[revoke(Kind::Token, "a", 10)], NOW).unwrap();
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
    let works: Vec<_> = (0..9)
        .map(|number| revoke(Kind::Session, &number.to_string(), 10))
        .collect();
    store.commit(&works, NOW).unwrap();
    let questions = Cell::new(0);
    let ask = || questions.replace(questions.get() + 1) + 1;
    let count = || {
        ask();
        false
    };
    store.back_up(&count).unwrap();
    let last = questions.get();
    assert!(last > 20, "{last}");
    for number in [1, 7, last] {
        questions.set(0);
        let broken_off = store.back_up(&|| {
            assert!(ask() <= number, "it goes on");
            if questions.get() == number {
                store.reopen().unwrap();
            }
            false
        });
        let is_broken_off = matches!(broken_off, Err(StoreError::BrokenOff));
        assert!(is_broken_off, "{number}: {broken_off:?}");
        assert!(!directory.path().join("backup.unfinished").exists());
        let name = format!("after {number}");
        store
            .commit(&[revoke(Kind::Token, &name, 10)], NOW)
            .unwrap();
    }
    assert_eq!(store.back_up(&|| false).unwrap().sequence, 12);
}

#[test]
fn a_backup_ends_when_the_authority_does_and_leaves_the_last_one() {
    let (directory, store) = open();
    store.back_up(&|| false).unwrap();
    let last = fs::read(directory.path().join("backup.redb")).unwrap();
    store.commit(&[revoke(Kind::Token, "a", 10)], NOW).unwrap();
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
