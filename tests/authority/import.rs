//! Many revocations at once.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;
use std::time::Duration;

use super::process::{Answer, Authority, ISSUER, binary, directory, until};

fn lines(count: usize) -> String {
    lines_named("s", count)
}

/// One line for each of this many sessions.
pub(crate) fn lines_named(prefix: &str, count: usize) -> String {
    (0..count).fold(String::new(), |mut lines, number| {
        let _ = writeln!(
            lines,
            r#"{{"kind":"session","issuer":"{ISSUER}","value":"{prefix}{number}"}}"#
        );
        lines
    })
}

/// A connection on which an import has begun that lacks the last `missing` of its bytes. The authority
/// asks for them once no other import can come between.
pub(crate) fn begin(authority: &Authority, body: &str, missing: usize) -> TcpStream {
    const ASKED_FOR: &[u8] = b"HTTP/1.1 100 Continue\r\n\r\n";
    let mut stream = TcpStream::connect(authority.address()).unwrap();
    let head = format!(
        "POST /v1/import HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/x-ndjson\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut answer = [0; ASKED_FOR.len()];
    stream.read_exact(&mut answer).unwrap();
    assert_eq!(answer, ASKED_FOR, "{}", String::from_utf8_lossy(&answer));
    let sent = &body.as_bytes()[..body.len() - missing];
    stream.write_all(sent).unwrap();
    stream
}

/// Imports, after waiting for the turn.
fn import(authority: &Authority, lines: &str) -> Answer {
    let mut answer = None;
    until(|| {
        let tried = authority.post_text("/v1/import", "application/x-ndjson", lines);
        let is_refused = tried.status == 409;
        answer = Some(tried);
        !is_refused
    });
    answer.unwrap()
}

#[test]
fn an_import_is_carried_out_whole() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let import = |count| authority.post_text("/v1/import", "application/x-ndjson", &lines(count));
    let answer = import(10_000);
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(answer.json()["revoked"], 10_000);
    let again = import(10_001).json();
    assert_eq!(
        (&again["accepted"], &again["revoked"]),
        (&10_001.into(), &1.into())
    );
    assert_eq!(authority.stats()["entries"], 10_001);
    for number in [0, 4_095, 4_096, 9_999, 10_000] {
        assert!(authority.is_session_revoked(&format!("s{number}")));
    }
}

#[test]
fn an_import_with_wrong_lines_does_nothing_and_names_them() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let mut text = lines(9_000);
    text.push_str("{\"kind\":\"session\"}\n\n");
    text.push_str(&lines(5_000));
    text.push_str("nonsense");
    let answer = authority.post_text("/v1/import", "application/x-ndjson", &text);
    assert_eq!(answer.status, 422);
    let problem = answer.json();
    assert_eq!(problem["code"], "lines_invalid");
    let wrong = problem["lines"].as_array().unwrap();
    let numbers: Vec<_> = wrong
        .iter()
        .map(|line| line["line"].as_u64().unwrap())
        .collect();
    assert_eq!(numbers, [9_001, 14_003]);
    assert_eq!(authority.stats()["entries"], 0);
    assert_eq!(authority.stats()["sequence"], 0);
    authority.kill();
    let authority = Authority::start(directory.path());
    assert_eq!(authority.stats()["entries"], 0);
}

#[test]
fn an_import_that_is_killed_is_there_whole_or_not_at_all() {
    let directory = directory();
    let text = lines(60_000);
    for milliseconds in [30, 80, 150, 250, 400, 600, 900] {
        let authority = Authority::start(directory.path());
        let url = format!("{}/v1/import", authority.url);
        let text = text.clone();
        let client = thread::spawn(move || {
            let request = ureq::post(url).header("content-type", "application/x-ndjson");
            request.send(text).is_ok()
        });
        thread::sleep(Duration::from_millis(milliseconds));
        authority.kill();
        let is_acknowledged = client.join().unwrap();
        let authority = Authority::start(directory.path());
        until_settled(&authority);
        let entries = authority.stats()["entries"].as_u64().unwrap();
        assert!(
            [0, 60_000].contains(&entries),
            "{entries} after {milliseconds} ms"
        );
        assert!(!is_acknowledged || entries == 60_000);
        if entries != 0 {
            return;
        }
    }
}

/// Waits until nothing is left of an import that was interrupted.
fn until_settled(authority: &Authority) {
    until(|| {
        authority
            .post_text("/v1/import", "application/x-ndjson", "")
            .status
            == 200
    });
}

