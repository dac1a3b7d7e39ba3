//! The time from the start of Envoy to the first verdict, and its memory at rest.

use std::thread;
use std::time::{Duration, Instant};

use crate::gates::{Gate, World};
use crate::machine::ProcessClock;
use crate::process;
use crate::report::{Report, Start};
use crate::scenarios::Bench;
use crate::support::{Envoy, Request, jwks};
use crate::tokens;

/// By then Envoy has given back all the memory that it will.
const REST: Duration = Duration::from_secs(2);

/// For processor time without requests.
const IDLE: Duration = Duration::from_secs(4);

/// As many as this machine has cores, as Envoy does it by default.
const WORKERS: u32 = 2;

const GATES: [Gate; 5] = [
    Gate::NoFilter,
    Gate::Empty,
    Gate::Native,
    Gate::PortcullisAlone,
    Gate::Portcullis,
];

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    // V8 compiles in several threads.
    bench.cores.release();
    let repetitions = if bench.extent.is_smoke { 1 } else { 7 };
    let world = World::new(jwks(&["rs256", "es256", "eddsa"]), bench.authority);
    let token = tokens::genuine("rs256").swap_remove(0);
    let request = Request::get("/orders/1").bearer(token);
    for gate in GATES {
        let bootstrap = world.bootstrap(&[gate], WORKERS);
        let mut start = Start::of(gate);
        for repetition in 0..repetitions {
            let started = Instant::now();
            let envoy = Envoy::start(&bootstrap);
            accepted(&envoy, gate, &request);
            let took = started.elapsed().as_secs_f64() * 1e3;
            start.milliseconds.push(took);
            if !bench.extent.is_smoke {
                thread::sleep(REST);
            }
            start
                .mebibytes
                .push(process::kib(envoy.id(), "VmRSS") / 1024.0);
            if repetition == 0 && !bench.extent.is_smoke {
                start.idle = idle(&envoy);
            }
        }
        report.add_start(start);
    }
}

/// Repeats the request until the filter is ready.
fn accepted(envoy: &Envoy, gate: Gate, request: &Request) {
    const PAUSE: Duration = Duration::from_millis(1);
    let deadline = Instant::now() + Duration::from_secs(30);
    let mut client = envoy.client_of(gate.id());
    while client.send(request).status != 200 {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        thread::sleep(PAUSE);
    }
}

/// Milliseconds of processor time in a second without requests.
fn idle(envoy: &Envoy) -> f64 {
    let clock = ProcessClock::of(envoy.id());
    let before = clock.now();
    thread::sleep(IDLE);
    clock.now().saturating_sub(before).as_secs_f64() * 1e3 / IDLE.as_secs_f64()
}
