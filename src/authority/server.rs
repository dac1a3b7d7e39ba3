//! Connections: accepting them, TLS, limits, and shutting down.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower_service::Service as _;

use super::{Door, http};

mod descriptors;
mod seldom;
mod slots;

use descriptors::Connections;
pub(super) use seldom::Seldom;
use slots::ConnectionSlots;
pub(super) use slots::{ConnectionSlot, Interface};

/// Ten times as many edges as one authority is measured with.
const MAX_CONNECTIONS: usize = 10_000;

/// Of identity providers.
const MAX_SIGNAL_CONNECTIONS: usize = 1_024;

/// As many bytes as Envoy allows a request's headers by default.
const MAX_HEADER_BYTES: usize = 64 * 1024;

const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// How many connections a listener has, and how patient it is with them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    connections: usize,
    /// A connection that is kept open without a request is closed after this time.
    header_timeout: Duration,
}

impl Bounds {
    /// For operators and edges, and for identity providers, if these have a listener.
    ///
    /// Providers send and go. None of them shows a credential before its request, so where there are too
    /// many, the newest connection gets the slot of one that waits, or of a network that has most.
    pub(super) fn of_listeners(has_signals: bool) -> (Self, Self) {
        let connections = descriptors::connections(Connections {
            main: MAX_CONNECTIONS,
            signals: if has_signals {
                MAX_SIGNAL_CONNECTIONS
            } else {
                0
            },
        });
        let main = Self {
            connections: connections.main,
            header_timeout: Duration::from_secs(75),
        };
        let signals = Self {
            connections: connections.signals,
            header_timeout: Duration::from_secs(10),
        };
        (main, signals)
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Serves until `stopping` turns true and what was begun is finished, or `drain` is over.
///
/// # Errors
///
/// When the listener cannot be handed to the runtime, or TLS be offered with the certificate.
pub(super) async fn serve(
    Door {
        listener,
        certificate,
    }: Door,
    router: Router,
    bounds: Bounds,
    mut stopping: watch::Receiver<bool>,
    drain: Duration,
) -> io::Result<()> {
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    let tls = certificate.map(|certificate| certificate.server());
    let acceptor = tls.transpose().map_err(io::Error::other)?;
    let acceptor = acceptor.map(TlsAcceptor::from);
    let total = bounds.connections;
    tracing::info!(total, "connection limit");
    let room = Room {
        permits: Arc::new(Semaphore::new(total)),
        slots: ConnectionSlots::new(total),
        crowded: Seldom::default(),
    };
    let failing = Seldom::default();
    let misled = Arc::new(Misled::default());
    let graceful = GracefulShutdown::new();
    loop {
        let (accepted, permit) = tokio::select! {
            accepted = async {
                let permit = room.one().await;
                (listener.accept().await, permit)
            } => accepted,
            _ = stopping.wait_for(|is_stopping| *is_stopping) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // Most often the machine has run out of file descriptors.
                if let Some(times) = failing.take(Instant::now()) {
                    tracing::warn!(%error, times, "could not accept a connection");
                }
                room.slots.send_away(total / 8);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        // Answers are small and written whole; Nagle's algorithm would only delay them.
        let _ = stream.set_nodelay(true);
        let connection = Connection {
            router: router.clone(),
            peer: Peer(peer.ip()),
            watcher: graceful.watcher(),
            slot: room.slots.admit(peer.ip()),
            misled: Arc::clone(&misled),
            stopping: stopping.clone(),
            header_timeout: bounds.header_timeout,
        };
        tokio::spawn(connection.serve(stream, acceptor.clone(), permit));
    }
    drop(listener);
    if timeout(drain, graceful.shutdown()).await.is_err() {
        tracing::warn!("stopped with requests unfinished");
    }
    Ok(())
}

/// The connections that may be open.
struct Room {
    /// One for each open connection, including one that has lost its slot and is about to end.
    permits: Arc<Semaphore>,
    slots: Arc<ConnectionSlots>,
    crowded: Seldom,
}

impl Room {
    /// Waits until one more connection may be open. If there is no room, a stranger is sent away.
    async fn one(&self) -> Option<OwnedSemaphorePermit> {
        loop {
            if let Ok(permit) = Arc::clone(&self.permits).try_acquire_owned() {
                return Some(permit);
            }
            if let Some(times) = self.crowded.take(Instant::now()) {
                tracing::warn!(
                    times,
                    "all connections are in use; some without a credential are closed"
                );
            }
            self.slots.send_away(1);
            let freed = Arc::clone(&self.permits).acquire_owned();
            if let Ok(permit) = timeout(ACCEPT_PAUSE, freed).await {
                // The semaphore is never closed.
                return permit.ok();
            }
        }
    }
}

/// The address that a connection comes from. Its requests have it among their extensions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Peer(pub(super) IpAddr);

struct Connection {
    router: Router,
    peer: Peer,
    watcher: Watcher,
    slot: Arc<ConnectionSlot>,
    misled: Arc<Misled>,
    stopping: watch::Receiver<bool>,
    header_timeout: Duration,
}

/// Callers that use TLS where there is none, plain HTTP where there is TLS, or do not accept the
/// certificate.
#[derive(Debug, Default)]
struct Misled {
    without_tls: Seldom,
    with_tls: Seldom,
    distrustful: Seldom,
}

impl Connection {
    /// Serves, and gives the permit back when nothing of the connection is left.
    async fn serve(
        self,
        stream: TcpStream,
        acceptor: Option<TlsAcceptor>,
        permit: Option<OwnedSemaphorePermit>,
    ) {
        let slot = Arc::clone(&self.slot);
        tokio::select! {
            () = self.serve_to_the_end(stream, acceptor) => {}
            () = slot.sent_away() => tracing::debug!("closed a connection to make room for another"),
        }
        drop(permit);
    }

    async fn serve_to_the_end(mut self, stream: TcpStream, acceptor: Option<TlsAcceptor>) {
        let patience = if acceptor.is_some() {
            HANDSHAKE_TIMEOUT
        } else {
            self.header_timeout
        };
        let Some(speaks_tls) = self.first_byte(&stream, patience).await.map(is_tls) else {
            return;
        };
        let Some(acceptor) = acceptor else {
            if speaks_tls {
                return self.turn_away(&self.misled.with_tls, "TLS, which this listener does not");
            }
            return self.speak(stream).await;
        };
        if !speaks_tls {
            self.turn_away(&self.misled.without_tls, "no TLS, which this listener does");
            // A plain HTTP answer, which is all that such a client understands.
            self.router = http::only_over_tls();
            return self.speak(stream).await;
        }
        match timeout(HANDSHAKE_TIMEOUT, acceptor.accept(stream)).await {
            Ok(Ok(stream)) => self.speak(stream).await,
            Ok(Err(error)) if is_alert(&error) => {
                let seldom = &self.misled.distrustful;
                self.turn_away(
                    seldom,
                    &format!("TLS, but not with this certificate: {error}"),
                );
            }
            Ok(Err(error)) => tracing::debug!(%error, "a TLS handshake failed"),
            Err(_) => tracing::debug!("a TLS handshake took too long"),
        }
    }

    /// The first byte that the caller sends, without consuming it. `None` when the caller sends
    /// nothing, or has gone.
    async fn first_byte(&mut self, stream: &TcpStream, patience: Duration) -> Option<u8> {
        let mut byte = [0];
        let stopping = self.stopping.wait_for(|is_stopping| *is_stopping);
        let read = tokio::select! {
            read = timeout(patience, stream.peek(&mut byte)) => read.ok()?.ok()?,
            _ = stopping => 0,
        };
        let [first] = byte;
        (read == 1).then_some(first)
    }

    fn turn_away(&self, seldom: &Seldom, what: &str) {
        if let Some(times) = seldom.take(Instant::now()) {
            let address = self.peer.0;
            tracing::warn!(%address, times, "a caller speaks {what}");
        }
    }

    async fn speak(self, stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static) {
        let router = self.router;
        let (slot, peer) = (self.slot, self.peer);
        let service = service_fn(move |mut request: Request<Incoming>| {
            let mut router = router.clone();
            request.extensions_mut().insert(Arc::clone(&slot));
            request.extensions_mut().insert(peer);
            let in_progress = slot.request();
            async move {
                let response = router.call(request.map(Body::new)).await;
                drop(in_progress);
                Ok::<_, Infallible>(response.unwrap_or_else(|never| match never {}))
            }
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(MAX_HEADER_BYTES)
            .serve_connection(TokioIo::new(stream), service);
        if let Err(error) = self.watcher.watch(connection).await {
            tracing::debug!(error = %super::text::chain_of(&error), "a connection was lost");
        }
    }
}

/// Whether a connection that begins with this byte uses TLS: it is the type of a handshake record
/// (RFC 8446 section 5.1), and no HTTP method begins with it.
const fn is_tls(first_byte: u8) -> bool {
    first_byte == 22
}

/// Whether a handshake failed because the caller rejected it.
fn is_alert(error: &io::Error) -> bool {
    let error = error.get_ref().and_then(|error| error.downcast_ref());
    matches!(error, Some(rustls::Error::AlertReceived(_)))
}

/// Whether an address can only be reached from the machine itself.
#[must_use]
pub fn is_private(address: SocketAddr) -> bool {
    address.ip().is_loopback()
}
