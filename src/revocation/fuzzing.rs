//! Invariants of feed messages made of arbitrary bytes and signed: without a signature none of them
//! is read.

use ed25519_dalek::{Signer as _, SigningKey};

use super::page::{MAX_PAGES, PAGE_BYTES};
use super::{Batch, FeedKeys, FeedSignature, Manifest, SEGMENT_BYTES, Signable};

/// The bytes as a message signed by the authority, and the key that verifies it.
pub(crate) fn signed(kind: Signable, body: &[u8]) -> (Vec<u8>, FeedKeys) {
    thread_local! {
        static KEY: SigningKey = SigningKey::from_bytes(&[1; 32]);
    }
    KEY.with(|key| {
        let signature = FeedSignature {
            key: key.verifying_key(),
            signature: key.sign(&kind.input(body)),
        };
        let message = signature.append_to(body.to_vec());
        (message, FeedKeys::new(vec![key.verifying_key()]))
    })
}

/// The signed part of a manifest.
///
/// A manifest that is accepted encodes to the same bytes, and its segments are exactly the pages
/// that it promises. Signed as a batch it is not accepted.
pub fn manifest(body: &[u8]) {
    let (message, keys) = signed(Signable::Manifest, body);
    assert!(Manifest::decode(body, &keys).is_err());
    let Ok(manifest) = Manifest::decode(&message, &keys) else {
        return;
    };
    assert_eq!(manifest.encode(), body);
    assert!((1..=MAX_PAGES).contains(&manifest.page_count));
    let lengths = manifest.filter_segments.iter();
    let lengths = lengths.map(|segment| segment.length as usize);
    assert!(lengths.clone().all(|length| length <= SEGMENT_BYTES));
    assert_eq!(
        lengths.sum::<usize>(),
        manifest.page_count as usize * PAGE_BYTES
    );
    assert!(Manifest::decode(&message[..message.len() - 1], &keys).is_err());
    let (other, _) = signed(Signable::Batch, body);
    assert!(Manifest::decode(&other, &keys).is_err());
    assert!(Batch::decode(&message, &keys).is_err());
}
