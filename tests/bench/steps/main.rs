//! Single steps of a request, inside V8 in a running Envoy, where the filter runs: what the core
//! does, what the libraries beside each other do, and what a call of the host costs.
//!
//! The filter in `module/` takes the steps, and this program asks it for them, in turns.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that does not work ends at once"
)]
#![allow(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "figures are far below 2^52, and rounded when they are shown"
)]

#[path = "../about.rs"]
#[allow(dead_code, reason = "the bench of the gate needs more of it")]
mod about;
#[path = "../machine.rs"]
#[allow(dead_code, reason = "the bench of the gate needs more of it")]
mod machine;
mod report;
#[path = "../statistics.rs"]
#[allow(dead_code, reason = "the bench of the gate needs more of it")]
mod statistics;
#[path = "../../support/mod.rs"]
mod support;

use std::env;
use std::path::{Path, PathBuf};

use clap::Parser;
use serde_json::{Map, Value, json};

use about::{About, FEWEST_ROUNDS};
use machine::Cores;
use report::Report;
use support::{Bootstrap, Client, Envoy, Listener, Plugin, Request, Token, configuration, jwks};

/// What is measured, and how long.
#[derive(Debug, Parser)]
#[command(name = "steps", about = "Single steps inside V8 in a running Envoy")]
struct Arguments {
    /// Measure only steps with one of these words in their names
    words: Vec<String>,
    /// Only as much as shows that everything works
    #[arg(long)]
    smoke: bool,
    /// How often the steps take turns
    #[arg(long, default_value_t = 31)]
    rounds: usize,
    /// Another build of the filter that takes the steps, which is measured beside this one
    #[arg(long)]
    other: Vec<PathBuf>,
    /// Measure nothing; keep the results of the last run, which has to be a whole one, in
    /// tests/bench/results
    #[arg(long)]
    keep: bool,
    /// Cargo says this to every bench
    #[arg(long, hide = true)]
    bench: bool,
}

impl Arguments {
    /// Whether the results can stand for the project: every step, as often as it takes.
    fn is_whole(&self) -> bool {
        self.words.is_empty() && !self.smoke && self.rounds >= FEWEST_ROUNDS
    }
}

/// How long a step is taken for a sample, at least.
const MILLISECONDS: u32 = 10;

/// Names of virtual machines: this build and others.
const MACHINES: [&str; 4] = ["this", "other-1", "other-2", "other-3"];

fn main() {
    let arguments = Arguments::parse();
    if arguments.keep {
        report::keep();
        return;
    }
    std::fs::create_dir_all(directory()).expect("a directory to make");
    let modules: Vec<_> = [directory().join("steps.wasm")]
        .into_iter()
        .chain(arguments.other.iter().cloned())
        .collect();
    assert!(modules.len() <= MACHINES.len(), "too many other builds");
    let about = About::run(command(), arguments.is_whole());
    println!("{}", about.to_markdown());
    let envoy = Cores::find().start_on_envoys(|| start(&modules));
    let mut clients: Vec<_> = MACHINES[..modules.len()]
        .iter()
        .map(|machine| envoy.client_of(machine))
        .collect();
    let wanted = wanted(&mut clients[0], &arguments.words);
    let (rounds, milliseconds) = if arguments.smoke {
        (1, 1)
    } else {
        (arguments.rounds, MILLISECONDS)
    };
    let mut report = Report::new(about, modules, &wanted);
    // The first round warms up, and is not counted.
    for round in 0..=rounds {
        for (index, (number, _)) in wanted.iter().enumerate() {
            let path = format!("/{number}/{milliseconds}");
            for (module, client) in clients.iter_mut().enumerate() {
                let nanoseconds = answer(client, &path).parse().expect("nanoseconds");
                if round > 0 {
                    report.add(index, module, nanoseconds);
                }
            }
        }
    }
    report.finish();
}

/// An Envoy with one worker, in which every module has a listener.
fn start(modules: &[PathBuf]) -> Envoy {
    let given = given().to_string();
    let listener = |(machine, module): (&&'static str, &PathBuf)| {
        let plugin = Plugin::from_text(&given).with_module(module).in_vm(machine);
        Listener::portcullis(plugin).named(*machine)
    };
    let listeners: Vec<_> = MACHINES.iter().zip(modules).map(listener).collect();
    Envoy::start(&Bootstrap::new(listeners).with_workers(1))
}

/// What the filter takes the steps with.
fn given() -> Value {
    let algorithms = ["rs256", "ps256", "es256", "eddsa", "hs256"];
    let set = |names: &[&str]| -> Value { serde_json::from_str(&jwks(names)).expect("JSON") };
    let keys = algorithms.map(|name| (name.to_owned(), set(&[name])));
    let tokens = algorithms.map(|name| (name.to_owned(), token(name).into()));
    let mut configuration = configuration();
    configuration["providers"]["demo"]["claim_to_headers"] = json!([
        {"header_name": "x-user-id", "claim_name": "sub"},
        {"header_name": "x-user-session", "claim_name": "sid"},
    ]);
    json!({
        "configuration": configuration,
        "key_set": set(&["rs256", "es256", "eddsa"]),
        "keys": Map::from_iter(keys),
        "tokens": Map::<String, Value>::from_iter(tokens),
    })
}

fn token(key: &'static str) -> String {
    Token::signed_by(key)
        .claim("jti", "9e3779b97f4a7c15f39c9e3779b97f4a")
        .claim("sid", "0123456789abcdef0123456789abcdef")
        .claim("scope", "read write")
        .claim("client_id", "mobile")
        .claim("email", "alice@example.com")
        .claim("amr", json!(["pwd", "otp"]))
        .to_string()
}

/// Numbers and names of the steps that are asked for.
fn wanted(client: &mut Client, words: &[String]) -> Vec<(usize, String)> {
    let is_wanted = |name: &str| words.is_empty() || words.iter().any(|word| name.contains(word));
    let names = answer(client, "/");
    let steps = names.lines().map(str::to_owned).enumerate();
    let wanted: Vec<_> = steps.filter(|(_, name)| is_wanted(name)).collect();
    assert!(!wanted.is_empty(), "no such step; there are:\n{names}");
    wanted
}

/// A step that does not do its work ends the virtual machine, and then there is no answer but 500.
fn answer(client: &mut Client, path: &str) -> String {
    let response = client.send(&Request::get(path));
    assert_eq!(response.status, 200, "{path} was not done");
    response.body
}

fn command() -> String {
    let words = env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<_> = words.collect();
    let command = format!("./build.sh bench steps -- {}", words.join(" "));
    command.trim_end_matches([' ', '-']).to_owned()
}

/// Where the results go.
fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("target/bench")
}
