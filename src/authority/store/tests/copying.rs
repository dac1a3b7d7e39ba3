//! The contract of copies, on every pair of engines.

use std::cell::Cell;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::conformance::{InDatabase, Kept as _};
use super::postgres_server::{Server, has_postgres};
use super::*;
use crate::authority::entry::Entry;
use crate::authority::store::copying::{
    Copied, CopyError, Next, PAGE, Part, Reading, Source, Target, Whole, copy,
};
use crate::authority::store::embedded::tests::opening;

/// More than two pages.
const ENTRIES: usize = 2 * PAGE + 7;

fn fill(store: &Store) {
    let token = |number: usize| Revocation {
        subject: (!number.is_multiple_of(3)).then(|| format!("u{}", number % 100)),
        ..revocation(Kind::Token, &format!("t{number}"), 1_000)
    };
    let tokens: Vec<Revocation> = (0..ENTRIES).map(token).collect();
    revoke_all(store, &tokens);
    let cut_off = Revocation {
        not_before: time(10),
        except_session: Some("s".into()),
        ..revocation(Kind::Subject, "u1", 1_000)
    };
    let mut elsewhere = revocation(Kind::Session, "short", 1);
    elsewhere.target.issuer = "https://other.example".into();
    let short = elsewhere.target.fingerprint(&store.filter_key());
    revoke_all(store, &[cut_off, elsewhere]);
    store
        .commit(NOW, |writing| {
            writing.restore(&restoration(Kind::Token, "t5"))?;
            writing.keep(&Epoch(7))?;
            writing.keep(&GenerationNumber(8))?;
            writing.keep(&CompleteImport(Some(2)))?;
            writing.stage(0, b"first")?;
            writing.stage(1, b"second")
        })
        .unwrap();
    // An issuer of which nothing is left.
    let dropped = store.commit(NOW + 5_000, |writing| writing.drop_expired(&[short]));
    dropped.unwrap();
}

fn expect_same(store: &Store, other: &Store) {
    assert_eq!(store.filter_key(), other.filter_key());
    assert_eq!(store.head().unwrap(), other.head().unwrap());
    assert_eq!(store.log(0).unwrap(), other.log(0).unwrap());
    for store in [store, other] {
        assert_eq!(store.kept().unwrap(), Some(Epoch(7)));
        assert_eq!(store.kept().unwrap(), Some(GenerationNumber(8)));
        assert_eq!(store.kept().unwrap(), Some(CompleteImport(Some(2))));
        assert_eq!(store.staged(0).unwrap(), Some((0, b"first".to_vec())));
        assert_eq!(store.staged(1).unwrap(), Some((1, b"second".to_vec())));
        assert_eq!(store.staged(2).unwrap(), None);
        let issuer = store.issuer("https://other.example").unwrap();
        assert_eq!(issuer, KnownIssuer::Same);
    }
    let owned = Filter {
        subject: Some("u1".into()),
        include_restored: true,
        ..Filter::default()
    };
    let all = Filter {
        include_restored: true,
        ..Filter::default()
    };
    for filter in [owned, all] {
        let [one, two] =
            [store, other].map(|store| store.list(&filter, None, 2 * ENTRIES).unwrap().entries);
        assert!(one.len() > 3 && one == two);
    }
    let restored = name_of(store, Kind::Token, "t5");
    let revoked = name_of(store, Kind::Token, "t6");
    for store in [store, other] {
        assert!(store.index().revokes(restored, None, time(2)).is_none());
        assert!(store.index().revokes(revoked, None, time(2)).is_some());
    }
}

fn on_disk(directory: &Path) -> Store {
    open_after_another(directory, opening(Loss::Refused)).unwrap()
}

fn at(directory: &Path) -> StorePlace {
    StorePlace::Directory(directory.to_owned())
}

fn in_database(url: &str) -> StorePlace {
    StorePlace::Database(Box::new(url.parse().unwrap()))
}

fn quiet() -> impl FnMut(CopyProgress) {
    |_| {}
}

