//! The load on one listener, over HTTP/1.1 or HTTP/2.

mod http1;
mod http2;

use std::net::SocketAddr;
use std::time::Duration;

/// Requests that are on their way at the same time.
const IN_FLIGHT: usize = 8;

/// What a mobile application sends along.
const HEADERS: [(&str, &str); 4] = [
    ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
    ("accept", "application/json"),
    ("accept-encoding", "gzip, br"),
    ("accept-language", "en-GB"),
];

const AUTHORITY: &str = "api.example";
const PATH: &str = "/orders/1";

/// How the client speaks with Envoy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Protocol {
    Http1,
    Http2,
}

/// A request, made before anything is measured.
pub(crate) struct Request {
    credentials: String,
    http1: Vec<u8>,
}

impl Request {
    pub(crate) fn with(token: &str) -> Self {
        let credentials = format!("Bearer {token}");
        let http1 = http1::render(&credentials);
        Self { credentials, http1 }
    }
}

/// Requests with these tokens.
pub(crate) fn requests(tokens: &[String]) -> Vec<Request> {
    tokens.iter().map(|token| Request::with(token)).collect()
}

/// A client of one listener, whose connections stay open.
pub(crate) enum Client {
    Http1(http1::Client),
    Http2(Box<http2::Client>),
}

impl Client {
    pub(crate) fn connect(server: SocketAddr, protocol: Protocol) -> Self {
        match protocol {
            Protocol::Http1 => Self::Http1(http1::Client::connect(server)),
            Protocol::Http2 => Self::Http2(Box::new(http2::Client::connect(server))),
        }
    }

    /// Sends all of them, always [`IN_FLIGHT`] at a time. Every answer has to have this status.
    pub(crate) fn send(&mut self, requests: &[&Request], status: u16) {
        match self {
            Self::Http1(client) => client.send(requests, status),
            Self::Http2(client) => client.send(requests, status),
        }
    }

    /// Sends them one after the other, and gives the time that each took.
    pub(crate) fn send_singly(&mut self, requests: &[&Request], status: u16) -> Vec<Duration> {
        match self {
            Self::Http1(client) => client.send_singly(requests, status),
            Self::Http2(client) => client.send_singly(requests, status),
        }
    }
}
