//! An upstream whose answers do not end by themselves.

use std::net::SocketAddr;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;
use tokio::time::sleep;

/// How often something comes.
pub(super) const BEAT: Duration = Duration::from_millis(20);

/// Uploads go here, which are not answered before they end.
pub(super) const UPLOAD: &str = "/api/upload";

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
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    if head.contains("\r\nupgrade: websocket") {
        let answer = "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\
                      connection: upgrade\r\n\r\n";
        // Text frames of one letter.
        beat(connection, answer, b"\x81\x01x").await;
    } else if head.contains(&format!(" {UPLOAD} ")) {
        let mut buffer = [0; 4096];
        while connection
            .read(&mut buffer)
            .await
            .is_ok_and(|read| read > 0)
        {}
    } else {
        let kind = if head.contains("application/grpc") {
            "application/grpc"
        } else {
            "text/event-stream"
        };
        let answer = format!(
            "HTTP/1.1 200 OK\r\ncontent-type: {kind}\r\ntransfer-encoding: chunked\r\n\r\n"
        );
        beat(connection, &answer, b"9\r\ndata: x\n\n\r\n").await;
    }
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
