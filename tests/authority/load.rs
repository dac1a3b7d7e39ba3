//! How much the authority takes. Not run by default:
//! `cargo test --release --test authority -- --ignored --nocapture load`

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use super::process::{Authority, ISSUER, directory, until};

fn clients() -> usize {
    std::env::var("PORTCULLIS_CLIENTS").map_or(256, |count| count.parse().unwrap())
}

const SECONDS: u64 = 8;

/// One client with one connection, speaking just enough HTTP to cost next to nothing.
struct Client {
    stream: BufReader<TcpStream>,
    line: String,
    body: Vec<u8>,
}

impl Client {
    fn connect(address: &str) -> Self {
        let stream = TcpStream::connect(address).unwrap();
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::new(stream),
            line: String::new(),
            body: Vec::new(),
        }
    }

    fn post(&mut self, path: &str, body: &str) {
        let request = format!(
            "POST {path} HTTP/1.1\r\nhost: a\r\ncontent-type: application/json\r\n\
             content-length: {}\r\n\r\n{body}",
            body.len()
        );
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
        let mut length = 0;
        loop {
            self.line.clear();
            self.stream.read_line(&mut self.line).unwrap();
            if let Some(value) = self.line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
            assert!(
                !self.line.starts_with("HTTP") || self.line.contains(" 200 "),
                "{}",
                self.line
            );
            if self.line == "\r\n" {
                break;
            }
        }
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).unwrap();
    }
}

fn drive(
    address: &str,
    path: &str,
    body: impl Fn(usize, u64) -> String + Sync,
) -> (f64, Vec<Duration>) {
    let done = AtomicU64::new(0);
    let started = Instant::now();
    let end = started + Duration::from_secs(SECONDS);
    let mut delays: Vec<Duration> = thread::scope(|scope| {
        let clients: Vec<_> = (0..clients())
            .map(|client| {
                let (done, body) = (&done, &body);
                scope.spawn(move || {
                    let mut connection = Client::connect(address);
                    let mut delays = Vec::new();
                    let mut number = 0;
                    while Instant::now() < end {
                        let asked = Instant::now();
                        connection.post(path, &body(client, number));
                        delays.push(asked.elapsed());
                        number += 1;
                        done.fetch_add(1, Ordering::Relaxed);
                    }
                    delays
                })
            })
            .collect();
        clients
            .into_iter()
            .flat_map(|client| client.join().unwrap())
            .collect()
    });
    #[expect(clippy::cast_precision_loss, reason = "a rate need not be exact")]
    let rate = done.load(Ordering::Relaxed) as f64 / started.elapsed().as_secs_f64();
    delays.sort_unstable();
    (rate, delays)
}

fn report(what: &str, (rate, delays): &(f64, Vec<Duration>)) {
    let at = |share: usize| delays[(delays.len() - 1) * share / 100];
    println!(
        "{what}: {rate:.0}/s from {} clients, p50 {:?}, p99 {:?}",
        clients(),
        at(50),
        at(99)
    );
}

#[test]
#[ignore = "a measurement"]
fn load() {
    let directory = directory();
    let authority = Authority::start_with(directory.path(), &["--log-level", "warn"]);
    let single = drive(authority.address(), "/v1/revocations", |client, number| {
        format!(r#"{{"kind":"session","issuer":"{ISSUER}","value":"{client}-{number}"}}"#)
    });
    report("durable single revocations", &single);
    let checks = drive(authority.address(), "/v1/check", |client, number| {
        format!(r#"{{"issuer":"{ISSUER}","sid":"{client}-{number}","jti":"t","subject":"u"}}"#)
    });
    report("exact checks", &checks);
    let metrics = String::from_utf8(authority.get("/metrics").bytes).unwrap();
    for line in metrics
        .lines()
        .filter(|line| line.contains("_commits_total"))
    {
        println!("{line}");
    }
}

#[test]
#[ignore = "a measurement"]
fn import_load() {
    let count: u32 =
        std::env::var("PORTCULLIS_IMPORT").map_or(1_000_000, |count| count.parse().unwrap());
    let directory = directory();
    let authority = Authority::start(directory.path());
    let lines = (0..count).map(|number| {
        format!(
            "{{\"kind\":\"session\",\"issuer\":\"{ISSUER}\",\"value\":\"session-{number:012}\"}}\n"
        )
    });
    let file = directory.path().join("lines");
    std::fs::write(&file, lines.collect::<String>()).unwrap();
    let started = Instant::now();
    let output = authority.command(&["import", file.to_str().unwrap()]);
    let elapsed = started.elapsed();
    println!("{}", String::from_utf8_lossy(&output.stdout).trim());
    let rate = f64::from(count) / elapsed.as_secs_f64();
    println!("imported {count} in {elapsed:?}: {rate:.0}/s");
    let status = std::fs::read_to_string(format!("/proc/{}/status", authority.id())).unwrap();
    for line in status
        .lines()
        .filter(|line| line.starts_with("VmRSS") || line.starts_with("VmHWM"))
    {
        println!("{line}");
    }
    let size = std::fs::metadata(directory.path().join("data/authority.redb"))
        .unwrap()
        .len();
    println!("store {} MiB", size >> 20);
    authority.kill();
    let started = Instant::now();
    let authority = Authority::start(directory.path());
    println!("started after a kill in {:?}", started.elapsed());
    until(|| authority.get("/readyz").status == 200);
    println!("{}", authority.stats()["generation"]);
    println!("first generation after {:?}", started.elapsed());
}
