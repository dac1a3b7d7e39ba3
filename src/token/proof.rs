//! A proof that the sender of a request has a key (DPoP, RFC 9449 section 4.2): a JWT with the public key in
//! its header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::compact::{Header, Parts};
use super::{Algorithm, Backend, Claims, Key, KeyRules, UnverifiedToken, heap, jwk, thumbprint};
use crate::host::SignatureHost;

/// Longest proof that is looked at. One with an RSA key of 4096 bits has some 2 KiB.
pub const MAX_PROOF_BYTES: usize = 4 * 1024;

/// `typ` of a proof.
pub const PROOF_TYPE: &str = "dpop+jwt";

/// `ath` of a proof: SHA-256 of a token as it is sent, in base64url (RFC 9449 section 4.2).
#[must_use]
pub fn token_hash(token: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(token))
}

/// A proof of good form, whose signature is still to be checked.
pub struct UnverifiedProof<'p> {
    token: UnverifiedToken<'p>,
    /// Its header, in base64url.
    header: &'p [u8],
    prover: Prover<'p>,
}

/// Whose proof it may be.
enum Prover<'p> {
    /// The holder of the key that has made an earlier one, which had the same header.
    Known(&'p KnownProver),
    /// The holder of this JWK, and its thumbprint if it is a key with a public part.
    Claimed(Value, Option<String>),
}

/// The holder of a key, of which a proof was found genuine. All its proofs have the same header as a rule, so
/// that nothing of that has to be read again.
#[derive(Debug)]
pub struct KnownProver {
    /// That header, in base64url.
    text: Box<[u8]>,
    algorithm: Algorithm,
    thumbprint: String,
    key: Key,
}

impl KnownProver {
    /// Bytes of memory that it holds.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        let thumbprint = heap::block(self.thumbprint.capacity());
        heap::block(self.text.len()) + thumbprint + self.key.heap_bytes()
    }
}

/// Without claims and signature.
impl fmt::Debug for UnverifiedProof<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_tuple("UnverifiedProof")
            .field(&self.token)
            .finish()
    }
}

impl<'p> UnverifiedProof<'p> {
    /// Takes a proof apart, as strictly as a token, and checks `typ` and that `jwk` has no private part
    /// (RFC 9449 section 4.3, points 2, 4, 7). `None` if it is no such proof. `known` is who may have made it.
    #[must_use]
    pub fn parse(proof: &'p [u8], known: Option<&'p KnownProver>) -> Option<Self> {
        let parts = Parts::of(MAX_PROOF_BYTES, proof).ok()?;
        let known = known.filter(|known| *known.text == *parts.header);
        let (header, prover) = if let Some(known) = known {
            (Header::naming(known.algorithm), Prover::Known(known))
        } else {
            let (header, key) = Header::read(parts.header).ok()?;
            let key = key.filter(|key| key.is_object() && !jwk::is_private(key))?;
            if !header.has_type(PROOF_TYPE) {
                return None;
            }
            let thumbprint = thumbprint(&key);
            (header, Prover::Claimed(key, thumbprint))
        };
        Some(Self {
            token: UnverifiedToken::with_header(parts, header).ok()?,
            header: parts.header,
            prover,
        })
    }

