//! Proof of how far an edge has come.
//!
//! An edge that knows changes which the store does not makes the authority begin a new epoch: the
//! store was restored from an older backup. Any caller with an `edge` credential could claim so,
//! and all edges would load the whole filter again. So the claim alone is not enough. With every
//! batch the authority signs the edge's position after it, and the edge sends that back with its
//! next poll; only the authority's own keys can have made it.
//!
//! ```text
//! struct Evidence {
//!     key: [u8; 8],           // beginning of the public key
//!     signature: [u8; 64],    // Ed25519 over "portcullis head 1\0" and a `Head`
//! }
//! struct Head {               // little-endian
//!     epoch: u64,
//!     sequence: u64,          // number of the last change that is known
//!     chain: [u8; 32],        // the history up to there
//! }
//! ```
//!
//! The edge does not verify it: it comes inside a batch that was verified.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use super::Chain;
use super::feed_key::{FeedKeys, SIGNATURE_BYTES, Signable};

/// The authority's signature over a position in the feed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Evidence(pub [u8; SIGNATURE_BYTES]);

impl Evidence {
    /// What is signed.
    #[must_use]
    pub fn statement(epoch: u64, sequence: u64, chain: Chain) -> Vec<u8> {
        let mut statement = Vec::with_capacity(STATEMENT_BYTES);
        statement.extend(epoch.to_le_bytes());
        statement.extend(sequence.to_le_bytes());
        statement.extend(chain.0);
        statement
    }

    /// The evidence at the end of a signed statement.
    #[must_use]
    pub fn of_signed(message: &[u8]) -> Option<Self> {
        message.last_chunk().copied().map(Self)
    }

    /// Whether one of the keys has signed this position.
    #[must_use]
    pub fn holds(&self, epoch: u64, sequence: u64, chain: Chain, keys: &FeedKeys) -> bool {
        let message = [&Self::statement(epoch, sequence, chain)[..], &self.0].concat();
        keys.verified(Signable::Head, &message).is_ok()
    }

    /// Its text form in a poll.
    #[must_use]
    pub fn to_text(self) -> String {
        URL_SAFE_NO_PAD.encode(self.0)
    }

    /// The evidence in a poll.
    #[must_use]
    pub fn from_text(text: &str) -> Option<Self> {
        let bytes = URL_SAFE_NO_PAD.decode(text).ok()?;
        bytes.try_into().ok().map(Self)
    }
}

const STATEMENT_BYTES: usize = 8 + 8 + 32;

#[cfg(test)]
mod tests {
    use ed25519_dalek::{Signer as _, SigningKey};
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::revocation::FeedSignature;

    fn signed(kind: Signable, seed: u8) -> Evidence {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let statement = Evidence::statement(1, 2, Chain([3; 32]));
        let signature = FeedSignature {
            key: key.verifying_key(),
            signature: key.sign(&kind.input(&statement)),
        };
        Evidence::of_signed(&signature.append_to(statement)).unwrap()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn evidence_is_for_one_position_in_one_history_by_a_key_of_the_authority() {
        let keys = FeedKeys::new(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()]);
        let evidence = signed(Signable::Head, 1);
        assert_eq!(Evidence::from_text(&evidence.to_text()), Some(evidence));
        let chain = Chain([3; 32]);
        assert!(evidence.holds(1, 2, chain, &keys));
        assert!(!evidence.holds(2, 2, chain, &keys));
        assert!(!evidence.holds(1, 3, chain, &keys));
        assert!(!evidence.holds(1, 2, Chain([4; 32]), &keys));
        for other in [signed(Signable::Head, 2), signed(Signable::Batch, 1)] {
            assert!(!other.holds(1, 2, chain, &keys));
        }
        assert_eq!(Evidence::from_text("AAAA"), None);
    }
}
