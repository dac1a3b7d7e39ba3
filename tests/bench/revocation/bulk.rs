//! A bulk load, and one revocation right behind it: how long does the last worker take to refuse, and
//! is any request held up meanwhile?

use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Extent;
use super::import::import_kind;
use super::propagation::{bootstrap, until_status};
use super::report::{Report, milliseconds};
use super::trickle::Trickle;
use crate::support::{Authority, Client, Envoy, Request, Token};

/// How long Envoy takes at most to publish the counters of its workers.
const FLUSHED_AFTER: Duration = Duration::from_millis(1_200);

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (changes, rounds) = match extent {
        Extent::Smoke => (5_000, 2),
        _ => (50_000, 10),
    };
    for kind in ["subject", "session"] {
        let authority = Authority::start();
        let envoy = Envoy::start(&bootstrap(&authority, &json!({})));
        let mut clients = envoy.client_of_every_worker();
        thread::sleep(FLUSHED_AFTER);
        let busy = envoy.pauses_longer_than(10_000);
        let trickle = Trickle::start(&envoy);
        let (mut delays, mut imports) = (Vec::new(), Vec::new());
        for round in 0..rounds {
            let session = format!("behind-{kind}-{round}");
            let request = Request::get("/api")
                .bearer(Token::signed_by("es256").claim("sid", session.as_str()));
            for client in &mut clients {
                until_status(client, &request, 200);
            }
            imports.push(import_kind(&authority, kind, round * changes, changes));
            authority.revoke("session", &session);
            delays.push(until_all_refuse(&mut clients, &request));
        }
        let latencies = trickle.stop();
        thread::sleep(FLUSHED_AFTER);
        let name = |what: &str| format!("{changes} {kind}s imported: {what}");
        report.delays(
            &name("a session revoked behind them → refused by every worker"),
            &mut delays,
            Some(1_000.0),
        );
        report.delays(&name("the import"), &mut imports, None);
        let at = |share: usize| milliseconds(latencies[(latencies.len() - 1) * share / 10_000]);
        report.note(&name("requests meanwhile, p99.9"), at(9_990), "ms");
        report.note(&name("requests meanwhile, longest"), at(10_000), "ms");
        let busy = envoy.pauses_longer_than(10_000) - busy;
        let name = name("worker busy for > 10 ms");
        report.promise(&name, busy as f64, 0.0, "times");
    }
}

/// The time until every worker has refused.
fn until_all_refuse(clients: &mut [Client], request: &Request) -> Duration {
    let acknowledged = Instant::now();
    thread::scope(|scope| {
        let refusals: Vec<_> = clients
            .iter_mut()
            .map(|client| scope.spawn(|| until_status(client, request, 401)))
            .collect();
        let refusals = refusals
            .into_iter()
            .map(|thread| thread.join().expect("a refusal"));
        let last = refusals.max().expect("a worker");
        last.saturating_duration_since(acknowledged)
    })
}
