//! Damaged stores are noticed and reported.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;

use super::*;
use crate::authority::entry::Entry;
use crate::authority::store::Setting;
use crate::revocation::{Chain, Change};

const SESSIONS: usize = 3_000;
const CUT_OFFS: usize = 60;

/// A store as a process leaves it, with everything that one contains.
struct Sample {
    store: Vec<u8>,
    mark: Vec<u8>,
    facts: Facts,
    /// The longest file that redb checks completely.
    checked_bytes: u64,
}

/// What a store holds, by every way of asking.
#[derive(Debug, PartialEq)]
struct Facts {
    head: Head,
    log: Vec<(u64, Change, Chain)>,
    kept: Vec<Option<Vec<u8>>>,
    listed: Vec<(Fingerprint, Entry)>,
    owned: Vec<(Fingerprint, Entry)>,
    entries: u64,
    cut_offs: u64,
}

impl Facts {
    fn of(store: &Store) -> Self {
        let index = store.index();
        let owned = Filter {
            subject: Some("user7".into()),
            ..Filter::default()
        };
        Self {
            head: store.head().unwrap(),
            log: store.log(0).unwrap(),
            kept: [Epoch::NAME, KeptKeys::NAME, CompleteImport::NAME]
                .map(|name| store.read(|snapshot| snapshot.setting(name)).unwrap())
                .to_vec(),
            listed: store.list(&all(), None, 10_000).unwrap().entries,
            owned: store.list(&owned, None, 1_000).unwrap().entries,
            entries: index.entry_count(),
            cut_offs: index.cut_off_count(),
        }
    }
}

fn all() -> Filter {
    Filter {
        include_restored: true,
        ..Filter::default()
    }
}

impl Sample {
    /// As a process leaves it that ended in order, or one that was killed.
    fn make(is_killed: bool) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = open_in(directory.path()).unwrap();
        store
            .commit(NOW, |writing| {
                writing.keep(&Epoch(77))?;
                writing.keep(&SomeKeys)?;
                writing.keep(&CompleteImport(None))
            })
            .unwrap();
        let sessions = (0..SESSIONS).map(|number| Revocation {
            subject: Some(format!("user{}", number % 100)),
            ..session(&format!("session{number}"), 1_000)
        });
        let cut_offs =
            (0..CUT_OFFS).map(|number| revocation(Kind::Subject, &format!("u{number}"), 1_000));
        let all: Vec<_> = sessions.chain(cut_offs).collect();
        for some in all.chunks(256) {
            revoke_all(&store, some);
        }
        let facts = Facts::of(&store);
        assert_eq!((facts.entries, facts.cut_offs), (3_000, 60));
        let read = |name| fs::read(directory.path().join(name)).unwrap();
        if is_killed {
            let (store, mark) = (read(FILE_NAME), read(MARK));
            return Self::of(store, mark, facts);
        }
        drop(store);
        Self::of(read(FILE_NAME), read(MARK), facts)
    }

    const fn of(store: Vec<u8>, mark: Vec<u8>, facts: Facts) -> Self {
        Self {
            store,
            mark,
            facts,
            checked_bytes: CHECKED_BYTES,
        }
    }

    fn open(&self, directory: &Path, loss: Loss) -> Result<Store, StoreError> {
        let opening = Opening {
            checked_bytes: self.checked_bytes,
            ..opening(loss)
        };
        open_after_another(directory, opening)
    }

    /// A directory with a changed copy of this store in it.
    fn put(&self, change: impl FnOnce(&mut Vec<u8>)) -> (tempfile::TempDir, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = self.store.clone();
        change(&mut store);
        fs::write(directory.path().join(FILE_NAME), &store).unwrap();
        fs::write(directory.path().join(MARK), &self.mark).unwrap();
        (directory, store)
    }
}

/// Bytes that are no keys, which the store need not know.
struct SomeKeys;

impl Setting for SomeKeys {
    const NAME: &'static str = KeptKeys::NAME;

    fn encode(&self) -> Vec<u8> {
        vec![1; 40]
    }

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }
}

