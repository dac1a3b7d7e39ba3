//! A copy of the store, made while it is in use.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use serde_json::{Value, json};

use super::import::lines_named;
use super::process::{Authority, directory, revocation, until};

fn everything(authority: &Authority) -> Value {
    let path = "/v1/revocations?include_restored=true&limit=1000";
    authority.get(path).json()["entries"].clone()
}

fn restore(backup: &[u8], directory: &Path) {
    fs::create_dir(directory.join("data")).unwrap();
    fs::write(directory.join("data/authority.redb"), backup).unwrap();
}

#[test]
fn a_backup_brings_everything_back_as_it_was_when_it_was_made() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (kind, value) in [("session", "s"), ("subject", "u"), ("token", "t")] {
        let mut request = revocation(kind, value);
        request["actor"] = "alice".into();
        request["reason"] = "lost telephone".into();
        request["subject"] = "whose".into();
        if kind == "subject" {
            request["except_session"] = "spared".into();
            request.as_object_mut().unwrap().remove("subject");
        }
        let answer = authority.post("/v1/revocations", &request);
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    authority.post("/v1/restorations", &revocation("token", "t"));
    let lines = lines_named("many", 500);
    authority.post_text("/v1/import", "application/x-ndjson", &lines);
    let before = (
        everything(&authority),
        authority.get("/v1/feed/keys").json(),
    );
    let (epoch, sequence) = (&authority.stats()["epoch"], &authority.stats()["sequence"]);

    let output = authority.command(&["backup"]);
    assert!(output.status.success(), "{output:?}");
    let path = String::from_utf8(output.stdout).unwrap();
    let path = path.trim();
    let mode = fs::metadata(path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(authority.revoke("session", "later").status, 200);
    // The next copy replaces the last.
    let second = authority.post("/v1/backup", &json!({})).json();
    assert_eq!(second["sequence"], sequence.as_u64().unwrap() + 1);
    assert_eq!(second["path"], path);
    let second = fs::read(path).unwrap();
    assert_eq!(authority.post("/v1/backup", &json!({})).status, 200);
    authority.kill();

    let other = super::process::directory();
    restore(&second, other.path());
    let authority = Authority::start(other.path());
    let unrevoked = authority.post("/v1/restorations", &revocation("session", "later"));
    assert_eq!(unrevoked.status, 200);
    let mut found = everything(&authority);
    let later = found.as_array_mut().unwrap().remove(0);
    assert_eq!(later["value"], "later");
    assert_eq!((found, authority.get("/v1/feed/keys").json()), before);
    assert_eq!(&authority.stats()["epoch"], epoch);
    assert!(authority.is_session_revoked("many499"));
}

#[test]
fn a_backup_holds_exactly_what_was_written_up_to_the_number_that_it_names() {
    const BEFORE: usize = 20_000;
    let directory = directory();
    let authority = Authority::start(directory.path());
    let lines = lines_named("many", BEFORE);
    authority.post_text("/v1/import", "application/x-ndjson", &lines);
    let (written, is_over) = (AtomicUsize::new(0), AtomicBool::new(false));
    let (during, backup) = thread::scope(|scope| {
        // One at a time, so that the number of each is known.
        scope.spawn(|| {
            while !is_over.load(Ordering::SeqCst) {
                let name = format!("stream{}", written.load(Ordering::SeqCst));
                assert_eq!(authority.revoke("session", &name).status, 200);
                written.fetch_add(1, Ordering::SeqCst);
            }
        });
        let more = |than: usize| until(|| written.load(Ordering::SeqCst) > than + 5);
        more(0);
        let begin = written.load(Ordering::SeqCst);
        let backup = authority.post("/v1/backup", &json!({}));
        let end = written.load(Ordering::SeqCst);
        more(end);
        is_over.store(true, Ordering::SeqCst);
        (begin..=end + 1, backup)
    });
    assert_eq!(backup.status, 200, "{backup:?}");
    let backup = backup.json();
    let sequence = usize::try_from(backup["sequence"].as_u64().unwrap()).unwrap();
    let streamed = sequence - BEFORE;
    assert!(during.contains(&streamed), "{streamed}, {during:?}");
    assert!(written.into_inner() > streamed, "nothing came after it");

    let other = super::process::directory();
    let copy = fs::read(backup["path"].as_str().unwrap()).unwrap();
    restore(&copy, other.path());
    let restored = Authority::start(other.path());
    let stats = restored.stats();
    assert_eq!(
        (&stats["sequence"], &stats["entries"]),
        (&sequence.into(), &sequence.into())
    );
    let newest = everything(&restored);
    let newest: Vec<&str> = newest
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["value"].as_str().unwrap())
        .take(streamed)
        .collect();
    // A page holds the newest thousand.
    let expected: Vec<String> = (0..streamed)
        .rev()
        .take(1_000)
        .map(|number| format!("stream{number}"))
        .collect();
    assert_eq!(newest, expected);
    for (name, is_there) in [
        ("many0".to_owned(), true),
        (format!("many{}", BEFORE - 1), true),
        ("stream0".to_owned(), true),
        (format!("stream{}", streamed - 1), true),
        (format!("stream{streamed}"), false),
    ] {
        assert_eq!(restored.is_session_revoked(&name), is_there, "{name}");
    }
}

#[test]
fn a_backup_that_cannot_be_made_is_no_fault_of_the_store() {
    let directory = directory();
    // Nothing that can be removed as a file can.
    let in_the_way = directory.path().join("data/backup.unfinished");
    fs::create_dir_all(&in_the_way).unwrap();
    let authority = Authority::start(directory.path());
    until(|| authority.log().contains("what is left of a backup"));
    let refused = authority.post("/v1/backup", &json!({}));
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json()["code"], "backup_failed");
    let path = in_the_way.to_str().unwrap();
    assert!(!String::from_utf8(refused.bytes).unwrap().contains(path));
    until(|| authority.log().contains("could not make a backup"));
    assert_eq!(authority.revoke("session", "s").status, 200);
    assert_eq!(authority.stats()["store_writable"], true);
    fs::remove_dir(in_the_way).unwrap();
    assert_eq!(authority.post("/v1/backup", &json!({})).status, 200);
}
