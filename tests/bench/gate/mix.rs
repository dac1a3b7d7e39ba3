//! A mobile application: users who come again and again, now and then a new token, and a real
//! upstream behind the gate.

use crate::client::{Protocol, Request, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::{Bench, Extent};
use crate::support::{Random, jwks};
use crate::sweep::{Field, Measured, Plan};
use crate::{tokens, upstream};

/// Users at work; their tokens are known.
const USERS: usize = 2_000;

/// One request in this many has a new token.
const NEW: usize = 20;

/// The scenario for which a throughput is promised.
pub(crate) const NAME: &str = "mix, 95 % warm, through an upstream, RS256";

pub(crate) fn measure(bench: &Bench<'_>, key: &str, report: &mut Report) {
    let gates = [
        Gate::NoFilter,
        Gate::Native,
        Gate::NativeCached,
        Gate::Portcullis,
        Gate::NoFilterAgain,
    ];
    let genuine = requests(&tokens::genuine(key));
    let mut world = World::new(jwks(&[key]), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| {
        // Its threads are on the core of the load.
        world.upstream = Some(bench.cores.on_loads(upstream::start));
        world.start(&gates)
    });
    let mut field = Field::new(&envoy, &gates, Protocol::Http1);
    let measured = Mix::new(bench.extent, &genuine).sweep(&mut field);
    let algorithm = tokens::algorithm(key);
    report.add(&NAME.replace("RS256", &algorithm), measured);
}

/// All requests; their tokens are genuine.
pub(crate) struct Mix<'r> {
    extent: Extent,
    pub(crate) users: &'r [Request],
    /// Their tokens are used once.
    strangers: &'r [Request],
}

impl<'r> Mix<'r> {
    pub(crate) fn new(extent: Extent, genuine: &'r [Request]) -> Self {
        let (users, strangers) = genuine.split_at(USERS);
        Self {
            extent,
            users,
            strangers,
        }
    }

    pub(crate) fn sweep(&self, field: &mut Field) -> Measured {
        let Extent { warm, singles, .. } = self.extent;
        field.run(&Plan {
            rounds: self.extent.rounds,
            warm_up: self.users.iter().collect(),
            batch: &|round| self.requests(round, warm, 0),
            singles: &|round| self.requests(round, singles, warm / NEW),
            calls: &[],
        })
    }

    /// So many requests of a sweep, before which so many of its new tokens were used.
    fn requests(&self, round: usize, count: usize, used: usize) -> Vec<&Request> {
        let new_in_a_round = (self.extent.warm + self.extent.singles) / NEW;
        let mut random = Random::seeded(round as u64);
        let mut new = self.strangers.iter().skip(round * new_in_a_round + used);
        let request = |number: usize| match number % NEW {
            0 => new.next().expect("a new token"),
            _ => random.pick(self.users),
        };
        (0..count).map(request).collect()
    }
}