/// An epoch that cannot be read.
struct BrokenEpoch;

impl Setting for BrokenEpoch {
    const NAME: &'static str = Epoch::NAME;

    fn encode(&self) -> Vec<u8> {
        vec![1, 2, 3]
    }

    fn decode(_: &[u8]) -> Option<Self> {
        None
    }
}

/// Epoch 77, with one change.
fn begin_epoch(store: &Store) {
    store
        .commit(NOW, |writing| {
            writing.keep(&Epoch(77))?;
            writing.revoke(&session("a", 10))
        })
        .unwrap();
}

/// The outcomes of many stores.
#[derive(Debug, Default)]
struct Count {
    whole: usize,
    refused: usize,
    unreadable: usize,
}

impl Count {
    /// Opens a changed store: it is complete, or opening fails with what is missing and leaves it
    /// as it was, and it goes on with what is left when told to.
    fn open(&mut self, sample: &Sample, directory: &Path, changed: &[u8], what: &str) {
        let error = match sample.open(directory, Loss::Refused) {
            Ok(store) => {
                assert_eq!(
                    Facts::of(&store),
                    sample.facts,
                    "{what}: something is missing"
                );
                self.whole += 1;
                return;
            }
            Err(error) => error,
        };
        let StoreError::Damaged { damage, .. } = error else {
            panic!("{what}: {error:?}");
        };
        let left = fs::read(directory.join(FILE_NAME)).unwrap();
        assert!(left == changed, "{what}: the damaged file was written to");
        if !error.leaves_something() {
            self.unreadable += 1;
            return;
        }
        self.refused += 1;
        let store = sample.open(directory, Loss::Accepted).unwrap();
        let listed = store.list(&all(), None, 10_000).unwrap().entries;
        let mut before = sample.facts.listed.iter();
        // Both are in the order of their sequence numbers.
        let is_right = listed
            .iter()
            .all(|entry| before.any(|other| other == entry));
        assert!(is_right, "{what}: made up");
        if let Damage::Changed { lost, left, .. } = damage {
            assert_eq!(listed.len() as u64, left, "{what}");
            if let Some(lost) = lost {
                assert_eq!(lost + left, 3_060, "{what}");
            }
        }
        let epoch = match damage {
            // A new store has none until the feed begins one.
            Damage::Gone { .. } | Damage::Empty { .. } => None,
            _ => Some(Epoch(NOW)),
        };
        assert_eq!(store.kept().unwrap(), epoch, "{what}: the old epoch");
        revoke(&store, &token("new", 10)).unwrap();
        drop(store);
        assert!(
            sample.open(directory, Loss::Refused).is_ok(),
            "{what}: it does not come to rest"
        );
    }
}

/// The number of rounds; ten times as many with `PORTCULLIS_LONG=1`.
fn rounds(short: usize) -> usize {
    match std::env::var_os("PORTCULLIS_LONG") {
        Some(_) => short * 10,
        None => short,
    }
}

#[test]
fn no_bit_that_flips_loses_a_revocation_in_silence() {
    let ways = [false, true].into_iter();
    let ways = ways.flat_map(|is_killed| [0, CHECKED_BYTES].map(|bytes| (is_killed, bytes)));
    for (seed, (is_killed, checked_bytes)) in (0x5eed..).zip(ways) {
        let mut sample = Sample::make(is_killed);
        sample.checked_bytes = checked_bytes;
        let mut random = Random(seed);
        let mut count = Count::default();
        for round in 0..rounds(30) {
            let bit = random.index(sample.store.len() * 8);
            let what = format!("round {round}, bit {bit}");
            let (directory, changed) = sample.put(|store| store[bit / 8] ^= 1 << (bit % 8));
            count.open(&sample, directory.path(), &changed, &what);
        }
        // In the header, where a bit decides which commit is the last one.
        for _ in 0..rounds(20) {
            let bit = random.index(320 * 8);
            let what = format!("bit {bit} of the header");
            let (directory, changed) = sample.put(|store| store[bit / 8] ^= 1 << (bit % 8));
            count.open(&sample, directory.path(), &changed, &what);
        }
        println!(
            "{} bytes, killed {is_killed}, checked {checked_bytes}: {count:?}",
            sample.store.len()
        );
        assert!(
            count.whole > 0 && count.refused + count.unreadable > 0,
            "{count:?}"
        );
    }
}

