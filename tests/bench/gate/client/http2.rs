//! HTTP/2 with prior knowledge: one connection, as a client keeps it, with several streams.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::http::{self, HeaderValue};
use h2::client::{ResponseFuture, SendRequest};
use tokio::net::TcpStream;
use tokio::runtime::{Builder, Runtime};

use super::{AUTHORITY, Answers, HEADERS, PATH, Request};

pub(crate) struct Client {
    runtime: Runtime,
    sender: SendRequest<Bytes>,
    in_flight: usize,
}

impl Client {
    pub(super) fn connect(server: SocketAddr, in_flight: usize) -> Self {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime.expect("a Tokio runtime");
        let sender = runtime.block_on(async {
            let stream = TcpStream::connect(server).await.expect("a connection");
            stream.set_nodelay(true).expect("a socket option");
            let (sender, connection) = h2::client::handshake(stream).await.expect("HTTP/2");
            // The sender notices its end.
            tokio::spawn(async { drop(connection.await) });
            sender
        });
        Self {
            runtime,
            sender,
            in_flight,
        }
    }

    pub(super) fn send(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        let (sender, in_flight) = (&mut self.sender, self.in_flight);
        self.runtime.block_on(async {
            let mut took = Vec::with_capacity(requests.len());
            let mut open = VecDeque::with_capacity(in_flight);
            for request in requests {
                if open.len() == in_flight
                    && let Some((oldest, status, sent)) = open.pop_front()
                {
                    expect(oldest, status).await;
                    took.push(Instant::elapsed(&sent));
                }
                let sent = Instant::now();
                let answer = begin(sender, request).await;
                open.push_back((answer, answers.to(request), sent));
            }
            for (answer, status, sent) in open {
                expect(answer, status).await;
                took.push(sent.elapsed());
            }
            took
        })
    }

    pub(super) fn send_singly(&mut self, requests: &[&Request], answers: Answers) -> Vec<Duration> {
        let sender = &mut self.sender;
        self.runtime.block_on(async {
            let mut took = Vec::with_capacity(requests.len());
            for request in requests {
                let started = Instant::now();
                let answer = begin(sender, request).await;
                expect(answer, answers.to(request)).await;
                took.push(started.elapsed());
            }
            took
        })
    }
}

async fn begin(sender: &mut SendRequest<Bytes>, request: &Request) -> ResponseFuture {
    let mut credentials = HeaderValue::from_str(&request.credentials).expect("a token");
    // As browsers and mobile systems have it: a token is not put into the compression table.
    credentials.set_sensitive(true);
    let mut builder = http::Request::get(format!("http://{AUTHORITY}{PATH}"));
    for (name, value) in HEADERS {
        builder = builder.header(name, value);
    }
    let message = builder.header("authorization", credentials).body(());
    std::future::poll_fn(|context| sender.poll_ready(context))
        .await
        .expect("an open connection");
    let (answer, _) = sender
        .send_request(message.expect("a request"), true)
        .expect("a stream");
    answer
}

async fn expect(answer: ResponseFuture, status: u16) {
    let (head, mut body) = answer.await.expect("an answer").into_parts();
    assert_eq!(head.status.as_u16(), status, "{head:?}");
    while let Some(bytes) = body.data().await {
        let length = bytes.expect("a body").len();
        let released = body.flow_control().release_capacity(length);
        released.expect("an open stream");
    }
}
