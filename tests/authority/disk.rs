//! Disks that are full or fail.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use super::import::{begin, lines_named};
use super::process::{Authority, binary, directory, revocation, serve, until};

/// The disk fills up while the lines are staged, and while they are carried out.
#[test]
fn an_import_on_a_full_disk_is_done_whole_or_not_at_all_once_there_is_room() {
    const COUNT: usize = 100_000;
    for is_complete in [false, true] {
        let directory = directory();
        let authority = Authority::start_in_shell(directory.path(), "trap '' XFSZ; exec \"$@\"");
        until(|| authority.get("/readyz").status == 200);
        let entries = || usize::try_from(authority.stats()["entries"].as_u64().unwrap()).unwrap();
        let import = |lines: &str| authority.post_text("/v1/import", "application/x-ndjson", lines);
        let lines = lines_named("first", COUNT);
        if is_complete {
            let answer = thread::scope(|scope| {
                let first = scope.spawn(|| import(&lines));
                until(|| entries() > 0);
                limit_files(&authority, "0");
                first.join().unwrap()
            });
            assert_eq!(answer.status, 503, "{answer:?}");
        } else {
            let rest = lines.len() / 2;
            let mut stream = begin(&authority, &lines, rest);
            // Some pieces are staged by then, and more follow.
            thread::sleep(Duration::from_millis(300));
            limit_files(&authority, "0");
            // The answer may come before all of it was read.
            drop(stream.write_all(&lines.as_bytes()[lines.len() - rest..]));
            let mut answer = String::new();
            BufReader::new(stream).read_line(&mut answer).unwrap();
            assert!(answer.contains(" 503 "), "{answer}");
        }
        let there = entries();
        assert!(there < COUNT && (there > 0) == is_complete, "{there}");
        limit_files(&authority, "unlimited");
        let first = if is_complete { COUNT } else { 0 };
        until(|| entries() == first);
        // What was left is removed soon.
        until(|| import("").status == 200);
        let answer = import(&lines_named("second", 20_000));
        assert_eq!(answer.json()["revoked"], 20_000, "{answer:?}");
        assert_eq!(entries(), first + 20_000);
        assert_eq!(authority.is_session_revoked("first0"), is_complete);
    }
}

#[test]
fn a_full_disk_is_answered_503_and_loses_nothing() {
    let directory = directory();
    // A file that may not grow past this many blocks of 512 bytes behaves as a full disk does.
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";
    let authority = Authority::start_in_shell(directory.path(), script);
    // Nothing else is written from then on.
    until(|| authority.get("/readyz").status == 200);
    let mut acknowledged = 0;
    let long = "x".repeat(900);
    let refused = loop {
        let answer = authority.revoke("session", &format!("{acknowledged}-{long}"));
        if answer.status != 200 {
            break answer;
        }
        acknowledged += 1;
        assert!(acknowledged < 20_000, "the file does not get full");
    };
    assert!(acknowledged > 100, "{acknowledged}");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert_eq!(refused.json()["code"], "store_unavailable");
    assert!(refused.headers.contains_key("retry-after"));
    assert_eq!(authority.stats()["store_writable"], false);
    // Edges and checks go on.
    assert!(authority.is_session_revoked(&format!("0-{long}")));
    assert_eq!(authority.get("/readyz").status, 200);
    let refused = format!("{acknowledged}-{long}");
    assert!(!authority.is_session_revoked(&refused));
    authority.kill();

    let authority = Authority::start(directory.path());
    for number in 0..acknowledged {
        let value = format!("{number}-{long}");
        assert!(
            authority.is_session_revoked(&value),
            "{number} of {acknowledged} is lost"
        );
    }
    assert_eq!(authority.revoke("session", &refused).status, 200);
}

#[test]
fn a_disk_that_takes_nothing_more_is_answered_503_until_it_does() {
    let directory = directory();
    let script = "trap '' XFSZ; exec \"$@\"";
    let authority = Authority::start_in_shell(directory.path(), script);
    assert_eq!(authority.revoke("session", "before").status, 200);
    limit_files(&authority, "0");
    let refused = authority.revoke("session", "meanwhile");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(authority.is_session_revoked("before"));
    assert!(!authority.is_session_revoked("meanwhile"));
    assert!(
        authority
            .log()
            .contains("could not write; nothing was changed")
    );
    limit_files(&authority, "unlimited");
    until(|| authority.revoke("session", "after").status == 200);
    assert_eq!(authority.stats()["store_writable"], true);
    authority.kill();

    let authority = Authority::start(directory.path());
    assert!(authority.is_session_revoked("before"));
    assert!(authority.is_session_revoked("after"));
}

