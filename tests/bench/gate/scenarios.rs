//! The scenarios, and in which order an Envoy goes through them.

use clap::ValueEnum;

use crate::Arguments;
use crate::client::render;
use crate::gates::{Gate, World};
use crate::machine::Cores;
use crate::report::Report;
use crate::support::Authority;
use crate::sweep::{Field, Plan};
use crate::tokens;

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Cold, forged and warm requests with RS256
    Rs256,
    /// The same with ES256
    Es256,
    /// The same with EdDSA
    Eddsa,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    rounds: usize,
    /// Requests of a batch of tokens that were seen before.
    warm: usize,
    /// Requests of a batch of tokens that were not.
    cold: usize,
    /// Requests of a sweep that are sent one after the other.
    singles: usize,
}

impl Extent {
    fn of(arguments: &Arguments) -> Self {
        let rounds = if arguments.smoke { 2 } else { 15 };
        Self {
            rounds: arguments.rounds.unwrap_or(rounds),
            warm: if arguments.smoke { 200 } else { 1_000 },
            cold: if arguments.smoke { 100 } else { 500 },
            singles: if arguments.smoke { 20 } else { 100 },
        }
    }
}

pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let cores = Cores::find();
    let extent = Extent::of(arguments);
    let is_wanted = |part: &Part| arguments.parts.is_empty() || arguments.parts.contains(part);
    let authority = Authority::start();
    for part in Part::value_variants().iter().filter(|part| is_wanted(part)) {
        match part {
            Part::Rs256 => signed(arguments, extent, "rs256", cores, &authority, report),
            Part::Es256 => signed(arguments, extent, "es256", cores, &authority, report),
            Part::Eddsa => signed(arguments, extent, "eddsa", cores, &authority, report),
        }
    }
}

fn signed(
    arguments: &Arguments,
    extent: Extent,
    key: &'static str,
    cores: Cores,
    authority: &Authority,
    report: &mut Report,
) {
    let mut gates = vec![
        Gate::Nobody,
        Gate::Empty,
        Gate::Native,
        Gate::NativeCached,
        Gate::Portcullis,
        Gate::PortcullisAlone,
    ];
    if key == "es256" {
        gates.push(Gate::PortcullisSession);
    }
    if arguments.other.is_some() {
        gates.push(Gate::PortcullisOther);
    }
    gates.push(Gate::NobodyAgain);
    let genuine = tokens::genuine(key);
    let forged = tokens::forged(&genuine);
    let mut world = World::new(key, authority);
    world.other = arguments
        .other
        .as_ref()
        .map(|path| path.display().to_string());
    let envoy = cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates);
    let genuine: Vec<_> = genuine.iter().map(|token| render(token)).collect();
    let forged: Vec<_> = forged.iter().map(|token| render(token)).collect();
    let name = key.to_uppercase();

    let cold = Series::new(&genuine, extent.cold + extent.singles);
    let measured = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: cold.slice(0, extent.cold),
        batch: &|round| cold.slice(round + 1, extent.cold),
        singles: &|round| cold.rest(round + 1, extent.cold),
        status: 200,
    });
    report.add(&format!("cold, {name}"), measured);

    let measured = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: all(&genuine),
        batch: &|round| Series::new(&genuine, extent.warm).slice(round, extent.warm),
        singles: &|round| Series::new(&genuine, extent.singles).slice(round, extent.singles),
        status: 200,
    });
    report.add(&format!("warm, 10,000 tokens, {name}"), measured);

    let one = |count: usize| vec![genuine[0].as_slice(); count];
    let measured = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: one(extent.warm),
        batch: &|_| one(extent.warm),
        singles: &|_| one(extent.singles),
        status: 200,
    });
    report.add(&format!("warm, one token, {name}"), measured);

    let flood = Series::new(&forged, extent.cold + extent.singles);
    let measured = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: flood.slice(0, extent.cold),
        batch: &|round| flood.slice(round + 1, extent.cold),
        singles: &|round| flood.rest(round + 1, extent.cold),
        status: 401,
    });
    report.add(&format!("forged, {name}"), measured);
}

/// Requests in portions, one after the other, and from the beginning again.
struct Series<'r> {
    requests: &'r [Vec<u8>],
    portion: usize,
}

impl<'r> Series<'r> {
    const fn new(requests: &'r [Vec<u8>], portion: usize) -> Self {
        Self { requests, portion }
    }

    /// The beginning of a portion.
    fn slice(&self, number: usize, length: usize) -> Vec<&'r [u8]> {
        let portions = self.requests.len() / self.portion;
        let start = number % portions * self.portion;
        all(&self.requests[start..start + length])
    }

    /// What comes after the beginning.
    fn rest(&self, number: usize, length: usize) -> Vec<&'r [u8]> {
        self.slice(number, self.portion).split_off(length)
    }
}

fn all(requests: &[Vec<u8>]) -> Vec<&[u8]> {
    requests.iter().map(Vec::as_slice).collect()
}