    /// The algorithm that it names, if that is one that is known here.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.token.unverified_algorithm())
    }

    /// The thumbprint of the key in it.
    #[must_use]
    pub fn thumbprint(&self) -> Option<&str> {
        match &self.prover {
            Prover::Known(known) => Some(&known.thumbprint),
            Prover::Claimed(_, thumbprint) => thumbprint.as_deref(),
        }
    }

    /// What it says.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Claims {
        self.token.unverified_claims()
    }

    /// Whether the key in it has made the signature, by an algorithm that these rules allow. A prover that was
    /// not known is given to `keep`.
    ///
    /// The rules and the backend have to be those by which the prover became known.
    pub fn is_genuine(
        self,
        rules: &KeyRules,
        backend: Backend,
        host: &impl SignatureHost,
        keep: impl FnOnce(KnownProver),
    ) -> bool {
        let (jwk, thumbprint) = match self.prover {
            Prover::Known(known) => return self.token.is_signed_by(&known.key, backend, host),
            Prover::Claimed(jwk, thumbprint) => (jwk, thumbprint),
        };
        let Ok(key) = Key::for_one_signature(&jwk, rules, backend) else {
            return false;
        };
        let is_genuine = self.token.is_signed_by(&key, backend, host);
        let algorithm = Algorithm::from_name(self.token.unverified_algorithm());
        if is_genuine && let Some((thumbprint, algorithm)) = thumbprint.zip(algorithm) {
            keep(KnownProver {
                text: self.header.into(),
                algorithm,
                thumbprint,
                key,
            });
        }
        is_genuine
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock::MockHost;
    use crate::time::UnixTime;
    use crate::token::fixtures::{eddsa, es256, es256_other, rs256, signed};

    fn host() -> MockHost {
        MockHost::get("/", UnixTime::EPOCH)
    }

    fn is_genuine(proof: UnverifiedProof<'_>, rules: &KeyRules) -> bool {
        proof.is_genuine(rules, Backend::Module, &host(), |_| ())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_proof_of_rfc_9449_is_genuine() {
        // Section 7.1.
        let proof = b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
        let read = UnverifiedProof::parse(proof, None).unwrap();
        assert_eq!(read.algorithm(), Some(Algorithm::Es256));
        let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(read.thumbprint(), Some(thumbprint));
        assert_eq!(
            read.unverified_claims().string("ath"),
            Some("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")
        );
        assert!(is_genuine(read, &KeyRules::asymmetric()));
        let others = KeyRules {
            algorithms: vec![Algorithm::EdDsa, Algorithm::Rs256],
            ..KeyRules::default()
        };
        let read = UnverifiedProof::parse(proof, None).unwrap();
        assert!(!is_genuine(read, &others));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_proof_is_what_has_its_type_and_a_public_key() {
        for signer in [es256(), eddsa(), rs256()] {
            let good = json!({
                "typ": "dpop+jwt", "alg": signer.algorithm().name(), "jwk": signer.public_jwk(),
            });
            let private: Value = serde_json::from_str(&signer.to_jwk()).unwrap();
            let with = |member: &str, value: Value| {
                let mut header = good.clone();
                header[member] = value;
                header
            };
            let mut without_key = good.clone();
            without_key.as_object_mut().unwrap().remove("jwk");
            let mut empty_private = signer.public_jwk();
            empty_private["d"] = "".into();
            let outcome = |header: &Value| {
                let proof = signed(&signer, header.to_string().as_bytes(), b"{}");
                let read = UnverifiedProof::parse(proof.as_bytes(), None);
                read.map(|read| is_genuine(read, &KeyRules::asymmetric()))
            };
            assert_eq!(outcome(&good), Some(true));
            assert_eq!(outcome(&with("typ", "DPoP+JWT".into())), Some(true));
            for odd in [
                with("typ", "jwt".into()),
                with("typ", Value::Null),
                with("crit", json!(["b64"])),
                with("jwk", "x".into()),
                with("jwk", Value::Null),
                with("jwk", private),
                with("jwk", empty_private),
                without_key,
            ] {
                assert_eq!(outcome(&odd), None, "{odd}");
            }
            for forged in [
                with("alg", "none".into()),
                with("alg", "HS256".into()),
                with("alg", "ES384".into()),
                with("jwk", json!({})),
                with("jwk", es256_other().public_jwk()),
            ] {
                assert_eq!(outcome(&forged), Some(false), "{forged}");
            }
        }
        let long = format!("{}.e30.", "e".repeat(MAX_PROOF_BYTES));
        assert!(UnverifiedProof::parse(long.as_bytes(), None).is_none());
        // Shared secrets are no proof, whatever they are called.
        let secret = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}});
        let proof = signed(&es256(), secret.to_string().as_bytes(), b"{}");
        assert!(UnverifiedProof::parse(proof.as_bytes(), None).is_none());
    }

    /// Whose next proofs are read faster: with the same header, and with no other.
    #[wasm_bindgen_test(unsupported = test)]
    fn a_prover_becomes_known_by_a_genuine_proof_alone() {
        let rules = KeyRules::asymmetric();
        for signer in [es256(), eddsa(), rs256()] {
            let header = json!({
                "typ": "dpop+jwt", "alg": signer.algorithm().name(), "jwk": signer.public_jwk(),
            });
            let header = header.to_string();
            let proof =
                |said: &Value| signed(&signer, header.as_bytes(), said.to_string().as_bytes());
            let mut known = None;
            let first = proof(&json!({"jti": "1"}));
            let forged = signed(&es256_other(), header.as_bytes(), b"{}");
            for (text, expected) in [(&forged, false), (&first, true)] {
                let read = UnverifiedProof::parse(text.as_bytes(), None).unwrap();
                let keep = |prover| known = Some(prover);
                let is_genuine = read.is_genuine(&rules, Backend::Module, &host(), keep);
                assert_eq!((is_genuine, known.is_some()), (expected, expected));
            }
            let known = known.unwrap();
            let ask = |proof: &str| {
                let read = UnverifiedProof::parse(proof.as_bytes(), Some(&known)).unwrap();
                let expected = thumbprint(&signer.public_jwk());
                let is_its_own = read.thumbprint() == expected.as_deref();
                let says = read.unverified_claims().string("jti").map(str::to_owned);
                let mut is_news = false;
                let keep = |_| is_news = true;
                let is_genuine = read.is_genuine(&rules, Backend::Module, &host(), keep);
                (is_its_own, says, is_genuine, is_news)
            };
            let second = proof(&json!({"jti": "2"}));
            let said = |text: &str| Some(text.to_owned());
            assert_eq!(ask(&second), (true, said("2"), true, false));
            // The header of one, and the claims of another.
            let (start, signature) = first.rsplit_once('.').unwrap();
            let (_, claims) = second.rsplit_once('.').unwrap().0.split_once('.').unwrap();
            let mixed = format!("{}.{claims}.{signature}", start.split_once('.').unwrap().0);
            assert_eq!(ask(&mixed), (true, said("2"), false, false));
            let other = es256_other();
            let other_header = json!({
                "typ": "dpop+jwt", "alg": "ES256", "jwk": other.public_jwk(),
            });
            let others = signed(&other, other_header.to_string().as_bytes(), b"{}");
            assert_eq!(ask(&others), (false, None, true, true));
            // What was signed by another key under the known header.
            let stolen = signed(&other, header.as_bytes(), b"{}");
            assert_eq!(ask(&stolen), (true, None, false, false));
        }
    }
}
