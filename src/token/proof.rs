//! A proof that the sender of a request has a key (DPoP, RFC 9449 section 4.2): a JWT with the public key in
//! its header.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::Value;

use super::{Algorithm, Backend, Claims, Key, KeyRules, UnverifiedToken, is_type, jwk, thumbprint};
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
    key: Value,
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
    /// (RFC 9449 section 4.3, points 2, 4, 7). `None` if it is no such proof.
    #[must_use]
    pub fn parse(proof: &'p [u8]) -> Option<Self> {
        let parsed = UnverifiedToken::parse_with_key(MAX_PROOF_BYTES, proof);
        let (token, key) = parsed.ok()?;
        let key = key.filter(|key| key.is_object() && !jwk::is_private(key))?;
        let is_proof = token
            .unverified_type()
            .is_some_and(|name| is_type(name, PROOF_TYPE));
        is_proof.then_some(Self { token, key })
    }

    /// The algorithm that it names, if that is one that is known here.
    #[must_use]
    pub fn algorithm(&self) -> Option<Algorithm> {
        Algorithm::from_name(self.token.unverified_algorithm())
    }

    /// The thumbprint of the key in it.
    #[must_use]
    pub fn thumbprint(&self) -> Option<String> {
        thumbprint(&self.key)
    }

    /// What it says.
    #[must_use]
    pub const fn unverified_claims(&self) -> &Claims {
        self.token.unverified_claims()
    }

    /// Whether the key in it has made the signature, by an algorithm that these rules allow.
    pub fn is_genuine(
        &self,
        rules: &KeyRules,
        backend: Backend,
        host: &impl SignatureHost,
    ) -> bool {
        let key = Key::for_one_signature(&self.key, rules, backend);
        key.is_ok_and(|key| self.token.is_signed_by(&key, backend, host))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock::MockHost;
    use crate::time::UnixTime;
    use crate::token::fixtures::{eddsa, es256, rs256, signed};

    fn host() -> MockHost {
        MockHost::get("/", UnixTime::EPOCH)
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_proof_of_rfc_9449_is_genuine() {
        // Section 7.1.
        let proof = b"eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscEJoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19.eyJqdGkiOiJlMWozVl9iS2ljOC1MQUVCIiwiaHRtIjoiR0VUIiwiaHR1IjoiaHR0cHM6Ly9yZXNvdXJjZS5leGFtcGxlLm9yZy9wcm90ZWN0ZWRyZXNvdXJjZSIsImlhdCI6MTU2MjI2MjYxOCwiYXRoIjoiZlVIeU8ycjJaM0RaNTNFc05yV0JiMHhXWG9hTnk1OUlpS0NBcWtzbVFFbyJ9.2oW9RP35yRqzhrtNP86L-Ey71EOptxRimPPToA1plemAgR6pxHF8y6-yqyVnmcw6Fy1dqd-jfxSYoMxhAJpLjA";
        let read = UnverifiedProof::parse(proof).unwrap();
        assert_eq!(read.algorithm(), Some(Algorithm::Es256));
        let rules = KeyRules::asymmetric();
        assert!(read.is_genuine(&rules, Backend::Module, &host()));
        let thumbprint = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(read.thumbprint().as_deref(), Some(thumbprint));
        assert_eq!(
            read.unverified_claims().string("ath"),
            Some("fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo")
        );
        let others = KeyRules {
            algorithms: vec![Algorithm::EdDsa, Algorithm::Rs256],
            ..KeyRules::default()
        };
        assert!(!read.is_genuine(&others, Backend::Module, &host()));
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
            let is_genuine = |header: &Value| {
                let proof = signed(&signer, header.to_string().as_bytes(), b"{}");
                let read = UnverifiedProof::parse(proof.as_bytes());
                read.map(|read| read.is_genuine(&KeyRules::asymmetric(), Backend::Module, &host()))
            };
            assert_eq!(is_genuine(&good), Some(true));
            assert_eq!(is_genuine(&with("typ", "DPoP+JWT".into())), Some(true));
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
                assert_eq!(is_genuine(&odd), None, "{odd}");
            }
            for forged in [
                with("alg", "none".into()),
                with("alg", "HS256".into()),
                with("alg", "ES384".into()),
                with("jwk", json!({})),
                with("jwk", crate::token::fixtures::es256_other().public_jwk()),
            ] {
                assert_eq!(is_genuine(&forged), Some(false), "{forged}");
            }
        }
        let long = format!("{}.e30.", "e".repeat(MAX_PROOF_BYTES));
        assert!(UnverifiedProof::parse(long.as_bytes()).is_none());
        // Shared secrets are no proof, whatever they are called.
        let secret = json!({"typ": "dpop+jwt", "alg": "HS256", "jwk": {"kty": "oct", "k": "eA"}});
        let proof = signed(&es256(), secret.to_string().as_bytes(), b"{}");
        assert!(UnverifiedProof::parse(proof.as_bytes()).is_none());
    }
}
