//! `portcullis copy`, with real processes: from a directory into a database and back, and edges go on.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use portcullis::revocation::{Batch, Chain, Change};
use serde_json::{Value, json};

use super::import::lines_named;
use super::postgres::{Server, has_postgres};
use super::process::{Authority, binary, directory};

/// What is copied.
const ENTRIES: usize = 20_000;

struct Said {
    code: Option<i32>,
    output: String,
    errors: String,
}

fn copy(arguments: &[&str]) -> Said {
    let output = Command::new(binary())
        .arg("copy")
        .args(arguments)
        .output()
        .unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Said {
        code: output.status.code(),
        output: text(&output.stdout),
        errors: text(&output.stderr),
    }
}

#[track_caller]
fn refused(said: &Said, code: i32, expected: &[&str]) {
    assert_eq!(said.code, Some(code), "{}", said.errors);
    for expected in expected {
        assert!(
            said.errors.contains(expected),
            "{expected}: {}",
            said.errors
        );
    }
    assert_eq!(said.output, "");
}

/// As an authority that is started there has it.
fn data(directory: &Path) -> PathBuf {
    directory.join("data")
}

fn redb(directory: &Path) -> String {
    format!("redb:{}", data(directory).display())
}

/// What has to be the same for edges, and all entries.
fn seen(authority: &Authority) -> Value {
    let stats = authority.stats();
    let manifest = authority.manifest();
    assert!(authority.is_session_revoked("s1") && !authority.is_session_revoked("restored"));
    let kept = ["entries", "sequence", "epoch", "feed_keys"].map(|name| stats[name].clone());
    let key = format!("{:02x?}", manifest.filter_key.bytes());
    json!([kept, key])
}

/// As an edge asks that has come so far, before the authority was another.
fn changes_after(authority: &Authority, epoch: u64, sequence: u64) -> (Chain, Vec<Change>) {
    let path = format!("/v1/feed/deltas?epoch={epoch}&after={sequence}&nonce=77&wait=0");
    let answer = authority.get(&path);
    assert_eq!(answer.status, 200, "{answer:?}");
    let batch = Batch::decode(&answer.bytes, &authority.public_keys()).unwrap();
    (batch.chain, batch.changes)
}

fn stop(mut authority: Authority) {
    authority.signal("TERM");
    authority.wait();
}

#[test]
fn a_store_goes_into_a_database_and_back_and_edges_go_on() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("there");
    let directories = [(); 4].map(|()| directory());
    let [first, beside, back, keys] = directories.each_ref().map(tempfile::TempDir::path);
    let key = keys.join("key");
    std::fs::write(&key, "A".repeat(43)).unwrap();
    std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o600)).unwrap();
    let key = key.to_str().unwrap();

    let authority = Authority::start(first);
    let lines = lines_named("s", ENTRIES);
    let imported = authority.post_text("/v1/import", "application/x-ndjson", &lines);
    assert_eq!(imported.status, 200, "{imported:?}");
    authority.revoke("session", "restored");
    let restored =
        json!({"kind": "session", "issuer": super::process::ISSUER, "value": "restored"});
    assert_eq!(authority.post("/v1/restorations", &restored).status, 200);
    let before = seen(&authority);
    let (epoch, sequence) = {
        let stats = authority.stats();
        (
            stats["epoch"].as_u64().unwrap(),
            stats["sequence"].as_u64().unwrap(),
        )
    };
    let last = changes_after(&authority, epoch, sequence - 1);
    assert_eq!(last.1.len(), 1);
    let busy = copy(&["--from", &redb(first), "--to", &url]);
    refused(&busy, 1, &["is in use by"]);
    stop(authority);

    let there = copy(&["--from", &redb(first), "--to", &url, "--secret-key", key]);
    assert_eq!(there.code, Some(0), "{}", there.errors);
    let counts = format!(
        "entries {}, owners 0, issuers 1, changes {sequence}",
        ENTRIES + 1
    );
    assert!(there.output.contains(&counts), "{}", there.output);
    for said in ["copied", "compared"] {
        let line = there.errors.lines().find(|line| line.starts_with(said));
        let line = line.unwrap_or_else(|| panic!("{}", there.errors));
        assert!(
            line.contains(" rows in ") && line.ends_with(" a second"),
            "{line}"
        );
    }
    let again = copy(&["--from", &redb(first), "--to", &url, "--secret-key", key]);
    refused(&again, 1, &["has a store in it already"]);
    let without = copy(&["--from", &url, "--to", &redb(back)]);
    refused(&without, 1, &["is encrypted", "--secret-key"]);

    // One that was told of everything before goes on in the same epoch, with the next change.
    let on_database = ["--store", &url, "--secret-key", key];
    let authority = Authority::start_with(beside, &on_database);
    assert_eq!(seen(&authority), before);
    assert_eq!(changes_after(&authority, epoch, sequence - 1), last);
    authority.revoke("session", "in the database");
    let (chain, changes) = changes_after(&authority, epoch, sequence);
    assert_eq!(changes.len(), 1);
    let between = seen(&authority);
    stop(authority);

    let home = copy(&["--from", &url, "--to", &redb(back), "--secret-key", key]);
    assert_eq!(home.code, Some(0), "{}", home.errors);
    let authority = Authority::start(back);
    assert_eq!(seen(&authority), between);
    assert!(authority.is_session_revoked("in the database"));
    authority.revoke("session", "in the directory");
    let after = changes_after(&authority, epoch, sequence);
    assert_eq!((after.0, after.1.len()), (chain, 2));
    stop(authority);
    refused(
        &copy(&["--from", &url, "--to", &redb(back), "--secret-key", key]),
        1,
        &["has a store in it already"],
    );
}

