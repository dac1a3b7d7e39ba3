//! An upstream whose answers do not end by themselves.

use std::net::SocketAddr;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// How often something comes.
pub(super) const BEAT: Duration = Duration::from_millis(20);

/// Uploads go here, which are not answered before they end.
pub(super) const UPLOAD: &str = "/api/upload";

/// A body of a length that is told beforehand and never reached.
pub(super) const DOWNLOAD: &str = "/api/download";

/// What a browser is given.
const PAGE: &str = include_str!("clients/page.html");

/// Where it listens, as long as the runtime lives.
pub(super) fn start(runtime: &Runtime) -> SocketAddr {
    let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    runtime.spawn(async move {
        while let Ok((connection, _)) = listener.accept().await {
            tokio::spawn(serve(connection));
        }
    });
    address
}

async fn serve(mut connection: TcpStream) {
    let mut head = Vec::new();
    while !head.windows(4).any(|bytes| bytes == b"\r\n\r\n") {
        if connection.read_buf(&mut head).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head);
    let lower = head.to_ascii_lowercase();
    let path = head.split([' ', '?']).nth(1).unwrap_or_default();
    match path {
        _ if lower.contains("\r\nupgrade: websocket") => {
            // Text frames of one letter.
            beat(connection, &handshake(&head), b"\x81\x01x").await;
        }
        UPLOAD => {
            let mut buffer = [0; 4096];
            while connection
                .read(&mut buffer)
                .await
                .is_ok_and(|read| read > 0)
            {}
        }
        DOWNLOAD => {
            let answer = "HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n";
            beat(connection, answer, &[0; 1_000]).await;
        }
        "/public/page" => {
            let length = PAGE.len();
            let answer = format!(
                "HTTP/1.1 200 OK\r\ncontent-type: text/html\r\ncontent-length: {length}\r\n\r\n{PAGE}"
            );
            let _ = connection.write_all(answer.as_bytes()).await;
        }
        _ if lower.contains("application/grpc") => {
            // Messages of one letter, each in a chunk of its own.
            let message = b"6\r\n\0\0\0\0\x01x\r\n";
            beat(connection, &chunked("application/grpc"), message).await;
        }
        _ => {
            let message = b"13\r\nretry: 50\ndata: x\n\n\r\n";
            beat(connection, &chunked("text/event-stream"), message).await;
        }
    }
}

fn chunked(kind: &str) -> String {
    format!("HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n")
}

/// What opens a WebSocket (RFC 6455 section 4.2.2). One of HTTP/2 comes without a key.
fn handshake(head: &str) -> String {
    let mut lines = head.lines().filter_map(|line| line.split_once(": "));
    let key = |(name, key): (&str, &str)| {
        name.eq_ignore_ascii_case("sec-websocket-key").then(|| {
            let text = format!("{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
            let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, text.as_bytes());
            format!("sec-websocket-accept: {}\r\n", STANDARD.encode(hash))
        })
    };
    let accept = lines.find_map(key).unwrap_or_default();
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
         {accept}\r\n"
    )
}

/// Answers, and sends the same again and again for as long as it is taken.
async fn beat(connection: TcpStream, answer: &str, message: &[u8]) {
    let (mut reader, mut writer) = connection.into_split();
    tokio::spawn(async move {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).await.is_ok_and(|read| read > 0) {}
    });
    if writer.write_all(answer.as_bytes()).await.is_err() {
        return;
    }
    while writer.write_all(message).await.is_ok() {
        sleep(BEAT).await;
    }
}
