//! `portcullis upstream`: an upstream that shows what the gate let through.
//!
//! It trusts every caller and keeps nothing; it is for trying things out, on loopback.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::{
    CONNECTION, CONTENT_TYPE, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_KEY, UPGRADE,
};
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use clap::Args;
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

/// The arguments of `portcullis upstream`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Where to listen; port 0 picks a free one
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:10001")]
    pub listen: SocketAddr,
}

/// Listens, says on standard error where, and serves until the process ends.
///
/// # Errors
///
/// [`UpstreamError`].
pub fn run(arguments: &Arguments) -> Result<(), UpstreamError> {
    let listener = TcpListener::bind(arguments.listen).map_err(|source| UpstreamError::Listen {
        address: arguments.listen,
        source,
    })?;
    let address = listener.local_addr()?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    // The system queues connections from `bind` on, so this is not said too early. A closed
    // standard error is no reason not to serve.
    let _ = writeln!(io::stderr(), "listening on http://{address}");
    Ok(runtime.block_on(serve(listener))?)
}

/// Answers every request on `listener` with 200 and a JSON description of the request:
/// `{"method":"GET","path":"/x?y","headers":[["name","value"],…]}`.
///
/// Every header line is listed, names in lower case, in the order of their first appearance and
/// the lines of one name together in theirs. A value that is not UTF-8 is shown escaped, as by
/// [`slice::escape_ascii`].
///
/// A WebSocket gets the description as its first message and stays open until the client closes it.
///
/// # Errors
///
/// When the listener cannot be handed to the runtime. Must be called within a Tokio runtime.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, Router::new().fallback(answer)).await
}

async fn answer(mut request: Request) -> Response {
    if let Some(key) = websocket_key(request.headers()) {
        let accept = websocket_accept(key);
        let description = describe(request.method(), request.uri(), request.headers());
        let upgrade = hyper::upgrade::on(&mut request);
        tokio::spawn(async move {
            if let Ok(upgraded) = upgrade.await {
                // The client has gone.
                let _ = stay(upgraded, &description).await;
            }
        });
        let headers = [
            (UPGRADE, "websocket".to_owned()),
            (CONNECTION, "upgrade".to_owned()),
            (SEC_WEBSOCKET_ACCEPT, accept),
        ];
        return (StatusCode::SWITCHING_PROTOCOLS, headers).into_response();
    }
    let (parts, body) = request.into_parts();
    // A body left unread makes the server close the connection, which looks like a fault of the
    // gate. One that is too long or breaks off is not this upstream's concern.
    let _ = to_bytes(body, MAX_BODY_BYTES).await;
    let description = describe(&parts.method, &parts.uri, &parts.headers);
    ([(CONTENT_TYPE, "application/json")], description).into_response()
}

/// The key of a handshake for a WebSocket (RFC 6455 section 4.1).
fn websocket_key(headers: &HeaderMap) -> Option<&HeaderValue> {
    let upgrade = headers.get(UPGRADE)?;
    let key = headers.get(SEC_WEBSOCKET_KEY)?;
    upgrade
        .as_bytes()
        .eq_ignore_ascii_case(b"websocket")
        .then_some(key)
}

/// What shows that the handshake was understood (RFC 6455 section 4.2.2).
fn websocket_accept(key: &HeaderValue) -> String {
    const SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    let text = [key.as_bytes(), SUFFIX].concat();
    STANDARD.encode(digest(&SHA1_FOR_LEGACY_USE_ONLY, &text))
}

/// Sends a message, and reads until the client closes.
async fn stay(upgraded: Upgraded, message: &str) -> io::Result<()> {
    let mut connection = TokioIo::new(upgraded);
    connection.write_all(&text_frame(message)).await?;
    let mut buffer = [0; 4096];
    while connection.read(&mut buffer).await? > 0 {}
    Ok(())
}