/// A target of a copy that was killed has no store, and is no place to begin with an empty one.
#[test]
fn a_copy_that_is_killed_is_seen_and_begun_again() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let url = server.database("killed");
    let directories = [(); 4].map(|()| directory());
    let [first, beside, back, empty] = directories.each_ref().map(tempfile::TempDir::path);
    let authority = Authority::start(first);
    let lines = lines_named("s", ENTRIES);
    let imported = authority.post_text("/v1/import", "application/x-ndjson", &lines);
    assert_eq!(imported.status, 200, "{imported:?}");
    stop(authority);
    let hint = "begins it anew";
    let from = redb(first);
    let (there, database) = (["--from", &from, "--to", &url], "killed");
    let code = kill_copy(&there, &|| {
        let has_begun = "SELECT to_regclass('portcullis.settings') IS NOT NULL";
        server.ask(database, has_begun) == "t"
            && server.ask(
                database,
                "SELECT count(*) FROM portcullis.settings WHERE name = 'copying'",
            ) == "1"
    });
    let serve = ["serve", "--listen", "127.0.0.1:0", "--data"];
    let run = |arguments: &[&str]| {
        let output = Command::new(binary()).args(serve).args(arguments).output();
        let output = output.unwrap();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(
            errors.contains("has been broken off") && errors.contains(hint),
            "{errors}"
        );
    };
    assert_eq!(code, None, "it was killed");
    run(&[data(beside).to_str().unwrap(), "--store", &url]);
    refused(
        &copy(&["--from", &url, "--to", &redb(back)]),
        1,
        &["has been broken off"],
    );
    let done = copy(&there);
    assert_eq!(done.code, Some(0), "{}", done.errors);

    let to = redb(back);
    let back_again = ["--from", &url, "--to", &to];
    let code = kill_copy(&back_again, &|| {
        data(back).join("authority.copying").exists()
    });
    assert_eq!(code, None, "it was killed");
    run(&[data(back).to_str().unwrap()]);
    let done = copy(&back_again);
    assert_eq!(done.code, Some(0), "{}", done.errors);
    assert!(!data(back).join("authority.copying").exists());
    let authority = Authority::start(back);
    assert!(authority.is_session_revoked("s1"));
    stop(authority);

    let nothing = copy(&["--from", &redb(empty), "--to", &url]);
    refused(&nothing, 1, &["has no store in it"]);
}

/// Kills it as soon as it has begun; its exit code, if it was too fast.
fn kill_copy(arguments: &[&str], has_begun: &dyn Fn() -> bool) -> Option<i32> {
    let mut process = Command::new(binary())
        .arg("copy")
        .args(arguments)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    while !has_begun() {
        if let Some(status) = process.try_wait().unwrap() {
            return status.code();
        }
        thread::sleep(Duration::from_millis(2));
    }
    process.kill().unwrap();
    process.wait().unwrap().code()
}

#[test]
fn a_copy_goes_from_one_kind_of_store_to_the_other() {
    let same = ["redb:a", "postgres://u:s3cret@127.0.0.1:1/d"];
    for place in same {
        let said = copy(&["--from", place, "--to", place]);
        refused(&said, 2, &["redb:DIRECTORY"]);
        assert!(!said.errors.contains("s3cret"));
    }
    let said = copy(&["--from", "redb:a", "--to", "file:b"]);
    refused(&said, 2, &["postgres://"]);
    let said = copy(&["--from", "redb:", "--to", "postgres://u@h/d"]);
    refused(&said, 2, &["behind `redb:`"]);
    let open = directory();
    std::fs::set_permissions(open.path(), std::fs::Permissions::from_mode(0o777)).unwrap();
    let to = format!("redb:{}", open.path().display());
    let said = copy(&["--from", "postgres://u@127.0.0.1:1/d", "--to", &to]);
    refused(&said, 2, &["others may write"]);
}
