//! Ports for servers that are started again where they were.

use std::net::TcpListener;
use std::process;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Below those that Linux gives to connections, and to listeners that name no port: one of these may have
/// another owner by the time at which a server comes back to it.
const FIRST: u16 = 11_000;
const COUNT: u16 = 21_000;

/// A port that nothing listens on, and that this gives to nobody else until it has given all others.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    // Where several include this, in one process or in two, they begin far from one another.
    let start = process::id() as usize * 97 + (&raw const NEXT).addr() / 8;
    loop {
        let step = start + NEXT.fetch_add(1, Ordering::Relaxed);
        let port = FIRST + u16::try_from(step % usize::from(COUNT)).unwrap();
        if TcpListener::bind(("127.0.0.1", port)).is_ok() {
            return port;
        }
    }
}
