//! The part of an identity provider that publishes keys.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};

/// A server on loopback that answers what the test tells it to, and counts. Ends with the process.
pub(crate) struct JwksServer {
    address: SocketAddr,
    shared: Shared,
}

type Shared = Arc<Mutex<Content>>;

#[derive(Default)]
struct Content {
    answers: BTreeMap<&'static str, Answer>,
    requests: Vec<String>,
    delay: Duration,
}

#[derive(Clone)]
struct Answer {
    status: u16,
    header: Option<(&'static str, String)>,
    body: Vec<u8>,
}

impl JwksServer {
    /// A server that knows no path yet.
    pub(crate) fn start() -> Self {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
        listener.set_nonblocking(true).expect("a socket that can");
        let address = listener.local_addr().expect("the address just bound");
        let shared = Shared::default();
        let router = Router::new().fallback(answer).with_state(shared.clone());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a Tokio runtime");
        thread::spawn(move || {
            runtime.block_on(async {
                let listener = tokio::net::TcpListener::from_std(listener).expect("a listener");
                axum::serve(listener, router).await
            })
        });
        Self { address, shared }
    }

    /// A server with a JWK Set at `/jwks`.
    pub(crate) fn with_keys(set: String) -> Self {
        let server = Self::start();
        server.serve("/jwks", set);
        server
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on answers with this body.
    pub(crate) fn serve(&self, path: &'static str, body: impl Into<Vec<u8>>) {
        self.answer(path, 200, None, body);
    }

    /// From now on answers like this.
    pub(crate) fn answer(
        &self,
        path: &'static str,
        status: u16,
        header: Option<(&'static str, String)>,
        body: impl Into<Vec<u8>>,
    ) {
        let answer = Answer {
            status,
            header,
            body: body.into(),
        };
        self.content().answers.insert(path, answer);
    }

    /// From now on takes this long for every answer.
    pub(crate) fn delay(&self, delay: Duration) {
        self.content().delay = delay;
    }

    /// The number of requests for this path.
    pub(crate) fn requests(&self, path: &str) -> usize {
        let content = self.content();
        content
            .requests
            .iter()
            .filter(|asked| *asked == path)
            .count()
    }

    /// The number of requests.
    pub(crate) fn all_requests(&self) -> usize {
        self.content().requests.len()
    }

    fn content(&self) -> std::sync::MutexGuard<'_, Content> {
        self.shared.lock().expect("no thread has panicked")
    }
}

async fn answer(State(shared): State<Shared>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    let (answer, delay) = {
        let mut content = shared.lock().expect("no thread has panicked");
        content.requests.push(path.clone());
        (content.answers.get(path.as_str()).cloned(), content.delay)
    };
    // Holds up the whole server, which has nothing else to do.
    thread::sleep(delay);
    let Some(answer) = answer else {
        return StatusCode::NOT_FOUND.into_response();
    };
    let status = StatusCode::from_u16(answer.status).expect("a status");
    let headers: Vec<_> = answer.header.into_iter().collect();
    let mut response = (status, answer.body).into_response();
    for (name, value) in headers {
        response
            .headers_mut()
            .insert(name, value.parse().expect("a header value"));
    }
    response
}