#[test]
fn no_store_that_was_cut_loses_a_revocation_in_silence() {
    let sample = Sample::make(false);
    let mut random = Random(0xc0de);
    let mut count = Count::default();
    let ends = (0..rounds(30)).map(|round| match round % 3 {
        0 => random.index(sample.store.len()),
        1 => random.index(sample.store.len() / 4096) * 4096,
        _ => random.index(8_192),
    });
    for end in [0, 1, 4096].into_iter().chain(ends) {
        let (directory, changed) = sample.put(|store| store.truncate(end));
        count.open(
            &sample,
            directory.path(),
            &changed,
            &format!("cut at {end}"),
        );
    }
    println!("{count:?}");
    assert_eq!(count.whole, 0);
}

#[test]
fn a_store_that_is_gone_or_empty_is_none_that_never_was() {
    let sample = Sample::make(false);
    for is_empty in [true, false] {
        let (directory, _) = sample.put(Vec::clear);
        let path = directory.path().join(FILE_NAME);
        if !is_empty {
            fs::remove_file(&path).unwrap();
        }
        let refused = open_in(directory.path()).unwrap_err();
        let state = if is_empty { "is empty" } else { "is gone" };
        let said = format!(
            "store `{}` {state}, and 3060 changes with it",
            path.display()
        );
        assert_eq!(refused.to_string(), said);
        assert_eq!(path.exists(), is_empty, "nothing is made in its place");
        let store = open_with(directory.path(), Loss::Accepted).unwrap();
        assert_eq!(store.head().unwrap(), Head::EMPTY);
    }
}

/// One of two slots in the file's header is the last commit, and one bit says which.
#[test]
fn a_header_that_names_an_earlier_commit_says_what_is_lacking() {
    for is_killed in [false, true] {
        let mut sample = Sample::make(is_killed);
        for checked_bytes in [0, CHECKED_BYTES] {
            sample.checked_bytes = checked_bytes;
            let (directory, changed) = sample.put(|store| store[9] ^= 1);
            if is_killed {
                let refused = sample.open(directory.path(), Loss::Refused).unwrap_err();
                let text = refused.to_string();
                assert!(text.ends_with(" changes, in 1 commit"), "{text}");
            }
            // After an orderly end, the commit before the last has everything too.
            let mut count = Count::default();
            count.open(&sample, directory.path(), &changed, "the other slot");
            assert_eq!(count.refused, usize::from(is_killed), "{count:?}");
        }
    }
}

#[test]
fn a_copy_of_an_earlier_state_opens_and_begins_an_epoch() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path()).unwrap();
    begin_epoch(&store);
    let path = directory.path().join(FILE_NAME);
    let earlier = fs::read(&path).unwrap();
    revoke(&store, &session("b", 10)).unwrap();
    revoke(&store, &session("c", 10)).unwrap();
    drop(store);
    fs::write(&path, earlier).unwrap();
    for opening in ["first", "second"] {
        let store = open_in(directory.path()).unwrap();
        assert_eq!(store.head().unwrap().sequence, 1, "{opening}");
        assert_eq!(store.kept().unwrap(), Some(Epoch(NOW)), "{opening}");
    }
}

/// Otherwise the next start would see nothing missing, and give out sequence numbers a second time
/// in the old epoch.
#[test]
fn what_is_missing_is_given_up_only_once_the_new_epoch_is_on_the_disk() {
    let directory = tempfile::tempdir().unwrap();
    let store = open_in(directory.path()).unwrap();
    // An epoch that cannot be read is one that cannot be renewed.
    store
        .commit(NOW, |writing| writing.keep(&BrokenEpoch))
        .unwrap();
    let path = directory.path().join(FILE_NAME);
    let earlier = fs::read(&path).unwrap();
    revoke(&store, &session("a", 10)).unwrap();
    drop(store);
    fs::write(&path, earlier).unwrap();
    let mark = fs::read(directory.path().join(MARK)).unwrap();
    for _ in 0..2 {
        let refused = open_in(directory.path());
        assert!(matches!(refused, Err(StoreError::Row)), "{refused:?}");
        assert_eq!(fs::read(directory.path().join(MARK)).unwrap(), mark);
    }
}

