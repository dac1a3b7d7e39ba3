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
mod feed;
mod guest;
mod hints;
mod host_calls;
mod process;
mod scenario;
mod signature;
#[path = "../../support/mod.rs"]
mod support;
mod vm;

use budget::{Budget, Counted};
use scenario::{Scenario, World};
use vm::Compiled;

/// A second, in which everything is done once that is not done on every tick.
const TICKS: u64 = 10;

#[test]
fn nothing_costs_more_than_its_budget() {
    let compiled = Compiled::new();
    let count = |scenario: &Scenario| {
        let cost = scenario.cost(&mut scenario.world.start(&compiled));
        Counted::of_requests(scenario.name, &cost)
    };
    let mut counted: Vec<Counted> = Scenario::all().iter().map(count).collect();
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
fn v8_is_told_which_way_branches_go() {
    const FEWEST: usize = 500;
    let hints = hints::count(&vm::built());
    assert!(hints >= FEWEST, "{hints} hints");
}

/// Start with a configuration, and a quiet tick, of which there are ten a second.
fn beside_the_requests(compiled: &Compiled) -> [Counted; 2] {
    let start = World::Plain.start(compiled).cost_so_far();
    let mut vm = World::Revocation.start(compiled);
    let ticks = vm.cost_of(|vm| (0..TICKS).for_each(|_| vm.tick()));
    [
        Counted::of("start", &start, 1),
        Counted::of("a quiet tick of the leader", &ticks, TICKS),
    ]
}
