//! Users at work beside a flood: of fifty requests one is a user's, and all others have a token that
//! is used once, half of them forged and half of them genuine. Genuine ones are what a cache keeps,
//! and what could push the users' tokens out of it: twice as many as it holds come before a user
//! comes again.
//!
//! Envoy answers itself: an upstream would be spared what is refused, and that would count for the
//! gates.

use std::thread;

use portcullis::sync::TICK;

use crate::client::{Protocol, Request, forged_requests, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::{Bench, Extent};
use crate::support::{Envoy, Random, jwks};
use crate::sweep::{Field, Measured, Plan};
use crate::tokens;

/// Users at work; their tokens are known.
const USERS: usize = 2_000;

/// Requests in a row, of which the first is a user's and every other one of the rest is genuine.
const ROW: usize = 50;

/// Genuine ones in a row that are used once.
const STRANGERS: usize = ROW / 2;

/// How often every user has come before the flood begins.
const VISITS: usize = 3;

/// Requests before the first sweep: 40,000 of them are genuine and used once, which is twice what
/// either cache holds.
const FILLING: usize = 80_000;

/// The same where it only has to be shown that everything works.
const SMOKE_FILLING: usize = 5_000;

/// Tens of thousands of its tokens are made in seconds.
const KEY: &str = "es256";

const GATES: [Gate; 5] = [
    Gate::NoFilter,
    Gate::Native,
    Gate::NativeCached,
    Gate::Portcullis,
    Gate::NoFilterAgain,
];

/// How many requests of users were answered from a cache.
pub(crate) struct Kept {
    pub(crate) gate: Gate,
    pub(crate) answered: u64,
    /// All requests of users.
    pub(crate) requests: u64,
    /// Tokens in the cache at the end, if the filter tells.
    pub(crate) held: Option<u64>,
}

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    let crowd = Crowd::new(bench.extent);
    let world = World::new(jwks(&[KEY]), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| world.start(&GATES));
    let mut field = Field::new(&envoy, &GATES, Protocol::Http1);
    crowd.fill(&mut field);
    let before = CACHES.map(|cache| cache.hits(&envoy));
    let measured = crowd.sweep(&mut field);
    let algorithm = tokens::algorithm(KEY);
    report.add(
        &format!("users beside a flood of 98 %, {algorithm}"),
        measured,
    );
    let kept = CACHES.iter().zip(before).map(|(cache, before)| Kept {
        gate: cache.gate,
        answered: cache.hits(&envoy) - before,
        requests: (crowd.extent.rounds * crowd.portion() / ROW) as u64,
        held: cache.held.and_then(|name| envoy.stat(name)),
    });
    report.add_kept(kept.collect());
}

/// All requests.
struct Crowd {
    extent: Extent,
    /// Requests before the first sweep.
    filling: usize,
    users: Vec<Request>,
    genuine: Vec<Request>,
    forged: Vec<Request>,
}

impl Crowd {
    fn new(extent: Extent) -> Self {
        let filling = if extent.is_smoke {
            SMOKE_FILLING
        } else {
            FILLING
        };
        let extent = Extent {
            singles: extent.singles.next_multiple_of(ROW),
            ..extent
        };
        let parts = [filling, extent.warm];
        assert!(parts.iter().all(|part| part % ROW == 0), "whole rows");
        let all = filling + extent.rounds * (extent.warm + extent.singles);
        let all = tokens::pool(KEY, USERS + all / ROW * STRANGERS);
        let (users, strangers) = all.split_at(USERS);
        Self {
            extent,
            filling,
            users: requests(users),
            genuine: requests(strangers),
            forged: forged_requests(&tokens::forged(strangers)),
        }
    }

    /// Requests of a sweep.
    const fn portion(&self) -> usize {
        self.extent.warm + self.extent.singles
    }

    /// Fills the caches, with every user in them.
    fn fill(&self, field: &mut Field) {
        let users = std::iter::repeat_n(&self.users, VISITS).flatten();
        let requests = users.chain(self.requests(0, self.filling));
        field.run(&Plan {
            rounds: 0,
            warm_up: requests.collect(),
            batch: &|_| Vec::new(),
            singles: &|_| Vec::new(),
            calls: &[],
        });
    }

    fn sweep(&self, field: &mut Field) -> Measured {
        let Extent { warm, singles, .. } = self.extent;
        let start = |round: usize| self.filling + round * self.portion();
        field.run(&Plan {
            rounds: self.extent.rounds,
            warm_up: Vec::new(),
            batch: &|round| self.requests(start(round), warm).collect(),
            singles: &|round| self.requests(start(round) + warm, singles).collect(),
            calls: &[],
        })
    }

    /// This many requests from this index on, which are the same on every call.
    fn requests(&self, start: usize, count: usize) -> impl Iterator<Item = &Request> {
        let mut random = Random::seeded(start as u64);
        (start..start + count).map(move |index| {
            let once = index / ROW * STRANGERS + (index % ROW).saturating_sub(1) / 2;
            match index % ROW {
                0 => random.pick(&self.users),
                odd if odd % 2 == 1 => &self.genuine[once],
                _ => &self.forged[once],
            }
        })
    }
}

/// Where a filter tells of its cache.
struct CacheStats {
    gate: Gate,
    /// Tokens that were found there. Those that are used once are never found, so that these are
    /// the users'.
    hits: &'static str,
    held: Option<&'static str>,
}

const CACHES: [CacheStats; 2] = [
    CacheStats {
        gate: Gate::NativeCached,
        hits: "http.native-cached.jwt_authn.jwt_cache_hit",
        held: None,
    },
    CacheStats {
        gate: Gate::Portcullis,
        hits: "wasmcustom.portcullis.token_cache.hits",
        held: Some("wasmcustom.portcullis.token_cache.entries"),
    },
];

impl CacheStats {
    fn hits(&self, envoy: &Envoy) -> u64 {
        // Portcullis publishes it on every tick.
        thread::sleep(TICK * 3);
        let hits = envoy.stat(self.hits);
        hits.unwrap_or_else(|| panic!("no counter `{}`", self.hits))
    }
}
