//! A way to a database that does to what is sent over it what networks do.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// How often a connection on which nothing is sent looks at what has become of the way.
const PAUSE: Duration = Duration::from_millis(5);

/// How long the database has for a commit whose answer does not get back.
const TIME_FOR_A_COMMIT: Duration = Duration::from_millis(50);

/// How a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Break {
    /// Both ends are told that it is over.
    Close,
    /// Both ends are told that it was reset.
    Reset,
    /// Neither end is told anything, and nothing arrives any more.
    Silence,
}

/// What becomes of a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Commit {
    /// It does not arrive.
    Lost,
    /// It arrives, and its answer does not.
    Unanswered,
}

/// The way. It ends when it is dropped, with all connections.
pub(crate) struct Way {
    port: u16,
    shared: Arc<Shared>,
}

struct Shared {
    server: SocketAddr,
    is_silent: AtomicBool,
    /// Milliseconds by which everything arrives later.
    delay: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    links: Vec<Arc<Link>>,
    /// What becomes of the next commit, and of its connection.
    at_commit: Option<(Commit, Break)>,
}

/// One connection, with both of its ends.
#[derive(Default)]
struct Link {
    silent: AtomicBool,
    reset: AtomicBool,
    over: AtomicBool,
}

impl Drop for Way {
    fn drop(&mut self) {
        self.close();
    }
}

impl Way {
    /// A way to the server at this port of loopback.
    pub(crate) fn to(port: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let way = Self {
            port: listener.local_addr().unwrap().port(),
            shared: Arc::new(Shared {
                server: SocketAddr::from(([127, 0, 0, 1], port)),
                is_silent: AtomicBool::new(false),
                delay: AtomicU64::new(0),
                state: Mutex::default(),
            }),
        };
        let shared = Arc::clone(&way.shared);
        thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (shared, link) = (Arc::clone(&shared), Arc::new(Link::default()));
                shared.state().links.push(Arc::clone(&link));
                // An error is the end of a connection, from either side.
                thread::spawn(move || shared.serve(&client, &link));
            }
        });
        way
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Lets nothing through, and tells neither end. What is sent meanwhile arrives once it passes again, as
    /// what is sent over TCP does.
    pub(crate) fn silence(&self) {
        self.shared.is_silent.store(true, Ordering::SeqCst);
    }

    /// Lets through what was held back, and everything from now on.
    pub(crate) fn pass(&self) {
        self.shared.is_silent.store(false, Ordering::SeqCst);
    }

    /// Has everything arrive so many milliseconds later, in both directions.
    pub(crate) fn delay(&self, milliseconds: u64) {
        self.shared.delay.store(milliseconds, Ordering::SeqCst);
    }

    /// Resets all connections. New ones pass.
    pub(crate) fn reset(&self) {
        for link in self.shared.state().links.drain(..) {
            link.reset.store(true, Ordering::SeqCst);
            link.over.store(true, Ordering::SeqCst);
        }
    }

    /// Has this become of the next commit, and then of its connection.
    pub(crate) fn at_next_commit(&self, commit: Commit, how: Break) {
        self.shared.state().at_commit = Some((commit, how));
    }

    /// Whether there was no commit since that was said.
    pub(crate) fn waits_for_a_commit(&self) -> bool {
        self.shared.state().at_commit.is_some()
    }

    fn close(&self) {
        for link in self.shared.state().links.drain(..) {
            link.over.store(true, Ordering::SeqCst);
        }
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn serve(self: &Arc<Self>, client: &TcpStream, link: &Arc<Link>) -> io::Result<()> {
        self.wait_out_silence(link);
        let server = TcpStream::connect(self.server)?;
        for stream in [client, &server] {
            stream.set_nodelay(true)?;
            stream.set_read_timeout(Some(PAUSE))?;
        }
        let (shared, other) = (Arc::clone(self), Arc::clone(link));
        let (from, to) = (server.try_clone()?, client.try_clone()?);
        thread::spawn(move || {
            shared.carry(&from, &to, &other, false);
            other.end(&from, &to);
        });
        self.carry(client, &server, link, true);
        link.end(client, &server);
        Ok(())
    }

    /// Carries what is sent in one direction, until the connection is over.
    fn carry(&self, from: &TcpStream, to: &TcpStream, link: &Link, is_to_server: bool) {
        let (mut from, mut to) = (from, to);
        let mut buffer = vec![0; 64 * 1024];
        while !link.is_over() {
            let read = from.read(&mut buffer);
            let is_waiting = |error: &io::Error| {
                matches!(
                    error.kind(),
                    io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut
                )
            };
            if read.as_ref().is_err_and(is_waiting) {
                continue;
            }
            // An end is sent like everything else, and arrives as late.
            self.wait_out_silence(link);
            let Ok(length @ 1..) = read else {
                return;
            };
            let sent = &buffer[..length];
            let delay = self.delay.load(Ordering::SeqCst);
            thread::sleep(Duration::from_millis(delay));
            if is_to_server && is_commit(sent) {
                let trouble = self.state().at_commit.take();
                if let Some((commit, how)) = trouble {
                    return interrupt(sent, (from, to), link, commit, how);
                }
            }
            if link.is_over() || to.write_all(sent).is_err() {
                return;
            }
        }
    }

    fn wait_out_silence(&self, link: &Link) {
        let is_silent =
            || self.is_silent.load(Ordering::SeqCst) || link.silent.load(Ordering::SeqCst);
        while is_silent() && !link.is_over() {
            thread::sleep(PAUSE);
        }
    }
}

impl Link {
    fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    /// Ends both sides. One that is reset is told so when its socket is closed.
    fn end(&self, one: &TcpStream, other: &TcpStream) {
        self.over.store(true, Ordering::SeqCst);
        for stream in [one, other] {
            if self.reset.load(Ordering::SeqCst) {
                let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
            } else {
                // An error means that it is closed already.
                let _ = stream.shutdown(Shutdown::Both);
            }
        }
    }
}

/// Does to a commit on its way, and to its connection, what is asked for.
fn interrupt(
    sent: &[u8],
    (client, mut server): (&TcpStream, &TcpStream),
    link: &Link,
    commit: Commit,
    how: Break,
) {
    // Before it arrives, so that no answer gets back.
    link.silent.store(true, Ordering::SeqCst);
    if commit == Commit::Unanswered {
        let _ = server.write_all(sent);
        thread::sleep(TIME_FOR_A_COMMIT);
    }
    match how {
        Break::Close => {}
        Break::Reset => link.reset.store(true, Ordering::SeqCst),
        Break::Silence => {
            while !link.is_over() {
                thread::sleep(PAUSE);
            }
        }
    }
    link.end(client, server);
}

fn is_commit(sent: &[u8]) -> bool {
    sent.windows(7).any(|bytes| bytes == b"COMMIT\0")
}
