//! Where callers connect.

use std::io;
use std::net::TcpListener;

use super::{Arguments, ServeError};
use crate::authority::{Authority, Certificate, Door, SignalsConfiguration, is_private};

/// What is lacking for listening on this address, where others may connect.
pub(super) fn refusal(arguments: &Arguments) -> Option<&'static str> {
    if is_private(arguments.listen) || arguments.allow_insecure_listen {
        return None;
    }
    match (&arguments.credentials, &arguments.tls_certificate) {
        (None, _) => Some("credentials"),
        (_, None) => Some("TLS"),
        _ => None,
    }
}

/// Refuses a console whose visitors would send their credentials for others on the way to read. Insisting on
/// an insecure listener is for edges in a network of their own, not for people's browsers.
///
/// # Errors
///
/// [`ServeError::ConsoleInTheOpen`].
pub(super) fn expect_safe_console(arguments: &Arguments) -> Result<(), ServeError> {
    let is_safe = is_private(arguments.listen) || arguments.tls_certificate.is_some();
    if arguments.console && !is_safe {
        let address = arguments.listen;
        return Err(ServeError::ConsoleInTheOpen { address });
    }
    Ok(())
}

/// The listener. Where the process that has the same store has the address too, the message says so
/// instead of blaming some other program.
pub(super) fn listen(arguments: &Arguments) -> Result<TcpListener, ServeError> {
    let address = arguments.listen;
    TcpListener::bind(address).map_err(|source| {
        let is_taken = source.kind() == io::ErrorKind::AddrInUse;
        match Authority::expect_free(&arguments.data) {
            Err(in_use) if is_taken => in_use.into(),
            _ => ServeError::Listen { address, source },
        }
    })
}

/// Where identity providers connect, as the signals file says.
pub(super) fn door_for_signals(configuration: &SignalsConfiguration) -> Result<Door, ServeError> {
    let tls = configuration.tls.as_ref();
    let certificate = tls.map(|files| Certificate::open(&files.certificate, &files.key));
    let certificate = certificate.transpose().map_err(ServeError::SignalsTls)?;
    let address = configuration.listen;
    let listener =
        TcpListener::bind(address).map_err(|source| ServeError::Listen { address, source })?;
    Ok(Door {
        listener,
        certificate,
    })
}

/// The address that callers connect to.
pub(super) fn url(door: &Door) -> Result<String, ServeError> {
    let address = door.listener.local_addr().map_err(ServeError::Serve)?;
    let scheme = if door.certificate.is_some() {
        "https"
    } else {
        "http"
    };
    Ok(format!("{scheme}://{address}"))
}
