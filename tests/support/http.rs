//! HTTP/1.1 by hand: a client that sends any bytes at all, in the order in which they are given.
//!
//! Client libraries correct what they are asked to send, and a gate has to be tried with what
//! they never would: bytes that are not UTF-8, repeated headers, paths with `..` in them.

use std::fmt;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use serde_json::Value;

use super::patience::PATIENCE;

/// A request, as bytes.
#[derive(Clone)]
pub(crate) struct Request {
    method: &'static str,
    target: Vec<u8>,
    host: &'static str,
    headers: Vec<(Vec<u8>, Vec<u8>)>,
    body: Vec<u8>,
}

impl Request {
    /// A `GET` of `target`, which is sent as it is.
    pub(crate) fn get(target: impl AsRef<[u8]>) -> Self {
        Self {
            method: "GET",
            target: target.as_ref().to_vec(),
            host: "api.example",
            headers: Vec::new(),
            body: Vec::new(),
        }
    }

    /// A `POST` with a body.
    pub(crate) fn post(target: impl AsRef<[u8]>, body: impl AsRef<[u8]>) -> Self {
        let body = body.as_ref();
        Self {
            method: "POST",
            body: body.to_vec(),
            ..Self::get(target).header("content-length", body.len().to_string())
        }
    }

    /// With a body in chunks, trailers included, which is sent as it is.
    pub(crate) fn chunked(mut self, body: impl AsRef<[u8]>) -> Self {
        self.body = body.as_ref().to_vec();
        self.header("transfer-encoding", "chunked")
    }

    /// With another method.
    pub(crate) fn method(mut self, method: &'static str) -> Self {
        self.method = method;
        self
    }

    /// To another host than `api.example`.
    pub(crate) const fn for_host(mut self, host: &'static str) -> Self {
        self.host = host;
        self
    }

    /// With one more header line.
    pub(crate) fn header(mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Self {
        self.headers
            .push((name.as_ref().to_vec(), value.as_ref().to_vec()));
        self
    }

    /// With `Authorization: Bearer` and this token.
    pub(crate) fn bearer(self, token: impl Into<String>) -> Self {
        self.header("Authorization", "Bearer ".to_owned() + &token.into())
    }

    /// What goes over the wire.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        bytes.extend([self.method.as_bytes(), b" ", &self.target, b" HTTP/1.1\r\n"].concat());
        bytes.extend([b"Host: ", self.host.as_bytes(), b"\r\n"].concat());
        for (name, value) in &self.headers {
            bytes.extend([name, &b": "[..], value, b"\r\n"].concat());
        }
        bytes.extend(b"\r\n");
        bytes.extend(&self.body);
        bytes
    }
}

/// The request as it goes over the wire, with everything but printable ASCII escaped.
impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}", self.to_bytes().escape_ascii())
    }
}

/// A client of one server that keeps its connection as long as the server does.
pub(crate) struct Client {
    server: SocketAddr,
    connection: Option<BufReader<TcpStream>>,
}

impl Client {
    pub(crate) const fn new(server: SocketAddr) -> Self {
        Self {
            server,
            connection: None,
        }
    }

    /// Sends a request and waits for the reply.
    pub(crate) fn send(&mut self, request: &Request) -> Response {
        self.try_send(request).unwrap_or_else(|error| {
            let target = request.target.escape_ascii();
            panic!("{} {target} was not answered: {error}", request.method)
        })
    }

    /// Sends a request, and closes the connection without a look at the reply.
    pub(crate) fn send_and_leave(&self, request: &Request) {
        let _connection = self.send_and_stay(request);
        std::thread::sleep(Duration::from_millis(10));
    }

    /// Sends a request over a connection of its own, which closes when it is dropped.
    pub(crate) fn send_and_stay(&self, request: &Request) -> TcpStream {
        let mut connection = connect(self.server).expect("a connection");
        let sent = connection.write_all(&request.to_bytes());
        sent.expect("a request to send");
        connection
    }

