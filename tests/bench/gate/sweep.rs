//! Batches in rotation: every gate gets the same requests, one batch each, again and again, and
//! Envoy's own clock is read around each of them.
//!
//! Every other sweep runs in reverse, so that drift and the order of the gates affect all of them
//! alike.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::client::{Answers, Client, Protocol, Request};
use crate::gates::Gate;
use crate::machine::ProcessClock;
use crate::support::Envoy;

/// Requests of a batch that are on their way at the same time, unless it is said otherwise.
const IN_FLIGHT: usize = 8;

/// The gates of one Envoy, each with its client.
pub(crate) struct Field {
    clock: ProcessClock,
    /// The helper processes.
    helpers: Vec<ProcessClock>,
    clients: Vec<(Gate, Client)>,
}

/// How requests come.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Load {
    pub(crate) protocol: Protocol,
    /// Requests of a batch that are on their way at the same time.
    pub(crate) in_flight: usize,
}

/// The measurements of one gate's batches, by sweep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Envoy's processor time for each request, in microseconds.
    pub(crate) cpu: Vec<f64>,
    /// The same for the helper processes.
    pub(crate) helpers: Vec<f64>,
    /// Requests for each second.
    pub(crate) rate: Vec<f64>,
    /// What requests of a batch took, in microseconds, all sweeps together.
    pub(crate) busy: Vec<f64>,
    /// Of requests one after the other, in microseconds, all sweeps together.
    pub(crate) latencies: Vec<f64>,
}

/// What was measured, by gate.
pub(crate) type Measured = BTreeMap<Gate, Samples>;

/// A scenario, as far as the sweeps are concerned.
pub(crate) struct Plan<'p> {
    pub(crate) rounds: usize,
    /// Requests before the first sweep, for every gate.
    pub(crate) warm_up: Vec<&'p Request>,
    /// The requests of a sweep.
    pub(crate) batch: &'p dyn Fn(usize) -> Vec<&'p Request>,
    /// Requests that are sent one after the other in every sweep.
    pub(crate) singles: &'p dyn Fn(usize) -> Vec<&'p Request>,
    /// The filters that only make host calls. Others of that kind have nothing to do with it.
    pub(crate) calls: &'static [Calls],
}

impl Field {
    pub(crate) fn new(envoy: &Envoy, gates: &[Gate], protocol: Protocol) -> Self {
        let load = Load {
            protocol,
            in_flight: IN_FLIGHT,
        };
        Self::under(envoy, gates, load)
    }

    pub(crate) fn under(envoy: &Envoy, gates: &[Gate], load: Load) -> Self {
        let client = |gate: &Gate| {
            let address = envoy.address_of(gate.id());
            (*gate, Client::connect(address, load))
        };
        Self {
            clock: ProcessClock::of(envoy.id()),
            helpers: Vec::new(),
            clients: gates.iter().map(client).collect(),
        }
    }

    /// With the processor time of these processes reported too.
    pub(crate) fn beside(mut self, helpers: &[u32]) -> Self {
        self.helpers = helpers.iter().copied().map(ProcessClock::of).collect();
        self
    }

    /// The processor time of Envoy, and of the helper processes.
    fn now(&self) -> [Duration; 2] {
        let helpers = self.helpers.iter().map(|clock| clock.now());
        [self.clock.now(), helpers.sum()]
    }

    pub(crate) fn run(&mut self, plan: &Plan<'_>) -> Measured {
        for (gate, client) in &mut self.clients {
            if plan.concerns(*gate) {
                client.send(&plan.warm_up, answers_of(*gate));
            }
        }
        let mut measured = Measured::new();
        let mut clients = std::mem::take(&mut self.clients);
        for round in 0..plan.rounds {
            let (batch, singles) = ((plan.batch)(round), (plan.singles)(round));
            for (gate, client) in &mut clients {
                if !plan.concerns(*gate) {
                    continue;
                }
                let samples = measured.entry(*gate).or_default();
                let answers = answers_of(*gate);
                let (started, before) = (Instant::now(), self.now());
                let busy = client.send(&batch, answers);
                let after = self.now();
                let count = batch.len() as f64;
                let [cpu, helpers] = [0, 1].map(|clock| {
                    let took = after[clock].saturating_sub(before[clock]);
                    microseconds(took) / count
                });
                samples.cpu.push(cpu);
                samples.helpers.push(helpers);
                samples.rate.push(count / started.elapsed().as_secs_f64());
                samples.busy.extend(busy.into_iter().map(microseconds));
                let latencies = client.send_singly(&singles, answers);
                let latencies = latencies.into_iter().map(microseconds);
                samples.latencies.extend(latencies);
            }
            clients.reverse();
        }
        self.clients = clients;
        measured
    }
}

impl Plan<'_> {
    fn concerns(&self, gate: Gate) -> bool {
        match gate {
            Gate::Calls(calls) => self.calls.contains(calls),
            _ => true,
        }
    }
}

fn answers_of(gate: Gate) -> Answers {
    match gate {
        Gate::Calls(calls) if calls.refuses() => Answers::All(401),
        _ if gate.decides() => Answers::Verdicts,
        _ => Answers::All(200),
    }
}

/// What a gate adds to the time without one, by sweep.
pub(crate) fn added(measured: &Measured, gate: Gate) -> Vec<f64> {
    let of = |gate| {
        measured
            .get(&gate)
            .map(|samples: &Samples| &samples.cpu[..])
    };
    let own = of(gate).unwrap_or_default();
    let first = of(Gate::NoFilter).expect("a measurement without a filter");
    let base = match of(Gate::NoFilterAgain) {
        // What is in the middle of a sweep is compared with both of its ends.
        Some(second) if gate != Gate::NoFilterAgain => {
            let ends = first.iter().zip(second);
            ends.map(|(first, second)| f64::midpoint(*first, *second))
                .collect()
        }
        _ => first.to_vec(),
    };
    own.iter().zip(base).map(|(own, base)| own - base).collect()
}

pub(crate) fn microseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e6
}
