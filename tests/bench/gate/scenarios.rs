//! The parts of the measurement, and their sizes.

use clap::ValueEnum;

use crate::Arguments;
use crate::client::Protocol;
use crate::machine::Cores;
use crate::report::Report;
use crate::support::Authority;
use crate::{bound, flood, loaded, mix, peers, proofs, signed, start};

/// What can be measured by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Time to the first verdict, and memory
    Start,
    /// Cold, forged and warm requests with RS256
    Rs256,
    /// The same with ES256
    Es256,
    /// The same with `EdDSA`
    Eddsa,
    /// The same with RS256 and ES256 over HTTP/2
    Http2,
    /// 95 % warm requests, through to an upstream
    Mix,
    /// Users whose tokens are known, beside 49 times as many requests with tokens that are used once
    Flood,
    /// What a forged token costs, for every algorithm
    Bound,
    /// Tokens that are bound to a key, each request with a proof (`DPoP`)
    Proofs,
    /// With a million and ten million revocations loaded
    Loaded,
    /// The usual solution to the same problem, `jwt_authn` and `ext_authz`, in a report of its own
    Peers,
    /// The calls of the host, one more at a time, on the way of a request
    Calls,
}

/// How much is done.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Extent {
    /// Sweeps.
    pub(crate) rounds: usize,
    /// Requests of a batch, of tokens that were seen before.
    pub(crate) warm: usize,
    /// Requests of a batch, of tokens that were not.
    pub(crate) cold: usize,
    /// Requests of a sweep that are sent one after the other.
    pub(crate) singles: usize,
    /// Whether this only shows that everything works.
    pub(crate) is_smoke: bool,
}

/// What every part needs.
pub(crate) struct Bench<'b> {
    pub(crate) extent: Extent,
    pub(crate) cores: Cores,
    /// One that has revoked nothing.
    pub(crate) authority: &'b Authority,
    /// Another build of the filter.
    pub(crate) other: Option<String>,
}

impl Extent {
    fn of(arguments: &Arguments) -> Self {
        let whole = Self {
            rounds: 15,
            warm: 1_000,
            cold: 500,
            singles: 100,
            is_smoke: false,
        };
        let smoke = Self {
            rounds: 2,
            warm: 200,
            cold: 100,
            singles: 20,
            is_smoke: true,
        };
        let extent = if arguments.smoke { smoke } else { whole };
        Self {
            rounds: arguments.rounds.unwrap_or(extent.rounds),
            ..extent
        }
    }
}

pub(crate) fn measure(arguments: &Arguments, report: &mut Report) {
    let authority = Authority::start();
    let other = arguments.other.as_ref();
    let bench = Bench {
        extent: Extent::of(arguments),
        cores: Cores::find(),
        authority: &authority,
        other: other.map(|path| path.display().to_string()),
    };
    let is_wanted = |part: &&Part| arguments.parts.is_empty() || arguments.parts.contains(part);
    for part in Part::value_variants().iter().filter(is_wanted) {
        match part {
            Part::Start => start::measure(&bench, report),
            Part::Rs256 => signed::measure(&bench, "rs256", Protocol::Http1, report),
            Part::Es256 => signed::measure(&bench, "es256", Protocol::Http1, report),
            Part::Eddsa => signed::measure(&bench, "eddsa", Protocol::Http1, report),
            Part::Http2 => {
                for key in ["rs256", "es256"] {
                    signed::measure(&bench, key, Protocol::Http2, report);
                }
            }
            Part::Mix => {
                for key in ["rs256", "es256", "eddsa"] {
                    mix::measure(&bench, key, report);
                }
            }
            Part::Flood => flood::measure(&bench, report),
            Part::Bound => bound::measure(&bench, report),
            Part::Proofs => proofs::measure(&bench, report),
            Part::Loaded => loaded::measure(&bench, report),
            Part::Peers => peers::measure(&bench, &report.about),
            Part::Calls => signed::calls(&bench, report),
        }
    }
}
