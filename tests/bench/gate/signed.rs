//! Tokens that are new, known or forged, for one algorithm. Envoy answers the requests itself.

use std::cell::RefCell;

use portcullis::host::{ForeignAnswer, SignatureHost};
use portcullis::token::{Backend, KeyRules, KeySet, UnverifiedToken};

use crate::calls::{self, Calls};
use crate::client::{Protocol, Request, forged_requests, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::{Bench, Extent};
use crate::series::Series;
use crate::support::jwks;
use crate::sweep::{Field, Measured, Plan};
use crate::tokens;

pub(crate) fn measure(bench: &Bench<'_>, key: &str, protocol: Protocol, report: &mut Report) {
    calls::assert_counted();
    let extent = bench.extent;
    let gates = gates(bench, key, protocol);
    let genuine = tokens::genuine(key);
    let forged = forged_requests(&tokens::forged(&genuine));
    let genuine = requests(&genuine);
    let mut world = World::new(jwks(&[key]), bench.authority);
    world.question = question(&world.keys, &tokens::genuine(key)[0]);
    world.other.clone_from(&bench.other);
    let envoy = bench.cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates, protocol);
    let mut name = tokens::algorithm(key);
    if protocol == Protocol::Http2 {
        name += ", HTTP/2";
    }
    let mut add = |what: &str, measured| report.add(&format!("{what}, {name}"), measured);
    add("cold", unknown(&mut field, extent, &genuine, &calls::COLD));
    add(
        "warm, 10,000 tokens",
        rotation(&mut field, extent, &genuine, &calls::WARM),
    );
    add(
        "warm, one token",
        rotation(&mut field, extent, &genuine[..1], &calls::WARM),
    );
    add(
        "forged",
        unknown(&mut field, extent, &forged, &calls::FORGED),
    );
}

/// The cost of single host calls within a request.
pub(crate) fn calls(bench: &Bench<'_>, report: &mut Report) {
    let key = "rs256";
    let tokens = tokens::genuine(key);
    let mut gates = vec![Gate::NoFilter, Gate::Empty];
    gates.extend(calls::STEPS.iter().map(Gate::Calls));
    gates.push(Gate::NoFilterAgain);
    let mut world = World::new(jwks(&[key]), bench.authority);
    world.question = question(&world.keys, &tokens[0]);
    let envoy = bench.cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates, Protocol::Http1);
    let requests = requests(&tokens);
    let measured = rotation(&mut field, bench.extent, &requests, &calls::STEPS);
    report.add(calls::NAME, measured);
}

/// The argument of `verify_signature` for this token.
fn question(keys: &str, token: &str) -> Vec<u8> {
    let keys = KeySet::parse(keys.as_bytes(), &KeyRules::default()).expect("keys");
    let token = UnverifiedToken::parse(token.as_bytes()).expect("a token");
    let listener = Listener::default();
    let _ = token.verify(&keys, Backend::Host, &listener);
    listener.0.into_inner()
}

/// A host that only listens.
#[derive(Default)]
struct Listener(RefCell<Vec<u8>>);

impl SignatureHost for Listener {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.0.replace(arguments.to_vec());
        ForeignAnswer::Forged
    }
}

fn gates(bench: &Bench<'_>, key: &str, protocol: Protocol) -> Vec<Gate> {
    let mut gates = vec![
        Gate::NoFilter,
        Gate::Empty,
        Gate::Native,
        Gate::NativeCached,
        Gate::Portcullis,
    ];
    if protocol == Protocol::Http1 {
        gates.push(Gate::PortcullisAlone);
    }
    // Ed25519 is not checked by the host.
    if protocol == Protocol::Http1 && key != "eddsa" {
        let plans: [&[Calls]; 3] = [&calls::WARM, &calls::COLD, &calls::FORGED];
        gates.extend(plans.into_iter().flatten().map(Gate::Calls));
    }
    if protocol == Protocol::Http1 && key == "es256" {
        gates.push(Gate::PortcullisSession);
    }
    if bench.other.is_some() {
        gates.push(Gate::PortcullisOther);
    }
    gates.push(Gate::NoFilterAgain);
    gates
}

/// Every token once.
pub(crate) fn unknown(
    field: &mut Field,
    extent: Extent,
    requests: &[Request],
    calls: &'static [Calls],
) -> Measured {
    let series = Series::new(requests, extent.cold + extent.singles);
    field.run(&Plan {
        rounds: extent.rounds.min(series.portions() - 1),
        warm_up: series.head(0, extent.cold),
        batch: &|round| series.head(round + 1, extent.cold),
        singles: &|round| series.tail(round + 1, extent.cold),
        calls,
    })
}

/// The same tokens again and again.
pub(crate) fn rotation(
    field: &mut Field,
    extent: Extent,
    requests: &[Request],
    calls: &'static [Calls],
) -> Measured {
    let some = |round: usize, count: usize| {
        let all = requests.iter().cycle().skip(round * count % requests.len());
        all.take(count).collect()
    };
    field.run(&Plan {
        rounds: extent.rounds,
        warm_up: some(0, requests.len().max(extent.warm)),
        batch: &|round| some(round, extent.warm),
        singles: &|round| some(round, extent.singles),
        calls,
    })
}
