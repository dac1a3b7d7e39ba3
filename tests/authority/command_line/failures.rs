//! Failures: a sentence and an exit code for each thing that the caller can do about them.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;
use std::time::Duration;

use super::super::access::guarded;
use super::super::certificate::{make_certificate, make_certificate_with};
use super::super::connections::with_tls;
use super::super::process::{Authority, ISSUER, binary, credential, directory, serve, until};
use super::run;

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn every_failure_has_its_own_sentence_and_exit_code() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "console");
    let edge = credential(directory.path(), "edge", "edges");
    let scrape = credential(directory.path(), "scrape", "metrics");
    let authority = guarded(directory.path());
    let lines = file(directory.path(), "lines", "");
    let folder = directory.path().to_str().unwrap();
    let expect = |authority: &Authority, arguments: &[&str], code, sentence: &str| {
        let (found, output, errors) = run(authority, arguments);
        assert!(errors.contains(sentence), "{arguments:?}: {errors}");
        assert_eq!(
            (found, output.as_str()),
            (code, ""),
            "{arguments:?}: {errors}"
        );
    };
    let without = "expects a credential, and none was given\n\nhint: name the file";
    expect(&authority, &["stats"], 6, without);
    let authority = authority.with_credential("");
    expect(&authority, &["import", &lines], 6, without);
    let authority = authority.with_credential("portcullis_wrong");
    let wrong = "does not know the credential that was given\n\nhint: `portcullis credential`";
    expect(&authority, &["import", &lines], 6, wrong);
    let authority = authority.with_credential(&edge);
    let role = "the credential is not for this: expected a credential with the role `admin`";
    expect(&authority, &["rotate"], 7, role);
    let looking = "the credential is not for this: expected a credential with the role `viewer`";
    expect(&authority, &["list"], 7, looking);
    expect(&authority, &["sessions"], 7, looking);
    let scraping = authority.with_credential(&scrape);
    let hint = "role `edge`\n\nhint: `portcullis credential --role ROLE` makes one with that role";
    let check = ["check", "session", "s", "--issuer", "i"];
    expect(&scraping, &check, 7, hint);
    let authority = scraping.with_credential(&edge);
    assert_eq!(authority.get("/v1/issuers?issuer=i").status, 403);
    let answer = (0, "not revoked\n".to_owned(), String::new());
    assert_eq!(run(&authority, &check), answer, "which an edge may ask");
    let authority = authority.with_credential("two\nlines");
    expect(
        &authority,
        &["stats"],
        10,
        "expected a credential on one line",
    );

    let authority = authority.with_credential(&admin);
    let read = format!("could not read `{folder}`: ");
    expect(&authority, &["import", folder], 10, &read);
    expect(
        &authority,
        &["import", "absent"],
        10,
        "could not read `absent`: ",
    );
    let absent = ["stats", "--credential-file", "absent"];
    expect(&authority, &absent, 10, "could not read `absent`: ");
    let long = "x".repeat(1025);
    let revoke = ["revoke", "session", &long, "--issuer", "i"];
    expect(
        &authority,
        &revoke,
        8,
        "the authority refuses: `value`: expected at most 1024",
    );

    let expect_at = |url: &str, code, sentence: &str| {
        expect(&authority, &["stats", "--authority", url], code, sentence);
    };
    expect_at(
        "http://127.0.0.1:1",
        3,
        "could not reach the authority at http://127.0.0.1:1",
    );
    expect_at("nonsense://x y", 2, "expected the URL of an authority");
    for listing in ["list", "sessions"] {
        expect(
            &authority,
            &[listing, "--limit", "0"],
            2,
            "invalid value '0'",
        );
        let gone = [listing, "--authority", "http://127.0.0.1:1"];
        expect(&authority, &gone, 3, "could not reach the authority");
    }
    let https = authority.url.replace("http://", "https://");
    expect_at(&https, 4, "speaks no TLS\n\nhint: write `http://`");
    let other = answering(b"HTTP/1.1 404 Not Found\r\ncontent-length: 2\r\n\r\nno");
    expect_at(
        &other,
        4,
        "expected an answer of the authority, found status 404",
    );
    let other = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nno");
    expect_at(&other, 4, "expected an answer of the authority");
    let other = answering(b"220 mail.example ESMTP\r\n");
    expect_at(&other, 4, "speaks no HTTP");
}

