//! With revocations loaded: what ten million of them cost a request.

use crate::client::{Protocol, requests};
use crate::gates::{Gate, World};
use crate::import::import;
use crate::report::Report;
use crate::scenarios::Bench;
use crate::signed::{rotation, unknown};
use crate::support::{Authority, jwks};
use crate::sweep::Field;
use crate::tokens;

const MILLION: u64 = 1_000_000;

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    let unit = if bench.extent.is_smoke {
        1_000
    } else {
        MILLION
    };
    bench.cores.release();
    let million = authority_with(unit);
    let ten_million = authority_with(10 * unit);
    let gates = [
        Gate::NoFilter,
        Gate::Portcullis,
        Gate::PortcullisMillion,
        Gate::PortcullisTenMillion,
        Gate::PortcullisAgain,
        Gate::NoFilterAgain,
    ];
    let mut world = World::new(jwks(&["rs256"]), bench.authority);
    world.authorities.push(("authority-million", &million));
    world
        .authorities
        .push(("authority-ten-million", &ten_million));
    let envoy = bench.cores.start_on_envoys(|| world.start(&gates));
    let mut field = Field::new(&envoy, &gates, Protocol::Http1);
    let genuine = requests(&tokens::genuine("rs256"));
    let measured = unknown(&mut field, bench.extent, &genuine, &[]);
    report.add("loaded, cold, RS256", measured);
    let measured = rotation(&mut field, bench.extent, &genuine, &[]);
    report.add("loaded, warm, 10,000 tokens, RS256", measured);
}

/// An authority with so many entries, all of them in its generation.
fn authority_with(entries: u64) -> Authority {
    let mut authority = Authority::start();
    import(&authority, 0, entries);
    // At its start it builds a generation with everything that it has.
    authority.restart();
    authority
}
