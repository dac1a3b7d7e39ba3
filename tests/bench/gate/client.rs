//! The load on one listener, over HTTP/1.1 or HTTP/2.

mod http1;
mod http2;

use std::net::SocketAddr;
use std::time::Duration;

use crate::support;
use crate::sweep::Load;

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
    /// The answer of a filter that decides.
    pub(crate) verdict: u16,
    credentials: String,
    http1: Vec<u8>,
}

impl Request {
    /// What it asks for.
    pub(crate) const URL: &str = "http://api.example/orders/1";

    fn with(token: &str, verdict: u16) -> Self {
        let credentials = format!("Bearer {token}");
        Self {
            verdict,
            http1: http1::render(&[("authorization", &credentials)]),
            credentials,
        }
    }

    /// With a token that is bound to a key, and this proof; over HTTP/1.1 alone.
    pub(crate) fn with_proof(token: &str, proof: &str, verdict: u16) -> Self {
        let credentials = format!("DPoP {token}");
        Self {
            verdict,
            http1: http1::render(&[("authorization", &credentials), ("dpop", proof)]),
            credentials,
        }
    }

    /// The same for a client that takes any answer.
    pub(crate) fn plain(&self) -> support::Request {
        support::Request::get(PATH).header("authorization", &self.credentials)
    }
}

/// Requests with these tokens, which are genuine.
pub(crate) fn requests(tokens: &[String]) -> Vec<Request> {
    let request = |token: &String| Request::with(token, 200);
    tokens.iter().map(request).collect()
}

/// Requests with these tokens, which are not.
pub(crate) fn forged_requests(tokens: &[String]) -> Vec<Request> {
    let request = |token: &String| Request::with(token, 401);
    tokens.iter().map(request).collect()
}

/// The status of the answers that are expected.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Answers {
    /// The same for every request.
    All(u16),
    /// Each request's verdict.
    Verdicts,
}

impl Answers {
    /// Of the answer to this request.
    const fn to(self, request: &Request) -> u16 {
        match self {
            Self::All(status) => status,
            Self::Verdicts => request.verdict,
        }
    }
}

/// A client of one listener, whose connections stay open.
pub(crate) enum Client {
    Http1(http1::Client),
    Http2(Box<http2::Client>),
}

impl Client {
    pub(crate) fn connect(server: SocketAddr, load: Load) -> Self {
        let in_flight = load.in_flight;
        match load.protocol {
            Protocol::Http1 => Self::Http1(http1::Client::connect(server, in_flight)),
            Protocol::Http2 => Self::Http2(Box::new(http2::Client::connect(server, in_flight))),
        }
    }

    /// Sends all of them, always as many at a time as the load has, and gives the time that each
    /// took. Other answers than these end the run.
    pub(crate) fn send(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        match self {
            Self::Http1(client) => client.send(requests, answers),
            Self::Http2(client) => client.send(requests, answers),
        }
    }

    /// Sends them one after the other, and gives the time that each took.
    pub(crate) fn send_singly(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        match self {
            Self::Http1(client) => client.send_singly(requests, answers),
            Self::Http2(client) => client.send_singly(requests, answers),
        }
    }
}