/// A whole message of a server (RFC 6455 section 5.2).
fn text_frame(message: &str) -> Vec<u8> {
    const FINAL_TEXT: u8 = 0x81;
    let mut frame = vec![FINAL_TEXT];
    match (u8::try_from(message.len()), u16::try_from(message.len())) {
        (Ok(length @ 0..=125), _) => frame.push(length),
        (_, Ok(length)) => {
            frame.push(126);
            frame.extend(length.to_be_bytes());
        }
        _ => {
            frame.push(127);
            frame.extend((message.len() as u64).to_be_bytes());
        }
    }
    frame.extend(message.as_bytes());
    frame
}

fn describe(method: &Method, uri: &Uri, headers: &HeaderMap) -> String {
    let path = uri
        .path_and_query()
        .map_or(uri.path(), |path| path.as_str());
    let headers: Vec<(&str, String)> = headers
        .iter()
        .map(|(name, value)| (name.as_str(), readable(value.as_bytes())))
        .collect();
    // Written out because a `serde_json` object sorts its members, and the headers are best read
    // last.
    format!(
        r#"{{"method":{},"path":{},"headers":{}}}"#,
        json!(method.as_str()),
        json!(path),
        json!(headers)
    )
}

fn readable(bytes: &[u8]) -> String {
    str::from_utf8(bytes).map_or_else(|_| bytes.escape_ascii().to_string(), str::to_owned)
}

/// Why the upstream does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum UpstreamError {
    /// The address could not be bound.
    #[error("could not listen on {address}")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// What the system said.
        source: io::Error,
    },
    /// The server could not be started, or went down.
    #[error("could not serve")]
    Serve(#[from] io::Error),
}

impl UpstreamError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => Some(
                "another program listens there; name another port with `--listen`, or port 0 for \
                 any free one",
            ),
            Self::Listen { .. } | Self::Serve(_) => None,
        }
    }
}

/// As much as Envoy buffers of a request by default (`per_connection_buffer_limit_bytes`).
const MAX_BODY_BYTES: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    /// The example of RFC 6455 section 1.3.
    #[test]
    fn a_handshake_is_answered_as_the_standard_has_it() {
        let mut headers = HeaderMap::new();
        let key = HeaderValue::from_static("dGhlIHNhbXBsZSBub25jZQ==");
        headers.insert(SEC_WEBSOCKET_KEY, key);
        assert_eq!(websocket_key(&headers), None);
        headers.insert(UPGRADE, HeaderValue::from_static("WebSocket"));
        let accept = websocket_accept(websocket_key(&headers).unwrap());
        assert_eq!(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    }

    #[test]
    fn a_frame_says_how_long_its_message_is() {
        assert_eq!(text_frame("Hello"), b"\x81\x05Hello");
        for (length, head) in [
            (125, &b"\x81\x7d"[..]),
            (126, b"\x81\x7e\x00\x7e"),
            (65_535, b"\x81\x7e\xff\xff"),
            (65_536, b"\x81\x7f\x00\x00\x00\x00\x00\x01\x00\x00"),
        ] {
            let frame = text_frame(&"x".repeat(length));
            assert!(frame.starts_with(head), "{length}");
            assert_eq!(frame.len(), head.len() + length);
        }
    }

    #[test]
    fn every_header_line_is_described_and_bytes_are_escaped() {
        let mut headers = HeaderMap::new();
        headers.append("x-b", HeaderValue::from_static("1"));
        headers.append("x-a", HeaderValue::from_bytes(b"caf\xe9\"").unwrap());
        headers.append("x-b", HeaderValue::from_bytes("é".as_bytes()).unwrap());
        let uri = Uri::from_static("/x?y=%22");
        assert_eq!(
            describe(&Method::GET, &uri, &headers),
            r#"{"method":"GET","path":"/x?y=%22","headers":[["x-b","1"],["x-b","é"],["x-a","caf\\xe9\\\""]]}"#
        );
    }
}
