//! The command line against a running authority: names, times, sentences and exit codes.

mod failures;
mod names;

use std::path::Path;
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::Value;

use super::process::{Authority, ISSUER, binary, directory, serve};

/// Exit code, standard output, standard error.
pub(crate) fn told(output: &Output) -> (i32, String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let code = output.status.code().unwrap();
    (code, text(&output.stdout), text(&output.stderr))
}

fn run(authority: &Authority, arguments: &[&str]) -> (i32, String, String) {
    told(&authority.command(arguments))
}

#[test]
fn the_command_line_asks_and_answers_by_exit_codes() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let run = |arguments: &[&str]| {
        let (code, text, _) = run(&authority, arguments);
        (code, text)
    };
    let check = ["check", "session", "s", "--issuer", ISSUER];
    assert_eq!(run(&check), (0, "not revoked\n".into()));
    let revoke = ["revoke", "session", "s", "--issuer", ISSUER];
    let (code, text) = run(&[&revoke[..], &["--expires-in", "1h"]].concat());
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((code, lines[0]), (0, "revoked"));
    assert!(lines[1].starts_with("refused from 20"), "{text}");
    assert!(lines[2].starts_with("kept until 20"), "{text}");
    assert!(lines[2].contains("(1h 15m"), "{text}");
    assert_eq!(lines.len(), 3, "{text}");
    assert!(
        run(&revoke)
            .1
            .starts_with("already revoked\nrefused from 20")
    );
    assert_eq!(run(&check), (1, "revoked by session\n".into()));
    let (code, text) = run(&[&check[..], &["--json"]].concat());
    assert_eq!(
        (code, text.trim()),
        (1, r#"{"revoked":true,"by":"session","members":["sid"]}"#)
    );
    let list = ["list", "session", "s", "--issuer", ISSUER];
    assert!(run(&list).1.contains("  revoked  session  s  "));
    assert_eq!(run(&["list", "subject"]), (0, String::new()));
    for verb in ["restore", "unrevoke"] {
        let restore = [verb, "session", "s", "--issuer", ISSUER];
        assert_eq!(run(&restore), (0, "not revoked any more\n".into()));
        assert_eq!(run(&restore), (1, "was not revoked\n".into()));
        assert_eq!(run(&revoke).0, 0);
    }
    let (code, text) = run(&["revoke", "issuer", "--issuer", ISSUER]);
    assert_eq!((code, text.lines().next()), (0, Some("revoked")));
    assert!(text.contains(" on: what was issued before 20"), "{text}");
    assert!(text.contains("\na new sign-in counts from 20"), "{text}");
    let (code, text) = run(&["list", "issuer"]);
    assert_eq!(code, 0);
    assert!(text.contains("  revoked  issuer  "), "{text}");
    let (_, text) = run(&["list", "issuer", "--json"]);
    let entry: Value = serde_json::from_str(text.trim()).unwrap();
    assert_eq!(entry["kind"], "issuer");
    assert!(run(&["stats"]).1.contains("cut-offs        1\n"));
}

