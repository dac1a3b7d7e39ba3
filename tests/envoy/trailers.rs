//! Upstreams that merge trailers into the headers must not take a client's trailers for ours.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

use serde_json::json;

use crate::support::{
    Bootstrap, Envoy, JwksServer, Listener, Plugin, Request, Token, configuration, jwks,
};

/// A server that takes one request on each connection, to the end of its trailers, and hands over
/// what it has read.
fn listening() -> (SocketAddr, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let mut connection = connection.unwrap();
            let mut text = Vec::new();
            let is_whole = |text: &[u8]| {
                let end = text.windows(5).position(|bytes| bytes == b"\r\n0\r\n");
                end.is_some_and(|end| text[end..].ends_with(b"\r\n\r\n"))
            };
            while !is_whole(&text) {
                let mut buffer = [0; 4096];
                match connection.read(&mut buffer) {
                    Ok(read) if read > 0 => text.extend(&buffer[..read]),
                    _ => break,
                }
            }
            let reply = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = connection.write_all(reply);
            if sender.send(String::from_utf8(text).unwrap()).is_err() {
                return;
            }
        }
    });
    (address, receiver)
}

#[test]
fn trailers_do_not_say_who_is_calling() {
    const TRAILERS: &str = "3\r\nabc\r\n0\r\n\
        X-Session-Subject: mallory\r\nx_session_issuer: mallory\r\nx.user: mallory\r\n\
        X-User: mallory\r\nx-session-role: mallory\r\nx!user: mallory\r\n\
        Authorization: Bearer mallory\r\ncookie: tok=mallory\r\nx-checksum: kept\r\n\r\n";
    let (upstream, received) = listening();
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let provider = &mut configuration["providers"]["demo"];
    provider["claim_to_headers"] = json!([{"header_name": "x-user", "claim_name": "sub"}]);
    // A request waits for the keys, so that its trailers come while there is no verdict.
    let server = JwksServer::with_keys(jwks(&["es256"]));
    server.delay(Duration::from_secs(1));
    let mut waiting = configuration.clone();
    let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "issuer", "timeout": "5s"});
    let provider = waiting["providers"]["demo"].as_object_mut().unwrap();
    provider.remove("local_jwks");
    provider.insert("remote_jwks".to_owned(), json!({"http_uri": uri}));
    for (configuration, path, is_guarded) in [
        (&configuration, "/public", false),
        (&configuration, "/api", true),
        (&waiting, "/api", true),
    ] {
        let listener = Listener::portcullis(Plugin::new(configuration)).leading_to(Some("raw"));
        let bootstrap = Bootstrap::new([listener]).with_cluster("raw", upstream);
        let bootstrap = bootstrap.with_cluster("issuer", server.address());
        let envoy = Envoy::start(&bootstrap.with_trailers());
        let request = Request::get(path)
            .method("POST")
            .bearer(Token::signed_by("es256"));
        let reply = envoy.client().send(&request.chunked(TRAILERS));
        assert_eq!(reply.status, 200, "{reply:?}");
        let text = received.recv().unwrap().to_ascii_lowercase();
        assert!(text.contains("\r\n0\r\n"), "{text}");
        assert!(text.contains("x-checksum: kept"), "{text}");
        assert!(!text.contains("mallory"), "{text}");
        assert_eq!(text.contains("x-user: alice"), is_guarded, "{text}");
    }
}
