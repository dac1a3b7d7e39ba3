//! A store whose file changes by itself, is taken away, or is put back to an earlier state.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use super::process::{Authority, binary, directory, serve, until};

/// The store's file.
pub(crate) fn file(directory: &Path) -> PathBuf {
    directory.join("data/authority.redb")
}

/// The error message of a start that fails.
fn refusal(directory: &Path, arguments: &[&str]) -> String {
    let output = Command::new(binary())
        .args(serve(directory))
        .args(arguments)
        .output()
        .unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// An authority with 20 sessions, all of them acknowledged.
fn filled(directory: &Path) -> Authority {
    let authority = Authority::start(directory);
    for number in 0..20 {
        let answer = authority.revoke("session", &format!("s{number}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    authority
}

#[test]
fn a_damaged_store_is_refused_with_what_is_missing_and_goes_on_when_told_to() {
    let directory = directory();
    let authority = filled(directory.path());
    let before = (authority.stats(), authority.feed_keys.clone());
    authority.kill();
    let file = file(directory.path());
    let mut bytes = fs::read(&file).unwrap();
    let offsets: Vec<usize> = (0..bytes.len() - 3)
        .filter(|start| bytes[*start..].starts_with(b"s13"))
        .collect();
    assert!(!offsets.is_empty());
    for offset in offsets {
        bytes[offset] ^= 0x20;
    }
    fs::write(&file, &bytes).unwrap();
    for _ in 0..2 {
        let stderr = refusal(directory.path(), &[]);
        let said = "is damaged: 1 of 20 entries is missing\n\nhint: put a backup in its place";
        assert!(stderr.contains(said), "{stderr}");
        assert!(stderr.contains("--accept-loss"), "{stderr}");
    }
    assert!(fs::read(&file).unwrap() == bytes, "it was written to");

    let authority = Authority::start_with(directory.path(), &["--accept-loss"]);
    assert!(authority.log().contains("the damaged store is kept"));
    for number in 0..20 {
        let is_revoked = authority.is_session_revoked(&format!("s{number}"));
        assert_eq!(is_revoked, number != 13, "{number}");
    }
    let (stats, keys) = before;
    assert_eq!(authority.feed_keys, keys);
    let epoch = |stats: &serde_json::Value| stats["epoch"].as_u64().unwrap();
    assert!(epoch(&authority.stats()) > epoch(&stats));
    assert_eq!(authority.revoke("session", "s13").status, 200);
    authority.kill();
    // Reported once, and no reason for another epoch.
    let authority = Authority::start_with(directory.path(), &["--accept-loss"]);
    assert!(authority.is_session_revoked("s13"));
    assert!(!authority.log().contains("new epoch"));
}

#[test]
fn a_file_that_is_taken_away_is_noticed_within_a_second_and_nothing_is_acknowledged() {
    type Mishap = fn(&Path);
    let mishaps: [(&str, Mishap, &str); 4] = [
        (
            "removed",
            |file| fs::remove_file(file).unwrap(),
            "was removed",
        ),
        (
            "renamed",
            |file| fs::rename(file, file.with_extension("aside")).unwrap(),
            "was removed or renamed",
        ),
        (
            "replaced",
            |file| {
                let other = file.with_extension("other");
                fs::copy(file, &other).unwrap();
                fs::rename(&other, file).unwrap();
            },
            "was replaced",
        ),
        (
            "cut to nothing",
            |file| {
                fs::OpenOptions::new()
                    .write(true)
                    .open(file)
                    .unwrap()
                    .set_len(0)
                    .unwrap();
            },
            "was cut",
        ),
    ];
    for (what, mishap, said) in mishaps {
        let directory = directory();
        let authority = filled(directory.path());
        until(|| authority.get("/readyz").status == 200);
        mishap(&file(directory.path()));
        let taken = Instant::now();
        until(|| authority.get("/readyz").status == 503);
        assert!(taken.elapsed() < Duration::from_secs(1), "{what}");
        let refused = authority.revoke("session", "meanwhile");
        assert_eq!(refused.status, 503, "{what}");
        assert_eq!(refused.json()["code"], "store_unavailable");
        assert_eq!(authority.stats()["store_writable"], false);
        until(|| authority.log().contains(said));
        // Edges and checks go on.
        assert!(authority.is_session_revoked("s7"), "{what}");
        assert!(!authority.is_session_revoked("meanwhile"), "{what}");
        assert_eq!(authority.manifest_bytes().status, 200);
    }
}

#[test]
fn a_store_that_was_taken_away_is_no_new_one_at_the_next_start() {
    let directory = directory();
    let authority = filled(directory.path());
    assert!(authority.command(&["backup"]).status.success());
    assert_eq!(authority.revoke("session", "later").status, 200);
    let file = file(directory.path());
    fs::rename(&file, file.with_extension("aside")).unwrap();
    until(|| authority.get("/readyz").status == 503);
    authority.kill();
    let stderr = refusal(directory.path(), &[]);
    assert!(
        stderr.contains("is gone, and 21 changes with it"),
        "{stderr}"
    );
    assert!(stderr.contains("--accept-loss"), "{stderr}");
    fs::write(&file, "").unwrap();
    let stderr = refusal(directory.path(), &[]);
    assert!(
        stderr.contains("is empty, and 21 changes with it"),
        "{stderr}"
    );

    // The file itself, put back.
    fs::rename(file.with_extension("aside"), &file).unwrap();
    let authority = Authority::start(directory.path());
    assert!(authority.is_session_revoked("later"));
    let epoch = authority.stats()["epoch"].as_u64().unwrap();
    authority.kill();

    // A backup replaces it.
    fs::rename(file.with_file_name("backup.redb"), &file).unwrap();
    let authority = Authority::start(directory.path());
    assert!(authority.is_session_revoked("s19"));
    assert!(!authority.is_session_revoked("later"));
    assert!(authority.stats()["epoch"].as_u64().unwrap() > epoch);
    assert!(authority.log().contains("a new epoch begins"));
}

#[test]
fn a_file_that_comes_back_is_written_to_again() {
    let directory = directory();
    let authority = filled(directory.path());
    until(|| authority.get("/readyz").status == 200);
    let file = file(directory.path());
    fs::rename(&file, file.with_extension("aside")).unwrap();
    until(|| authority.get("/readyz").status == 503);
    assert_eq!(authority.revoke("session", "meanwhile").status, 503);
    fs::rename(file.with_extension("aside"), &file).unwrap();
    until(|| authority.get("/readyz").status == 200);
    until(|| authority.stats()["store_writable"] == true);
    assert_eq!(authority.revoke("session", "after").status, 200);
    authority.kill();
    let authority = Authority::start(directory.path());
    assert!(authority.is_session_revoked("after"));
    assert!(authority.is_session_revoked("s19"));
}

#[test]
fn a_second_process_does_not_start_on_the_directory() {
    let directory = directory();
    let authority = filled(directory.path());
    let stderr = refusal(directory.path(), &[]);
    let in_use = format!("is in use by process {}", authority.id());
    assert!(stderr.contains(&in_use), "{stderr}");
    // Nor when the file has been moved away meanwhile.
    let file = file(directory.path());
    fs::rename(&file, file.with_extension("aside")).unwrap();
    let stderr = refusal(directory.path(), &["--accept-loss"]);
    assert!(stderr.contains(&in_use), "{stderr}");
    drop(authority);
}
