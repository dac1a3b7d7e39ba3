//! The process that `ext_authz` asks: it keeps revoked sessions in memory, and does as little as
//! possible. It reads no token: `jwt_authn` has verified it and hands the session over.
//!
//! It is this program once more, so that nothing has to be built for it.

use std::cell::Cell;
use std::collections::HashSet;
use std::env;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::rc::Rc;
use std::time::Duration;

use axum::body::Bytes;
use axum::http::{HeaderMap, HeaderValue, Request, Response, StatusCode};
use h2::server::SendResponse;
use http_body_util::Empty;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream as AsyncStream};
use tokio::task::LocalSet;

/// The only argument of that process.
pub(crate) const HELPER: &str = "--helper";

/// The header in which `jwt_authn` hands the session over.
pub(crate) const SESSION: &str = "x-user-session";

/// Revoked sessions that it keeps.
const REVOKED: u64 = 100_000;

/// The path that sets the delay before each answer.
const DELAY_PATH: &str = "/delay/";

/// The revoked session with this number.
pub(crate) fn revoked(number: u64) -> String {
    format!("session-{number:012}")
}

/// The process, which ends with this one.
pub(crate) struct Helper {
    process: Child,
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
}

impl Helper {
    pub(crate) fn start() -> Self {
        let mut process = Command::new(env::current_exe().expect("this program"))
            .arg(HELPER)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this program once more");
        let output = process.stdout.take().expect("its output");
        let mut line = String::new();
        let read = BufReader::new(output).read_line(&mut line);
        read.expect("its addresses");
        let address = |text: &str| text.parse().expect("an address");
        let (http, grpc) = line.trim().split_once(' ').expect("two addresses");
        Self {
            http: address(http),
            grpc: address(grpc),
            process,
        }
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Has it wait before each of its answers from now on.
    pub(crate) fn answer_after(&self, delay: Duration) {
        let mut connection = TcpStream::connect(self.http).expect("the helper");
        let path = format!("{DELAY_PATH}{}", delay.as_millis());
        let request = format!("GET {path} HTTP/1.1\r\nhost: helper\r\nconnection: close\r\n\r\n");
        let sent = connection.write_all(request.as_bytes());
        sent.expect("a request to send");
        let mut answer = Vec::new();
        let read = connection.read_to_end(&mut answer);
        read.expect("an answer");
    }

    /// Ends it, so that connections are refused.
    pub(crate) fn end(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

impl Drop for Helper {
    fn drop(&mut self) {
        self.end();
    }
}

/// What the process does until its standard input ends.
pub(crate) fn serve() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a Tokio runtime");
    std::thread::spawn(|| {
        let mut rest = Vec::new();
        drop(std::io::stdin().read_to_end(&mut rest));
        std::process::exit(0);
    });
    LocalSet::new().block_on(&runtime, async {
        let list = Rc::new(List::new());
        let http = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let grpc = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = |of: &TcpListener| of.local_addr().expect("the address just bound");
        println!("{} {}", address(&http), address(&grpc));
        let by_http = accept(http, Rc::clone(&list), speak_http);
        let by_grpc = accept(grpc, list, speak_grpc);
        tokio::join!(by_http, by_grpc);
    });
}

async fn accept<F: Future<Output = ()> + 'static>(
    listener: TcpListener,
    list: Rc<List>,
    speak: impl Fn(AsyncStream, Rc<List>) -> F,
) {
    while let Ok((stream, _)) = listener.accept().await {
        stream.set_nodelay(true).expect("a socket option");
        tokio::task::spawn_local(speak(stream, Rc::clone(&list)));
    }
}

/// What is revoked.
struct List {
    sessions: HashSet<String>,
    /// Milliseconds before each answer.
    delay: Cell<u64>,
}

impl List {
    fn new() -> Self {
        Self {
            sessions: (0..REVOKED).map(revoked).collect(),
            delay: Cell::new(0),
        }
    }

