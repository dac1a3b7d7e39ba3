//! How many revocations a second the authority takes, each of them on the disk before it is
//! acknowledged, one by one and in bulk.
//!
//! The clients are connections that are kept alive, each with one request under way. A few threads
//! serve them in turns, since a thread for each would cost the two cores more than the authority.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::{Duration, Instant};

use super::Extent;
use super::import::import;
use super::process;
use super::report::Report;
use crate::support::{Authority, ISSUER};

/// Connections at once.
const CLIENTS: usize = 512;

/// Threads that serve them.
const THREADS: usize = 4;

/// A second, on two cores that clients and authority share.
const PROMISED_SINGLE: f64 = 20_000.0;

/// A second, of a million in one import.
const PROMISED_IMPORTED: f64 = 200_000.0;

/// The result of a run of requests.
pub(crate) struct Run {
    pub(crate) delays: Vec<Duration>,
    pub(crate) took: Duration,
}

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (seconds, lines) = match extent {
        Extent::Smoke => (1, 50_000),
        _ => (10, 1_000_000),
    };
    let authority = Authority::start_with(&["--log-level", "warn"]);
    let commits = commits(&authority);
    let cpu = process::cpu(authority.id());
    let mut single = revoke(&[&authority], CLIENTS, seconds);
    let cpu = process::cpu_since(authority.id(), cpu).as_secs_f64();
    let (count, rate) = (single.delays.len(), single.rate());
    let name = format!("durable single revocations, {CLIENTS} clients");
    report.promise_at_least(&name, rate, PROMISED_SINGLE, "/s");
    report.delays("single revocation", &mut single.delays, None);
    let commits = self::commits(&authority) - commits;
    report.note("revocations in one commit", count as f64 / commits, "");
    let cores = cpu / single.took.as_secs_f64();
    report.note("cores that the authority used meanwhile", cores, "");
    let entries = authority.stats()["entries"].as_u64();
    assert_eq!(entries, Some(count as u64), "acknowledged and there");

    let mut checks = check(&[&authority], CLIENTS, seconds, |client, number| {
        format!("{client}-{number}")
    });
    report.note("exact checks", checks.rate(), "/s");
    report.delays("exact check", &mut checks.delays, None);

    let authority = Authority::start_with(&["--log-level", "warn"]);
    let cpu = process::cpu(authority.id());
    let took = import(&authority, 0, lines).as_secs_f64();
    let cpu = process::cpu_since(authority.id(), cpu).as_secs_f64();
    let name = format!("{lines} imported at once");
    report.promise_at_least(
        &name,
        (lines as f64 / took).round(),
        PROMISED_IMPORTED,
        "/s",
    );
    // Unlike the rate, this does not depend on other programs.
    let each = cpu * 1e6 / lines as f64;
    report.note("processor time for each that is imported", each, "µs");
    assert_eq!(authority.stats()["entries"].as_u64(), Some(lines));
}

