//! A proxy between Envoy and the authority that does to the answers what networks, disks and
//! attackers do.

use std::io::{self, BufRead, BufReader, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

/// Changes the body of the answer to a path.
type Alteration = dyn Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync;

/// How answers are passed on.
#[derive(Clone)]
enum Manner {
    Pass,
    /// No connection is accepted, and those that are open break.
    Cut,
    /// A byte at a time, with pauses.
    Trickle(Duration),
    /// With another body and its right length.
    Alter(Arc<Alteration>),
    /// With the length as it was and the end missing.
    BreakOff,
}

/// The proxy. It ends with the test's process.
#[derive(Clone)]
pub(crate) struct Meddler {
    address: SocketAddr,
    shared: Arc<Mutex<State>>,
}

struct State {
    manner: Manner,
    upstream: SocketAddr,
    open: Vec<TcpStream>,
    /// Every answer with status 200 that was passed on: path and body.
    seen: Vec<(String, Vec<u8>)>,
    /// The path of every request, and its headers.
    asked: Vec<(String, Vec<String>)>,
    /// How many requests to paths with this beginning get a closed connection for an answer.
    dropped: (String, usize),
    /// How long answers to paths with this beginning take.
    held_back: (String, Duration),
}

impl Meddler {
    /// A proxy that passes everything on.
    pub(crate) fn before(upstream: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
        let meddler = Self {
            address: listener.local_addr().expect("the address just bound"),
            shared: Arc::new(Mutex::new(State {
                manner: Manner::Pass,
                upstream,
                open: Vec::new(),
                seen: Vec::new(),
                asked: Vec::new(),
                dropped: (String::new(), 0),
                held_back: (String::new(), Duration::ZERO),
            })),
        };
        let accepting = meddler.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let serving = accepting.clone();
                // An error is the end of a connection, from either side.
                thread::spawn(move || serving.serve(&stream));
            }
        });
        meddler
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Passes everything on from now on.
    pub(crate) fn pass(&self) {
        self.set(Manner::Pass);
    }

    /// Breaks every connection and accepts none.
    pub(crate) fn cut(&self) {
        self.set(Manner::Cut);
        self.break_connections();
    }

    /// Breaks the connections that are open, so that what was asked before does not matter.
    pub(crate) fn break_connections(&self) {
        for stream in self.state().open.drain(..) {
            // An error means that it is closed already.
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// Answers a byte at a time.
    pub(crate) fn trickle(&self, pause: Duration) {
        self.set(Manner::Trickle(pause));
    }

    /// Changes the bodies of answers. What is under way is broken off, so that no old answer
    /// comes through.
    pub(crate) fn alter(
        &self,
        alteration: impl Fn(&str, Vec<u8>) -> Vec<u8> + Send + Sync + 'static,
    ) {
        self.set(Manner::Alter(Arc::new(alteration)));
        self.break_connections();
    }

    /// Breaks answers off half way.
    pub(crate) fn break_off(&self) {
        self.set(Manner::BreakOff);
        self.break_connections();
    }

    /// Breaks the connections of the next `count` requests to paths that begin with `prefix`.
    pub(crate) fn drop_requests(&self, prefix: &str, count: usize) {
        self.state().dropped = (prefix.to_owned(), count);
    }

    /// Answers requests to paths that begin with `prefix` this much later.
    pub(crate) fn hold_back(&self, prefix: &str, delay: Duration) {
        self.state().held_back = (prefix.to_owned(), delay);
    }

    /// How many requests to paths that begin with `prefix` there were.
    pub(crate) fn asked(&self, prefix: &str) -> usize {
        let state = self.state();
        let asked = state.asked.iter();
        asked.filter(|(path, _)| path.starts_with(prefix)).count()
    }

    /// The headers of the last request to a path that begins with `prefix`, as lines.
    pub(crate) fn headers(&self, prefix: &str) -> Vec<String> {
        let state = self.state();
        let mut asked = state.asked.iter().rev();
        let last = asked.find(|(path, _)| path.starts_with(prefix));
        last.map(|(_, head)| head.clone()).unwrap_or_default()
    }

    /// Asks another server.
    pub(crate) fn forward_to(&self, upstream: SocketAddr) {
        self.state().upstream = upstream;
        self.break_connections();
    }

    /// The bodies of the answers so far to paths that begin with `prefix`.
    pub(crate) fn seen(&self, prefix: &str) -> Vec<Vec<u8>> {
        let state = self.state();
        let seen = state.seen.iter();
        let seen = seen.filter(|(path, _)| path.starts_with(prefix));
        seen.map(|(_, body)| body.clone()).collect()
    }

    fn set(&self, manner: Manner) {
        self.state().manner = manner;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.shared.lock().expect("no thread panics with it")
    }

    fn serve(&self, stream: &TcpStream) -> io::Result<()> {
        {
            let mut state = self.state();
            if matches!(state.manner, Manner::Cut) {
                return Ok(());
            }
            state.open.push(stream.try_clone()?);
        }
        stream.set_nodelay(true)?;
        let served = self.relay(stream);
        // The clone in `open` would keep the connection open.
        stream.shutdown(Shutdown::Both)?;
        served
    }

    fn relay(&self, client: &TcpStream) -> io::Result<()> {
        let mut requests = BufReader::new(client);
        let mut to_client = client;
        loop {
            let request = Message::read(&mut requests)?;
            if self.is_dropped(&request) {
                return Ok(());
            }
            let answer = self.ask(&request)?;
            let manner = self.state().manner.clone();
            match manner {
                Manner::Pass => to_client.write_all(&answer.to_bytes())?,
                Manner::Cut => return Ok(()),
                Manner::Trickle(pause) => {
                    for byte in answer.to_bytes() {
                        to_client.write_all(&[byte])?;
                        thread::sleep(pause);
                    }
                }
                Manner::Alter(alteration) => {
                    let body = if answer.is_ok() {
                        alteration(&request.path(), answer.body)
                    } else {
                        answer.body
                    };
                    to_client.write_all(&Message { body, ..answer }.to_bytes())?;
                }
                Manner::BreakOff => {
                    let bytes = answer.to_bytes();
                    return to_client.write_all(&bytes[..bytes.len() - answer.body.len() / 2 - 1]);
                }
            }
        }
    }

    /// Counts a request, lets it wait, and says whether it is to be dropped.
    fn is_dropped(&self, request: &Message) -> bool {
        let path = request.path();
        let mut state = self.state();
        state.asked.push((path.clone(), request.head.clone()));
        let (prefix, delay) = &state.held_back;
        let delay = if path.starts_with(prefix) {
            *delay
        } else {
            Duration::ZERO
        };
        let (prefix, left) = &mut state.dropped;
        let is_dropped = *left > 0 && path.starts_with(prefix.as_str());
        *left -= usize::from(is_dropped);
        drop(state);
        thread::sleep(delay);
        is_dropped
    }

    /// Asks over a connection of its own, so that none is left over from an authority that has
    /// been killed since.
    fn ask(&self, request: &Message) -> io::Result<Message> {
        let upstream = self.state().upstream;
        let mut server = TcpStream::connect(upstream)?;
        server.set_nodelay(true)?;
        server.write_all(&request.to_bytes())?;
        let answer = Message::read(&mut BufReader::new(&server))?;
        if answer.is_ok() {
            let seen = (request.path(), answer.body.clone());
            self.state().seen.push(seen);
        }
        Ok(answer)
    }
}

/// A request or an answer, with `Content-Length` if it has a body.
struct Message {
    head: Vec<String>,
    body: Vec<u8>,
}

impl Message {
    fn read(reader: &mut impl BufRead) -> io::Result<Self> {
        let mut head = Vec::new();
        loop {
            let mut line = String::new();
            if reader.read_line(&mut line)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            let line = line.trim_end();
            if line.is_empty() {
                break;
            }
            head.push(line.to_owned());
        }
        let length = head.iter().find_map(|line| content_length(line));
        let mut body = vec![0; length.unwrap_or(0)];
        reader.read_exact(&mut body)?;
        Ok(Self { head, body })
    }

    fn path(&self) -> String {
        let path = self.head.first().and_then(|line| line.split(' ').nth(1));
        path.unwrap_or_default().to_owned()
    }

    fn is_ok(&self) -> bool {
        self.head.first().is_some_and(|line| line.contains(" 200 "))
    }

    fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for line in &self.head {
            if content_length(line).is_none() {
                bytes.extend([line.as_bytes(), b"\r\n"].concat());
            }
        }
        bytes.extend(format!("content-length: {}\r\n\r\n", self.body.len()).into_bytes());
        bytes.extend(&self.body);
        bytes
    }
}

fn content_length(line: &str) -> Option<usize> {
    let (name, value) = line.split_once(':')?;
    let is_length = name.eq_ignore_ascii_case("content-length");
    is_length.then(|| value.trim().parse().ok()).flatten()
}