    /// Whether the request of this session may pass.
    async fn admits(&self, session: Option<&str>) -> bool {
        let delay = self.delay.get();
        if delay > 0 {
            tokio::time::sleep(Duration::from_millis(delay)).await;
        }
        session.is_some_and(|session| !self.sessions.contains(session))
    }
}

async fn speak_http(stream: AsyncStream, list: Rc<List>) {
    let answer = service_fn(move |request: Request<Incoming>| {
        let list = Rc::clone(&list);
        async move {
            let path = request.uri().path();
            let status = if let Some(delay) = path.strip_prefix(DELAY_PATH) {
                let delay = delay.parse().expect("milliseconds");
                list.delay.set(delay);
                StatusCode::NO_CONTENT
            } else {
                let session = request.headers().get(SESSION);
                if list.admits(session.and_then(|id| id.to_str().ok())).await {
                    StatusCode::OK
                } else {
                    StatusCode::FORBIDDEN
                }
            };
            let mut response = Response::new(Empty::<Bytes>::new());
            *response.status_mut() = status;
            Ok::<_, hyper::Error>(response)
        }
    });
    let connection = hyper::server::conn::http1::Builder::new();
    // Envoy closing it is not worth a report.
    drop(
        connection
            .serve_connection(TokioIo::new(stream), answer)
            .await,
    );
}

async fn speak_grpc(stream: AsyncStream, list: Rc<List>) {
    let Ok(mut connection) = h2::server::handshake(stream).await else {
        return;
    };
    while let Some(Ok((request, respond))) = connection.accept().await {
        let list = Rc::clone(&list);
        tokio::task::spawn_local(async move {
            drop(check(request, respond, &list).await);
        });
    }
}

/// `envoy.service.auth.v3.Authorization.Check`.
async fn check(
    request: Request<h2::RecvStream>,
    mut respond: SendResponse<Bytes>,
    list: &List,
) -> Result<(), h2::Error> {
    let mut body = request.into_body();
    let mut message = Vec::new();
    while let Some(bytes) = body.data().await {
        let bytes = bytes?;
        body.flow_control().release_capacity(bytes.len())?;
        message.extend_from_slice(&bytes);
    }
    // After the five bytes before a message of gRPC.
    let session = message.get(5..).and_then(session_of);
    // Five bytes of gRPC and a `CheckResponse` whose `status` has the code 0, which is not written,
    // or `PERMISSION_DENIED`.
    let answer: &[u8] = if list.admits(session).await {
        &[0, 0, 0, 0, 2, 0x0A, 0]
    } else {
        &[0, 0, 0, 0, 4, 0x0A, 2, 8, 7]
    };
    let head = Response::builder().header("content-type", "application/grpc");
    let head = head.body(()).expect("a response");
    let mut stream = respond.send_response(head, false)?;
    stream.send_data(Bytes::from_static(answer), false)?;
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static("0"));
    stream.send_trailers(trailers)
}

/// `attributes.request.http.headers["x-user-session"]` of a `CheckRequest`.
fn session_of(message: &[u8]) -> Option<&str> {
    let attributes = members(message, 1).next()?;
    let request = members(attributes, 4).next()?;
    let http = members(request, 2).next()?;
    let entry = members(http, 3).find(|entry| {
        let mut name = members(entry, 1);
        name.next() == Some(SESSION.as_bytes())
    })?;
    std::str::from_utf8(members(entry, 2).next()?).ok()
}

/// The values of a field of bytes, of a message in the wire format of Protocol Buffers.
fn members(mut message: &[u8], field: u64) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let tag = varint(&mut message)?;
            let length = match tag & 7 {
                0 => {
                    varint(&mut message)?;
                    continue;
                }
                1 => 8,
                2 => usize::try_from(varint(&mut message)?).ok()?,
                5 => 4,
                _ => return None,
            };
            let (value, rest) = message.split_at_checked(length)?;
            message = rest;
            if tag == field << 3 | 2 {
                return Some(value);
            }
        }
    })
}

fn varint(message: &mut &[u8]) -> Option<u64> {
    let mut value = 0;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = message.split_first()?;
        *message = rest;
        value |= u64::from(byte & 0x7F) << shift;
        if byte & 0x80 == 0 {
            return Some(value);
        }
    }
    None
}
