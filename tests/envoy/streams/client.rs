//! Clients of streams: what they send, and when a stream of theirs has ended.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::body::Bytes;
use axum::http::{Method, Request};
use h2::client::SendRequest;
use h2::ext::Protocol;
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::sleep;

use super::upstream::{BEAT, DOWNLOAD, UPLOAD};

/// What kind of stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    WebSocket,
    Events,
    Upload,
    Download,
    WebSocketOverHttp2,
    EventsOverHttp2,
    DownloadOverHttp2,
    GrpcServer,
    GrpcClient,
    GrpcBoth,
}

impl Kind {
    pub(super) const ALL: [Self; 10] = [
        Self::WebSocket,
        Self::Events,
        Self::Upload,
        Self::Download,
        Self::WebSocketOverHttp2,
        Self::EventsOverHttp2,
        Self::DownloadOverHttp2,
        Self::GrpcServer,
        Self::GrpcClient,
        Self::GrpcBoth,
    ];

    /// How many there are.
    pub(super) const COUNT: u64 = Self::ALL.len() as u64;

    const fn is_http2(self) -> bool {
        !matches!(
            self,
            Self::WebSocket | Self::Events | Self::Upload | Self::Download
        )
    }
}

/// A stream as its client sees it.
#[derive(Clone, Debug, Default)]
pub(super) struct Stream(Arc<Seen>);

#[derive(Debug, Default)]
struct Seen {
    /// What has come, or was taken off the client's hands.
    beats: AtomicU64,
    end: Mutex<Option<(Instant, String)>>,
}

impl Stream {
    pub(super) fn beats(&self) -> u64 {
        self.0.beats.load(Ordering::Relaxed)
    }

    /// When it has ended, and how.
    pub(super) fn end(&self) -> Option<(Instant, String)> {
        self.0.end.lock().unwrap().clone()
    }

    fn beat(&self) {
        self.0.beats.fetch_add(1, Ordering::Relaxed);
    }

    fn note_end(&self, how: impl Into<String>) {
        let mut end = self.0.end.lock().unwrap();
        end.get_or_insert((Instant::now(), how.into()));
    }
}

/// Opens streams with these tokens; those of HTTP/2 share a connection.
pub(super) async fn open(server: SocketAddr, kind: Kind, tokens: &[String]) -> Vec<Stream> {
    let mut streams = Vec::new();
    let mut sender = None;
    for token in tokens {
        let stream = Stream::default();
        if kind.is_http2() {
            if sender.is_none() {
                sender = Some(connect(server).await);
            }
            let sender = sender.as_mut().unwrap();
            open_http2(sender, kind, token, &stream).await;
        } else {
            open_http1(server, kind, token, &stream).await;
        }
        streams.push(stream);
    }
    streams
}

async fn open_http1(server: SocketAddr, kind: Kind, token: &str, stream: &Stream) {
    let (first, more) = match kind {
        Kind::WebSocket => (
            "GET /api/socket".to_owned(),
            "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\
             Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        ),
        Kind::Upload => (format!("POST {UPLOAD}"), "Transfer-Encoding: chunked\r\n"),
        Kind::Download => (format!("GET {DOWNLOAD}"), ""),
        _ => (
            "GET /api/events".to_owned(),
            "Accept: text/event-stream\r\n",
        ),
    };
    let head = format!(
        "{first} HTTP/1.1\r\nHost: api.example\r\nAuthorization: Bearer {token}\r\n{more}\r\n"
    );
    let connection = TcpStream::connect(server).await.unwrap();
    let (mut reader, mut writer) = connection.into_split();
    writer.write_all(head.as_bytes()).await.unwrap();
    let seen = stream.clone();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        loop {
            match reader.read(&mut buffer).await {
                Ok(0) => return seen.note_end("closed"),
                Ok(_) => seen.beat(),
                Err(error) => return seen.note_end(error.to_string()),
            }
        }
    });
    let seen = stream.clone();
    tokio::spawn(async move {
        // The other kinds keep their half open.
        while seen.end().is_none() {
            if kind == Kind::Upload && writer.write_all(b"1\r\nx\r\n").await.is_ok() {
                seen.beat();
            }
            sleep(BEAT).await;
        }
    });
}

async fn connect(server: SocketAddr) -> SendRequest<Bytes> {
    let connection = TcpStream::connect(server).await.unwrap();
    let (sender, connection) = h2::client::handshake(connection).await.unwrap();
    tokio::spawn(async { drop(connection.await) });
    // The server's settings say whether it takes an extended CONNECT.
    while !sender.is_extended_connect_protocol_enabled() {
        sleep(BEAT).await;
    }
    sender
}

async fn open_http2(sender: &mut SendRequest<Bytes>, kind: Kind, token: &str, stream: &Stream) {
    let path = match kind {
        Kind::GrpcClient => UPLOAD,
        Kind::DownloadOverHttp2 => DOWNLOAD,
        _ => "/api/stream",
    };
    let method = match kind {
        Kind::WebSocketOverHttp2 => Method::CONNECT,
        Kind::EventsOverHttp2 | Kind::DownloadOverHttp2 => Method::GET,
        _ => Method::POST,
    };
    let mut request = Request::builder()
        .method(method)
        .uri(format!("http://api.example{path}"))
        .header("authorization", format!("Bearer {token}"));
    match kind {
        Kind::WebSocketOverHttp2 => {
            request = request
                .extension(Protocol::from_static("websocket"))
                .header("sec-websocket-version", "13");
        }
        Kind::EventsOverHttp2 | Kind::DownloadOverHttp2 => {}
        _ => {
            request = request
                .header("content-type", "application/grpc")
                .header("te", "trailers");
        }
    }
    let request = request.body(()).unwrap();
    let has_no_body = matches!(kind, Kind::EventsOverHttp2 | Kind::DownloadOverHttp2);
    let sends_all = has_no_body || kind == Kind::GrpcServer;
    poll_fn(|context| sender.poll_ready(context)).await.unwrap();
    let (response, mut outgoing) = sender.send_request(request, has_no_body).unwrap();
    if kind == Kind::GrpcServer {
        outgoing
            .send_data(Bytes::from_static(MESSAGE), true)
            .unwrap();
    }
    let seen = stream.clone();
    tokio::spawn(async move {
        match response.await {
            Ok(response) => receive(response.into_body(), &seen).await,
            Err(error) => seen.note_end(error.to_string()),
        }
    });
    if !sends_all {
        tokio::spawn(send(outgoing, kind == Kind::GrpcClient, stream.clone()));
    }
}

async fn receive(mut body: RecvStream, seen: &Stream) {
    while let Some(data) = body.data().await {
        match data {
            Ok(data) => {
                seen.beat();
                let _ = body.flow_control().release_capacity(data.len());
            }
            Err(error) => return seen.note_end(error.to_string()),
        }
    }
    seen.note_end("ended");
}

async fn send(mut outgoing: SendStream<Bytes>, counts: bool, seen: Stream) {
    while seen.end().is_none() {
        if outgoing
            .send_data(Bytes::from_static(MESSAGE), false)
            .is_err()
        {
            return;
        }
        if counts {
            seen.beat();
        }
        sleep(BEAT).await;
    }
}

/// A gRPC message of one byte.
const MESSAGE: &[u8] = b"\0\0\0\0\x01x";
