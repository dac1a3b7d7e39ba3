//! Sessions that look stolen: what is told of them, and that they end where the operator says so.

use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use super::process::{Authority, ISSUER, binary, directory, until};
use super::theft::reports_of_theft;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

const PATIENCE: Duration = Duration::from_secs(20);

/// A session that two clients use in turn.
fn steal(authority: &Authority, sid: &str) {
    for body in reports_of_theft(ISSUER, sid) {
        assert_eq!(authority.post("/v1/activity", &body).status, 204);
    }
}

/// Starts an authority with this file.
fn start(directory: &Path, file: &Value) -> Authority {
    let path = directory.join("authority.json");
    fs::write(&path, file.to_string()).unwrap();
    fs::write(directory.join("secret"), SECRET).unwrap();
    Authority::start_with(directory, &["--config", path.to_str().unwrap()])
}

/// Takes events in at this address, with the headers, and answers 204.
fn receive(listener: TcpListener) -> Receiver<(Vec<String>, Vec<u8>)> {
    let (seen, events) = channel();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let mut reader = BufReader::new(&stream);
            let mut lines = Vec::new();
            loop {
                let mut line = String::new();
                reader.read_line(&mut line).unwrap();
                match line.trim_end() {
                    "" => break,
                    line => lines.push(line.to_ascii_lowercase()),
                }
            }
            let mut lengths = lines.iter();
            let length = lengths.find_map(|line| line.strip_prefix("content-length: "));
            let mut body = vec![0; length.unwrap().parse().unwrap()];
            reader.read_exact(&mut body).unwrap();
            stream
                .write_all(b"HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n")
                .unwrap();
            if seen.send((lines, body)).is_err() {
                return;
            }
        }
    });
    events
}

fn webhook(address: SocketAddr) -> Value {
    json!({"url": format!("http://{address}/events"), "secret_file": "secret"})
}

/// Whether the authority's description has what was delivered.
#[track_caller]
fn is_described(authority: &Authority, headers: &[String], event: &Value) {
    let document = authority.get("/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let post = &document["webhooks"]["session.suspicious"]["post"];
    for parameter in post["parameters"].as_array().unwrap() {
        let name = format!("{}: ", parameter["name"].as_str().unwrap());
        assert!(headers.iter().any(|line| line.starts_with(&name)), "{name}");
    }
    let mut schema = post["requestBody"]["content"]["application/json"]["schema"].clone();
    schema["components"] = document["components"].clone();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let faults = |event: &Value| {
        let faults = validator.iter_errors(event);
        faults.map(|fault| fault.to_string()).collect::<Vec<_>>()
    };
    assert_eq!(faults(event), [] as [String; 0], "{event}");
    let mut other = event.clone();
    other["data"]["session"]["sightings"] = json!({});
    assert_ne!(faults(&other), [] as [String; 0]);
}

#[test]
fn a_session_that_looks_stolen_is_told_and_goes_on() {
    let directory = directory();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = json!({"webhook": webhook(listener.local_addr().unwrap())});
    let events = receive(listener);
    let authority = start(directory.path(), &file);
    steal(&authority, "stolen");
    let (headers, body) = events.recv_timeout(PATIENCE).unwrap();
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["type"], "session.suspicious");
    assert_eq!(event["data"]["kind"], "clients");
    assert_eq!(event["data"]["ended"], false);
    assert_eq!(event["data"]["session"]["sid"], "stolen");
    assert_eq!(headers[0], "post /events http/1.1");
    is_described(&authority, &headers, &event);

    // What a receiver checks.
    let header = |name: &str| {
        let mut headers = headers.iter();
        let value = headers.find_map(|line| line.strip_prefix(&format!("{name}: ")));
        value.unwrap().to_owned()
    };
    let key = STANDARD.decode(&SECRET["whsec_".len()..]).unwrap();
    let signed = format!("{}.{}.", header("webhook-id"), header("webhook-timestamp"));
    let signed = [signed.as_bytes(), &body].concat();
    let signature = STANDARD.encode(hmac_sha256::HMAC::mac(signed, key));
    let signature = format!("v1,{}", signature.to_ascii_lowercase());
    assert_eq!(header("webhook-signature"), signature);

    let sessions = authority.get("/v1/sessions?suspicious=true").json();
    let evidence = &sessions["sessions"][0]["suspicion"]["evidence"];
    assert_eq!(*evidence, event["data"]["evidence"]["text"]);
    let shown = Command::new(binary())
        .args(["sessions", "--suspicious", "--authority", &authority.url])
        .output()
        .unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains(evidence.as_str().unwrap()), "{shown}");
    let metric = "portcullis_suspicions_total{kind=\"clients\",ended=\"false\"} 1\n";
    until(|| {
        let metrics = authority.get("/metrics").text();
        metrics.contains(metric)
            && metrics.contains("portcullis_webhook_events_total{outcome=\"delivered\"} 1\n")
    });
    let log = authority.log();
    assert!(log.contains("a session looks stolen"), "{log}");
    assert!(!log.contains("whsec_"), "{log}");
    assert!(!authority.is_session_revoked("stolen"));
    assert!(events.try_recv().is_err(), "once");
}

