//! Tokens that are new, known or forged, for one algorithm. Envoy answers the requests itself.

use std::cell::RefCell;

use portcullis::host::{ForeignAnswer, SignatureHost};
use portcullis::token::{Backend, KeyRules, KeySet, UnverifiedToken};

use crate::client::{Protocol, Request, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::{Bench, Extent};
use crate::series::Series;
use crate::support::jwks;
use crate::sweep::{Field, Measured, Plan};
use crate::tokens;

pub(crate) fn measure(bench: &Bench<'_>, key: &str, protocol: Protocol, report: &mut Report) {
    let extent = bench.extent;
    let gates = gates(bench, key, protocol);
    let genuine = tokens::genuine(key);
    let forged = requests(&tokens::forged(&genuine));
    let genuine = requests(&genuine);
    let mut world = World::new(jwks(&[key]), bench.authority);
    world.question = question(&world.keys, &tokens::genuine(key)[0]);
    world.other.clone_from(&bench.other);
    let envoy = bench.cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates, protocol);
    let mut name = key.to_uppercase().replace("EDDSA", "EdDSA");
    if protocol == Protocol::Http2 {
        name += ", HTTP/2";
    }
    let mut add = |what: &str, measured| report.add(&format!("{what}, {name}"), measured);
    let (cold, forgery) = (Gate::FloorCold, Gate::FloorForged);
    add(
        "cold",
        unknown(&mut field, extent, &genuine, 200, Some(cold)),
    );
    add(
        "warm, 10,000 tokens",
        rotation(&mut field, extent, &genuine),
    );
    add(
        "warm, one token",
        rotation(&mut field, extent, &genuine[..1]),
    );
    add(
        "forged",
        unknown(&mut field, extent, &forged, 401, Some(forgery)),
    );
}

/// What the host is asked about this token.
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
        Gate::Nobody,
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
        gates.extend([Gate::FloorWarm, Gate::FloorCold, Gate::FloorForged]);
    }
    if key == "es256" {
        gates.push(Gate::PortcullisSession);
    }
    if bench.other.is_some() {
        gates.push(Gate::PortcullisOther);
    }
    gates.push(Gate::NobodyAgain);
    gates
}

/// Every token once.
pub(crate) fn unknown(
    field: &mut Field,
    extent: Extent,
    requests: &[Request],
    status: u16,
    floor: Option<Gate>,
) -> Measured {
    let series = Series::new(requests, extent.cold + extent.singles);
    field.run(&Plan {
        rounds: extent.rounds.min(series.portions() - 1),
        warm_up: series.head(0, extent.cold),
        batch: &|round| series.head(round + 1, extent.cold),
        singles: &|round| series.tail(round + 1, extent.cold),
        status,
        floor,
    })
}

/// The same tokens again and again.
pub(crate) fn rotation(field: &mut Field, extent: Extent, requests: &[Request]) -> Measured {
    let some = |round: usize, count: usize| {
        let all = requests.iter().cycle().skip(round * count % requests.len());
        all.take(count).collect()
    };
    field.run(&Plan {
        rounds: extent.rounds,
        warm_up: some(0, requests.len().max(extent.warm)),
        batch: &|round| some(round, extent.warm),
        singles: &|round| some(round, extent.singles),
        status: 200,
        floor: Some(Gate::FloorWarm),
    })
}
