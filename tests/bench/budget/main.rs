//! What a request costs, counted instead of timed: host calls, bytes that cross, instructions. The
//! same on every machine, so that a change that makes the filter slower fails here.
//!
//! `cargo test --test budget -- --nocapture` prints the whole table. What is allowed stands in
//! `budget.json` beside this; after a change on purpose, `PORTCULLIS_BUDGET=write` writes it anew.

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
use serde_json::json;
use vm::{Compiled, Outcome, Vm};
use world::World;

/// A second, in which everything is done once that is not done on every tick.
const TICKS: u64 = 10;

/// Sessions that are new in one tick.
const SESSIONS: u64 = 100;

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
    let (location, message) = last.split_once('\n').expect("two lines");
    let location = location.strip_prefix("panicked at ").expect("a location");
    let numbers = location.split_once("proxy-wasm-").and_then(|(_, source)| {
        let (_, numbers) = source.split_once("/src/dispatcher.rs:")?;
        numbers.strip_suffix(':')
    });
    let numbers = numbers.expect("a file").split(':');
    assert!(numbers.map(str::parse::<u32>).all(|number| number.is_ok()));
    assert_eq!(message, "invalid context_id");
}

/// Nor how long their names are there, so that the module is as large wherever it is built.
#[test]
fn the_filter_does_not_tell_where_its_sources_were() {
    let module = vm::built();
    for path in ["/registry/src/", "/rustc/", env!("CARGO_MANIFEST_DIR")] {
        let path = path.as_bytes();
        let is_there = module.windows(path.len()).any(|part| part == path);
        assert!(!is_there, "{}", path.escape_ascii());
    }
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

/// A request may be reset at any moment, and then every call about it fails.
#[test]
fn no_host_call_that_fails_ends_the_filter_or_lets_a_request_through() {
    /// What tells about a request and does nothing to it.
    const BESIDE: [&str; 8] = [
        "proxy_define_metric",
        "proxy_increment_metric",
        "proxy_record_metric",
        "proxy_get_log_level",
        "proxy_log",
        "proxy_set_tick_period_milliseconds",
        "proxy_set_effective_context",
        "random_get",
    ];
    /// Calls with a substitute: the module checks signatures as well, and the authority is asked
    /// where the feed cannot be read.
    const INSTEAD: [&str; 2] = ["proxy_call_foreign_function", "proxy_get_shared_data"];
    let compiled = Compiled::new();
    let genuine = || requests::with(requests::token("es256", 1));
    let mut spoofed = requests::request("/public/logo");
    spoofed.push(("x-session-subject".to_owned(), b"admin".to_vec()));
    let without = requests::request("/orders/1");
    for (headers, usual) in [
        (genuine(), Outcome::GoesOn),
        (spoofed, Outcome::GoesOn),
        (without, Outcome::Refused(401)),
    ] {
        let mut vm = World::SessionHeaders.start(&compiled);
        let before = vm.process().cost.calls.clone();
        assert_eq!(vm.outcome(&headers), usual);
        let calls = vm.process().cost.calls.clone();
        let made = calls
            .into_iter()
            .filter(|(name, count)| before.get(name) != Some(count));
        for (name, _) in made {
            let mut vm = World::SessionHeaders.start(&compiled);
            vm.process().fails_at = Some(name.clone());
            let outcome = vm.outcome(&headers);
            if BESIDE.contains(&&*name) || INSTEAD.contains(&&*name) {
                assert_eq!(outcome, usual, "{name}");
            } else {
                assert_ne!(outcome, Outcome::GoesOn, "{name}");
            }
            // And it lives on.
            vm.process().fails_at = None;
            assert_eq!(vm.outcome(&headers), usual, "after {name}");
            vm.tick();
        }
    }
}

/// The same for what is done beside the requests: the filter lives on, and answers rightly again.
#[test]
fn no_host_call_that_fails_on_a_tick_ends_the_filter() {
    let compiled = Compiled::new();
    let mut vm = World::Revocation.start(&compiled);
    vm.process().authority.as_mut().expect("one").revoke(1);
    vm.tick();
    let calls: Vec<String> = vm.process().cost.calls.keys().cloned().collect();
    // The SDK makes this one itself, for the context that the host has just called it about.
    let is_ours =
        |name: &&String| name.starts_with("proxy_") && *name != "proxy_set_effective_context";
    for name in calls.iter().filter(is_ours) {
        let mut vm = World::Revocation.start(&compiled);
        vm.process().fails_at = Some(name.clone());
        for _ in 0..3 {
            vm.process().authority.as_mut().expect("one").revoke(1);
            vm.tick();
        }
        vm.process().fails_at = None;
        let headers = requests::with(requests::token("es256", 1));
        let answered = [Outcome::GoesOn, Outcome::Refused(503)];
        assert!(answered.contains(&vm.outcome(&headers)), "{name}");
    }
}

/// The table of the SDK grows with every call whose end is not told. As long as the plugin's context
/// lives, Envoy tells every end, also when the request has gone.
#[test]
fn clients_that_go_away_during_their_checks_leave_nothing_behind() {
    const CLIENTS: u32 = 10_000;
    let compiled = Compiled::new();
    let grown = |is_told: bool| {
        let mut vm = World::Perhaps.start(&compiled);
        let headers = requests::with(requests::token("es256", 1));
        let mut go_away = |clients: u32| {
            for _ in 0..clients {
                let open = vm.process().open_calls.len();
                vm.hold_and_leave(&headers);
                assert_eq!(vm.process().open_calls.len(), open + 1);
                if is_told {
                    vm.answer_calls();
                } else {
                    vm.process().open_calls.truncate(open);
                }
            }
            vm.cost_so_far().memory_pages
        };
        let before = go_away(100);
        go_away(CLIENTS) - before
    };
    assert_eq!(grown(true), 0);
    assert_ne!(grown(false), 0, "it would be seen");
}

/// Tokens of 16 KiB may come to fifty times as much once they are read, and their headers besides.
#[test]
fn verified_tokens_take_no_more_than_24_mib_whatever_is_in_them() {
    const PROMISED_PAGES: u64 = 24 * 16;
    const ROOM: usize = 11 * 1_024;
    let objects = |number: u64| {
        let objects = vec![json!({"": 0}); ROOM / 7];
        requests::token("hs256", number).claim("x", json!(objects))
    };
    let claims = |number: u64| {
        let token = requests::token("hs256", number);
        (0..ROOM / 9).fold(token, |token, index| token.claim(&format!("{index:x}"), 0))
    };
    let text = |number: u64| requests::token("hs256", number).claim("x", "x".repeat(ROOM));
    let compiled = Compiled::new();
    let mut vm = World::OtherAlgorithms.start(&compiled);
    let before = vm.cost_so_far().memory_pages;
    // In turn, so that what is dropped leaves holes of every size.
    for number in 0..600 {
        let token = match number % 3 {
            0 => objects(number),
            1 => claims(number),
            _ => text(number),
        };
        assert_eq!(vm.outcome(&requests::with(token)), Outcome::GoesOn);
    }
    vm.tick();
    let kept = vm.process().sum("portcullis.token_cache.entries");
    assert!((10..600).contains(&kept), "{kept} kept");
    let pages = vm.cost_so_far().memory_pages - before;
    println!("{kept} tokens in {pages} pages");
    assert!(pages <= PROMISED_PAGES, "{kept} tokens in {pages} pages");
}

/// A plugin that cannot have what it needs is none, and Envoy says so.
#[test]
fn no_configuration_is_taken_where_the_host_gives_no_ticks_or_no_text() {
    let compiled = Compiled::new();
    for (name, message) in [
        (
            "proxy_set_tick_period_milliseconds",
            "the host gives no ticks",
        ),
        (
            "proxy_get_buffer_bytes",
            "the host does not hand over the configuration",
        ),
    ] {
        let mut vm = World::Plain.load(&compiled);
        vm.process().fails_at = Some(name.to_owned());
        assert!(!vm.configure(), "{name}");
        let last = vm.process().log.last();
        assert_eq!(last.map(String::as_str), Some(message), "{name}");
    }
}

/// A library may capture one for every error where `RUST_BACKTRACE` says so, as `anyhow` does, and a
/// forged token is an error. None of the filter's does at the moment.
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

/// Start with a configuration; a quiet tick, of which there are ten a second; one in which changes
/// arrive; and one in which new sessions are reported.
fn beside_the_requests(compiled: &Compiled) -> [Counted; 4] {
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
    let applied = u64::from(vm.process().sum("portcullis.feed.changes"));
    assert_eq!(applied, CHANGES * TICKS, "ticks that bring changes");
    let mut vm = World::Activity.start(compiled);
    for number in 0..SESSIONS {
        vm.request(&requests::with(requests::token("es256", number)));
    }
    assert_eq!(vm.process().sum("portcullis.activity.reported"), 0);
    let reports = vm.cost_of(Vm::tick);
    vm.tick();
    let reported = vm.process().sum("portcullis.activity.reported");
    assert_eq!(u64::from(reported), SESSIONS, "a tick that reports them");
    assert_eq!(
        u64::from(vm.process().sum("portcullis.activity.sessions")),
        SESSIONS
    );
    [
        Counted::of("a tick that reports 100 sessions", &reports, 1),
        Counted::of("start", &start, 1),
        Counted::of("a quiet tick of the leader", &quiet, TICKS),
        Counted::of("a tick with 16 changes", &busy, TICKS),
    ]
}