#[test]
fn instants_are_given_from_now_or_as_they_are() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let revoke = |arguments: &[&str]| {
        let revoke = ["revoke", "subject", "s", "--issuer", ISSUER, "--json"];
        let (code, text, errors) = run(&authority, &[&revoke[..], arguments].concat());
        assert_eq!(code, 0, "{errors}");
        serde_json::from_str::<Value>(&text).unwrap()
    };
    // 2026-01-01T00:00:00Z
    let start = 1_767_225_600_u64;
    for text in [
        "2026-01-01T00:00:00Z",
        "2026-01-01T01:00:00+01:00",
        "1767225600",
    ] {
        let answer = revoke(&["--not-before", text, "--expires-in", "1h"]);
        assert_eq!(answer["not_before"], start, "{answer}");
    }
    let an_hour_ago = revoke(&["--not-before-in", "-1h"])["not_before"].as_u64();
    assert!(an_hour_ago.unwrap() > start);
    let check = |issued_at: &str| {
        let check = ["check", "subject", "s", "--issuer", ISSUER, "--issued-at"];
        run(&authority, &[&check[..], &[issued_at]].concat()).0
    };
    assert_eq!(check("2026-01-01T00:00:00Z"), 1);
    assert_eq!(check("2099-01-01T00:00:00Z"), 0);
    let soon = std::time::SystemTime::now() + Duration::from_hours(1);
    let soon = soon
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap()
        .as_secs();
    let kept = |expires_at: &str| {
        let token = ["revoke", "token", "kept", "--issuer", ISSUER, "--json"];
        let (_, text, _) = run(
            &authority,
            &[&token[..], &["--expires-at", expires_at]].concat(),
        );
        serde_json::from_str::<Value>(&text).unwrap()["kept_until"].clone()
    };
    assert_eq!(kept(&soon.to_string()), soon + 900, "with the margin");
    let far = ["revoke", "token", "t", "--issuer", ISSUER, "--expires-at"];
    let (code, _, errors) = run(&authority, &[&far[..], &["2099-01-01T00:00:00Z"]].concat());
    assert_eq!(code, 8);
    assert!(
        errors.contains("expected at most 732 days from now"),
        "{errors}"
    );
    // What a script takes from a token may have passed.
    let past = [
        "revoke",
        "token",
        "t",
        "--issuer",
        ISSUER,
        "--expires-at",
        "1767225600",
    ];
    let (code, text, _) = run(&authority, &past);
    assert_eq!(
        (code, text.as_str()),
        (0, "nothing to do: it has expired\n")
    );
}

/// A token of [`ISSUER`], with the key `es256` of the vectors.
pub(crate) fn mint(arguments: &[&str]) -> String {
    let key =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/keys/es256.private.jwk.json");
    let output = Command::new(binary())
        .args(["mint", "--key", key.to_str().unwrap(), "--issuer", ISSUER])
        .args(arguments)
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn rotate_says_when_which_key_signs() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let (code, text, _) = run(&authority, &["rotate", "--overlap", "1h"]);
    assert_eq!(code, 0);
    let lines: Vec<_> = text.lines().collect();
    assert!(lines[0].starts_with(&authority.feed_keys[0]), "{text}");
    assert!(lines[0].contains("  signs until 20"), "{text}");
    assert!(lines[0].contains("Z, is believed until 20"), "{text}");
    assert!(lines[1].contains("  signs from 20"), "{text}");
    let until = lines[0].split("until ").nth(1).unwrap();
    let from = lines[1].split("from ").nth(1).unwrap();
    assert_eq!(
        until.split(',').next(),
        Some(from),
        "one takes over from the other"
    );
}

#[test]
fn a_store_in_use_names_the_process_that_has_it() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let expected = format!(
        "is in use by process {}, which listens on {}\n\nhint: ",
        authority.id(),
        authority.url
    );
    let mut arguments = serve(directory.path());
    for listen in ["127.0.0.1:0", authority.address()] {
        arguments[2] = listen.to_owned();
        let output = Command::new(binary()).args(&arguments).output().unwrap();
        let (code, _, errors) = told(&output);
        assert_eq!(code, 1);
        assert!(errors.contains(&expected), "{listen}: {errors}");
    }
    authority.kill();
    Authority::start(directory.path());
}

#[test]
fn numbers_agree_with_their_words() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (lines, expected) in [
        ("x\n", "1 line is wrong; nothing was revoked\nline 1: "),
        ("x\ny\n", "2 lines are wrong; nothing was revoked\nline 1: "),
    ] {
        let (code, _, errors) = told(&authority.command_with(&["import"], lines));
        assert_eq!(code, 8);
        assert!(errors.contains(expected), "{errors}");
    }
}
