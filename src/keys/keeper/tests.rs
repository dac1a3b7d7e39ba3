use std::cell::Cell;
use std::time::Duration;

use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock_background::{MockBackground, MockSpace};
use crate::keys::{RemoteKeys, RemoteSource, Url};
use crate::token::{KeyRules, fixtures};

const START: u64 = 1_800_000_000_000;

/// Two providers with the same source, one with another, and one with local keys.
fn sources() -> [KeySource; 4] {
    let set = fixtures::jwk_set(&[&fixtures::es256()]);
    let local = KeySet::parse(set.as_bytes(), &KeyRules::default()).unwrap();
    let remote = |path: &str| {
        KeySource::Remote(RemoteKeys {
            source: RemoteSource::JwkSet(Url {
                authority: "issuer.example".to_owned(),
                path: path.to_owned(),
            }),
            ..RemoteKeys::example()
        })
    };
    let local = KeySource::Local(Rc::new(local));
    [remote("/one"), local, remote("/two"), remote("/one")]
}

fn ring_and_keeper() -> (Rc<KeyRing>, KeyKeeper) {
    let sources = sources();
    let ring = Rc::new(KeyRing::new(sources.iter()));
    let named = ["a", "b", "c", "d"].into_iter().zip(&sources);
    let keeper = KeyKeeper::new(named, &RecordSecret::none(), Rc::clone(&ring), 1);
    (ring, keeper)
}

fn host() -> MockBackground {
    MockBackground::new(&Rc::new(MockSpace::default()), &Rc::new(Cell::new(START)))
}

#[wasm_bindgen_test(unsupported = test)]
fn providers_with_the_same_source_share_its_keys() {
    let (ring, mut keeper) = ring_and_keeper();
    let host = host();
    keeper.tick(&host);
    let calls = host.take_calls();
    let paths: Vec<_> = calls.iter().map(|(_, call)| call.path.as_str()).collect();
    assert_eq!(paths, ["/one", "/two"]);
    let local = ring.get(1).unwrap();
    let body = fixtures::jwk_set(&[&fixtures::eddsa()]).into_bytes();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body,
    };
    // The second time the call is no longer open, and nothing is counted.
    for _ in 0..2 {
        keeper.answered(&host, calls[0].0, &outcome);
    }
    assert!(Rc::ptr_eq(&ring.get(0).unwrap(), &ring.get(3).unwrap()));
    assert!(Rc::ptr_eq(&ring.get(1).unwrap(), &local));
    assert!(ring.get(2).is_none());
    host.now.set(START + 2_500);
    let sight = Sight {
        is_leader: true,
        usable: 1,
        left_out: 0,
        age_seconds: 2,
    };
    assert_eq!(keeper.sight(3, host.now.get()), sight);
    let counted: Vec<_> = keeper
        .take_counts()
        .map(|(index, counts)| (index, counts.fetched))
        .collect();
    assert_eq!(counted, [(0, 1), (2, 0)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn keys_that_are_too_old_are_taken_from_the_ring() {
    let (ring, mut keeper) = ring_and_keeper();
    let host = host();
    keeper.tick(&host);
    let body = fixtures::jwk_set(&[&fixtures::eddsa()]).into_bytes();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body,
    };
    keeper.answered(&host, host.take_calls()[0].0, &outcome);
    assert!(ring.get(0).is_some());
    host.now.set(START + 1_000_000_000);
    keeper.tick(&host);
    assert!(ring.get(0).is_none());
    assert_eq!(keeper.sight(0, host.now.get()).usable, 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn no_request_waits_for_local_keys() {
    let (_, keeper) = ring_and_keeper();
    let host = host();
    for (provider, asked) in [(1, Asked::Settled), (9, Asked::Settled), (0, Asked::Wait)] {
        let missing = MissingKey {
            provider,
            key: 7,
            tolerance: Duration::ZERO,
        };
        let patience = Interval::new(START, Duration::from_secs(2));
        assert_eq!(keeper.want(&host, START, &missing, patience), asked);
    }
}
