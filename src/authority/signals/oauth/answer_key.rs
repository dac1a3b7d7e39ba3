//! The key that signed answers are signed with (RFC 9701), and the answers.
//!
//! # Why not a key of the feed?
//!
//! Edges believe the feed's keys, and resource servers believe this one. With keys of their own, no
//! signature for one can be taken for one for the other, whatever the bytes are. ES256 is what
//! libraries for resource servers have.
//!
//! It is made at the first start at which OAuth clients are configured, and kept in the store, so that
//! it is in backups as the feed's keys are.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::OAuthError;
use crate::authority::store::{Setting, Store};
use crate::signer::{SignError, Signer};
use crate::time::UnixTime;
use crate::token::Algorithm;

/// `typ` of a signed answer, and its media type after `application/` (RFC 9701 section 5).
pub(super) const TYPE: &str = "token-introspection+jwt";

/// The key.
pub(super) struct AnswerKey(Signer);

impl AnswerKey {
    /// The key in the store, or a new one that is put there.
    ///
    /// # Errors
    ///
    /// [`OAuthError`].
    pub(super) fn load_or_make(store: &Store, now_milliseconds: u64) -> Result<Self, OAuthError> {
        let kept = if let Some(kept) = store.kept::<KeptKey>()? {
            kept
        } else {
            let signer = Signer::generate(Algorithm::Es256, None)?;
            let made = KeptKey(signer.to_jwk());
            let committed = store.commit(now_milliseconds, |writing| {
                // Another authority may start at the same time.
                if let Some(kept) = writing.kept()? {
                    return Ok(kept);
                }
                writing.keep(&made)?;
                Ok(made)
            });
            committed?.outcome
        };
        Ok(Self(Signer::from_jwk(&kept.0)?))
    }

    /// The public half.
    pub(super) fn public_jwk(&self) -> Value {
        self.0.public_jwk()
    }

    /// The name of the algorithm.
    pub(super) const fn algorithm(&self) -> &'static str {
        self.0.algorithm_name()
    }

    /// A signed answer for this resource server (RFC 9701 section 5).
    ///
    /// # Errors
    ///
    /// When the arithmetic failed, which no sound key brings about.
    pub(super) fn signed(
        &self,
        issuer: &str,
        audience: &str,
        answer: &Value,
        now: UnixTime,
    ) -> Result<String, SignError> {
        let header = json!({
            "alg": self.0.algorithm_name(), "kid": self.0.key_id(), "typ": TYPE,
        });
        // Neither `sub` nor `exp`, so that it is never taken for an access token.
        let claims = json!({
            "iss": issuer, "aud": audience, "iat": now.seconds(), "token_introspection": answer,
        });
        let part = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let input = format!("{}.{}", part(header), part(claims));
        let signature = self.0.sign(input.as_bytes())?;
        Ok(format!("{input}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}

impl fmt::Debug for AnswerKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let id = self.0.key_id().unwrap_or_default();
        write!(formatter, "AnswerKey({id})")
    }
}

/// The key pair as a JWK, as the store has it.
struct KeptKey(String);

impl Setting for KeptKey {
    const NAME: &'static str = "oauth_answer_key";

    fn encode(&self) -> Vec<u8> {
        self.0.clone().into_bytes()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let text = String::from_utf8(bytes.to_vec()).ok()?;
        Signer::from_jwk(&text).is_ok().then_some(Self(text))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{Backend, KeyRules, KeySet, UnverifiedToken};

    #[test]
    fn an_answer_is_signed_by_the_key_that_is_published_and_says_for_whom_it_is() {
        let made = Signer::generate(Algorithm::Es256, None).unwrap();
        let kept = KeptKey::decode(&KeptKey(made.to_jwk()).encode()).unwrap();
        let key = AnswerKey(Signer::from_jwk(&kept.0).unwrap());
        let published = json!({"keys": [key.public_jwk()]});
        assert_eq!(published["keys"][0].get("d"), None);
        let now = UnixTime::from_seconds(1_767_225_600).unwrap();
        let answer = json!({"active": false});
        let signed = key.signed("https://a", "orders", &answer, now).unwrap();
        let keys = KeySet::parse(published.to_string().as_bytes(), &KeyRules::default()).unwrap();
        let token = UnverifiedToken::parse(signed.as_bytes()).unwrap();
        let host = crate::host::mock::MockHost::get("/", now);
        let token = token.verify(&keys, Backend::Module, &host).unwrap();
        assert_eq!(token.token_type(), Some(TYPE));
        let claims: Vec<_> = token.claims().members().map(|(name, _)| name).collect();
        let mut claims = claims.clone();
        claims.sort_unstable();
        assert_eq!(claims, ["aud", "iat", "iss", "token_introspection"]);
        assert_eq!(token.claims().get("token_introspection"), Some(&answer));
        assert_eq!(token.claims().get("aud"), Some(&json!("orders")));
        let shown = format!("{key:?}");
        let private = published["keys"][0]["kid"].as_str().unwrap();
        assert_eq!(shown, format!("AnswerKey({private})"));
        assert!(KeptKey::decode(b"{}").is_none());
    }
}
