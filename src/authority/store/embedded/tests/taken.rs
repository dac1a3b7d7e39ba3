//! The file of a store is taken away, or another takes its path, while the store is in use.

use std::fs::{self, OpenOptions};
use std::os::unix::fs::FileExt as _;
use std::path::PathBuf;

use super::*;

/// What may happen to the file of a store that is in use, and how it is reported.
type Mishap = (&'static str, fn(&Path), Taken);

fn mishaps() -> Vec<Mishap> {
    vec![
        (
            "removed",
            |path| fs::remove_file(path).unwrap(),
            Taken::Removed,
        ),
        (
            "renamed",
            |path| fs::rename(path, aside(path)).unwrap(),
            Taken::Removed,
        ),
        (
            "replaced by a copy of itself",
            |path| {
                fs::copy(path, aside(path)).unwrap();
                fs::rename(aside(path), path).unwrap();
            },
            Taken::Replaced,
        ),
        (
            "cut to nothing",
            |path| {
                OpenOptions::new()
                    .write(true)
                    .open(path)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
            },
            Taken::Resized,
        ),
        (
            "written over by another store of the same length",
            |path| {
                let file = OpenOptions::new()
                    .read(true)
                    .write(true)
                    .open(path)
                    .unwrap();
                let mut header = [0; 320];
                file.read_exact_at(&mut header, 0).unwrap();
                header[200] ^= 1;
                file.write_all_at(&header, 0).unwrap();
            },
            Taken::Overwritten,
        ),
    ]
}

fn aside(path: &Path) -> PathBuf {
    path.with_extension("aside")
}

#[test]
fn nothing_is_acknowledged_once_the_file_is_not_what_its_path_names() {
    for (what, mishap, expected) in mishaps() {
        let (directory, store) = open();
        revoke(&store, &token("a", 10)).unwrap();
        mishap(&directory.path().join(FILE_NAME));
        for _ in 0..2 {
            let refused = revoke(&store, &token("b", 10));
            let how = match refused {
                Err(StoreError::Taken { how, .. }) => how,
                other => panic!("{what}: {other:?}"),
            };
            assert_eq!(how, expected, "{what}");
            assert!(store.recover().is_err(), "{what}");
        }
        let name = |value| name_of(&store, Kind::Token, value);
        assert!(
            store.index().revokes(name("a"), None, time(1)).is_some(),
            "{what}"
        );
        assert!(
            store.index().revokes(name("b"), None, time(1)).is_none(),
            "{what}"
        );
    }
}

#[test]
fn a_file_that_is_put_back_is_gone_on_with() {
    let (directory, store) = open();
    revoke(&store, &token("a", 10)).unwrap();
    let path = directory.path().join(FILE_NAME);
    fs::rename(&path, aside(&path)).unwrap();
    assert!(revoke(&store, &token("b", 10)).is_err());
    fs::rename(aside(&path), &path).unwrap();
    assert!(store.recover().unwrap().is_empty());
    // The writer may find it back before anything else looks; only a commit shows that it serves.
    assert!(store.check().is_ok() && store.awaits_commit());
    revoke(&store, &token("b", 10)).unwrap();
    assert!(!store.awaits_commit());
    drop(store);
    assert_eq!(open_in(directory.path()).unwrap().index().entry_count(), 2);
}

#[test]
fn a_directory_whose_mark_was_taken_is_not_written_to() {
    let (directory, store) = open();
    fs::remove_file(directory.path().join(MARK)).unwrap();
    let refused = revoke(&store, &token("a", 10));
    assert!(
        matches!(refused, Err(StoreError::Taken { .. })),
        "{refused:?}"
    );
}