/// The address of a server that sends this to every client.
fn answering(text: &'static [u8]) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut request = [0; 4096];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(text);
        }
    });
    format!("http://{address}")
}

#[test]
fn a_certificate_that_is_not_believed_is_told_with_its_reason() {
    let directory = directory();
    let (authority, certificate) = with_tls(directory.path());
    let at = |url: &str, more: &[&str]| {
        let arguments = ["stats", "--authority", url];
        run(&authority, &[&arguments[..], more].concat())
    };
    let trusting = ["--certificate-authority", certificate.as_str()];
    assert_eq!(at(&authority.url, &trusting).0, 0);
    let (code, _, errors) = at(&authority.url, &[]);
    assert_eq!(code, 5);
    assert!(
        errors.contains("no trusted certificate authority has made it"),
        "{errors}"
    );
    let other_name = authority.url.replace("127.0.0.1", "localhost");
    let (code, _, errors) = at(&other_name, &trusting);
    assert_eq!(code, 5);
    assert!(errors.contains("is for another name: "), "{errors}");
    let plain = authority.url.replace("https://", "http://");
    for command in ["stats", "import"] {
        let (code, _, errors) = run(&authority, &[command, "--authority", &plain]);
        assert_eq!(code, 4, "{errors}");
        assert!(
            errors.contains("speaks TLS\n\nhint: write `https://`"),
            "{errors}"
        );
    }
    authority.kill();

    let (certificate, key) = make_certificate_with(directory.path(), "CA:TRUE");
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let authority = Authority::start_with(directory.path(), &tls);
    let stats = ["stats", "--certificate-authority", &certificate];
    let (code, _, errors) = run(&authority, &stats);
    assert_eq!(code, 5);
    assert!(
        errors.contains("made as a certificate authority (`CA:TRUE`)"),
        "{errors}"
    );
    assert!(
        errors.contains("basicConstraints=critical,CA:FALSE"),
        "{errors}"
    );
}

/// Expects an authority with these files for TLS to end with this code, and to say this.
#[track_caller]
fn serve_says(certificate: &str, key: &str, code: i32, said: &[&str]) {
    let directory = directory();
    let mut command = Command::new(binary());
    command.args(serve(directory.path()));
    let tls = ["--tls-certificate", certificate, "--tls-key", key];
    let output = command.args(tls).output().unwrap();
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(code), "{errors}");
    assert!(said.iter().all(|text| errors.contains(text)), "{errors}");
}

#[test]
fn a_certificate_and_a_key_that_are_of_no_use_are_told_by_their_files() {
    let (own, other) = (directory(), directory());
    let (certificate, key) = make_certificate(own.path());
    let (_, other_key) = make_certificate(other.path());
    let none = |what: &str, file: &str| format!("expected a {what} in `{file}`, found none");
    let hint = "hint: both are PEM";
    serve_says(&key, &key, 1, &[&none("certificate", &key), hint]);
    let of_key = none("private key", &certificate);
    serve_says(&certificate, &certificate, 1, &[&of_key, hint]);
    let pair =
        format!("the key in `{other_key}` is not that of the certificate in `{certificate}`");
    serve_says(
        &certificate,
        &other_key,
        1,
        &[&pair, "hint: both were made together"],
    );
    let missing = "/nowhere/server.key";
    serve_says(&certificate, missing, 10, &[missing, "No such file"]);
}