fn error(result: Result<Copied, StoreError>) -> CopyError {
    match result {
        Err(StoreError::Copy(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_copy_there_and_back_is_what_was_copied() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("there");
    let database = in_database(&url);
    let second = in_database(&server.database("further"));
    let [first, back] = [(); 2].map(|()| tempfile::tempdir().unwrap());
    fill(&on_disk(first.path()));
    let (mut written, mut compared) = (0, 0);
    let copied = copy_store(
        &at(first.path()),
        &database,
        &mut |progress| match progress {
            CopyProgress::Written(copied) => written = copied.rows(),
            CopyProgress::Compared(copied) => compared = copied.rows(),
        },
    );
    let copied = copied.unwrap();
    let expected = Copied {
        // Without the one that has expired.
        entries: ENTRIES as u64 + 1,
        owners: copied.owners,
        issuers: 2,
        changes: ENTRIES as u64 + 3,
        settings: 3,
        staged: 2,
        sequence: ENTRIES as u64 + 3,
    };
    assert_eq!(copied, expected);
    assert!(copied.owners > ENTRIES as u64 / 2);
    assert_eq!((written, compared), (copied.rows(), copied.rows()));
    for (from, to) in [(&database, &second), (&second, &at(back.path()))] {
        assert_eq!(copy_store(from, to, &mut quiet()).unwrap(), copied);
    }
    let kept = InDatabase::at(&url);
    let (first, there, back) = (on_disk(first.path()), kept.open(), on_disk(back.path()));
    expect_same(&first, &there);
    expect_same(&first, &back);
    // All of them go on from there, with the same changes.
    for store in [&first, &there, &back] {
        revoke(store, &revocation(Kind::Session, "new", 10)).unwrap();
        let again = store.commit(NOW, |writing| {
            writing.restore(&restoration(Kind::Token, "t8"))
        });
        again.unwrap();
    }
    expect_same(&first, &there);
    expect_same(&first, &back);
}

#[test]
fn nothing_is_copied_from_nothing_nor_over_anything() {
    let directories = [(); 4].map(|()| tempfile::tempdir().unwrap());
    let [full, empty, lost, target] = directories.each_ref().map(tempfile::TempDir::path);
    fill(&on_disk(full));
    drop(on_disk(lost));
    std::fs::remove_file(lost.join(FILE_NAME)).unwrap();
    let mut refusals = vec![
        (at(empty), at(target), false),
        (at(lost), at(target), false),
        (at(full), at(full), true),
        (at(full), at(lost), true),
    ];
    let server = has_postgres().then(Server::start);
    if let Some(server) = &server {
        let database = |name| in_database(&server.database(name));
        let (without, tables, used) = (database("without"), database("tables"), database("used"));
        Database::migrate(server.url("tables").parse().unwrap()).unwrap();
        drop(
            InDatabase::at(&server.url("used"))
                .open()
                .commit(NOW, |writing| writing.keep(&Epoch(7))),
        );
        refusals.extend([
            (without, at(target), false),
            (tables, at(target), false),
            (at(full), used, true),
        ]);
    }
    for (from, to, is_full) in refusals {
        let refused = copy_store(&from, &to, &mut quiet());
        let is_expected = match &refused {
            // One that is copied into itself is held by its own copy.
            Err(StoreError::Copy(CopyError::NotEmpty(_)) | StoreError::InUse { .. }) => is_full,
            Err(StoreError::Copy(CopyError::Nothing(_))) => !is_full,
            _ => false,
        };
        assert!(is_expected, "{from:?} to {to:?}: {refused:?}");
    }
    // None of that has begun anything.
    assert!(!target.join(FILE_NAME).exists() && !empty.join("authority.mark").exists());
    copy_store(&at(full), &at(target), &mut quiet()).unwrap();
}

#[test]
fn a_directory_that_is_in_use_is_neither_copied_nor_copied_into() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [used, other] = directories.each_ref().map(tempfile::TempDir::path);
    let store = on_disk(used);
    for (from, to) in [(used, other), (other, used)] {
        let refused = copy_store(&at(from), &at(to), &mut quiet());
        let is_refused = matches!(
            refused,
            Err(StoreError::InUse { .. } | StoreError::Copy(CopyError::Nothing(_)))
        );
        assert!(is_refused, "{refused:?}");
    }
    drop(store);
}

/// What happens to a store while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Trouble {
    /// Reading fails in the middle.
    Fails,
    /// An authority writes to it.
    Changes,
}

struct Troubled<'s> {
    source: &'s dyn Source,
    trouble: Trouble,
    reads: AtomicUsize,
}

struct TroubledWhole<'w> {
    whole: &'w dyn Whole,
    trouble: Trouble,
    read: usize,
}

impl Source for Troubled<'_> {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        let read = self.reads.fetch_add(1, Ordering::SeqCst);
        self.source.read(&mut |whole| {
            work(&TroubledWhole {
                whole,
                trouble: self.trouble,
                read,
            })
        })
    }
}

impl Whole for TroubledWhole<'_> {
    fn filter_key(&self) -> Result<FilterKey, StoreError> {
        self.whole.filter_key()
    }

    fn head(&self) -> Result<Head, StoreError> {
        let mut head = self.whole.head()?;
        // The key is read first, then everything, and at the end how far it has come.
        if self.trouble == Trouble::Changes && self.read == 2 {
            head.sequence += 1;
        }
        Ok(head)
    }

    fn settings(&self) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        self.whole.settings()
    }

    fn issuers(&self) -> Result<Vec<String>, StoreError> {
        self.whole.issuers()
    }

    fn staged(&self, number: u64) -> Result<Option<(u64, Vec<u8>)>, StoreError> {
        self.whole.staged(number)
    }

    fn changes(&self, first: u64) -> Result<Vec<(u64, Change, Chain)>, StoreError> {
        self.whole.changes(first)
    }

    fn entries(&self, first: u64) -> Result<Vec<(Fingerprint, Entry)>, StoreError> {
        if self.trouble == Trouble::Fails && first > PAGE as u64 {
            return Err(StoreError::Row);
        }
        self.whole.entries(first)
    }

    fn owners(
        &self,
        after: Option<(Fingerprint, Fingerprint)>,
    ) -> Result<Vec<(Fingerprint, Fingerprint)>, StoreError> {
        self.whole.owners(after)
    }
}

