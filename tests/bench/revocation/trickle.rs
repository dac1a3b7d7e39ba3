//! A steady trickle of requests to every worker, to see whether one of them pauses.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crate::support::{Client, Envoy, Request, Token};

const PAUSE: Duration = Duration::from_micros(500);

/// Requests in progress.
pub(crate) struct Trickle {
    is_over: Arc<AtomicBool>,
    workers: Vec<JoinHandle<Vec<Duration>>>,
}

impl Trickle {
    /// Begins. The tokens are known to the workers' caches, so that a request needs nothing but
    /// the worker.
    pub(crate) fn start(envoy: &Envoy) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let token = Token::signed_by("es256").claim("sid", "trickle");
        let request = Request::get("/api").bearer(token);
        let workers = envoy.client_of_every_worker().into_iter().map(|client| {
            let (is_over, request) = (Arc::clone(&is_over), request.clone());
            thread::spawn(move || run(client, &request, &is_over))
        });
        Self {
            workers: workers.collect(),
            is_over,
        }
    }

    /// Ends, and gives the latency of every request, sorted.
    pub(crate) fn stop(self) -> Vec<Duration> {
        self.is_over.store(true, Ordering::Relaxed);
        let latencies = self.workers.into_iter();
        let mut latencies: Vec<Duration> = latencies
            .flat_map(|worker| worker.join().expect("answers"))
            .collect();
        latencies.sort_unstable();
        latencies
    }
}

fn run(mut client: Client, request: &Request, is_over: &AtomicBool) -> Vec<Duration> {
    let mut latencies = Vec::new();
    while !is_over.load(Ordering::Relaxed) {
        let asked = Instant::now();
        let reply = client.send(request);
        latencies.push(asked.elapsed());
        assert_eq!(reply.status, 200, "{reply:?}");
        thread::sleep(PAUSE);
    }
    latencies
}
