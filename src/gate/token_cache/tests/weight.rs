//! What entries weigh, against the memory that they hold.

use serde_json::{Value, json};

use super::*;
use crate::gate::allocator;
use crate::host::ForeignAnswer;
use crate::token::fixtures::{rs256, signed};
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedProof};

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

/// What is known of the holder of its key is weighed with it, for every kind of key.
#[test]
fn an_entry_weighs_what_is_known_of_its_holder() {
    let (set, cache) = (keys(), TokenCache::new([1; 16]));
    for number in 0..65_u8 {
        admit(&cache, &number.to_string(), &set, "one");
    }
    let host = MockHost::get("/", UnixTime::MAX).with_foreign_answer(ForeignAnswer::Genuine);
    for (signer, backend) in [
        (es256(), Backend::Host),
        (es256(), Backend::Module),
        (eddsa(), Backend::Module),
        (rs256(), Backend::Module),
    ] {
        for name in ["", &*"x".repeat(2_000)] {
            let header = json!({
                "typ": "dpop+jwt", "alg": signer.algorithm().name(), "kid": name,
                "jwk": signer.public_jwk(),
            });
            let proof = signed(&signer, header.to_string().as_bytes(), b"{}");
            let original = ordinary();
            let id = cache.id(cache.len(), b"bound");
            let before = allocator::held();
            let entry = KnownToken::new(id, original.clone(), &set);
            let holder = entry.holder(b"token");
            let read = UnverifiedProof::parse(proof.as_bytes(), None).unwrap();
            let keep = |prover| holder.keep(prover);
            assert!(read.is_genuine(&KeyRules::asymmetric(), backend, &host, keep));
            let entry = super::keep(&cache, entry, &names("one"));
            let held = allocator::held() - before;
            let weight = usize::try_from(entry.weight.get()).unwrap();
            let what = signer.algorithm().name();
            assert!(held <= weight, "{what}: {held} bytes weigh {weight}");
            let most = held * 3 / 2 + SHARE_BYTES;
            assert!(weight <= most, "{what}: {weight} for {held} bytes");
            // It stays known when the entry is replaced.
            let again = entry.again();
            assert!(ptr::eq(again.holder(b""), entry.holder(b"")));
        }
    }
}

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
