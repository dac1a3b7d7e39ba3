//! A mobile application: users who come again and again, now and then a new token, and a real
//! upstream behind the gate.

use crate::client::{Protocol, Request, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::Bench;
use crate::support::{Random, jwks};
use crate::sweep::{Field, Plan};
use crate::{tokens, upstream};

/// Users at work; their tokens are known.
const USERS: usize = 2_000;

/// One request in so many has a token that nobody has seen.
const NEW: usize = 20;

/// The scenario for which a throughput is promised.
pub(crate) const NAME: &str = "mix, 95 % warm, through an upstream, RS256";

pub(crate) fn measure(bench: &Bench<'_>, key: &str, report: &mut Report) {
    let extent = bench.extent;
    let gates = [
        Gate::Nobody,
        Gate::Native,
        Gate::NativeCached,
        Gate::Portcullis,
        Gate::NobodyAgain,
    ];
    let genuine = requests(&tokens::genuine(key));
    let (users, strangers) = genuine.split_at(USERS);
    let mut world = World::new(jwks(&[key]), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| {
        // Its threads are on the core of the load.
        world.upstream = Some(bench.cores.on_loads(upstream::start));
        world.start(&gates)
    });
    let mut field = Field::new(&envoy, &gates, Protocol::Http1);
    let new_in_a_round = (extent.warm + extent.singles) / NEW;
    let mixed = |round: usize, count: usize, first: usize| -> Vec<&Request> {
        let mut random = Random::seeded(round as u64);
        let mut new = strangers.iter().skip(round * new_in_a_round + first);
        let request = |number: usize| match number % NEW {
            0 => new.next().expect("a new token"),
            _ => random.pick(users),
        };
        (0..count).map(request).collect()
    };
    let measured = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: users.iter().collect(),
        batch: &|round| mixed(round, extent.warm, 0),
        singles: &|round| mixed(round, extent.singles, extent.warm / NEW),
        calls: &[],
    });
    let algorithm = tokens::algorithm(key);
    report.add(&NAME.replace("RS256", &algorithm), measured);
}
