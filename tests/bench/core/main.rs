//! Single steps of a request, in native code: what the gate itself does, without Envoy and without
//! a virtual machine. For finding out which step a change made slower, not for promises.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a measurement that does not work ends at once"
)]

mod proofs;
#[path = "../silent_host.rs"]
#[allow(dead_code, reason = "the steps inside V8 need more of it")]
mod silent_host;
#[path = "../../support/mod.rs"]
mod support;

use std::hint::black_box;
use std::time::SystemTime;

use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use portcullis::gate::{Attempt, Gate, Verdict, read_configuration};
use portcullis::token::{Backend, KeyRules, KeySet, UnverifiedToken};

use silent_host::SilentHost;
use support::{Token, configuration, jwks};

const ALGORITHMS: [&str; 3] = ["rs256", "es256", "eddsa"];

fn gate() -> Gate {
    let text = configuration().to_string();
    let configured = read_configuration(text.as_bytes(), &|_| None).expect("a configuration");
    Gate::new(configured.policy, Backend::Module, [7; 16])
}

fn token(key: &'static str) -> String {
    let token = Token::signed_by(key).claim("sid", "0123456789abcdef0123456789abcdef");
    token.claim("scope", "read write").to_string()
}

/// With the request of a mobile app that has this token.
fn host_for(token: &str) -> SilentHost {
    SilentHost::asked_for("/api/orders?page=2", Some(token), now())
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tokens of the tests are made by the clock of the machine"
)]
fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since_epoch.expect("a clock past 1970").as_millis();
    milliseconds
        .try_into()
        .expect("a clock before the year 584 million")
}

fn reading(criterion: &mut Criterion) {
    let set = jwks(&ALGORITHMS);
    criterion.bench_function("read a JWK Set of three keys", |bencher| {
        bencher.iter(|| KeySet::parse(black_box(set.as_bytes()), &KeyRules::default()));
    });
    let token = token("es256");
    criterion.bench_function("read a token", |bencher| {
        bencher.iter(|| UnverifiedToken::parse(black_box(token.as_bytes())));
    });
    let text = configuration().to_string();
    criterion.bench_function("read a configuration", |bencher| {
        bencher.iter(|| read_configuration(black_box(text.as_bytes()), &|_| None));
    });
}

fn verifying(criterion: &mut Criterion) {
    let keys = KeySet::parse(jwks(&ALGORITHMS).as_bytes(), &KeyRules::default()).expect("keys");
    for name in ALGORITHMS {
        let token = token(name);
        let host = host_for(&token);
        criterion.bench_function(&format!("verify {name} inside the module"), |bencher| {
            bencher.iter_batched(
                || UnverifiedToken::parse(token.as_bytes()).expect("a token"),
                |token| token.verify(&keys, Backend::Module, &host),
                BatchSize::SmallInput,
            );
        });
    }
}

fn deciding(criterion: &mut Criterion) {
    let gate = gate();
    let host = host_for(&token("es256"));
    criterion.bench_function("decide about a request, token known", |bencher| {
        bencher.iter(|| {
            let verdict = gate.on_request(&host, Attempt::First);
            assert!(matches!(verdict, Verdict::Forward));
        });
    });
    let host = host_for("e30.e30.AA");
    criterion.bench_function("decide about a request, token without form", |bencher| {
        bencher.iter(|| {
            let verdict = gate.on_request(&host, Attempt::First);
            assert!(matches!(verdict, Verdict::Stop));
        });
    });
}

criterion_group!(steps, reading, verifying, deciding, proofs::at_a_high_rate);
criterion_main!(steps);