    /// The same, for a request that the server may answer by closing the connection.
    pub(crate) fn try_send(&mut self, request: &Request) -> io::Result<Response> {
        let mut connection = match self.connection.take() {
            Some(connection) => connection,
            None => BufReader::new(connect(self.server)?),
        };
        // A server that refuses a request half way has answered before it stops reading, and the
        // answer counts.
        let sent = connection.get_mut().write_all(&request.to_bytes());
        let response = Response::read(&mut connection, request.method).or_else(|error| {
            sent?;
            Err(error)
        })?;
        if response.header("connection") != Some("close") {
            self.connection = Some(connection);
        }
        Ok(response)
    }
}

fn connect(server: SocketAddr) -> io::Result<TcpStream> {
    let stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

/// A reply.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Response {
    /// HTTP status.
    pub(crate) status: u16,
    /// Header lines in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
    /// Body, with the chunks put together.
    pub(crate) body: String,
}

impl Response {
    /// The value of the first header line of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        first(&self.headers, name)
    }

    /// The body as JSON.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body)
            .unwrap_or_else(|error| panic!("expected JSON, found {:?}: {error}", self.body))
    }

    /// What the upstream says that it received.
    pub(crate) fn forwarded(&self) -> Forwarded {
        assert_eq!(
            self.status, 200,
            "expected the upstream's answer, found {self:?}"
        );
        let headers = self.json()["headers"].take();
        Forwarded {
            headers: serde_json::from_value(headers).expect("pairs of name and value"),
        }
    }

    fn read(reader: &mut impl BufRead, method: &str) -> io::Result<Self> {
        let status_line = line(reader)?;
        let status = status_line
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        let status = status.ok_or_else(|| malformed("status line", &status_line))?;
        let mut response = Self {
            status,
            headers: header_lines(reader)?,
            body: String::new(),
        };
        if method != "HEAD" {
            let body = response.read_body(reader)?;
            response.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(response)
    }

    fn read_body(&self, reader: &mut impl BufRead) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        if let Some(length) = self.header("content-length") {
            let length = length
                .parse()
                .map_err(|_| malformed("content length", length))?;
            read_more(reader, length, &mut body)?;
        } else if self.header("transfer-encoding") == Some("chunked") {
            loop {
                let size = line(reader)?;
                let size =
                    usize::from_str_radix(&size, 16).map_err(|_| malformed("chunk size", &size))?;
                read_more(reader, size, &mut body)?;
                line(reader)?;
                if size == 0 {
                    break;
                }
            }
        }
        Ok(body)
    }
}

/// A request as the upstream received it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forwarded {
    /// Header lines in their order, names in lower case.
    pub(crate) headers: Vec<(String, String)>,
}

impl Forwarded {
    /// The value of the only header line of this name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let lines = self.headers.iter().filter(|(line, _)| line == name).count();
        assert!(
            lines <= 1,
            "expected at most one `{name}`, found {:?}",
            self.headers
        );
        first(&self.headers, name)
    }

    /// The header lines whose names begin with `prefix`, sorted.
    pub(crate) fn headers_under(&self, prefix: &str) -> Vec<(&str, &str)> {
        let lines = self
            .headers
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()));
        let mut lines: Vec<_> = lines.filter(|(name, _)| name.starts_with(prefix)).collect();
        lines.sort_unstable();
        lines
    }
}

fn first<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
    headers
        .iter()
        .find(|(line, _)| line == name)
        .map(|(_, value)| value.as_str())
}

fn header_lines(reader: &mut impl BufRead) -> io::Result<Vec<(String, String)>> {
    let mut headers = Vec::new();
    loop {
        let line = line(reader)?;
        if line.is_empty() {
            return Ok(headers);
        }
        let (name, value) = line
            .split_once(':')
            .ok_or_else(|| malformed("header", &line))?;
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
}

fn line(reader: &mut impl BufRead) -> io::Result<String> {
    let mut bytes = Vec::new();
    reader.read_until(b'\n', &mut bytes)?;
    match bytes.strip_suffix(b"\r\n") {
        Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
        None => Err(io::ErrorKind::UnexpectedEof.into()),
    }
}

fn read_more(reader: &mut impl Read, length: usize, body: &mut Vec<u8>) -> io::Result<()> {
    let start = body.len();
    body.resize(start + length, 0);
    reader.read_exact(&mut body[start..])
}

fn malformed(what: &str, text: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("malformed {what}: {text}"),
    )
}
