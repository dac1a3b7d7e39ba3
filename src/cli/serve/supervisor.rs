//! What the program that has started this one is told, by the protocol of systemd's `sd_notify(3)`: a
//! service with `Type=notify` counts as started once it says so, and not as soon as there is a process,
//! which may go on reading its store for a minute. Podman and others speak it as well.
//!
//! # Why not a crate?
//!
//! It is one datagram, and a crate for it would be one more to keep an eye on.

use std::env;
use std::ffi::OsStr;
use std::io;
use std::os::unix::net::{SocketAddr, UnixDatagram};

/// The variable with the socket's address.
const SOCKET: &str = "NOTIFY_SOCKET";

/// What there is to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice<'a> {
    /// It listens at this URL.
    Ready(&'a str),
    /// It finishes what was begun, and ends.
    Stopping,
}

/// Tells it, if anyone has asked to be told. A failure is a warning and no more, since nothing but the
/// supervisor depends on it, and that notices by itself.
pub(super) fn tell(notice: Notice<'_>) {
    let Some(socket) = env::var_os(SOCKET).filter(|socket| !socket.is_empty()) else {
        return;
    };
    if let Err(error) = send(&socket, notice) {
        tracing::warn!(%error, "could not tell the supervisor in `{SOCKET}`: {notice:?}");
    }
}

fn send(socket: &OsStr, notice: Notice<'_>) -> io::Result<()> {
    let text = match notice {
        Notice::Ready(url) => format!("READY=1\nSTATUS=listening on {url}"),
        Notice::Stopping => "STOPPING=1\nSTATUS=finishing requests".to_owned(),
    };
    let address = address(socket)?;
    UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address)?;
    Ok(())
}

/// A path, or, where there is `@` at its beginning, a name that is in no directory.
fn address(socket: &OsStr) -> io::Result<SocketAddr> {
    #[cfg(target_os = "linux")]
    if let Some(name) = socket.as_encoded_bytes().strip_prefix(b"@") {
        use std::os::linux::net::SocketAddrExt as _;
        return SocketAddr::from_abstract_name(name);
    }
    SocketAddr::from_pathname(socket)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What comes of this at a socket of this address.
    fn received(listener: &UnixDatagram, socket: &str, notice: Notice<'_>) -> String {
        send(socket.as_ref(), notice).unwrap();
        let mut bytes = [0; 200];
        let length = listener.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    }

    #[test]
    fn a_socket_in_a_directory_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("notify");
        let listener = UnixDatagram::bind(&path).unwrap();
        let ready = Notice::Ready("https://127.0.0.1:10002");
        assert_eq!(
            received(&listener, path.to_str().unwrap(), ready),
            "READY=1\nSTATUS=listening on https://127.0.0.1:10002"
        );
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_socket_without_a_path_is_told() {
        use std::os::linux::net::SocketAddrExt as _;
        let name = format!("portcullis-test-{}", std::process::id());
        let address = SocketAddr::from_abstract_name(&name).unwrap();
        let listener = UnixDatagram::bind_addr(&address).unwrap();
        assert_eq!(
            received(&listener, &format!("@{name}"), Notice::Stopping),
            "STOPPING=1\nSTATUS=finishing requests"
        );
    }

    #[test]
    fn a_socket_that_is_not_there_is_a_failure() {
        assert!(send("/nowhere/notify".as_ref(), Notice::Stopping).is_err());
    }
}
