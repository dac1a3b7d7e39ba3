//! Secrets in a database, encrypted with a key of the operator's.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use super::member::Member;
use super::postgres::{Server, has_postgres};
use super::process::{binary, directory};

/// Rows of generations. What describes one has the secret under which names are hashed.
const GENERATIONS: &str = "SELECT (SELECT count(*) FROM portcullis.generations)
    + (SELECT count(*) FROM portcullis.segments)";

/// Makes a file with a key.
fn key(directory: &Path, letter: &str) -> String {
    let path = directory.join(letter);
    std::fs::write(&path, format!("{}=\n", letter.repeat(42) + "A")).unwrap();
    let mode = Permissions::from_mode(0o600);
    std::fs::set_permissions(&path, mode).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Of secrets that were kept as they are, of those under a key, and of those under another one.
#[test]
fn secrets_are_encrypted_with_the_key_of_the_operator_and_with_none_else() {
    if !has_postgres() {
        return;
    }
    let server = Server::start();
    let store = server.database("vault");
    let keys = directory();
    let [first, second, third] = ["a", "b", "c"].map(|letter| key(keys.path(), letter));
    let run = |arguments: &[&str]| {
        let output = Command::new(binary())
            .args(arguments)
            .env("PORTCULLIS_STORE", &store)
            .current_dir(keys.path())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        (output.status.code(), said, errors)
    };
    let works = |more: &[&str]| {
        let mut member = Member::start_in(directory(), &store, more);
        member.wait_until_ready();
        assert!(member.is_revoked("a"));
        let stats = member.stats();
        member.stop();
        [stats["epoch"].clone(), stats["feed_keys"].clone()]
    };
    let refuses = |more: &[&str], expected: &str| {
        let arguments = [&["serve", "--listen", "127.0.0.1:0", "--lease", "2s"], more].concat();
        let (code, _, errors) = run(&arguments);
        assert_eq!(code, Some(1), "{errors}");
        assert!(errors.contains(expected), "{errors}");
        let names = ["epoch", "feed_keys", "filter_key", "generation"];
        let is_named = names.iter().any(|name| errors.contains(name));
        assert!(is_named && errors.contains("--secret-key"), "{errors}");
    };
    let generations = || server.ask("vault", GENERATIONS);
    let content = || {
        let all = "SELECT string_agg(content::text, '' ORDER BY name) FROM portcullis.settings";
        server.ask("vault", all)
    };

    let mut member = Member::start(&store);
    member.wait_until_ready();
    assert_eq!(member.revoke("a"), Some(200));
    member.stop();
    let plain = works(&[]);
    let secret = content();
    refuses(&["--secret-key", &first], "is not encrypted");

    let migrate = ["migrate", "--secret-key", &first];
    assert_ne!(generations(), "0");
    let (code, said, errors) = run(&migrate);
    assert!(code == Some(0) && said.contains("encrypted"), "{errors}");
    assert_eq!(generations(), "0");
    let (code, said, _) = run(&migrate);
    assert_eq!(code, Some(0));
    assert!(
        said.ends_with("the settings are encrypted with this key\n"),
        "{said}"
    );
    assert_ne!(content(), secret);
    assert_eq!(works(&["--secret-key", &first]), plain);
    assert_ne!(generations(), "0");
    assert_eq!(run(&migrate).0, Some(0));
    assert_ne!(generations(), "0", "nothing was encrypted");
    refuses(&[], "is encrypted, and there is no `--secret-key`");
    refuses(&["--secret-key", &second], "with another key");

    let before = content();
    for old in [&["--old-secret-key", third.as_str()][..], &[]] {
        let (code, _, errors) = run(&[&["migrate", "--secret-key", &second], old].concat());
        assert!(
            code == Some(1) && errors.contains("another key"),
            "{errors}"
        );
        assert_eq!(content(), before);
    }
    let change = [
        "migrate",
        "--secret-key",
        &second,
        "--old-secret-key",
        &first,
    ];
    let (code, said, errors) = run(&change);
    assert!(code == Some(0) && said.contains("encrypted"), "{errors}");
    assert_eq!(generations(), "0");
    assert_eq!(works(&["--secret-key", &second]), plain);
    refuses(&["--secret-key", &first], "with another key");

    std::fs::set_permissions(&second, Permissions::from_mode(0o644)).unwrap();
    let (code, _, errors) = run(&["migrate", "--secret-key", &second]);
    assert!(code == Some(1) && errors.contains("chmod 600"), "{errors}");
    std::fs::set_permissions(&second, Permissions::from_mode(0o600)).unwrap();
    std::fs::write(&second, "short").unwrap();
    let (_, _, errors) = run(&["migrate", "--secret-key", &second]);
    assert!(errors.contains("openssl rand"), "{errors}");
    // In place of a key that cannot be read, another would be of no use.
    let (code, _, errors) = run(&["migrate", "--secret-key", "none"]);
    assert!(code == Some(10) && errors.contains("`none`"), "{errors}");
    assert!(!errors.contains("openssl rand"), "{errors}");
}
