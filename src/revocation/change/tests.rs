use ed25519_dalek::{Signer as _, SigningKey};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::revocation::FeedSignature;
use crate::revocation::cut_off::Exception;
use crate::time::UnixTime;

fn signing_key(seed: u8) -> SigningKey {
    SigningKey::from_bytes(&[seed; 32])
}

fn keys() -> FeedKeys {
    FeedKeys::new(vec![signing_key(1).verifying_key()])
}

fn sign(kind: Signable, key: &SigningKey, body: Vec<u8>) -> Vec<u8> {
    let signature = FeedSignature {
        key: key.verifying_key(),
        signature: key.sign(&kind.input(&body)),
    };
    signature.append_to(body)
}

fn batch() -> Batch {
    Batch {
        nonce: 1,
        time: 2,
        epoch: 3,
        generation: 4,
        head: 9,
        after: 5,
        chain: Chain([6; 32]),
        changes: vec![
            Change::Add(Fingerprint([1; 16])),
            Change::Restore(Fingerprint([2; 16])),
            Change::SetCutOff(CutOff {
                key: Fingerprint([3; 16]),
                not_before: UnixTime::MAX,
                except: Some(Exception {
                    session: Fingerprint([4; 16]),
                    from: UnixTime::EPOCH,
                }),
                is_compound: false,
            }),
            Change::ClearCutOff(Fingerprint([5; 16])),
        ],
        evidence: Evidence([1; 72]),
    }
}

fn signed(batch: &Batch) -> Vec<u8> {
    sign(Signable::Batch, &signing_key(1), batch.encode())
}

#[wasm_bindgen_test(unsupported = test)]
fn a_batch_comes_back_as_it_was() {
    assert_eq!(Batch::decode(&signed(&batch()), &keys()), Ok(batch()));
    let heartbeat = Batch {
        changes: Vec::new(),
        ..batch()
    };
    assert_eq!(
        Batch::decode(&signed(&heartbeat), &keys()),
        Ok(heartbeat.clone())
    );
    assert_eq!((batch().through(), heartbeat.through()), (9, 5));
    let last = Batch {
        after: u64::MAX - 4,
        head: u64::MAX,
        ..batch()
    };
    assert_eq!(Batch::decode(&signed(&last), &keys()), Ok(last));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_batch_with_any_bit_flipped_is_refused() {
    let message = signed(&batch());
    for index in 0..message.len() {
        let mut changed = message.clone();
        changed[index] ^= 1;
        assert!(Batch::decode(&changed, &keys()).is_err(), "byte {index}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_batch_cut_anywhere_is_refused() {
    let message = signed(&batch());
    for length in 0..message.len() {
        assert!(
            Batch::decode(&message[..length], &keys()).is_err(),
            "{length} bytes"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn only_pinned_keys_and_the_right_kind_of_message_count() {
    let other = sign(Signable::Batch, &signing_key(2), batch().encode());
    let unknown = BatchError::Signature(FeedSignatureError::UnknownKey);
    assert_eq!(Batch::decode(&other, &keys()), Err(unknown));
    let manifest = sign(Signable::Manifest, &signing_key(1), batch().encode());
    let invalid = BatchError::Signature(FeedSignatureError::Invalid);
    assert_eq!(Batch::decode(&manifest, &keys()), Err(invalid));
    let both = FeedKeys::new(vec![
        signing_key(2).verifying_key(),
        signing_key(1).verifying_key(),
    ]);
    assert!(Batch::decode(&other, &both).is_ok());
}

#[wasm_bindgen_test(unsupported = test)]
fn signed_bytes_of_another_form_are_refused() {
    let encoded = batch().encode();
    let offset_of_count = encoded.len() - 72 - (17 + 17 + 49 + 17) - 4;
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut body = encoded.clone();
        change(&mut body);
        let message = sign(Signable::Batch, &signing_key(1), body);
        Batch::decode(&message, &keys()).unwrap_err()
    };
    assert_eq!(
        with(&|body| body[4] = 1),
        BatchError::Decode(DecodeError::Format)
    );
    assert_eq!(
        with(&|body| body[5] = 1),
        BatchError::Decode(DecodeError::Format)
    );
    assert_eq!(
        with(&|body| body.push(0)),
        BatchError::Decode(DecodeError::Trailing(1))
    );
    let operation = with(&|body| body[offset_of_count + 4] = 9);
    assert_eq!(
        operation,
        BatchError::Decode(DecodeError::Value("operation"))
    );
    let count = |count: u32| {
        with(&|body| {
            body[offset_of_count..offset_of_count + 4].copy_from_slice(&count.to_le_bytes());
        })
    };
    let too_many = count(MAX_BATCH_CHANGES + 1);
    assert_eq!(too_many, BatchError::Decode(DecodeError::Value("count")));
    let offset_of_after = offset_of_count - 32 - 8;
    let beyond_the_last_number = with(&|body| {
        body[offset_of_after..offset_of_after + 8].copy_from_slice(&(u64::MAX - 3).to_le_bytes());
    });
    assert_eq!(beyond_the_last_number, too_many);
    let behind_itself = Batch { head: 8, ..batch() };
    assert_eq!(
        Batch::decode(&signed(&behind_itself), &keys()),
        Err(BatchError::Decode(DecodeError::Value("head")))
    );
    let truncated = count(5);
    assert!(
        matches!(truncated, BatchError::Decode(DecodeError::Truncated { .. })),
        "{truncated:?}"
    );
    let too_large = vec![0; MAX_BATCH_BYTES + 1];
    assert_eq!(
        Batch::decode(&too_large, &keys()),
        Err(BatchError::TooLarge(MAX_BATCH_BYTES + 1))
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn chains_differ_from_the_first_difference_on() {
    let chain = |changes: &[Change]| changes.iter().fold(Chain::EMPTY, Chain::followed_by);
    let changes = batch().changes;
    let mut swapped = changes.clone();
    swapped.swap(0, 1);
    assert_ne!(chain(&changes), chain(&swapped));
    assert_ne!(chain(&changes), chain(&changes[1..]));
    assert_eq!(chain(&changes), chain(&changes));
}
