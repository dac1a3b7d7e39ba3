//! Many short requests with a token, while streams are watched.

use std::env;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread;

use super::{Scene, assert_live};
use crate::revocation::scene::session;
use crate::support::{PATIENCE, Request};

/// A path that Envoy answers itself.
pub(super) const PATH: &str = "/api/short";

/// Clients at the same time.
const CLIENTS: usize = 4;

/// Memory that may come after the first fifth, for what allocators keep: a hundredth of what a million
/// places in the register would take.
const MOST_GROWTH_KIB: u64 = 16 * 1024;

/// How many there are: a million in the long form, which `PORTCULLIS_LONG=1` asks for.
fn count() -> usize {
    match env::var_os("PORTCULLIS_LONG") {
        Some(_) => 1_000_000,
        None => 20_000,
    }
}

#[test]
fn short_requests_leave_nothing_behind() {
    let scene = Scene::new(|_| ());
    let streams = scene.open_all(&session("long").to_string());
    let watched = streams.len() as u64;
    scene.wait_for("streams.watched", |count| count == watched);
    let tokens: Vec<_> = (0..8)
        .map(|number| session(&format!("short-{number}")))
        .collect();
    let requests: Vec<_> = tokens
        .iter()
        .map(|token| Request::get(PATH).bearer(token).to_bytes())
        .collect();
    let server = scene.envoy.address_of("portcullis");
    let count = count();
    let mut sent = 0;
    let mut burst = |more: usize| {
        let each = more / CLIENTS;
        thread::scope(|scope| {
            for _ in 0..CLIENTS {
                scope.spawn(|| send(server, &requests, each));
            }
        });
        sent += each * CLIENTS;
        // A tick of every worker after the last of them: each tells then what it watches.
        let answered = (sent - CLIENTS * tokens.len()) as u64;
        scene.wait_for("token_cache.hits", |hits| hits >= answered);
        scene.wait_for("streams.watched", |count| count == watched);
        scene.envoy.resident_kib()
    };
    let before = burst(count / 5);
    let after = burst(count - count / 5);
    println!("{sent} requests: {before} KiB after a fifth of them, {after} KiB after all");
    assert!(
        after <= before + MOST_GROWTH_KIB,
        "{before} KiB, then {after} KiB"
    );
    assert_eq!(scene.metric("streams.unwatched"), 0);
    assert_live(&streams);
    // Those whose client goes while they are in progress.
    for _ in 0..50 {
        scene
            .envoy
            .client()
            .send_and_leave(&Request::get("/api/events").bearer(&tokens[0]));
    }
    scene.wait_for("streams.watched", |count| count == watched);
    drop(scene.runtime);
    crate::support::until(
        || scene.envoy.log(),
        || scene.envoy.stat("wasmcustom.portcullis.streams.watched") == Some(0),
    );
}

/// Sends so many requests over one connection, each when the one before is answered.
fn send(server: SocketAddr, requests: &[Vec<u8>], count: usize) {
    let mut connection = TcpStream::connect(server).unwrap();
    connection.set_read_timeout(Some(PATIENCE)).unwrap();
    connection.set_nodelay(true).unwrap();
    let mut answer = [0; 4 * 1024];
    for request in requests.iter().cycle().take(count) {
        connection.write_all(request).unwrap();
        let mut end = 0;
        // An answer has no body, so it ends with an empty line.
        while !answer[..end].ends_with(b"\r\n\r\n") {
            let read = connection.read(&mut answer[end..]).unwrap();
            assert_ne!(read, 0, "closed after {}", answer[..end].escape_ascii());
            end += read;
        }
        let text = &answer[..end];
        assert!(
            text.starts_with(b"HTTP/1.1 200 "),
            "{}",
            text.escape_ascii()
        );
    }
}
