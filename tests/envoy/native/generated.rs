//! Random pairs of configurations and requests, from a seed.
//!
//! `PORTCULLIS_DIFFERENTIAL_SEED` and `PORTCULLIS_DIFFERENTIAL_PAIRS` choose others and more;
//! `PORTCULLIS_DIFFERENTIAL_ONLY=17.4` tries request 4 of configuration 17 of the seed alone.

mod configuration;
mod features;
mod provider;
mod requests;
mod requirement;
mod rules;
mod spelling;
pub(super) mod tokens;

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;

use super::comparison::{Difference, Outcome, differences};
use super::deviations::{self, Deviation};
use crate::support::{Bootstrap, Envoy, Listener, Plugin, Random, Request};
use configuration::Configuration;
pub(super) use features::Features;

const SEED: u64 = 20_261_124;

const PAIRS: usize = 1_000;

/// Requests that are tried with one configuration.
const REQUESTS: usize = 10;

/// Configurations in one Envoy.
const CONFIGURATIONS: usize = 50;

/// A request with its position in the run.
struct Pair {
    /// Seed, configuration and request.
    position: (u64, usize, usize),
    request: Request,
    features: Features,
    native: Outcome,
    own: Outcome,
}

/// The result of all pairs.
#[derive(Default)]
struct Tally {
    pairs: usize,
    accepted: usize,
    refused: usize,
    features: BTreeMap<&'static str, usize>,
    deviations: BTreeMap<String, usize>,
    unexplained: Vec<String>,
}

#[test]
fn generated_pairs_agree_or_differ_as_declared() {
    let seed = number("PORTCULLIS_DIFFERENTIAL_SEED").unwrap_or(SEED);
    let pairs = number("PORTCULLIS_DIFFERENTIAL_PAIRS");
    let pairs = pairs.map_or(PAIRS, |pairs| usize::try_from(pairs).unwrap());
    println!("seed {seed}, {pairs} pairs");
    let deviations = deviations::all();
    let mut tally = Tally::default();
    if let Ok(only) = env::var("PORTCULLIS_DIFFERENTIAL_ONLY") {
        let (configuration, request) = only.split_once('.').expect("two numbers and a dot");
        let (configuration, request) = (configuration.parse().unwrap(), request.parse().unwrap());
        tally.try_all(seed, &[configuration], &[request], &deviations);
    } else {
        let configurations: Vec<_> = (0..pairs.div_ceil(REQUESTS)).collect();
        let requests: Vec<_> = (0..REQUESTS).collect();
        for configurations in configurations.chunks(CONFIGURATIONS) {
            tally.try_all(seed, configurations, &requests, &deviations);
        }
        println!("{}", tally.summary());
        tally.assert_well_distributed();
    }
    let unexplained = &tally.unexplained;
    assert!(
        unexplained.is_empty(),
        "{} differences are not declared:\n\n{}",
        unexplained.len(),
        unexplained.join("\n\n")
    );
}

impl Tally {
    /// Tries these requests with these configurations of a seed, all in one Envoy.
    fn try_all(
        &mut self,
        seed: u64,
        configurations: &[usize],
        requests: &[usize],
        deviations: &[Deviation],
    ) {
        let configurations: Vec<_> = configurations
            .iter()
            .map(|index| {
                let mut random = Random::seeded(mixed(seed, *index, 0));
                (*index, Configuration::random(&mut random))
            })
            .collect();
        let listeners = configurations.iter().flat_map(listeners);
        let bootstrap = Bootstrap::new(listeners.collect::<Vec<_>>());
        let bootstrap = bootstrap.with_workers(1).with_wasm_log_level("error");
        let envoy = Envoy::start(&bootstrap);
        for (index, configuration) in &configurations {
            let mut native = envoy.client_of(&format!("native-{index}"));
            let mut own = envoy.client_of(&format!("portcullis-{index}"));
            for request in requests {
                let mut random = Random::seeded(mixed(seed, *index, request + 1));
                let generated = requests::random(&mut random, configuration);
                let pair = Pair {
                    position: (seed, *index, *request),
                    native: Outcome::of(&native.send(&generated.request)),
                    own: Outcome::of(&own.send(&generated.request)),
                    request: generated.request,
                    features: generated.features,
                };
                self.count(&pair, configuration, deviations);
            }
        }
    }

