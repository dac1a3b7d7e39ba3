//! HTTP/1.1 over plain sockets, with requests that were rendered before: cheap enough never to be
//! the bottleneck.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::{AUTHORITY, Answers, HEADERS, PATH, Request};

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Client {
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    /// Of the answer to the last request.
    status: u16,
    /// When that was sent.
    sent: Instant,
}

/// A request as it goes over the wire.
pub(super) fn render(more: &[(&str, &str)]) -> Vec<u8> {
    let mut text = format!("GET {PATH} HTTP/1.1\r\nhost: {AUTHORITY}\r\n");
    for (name, value) in HEADERS.iter().chain(more) {
        text.extend([name, ": ", value, "\r\n"]);
    }
    text.push_str("\r\n");
    text.into_bytes()
}

impl Client {
    pub(super) fn connect(server: SocketAddr, in_flight: usize) -> Self {
        Self {
            connections: (0..in_flight).map(|_| Connection::open(server)).collect(),
        }
    }

    pub(super) fn send(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        let in_flight = self.connections.len();
        let mut took = Vec::with_capacity(requests.len());
        for (number, request) in requests.iter().enumerate() {
            let connection = &mut self.connections[number % in_flight];
            if number >= in_flight {
                took.push(connection.expect());
            }
            connection.send(request, answers);
        }
        for connection in self.connections.iter_mut().take(requests.len()) {
            took.push(connection.expect());
        }
        took
    }

    pub(super) fn send_singly(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        let connection = &mut self.connections[0];
        let one = |request: &&Request| {
            connection.send(request, answers);
            connection.expect()
        };
        requests.iter().map(one).collect()
    }
}

impl Connection {
    fn open(server: SocketAddr) -> Self {
        let stream = TcpStream::connect(server).expect("a connection");
        stream.set_nodelay(true).expect("a socket option");
        let timeout = stream.set_read_timeout(Some(PATIENCE));
        timeout.expect("a socket option");
        Self {
            stream,
            buffer: vec![0; 16 * 1024],
            status: 0,
            sent: Instant::now(),
        }
    }

    fn send(&mut self, request: &Request, answers: Answers) {
        self.status = answers.to(request);
        self.sent = Instant::now();
        let sent = self.stream.write_all(&request.http1);
        sent.expect("a server that reads");
    }

    /// Reads one answer to its end, and gives the time that it took.
    fn expect(&mut self) -> Duration {
        let status = self.status;
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]);
            let read = read.expect("an answer");
            assert!(read > 0, "the server closed the connection");
            filled += read;
            match answer_length(&self.buffer[..filled]) {
                Some(length) if filled == length => break,
                Some(length) => assert!(filled < length, "one answer at a time"),
                None => {}
            }
        }
        let found = &self.buffer[..filled];
        let is_expected = found.get(9..12) == Some(status.to_string().as_bytes());
        assert!(is_expected, "expected {status}: {}", found.escape_ascii());
        self.sent.elapsed()
    }
}

/// The length of head and body, as soon as the head is there.
fn answer_length(bytes: &[u8]) -> Option<usize> {
    let end = find(bytes, b"\r\n\r\n")? + 4;
    let name = b"content-length: ";
    let start = find(&bytes[..end], name)? + name.len();
    let digits = bytes[start..]
        .iter()
        .take_while(|byte| byte.is_ascii_digit());
    let length = digits.fold(0, |length, digit| length * 10 + usize::from(digit - b'0'));
    Some(end + length)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    let mut windows = bytes.windows(wanted.len());
    windows.position(|window| window == wanted)
}
