use std::fs;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver as Requests, channel};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use hmac_sha256::HMAC;
use tempfile::TempDir;

use super::*;

const SECRET: &str = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";

/// Longer than anything takes here.
const PATIENCE: Duration = Duration::from_secs(20);

/// What a receiver does with a connection.
#[derive(Clone, Copy, Debug)]
enum Behaviour {
    Answer(u16),
    Redirect(u16),
    HangUp,
    Stall,
    Garbage,
}

/// A request that a receiver was sent.
#[derive(Debug)]
struct Seen {
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Seen {
    fn header(&self, name: &str) -> &str {
        let mut headers = self.headers.iter();
        let header = headers.find(|(found, _)| found.eq_ignore_ascii_case(name));
        header.map(|(_, value)| value.as_str()).unwrap()
    }
}

/// A receiver that does one thing for each request, and the last of them for ever.
struct Place {
    port: u16,
    seen: Requests<Seen>,
}

impl Place {
    fn open(listener: TcpListener, behaviours: &'static [Behaviour]) -> Self {
        let port = listener.local_addr().unwrap().port();
        let (seen, requests) = channel();
        thread::spawn(move || {
            let last = std::iter::repeat(behaviours.last().unwrap());
            for (stream, behaviour) in listener.incoming().zip(behaviours.iter().chain(last)) {
                let Some(request) = read(stream.as_ref().unwrap()) else {
                    continue;
                };
                if seen.send(request).is_err() {
                    return;
                }
                act(stream.unwrap(), *behaviour, port);
            }
        });
        Self {
            port,
            seen: requests,
        }
    }

    fn new(behaviours: &'static [Behaviour]) -> Self {
        Self::open(TcpListener::bind("127.0.0.1:0").unwrap(), behaviours)
    }

    fn next(&self) -> Seen {
        self.seen.recv_timeout(PATIENCE).unwrap()
    }
}

fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) => headers.push((name.to_owned(), value.to_owned())),
            None => break,
        }
    }
    let mut seen = Seen {
        path,
        headers,
        body: Vec::new(),
    };
    let length = seen.header("content-length").parse().unwrap();
    seen.body.resize(length, 0);
    reader.read_exact(&mut seen.body).ok()?;
    Some(seen)
}

