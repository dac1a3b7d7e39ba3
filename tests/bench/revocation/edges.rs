//! A thousand edges: the filter's own follower, natively, each with its own shared data and
//! connections, against one authority.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::host::{Call, CallOutcome};
use portcullis::namespace::{Namespace, RecordSecret};
use portcullis::revocation::{FeedKeys, Fingerprint, View};
use portcullis::sync::{FeedSource, Follower, Role, TICK, VoidTokens};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local};

use super::Extent;
use super::process;
use super::report::Report;
use crate::memory::Memory;
use crate::support::Authority;

const PATIENCE: Duration = Duration::from_secs(30);

/// What the edges share. All of them run on one thread.
struct Fleet {
    authority: SocketAddr,
    source: FeedSource,
    news: Sender<News>,
}

/// A report of an edge.
enum News {
    /// It has loaded its first generation.
    Loaded,
    /// It noticed at this moment that these were revoked.
    Noticed(Instant, Vec<Fingerprint>),
    /// It had to empty its cache.
    Emptied,
}

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (edges, rounds) = match extent {
        Extent::Smoke => (100, 5),
        _ => (1_000, 100),
    };
    let authority = Authority::start();
    let (sender, news) = channel();
    let started = Instant::now();
    launch(&authority, edges, sender);
    for _ in 0..edges {
        wait(&news, |news| matches!(news, News::Loaded));
    }
    report.note(
        &format!("{edges} edges: all loaded after"),
        started.elapsed().as_secs_f64(),
        "s",
    );
    // Long polls are open everywhere a moment later.
    thread::sleep(Duration::from_secs(2));
    if extent != Extent::Smoke {
        idle(&authority, report);
    }
    let cpu = process::cpu(authority.id());
    let started = Instant::now();
    let (mut last, mut all, mut emptied) = (Vec::new(), Vec::new(), 0);
    for round in 0..rounds {
        let delays = one_round(&authority, &news, edges, round, &mut emptied);
        last.push(delays.iter().copied().max().expect("an edge"));
        all.extend(delays);
    }
    let used = process::cpu_since(authority.id(), cpu).as_secs_f64();
    report.delays(
        &format!("{edges} edges, acknowledged → each of them"),
        &mut all,
        Some(1_000.0),
    );
    report.delays(
        &format!("{edges} edges, acknowledged → the last of them"),
        &mut last,
        None,
    );
    report.note("caches emptied meanwhile", f64::from(emptied), "");
    report.note(
        "CPU of the authority for one revocation",
        used * 1000.0 / rounds as f64,
        "ms",
    );
    report.note(
        "CPU of the authority at this pace",
        used * 100.0 / started.elapsed().as_secs_f64(),
        "%",
    );
    let memory = process::kib(authority.id(), "VmRSS") / 1024.0;
    report.note("memory of the authority", memory, "MiB");
}

/// The cost to the authority when nothing happens: heartbeats.
fn idle(authority: &Authority, report: &mut Report) {
    // Every edge hears a heartbeat in this time.
    const TIME: Duration = Duration::from_secs(10);
    let cpu = process::cpu(authority.id());
    thread::sleep(TIME);
    let used = process::cpu_since(authority.id(), cpu);
    let share = used.as_secs_f64() / TIME.as_secs_f64();
    report.note("CPU of the authority with idle edges", share * 100.0, "%");
}

fn one_round(
    authority: &Authority,
    news: &Receiver<News>,
    edges: usize,
    round: usize,
    emptied: &mut u32,
) -> Vec<Duration> {
    authority.revoke("session", &format!("edges-{round}"));
    let acknowledged = Instant::now();
    let mut delays = Vec::with_capacity(edges);
    while delays.len() < edges {
        match news.recv_timeout(PATIENCE).expect("news of every edge") {
            News::Noticed(noticed, names) => {
                assert_eq!(names.len(), 1, "one revocation at a time");
                delays.push(noticed.saturating_duration_since(acknowledged));
            }
            News::Emptied => {
                *emptied += 1;
                delays.push(acknowledged.elapsed());
            }
            News::Loaded => {}
        }
    }
    thread::sleep(Duration::from_millis(100 + (round as u64 * 17) % 100));
    delays
}

fn wait(news: &Receiver<News>, is_meant: impl Fn(&News) -> bool) {
    while !is_meant(&news.recv_timeout(PATIENCE).expect("news of every edge")) {}
}

