//! The upstream behind every Envoy: `portcullis upstream`, inside the test's own process.

use std::net::{SocketAddr, TcpListener};
use std::sync::LazyLock;
use std::thread;

/// Where it listens. Started when it is first asked for; ends with the process. It keeps nothing
/// between requests, so all tests share it.
pub(crate) fn address() -> SocketAddr {
    static ADDRESS: LazyLock<SocketAddr> = LazyLock::new(start);
    *ADDRESS
}

fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("the address just bound");
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .expect("a Tokio runtime");
    thread::spawn(move || runtime.block_on(portcullis::cli::upstream::serve(listener)));
    address
}