/// How large a file the process may write. With 0 every write fails, as on a disk that the system
/// has made read-only after an error.
fn limit_files(authority: &Authority, limit: &str) {
    let id = authority.id().to_string();
    let limit = format!("--fsize={limit}:unlimited");
    let status = Command::new("prlimit")
        .args(["--pid", &id, &limit])
        .status();
    assert!(status.expect("`prlimit` of util-linux").success());
}

/// A file system of its own, of this many bytes; `None` where the test may not mount one.
struct FileSystem(PathBuf);

impl FileSystem {
    fn mount(point: PathBuf, bytes: usize) -> Option<Self> {
        std::fs::create_dir(&point).unwrap();
        let status = Command::new("mount")
            .args([
                "-t",
                "tmpfs",
                "-o",
                &format!("size={bytes},mode=0700"),
                "tmpfs",
            ])
            .arg(&point)
            .stderr(Stdio::null())
            .status();
        let is_mounted = status.is_ok_and(|status| status.success());
        is_mounted.then_some(Self(point))
    }

    fn remount(&self, options: &str) -> bool {
        let mut command = Command::new("mount");
        command.args(["-o", &format!("remount,{options}")]);
        command.arg(&self.0).status().unwrap().success()
    }
}

impl Drop for FileSystem {
    fn drop(&mut self) {
        // An error only leaves the directory behind; the test has ended.
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).status();
    }
}

/// `ENOSPC` from a real file system, and `EROFS` from one that was made read-only.
#[test]
fn a_real_disk_that_is_full_or_read_only_loses_nothing() {
    let directory = directory();
    let Some(disk) = FileSystem::mount(directory.path().join("data"), 4 << 20) else {
        eprintln!("left out: only root may mount a file system");
        return;
    };
    let authority = Authority::start(directory.path());
    let long = "x".repeat(900);
    let mut acknowledged = 0;
    while authority
        .revoke("session", &format!("{acknowledged}-{long}"))
        .status
        == 200
    {
        acknowledged += 1;
        assert!(acknowledged < 20_000, "the disk does not get full");
    }
    assert!(acknowledged > 100, "{acknowledged}");
    let refused = authority.revoke("session", "full");
    assert_eq!(refused.json()["code"], "store_unavailable", "{refused:?}");
    assert!(authority.is_session_revoked(&format!("0-{long}")));
    assert!(!authority.is_session_revoked("full"));
    assert!(disk.remount("size=64m"));
    until(|| authority.revoke("session", "room again").status == 200);

    // A file that is open for writing keeps root from making its disk read-only. Here the authority
    // starts on such a disk; the test after this one is for an authority that runs.
    authority.kill();
    assert!(disk.remount("ro"));
    let output = Command::new(binary())
        .args(serve(directory.path()))
        .output()
        .unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("error: could not open store `"), "{stderr}");
    assert!(disk.remount("rw"));

    let authority = Authority::start(directory.path());
    assert!(authority.is_session_revoked("room again"));
    for number in 0..acknowledged {
        let value = format!("{number}-{long}");
        assert!(
            authority.is_session_revoked(&value),
            "{number} of {acknowledged}"
        );
    }
    authority.kill();
}

/// Revoking one session is not refused because of an import of a million.
#[test]
fn an_import_that_fills_the_disk_leaves_room_for_single_revocations() {
    let directory = directory();
    let Some(_disk) = FileSystem::mount(directory.path().join("data"), 96 << 20) else {
        eprintln!("left out: only root may mount a file system");
        return;
    };
    let authority = Authority::start(directory.path());
    until(|| authority.get("/readyz").status == 200);
    let refused = revoke_beside_an_import(&authority);
    assert_eq!(refused, 0, "{}", authority.log());
    assert!(authority.log().contains("kept for single revocations"));
}

