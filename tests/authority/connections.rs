//! Connections: with TLS and without, and which are closed when there are too many.

use std::fs;
use std::io::{BufRead as _, BufReader, ErrorKind, Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant, SystemTime};

use super::access::warnings;
use super::certificate::make_certificate;
use super::process::{Authority, credential, directory, until};

/// An authority with TLS, and its certificate.
pub(crate) fn with_tls(directory: &Path) -> (Authority, String) {
    let (certificate, key) = make_certificate(directory);
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    (Authority::start_with(directory, &tls), certificate)
}

#[test]
fn tls_is_spoken_with_a_certificate() {
    let directory = directory();
    let (authority, certificate) = with_tls(directory.path());
    assert!(authority.url.starts_with("https://"));
    assert!(is_trusted_by(&authority, &certificate));
    let doubting = authority.command(&["stats"]);
    assert_eq!(doubting.status.code(), Some(5));
}

/// Whether the command line finds an authority that this certificate vouches for.
fn is_trusted_by(authority: &Authority, certificate: &str) -> bool {
    let trusting = ["stats", "--json", "--certificate-authority", certificate];
    authority.command(&trusting).status.success()
}

#[test]
fn a_renewed_certificate_is_shown_without_a_restart() {
    let (directory, renewed) = (directory(), directory());
    let (certificate, key) = make_certificate(directory.path());
    let (new_certificate, new_key) = make_certificate(renewed.path());
    let old_certificate = directory.path().join("old.pem");
    fs::copy(&certificate, &old_certificate).unwrap();
    let old_certificate = old_certificate.to_str().unwrap();
    let tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let authority = Authority::start_with(directory.path(), &tls);
    assert!(is_trusted_by(&authority, old_certificate));
    // Half of it is renewed: the pair from before stays.
    fs::copy(&new_certificate, &certificate).unwrap();
    until(|| {
        authority
            .log()
            .contains("the changed certificate is not usable")
    });
    assert!(is_trusted_by(&authority, old_certificate));
    fs::copy(&new_key, &key).unwrap();
    until(|| is_trusted_by(&authority, &new_certificate));
    assert!(!is_trusted_by(&authority, old_certificate));
}

#[test]
fn a_certificate_that_has_to_be_replaced_is_told() {
    let directory = directory();
    let (authority, certificate) = with_tls(directory.path());
    // It is for two days.
    until(|| !warnings(&authority, "the certificate expires soon").is_empty());
    let day = 86_400.0;
    let left = seconds_left(&authority);
    assert!((1.9 * day..=2.0 * day).contains(&left), "{left}");
    let key = directory.path().join("key.pem");
    let status = Command::new("openssl")
        .args(["x509", "-days", "-1", "-in", &certificate, "-signkey"])
        .arg(&key)
        .args(["-out", &certificate])
        .status();
    assert!(status.unwrap().success());
    until(|| authority.log().contains("the certificate has expired"));
    let left = seconds_left(&authority);
    assert!((-1.1 * day..0.0).contains(&left), "{left}");
    let trusting = ["stats", "--certificate-authority", &certificate];
    let output = authority.command(&trusting);
    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(5), "{errors}");
    assert!(
        errors.contains("is not valid now: ") && errors.contains("hint: "),
        "{errors}"
    );
}

/// Until the certificate of the main listener expires, by its metric.
fn seconds_left(authority: &Authority) -> f64 {
    let page = authority.get("/metrics").text();
    let name = r#"portcullis_certificate_expiry_timestamp_seconds{listener="main"} "#;
    let end = page.lines().find_map(|line| line.strip_prefix(name));
    let end: f64 = end.expect("a certificate's end").parse().unwrap();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    end - now.unwrap().as_secs_f64()
}

#[test]
fn tls_on_a_plain_listener_is_logged() {
    let directory = directory();
    let authority = Authority::start(directory.path());
    let page = authority.get("/metrics").text();
    assert!(!page.contains("portcullis_certificate_expiry_timestamp_seconds{"));
    // The beginning of a handshake (RFC 8446).
    let mut stream = connection(&authority, "\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00");
    let mut answer = Vec::new();
    // A reset is an end, too.
    let _ = stream.read_to_end(&mut answer);
    assert_eq!(answer, b"");
    until(|| !warnings(&authority, "speaks TLS").is_empty());
    assert_eq!(authority.get("/healthz").status, 200);
}

