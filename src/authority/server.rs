//! Connections: where they are accepted, TLS, limits, and the end.

use std::convert::Infallible;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

mod strangers;

pub(super) use strangers::Stranger;
use strangers::Strangers;

/// Serves until `stopping` turns true and what was begun is finished, or `drain` is over.
///
/// # Errors
///
/// When the listener cannot be handed to the runtime.
pub async fn serve(
    listener: TcpListener,
    tls: Option<Arc<ServerConfig>>,
    router: Router,
    mut stopping: watch::Receiver<bool>,
    drain: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let acceptor = tls.map(TlsAcceptor::from);
    let places = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    let strangers = Strangers::new(MAX_STRANGERS);
    let graceful = GracefulShutdown::new();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
        };
        let stream = match accepted {
            Ok((stream, _)) => stream,
            Err(error) => {
                // Most often no file descriptor is left.
                tracing::warn!(%error, "could not accept a connection");
                strangers.send_away(SENT_AWAY);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
            tracing::warn!(
                limit = MAX_CONNECTIONS,
                "too many connections; closed the newest"
            );
            strangers.send_away(SENT_AWAY);
            continue;
        };
        // Answers are small and written whole; waiting for more of them only delays.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: router.clone(),
            watcher: graceful.watcher(),
            stranger: Arc::new(strangers.admit()),
            place,
        };
        tokio::spawn(connection.serve(stream, acceptor.clone()));
    }
    drop(listener);
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped with requests unfinished");
    }
    Ok(())
}

struct Connection {
    router: Router,
    watcher: Watcher,
    stranger: Arc<Stranger>,
    place: OwnedSemaphorePermit,
}

impl Connection {
    async fn serve(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let stranger = Arc::clone(&self.stranger);
        tokio::select! {
            () = self.serve_to_the_end(stream, acceptor) => {}
            () = stranger.sent_away() => {
                tracing::debug!("closed a connection that showed no credential, for another");
            }
        }
    }

    async fn serve_to_the_end(self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let Some(acceptor) = acceptor else {
            return self.speak(stream).await;
        };
        match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) => tracing::debug!(%error, "no TLS connection came about"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let router = self.router;
        let stranger = self.stranger;
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut router = router.clone();
            request.extensions_mut().insert(Arc::clone(&stranger));
            async move {
                let response = router.call(request.map(Body::new)).await;
                Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADER_TIMEOUT)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(error = %super::chain_of(&error), "a connection broke off");
        }
        drop(self.place);
    }
}

/// Whether an address can only be reached from the machine itself.
#[must_use]
pub fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}

/// Ten times as many edges as one authority is measured with.
const MAX_CONNECTIONS: usize = 10_000;

/// As many edges as connect at once when the authority has been away: all of those that it is
/// measured with, several times over.
const MAX_STRANGERS: usize = MAX_CONNECTIONS / 2;

/// Strangers that are sent away when the system has no room: as many as come in before the next
/// attempt, most often.
const SENT_AWAY: usize = 64;

/// As many bytes as Envoy allows a request's headers by default.
const MAX_HEADER_BYTES: usize = 64 * 1024;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection that is kept open without asking anything is closed after this time.
const HEADER_TIMEOUT: Duration = Duration::from_secs(75);

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
