//! What a decision is made of, and what is done before the first one.

use std::cell::Cell;
use std::hash::Hasher as _;
use std::hint::black_box;

use portcullis::gate::{Gate, read_configuration};
use portcullis::host::{ForeignAnswer, HeaderBlock, Host as _};
use portcullis::namespace::{Namespace, RecordSecret};
use portcullis::revocation::page::{self, PAGE_BYTES};
use portcullis::revocation::{FilterKey, Fingerprint, Kind};
use portcullis::token::{Backend, KeyRules, KeySet, UnverifiedToken};
use siphasher::sip128::{Hasher128 as _, SipHasher13};

use crate::given::Given;
use crate::silent_host::SilentHost;
use crate::step::Step;

pub(crate) fn steps(given: &Given) -> Vec<Step> {
    let mut steps = vec![
        header_lines(given),
        spoofed_headers(given),
        token_hash(given),
    ];
    for algorithm in ["rs256", "es256"] {
        steps.push(reading(given, algorithm));
        steps.push(asking(given, algorithm));
    }
    steps.extend(revocation());
    for algorithm in ["rs256", "ps256", "es256", "eddsa", "hs256"] {
        steps.push(verifying(given, algorithm));
    }
    let configuration = given.configuration.clone();
    steps.push(Step::new("start: read a configuration", move || {
        read_configuration(black_box(&configuration), &|_| None).is_ok()
    }));
    let set = given.key_set.clone();
    steps.push(Step::new(
        "start: read a JWK Set of three keys",
        move || KeySet::parse(black_box(&set), &KeyRules::default()).is_ok(),
    ));
    steps
}

fn host(token: &str) -> SilentHost {
    SilentHost::asked_for("/api/orders", Some(token), 0)
}

fn header_lines(given: &Given) -> Step {
    let block: HeaderBlock = host(given.token("rs256")).request_headers();
    Step::new("part: find the last of ten header lines", move || {
        let mut lines = black_box(&block).lines();
        lines.any(|(name, value)| name == b"authorization" && value.starts_with(b"Bearer "))
    })
}

/// In the trailers, where nothing else is done.
fn spoofed_headers(given: &Given) -> Step {
    let configured = read_configuration(&given.configuration, &|_| None).expect("a configuration");
    let gate = Gate::new(configured.policy, Backend::Module, [7; 16]);
    let host = host(given.token("rs256"));
    let block: HeaderBlock = host.request_headers();
    let lines = block.lines().chain([(&b"x_user.id"[..], &b"bob"[..])]);
    let block: HeaderBlock = lines.collect();
    Step::new(
        "part: look for spoofed headers in eleven lines, one there",
        move || {
            let removed = Cell::new(0);
            let remove = |name: &str| removed.set(removed.get() + usize::from(name == "x_user.id"));
            gate.strip_trailers(&host, black_box(&block).clone(), remove);
            removed.get() == 1
        },
    )
}

/// By the same hash as in the cache of tokens, which does not show its own.
fn token_hash(given: &Given) -> Step {
    let token = given.token("rs256").as_bytes().to_vec();
    let name = format!("part: hash of a token, RS256, {} bytes", token.len());
    Step::new(&name, move || {
        let mut hasher = SipHasher13::new_with_key(&[7; 16]);
        hasher.write_usize(0);
        hasher.write(black_box(&token));
        hasher.finish128().as_u128() != 0
    })
}

fn reading(given: &Given, algorithm: &str) -> Step {
    let token = given.token(algorithm).as_bytes().to_vec();
    let name = format!("part: read a token, {}", algorithm.to_uppercase());
    Step::new(&name, move || {
        UnverifiedToken::parse(black_box(&token)).is_ok()
    })
}

/// Finds the key and writes the question to the host.
fn asking(given: &Given, algorithm: &str) -> Step {
    let keys = given.keys(algorithm);
    let token = leaked(given.token(algorithm));
    let host = host("e30.e30.AA").with_signatures(ForeignAnswer::Genuine);
    let name = format!(
        "part: find the key and write the question to the host, {}",
        algorithm.to_uppercase()
    );
    Step::using_up(
        &name,
        || UnverifiedToken::parse(token).expect("a token"),
        move |token| token.verify(&keys, Backend::Host, &host).is_ok(),
    )
}

fn revocation() -> [Step; 3] {
    let key = FilterKey::new([7; 16]);
    let session = "0123456789abcdef0123456789abcdef";
    let here = key.fingerprint(Kind::Session, "https://issuer.example", session);
    let mut page = vec![0; PAGE_BYTES];
    page::insert(&mut page, here);
    let same = page.clone();
    let space = Namespace::new(&RecordSecret::none(), "steps", &());
    let expected = space.checksum(&[&page]);
    [
        Step::new("part: fingerprint of a session", move || {
            key.fingerprint(Kind::Session, "https://issuer.example", black_box(session)) == here
        }),
        Step::new("part: look for a name in a page", move || {
            let page = black_box(&page);
            page::may_contain(page, here) && !page::may_contain(page, Fingerprint([9; 16]))
        }),
        Step::new("part: checksum of a page", move || {
            space.checksum(&[black_box(&same)]) == expected
        }),
    ]
}

fn verifying(given: &Given, algorithm: &str) -> Step {
    let keys = given.keys(algorithm);
    let token = leaked(given.token(algorithm));
    let host = host("e30.e30.AA");
    let label = algorithm.to_uppercase().replace("EDDSA", "EdDSA");
    Step::using_up(
        &format!("signature, inside the module: {label}"),
        || UnverifiedToken::parse(token).expect("a token"),
        move |token| token.verify(&keys, Backend::Module, &host).is_ok(),
    )
}

/// Tokens that were read point into their text, which is there as long as the module.
fn leaked(text: &str) -> &'static [u8] {
    Box::leak(text.as_bytes().into())
}
