//! What holds for the records of a source of keys, whatever their bytes.

use std::cell::Cell;
use std::rc::Rc;

use super::record::{KEYS, Published};
use super::wishes::{WISHES, Wishes};
use super::{KeyKeeper, KeyRing, KeySource, RemoteKeys};
use crate::host::mock_background::{MockBackground, MockSpace};
use crate::host::{CallOutcome, Expected, SharedData};
use crate::namespace::{Namespace, RecordSecret};
use crate::sync::{Lease, Role};
#[cfg(test)]
use crate::token::fixtures::{eddsa, jwk_set};
use crate::token::{KeyRules, KeySet, MAX_JWK_SET_BYTES};

/// 2026-01-01T00:00:00Z in milliseconds.
const NOW: u64 = 1_767_225_600_000;

/// A record of keys, of wishes for keys or of a lease, as it is in shared data; and the same bytes
/// as the payload of one.
///
/// A record that is read is written as it was. Whatever is there, at most one virtual machine
/// leads, and after one term one does; keys in force are those of the record.
pub fn shared_record(bytes: &[u8]) {
    let space = Namespace::example();
    for name in ["lease", KEYS, WISHES] {
        let sealed = space.seal(name, bytes);
        assert_eq!(space.open(name, &sealed).unwrap(), bytes);
        for bytes in [bytes, &sealed] {
            if let Some(published) = Published::open(&space, bytes) {
                assert_eq!(published.seal(&space), bytes);
                assert!(published.set.len() <= MAX_JWK_SET_BYTES);
            }
            let wishes = Wishes::open(&space, bytes, NOW);
            assert_eq!(Wishes::open(&space, &wishes.seal(&space), NOW), wishes);
            one_leads(bytes);
        }
        keys_are_of_the_record(name, bytes);
    }
}

fn one_leads(bytes: &[u8]) {
    let space = MockSpace::default();
    let [first, second] = [1, 2].map(|holder| Lease::new(Namespace::example(), holder));
    let key = Namespace::example().key_of("lease");
    assert!(space.set_shared(&key, bytes, Expected::Absent));
    let roles = [first.tick(&space, NOW), second.tick(&space, NOW)];
    assert_eq!(space.keys(), [key], "the lease was somewhere else");
    assert_ne!(roles, [Role::Leads; 2]);
    if roles == [Role::Follows; 2] {
        assert_eq!(first.tick(&space, NOW + 3_000), Role::Leads);
    }
}

/// What a virtual machine makes of this payload as one of its records, sealed as its own would be.
fn keys_are_of_the_record(name: &str, payload: &[u8]) {
    let (space, now) = (Rc::new(MockSpace::default()), Rc::new(Cell::new(NOW)));
    let host = MockBackground::new(&space, &now);
    let settings = RemoteKeys::example();
    let secret = RecordSecret::of("test", "secret");
    let of_keys = Namespace::new(&secret, "keys", &settings);
    let source = KeySource::Remote(settings);
    let ring = Rc::new(KeyRing::new([&source].into_iter()));
    let named = [("idp", &source)].into_iter();
    let mut keeper = KeyKeeper::new(named, &secret, Rc::clone(&ring), 1);
    keeper.tick(&host);
    let calls = host.take_calls();
    let (id, _) = calls.first().expect("keys are asked for");
    keeper.answered(&host, *id, &CallOutcome::Failed);
    let sealed = of_keys.seal(name, payload);
    space.set_shared(&of_keys.key_of(name), &sealed, Expected::Anything);
    for _ in 0..3 {
        now.set(now.get() + 60_000);
        keeper.tick(&host);
        for (id, _) in host.take_calls() {
            keeper.answered(&host, id, &CallOutcome::Failed);
        }
    }
    if let Some(keys) = ring.get(0) {
        let published = Published::open(&of_keys, &sealed).expect("keys have no other source");
        let set = KeySet::parse(&published.set, &KeyRules::default());
        assert_eq!(set.unwrap().keys().len(), keys.keys().len());
    }
}

/// A lease, wishes for keys, and keys, as they are in shared data, whole and as payloads.
#[cfg(test)]
pub(crate) fn records() -> Vec<Vec<u8>> {
    let (process, space) = (MockSpace::default(), Namespace::example());
    Lease::new(space.clone(), 1).tick(&process, NOW);
    let lease = process.shared(&space.key_of("lease")).unwrap().bytes;
    let published = Published {
        finished_at: NOW,
        failures: 0,
        complaint: None,
        next_at: NOW + 480_000,
        spent_until: 0,
        began_at: NOW - 10,
        fetched_at: NOW,
        expires_at: NOW + 600_000,
        set: jwk_set(&[&eddsa()]).into_bytes(),
    };
    let mut wishes = Wishes::default();
    wishes.add(7, NOW, NOW);
    let records = [lease, wishes.seal(&space), published.seal(&space)];
    let payloads = records.iter().zip(["lease", WISHES, KEYS]);
    let payloads = payloads.map(|(record, name)| space.open(name, record).unwrap().to_vec());
    payloads.chain(records.clone()).collect()
}
