//! What holds for messages of the feed made of any bytes, once somebody has signed them: without
//! a signature nothing of them is looked at.

use ed25519_dalek::{Signer as _, SigningKey};

use super::page::{MAX_PAGES, PAGE_BYTES};
use super::{Batch, FeedKeys, FeedSignature, Manifest, SEGMENT_BYTES, Signable};

/// What the bytes become when the authority signs them, and the key that it is known by.
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
/// One that is believed is written as it was read, and its segments are exactly the pages that it
/// promises. Signed as a batch it is nothing.
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
