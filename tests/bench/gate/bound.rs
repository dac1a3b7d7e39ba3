//! The cost of one forged token: for every way to check signatures, with the most common digest,
//! and at the limits that the filter sets: RSA keys of 4,096 bits, and tokens that name no key
//! where there are eight to be tried.

use portcullis::signer::Signer;
use portcullis::token::Algorithm;
use serde_json::{Value, json};

use crate::client::{Protocol, forged_requests};
use crate::gates::{Gate, World};
use crate::overview::FORGED;
use crate::report::Report;
use crate::scenarios::{Bench, Extent};
use crate::signed;
use crate::support::encode_part;
use crate::sweep::Field;
use crate::tokens;

/// Long enough for HS256, which asks for 32 bytes.
const SECRET: [u8; 64] = [42; 64];

/// Some algorithms take a millisecond.
const EXTENT: Extent = Extent {
    rounds: 7,
    warm: 100,
    cold: 100,
    singles: 10,
    is_smoke: false,
};

const GATES: [Gate; 5] = [
    Gate::NoFilter,
    Gate::Native,
    Gate::Portcullis,
    Gate::PortcullisFallback,
    Gate::NoFilterAgain,
];

/// As many keys as the filter tries for a token that names none.
const MOST_KEYS: usize = 8;

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    every_algorithm(bench, report);
    without_a_key_id(bench, report);
}

/// Tokens that name their key.
fn every_algorithm(bench: &Bench<'_>, report: &mut Report) {
    let signers = signers();
    let large = tokens::signer("rs256-4096");
    let all = signers.iter().chain([&large]);
    let mut keys: Vec<Value> = all.map(Signer::public_jwk).collect();
    let secret = encode_part(SECRET);
    keys.push(json!({"kty": "oct", "kid": "hs256", "alg": "HS256", "k": secret}));
    let mut floods = Vec::new();
    for signer in &signers {
        let header = tokens::header(signer);
        floods.push(Flood::of(signer, signer.algorithm_name(), header));
    }
    floods.push(Flood {
        name: "HS256".to_owned(),
        header: json!({"alg": "HS256", "kid": "hs256", "typ": "JWT"}),
        signature: encode_part([42; 32]),
    });
    floods.push(Flood::of(
        &large,
        "RS256, key of 4,096 bits",
        tokens::header(&large),
    ));
    run(bench, &keys, &floods, report);
}

/// Tokens that name no key, where the provider has so many of their algorithm that all which may
/// be tried are tried.
fn without_a_key_id(bench: &Bench<'_>, report: &mut Report) {
    let (mut keys, mut floods) = (Vec::new(), Vec::new());
    for algorithm in [Algorithm::Rs256, Algorithm::Es256, Algorithm::EdDsa] {
        let generate = |_| Signer::generate(algorithm, None).expect("a key");
        let signers: Vec<Signer> = (0..MOST_KEYS).map(generate).collect();
        keys.extend(signers.iter().map(Signer::public_jwk));
        let algorithm = algorithm.name();
        floods.push(Flood::of(
            &signers[0],
            &format!("{algorithm}, no `kid`, {MOST_KEYS} keys"),
            json!({"alg": algorithm, "typ": "JWT"}),
        ));
    }
    run(bench, &keys, &floods, report);
}

/// Forged tokens of one kind.
struct Flood {
    /// In tables.
    name: String,
    header: Value,
    /// Encoded.
    signature: String,
}

impl Flood {
    /// With a signature that this key has made, for another text.
    ///
    /// Its first bit is 0, so that as a number it is below the modulus of every RSA key of its
    /// length. A larger one is refused without arithmetic by the keys whose modulus it exceeds.
    fn of(signer: &Signer, name: &str, header: Value) -> Self {
        let sign = |text: u8| signer.sign(&[text]).expect("a signature");
        let mut signatures = (0..=u8::MAX).map(sign);
        let signature = signatures.find(|signature| signature[0] < 0x80);
        Self {
            name: name.to_owned(),
            header,
            signature: encode_part(signature.expect("one signature in two")),
        }
    }
}

/// One flood after the other, on gates that have all of these keys.
fn run(bench: &Bench<'_>, keys: &[Value], floods: &[Flood], report: &mut Report) {
    let world = World::new(json!({ "keys": keys }).to_string(), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| world.start(&GATES));
    let mut field = Field::new(&envoy, &GATES, Protocol::Http1);
    let rounds = bench.extent.rounds.min(EXTENT.rounds);
    let extent = Extent { rounds, ..EXTENT };
    let count = (rounds + 1) * (EXTENT.cold + EXTENT.singles);
    for flood in floods {
        let forged = forged_requests(&forged(&flood.header, &flood.signature, count));
        let measured = signed::unknown(&mut field, extent, &forged, &[]);
        report.add(&format!("{FORGED}{}", flood.name), measured);
    }
}

/// One for every kind of public key but the longest.
fn signers() -> Vec<Signer> {
    let kept = ["rs256", "es256", "eddsa"].map(tokens::signer);
    let made = [Algorithm::Ps256, Algorithm::Es384, Algorithm::Es512];
    let made = made.map(|algorithm| Signer::generate(algorithm, None).expect("a key"));
    kept.into_iter().chain(made).collect()
}

/// Tokens that differ in their claims, all with the genuine signature of something else.
fn forged(header: &Value, signature: &str, count: usize) -> Vec<String> {
    let header = encode_part(header.to_string());
    let claims = (0..count).map(|number| encode_part(tokens::claims(number).to_string()));
    let token = |claims| format!("{header}.{claims}.{signature}");
    claims.map(token).collect()
}
