//! A real upstream, on the core of the load, that costs as little as possible.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::thread;

/// What a small API answers.
const BODY: &str = r#"{"orders":[{"id":1,"state":"shipped","total":"19.90"}]}"#;

/// Starts it; it ends with the process.
pub(crate) fn start() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let address = listener.local_addr().expect("the address just bound");
    thread::spawn(move || {
        for connection in listener.incoming() {
            let connection = connection.expect("a connection");
            thread::spawn(move || serve(connection));
        }
    });
    address
}

/// Answers every request on this connection until Envoy closes it.
fn serve(mut connection: TcpStream) {
    connection.set_nodelay(true).expect("a socket option");
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\r\n{BODY}",
        BODY.len()
    );
    let mut buffer = [0; 16 * 1024];
    let mut filled = 0;
    // Requests have no body, and Envoy sends the next one when it has the answer.
    while let Ok(read @ 1..) = connection.read(&mut buffer[filled..]) {
        filled += read;
        if buffer[..filled].ends_with(b"\r\n\r\n") {
            filled = 0;
            if connection.write_all(answer.as_bytes()).is_err() {
                return;
            }
        }
    }
}