/// Has clients revoke one session after the other, each another one.
pub(crate) fn revoke(authorities: &[&Authority], clients: usize, seconds: u64) -> Run {
    drive(
        authorities,
        clients,
        "/v1/revocations",
        seconds,
        |client, number| {
            format!(r#"{{"kind":"session","issuer":"{ISSUER}","value":"{client}-{number}"}}"#)
        },
    )
}

/// Has clients ask about one session after the other, which `session` gives for each client and round.
pub(crate) fn check(
    authorities: &[&Authority],
    clients: usize,
    seconds: u64,
    session: impl Fn(usize, u64) -> String + Sync,
) -> Run {
    drive(
        authorities,
        clients,
        "/v1/check",
        seconds,
        |client, number| {
            let session = session(client, number);
            format!(r#"{{"issuer":"{ISSUER}","sid":"{session}","jti":"t","subject":"u"}}"#)
        },
    )
}

/// Has all clients send one request after the other for this long. Each thread's clients are those of one
/// authority, and as many threads those of each.
fn drive(
    authorities: &[&Authority],
    clients: usize,
    path: &str,
    seconds: u64,
    body: impl Fn(usize, u64) -> String + Sync,
) -> Run {
    let each = clients.div_ceil(THREADS.next_multiple_of(authorities.len()));
    let mut clients: Vec<_> = (0..clients)
        .map(|number| {
            let authority = authorities[number / each % authorities.len()];
            let (address, credential) = (authority.address(), authority.admin_credential());
            (number, Client::connect(address, path, credential))
        })
        .collect();
    let started = Instant::now();
    let end = started + Duration::from_secs(seconds);
    let delays = thread::scope(|scope| {
        let threads: Vec<_> = clients
            .chunks_mut(each)
            .map(|clients| {
                let body = &body;
                scope.spawn(move || {
                    let mut delays = Vec::new();
                    let mut round = 0;
                    while Instant::now() < end {
                        for (number, client) in clients.iter_mut() {
                            client.ask(&body(*number, round));
                        }
                        delays.extend(clients.iter_mut().map(|(_, client)| client.hear()));
                        round += 1;
                    }
                    delays
                })
            })
            .collect();
        let delays = threads.into_iter().map(|thread| thread.join().unwrap());
        delays.flatten().collect()
    });
    Run {
        delays,
        took: started.elapsed(),
    }
}

impl Run {
    pub(crate) fn rate(&self) -> f64 {
        (self.delays.len() as f64 / self.took.as_secs_f64()).round()
    }
}

/// One client of the authority's interface, over a connection that it keeps.
pub(crate) struct Client {
    connection: Connection,
    head: String,
}

impl Client {
    pub(crate) fn connect(address: SocketAddr, path: &str, credential: &str) -> Self {
        Self {
            connection: Connection::new(TcpStream::connect(address).unwrap()),
            head: format!(
                "POST {path} HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {credential}\r\n\
                 content-type: application/json\r\ncontent-length: "
            ),
        }
    }

    pub(crate) fn ask(&mut self, body: &str) {
        let request = format!("{}{}\r\n\r\n{body}", self.head, body.len());
        self.connection.send(&request);
    }

    /// Waits for the answer and says how long after the request it came.
    pub(crate) fn hear(&mut self) -> Duration {
        let (status, delay) = self.connection.hear();
        let body = String::from_utf8_lossy(&self.connection.body);
        assert!((200..300).contains(&status), "{status}: {body}");
        delay
    }
}

/// One connection, speaking just enough HTTP to cost next to nothing.
pub(crate) struct Connection {
    stream: BufReader<TcpStream>,
    asked: Instant,
    line: String,
    body: Vec<u8>,
}

impl Connection {
    pub(crate) fn new(stream: TcpStream) -> Self {
        stream.set_nodelay(true).unwrap();
        Self {
            stream: BufReader::with_capacity(1024, stream),
            asked: Instant::now(),
            line: String::new(),
            body: Vec::new(),
        }
    }

    /// Sends a request as it stands here.
    pub(crate) fn send(&mut self, request: &str) {
        self.asked = Instant::now();
        self.stream.get_mut().write_all(request.as_bytes()).unwrap();
    }

    /// Waits for the answer: its status, and how long after the request it came.
    pub(crate) fn hear(&mut self) -> (u16, Duration) {
        let mut length = 0;
        let mut status = None;
        while self.line != "\r\n" {
            self.line.clear();
            self.stream.read_line(&mut self.line).unwrap();
            assert!(!self.line.is_empty(), "the authority hung up");
            // `HTTP/1.1 200 OK`.
            status = status.or_else(|| self.line.split(' ').nth(1)?.parse().ok());
            if let Some(value) = self.line.strip_prefix("content-length: ") {
                length = value.trim().parse().unwrap();
            }
        }
        self.line.clear();
        self.body.resize(length, 0);
        self.stream.read_exact(&mut self.body).unwrap();
        (status.expect("a status"), self.asked.elapsed())
    }
}

/// Commits so far that it has made.
pub(crate) fn commits(authority: &Authority) -> f64 {
    let (_, metrics) = authority.get("/metrics");
    let value = |line: &str| line.strip_prefix("portcullis_commits_total ")?.parse().ok();
    metrics.lines().find_map(value).expect("a count of commits")
}
