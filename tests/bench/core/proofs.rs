//! Requests with proofs (DPoP) at a rate that fills the memory of used ones.

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use criterion::{BatchSize, Criterion};
use portcullis::gate::{Attempt, Gate, read_configuration};
use portcullis::host::ForeignAnswer;
use portcullis::token::{Backend, thumbprint, token_hash};
use serde_json::{Value, json};

use super::now;
use super::silent_host::{Memory, SilentHost};
use super::support::{Token, configuration, jwks};

/// Proofs in a second, by the clock that the gate sees.
const RATE: u64 = 50_000;

/// So many that the slices of time that are in use are as full as they get.
const EARLIER: u64 = 8 * RATE;

/// A client that sends one request after the other, each with a proof of its own. Its signatures are none, and the
/// host takes them for good.
struct Client {
    gate: Gate,
    memory: Rc<Memory>,
    start: u64,
    token: String,
    /// In base64url.
    header: String,
    signature: String,
    sent: Cell<u64>,
    refused: Cell<u64>,
}

impl Client {
    fn new() -> Self {
        let mut configuration = configuration();
        configuration["providers"]["demo"]["proof_of_possession"] = json!({"dpop": {}});
        let text = configuration.to_string();
        let configured = read_configuration(text.as_bytes(), &|_| None).expect("a configuration");
        let set: Value = serde_json::from_str(&jwks(&["es256-other"])).expect("JSON");
        let key = &set["keys"][0];
        let bound = json!({"jkt": thumbprint(key).expect("a key")});
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key});
        let token = Token::signed_by("es256").claim("cnf", bound);
        Self {
            gate: Gate::new(configured.policy, Backend::Host, [7; 16]),
            memory: Rc::default(),
            start: now(),
            token: token.claim("exp", now() / 1_000 + 100_000).to_string(),
            header: URL_SAFE_NO_PAD.encode(header.to_string()),
            signature: URL_SAFE_NO_PAD.encode([1; 64]),
            sent: Cell::new(0),
            refused: Cell::new(0),
        }
    }

    /// The next request, at its time.
    fn next(&self) -> SilentHost {
        let number = self.sent.replace(self.sent.get() + 1);
        let now = self.start + number * 1_000 / RATE;
        let said = json!({
            "jti": format!("{number:032x}"), "htm": "GET", "htu": "http://api.example/api/orders",
            "iat": now / 1_000, "ath": token_hash(self.token.as_bytes()),
        });
        let said = URL_SAFE_NO_PAD.encode(said.to_string());
        let proof = format!("{}.{said}.{}", self.header, self.signature);
        SilentHost::asked_for("/api/orders", None, now)
            .with_header("authorization", &format!("DPoP {}", self.token))
            .with_header("dpop", &proof)
            .with_signatures(ForeignAnswer::Genuine)
            .in_process(&self.memory)
    }

    fn send(&self, host: &SilentHost) {
        let _ = self.gate.on_request(host, Attempt::First);
        match host.take_answered() {
            None => {}
            Some(503) => self.refused.set(self.refused.get() + 1),
            Some(status) => panic!("answered {status}"),
        }
    }
}

pub(super) fn at_a_high_rate(criterion: &mut Criterion) {
    let client = Client::new();
    for _ in 0..EARLIER {
        client.send(&client.next());
    }
    criterion.bench_function(
        "decide about a request with a proof, the 50,000th of its second",
        |bencher| {
            bencher.iter_batched(
                || client.next(),
                |host| client.send(&host),
                BatchSize::SmallInput,
            );
        },
    );
    // A shard is full for one in hundreds of millions.
    let (sent, refused) = (client.sent.get(), client.refused.get());
    println!(
        "{sent} proofs, {refused} refused, {} bytes kept",
        client.memory.size()
    );
    assert!(refused * 1_000_000 <= sent, "{refused} of {sent}");
}
