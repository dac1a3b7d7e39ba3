use std::sync::OnceLock;

use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockHost;
use crate::revocation::{FilterKey, Kind};
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, token};
use crate::token::{Backend, KeyRules, UnverifiedToken};

fn keys() -> Rc<KeySet> {
    let text = jwk_set(&[&es256()]);
    Rc::new(KeySet::parse(text.as_bytes(), &KeyRules::default()).unwrap())
}

/// A verified token whose claims are about this long.
fn token_of(length: usize) -> VerifiedToken {
    let filling = "x".repeat(length);
    let text = token(&eddsa(), &json!({"sub": "alice", "filling": filling}));
    let keys = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    let host = MockHost::get("/", UnixTime::MAX);
    let parsed = UnverifiedToken::parse(text.as_bytes()).unwrap();
    parsed.verify(&keys, Backend::Module, &host).unwrap()
}

fn ordinary() -> VerifiedToken {
    static ORDINARY: OnceLock<VerifiedToken> = OnceLock::new();
    ORDINARY.get_or_init(|| token_of(100)).clone()
}

fn names(session: &str) -> Names {
    let mut names = Names::default();
    let key = FilterKey::new([1; 16]);
    names.add(&key, Kind::Session, "iss", session);
    names.add(&key, Kind::Subject, "iss", "alice");
    names
}

fn admit(cache: &TokenCache, token: &str, keys: &Rc<KeySet>, session: &str) -> Key {
    let key = cache.key(0, token.as_bytes());
    cache.admit(
        key,
        Admitted::new(ordinary(), Rc::clone(keys), false),
        &names(session),
    );
    key
}

#[wasm_bindgen_test(unsupported = test)]
fn an_entry_is_found_by_provider_and_bytes() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let key = admit(&cache, "token", &keys, "one");
    assert!(cache.get(key, &keys).is_some());
    assert!(cache.get(cache.key(1, b"token"), &keys).is_none());
    assert!(cache.get(cache.key(0, b"tokeN"), &keys).is_none());
    assert_ne!(TokenCache::new([2; 16]).key(0, b"token"), key);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_change_voids_the_entries_that_it_names_and_no_others() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let one = admit(&cache, "1", &keys, "one");
    let two = admit(&cache, "2", &keys, "two");
    cache.void(&names("one").entries);
    assert!(cache.get(one, &keys).is_none());
    assert!(cache.get(two, &keys).is_some());
    cache.void(&names("two").cut_offs);
    assert!(cache.get(two, &keys).is_none());
    let again = admit(&cache, "1", &keys, "one");
    assert!(cache.get(again, &keys).is_some());
    cache.clear();
    assert!(cache.get(again, &keys).is_none());
}

#[wasm_bindgen_test(unsupported = test)]
fn a_rotated_key_set_takes_its_tokens_with_it() {
    let (cache, old, new) = (TokenCache::new([1; 16]), keys(), keys());
    let key = admit(&cache, "token", &old, "one");
    assert!(cache.get(key, &new).is_none());
}

#[wasm_bindgen_test(unsupported = test)]
fn the_cache_is_bounded_whatever_comes() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let large = token_of(750);
    for number in 0..100_000_u32 {
        let key = cache.key(0, &number.to_le_bytes());
        let entry = Admitted::new(large.clone(), Rc::clone(&keys), false);
        cache.admit(key, entry, &Names::default());
    }
    let most = CAPACITY_BYTES / (2 * 1_000 + 512);
    assert!(cache.len() as u64 <= most, "{} of {most}", cache.len());
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_in_use_stay_through_a_flood_of_others() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let users: Vec<_> = (0..1_000)
        .map(|number| admit(&cache, &format!("user {number}"), &keys, "one"))
        .collect();
    for round in 0..20_u32 {
        for user in &users {
            cache.get(*user, &keys);
        }
        for number in 0..2_000_u32 {
            admit(&cache, &format!("once {round} {number}"), &keys, "two");
        }
    }
    let kept = users
        .iter()
        .filter(|user| cache.get(**user, &keys).is_some())
        .count();
    assert!(kept >= 990, "{kept} of {}", users.len());
}
