//! An identity provider: what the authority has to know of it, and what it sends.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};

use serde_json::{Value, json};

use super::load::Connection;
use crate::support::{JwksServer, Token, jwks};

/// The event of a logout token.
const LOGOUT: &str = "http://schemas.openid.net/event/backchannel-logout";

/// A provider, whose keys are published for as long as this is there.
pub(crate) struct Provider {
    pub(crate) issuer: &'static str,
    key: &'static str,
    keys: JwksServer,
}

impl Provider {
    pub(crate) fn start(issuer: &'static str, key: &'static str) -> Self {
        let keys = JwksServer::with_keys(jwks(&[key]));
        Self { issuer, key, keys }
    }

    /// What stands in the signals file.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "issuer": self.issuer,
            "keys": {"jwks_uri": format!("http://{}/jwks", self.keys.address())},
            "client_ids": ["web"],
            "receivers": {"back_channel_logout": true},
        })
    }

    /// The logout token of a session.
    pub(crate) fn logout(&self, session: &str) -> Token {
        logout_token(self.issuer, self.key)
            .claim("sid", session)
            .claim("jti", session)
    }
}

/// A logout token without a session or `jti`.
pub(crate) fn logout_token(issuer: &str, key: &'static str) -> Token {
    Token::signed_by(key)
        .header("typ", "logout+jwt")
        .claim("iss", issuer)
        .claim("aud", "web")
        .claim("events", json!({ LOGOUT: {} }))
        .expiring_in(120)
}

/// The request with a logout token.
pub(crate) fn logout_request(token: &str) -> String {
    let form = "content-type: application/x-www-form-urlencoded\r\n";
    post(
        "/backchannel-logout",
        form,
        &format!("logout_token={token}"),
    )
}

/// A request with these lines in its head.
pub(crate) fn post(path: &str, head: &str, body: &str) -> String {
    let length = body.len();
    format!("POST {path} HTTP/1.1\r\nhost: a\r\n{head}content-length: {length}\r\n\r\n{body}")
}

/// Sends a request over a connection of its own, as providers do; the status of the answer.
pub(crate) fn send(from: Ipv4Addr, to: SocketAddr, request: &str) -> u16 {
    let mut connection = Connection::new(connect(from, to));
    connection.send(request);
    connection.hear().0
}

/// A connection from this address, all of which are the machine's own in 127.0.0.0/8. The authority tells
/// senders apart by it.
pub(crate) fn connect(from: Ipv4Addr, to: SocketAddr) -> TcpStream {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()
        .expect("a Tokio runtime");
    let connected = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4()?;
        socket.bind(SocketAddr::from((from, 0)))?;
        socket.connect(to).await?.into_std()
    });
    let stream = connected.expect("a connection");
    stream.set_nonblocking(false).expect("a socket that waits");
    stream
}