/// Edges wait for the authority to start, and no caller waits for the rest of that import.
#[test]
fn a_start_does_not_wait_for_an_import_that_was_interrupted() {
    const COUNT: u64 = 60_000;
    let directory = directory();
    let authority = Authority::start(directory.path());
    let text = lines(usize::try_from(COUNT).unwrap());
    let stream = begin(&authority, &text, 0);
    let entries = |authority: &Authority| authority.stats()["entries"].as_u64().unwrap();
    until(|| entries(&authority) > 0);
    let before = entries(&authority);
    authority.kill();
    drop(stream);
    let authority = Authority::start(directory.path());
    let at_the_start = entries(&authority);
    assert!((before..COUNT).contains(&at_the_start), "{at_the_start}");
    assert_eq!(authority.revoke("session", "meanwhile").status, 200);
    until_settled(&authority);
    assert_eq!(entries(&authority), COUNT + 1);
}

#[test]
fn an_import_whose_client_goes_away_before_the_last_line_does_nothing() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let lost = lines_named("lost", 30_000);
    let stream = begin(&authority, &lost, 1);
    let other = authority.post_text("/v1/import", "application/x-ndjson", "nonsense");
    assert_eq!(other.status, 409, "no other puts anything aside meanwhile");
    thread::sleep(Duration::from_secs(1));
    drop(stream);
    let answer = import(&authority, &lines(5)).json();
    assert_eq!(
        (&answer["accepted"], &answer["revoked"]),
        (&5.into(), &5.into())
    );
    for number in [0, 8_191, 8_192, 20_000] {
        assert!(!authority.is_session_revoked(&format!("lost{number}")));
    }
    authority.kill();
    let authority = Authority::start(directory.path());
    assert_eq!(authority.stats()["entries"], 5);
    assert_eq!(authority.stats()["sequence"], 5);
}

#[test]
fn an_import_whose_client_goes_away_while_it_is_carried_out_is_carried_out_whole() {
    const COUNT: usize = 100_000;
    let directory = directory();
    let authority = Authority::start(directory.path());
    let stream = begin(&authority, &lines(COUNT), 0);
    let entries = || usize::try_from(authority.stats()["entries"].as_u64().unwrap()).unwrap();
    let mut seen = 0;
    until(|| {
        seen = entries();
        seen > 0
    });
    drop(stream);
    assert!(seen < COUNT, "it was over before the client went away");
    until(|| entries() == COUNT);
    let answer = import(&authority, &lines(COUNT + 3)).json();
    assert_eq!(
        (&answer["accepted"], &answer["revoked"]),
        (&(COUNT + 3).into(), &3.into())
    );
}

#[test]
fn the_command_line_imports_a_file() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let file = directory.path().join("revocations.ndjson");
    std::fs::write(&file, lines(1_000)).unwrap();
    let output = authority.command(&["import", file.to_str().unwrap()]);
    assert_eq!(
        String::from_utf8_lossy(&output.stdout),
        "revoked 1000 of 1000\n"
    );
    std::fs::write(&file, "{}\n").unwrap();
    let output = authority.command(&["import", file.to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(8));
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("line 1: missing field `kind`"), "{stderr}");
}

#[test]
fn an_import_whose_authority_dies_in_the_middle_is_told_as_that() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let mut client = Command::new(binary())
        .args(["import", "--authority", &authority.url])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut input = client.stdin.take().unwrap();
    // Far more than the pipe holds: once it is written, the client has sent some of it.
    input.write_all(lines(20_000).as_bytes()).unwrap();
    authority.kill();
    let _ = input.write_all(lines(1_000).as_bytes());
    drop(input);
    let output = client.wait_with_output().unwrap();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(3), "{stderr}");
    let sentence = "broke off while the import was under way";
    assert!(stderr.contains(sentence), "{stderr}");
    assert!(stderr.contains("run it again"), "{stderr}");
}

#[test]
fn more_wrong_lines_than_are_listed_are_counted() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let problem = |count: usize| {
        let lines = "{}\n".repeat(count);
        let answer = authority.post_text("/v1/import", "application/x-ndjson", &lines);
        assert_eq!(answer.status, 422);
        answer.json()
    };
    let hundred = problem(100);
    assert_eq!(hundred["lines"].as_array().unwrap().len(), 100);
    assert!(hundred.get("more_lines").is_none(), "{hundred}");
    let more = problem(350);
    assert_eq!(more["lines"].as_array().unwrap().len(), 100);
    assert_eq!(more["more_lines"], 250);
    let file = directory.path().join("revocations.ndjson");
    std::fs::write(&file, "{}\n".repeat(350)).unwrap();
    let output = authority.command(&["import", file.to_str().unwrap()]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(stderr.contains("350 lines are wrong"), "{stderr}");
    assert!(stderr.contains("\nline 100: "), "{stderr}");
    assert!(stderr.contains("\nand 250 more\n"), "{stderr}");
}