fn act(mut stream: TcpStream, behaviour: Behaviour, port: u16) {
    let answer = match behaviour {
        Behaviour::Answer(status) => {
            format!("HTTP/1.1 {status} X\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        }
        Behaviour::Redirect(status) => format!(
            "HTTP/1.1 {status} X\r\nlocation: http://127.0.0.1:{port}/elsewhere\r\n\
             content-length: 0\r\nconnection: close\r\n\r\n"
        ),
        Behaviour::Garbage => "SSH-2.0-OpenSSH\r\n\r\n".to_owned(),
        Behaviour::HangUp => return,
        Behaviour::Stall => {
            // Held open, beside the others.
            thread::spawn(move || {
                thread::sleep(PATIENCE);
                drop(stream);
            });
            return;
        }
    };
    // A client that has hung up does not want it.
    let _ = stream.write_all(answer.as_bytes());
}

const fn pace(given_up_after: Duration) -> Pace {
    Pace {
        first_wait: Duration::from_millis(5),
        longest_wait: Duration::from_millis(40),
        given_up_after,
    }
}

/// A webhook, the directory with its secret, and its metrics.
struct Sender {
    webhook: Webhook,
    metrics: Arc<Metrics>,
    directory: TempDir,
}

impl Sender {
    fn new(url: String, pace: Pace) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let secret_file = directory.path().join("secret");
        fs::write(&secret_file, SECRET).unwrap();
        let receiver = Receiver {
            url,
            secret_file,
            certificate_authority: None,
            timeout: Duration::from_millis(300),
        };
        let metrics = Arc::new(Metrics::new());
        let webhook = Webhook::start(&receiver, pace, &metrics).unwrap();
        Self {
            webhook,
            metrics,
            directory,
        }
    }

    fn to(port: u16, given_up_after: Duration) -> Self {
        Self::new(
            format!("http://127.0.0.1:{port}/hook?a=b"),
            pace(given_up_after),
        )
    }

    fn send(&self, id: &str) {
        self.webhook.send(Event {
            id: id.to_owned(),
            body: format!("{{\"id\":\"{id}\"}}").into_bytes(),
        });
    }

    /// Waits until this is how events ended.
    fn expect(&self, fates: &[(Fate, u64)]) {
        let counted = |fate| self.metrics.webhook_events(fate);
        let start = Instant::now();
        while fates.iter().any(|(fate, count)| counted(*fate) != *count) {
            let all = Fate::ALL.map(|fate| (fate, counted(fate)));
            assert!(start.elapsed() < PATIENCE, "{all:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }
}

fn signature(secret: &str, seen: &Seen) -> String {
    let secret = STANDARD
        .decode(secret.strip_prefix("whsec_").unwrap())
        .unwrap();
    let [id, timestamp] = ["webhook-id", "webhook-timestamp"].map(|name| seen.header(name));
    let signed = [format!("{id}.{timestamp}.").as_bytes(), &seen.body].concat();
    format!("v1,{}", STANDARD.encode(HMAC::mac(signed, secret)))
}

#[test]
fn an_event_is_signed_and_delivered_once() {
    let place = Place::new(&[Behaviour::Answer(204)]);
    let sender = Sender::to(place.port, PATIENCE);
    sender.send("first");
    sender.send("second");
    for id in ["first", "second"] {
        let seen = place.next();
        assert_eq!(seen.path, "/hook?a=b");
        assert_eq!(seen.header("content-type"), "application/json");
        assert_eq!(seen.header("webhook-id"), id);
        assert_eq!(seen.body, format!("{{\"id\":\"{id}\"}}").into_bytes());
        assert_eq!(seen.header("webhook-signature"), signature(SECRET, &seen));
        let timestamp: u64 = seen.header("webhook-timestamp").parse().unwrap();
        let now = crate::authority::clock::now().seconds();
        assert!((now - 60..=now).contains(&timestamp), "{timestamp} {now}");
    }
    sender.expect(&[(Fate::Delivered, 2), (Fate::Refused, 0)]);
    assert!(place.seen.try_recv().is_err());
}

#[test]
fn an_event_is_tried_until_the_receiver_has_it() {
    let place = Place::new(&[
        Behaviour::Answer(500),
        Behaviour::Answer(429),
        Behaviour::Answer(404),
        Behaviour::HangUp,
        Behaviour::Stall,
        Behaviour::Garbage,
        Behaviour::Redirect(302),
        Behaviour::Redirect(307),
        Behaviour::Answer(200),
    ]);
    let sender = Sender::to(place.port, PATIENCE);
    sender.send("only");
    sender.expect(&[(Fate::Delivered, 1)]);
    let seen: Vec<_> = place.seen.try_iter().collect();
    assert_eq!(seen.len(), 9);
    for attempt in &seen {
        assert_eq!(attempt.path, "/hook?a=b", "no redirect is followed");
        assert_eq!(attempt.header("webhook-id"), "only");
        assert_eq!(
            attempt.header("webhook-signature"),
            signature(SECRET, attempt)
        );
    }
    assert_eq!(sender.metrics.webhook_failures(), 8);
}

#[test]
fn an_event_that_the_receiver_never_takes_does_not_hold_up_the_next() {
    for status in [400, 410, 413, 415, 422] {
        let behaviours = Box::leak(Box::new([
            Behaviour::Answer(status),
            Behaviour::Answer(204),
        ]));
        let place = Place::new(behaviours);
        let sender = Sender::to(place.port, PATIENCE);
        sender.send("refused");
        sender.send("taken");
        sender.expect(&[(Fate::Refused, 1), (Fate::Delivered, 1)]);
    }
}

#[test]
fn a_receiver_that_comes_back_gets_what_waited() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let sender = Sender::to(address.port(), PATIENCE);
    for id in ["a", "b", "c"] {
        sender.send(id);
    }
    let start = Instant::now();
    while sender.metrics.webhook_failures() < 3 {
        assert!(start.elapsed() < PATIENCE);
        thread::sleep(Duration::from_millis(5));
    }
    let place = Place::open(
        TcpListener::bind(address).unwrap(),
        &[Behaviour::Answer(200)],
    );
    let ids = ["a", "b", "c"].map(|_| place.next().header("webhook-id").to_owned());
    assert_eq!(ids, ["a", "b", "c"]);
    sender.expect(&[(Fate::Delivered, 3)]);
}

#[test]
fn a_receiver_that_stays_away_loses_events_but_each_is_tried_once() {
    let place = Place::new(&[Behaviour::Answer(503)]);
    let sender = Sender::to(place.port, Duration::from_millis(100));
    for id in ["a", "b", "c"] {
        sender.send(id);
    }
    sender.expect(&[(Fate::GivenUp, 3), (Fate::Delivered, 0)]);
    let mut ids: Vec<_> = place
        .seen
        .try_iter()
        .map(|seen| seen.header("webhook-id").to_owned())
        .collect();
    ids.dedup();
    assert_eq!(ids, ["a", "b", "c"]);
}

#[test]
fn a_full_queue_drops_and_never_waits() {
    let place = Place::new(&[Behaviour::Stall]);
    let sender = Sender::to(place.port, PATIENCE);
    sender.send("stalled");
    place.next();
    let start = Instant::now();
    for number in 0..QUEUE_LENGTH + 7 {
        sender.send(&number.to_string());
    }
    assert!(
        start.elapsed() < Duration::from_millis(250),
        "{:?}",
        start.elapsed()
    );
    sender.expect(&[(Fate::Dropped, 7)]);
}

#[test]
fn a_receiver_without_the_right_certificate_gets_nothing() {
    let place = Place::new(&[Behaviour::Answer(200)]);
    let url = format!("https://127.0.0.1:{}/", place.port);
    let sender = Sender::new(url, pace(Duration::from_millis(50)));
    sender.send("secret");
    sender.expect(&[(Fate::GivenUp, 1), (Fate::Delivered, 0)]);
    assert!(place.seen.try_recv().is_err(), "nothing in the clear");
}

#[test]
fn a_new_secret_counts_from_the_next_event_on() {
    let other = "whsec_ICEiIyQlJicoKSorLC0uLzAxMjM0NTY3ODk6Ozw9Pj8=";
    let place = Place::new(&[Behaviour::Answer(200)]);
    let sender = Sender::to(place.port, PATIENCE);
    let file = sender.directory.path().join("secret");
    for (text, secrets) in [
        (format!("{other}\n{SECRET}\n"), &[other, SECRET][..]),
        (other.to_owned(), &[other]),
        ("no secret".to_owned(), &[other]),
    ] {
        fs::write(&file, text).unwrap();
        sender.send("event");
        let seen = place.next();
        let signatures: Vec<_> = secrets
            .iter()
            .map(|secret| signature(secret, &seen))
            .collect();
        assert_eq!(seen.header("webhook-signature"), signatures.join(" "));
    }
}

#[test]
fn a_webhook_without_a_usable_secret_or_certificate_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    let receiver = Receiver {
        url: "https://receiver.example/".to_owned(),
        secret_file: directory.path().join("secret"),
        certificate_authority: None,
        timeout: Duration::from_secs(1),
    };
    let start = |receiver: &Receiver| {
        let metrics = Arc::new(Metrics::new());
        Webhook::start(receiver, Pace::default(), &metrics).unwrap_err()
    };
    let error = start(&receiver);
    assert!(
        matches!(error, WebhookError::Secret(SecretError::Read { .. })),
        "{error}"
    );
    fs::write(&receiver.secret_file, "whsec_short").unwrap();
    let error = start(&receiver);
    assert!(
        matches!(error, WebhookError::Secret(SecretError::Form(_))),
        "{error}"
    );
    assert!(!format!("{error:?} {error}").contains("short"));
    fs::write(&receiver.secret_file, SECRET).unwrap();
    let receiver = Receiver {
        certificate_authority: Some(receiver.secret_file.clone()),
        ..receiver
    };
    let error = start(&receiver);
    assert!(
        matches!(error, WebhookError::Certificates { .. }),
        "{error}"
    );
}