fn launch(authority: &Authority, edges: usize, news: Sender<News>) {
    let address = authority.address();
    let (keys, credential) = (
        authority.feed_keys(),
        authority.edge_credential().to_owned(),
    );
    thread::spawn(move || {
        let fleet = Rc::new(Fleet {
            authority: address,
            source: source(keys, credential),
            news,
        });
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .expect("a Tokio runtime");
        let tasks = LocalSet::new();
        for number in 0..edges {
            tasks.spawn_local(run(Rc::clone(&fleet), number as u64));
        }
        runtime.block_on(tasks);
    });
}

/// As the filter has it by default.
fn source(keys: FeedKeys, credential: String) -> FeedSource {
    FeedSource {
        cluster: "authority".to_owned(),
        authority: "authority".to_owned(),
        credential,
        keys,
        heartbeat: Duration::from_secs(10),
        reload_jitter: Duration::from_secs(30),
        max_staleness: Duration::from_secs(30),
    }
}

/// One edge, for ever.
async fn run(fleet: Rc<Fleet>, number: u64) {
    let memory = Memory::seeded(number);
    let space = Namespace::new(&RecordSecret::none(), "bench", &number);
    let view = Rc::new(View::new(space, fleet.source.keys.clone()));
    let mut follower = Follower::new(fleet.source.clone(), Rc::clone(&view));
    let connections = Rc::new(RefCell::new(Vec::new()));
    let (sender, mut answers) = unbounded_channel();
    let phase = Duration::from_micros(number * 7_919 % 100_000);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + phase, TICK);
    let mut was_loaded = false;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                memory.look_at_the_clock();
                let void = follower.on_tick(&memory, Role::Leads);
                let is_loaded = view.state().is_some();
                let news = match void {
                    _ if is_loaded && !was_loaded => Some(News::Loaded),
                    Some(VoidTokens::Named(names)) => Some(News::Noticed(Instant::now(), names)),
                    Some(VoidTokens::All) => Some(News::Emptied),
                    None => None,
                };
                was_loaded = is_loaded;
                // The main thread has ended if the receiver is gone.
                if news.is_some_and(|news| fleet.news.send(news).is_err()) {
                    return;
                }
            }
            Some((id, outcome)) = answers.recv() => {
                memory.look_at_the_clock();
                follower.on_response(&memory, id, &outcome);
            }
        }
        for (id, call) in memory.take_calls() {
            let (sender, connections) = (sender.clone(), Rc::clone(&connections));
            let authority = fleet.authority;
            spawn_local(async move {
                let exchange = exchange(authority, &connections, &call);
                let answer = tokio::time::timeout(call.timeout, exchange).await;
                let outcome = answer.ok().and_then(Result::ok);
                let outcome = outcome.unwrap_or(CallOutcome::Failed);
                // The edge may have gone.
                let _ = sender.send((id, outcome));
            });
        }
    }
}

async fn exchange(
    authority: SocketAddr,
    connections: &RefCell<Vec<TcpStream>>,
    call: &Call,
) -> io::Result<CallOutcome> {
    let kept = connections.borrow_mut().pop();
    let stream = if let Some(stream) = kept {
        stream
    } else {
        let stream = TcpStream::connect(authority).await?;
        stream.set_nodelay(true)?;
        stream
    };
    let mut request = format!(
        "{} {} HTTP/1.1\r\nhost: {}\r\n",
        call.method, call.path, call.authority
    );
    for (name, value) in &call.headers {
        request.extend([name, ": ", value, "\r\n"]);
    }
    request += "\r\n";
    let mut left = request.as_bytes();
    while !left.is_empty() {
        stream.writable().await?;
        match stream.try_write(left) {
            Ok(written) => left = &left[written..],
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
    let mut bytes = Vec::with_capacity(1024);
    loop {
        if let Some(outcome) = parse(&bytes) {
            connections.borrow_mut().push(stream);
            return Ok(outcome);
        }
        stream.readable().await?;
        let mut buffer = [0; 4096];
        match stream.try_read(&mut buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(length) => bytes.extend_from_slice(&buffer[..length]),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) => return Err(error),
        }
    }
}

/// The answer, as soon as all of it is there.
fn parse(bytes: &[u8]) -> Option<CallOutcome> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")?;
    let head = str::from_utf8(&bytes[..end]).ok()?;
    let mut lines = head.split("\r\n");
    let status = lines.next()?.split(' ').nth(1)?.parse().ok()?;
    let headers: Vec<(String, Vec<u8>)> = lines
        .filter_map(|line| line.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.as_bytes().to_vec()))
        .collect();
    let length = headers.iter().find(|(name, _)| name == "content-length")?;
    let length: usize = str::from_utf8(&length.1).ok()?.parse().ok()?;
    let body = bytes.get(end + 4..end + 4 + length)?.to_vec();
    Some(CallOutcome::Answered {
        status,
        headers,
        body,
    })
}