/// Imports more than there is room for and revokes single sessions meanwhile, and for a second
/// afterwards; returns how many of these were refused.
fn revoke_beside_an_import(authority: &Authority) -> usize {
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        let import = scope.spawn(|| {
            let lines = lines_named("many", 1_000_000);
            let answer = authority.post_text("/v1/import", "application/x-ndjson", &lines);
            thread::sleep(Duration::from_secs(1));
            is_over.store(true, Ordering::Relaxed);
            answer
        });
        thread::sleep(Duration::from_millis(500));
        let (mut done, mut refused) = (0, 0);
        while !is_over.load(Ordering::Relaxed) {
            match authority.revoke("session", &format!("single{done}")).status {
                200 => done += 1,
                _ => refused += 1,
            }
        }
        let answer = import.join().unwrap();
        assert_eq!(answer.status, 503, "{answer:?}");
        assert!(done > 20, "{done}");
        let is_there = |number| authority.is_session_revoked(&format!("single{number}"));
        assert!((0..done).all(is_there));
        refused
    })
}

/// A file system in a file, as a disk has one: it turns read-only by itself after an error.
struct Disk {
    image: PathBuf,
    point: PathBuf,
}

impl Disk {
    /// `None` where the test may not mount one.
    fn make(directory: &Path) -> Option<Self> {
        let disk = Self {
            image: directory.join("image"),
            point: directory.join("data"),
        };
        let image = std::fs::File::create(&disk.image).unwrap();
        image.set_len(64 << 20).unwrap();
        std::fs::create_dir(&disk.point).unwrap();
        let mut make = Command::new("mkfs.ext4");
        (succeeds(make.arg("-q").arg(&disk.image)) && disk.mount()).then_some(disk)
    }

    fn mount(&self) -> bool {
        let mut command = Command::new("mount");
        succeeds(
            command
                .args(["-o", "loop"])
                .arg(&self.image)
                .arg(&self.point),
        )
    }

    /// Does what the system does when the disk fails, even with files open for writing.
    fn fail(&self) {
        // It reports that the disk is in use, and has stopped accepting writes all the same.
        let mut command = Command::new("mount");
        let _ = succeeds(command.args(["-o", "remount,abort"]).arg(&self.point));
    }

    fn unmount(&self) -> bool {
        succeeds(Command::new("umount").arg(&self.point))
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        // An error only leaves the directory behind; the test has ended.
        let _ = succeeds(Command::new("umount").arg("--lazy").arg(&self.point));
    }
}

fn succeeds(command: &mut Command) -> bool {
    let status = command.stdout(Stdio::null()).stderr(Stdio::null()).status();
    status.is_ok_and(|status| status.success())
}

/// `EROFS` for an authority that runs.
#[test]
fn a_disk_that_turns_read_only_is_answered_503_and_loses_nothing() {
    let directory = directory();
    let Some(disk) = Disk::make(directory.path()) else {
        eprintln!("left out: only root may mount a file system, where there are loop devices");
        return;
    };
    let authority = Authority::start(directory.path());
    authority.manifest();
    for number in 0..100 {
        let answer = authority.revoke("session", &format!("s{number}"));
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    disk.fail();
    assert!(std::fs::write(disk.point.join("probe"), "").is_err());
    for _ in 0..3 {
        let refused = authority.revoke("session", "meanwhile");
        assert_eq!(refused.status, 503, "{refused:?}");
        assert_eq!(refused.json()["code"], "store_unavailable");
    }
    let restored = authority.post("/v1/restorations", &revocation("session", "s0"));
    assert_eq!(restored.status, 503, "{restored:?}");
    assert_eq!(authority.stats()["store_writable"], false);
    // Edges and checks go on.
    assert_eq!(authority.get("/readyz").status, 200);
    assert_eq!(authority.manifest().epoch, authority.stats()["epoch"]);
    assert!((0..100).all(|number| authority.is_session_revoked(&format!("s{number}"))));
    assert!(!authority.is_session_revoked("meanwhile"));
    assert!(authority.log().contains("Read-only file system"));
    authority.kill();

    assert!(disk.unmount() && disk.mount());
    let authority = Authority::start(directory.path());
    assert!((0..100).all(|number| authority.is_session_revoked(&format!("s{number}"))));
    assert!(!authority.is_session_revoked("meanwhile"));
    assert_eq!(authority.revoke("session", "after").status, 200);
    authority.kill();
}

#[test]
fn a_store_that_cannot_be_opened_is_told() {
    let directory = directory();
    std::fs::write(directory.path().join("data"), "a file, not a directory").unwrap();
    let output = Command::new(binary())
        .args(serve(directory.path()))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(
        stderr.contains("error: could not make directory `"),
        "{stderr}"
    );
}
