//! Batches in rotation: every gate gets the same requests, one batch each, again and again, and
//! Envoy's own clock is read around each of them.
//!
//! Every other sweep goes the other way round, so that what changes steadily meanwhile, and who
//! comes after whom, is the same for all.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use crate::calls::Calls;
use crate::client::{Answers, Client, Protocol, Request};
use crate::gates::Gate;
use crate::machine::ProcessClock;
use crate::support::Envoy;

/// The gates of one Envoy, each with its client.
pub(crate) struct Field {
    clock: ProcessClock,
    clients: Vec<(Gate, Client)>,
}

/// What one gate's batches took, by sweep.
#[derive(Clone, Debug, Default)]
pub(crate) struct Samples {
    /// Envoy's processor time for each request, in microseconds.
    pub(crate) cpu: Vec<f64>,
    /// Requests for each second.
    pub(crate) rate: Vec<f64>,
    /// Of requests one after the other, in microseconds, all sweeps together.
    pub(crate) latencies: Vec<f64>,
}

/// What was measured, by gate.
pub(crate) type Measured = BTreeMap<Gate, Samples>;

/// A scenario, as far as the sweeps are concerned.
pub(crate) struct Plan<'p> {
    pub(crate) rounds: usize,
    /// Requests before the first sweep, for everybody.
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
        let client = |gate: &Gate| {
            let address = envoy.address_of(gate.id());
            (*gate, Client::connect(address, protocol))
        };
        Self {
            clock: ProcessClock::of(envoy.id()),
            clients: gates.iter().map(client).collect(),
        }
    }

    pub(crate) fn run(&mut self, plan: &Plan<'_>) -> Measured {
        for (gate, client) in &mut self.clients {
            if plan.concerns(*gate) {
                client.send(&plan.warm_up, answers_of(*gate));
            }
        }
        let mut measured = Measured::new();
        for round in 0..plan.rounds {
            let (batch, singles) = ((plan.batch)(round), (plan.singles)(round));
            for (gate, client) in &mut self.clients {
                if !plan.concerns(*gate) {
                    continue;
                }
                let samples = measured.entry(*gate).or_default();
                let answers = answers_of(*gate);
                let (started, clock) = (Instant::now(), self.clock.now());
                client.send(&batch, answers);
                let cpu = self.clock.now().saturating_sub(clock);
                let count = batch.len() as f64;
                samples.cpu.push(microseconds(cpu) / count);
                samples.rate.push(count / started.elapsed().as_secs_f64());
                let latencies = client.send_singly(&singles, answers);
                let latencies = latencies.into_iter().map(microseconds);
                samples.latencies.extend(latencies);
            }
            self.clients.reverse();
        }
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
    let first = of(Gate::Nobody).expect("a measurement without a filter");
    let base = match of(Gate::NobodyAgain) {
        // What is in the middle of a sweep is compared with both of its ends.
        Some(second) if gate != Gate::NobodyAgain => {
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