#[test]
fn plain_http_on_a_tls_listener_is_told_so() {
    let directory = directory();
    let (authority, certificate) = with_tls(directory.path());
    let asks = "POST /v1/revocations HTTP/1.1\r\nhost: a\r\nauthorization: Bearer x\r\n\
                content-length: 0\r\n\r\n";
    let mut answer = String::new();
    let read = connection(&authority, asks).read_to_string(&mut answer);
    read.unwrap();
    assert!(answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert!(answer.contains(r#""code":"tls_expected""#), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
    until(|| !warnings(&authority, "speaks no TLS").is_empty());
    // A client that does not trust the certificate sends an alert, if it is polite.
    let doubting = Command::new("openssl")
        .args(["s_client", "-verify_return_error", "-connect"])
        .arg(authority.address())
        .stdin(Stdio::null())
        .output();
    assert!(!doubting.expect("`openssl`").status.success());
    until(|| !warnings(&authority, "not with this certificate").is_empty());
    assert!(is_trusted_by(&authority, &certificate));
}

/// A connection on which this was sent.
pub(crate) fn connection(authority: &Authority, sent: &str) -> TcpStream {
    let mut stream = TcpStream::connect(authority.address()).unwrap();
    stream
        .set_read_timeout(Some(Duration::from_secs(10)))
        .unwrap();
    stream.write_all(sent.as_bytes()).unwrap();
    stream
}

/// Whether the last request is answered; `false` when the connection is closed.
fn is_answered(stream: &TcpStream) -> bool {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    // Part of an earlier answer may come first.
    lines.any(|line| line == "HTTP/1.1 200 OK")
}

/// Whether the authority has closed the connection; `false` when it is only silent.
fn is_closed(mut stream: &TcpStream) -> bool {
    match std::io::copy(&mut stream, &mut std::io::sink()) {
        Ok(_) => true,
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

#[test]
fn connections_that_say_nothing_do_not_hold_up_the_end() {
    let directory = directory();
    let mut authority = Authority::start(directory.path());
    let _silent: Vec<_> = (0..10).map(|_| connection(&authority, "")).collect();
    assert_eq!(authority.get("/healthz").status, 200);
    let began = Instant::now();
    authority.signal("TERM");
    assert!(authority.wait().success());
    assert!(began.elapsed() < Duration::from_secs(5), "{began:?}");
    assert!(
        !authority.log().contains("unfinished"),
        "{}",
        authority.log()
    );
}

#[test]
fn callers_without_a_credential_keep_out_none_with_one() {
    let directory = directory();
    let admin = credential(directory.path(), "admin", "console");
    let file = directory.path().join("credentials");
    let script = format!(
        "ulimit -n 200; exec \"$@\" --credentials {}",
        file.display()
    );
    let authority = Authority::start_in_shell(directory.path(), &script).with_credential(&admin);
    let ask = format!("GET /v1/stats HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {admin}\r\n\r\n");
    let mut known = connection(&authority, &ask);
    assert!(is_answered(&known));
    // Twice as many as the process may have, all of them staying.
    let half_a_request = "GET /v1/stats HTTP/1.1\r\nhost: a\r\n";
    let wrong = "GET /v1/stats HTTP/1.1\r\nhost: a\r\nauthorization: Bearer wrong\r\n\r\n";
    let strangers: Vec<_> = [half_a_request, wrong]
        .into_iter()
        .cycle()
        .take(400)
        .map(|sent| connection(&authority, sent))
        .collect();
    let newcomer = connection(&authority, &ask);
    assert!(is_answered(&newcomer));
    known.write_all(ask.as_bytes()).unwrap();
    assert!(is_answered(&known));
    assert!(is_closed(&strangers[0]));
    let log = authority.log();
    let lines = log
        .lines()
        .filter(|line| line.contains("all connections are in use"));
    assert!(
        (1..=2).contains(&lines.count()),
        "a line now and then: {log}"
    );
}

/// A process with few connections, and requests of an edge and an admin.
fn crowded(directory: &Path) -> (Authority, String, String) {
    let [admin, edge] = ["admin", "edge"].map(|role| credential(directory, role, role));
    let file = directory.join("credentials");
    let script = format!("ulimit -n 64; exec \"$@\" --credentials {}", file.display());
    let authority = Authority::start_in_shell(directory, &script).with_credential(&admin);
    until(|| authority.get("/readyz").status == 200);
    let ask = |path: &str, secret: &str| {
        format!("GET {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {secret}\r\n\r\n")
    };
    let epoch = authority.stats()["epoch"].as_u64().unwrap();
    let poll = ask(
        &format!("/v1/feed/deltas?epoch={epoch}&after=0&wait=60"),
        &edge,
    );
    let stats = ask("/v1/stats", &admin);
    (authority, poll, stats)
}

#[test]
fn an_edge_that_holds_polls_keeps_no_operator_and_no_health_check_out() {
    let directory = directory();
    let (authority, poll, stats) = crowded(directory.path());
    let polls: Vec<_> = (0..100).map(|_| connection(&authority, &poll)).collect();
    until(|| authority.log().contains("too many connections"));
    for number in 0..40 {
        assert!(is_answered(&connection(&authority, &stats)), "{number}");
        let health = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n";
        assert!(is_answered(&connection(&authority, health)), "{number}");
    }
    // The same, and all of them stay.
    let kept: Vec<_> = (0..40).map(|_| connection(&authority, &stats)).collect();
    assert!(is_answered(kept.last().unwrap()));
    let mut refused = String::new();
    let last = connection(&authority, &poll).read_to_string(&mut refused);
    assert!(
        last.is_ok() && refused.starts_with("HTTP/1.1 503 "),
        "{refused}"
    );
    assert!(refused.contains("\r\nconnection: close\r\n"), "{refused}");
    assert!(
        refused.contains("\"code\":\"too_many_connections\""),
        "{refused}"
    );
    let waiting = authority.stats()["edges_waiting"].as_u64().unwrap();
    assert!((8..=24).contains(&waiting), "{waiting} polls");
    drop(polls);
    until(|| authority.stats()["edges_waiting"] == 0);
    let lines = authority
        .log()
        .lines()
        .filter(|line| line.contains("connections"))
        .count();
    assert!(lines < 10, "a line now and then: {}", authority.log());
}

#[test]
fn one_credential_leaves_slots_to_the_edges_of_another() {
    let directory = directory();
    let (authority, poll, _) = crowded(directory.path());
    let other = credential(directory.path(), "edge", "other");
    let other = Authority::with_credential(authority, &other);
    until(|| other.get("/v1/feed/keys").status == 200);
    let polls: Vec<_> = (0..100).map(|_| connection(&other, &poll)).collect();
    until(|| other.log().contains("too many connections"));
    for _ in 0..3 {
        assert_eq!(other.get("/v1/feed/keys").status, 200);
    }
    drop(polls);
}
