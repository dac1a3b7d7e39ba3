//! `portcullis upstream`, over sockets.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Stdio};

use serde_json::{Value, json};

use super::command;

#[test]
fn the_upstream_answers_with_the_request_it_received() {
    let upstream = Upstream::start();
    let (head, body) = upstream.exchange(
        b"GET /x?y=1 HTTP/1.1\r\nHost: a\r\nX-Two: 1\r\nX-Two: 2\r\nX-Bytes: \xff\r\n\
          Connection: close\r\n\r\n",
    );
    assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
    assert!(
        head.contains("\r\ncontent-type: application/json\r\n"),
        "{head}"
    );
    assert_eq!(
        body,
        json!({
            "method": "GET",
            "path": "/x?y=1",
            "headers": [
                ["host", "a"], ["x-two", "1"], ["x-two", "2"], ["x-bytes", "\\xff"],
                ["connection", "close"],
            ],
        })
    );
}

#[test]
fn the_upstream_takes_several_requests_with_bodies_on_one_connection() {
    let upstream = Upstream::start();
    let mut stream = TcpStream::connect(&upstream.address).unwrap();
    let mut request =
        b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 300000\r\n\r\n".to_vec();
    request.resize(request.len() + 300_000, b'x');
    for _ in 0..2 {
        stream.write_all(&request).unwrap();
        let mut start = [0; 15];
        stream.read_exact(&mut start).unwrap();
        assert_eq!(&start, b"HTTP/1.1 200 OK");
        skip_to_end_of_object(&mut stream);
    }
}

/// A running `portcullis upstream`, stopped when dropped.
struct Upstream {
    process: Child,
    address: String,
}

impl Upstream {
    fn start() -> Self {
        let mut process = command()
            .args(["upstream", "--listen", "127.0.0.1:0"])
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(process.stderr.as_mut().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line
            .trim_end()
            .strip_prefix("listening on http://")
            .unwrap();
        Self {
            address: address.to_owned(),
            process,
        }
    }

    /// Sends a request that closes its connection; gives the head and the body of the answer.
    fn exchange(&self, request: &[u8]) -> (String, Value) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        stream.write_all(request).unwrap();
        let mut response = String::new();
        stream.read_to_string(&mut response).unwrap();
        let (head, body) = response.split_once("\r\n\r\n").unwrap();
        (format!("{head}\r\n"), serde_json::from_str(body).unwrap())
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// Reads up to and including the last byte of the upstream's JSON.
fn skip_to_end_of_object(stream: &mut TcpStream) {
    let mut byte = [0];
    while byte != *b"}" {
        stream.read_exact(&mut byte).unwrap();
    }
}