#[test]
fn a_backup_that_replaces_the_store_opens_and_begins_an_epoch_when_it_is_older() {
    for is_older in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let store = open_in(directory.path()).unwrap();
        begin_epoch(&store);
        let backup = store.back_up(&|| false).unwrap().path;
        if is_older {
            revoke(&store, &session("b", 10)).unwrap();
        }
        drop(store);
        fs::rename(backup, directory.path().join(FILE_NAME)).unwrap();
        let store = open_in(directory.path()).unwrap();
        assert_eq!(store.index().entry_count(), 1);
        let epoch = if is_older { NOW } else { 77 };
        assert_eq!(store.kept().unwrap(), Some(Epoch(epoch)), "{is_older}");
    }
}

/// Opening a badly damaged store must not take long: operators and restart loops wait for the
/// error.
#[test]
fn what_is_left_of_a_large_table_is_not_counted_for_ever() {
    let (directory, store) = open();
    revoke_all(&store, &["a", "b", "c"].map(|value| session(value, 10)));
    store
        .commit(NOW, |writing| writing.keep(&SomeKeys))
        .unwrap();
    // As when the root is damaged: nothing in it can be read.
    Embedded::under(&store)
        .with(|database| {
            let transaction = begin_write(database)?;
            transaction.delete_table(tables::ENTRIES).map_err(failed)?;
            transaction.commit().map_err(failed)
        })
        .unwrap();
    drop(store);
    let path = directory.path().join(FILE_NAME);
    let guard = file::guard(&path).unwrap();
    let said = mark::Said::Was(Standing {
        store: [0; 16],
        commits: 9,
        sequence: 20_000_000,
    });
    let damage = salvage::Wreck::assess(&path, &guard, said).unwrap();
    let expected = Damage::Changed {
        lost: Some(3),
        left: 0,
        is_all: false,
    };
    assert_eq!(damage, expected);
    assert!(damage.to_string().contains("at least 0 of 3"), "{damage}");
}

#[test]
fn a_mark_that_cannot_be_read_keeps_no_whole_store_from_opening() {
    let sample = Sample::make(false);
    let (directory, _) = sample.put(|_| ());
    fs::write(directory.path().join(MARK), "something else").unwrap();
    let store = open_in(directory.path()).unwrap();
    assert_eq!(Facts::of(&store), sample.facts);
    drop(store);
    fs::write(directory.path().join(MARK), "something else").unwrap();
    fs::remove_file(directory.path().join(FILE_NAME)).unwrap();
    assert!(open_in(directory.path()).unwrap_err().is_loss());
}

#[test]
fn no_backup_is_made_of_a_store_that_is_damaged_while_it_is_in_use() {
    let sample = Sample::make(false);
    let (directory, _) = sample.put(|_| ());
    let opening = Opening {
        // So that rows are read from the file.
        cache_bytes: 0,
        ..opening(Loss::Refused)
    };
    let store = Store::open(directory.path(), opening).unwrap();
    let path = directory.path().join(FILE_NAME);
    let text = fs::read(&path).unwrap();
    let name = b"session1234";
    let offsets = (0..text.len() - name.len()).filter(|start| text[*start..].starts_with(name));
    let file = OpenOptions::new().write(true).open(&path).unwrap();
    for offset in offsets {
        file.write_all_at(b"S", offset as u64).unwrap();
    }
    let refused = store.back_up(&|| false);
    assert!(matches!(refused, Err(StoreError::Row)), "{refused:?}");
    let listed = store.list(&Filter::default(), None, 10_000);
    assert!(matches!(listed, Err(StoreError::Row)), "{listed:?}");
    let name = name_of(&store, Kind::Session, "session1234");
    assert!(store.entry(name).is_err());
}
