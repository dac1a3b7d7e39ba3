//! `portcullis upstream`: an upstream that shows what the gate let through.
//!
//! It trusts every caller and keeps nothing; it is for trying things out, on loopback.

use std::io::{self, Write};
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::body::to_bytes;
use axum::extract::Request;
use axum::http::header::CONTENT_TYPE;
use axum::http::{HeaderMap, Method, Uri};
use axum::response::IntoResponse;
use clap::Args;
use serde_json::json;

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
/// # Errors
///
/// When the listener cannot be handed to the runtime. Must be called within a Tokio runtime.
pub async fn serve(listener: TcpListener) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    axum::serve(listener, Router::new().fallback(answer)).await
}

async fn answer(request: Request) -> impl IntoResponse {
    let (parts, body) = request.into_parts();
    // A body left unread makes the server close the connection, which looks like a fault of the
    // gate. One that is too long or breaks off is not this upstream's concern.
    let _ = to_bytes(body, MAX_BODY_BYTES).await;
    let description = describe(&parts.method, &parts.uri, &parts.headers);
    ([(CONTENT_TYPE, "application/json")], description)
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
