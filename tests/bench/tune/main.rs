//! Tells V8 which code of the filter requests need: `tune FILTER RESULT`.
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
//! What the module does is the same.

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

use std::path::PathBuf;
use std::{env, fs};

use profile::Profile;
use scenario::Scenario;
use vm::Compiled;

/// Of each scenario. The first ones do what is done once, and count little among so many.
const REQUESTS: u64 = 64;

fn main() {
    let arguments: Vec<PathBuf> = env::args_os().skip(1).map(PathBuf::from).collect();
    let [filter, result] = &arguments[..] else {
        panic!("expected the filter and where the result goes");
    };
    let filter = fs::read(filter).expect("the filter");
    let profile = profile_of(&filter);
    let tuned = tuned::tuned(&filter, &profile);
    // What is no module any more, or another filter, is not written.
    let again = profile_of(&tuned.module);
    assert_eq!(again.in_any_order(), profile.in_any_order());
    println!("{}", tuned.summary);
    fs::write(result, tuned.module).expect("a file to write");
}

/// What the requests of every usual scenario do.
fn profile_of(filter: &[u8]) -> Profile {
    let compiled = Compiled::from(&probes::added_to(filter));
    let mut profile = Profile::default();
    let mut scenarios = Scenario::all();
    scenarios.retain(|scenario| scenario.is_usual);
    for scenario in scenarios {
        let mut vm = scenario.world.start(&compiled);
        vm.process().answers.clear();
        scenario.send(&mut vm, 0..REQUESTS);
        profile.add(std::mem::take(&mut vm.process().answers));
    }
    profile
}
