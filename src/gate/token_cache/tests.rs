use std::sync::OnceLock;

use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::policy::{SessionHeaders, Unfit};
use crate::gate::read_configuration;
use crate::host::mock::MockHost;
use crate::revocation::{FilterKey, Kind};
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, token};
use crate::token::{Backend, KeyRules, UnverifiedToken};

#[cfg(not(target_family = "wasm"))] // An allocator that counts, which the filter has none of.
mod weight;

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

fn admit(cache: &TokenCache, token: &str, keys: &Rc<KeySet>, session: &str) -> TokenId {
    let id = cache.id(0, token.as_bytes());
    keep(
        cache,
        KnownToken::new(id, ordinary(), keys),
        &names(session),
    );
    id
}

fn keep(cache: &TokenCache, token: KnownToken, names: &Names) -> Rc<KnownToken> {
    cache.admit(token, Some(Settled::NotRevoked), names)
}

#[wasm_bindgen_test(unsupported = test)]
fn an_entry_is_found_by_provider_and_bytes() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let id = admit(&cache, "token", &keys, "one");
    assert!(cache.get(id, &keys).is_some());
    assert!(cache.get(cache.id(1, b"token"), &keys).is_none());
    assert!(cache.get(cache.id(0, b"tokeN"), &keys).is_none());
    assert_ne!(TokenCache::new([2; 16]).id(0, b"token"), id);
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
    cache.void_all();
    assert!(cache.get(again, &keys).is_none());
}

#[wasm_bindgen_test(unsupported = test)]
fn a_rotated_key_set_takes_its_tokens_with_it() {
    let (cache, old, new) = (TokenCache::new([1; 16]), keys(), keys());
    let id = admit(&cache, "token", &old, "one");
    assert!(cache.get(id, &new).is_none());
}

#[wasm_bindgen_test(unsupported = test)]
fn the_cache_is_bounded_whatever_comes() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let large = token_of(750);
    for number in 0..100_000_u32 {
        let id = cache.id(0, &number.to_le_bytes());
        let entry = KnownToken::new(id, large.clone(), &keys);
        keep(&cache, entry, &Names::default());
    }
    let most = CAPACITY_BYTES / 1_000;
    assert!(cache.len() as u64 <= most, "{} of {most}", cache.len());
}

/// They are made after the entry was put in, when the first request is let through.
#[wasm_bindgen_test(unsupported = test)]
fn the_headers_of_an_entry_are_weighed_with_it() {
    let (cache, keys) = (TokenCache::new([1; 16]), keys());
    let id = admit(&cache, "token", &keys, "one");
    let entry = cache.get(id, &keys).unwrap();
    let before = entry.weight.get();
    let configuration = json!({
        "providers": {"idp": {
            "issuer": "https://issuer.example",
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    let configured = read_configuration(configuration.to_string().as_bytes(), &|_| None);
    let policy = configured.unwrap().policy;
    let session = SessionHeaders::new("x-session-", Unfit::Refuse);
    let claims = entry.claims();
    let made = entry
        .injections
        .of_session(&session, &policy.providers[0], claims);
    let text: usize = made.unwrap().map(|(_, value)| value.len()).sum();
    cache.weigh(&entry);
    assert!(entry.weight.get() >= before + text as u64);
    assert_eq!(cache.len(), 1);
    let weight = entry.weight.get();
    cache.weigh(&entry);
    assert_eq!(entry.weight.get(), weight);
    assert!(cache.get(id, &keys).is_some());
}

#[wasm_bindgen_test(unsupported = test)]
fn an_entry_does_not_hold_what_was_rotated_out() {
    let (cache, old) = (TokenCache::new([1; 16]), keys());
    let id = admit(&cache, "token", &old, "one");
    assert_eq!(Rc::strong_count(&old), 1);
    drop(old);
    // A set at the same address in memory would be taken for the old one.
    let others: Vec<_> = (0..16).map(|_| keys()).collect();
    assert!(others.iter().all(|keys| cache.get(id, keys).is_none()));
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