    fn count(&mut self, pair: &Pair, configuration: &Configuration, deviations: &[Deviation]) {
        let Pair { native, own, .. } = pair;
        self.pairs += 1;
        self.accepted += usize::from(native.is_accepted() && own.is_accepted());
        self.refused += usize::from(!native.is_accepted() && !own.is_accepted());
        for feature in pair.features.names() {
            *self.features.entry(feature).or_default() += 1;
        }
        for difference in differences(native, own) {
            if matches!(difference, Difference::Status(there, here) if there / 100 == here / 100) {
                continue;
            }
            let mut list = deviations.iter();
            let meant = list.find(|meant| meant.explains(&difference, &pair.features, native, own));
            match meant {
                Some(meant) => *self.deviations.entry(meant.id.clone()).or_default() += 1,
                None => self
                    .unexplained
                    .push(pair.report(&difference, configuration)),
            }
        }
    }

    /// A generator that only made requests that fail, say, would find nothing.
    fn assert_well_distributed(&self) {
        let hundredth = self.pairs / 100;
        assert!(
            self.accepted >= 25 * hundredth,
            "accepted by both: {}",
            self.accepted
        );
        assert!(
            self.refused >= 25 * hundredth,
            "refused by both: {}",
            self.refused
        );
        for feature in Features::ALL {
            let found = self.features.get(feature).copied().unwrap_or_default();
            assert!(found * 500 >= self.pairs, "`{feature}`: {found}");
        }
    }

    fn summary(&self) -> String {
        let mut text = format!(
            "accepted by both: {}, refused by both: {}\nfeatures: {:?}\n",
            self.accepted, self.refused, self.features
        );
        let _ = write!(text, "deviations: {:?}", self.deviations);
        text
    }
}

impl Pair {
    /// All that is needed to reproduce the difference.
    fn report(&self, difference: &Difference, configuration: &Configuration) -> String {
        let (seed, index, request) = self.position;
        format!(
            "{difference:?}: jwt_authn {}, Portcullis {}\n\
             replay: PORTCULLIS_DIFFERENTIAL_SEED={seed} \
             PORTCULLIS_DIFFERENTIAL_ONLY={index}.{request}\n\
             features: {:?}\nconfiguration: {}\nrequest: {}",
            self.native, self.own, self.features, configuration.own, self.request
        )
    }
}

fn listeners((index, configuration): &(usize, Configuration)) -> [Listener; 2] {
    let own = configuration.own.to_string();
    let read = portcullis::gate::read_configuration(own.as_bytes(), &|_| None);
    let faults = read.err().unwrap_or_default();
    assert!(
        faults.is_empty(),
        "configuration {index} is refused: {faults:?}\n{own}"
    );
    let native = Listener::native(&configuration.shared);
    let own = Listener::portcullis(Plugin::new(&configuration.own));
    [
        native.named(format!("native-{index}")).telling_reasons(),
        own.named(format!("portcullis-{index}")).telling_reasons(),
    ]
}

/// A seed for one part of a run, so that each can be reproduced alone.
fn mixed(seed: u64, configuration: usize, request: usize) -> u64 {
    let number = (configuration as u64) << 32 | request as u64;
    Random::seeded(seed ^ number.rotate_left(17)).next()
}

fn number(variable: &str) -> Option<u64> {
    let text = env::var(variable).ok()?;
    Some(
        text.parse()
            .unwrap_or_else(|_| panic!("{variable}: expected a number, found {text}")),
    )
}
