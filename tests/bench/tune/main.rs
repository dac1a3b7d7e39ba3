//! Makes the filter smaller and faster after it was compiled: `tune cut FILTER RESULT EXPORT…` takes out
//! what only a panic needs and what these exports do not ([`cut`]), and `tune order FILTER RESULT` tells
//! V8 which code requests need.
//!
//! V8 compiles the whole module before the first request and learns nothing from running it. It
//! lays functions out as they come and branches as they are written, so that what a request needs
//! lies scattered between what handles faults and reads configurations, and between the other work
//! of a proxy little of it is in the processor's caches. So the requests of the budget are sent
//! through the filter beforehand, in an interpreter, and what they do is written into the module:
//!
//! - the functions that they need come one after the other;
//! - branches that always go the same way have a hint
//!   ([branch hinting](https://github.com/WebAssembly/branch-hinting)), upon which V8 moves the
//!   other way out of theirs. Hosts that know nothing of hints skip the section.
//!
//! What the module does is the same. Before a result is written, the requests of the budget go through
//! it once more, and nothing that was taken out may be among what they need.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a build that does not work ends at once, and its counts are small"
)]

mod cut;
#[path = "../budget/faults.rs"]
#[allow(dead_code, reason = "the budget compares with it")]
mod faults;
#[path = "../budget/feed.rs"]
#[allow(dead_code, reason = "the budget has news in it")]
mod feed;
#[path = "../budget/guest.rs"]
mod guest;
#[path = "../budget/host_calls.rs"]
mod host_calls;
mod probes;
#[path = "../budget/process.rs"]
#[allow(dead_code, reason = "the budget counts with it")]
mod process;
mod profile;
mod reach;
#[path = "../budget/requests.rs"]
mod requests;
#[path = "../budget/scenario.rs"]
#[allow(dead_code, reason = "the budget counts with it")]
mod scenario;
#[path = "../budget/signature.rs"]
mod signature;
mod support;
mod tuned;
#[path = "../budget/vm.rs"]
#[allow(dead_code, reason = "the budget counts with it")]
mod vm;
#[path = "../budget/wasm.rs"]
#[allow(dead_code, reason = "the budget needs more of it")]
mod wasm;
#[path = "../budget/world.rs"]
mod world;

use std::{env, fs};

use probes::Probed;
use process::Process;
use profile::Profile;
use scenario::Scenario;
use vm::{Compiled, Vm};

/// Of each scenario. The first ones do what is done once, and count little among so many.
const REQUESTS: u64 = 64;

/// The same where it does not matter how often something is done.
const FEWER_REQUESTS: u64 = 4;

/// Ticks with changes, for what is done beside the requests.
const TICKS: u64 = 20;

fn main() {
    let mut arguments = env::args_os().skip(1);
    let verb = arguments.next().unwrap_or_default();
    let (Some(filter), Some(result)) = (arguments.next(), arguments.next()) else {
        panic!("expected what to do, the filter, and where the result goes");
    };
    let exports = arguments.map(|name| name.into_string().expect("the name of an export"));
    let exports: Vec<String> = exports.collect();
    let filter = fs::read(filter).expect("the filter");
    let made = match verb.to_str() {
        Some("cut") => cut(&filter, &exports),
        Some("order") => order(&filter),
        _ => panic!("expected `cut` or `order`"),
    };
    fs::write(result, made).expect("a file to write");
}

/// Without what only a panic needs, and what these exports do not.
fn cut(filter: &[u8], exports: &[String]) -> Vec<u8> {
    let cut = cut::cut(filter, exports);
    let filter = cut::exporting(filter, exports);
    let needed = tuned::needed(&filter, &profile_of_everything(&filter));
    let wrong = cut
        .functions
        .iter()
        .filter(|(index, _)| needed.contains(index));
    let wrong: Vec<_> = wrong.map(|(_, name)| name).collect();
    assert!(wrong.is_empty(), "needed, and to be cut: {wrong:#?}");
    println!(
        "{} functions do nothing any more, and {} bytes of data are not there",
        cut.functions.len(),
        cut.data_bytes
    );
    cut.module
}

/// With what requests need side by side, and hints.
fn order(filter: &[u8]) -> Vec<u8> {
    let profile = profile_of(filter);
    let tuned = tuned::tuned(filter, &profile);
    // What is no module any more, or another filter, is not written.
    let again = profile_of(&tuned.module);
    assert_eq!(again.in_any_order(), profile.in_any_order());
    println!("{}", tuned.summary);
    tuned.module
}

/// What the requests of every usual scenario do.
fn profile_of(filter: &[u8]) -> Profile {
    let compiled = Compiled::from(&probes::added_to(filter, Probed::Branches));
    let mut profile = Profile::default();
    for scenario in usual_scenarios() {
        let mut vm = scenario.world.start(&compiled);
        vm.process().answers.clear();
        scenario.send(&mut vm, 0..REQUESTS);
        profile.add(&vm.process().answers);
    }
    profile
}

/// Which functions are needed at all: also at the start, for a configuration with faults, on ticks with changes, and
/// where an operator wants back-traces, which are never printed.
fn profile_of_everything(filter: &[u8]) -> Profile {
    let compiled = Compiled::from(&probes::added_to(filter, Probed::Functions));
    let mut profile = Profile::default();
    let scenarios = Scenario::all();
    for scenario in scenarios.into_iter().chain(Scenario::errors_of_libraries()) {
        let mut vm = scenario
            .world
            .start_with(&compiled, &["RUST_BACKTRACE=full"]);
        scenario.send(&mut vm, 0..FEWER_REQUESTS);
        for tick in 0..TICKS {
            if let Some(authority) = &mut vm.process().authority {
                authority.revoke(tick);
            }
            vm.tick();
        }
        profile.add(&vm.process().answers);
    }
    for configuration in faults::configurations() {
        let mut vm = Vm::load(&compiled, Process::new(configuration, true));
        assert!(!vm.configure(), "a configuration with faults");
        profile.add(&vm.process().answers);
    }
    profile
}

fn usual_scenarios() -> Vec<Scenario> {
    let mut scenarios = Scenario::all();
    scenarios.retain(|scenario| scenario.is_usual);
    scenarios
}
