use std::sync::OnceLock;

use serde_json::{Value, json};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
#[cfg(not(target_family = "wasm"))]
use crate::gate::allocator;
use crate::gate::policy::{SessionHeaders, Unfit};
use crate::gate::read_configuration;
use crate::host::mock::MockHost;
use crate::revocation::{FilterKey, Kind};
use crate::time::UnixTime;
use crate::token::fixtures::{eddsa, es256, jwk_set, token};
use crate::token::{Backend, KeyRules, LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};

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

/// The members of a token with room for these claims and no more.
fn full_token(claims: &dyn Fn(usize) -> Value) -> VerifiedToken {
    const ROOM: usize = LARGEST_MAX_TOKEN_BYTES * 3 / 4 - 512;
    let mut count = ROOM;
    while claims(count).to_string().len() > ROOM {
        count = count * 7 / 8;
    }
    let text = token(&eddsa(), &claims(count));
    let keys = KeySet::parse(jwk_set(&[&eddsa()]).as_bytes(), &KeyRules::default()).unwrap();
    let host = MockHost::get("/", UnixTime::MAX);
    let parsed = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, text.as_bytes()).unwrap();
    parsed.verify(&keys, Backend::Module, &host).unwrap()
}

fn named(count: usize, value: impl Fn(usize) -> Value) -> Value {
    (0..count)
        .map(|index| (format!("{index}"), value(index)))
        .collect()
}

/// What may be in tokens, from what takes the least memory to what takes the most.
type Shape = (&'static str, fn(usize) -> Value);

const SHAPES: [Shape; 9] = [
    ("a string", |count| json!({"x": "x".repeat(count)})),
    (
        "strings",
        |count| json!({"x": vec!["0b9a1e1c-6f53-4b0a"; count]}),
    ),
    ("empty strings", |count| json!({"x": vec![""; count]})),
    ("numbers", |count| json!({"x": vec![0; count]})),
    ("claims", |count| named(count, |_| json!(0))),
    ("claims with lists", |count| named(count, |_| json!([0]))),
    (
        "an object",
        |count| json!({"x": named(count, |_| json!(0))}),
    ),
    ("objects", |count| json!({"x": vec![json!({"": 0}); count]})),
    (
        "larger objects",
        |count| json!({"x": vec![named(13, |_| json!("")); count]}),
    ),
];

#[cfg(not(target_family = "wasm"))]
#[test]
fn an_entry_weighs_what_it_holds_whatever_is_in_its_claims() {
    let keys = keys();
    let cache = TokenCache::new([1; 16]);
    // So many that its list, which doubles when it is full, has room for what is measured.
    for number in 0..65_u8 {
        admit(&cache, &number.to_string(), &keys, "one");
    }
    for (shape, claims) in SHAPES {
        let original = full_token(&claims);
        let before = allocator::held();
        // A copy of its own, so that all that is held in addition is held by the entry.
        let id = cache.id(0, shape.as_bytes());
        let entry = KnownToken::new(id, original.clone(), &keys);
        let entry = keep(&cache, entry, &names("one"));
        let held = allocator::held() - before;
        let weight = usize::try_from(entry.weight.get()).unwrap();
        assert!(held <= weight, "{shape}: {held} bytes weigh {weight}");
        // Nodes of large objects are counted as if they were as empty as they may be.
        let most = held * 3 / 2 + SHARE_BYTES;
        assert!(weight <= most, "{shape}: {weight} for {held} bytes");
    }
}

#[cfg(not(target_family = "wasm"))]
#[test]
fn the_cache_holds_no_more_than_its_capacity_whatever_is_in_the_tokens() {
    let keys = keys();
    for (shape, claims) in SHAPES {
        let original = full_token(&claims);
        let before = allocator::held();
        let cache = TokenCache::new([1; 16]);
        for number in 0..4_000_u32 {
            let id = cache.id(0, &number.to_le_bytes());
            let entry = KnownToken::new(id, original.clone(), &keys);
            keep(&cache, entry, &names("one"));
        }
        let held = (allocator::held() - before) as u64;
        assert!(held <= CAPACITY_BYTES + 512 * 1024, "{shape}: {held}");
    }
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
