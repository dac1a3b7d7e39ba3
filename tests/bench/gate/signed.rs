//! Tokens that are new, known or forged, for one algorithm. Envoy answers the requests itself.

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
    world.other.clone_from(&bench.other);
    let envoy = bench.cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates, protocol);
    let mut name = key.to_uppercase().replace("EDDSA", "EdDSA");
    if protocol == Protocol::Http2 {
        name += ", HTTP/2";
    }
    let mut add = |what: &str, measured| report.add(&format!("{what}, {name}"), measured);
    add("cold", unknown(&mut field, extent, &genuine, 200));
    add(
        "warm, 10,000 tokens",
        rotation(&mut field, extent, &genuine),
    );
    add(
        "warm, one token",
        rotation(&mut field, extent, &genuine[..1]),
    );
    add("forged", unknown(&mut field, extent, &forged, 401));
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
) -> Measured {
    let series = Series::new(requests, extent.cold + extent.singles);
    field.run(&Plan {
        rounds: extent.rounds.min(series.portions() - 1),
        warm_up: series.head(0, extent.cold),
        batch: &|round| series.head(round + 1, extent.cold),
        singles: &|round| series.tail(round + 1, extent.cold),
        status,
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
    })
}