#[test]
fn a_session_that_looks_stolen_ends_where_the_operator_says_so() {
    let directory = directory();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let file = json!({
        "suspicion": {"clients": {"on_suspicion": "end"}},
        "webhook": webhook(listener.local_addr().unwrap()),
    });
    let events = receive(listener);
    let authority = start(directory.path(), &file);
    steal(&authority, "stolen");
    let (_, body) = events.recv_timeout(PATIENCE).unwrap();
    let event: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(event["data"]["ended"], true);
    assert!(authority.is_session_revoked("stolen"));
    let history = authority.command(&["list", "--of-subject", "alice", "--json"]);
    let history = String::from_utf8(history.stdout).unwrap();
    assert!(history.contains("looks stolen"), "{history}");
}

#[test]
fn a_receiver_that_is_down_holds_nothing_up_and_is_told_when_it_is_back() {
    let directory = directory();
    let address = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap();
    let authority = start(directory.path(), &json!({"webhook": webhook(address)}));
    let begun = Instant::now();
    for number in 0..20 {
        steal(&authority, &format!("s{number}"));
    }
    assert!(begun.elapsed() < PATIENCE);
    until(|| {
        let metrics = authority.get("/metrics").text();
        !metrics.contains("portcullis_webhook_failures_total 0\n")
            && metrics
                .contains("portcullis_suspicions_total{kind=\"clients\",ended=\"false\"} 20\n")
    });
    let events = receive(TcpListener::bind(address).unwrap());
    for number in 0..20 {
        let (_, body) = events.recv_timeout(2 * PATIENCE).unwrap();
        let event: Value = serde_json::from_slice(&body).unwrap();
        assert_eq!(event["data"]["session"]["sid"], format!("s{number}"));
    }
}

#[test]
fn without_its_secret_the_authority_does_not_start() {
    let directory = directory();
    let file = directory.path().join("authority.yaml");
    fs::write(
        &file,
        "webhook: {url: 'https://events.example.com/', secret_file: secret}\n",
    )
    .unwrap();
    let run = || {
        let data = directory.path().join("data");
        let output = Command::new(binary())
            .args(["serve", "--listen", "127.0.0.1:0", "--config"])
            .arg(&file)
            .arg("--data")
            .arg(data)
            .output()
            .unwrap();
        (
            output.status.code(),
            String::from_utf8(output.stderr).unwrap(),
        )
    };
    let (code, errors) = run();
    assert_eq!(code, Some(1), "{errors}");
    assert!(
        errors.contains("`webhook.secret_file` of the authority's file: could not read")
            && errors.contains(directory.path().to_str().unwrap()),
        "{errors}"
    );
    fs::write(directory.path().join("secret"), "whsec_c2hvcnQ=").unwrap();
    let (code, errors) = run();
    assert_eq!(code, Some(1), "{errors}");
    assert!(errors.contains("`whsec_` and 24 to 64 bytes"), "{errors}");
    assert!(!errors.contains("c2hvcnQ"), "{errors}");
}