#[test]
fn health_says_whether_an_authority_is_ready_and_why_not() {
    let (directory, other) = (directory(), directory());
    credential(directory.path(), "admin", "console");
    let authority = guarded(directory.path()).with_credential("two\nlines");
    let ready = (0, "ready\n".to_owned(), String::new());
    // It listens before it has its first generation. No credential is read.
    until(|| run(&authority, &["health"]) == ready);
    let absent = ["health", "--path", "/absent"];
    let (code, output, errors) = run(&authority, &absent);
    assert_eq!((code, output.as_str()), (4, ""), "{errors}");

    fs::remove_file(directory.path().join("data/authority.redb")).unwrap();
    // It looks for its file once a second.
    until(|| run(&authority, &["health"]) != ready);
    let (code, output, errors) = run(&authority, &["health"]);
    assert_eq!((code, output.as_str()), (9, ""), "{errors}");
    let why = "error: it is not ready: the store's file was taken away\n";
    assert_eq!(errors, why);
    authority.kill();

    let envoy = answering(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nLIVE\n");
    let (tls, certificate) = with_tls(other.path());
    let asked = ["health", "--authority", &envoy, "--path", "/ready"];
    assert_eq!(run(&tls, &asked), ready);
    assert_eq!(run(&tls, &["health"]).0, 5);
    let trusting = ["health", "--certificate-authority", &certificate];
    until(|| run(&tls, &trusting) == ready);
}

/// A server that closes connections without TLS.
#[test]
fn a_server_that_hangs_up_on_plain_http_and_accepts_tls_speaks_tls() {
    let directory = directory();
    let (authority, _) = with_tls(directory.path());
    let behind = authority.address().to_owned();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let stream = stream.unwrap();
            let mut first = [0];
            if stream.peek(&mut first).is_err() || first != [0x16] {
                continue;
            }
            let other = TcpStream::connect(&behind).unwrap();
            for (mut from, mut to) in [
                (stream.try_clone().unwrap(), other.try_clone().unwrap()),
                (other, stream),
            ] {
                thread::spawn(move || std::io::copy(&mut from, &mut to));
            }
        }
    });
    let (code, _, errors) = run(&authority, &["stats", "--authority", &url]);
    assert_eq!(code, 4);
    assert!(
        errors.contains("speaks TLS\n\nhint: write `https://`"),
        "{errors}"
    );
}

/// The answer comes before the body was read, and must be received all the same.
#[test]
fn a_refusal_is_heard_however_much_was_to_be_sent() {
    let directory = directory();
    credential(directory.path(), "admin", "console");
    let authority = guarded(directory.path()).with_credential("portcullis_wrong");
    let small = file(directory.path(), "small", &"{}\n".repeat(1_000));
    let large = file(directory.path(), "large", &"{}\n".repeat(3_000_000));
    let revoke = ["revoke", "session", "s", "--issuer", ISSUER];
    for _ in 0..20 {
        for arguments in [&revoke[..], &["import", &small], &["import", &large]] {
            let (code, _, errors) = run(&authority, arguments);
            assert_eq!(code, 6, "{arguments:?}: {errors}");
        }
    }
}

/// For callers that do not ask first whether the body is wanted.
#[test]
fn a_short_body_is_heard_out_before_it_is_refused() {
    let (own, other) = (directory(), directory());
    credential(own.path(), "admin", "console");
    let authority = guarded(own.path());
    let plain = Authority::start(other.path());
    let refused = |authority: &Authority, path: &str, pause: u64| {
        let body = vec![b'x'; 60_000];
        let mut stream = TcpStream::connect(authority.address()).unwrap();
        let head = format!(
            "POST {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-type: text/x\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        );
        stream.write_all(head.as_bytes()).unwrap();
        for piece in body.chunks(20_000) {
            thread::sleep(Duration::from_millis(pause));
            stream.write_all(piece).unwrap();
        }
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer.split(' ').nth(1).unwrap().to_owned()
    };
    for pause in [0, 5, 30] {
        for _ in 0..10 {
            assert_eq!(refused(&authority, "/v1/revocations", pause), "401");
            assert_eq!(refused(&plain, "/v1/revocations", pause), "415");
            assert_eq!(refused(&plain, "/v1/nothing", pause), "404");
            assert_eq!(refused(&plain, "/v1/stats", pause), "405");
        }
    }
}
