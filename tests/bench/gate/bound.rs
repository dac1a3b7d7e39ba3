//! What one forged token costs: for every way in which signatures are checked, with the digest that
//! is named most.

use portcullis::signer::Signer;
use portcullis::token::Algorithm;
use serde_json::{Value, json};

use crate::client::{Protocol, requests};
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
    Gate::Nobody,
    Gate::Native,
    Gate::Portcullis,
    Gate::PortcullisFallback,
    Gate::NobodyAgain,
];

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    let signers = signers();
    let mut keys: Vec<Value> = signers.iter().map(Signer::public_jwk).collect();
    let secret = encode_part(SECRET);
    keys.push(json!({"kty": "oct", "kid": "hs256", "alg": "HS256", "k": secret}));
    let world = World::new(json!({ "keys": keys }).to_string(), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| world.start(&GATES));
    let mut field = Field::new(&envoy, &GATES, Protocol::Http1);
    let rounds = bench.extent.rounds.min(EXTENT.rounds);
    let extent = Extent { rounds, ..EXTENT };
    let count = (rounds + 1) * (EXTENT.cold + EXTENT.singles);
    let mut one = |name: &str, header: &Value, signature: &str| {
        let forged = requests(&forged(header, signature, count));
        let measured = signed::unknown(&mut field, extent, &forged, 401, &[]);
        report.add(&format!("{FORGED}{name}"), measured);
    };
    for signer in &signers {
        let signature = signer.sign(b"another text").expect("a signature");
        let header = tokens::header(signer);
        one(signer.algorithm_name(), &header, &encode_part(signature));
    }
    let header = json!({"alg": "HS256", "kid": "hs256", "typ": "JWT"});
    one("HS256", &header, &encode_part([42; 32]));
}

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
