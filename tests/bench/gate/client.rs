//! Load over HTTP/1.1: requests that were rendered before, over connections that stay open. Cheap
//! enough never to be what is waited for.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Requests that are on their way at the same time.
const CONNECTIONS: usize = 8;

/// Longer than any answer takes.
const PATIENCE: Duration = Duration::from_secs(30);

/// A client of one listener.
pub(crate) struct Client {
    connections: Vec<Connection>,
}

struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

/// A request as it goes over the wire.
pub(crate) fn render(token: &str) -> Vec<u8> {
    format!(
        "GET /orders/1 HTTP/1.1\r\nhost: api.example\r\n\
         user-agent: MobileApp/7.1 (iPhone; iOS 19.2)\r\naccept: application/json\r\n\
         accept-encoding: gzip, br\r\naccept-language: en-GB\r\n\
         authorization: Bearer {token}\r\n\r\n"
    )
    .into_bytes()
}

impl Client {
    pub(crate) fn connect(server: SocketAddr) -> Self {
        Self {
            connections: (0..CONNECTIONS).map(|_| Connection::open(server)).collect(),
        }
    }

    /// Sends all of them, always some at a time. Every answer has to have this status.
    pub(crate) fn send<R: AsRef<[u8]>>(&mut self, requests: &[R], status: u16) {
        let count = self.connections.len();
        for (number, request) in requests.iter().enumerate() {
            let connection = &mut self.connections[number % count];
            if number >= count {
                connection.expect(status);
            }
            connection.send(request.as_ref());
        }
        for connection in self.connections.iter_mut().take(requests.len()) {
            connection.expect(status);
        }
    }

    /// Sends them one after the other, and gives the time that each took.
    pub(crate) fn send_singly<R: AsRef<[u8]>>(
        &mut self,
        requests: &[R],
        status: u16,
    ) -> Vec<Duration> {
        let connection = &mut self.connections[0];
        let one = |request: &R| {
            let started = Instant::now();
            connection.send(request.as_ref());
            connection.expect(status);
            started.elapsed()
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
        }
    }

    fn send(&mut self, request: &[u8]) {
        self.stream.write_all(request).expect("a server that reads");
    }

    /// Reads one answer to its end.
    fn expect(&mut self, status: u16) {
        let mut filled = 0;
        loop {
            let read = self.stream.read(&mut self.buffer[filled..]);
            filled += read.expect("an answer");
            if let Some(length) = answer_length(&self.buffer[..filled]) {
                assert!(filled <= length, "one answer at a time");
                if filled == length {
                    break;
                }
            }
        }
        let found = &self.buffer[..filled];
        let is_expected = found.get(9..12) == Some(status.to_string().as_bytes());
        assert!(is_expected, "expected {status}: {}", found.escape_ascii());
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
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
