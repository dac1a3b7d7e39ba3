//! What a request costs, counted instead of timed: host calls, bytes that cross, instructions. The
//! same on every machine, so that a change that makes the filter slower fails here.
//!
//! `cargo test --test budget -- --nocapture` prints the whole table. What is allowed stands in
//! `budget.json` beside this; after a change on purpose, `PORTCULLIS_BUDGET=write` writes it anew.

#![allow(
    unused_imports,
    reason = "the support of the Envoy tests, of which a part is needed"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "counts are far below 2^32"
)]

mod budget;
mod faults;
mod feed;
mod guest;
mod hints;
mod host_calls;
mod process;
mod requests;
mod scenario;
mod signature;
#[path = "../../support/mod.rs"]
mod support;
mod vm;
#[allow(dead_code, reason = "the build needs more of it")]
mod wasm;
mod world;

use std::thread;

use budget::{Budget, Counted};
use hints::Hints;
use scenario::Scenario;
use vm::Compiled;
use world::World;

/// A second, in which everything is done once that is not done on every tick.
const TICKS: u64 = 10;

/// Revocations that arrive on each of the busy ticks.
const CHANGES: u64 = 16;

#[test]
fn nothing_costs_more_than_its_budget() {
    let compiled = Compiled::new();
    let count = |scenarios: &[Scenario]| -> Vec<Counted> {
        let cost = |scenario: &Scenario| scenario.cost(&mut scenario.world.start(&compiled));
        let counted = |scenario: &Scenario| Counted::of_requests(scenario.name, &cost(scenario));
        scenarios.iter().map(counted).collect()
    };
    let scenarios = Scenario::all();
    let (first, second) = scenarios.split_at(scenarios.len() / 2);
    let mut counted = thread::scope(|scope| {
        let second = scope.spawn(|| count(second));
        let mut counted = count(first);
        counted.extend(second.join().expect("the second half"));
        counted
    });
    counted.extend(beside_the_requests(&compiled));
    budget::report(&counted);
    if std::env::var("PORTCULLIS_BUDGET").is_ok_and(|mode| mode == "write") {
        Budget::write(&counted);
    }
    let faults = Budget::read().faults(&counted);
    assert!(faults.is_empty(), "over budget:\n{}", faults.join("\n"));
}

#[test]
fn counting_twice_gives_the_same() {
    let compiled = Compiled::new();
    let scenarios = Scenario::all();
    let scenario = scenarios
        .iter()
        .find(|scenario| scenario.name == "cold, EdDSA");
    let scenario = scenario.expect("the scenario");
    let count = || scenario.cost(&mut scenario.world.start(&compiled));
    assert_eq!(count(), count());
}

/// V8 has nothing else to go by: it compiles the module before the first request.
#[test]
fn v8_is_told_which_way_branches_go_and_has_what_requests_need_side_by_side() {
    const FEWEST: usize = 500;
    let hints = Hints::of(&vm::built());
    assert!(hints.count() >= FEWEST, "{} hints", hints.count());
    // A few functions between them have no branch that always goes the same way.
    let (functions, span) = (hints.functions(), hints.span());
    assert!(span < functions * 3 / 2, "{functions} functions in {span}");
}

/// The build takes the printing of back-traces out of the module, and `Debug`.
#[test]
fn a_panic_says_in_which_file_and_line_it_happened() {
    let log = World::Plain.start(&Compiled::new()).panic();
    let [.., last] = &log[..] else {
        panic!("nothing is logged");
    };
    let (place, message) = last.split_once('\n').expect("two lines");
    let place = place.strip_prefix("panicked at ").expect("a place");
    let numbers = place.split_once("proxy-wasm-").and_then(|(_, place)| {
        let (_, numbers) = place.split_once("/src/dispatcher.rs:")?;
        numbers.strip_suffix(':')
    });
    let numbers = numbers.expect("a file").split(':');
    assert!(numbers.map(str::parse::<u32>).all(|number| number.is_ok()));
    assert_eq!(message, "invalid context_id");
}

/// What is told of a configuration goes through most of what prints things.
#[test]
fn the_faults_of_a_configuration_read_the_same_as_on_the_command_line() {
    let compiled = Compiled::new();
    let configurations = faults::configurations();
    assert!(configurations.len() > 40, "{}", configurations.len());
    for configuration in configurations {
        let told = faults::faults_in_the_filter(&compiled, &configuration);
        let text = configuration.escape_ascii();
        assert_eq!(told, faults::faults_natively(&configuration), "{text}");
    }
}

/// `RUST_BACKTRACE` has every error of some libraries capture one, and a forged token is an error.
#[test]
fn where_back_traces_are_wanted_forged_tokens_are_refused_as_anywhere() {
    let compiled = Compiled::new();
    for scenario in Scenario::errors_of_libraries() {
        let mut vm = scenario
            .world
            .start_with(&compiled, &["RUST_BACKTRACE=full"]);
        scenario.send(&mut vm, 0..1);
    }
}

/// Start with a configuration; a quiet tick, of which there are ten a second; and one in which
/// changes arrive.
fn beside_the_requests(compiled: &Compiled) -> [Counted; 3] {
    let start = World::Plain.start(compiled).cost_so_far();
    let mut vm = World::Revocation.start(compiled);
    let quiet = vm.cost_of(|vm| (0..TICKS).for_each(|_| vm.tick()));
    let mut vm = World::Revocation.start(compiled);
    let busy = vm.cost_of(|vm| {
        for _ in 0..TICKS {
            let authority = vm.process().authority.as_mut();
            authority.expect("an authority").revoke(CHANGES);
            vm.tick();
        }
    });
    [
        Counted::of("start", &start, 1),
        Counted::of("a quiet tick of the leader", &quiet, TICKS),
        Counted::of("a tick with 16 changes", &busy, TICKS),
    ]
}
