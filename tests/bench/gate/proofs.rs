//! Tokens that are bound to a key: each request has a proof of its own (DPoP).

use portcullis::signer::Signer;
use portcullis::token::{thumbprint, token_hash};
use serde_json::{Value, json};

use crate::client::{Protocol, Request, forged_requests, requests};
use crate::gates::{Gate, World};
use crate::report::Report;
use crate::scenarios::Bench;
use crate::support::{jwks, status_list};
use crate::sweep::Field;
use crate::{signed, tokens};

/// What is compared: a known token with a new proof, and a new token without one.
pub(crate) const WITH_PROOF: &str = "proofs, warm, with a proof, ES256";
pub(crate) const COLD: &str = "proofs, cold, without a proof, ES256";

/// And the same, forged.
pub(crate) const FORGED_PROOF: &str = "proofs, forged proof, ES256";
pub(crate) const FORGED_TOKEN: &str = "proofs, forged token, ES256";

const GATES: [Gate; 3] = [Gate::NoFilter, Gate::PortcullisBound, Gate::NoFilterAgain];

pub(crate) fn measure(bench: &Bench<'_>, report: &mut Report) {
    let world = World::new(jwks(&["es256"]), bench.authority);
    let envoy = bench.cores.start_on_envoys(|| world.start(&GATES));
    let mut field = Field::new(&envoy, &GATES, Protocol::Http1);
    let extent = bench.extent;
    let genuine = tokens::genuine("es256");
    let forged = forged_requests(&tokens::forged(&genuine));
    let mut add = |name: &str, requests: &[Request]| {
        report.add(name, signed::unknown(&mut field, extent, requests, &[]));
    };
    add(COLD, &requests(&genuine));
    add(FORGED_TOKEN, &forged);
    let client = Client::new();
    let count = (extent.rounds + 1) * (extent.cold + extent.singles);
    // Of the moment, since proofs grow old.
    add(WITH_PROOF, &client.requests(count));
    add(FORGED_PROOF, &client.forged_requests(count));
}

/// A client with a key, and a token that is bound to it.
struct Client {
    signer: Signer,
    header: Value,
    token: String,
}

impl Client {
    fn new() -> Self {
        let signer = tokens::signer("es256-other");
        let jwk = signer.public_jwk();
        let mut claims = tokens::claims(0);
        claims["cnf"] = json!({"jkt": thumbprint(&jwk).expect("a key")});
        let issuer = tokens::signer("es256");
        let token = issuer.sign_token(&tokens::header(&issuer), &claims);
        Self {
            header: json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": jwk}),
            token: token.expect("a token"),
            signer,
        }
    }

    fn proofs(&self, count: usize) -> Vec<String> {
        let (hash, now) = (token_hash(self.token.as_bytes()), status_list::now());
        let sign = |number: usize| {
            let said = json!({
                "jti": format!("{number:032x}"), "htm": "GET", "htu": Request::URL, "iat": now,
                "ath": hash,
            });
            self.signer
                .sign_token(&self.header, &said)
                .expect("a proof")
        };
        (0..count).map(sign).collect()
    }

    fn requests(&self, count: usize) -> Vec<Request> {
        let proofs = self.proofs(count);
        let request = |proof: &String| Request::with_proof(&self.token, proof, 200);
        proofs.iter().map(request).collect()
    }

    /// With proofs of which each has the genuine signature of another.
    fn forged_requests(&self, count: usize) -> Vec<Request> {
        let proofs = tokens::forged(&self.proofs(count));
        let request = |proof: &String| Request::with_proof(&self.token, proof, 401);
        proofs.iter().map(request).collect()
    }
}
