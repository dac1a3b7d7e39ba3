//! A copy of the store, made while it is in use.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use serde_json::{Value, json};

use super::import::lines_named;
use super::process::{Authority, directory, revocation};

fn everything(authority: &Authority) -> Value {
    let path = "/v1/revocations?include_restored=true&limit=1000";
    authority.get(path).json()["entries"].clone()
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
    // The next takes the place of the last.
    let second = authority.post("/v1/backup", &json!({})).json();
    assert_eq!(second["sequence"], sequence.as_u64().unwrap() + 1);
    assert_eq!(second["path"], path);
    let second = fs::read(path).unwrap();
    assert_eq!(authority.post("/v1/backup", &json!({})).status, 200);
    authority.kill();

    let other = super::process::directory();
    fs::create_dir(other.path().join("data")).unwrap();
    fs::write(other.path().join("data/authority.redb"), second).unwrap();
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
