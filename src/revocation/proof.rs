//! The authority's signed answers: about one token, and that a user was signed out.
//!
//! The feed is trusted for its signature alone, and so is the exact answer that is asked for when
//! the filter says "maybe": otherwise a server that answers instead of the authority, such as
//! another installation that a cluster points to by mistake, could let revoked tokens through.
//!
//! ```text
//! struct Proof {
//!     check: [u8; 32],        // SHA-256 of the body of the check
//!     settled: u8,            // 0 not revoked; otherwise revoked, and 1 + the number of the cause
//!     key: [u8; 8],           // beginning of the public key
//!     signature: [u8; 64],    // Ed25519 over "portcullis check 1\0" and all before `key`
//! }
//! ```
//!
//! It is in the answer as base64url. Every check contains a fresh nonce, so that no answer can be
//! replayed for a later one.
//!
//! The cause is told only to those who ask for it (`with_cause`); to others every revocation is 1,
//! which is all that earlier versions know. A number that is not known, of a newer version, is a
//! revocation too.
//!
//! An edge tells a user that he is signed out only with a proof as well. It lacks `settled`, since
//! there is no other answer, and is signed under "portcullis sign-out 1\0", so that neither kind of
//! proof is good as one of the other.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest as _, Sha256};

use super::Cause;
use super::feed_key::{FeedKeys, Signable};

/// Whether a token was revoked, where that is known for certain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Settled {
    /// It was not.
    NotRevoked,
    /// It was.
    Revoked(Cause),
}

impl Settled {
    /// The byte of a proof.
    const fn byte(self) -> u8 {
        match self {
            Self::NotRevoked => 0,
            Self::Revoked(cause) => 1 + cause.number(),
        }
    }

    fn from_byte(byte: u8) -> Self {
        let cause = byte.checked_sub(1).map(Cause::from_number);
        cause.map_or(Self::NotRevoked, Self::Revoked)
    }
}

/// What is to be signed as the answer to the check with this body.
#[must_use]
pub fn statement(check: &[u8], settled: Settled) -> Vec<u8> {
    let mut statement = Sha256::digest(check).to_vec();
    statement.push(settled.byte());
    statement
}

/// What is to be signed once what the request with this body asks for is on the disk.
#[must_use]
pub fn completion(request: &[u8]) -> Vec<u8> {
    Sha256::digest(request).to_vec()
}

/// The text for a signed statement.
#[must_use]
pub fn encode(signed: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(signed)
}

/// What the text proves about the check with this body; `None` when it proves nothing.
#[must_use]
pub fn verdict(text: &str, check: &[u8], keys: &FeedKeys) -> Option<Settled> {
    let message = URL_SAFE_NO_PAD.decode(text).ok()?;
    let found = keys.verified(Signable::Check, &message).ok()?;
    let (settled, digest) = found.split_last()?;
    (digest == &Sha256::digest(check)[..]).then(|| Settled::from_byte(*settled))
}

/// Whether the text proves that what the request with this body asks for is on the disk.
#[must_use]
pub fn is_done(text: &str, request: &[u8], keys: &FeedKeys) -> bool {
    let message = URL_SAFE_NO_PAD.decode(text).unwrap_or_default();
    let found = keys.verified(Signable::SignOut, &message);
    found.is_ok_and(|found| found == completion(request))
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::super::fuzzing::signed;
    use super::super::mock_authority::MockAuthority;
    use super::super::wire::proof_in;
    use super::*;

    const CHECK: &[u8] = b"{}";

    fn verdict_of(signed_part: &[u8], kind: Signable) -> Option<Settled> {
        let (message, keys) = signed(kind, signed_part);
        verdict(&encode(&message), CHECK, &keys)
    }

    #[test]
    fn nothing_but_a_zero_says_that_a_token_was_not_revoked() {
        let mut part = statement(CHECK, Settled::NotRevoked);
        assert_eq!(
            verdict_of(&part, Signable::Check),
            Some(Settled::NotRevoked)
        );
        for byte in 1..=u8::MAX {
            part[32] = byte;
            let known = Cause::ALL
                .into_iter()
                .find(|cause| 1 + cause.number() == byte);
            let expected = Settled::Revoked(known.unwrap_or(Cause::Plain));
            assert_eq!(verdict_of(&part, Signable::Check), Some(expected));
        }
    }

    #[test]
    fn a_proof_comes_back_as_it_was_and_proves_nothing_when_it_is_another_one() {
        let causes = Cause::ALL.map(Settled::Revoked);
        for settled in causes.into_iter().chain([Settled::NotRevoked]) {
            let part = statement(CHECK, settled);
            assert_eq!(verdict_of(&part, Signable::Check), Some(settled));
            assert_eq!(verdict_of(&part, Signable::Head), None, "another domain");
            let longer = [&part[..], &[0]].concat();
            for other in [&part[..32], &part[..0], &longer, &longer[1..]] {
                assert_eq!(verdict_of(other, Signable::Check), None);
            }
        }
    }

    #[test]
    fn a_proof_is_good_for_its_request_its_kind_and_its_authority_only() {
        let authority = MockAuthority::new();
        let keys = FeedKeys::new(vec![authority.key.verifying_key()]);
        let done = proof_in(&authority.done(b"body")).unwrap();
        assert!(is_done(&done, b"body", &keys));
        assert!(!is_done(&done, b"another body", &keys));
        assert!(!is_done(&done, b"body", &FeedKeys::default()));
        assert_eq!(verdict(&done, b"body", &keys), None);
        for settled in [Settled::NotRevoked, Settled::Revoked(Cause::Plain)] {
            let checked = authority.proof(b"body", settled);
            assert!(verdict(&checked, b"body", &keys).is_some());
            assert!(!is_done(&checked, b"body", &keys));
        }
        for text in ["", "proof", &done[1..]] {
            assert!(!is_done(text, b"body", &keys), "{text}");
        }
    }
}
