//! The command line against a running authority: names, times, sentences and exit codes.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::thread;
use std::time::Duration;

use serde_json::{Value, json};

use super::access::{credential, guarded};
use super::certificate::make_certificate;
use super::process::{Authority, ISSUER, binary, directory, serve};

/// Exit code, standard output, standard error.
fn told(output: &Output) -> (i32, String, String) {
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
        (1, r#"{"revoked":true,"by":"session"}"#)
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
fn what_is_not_named_in_full_is_a_wrong_command_line() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (arguments, message) in [
        (
            &["revoke", "session", "--issuer", "i"][..],
            "expected the name of a session, found none\n\nhint: it stands behind the kind",
        ),
        (
            &["check", "subject", "s"],
            "expected `--issuer`, found none",
        ),
        (
            &["restore", "issuer", "https://i"],
            "hint: write `issuer --issuer ISSUER`",
        ),
        (&["list", "issuer", "https://i"], "write `issuer --issuer"),
        (
            &["list", "--token", "-"],
            "expected one of `token`, `session`",
        ),
        (&["revoke", "--issuer", "i"], "<TARGET>"),
        (
            &[
                "revoke",
                "session",
                "s",
                "--issuer",
                "i",
                "--expires-in=-1h",
            ],
            "found one that is past\n\nhint: it says when the tokens expire that are meant; to \
             revoke what",
        ),
        (
            &[
                "revoke",
                "session",
                "s",
                "--issuer",
                "i",
                "--expires-in",
                "-1h",
            ],
            "`--not-before-in -1h`",
        ),
        (
            &[
                "revoke",
                "subject",
                "s",
                "--issuer",
                "i",
                "--not-before",
                "-1h",
            ],
            "goes into the option that ends in `-in`",
        ),
        (
            &[
                "revoke",
                "subject",
                "s",
                "--issuer",
                "i",
                "--not-before-in",
                "2026-12-01T00:00:00Z",
            ],
            "found an instant: that goes into `--expires-at` or `--not-before`",
        ),
        (
            &[
                "revoke",
                "subject",
                "s",
                "--issuer",
                "i",
                "--not-before-in",
                "-99999d",
            ],
            "`--not-before-in`: expected a time after 1970, found one before",
        ),
    ] {
        let (code, output, errors) = run(&authority, arguments);
        assert_eq!((code, output.as_str()), (2, ""), "{arguments:?} {errors}");
        assert!(errors.contains(message), "{arguments:?}: {errors}");
    }
    assert_eq!(authority.stats()["sequence"], 0);
}

#[test]
fn names_that_begin_with_a_hyphen_are_revoked() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    for (number, name) in ["-hABC", "-Vx", "--Zy0", "-", "--_"]
        .into_iter()
        .enumerate()
    {
        let revoke = ["revoke", "session", "--issuer", ISSUER, name];
        let (code, text, errors) = run(&authority, &revoke);
        assert_eq!(code, 0, "{name}: {errors}");
        assert!(text.starts_with("revoked\n"), "{name}: {text}");
        assert!(authority.is_session_revoked(name));
        assert_eq!(authority.stats()["entries"], number + 1);
        let check = ["check", "session", name, "--issuer", ISSUER];
        assert_eq!(run(&authority, &check).0, 1);
    }
    let marked = ["revoke", "session", "--issuer", ISSUER, "--", "-h"];
    assert_eq!(run(&authority, &marked).0, 0);
    assert!(authority.is_session_revoked("-h"));
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

fn mint(arguments: &[&str]) -> String {
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
fn a_token_names_what_is_meant_and_is_shown_nowhere() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let claims = ["--subject", "ada", "--session", "-s1", "--client", "app"];
    let token = mint(&[&claims[..], &["--claim", "device_id=d1"]].concat());
    let file = directory.path().join("token");
    fs::write(&file, format!("Bearer {token}")).unwrap();
    let file = file.to_str().unwrap();
    let ask = |arguments: &[&str]| {
        let told = told(&authority.command_with(arguments, &token));
        let (_, output, errors) = &told;
        for part in token.trim().split('.') {
            assert!(!output.contains(part) && !errors.contains(part));
        }
        told
    };
    let check = ["check", "--token", "-", "--device-claim", "device_id"];
    let states = |text: &str| -> Vec<String> {
        let words = |line: &str| line.split_whitespace().collect::<Vec<_>>().join(" ");
        text.lines().map(words).collect()
    };
    let (code, text, errors) = ask(&check);
    assert_eq!(code, 0, "{errors}");
    assert!(errors.contains("nothing of the issuer"), "{errors}");
    let lines = states(&text);
    assert_eq!(lines[0], "not revoked");
    assert_eq!(lines[1], format!("issuer iss not revoked {ISSUER}"));
    assert!(lines[2].starts_with("token jti not revoked "), "{text}");
    assert_eq!(
        lines[3..],
        [
            "session sid not revoked -s1",
            "device device_id not revoked d1",
            "subject sub not revoked ada",
            "client client_id not revoked app",
        ]
    );
    for kind in ["token", "session", "device", "subject", "client", "issuer"] {
        let from = |verb, file| {
            let names = [verb, kind, "--from-token", file];
            ask(&[&names[..], &["--device-claim", "device_id"]].concat())
        };
        let (code, text, errors) = from("revoke", "-");
        assert_eq!(code, 0, "{kind}: {errors}");
        let line = text.lines().nth(1).unwrap();
        assert!(line.starts_with(kind) && line.ends_with(ISSUER), "{text}");
        assert_eq!(from("check", file).0, 1, "{kind}");
        let (_, text, _) = from("list", file);
        assert!(text.contains(&format!("  revoked  {kind}  ")), "{text}");
        let (code, text, _) = ask(&check);
        assert_eq!(code, 1);
        assert!(text.starts_with(&format!("revoked by {kind}\n")), "{text}");
        let revoked: Vec<_> = states(&text);
        let revoked = revoked[1..].iter().filter(|line| !line.contains(" not "));
        let revoked: Vec<_> = revoked.collect();
        assert_eq!(revoked.len(), 1, "{text}");
        assert!(revoked[0].starts_with(kind), "{text}");
        assert_eq!(from("restore", file).0, 0, "{kind}");
    }
    // A token's entry is kept as long as the token lives, and is found by whose it is.
    let revoke = ["revoke", "token", "--from-token", "-"];
    let (_, text, _) = ask(&revoke);
    let is_kept_for_half_an_hour = ["(29m ", "(30m"].iter().any(|time| text.contains(time));
    assert!(is_kept_for_half_an_hour, "with the margin: {text}");
    let (_, text, _) = ask(&["list", "--of-subject", "ada"]);
    assert!(text.contains("  revoked  token  "), "{text}");
    let (_, text, _) = ask(&["check", "--token", file, "--json"]);
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(answer["by"], "token");
    assert_eq!(
        answer["names"][2],
        json!({"kind": "session", "claim": "sid", "value": "-s1", "revoked": false})
    );

    let (code, _, errors) = ask(&["check", "--token", token.trim()]);
    assert_eq!(code, 2);
    assert!(
        errors.contains("expected the name of a file, found a token"),
        "{errors}"
    );
    assert_eq!(ask(&["check", "--token", "absent"]).0, 10);
    let (code, _, errors) = told(&authority.command_with(&["check", "--token", "-"], "opaque"));
    assert_eq!(code, 10);
    assert!(errors.contains("expected three parts"), "{errors}");
    let (code, _, errors) = ask(&["revoke", "device", "--from-token", "-"]);
    assert_eq!(code, 2);
    assert!(errors.contains("expected `--device-claim`"), "{errors}");
}

#[test]
fn an_issuer_that_was_never_heard_of_is_doubted() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let doubt = |verb, issuer| {
        let name = if verb == "list" { "t" } else { "s" };
        let (_, _, errors) = run(&authority, &[verb, "session", name, "--issuer", issuer]);
        errors
    };
    let first = doubt("revoke", ISSUER);
    assert!(
        first.contains("nothing of the issuer `https://issuer.example` was"),
        "{first}"
    );
    for verb in ["revoke", "check", "list", "restore"] {
        assert_eq!(doubt(verb, ISSUER), "", "{verb}");
    }
    for verb in ["check", "list", "restore", "revoke"] {
        let told = doubt(verb, "https://issuer.example/");
        let meant = "; did you mean `https://issuer.example`?\n";
        assert!(
            told.starts_with("warning: ") && told.ends_with(meant),
            "{told}"
        );
    }
    let other = doubt("check", "https://quite.another.example");
    assert!(other.ends_with("was ever revoked here\n"), "{other}");
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
fn a_store_in_use_says_who_has_it() {
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

fn file(directory: &Path, name: &str, text: &str) -> String {
    let path: PathBuf = directory.join(name);
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn whatever_keeps_from_an_answer_has_its_own_sentence_and_exit_code() {
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

    let at = |url: &str| ["stats", "--authority", url].map(str::to_owned);
    let expect_at = |url: &str, code, sentence: &str| {
        let arguments = at(url);
        let arguments = arguments.each_ref().map(String::as_str);
        expect(&authority, &arguments, code, sentence);
    };
    expect_at(
        "http://127.0.0.1:1",
        3,
        "could not reach the authority at http://127.0.0.1:1",
    );
    expect_at("nonsense://x y", 2, "expected the URL of an authority");
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

/// The address of somebody who says this to everybody.
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
    let (certificate, key) = make_certificate(directory.path());
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let authority = Authority::start_with(directory.path(), &tls);
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

    let made = Command::new("openssl")
        .args([
            "req",
            "-x509",
            "-newkey",
            "ec",
            "-pkeyopt",
            "ec_paramgen_curve:P-256",
            "-nodes",
        ])
        .args([
            "-days",
            "2",
            "-subj",
            "/CN=localhost",
            "-addext",
            "subjectAltName=IP:127.0.0.1",
        ])
        .args(["-keyout", &key, "-out", &certificate])
        .output()
        .expect("`openssl`");
    assert!(made.status.success());
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

/// A server of whatever kind, which closes a connection on which no TLS begins.
#[test]
fn whoever_hangs_up_on_plain_http_and_takes_up_tls_speaks_tls() {
    let directory = directory();
    let (certificate, key) = make_certificate(directory.path());
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let authority = Authority::start_with(directory.path(), &tls);
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

#[test]
fn the_commands_that_the_readme_shows_run() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    fs::write(
        directory.path().join("token.jwt"),
        mint(&["--subject", "ada"]),
    )
    .unwrap();
    let readme = include_str!("../../README.md");
    let in_blocks = readme
        .lines()
        .filter(|line| line.starts_with("portcullis "));
    let in_tables = readme.lines().filter(|line| line.starts_with("| "));
    let in_tables = in_tables.filter_map(|line| {
        let command = line.split('`').nth(1)?;
        Some(command).filter(|command| command.starts_with("portcullis "))
    });
    let mut count = 0;
    for command in in_blocks.chain(in_tables) {
        let verb = command.split(' ').nth(1).unwrap();
        if !["revoke", "restore", "check", "list"].contains(&verb) {
            continue;
        }
        let script = format!("portcullis() {{ \"$PORTCULLIS\" \"$@\"; }}; {command}");
        let output = Command::new("sh")
            .args(["-c", &script])
            .current_dir(directory.path())
            .env("PORTCULLIS", binary())
            .env("PORTCULLIS_AUTHORITY", &authority.url)
            .output()
            .unwrap();
        let (code, text, errors) = told(&output);
        let is_revoked = verb == "check" && text.starts_with("revoked by ");
        assert_eq!(code, i32::from(is_revoked), "{command}: {errors}");
        count += 1;
    }
    assert!(count >= 12, "six in the table, six in the block: {count}");
}

/// The answer comes before the body was read, and must be heard all the same.
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

/// Of callers who do not ask first whether the body is wanted.
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
