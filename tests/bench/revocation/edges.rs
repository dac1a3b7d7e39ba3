//! A thousand edges: the filter's own, natively, each with its own shared data and connections, against
//! one authority.

use std::cell::RefCell;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;
use std::time::{Duration, Instant};

use portcullis::host::{Call, CallOutcome};
use portcullis::sync::TICK;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::sync::mpsc::unbounded_channel;
use tokio::task::{LocalSet, spawn_local};

use super::Extent;
use super::process;
use super::report::Report;
use crate::machine::Machine;
use crate::memory::Memory;
use crate::support::{Authority, ISSUER, jwks};

const PATIENCE: Duration = Duration::from_secs(30);

/// What the edges share. All of them run on one thread.
struct Fleet {
    authority: SocketAddr,
    configuration: Value,
    news: Sender<News>,
}

/// A report of an edge.
enum News {
    /// It has loaded its first generation.
    Loaded,
    /// At this moment it noticed so many changes, and made void what they name in its cache.
    Noticed(Instant, u64),
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
    let (mut last, mut all) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let delays = one_round(&authority, &news, edges, round);
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
) -> Vec<Duration> {
    authority.revoke("session", &format!("edges-{round}"));
    let acknowledged = Instant::now();
    let mut delays = Vec::with_capacity(edges);
    while delays.len() < edges {
        match news.recv_timeout(PATIENCE).expect("news of every edge") {
            News::Noticed(noticed, changes) => {
                assert_eq!(changes, 1, "one revocation at a time");
                delays.push(noticed.saturating_duration_since(acknowledged));
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
    let configuration = configuration(authority);
    thread::spawn(move || {
        let fleet = Rc::new(Fleet {
            authority: address,
            configuration,
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
fn configuration(authority: &Authority) -> Value {
    json!({
        "providers": {"idp": {
            "issuer": ISSUER,
            "local_jwks": {"inline_string": jwks(&["eddsa"])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": authority.settings(),
    })
}

/// One edge, for ever.
async fn run(fleet: Rc<Fleet>, number: u64) {
    let memory = Rc::new(Memory::seeded(number));
    let machine = Machine::new(&memory, &fleet.configuration);
    let connections = Rc::new(RefCell::new(Vec::new()));
    let (sender, mut answers) = unbounded_channel();
    let phase = Duration::from_micros(number * 7_919 % 100_000);
    let mut ticks = tokio::time::interval_at(tokio::time::Instant::now() + phase, TICK);
    let mut position = None;
    loop {
        tokio::select! {
            _ = ticks.tick() => {
                memory.look_at_the_clock();
                machine.tick();
                let before = std::mem::replace(&mut position, machine.host.position());
                let news = match (before, position) {
                    (None, Some(_)) => Some(News::Loaded),
                    (Some((_, before)), Some((_, now))) if now > before => {
                        Some(News::Noticed(Instant::now(), now - before))
                    }
                    _ => None,
                };
                // The main thread has ended if the receiver is gone.
                if news.is_some_and(|news| fleet.news.send(news).is_err()) {
                    return;
                }
            }
            Some((call, outcome)) = answers.recv() => {
                memory.look_at_the_clock();
                machine.end_call(&call, &outcome);
            }
        }
        for open in machine.take_calls() {
            let (sender, connections) = (sender.clone(), Rc::clone(&connections));
            let authority = fleet.authority;
            spawn_local(async move {
                let exchange = exchange(authority, &connections, &open.call);
                let answer = tokio::time::timeout(open.call.timeout, exchange).await;
                let outcome = answer.ok().and_then(Result::ok);
                let outcome = outcome.unwrap_or(CallOutcome::Failed);
                // The edge may have gone.
                let _ = sender.send((open, outcome));
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
