//! A disk that takes no more.

use std::process::Command;

use super::process::{Authority, binary, directory, serve, until};

#[test]
fn a_full_disk_is_answered_503_and_loses_nothing() {
    let directory = directory();
    // A file that may not grow past this many blocks of 512 bytes behaves as a full disk does.
    let script = "trap '' XFSZ; ulimit -f 8192; exec \"$@\"";
    let authority = Authority::start_in_shell(directory.path(), script);
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
