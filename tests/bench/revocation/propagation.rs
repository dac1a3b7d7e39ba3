//! Eight Envoys with two workers each against one authority: how long after the acknowledgement
//! of a revocation does the last worker refuse?

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::Extent;
use super::process;
use super::report::Report;
use crate::support::{Authority, Bootstrap, Client, Envoy, Plugin, Request, Token, configuration};

pub(crate) const ENVOYS: usize = 8;
const PAUSE_OF_POLLS: Duration = Duration::from_millis(2);
const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (envoys, rounds) = match extent {
        Extent::Smoke => (2, 10),
        _ => (ENVOYS, 200),
    };
    let authority = Authority::start();
    let bootstrap = bootstrap(&authority, &json!({}));
    let envoys: Vec<Envoy> = (0..envoys).map(|_| Envoy::start(&bootstrap)).collect();
    let mut clients: Vec<Client> = envoys
        .iter()
        .flat_map(Envoy::client_of_every_worker)
        .collect();
    let mut last = Vec::new();
    let mut all = Vec::new();
    let cpu = process::cpu(authority.id());
    let started = Instant::now();
    for round in 0..rounds {
        let delays = one_round(&authority, &mut clients, round);
        last.push(delays.iter().copied().max().expect("a worker"));
        all.extend(delays);
    }
    let share =
        process::cpu_since(authority.id(), cpu).as_secs_f64() / started.elapsed().as_secs_f64();
    let name = format!(
        "{} Envoys, acknowledged → refused by every worker",
        envoys.len()
    );
    report.delays(&name, &mut last, Some(250.0));
    report.delays("each worker for itself", &mut all, None);
    report.note("CPU of the authority meanwhile", share * 100.0, "%");
}

/// An Envoy that follows this authority.
pub(crate) fn bootstrap(authority: &Authority, more: &Value) -> Bootstrap {
    let mut configuration = configuration();
    configuration["revocation"] = authority.settings();
    for (name, value) in more.as_object().expect("an object") {
        configuration["revocation"][name] = value.clone();
    }
    Bootstrap::with_plugin(Plugin::new(&configuration))
        .with_authority(authority.address())
        .with_member("enable_dispatcher_stats", true.into())
        .with_member("stats_flush_interval", "1s".into())
        // Otherwise Envoy keeps for itself what an old generation has left free.
        .with_member(
            "memory_allocator_manager",
            json!({"bytes_to_release": 64 << 20, "memory_release_interval": "1s"}),
        )
}

/// Revokes a session that every worker has just let through, and gives the delay of each worker.
pub(crate) fn one_round(
    authority: &Authority,
    clients: &mut [Client],
    round: usize,
) -> Vec<Duration> {
    let session = format!("propagation-{round}");
    let revoke = || authority.revoke("session", &session);
    let ended = end_session(clients, &session, round, revoke);
    let since_acknowledged = ended.refused.iter().map(|refused| {
        // A worker may be told before the caller is.
        refused.saturating_duration_since(ended.acknowledged)
    });
    since_acknowledged.collect()
}

/// The end of a session.
pub(crate) struct Ended {
    asked: Instant,
    acknowledged: Instant,
    /// When each worker first refused it.
    refused: Vec<Instant>,
}

impl Ended {
    /// How long the answer took.
    pub(crate) fn answered_after(&self) -> Duration {
        self.acknowledged - self.asked
    }

    /// How long it took, all in all, until every worker refused it.
    pub(crate) fn refused_after(&self) -> Duration {
        *self.refused.iter().max().expect("a worker") - self.asked
    }
}

/// Has a session ended by `end`, after every worker has let it through.
pub(crate) fn end_session(
    clients: &mut [Client],
    session: &str,
    round: usize,
    end: impl FnOnce(),
) -> Ended {
    let token = Token::signed_by("es256").claim("sid", session);
    let request = Request::get("/api").bearer(token);
    for client in &mut *clients {
        until_status(client, &request, 200);
    }
    thread::scope(|scope| {
        let refusals: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| until_status(client, &request, 401)))
            .collect();
        // So that the revocations fall anywhere between two ticks.
        thread::sleep(Duration::from_millis(7 + (round as u64 * 13) % 100));
        let asked = Instant::now();
        end();
        let acknowledged = Instant::now();
        let refusals = refusals.into_iter().map(|thread| thread.join().unwrap());
        Ended {
            asked,
            acknowledged,
            refused: refusals.collect(),
        }
    })
}

/// Repeats the request, and gives the time of the first answer with this status.
pub(crate) fn until_status(client: &mut Client, request: &Request, status: u16) -> Instant {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let reply = client.send(request);
        if reply.status == status {
            return Instant::now();
        }
        assert!(
            Instant::now() < deadline,
            "expected {status}, found {reply:?}"
        );
        thread::sleep(PAUSE_OF_POLLS);
    }
}