/// One whose disk loses the last entry.
struct Forgetful(Box<dyn Target>);

impl Source for Forgetful {
    fn read(&self, work: Reading<'_>) -> Result<(), StoreError> {
        self.0.read(work)
    }
}

impl Target for Forgetful {
    fn fill(&mut self, key: FilterKey, next: Next<'_>) -> Result<(), StoreError> {
        self.0.fill(key, &mut || {
            let mut part = next()?;
            if let Some(Part::Entries(entries)) = &mut part {
                entries.pop();
            }
            Ok(part)
        })
    }

    fn keep(self: Box<Self>) -> Result<(), StoreError> {
        self.0.keep()
    }
}

#[test]
fn a_copy_that_breaks_off_leaves_no_store_and_can_be_begun_again() {
    let full = tempfile::tempdir().unwrap();
    fill(&on_disk(full.path()));
    let original = embedded::Original::open(full.path()).unwrap();
    let target = tempfile::tempdir().unwrap();
    let fresh = || embedded::Fresh::open(target.path()).map(|fresh| Box::new(fresh) as _);
    break_off(&original, &fresh, &|| {
        Store::open(target.path(), opening(Loss::Refused)).map(drop)
    });
    let store = on_disk(target.path());
    drop(original);
    expect_same(&on_disk(full.path()), &store);
    if !has_postgres() {
        return;
    }
    drop(store);
    let server = Server::start();
    let url = server.database("broken");
    let address = || url.parse::<DatabaseAddress>().unwrap();
    let original = embedded::Original::open(full.path()).unwrap();
    let fresh = || super::super::postgres::Fresh::open(address()).map(|fresh| Box::new(fresh) as _);
    break_off(&original, &fresh, &|| Database::open(address()).map(drop));
    drop(original);
    let kept = InDatabase::at(&url);
    expect_same(&on_disk(full.path()), &kept.open());
}

/// In every way, and at last not.
fn break_off(
    original: &dyn Source,
    fresh: &dyn Fn() -> Result<Box<dyn Target>, StoreError>,
    open: &dyn Fn() -> Result<(), StoreError>,
) {
    let troubled = |trouble| Troubled {
        source: original,
        trouble,
        reads: AtomicUsize::new(0),
    };
    let expect_none = || {
        let refused = open();
        let is_begun = matches!(refused, Err(StoreError::Copy(CopyError::BrokenOff(_))));
        assert!(is_begun, "{refused:?}");
    };
    // As when the process is killed.
    let begun = Cell::new(0);
    let broken = fresh().unwrap().fill(FilterKey::new([7; 16]), &mut || {
        begun.set(begun.get() + 1);
        match begun.get() {
            1 => Ok(Some(Part::Issuers(vec!["https://issuer.example".into()]))),
            _ => Err(StoreError::Closed),
        }
    });
    assert!(matches!(broken, Err(StoreError::Closed)), "{broken:?}");
    expect_none();
    let failed = copy(&troubled(Trouble::Fails), fresh().unwrap(), &mut quiet());
    assert!(matches!(failed, Err(StoreError::Row)), "{failed:?}");
    expect_none();
    let changed = copy(&troubled(Trouble::Changes), fresh().unwrap(), &mut quiet());
    assert_eq!(error(changed), CopyError::Changed);
    expect_none();
    let forgetful = Box::new(Forgetful(fresh().unwrap()));
    let differs = copy(original, forgetful, &mut quiet());
    assert_eq!(error(differs), CopyError::Differs("entries"));
    expect_none();
    copy(original, fresh().unwrap(), &mut quiet()).unwrap();
    open().unwrap();
}

#[test]
fn a_damaged_store_is_not_copied() {
    let directories = [(); 2].map(|()| tempfile::tempdir().unwrap());
    let [full, target] = directories.each_ref().map(tempfile::TempDir::path);
    let store = on_disk(full);
    fill(&store);
    store.damage(name_of(&store, Kind::Token, "t7"));
    drop(store);
    let before = std::fs::read(full.join(FILE_NAME)).unwrap();
    let refused = copy_store(&at(full), &at(target), &mut quiet()).unwrap_err();
    assert!(refused.is_loss(), "{refused:?}");
    assert_eq!(std::fs::read(full.join(FILE_NAME)).unwrap(), before);
}
