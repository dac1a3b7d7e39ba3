use ed25519_dalek::{Signer as _, SigningKey};
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::revocation::FeedSignature;

fn keys() -> FeedKeys {
    FeedKeys::new(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()])
}

fn signed(manifest: &Manifest) -> Vec<u8> {
    let key = SigningKey::from_bytes(&[1; 32]);
    let body = manifest.encode();
    let signature = FeedSignature {
        key: key.verifying_key(),
        signature: key.sign(&Signable::Manifest.input(&body)),
    };
    signature.append_to(body)
}

fn decode(manifest: &Manifest) -> Result<Manifest, ManifestError> {
    Manifest::decode(&signed(manifest), &keys())
}

fn manifest() -> Manifest {
    Manifest {
        created: 1,
        epoch: 2,
        generation: 3,
        sequence: 4,
        chain: Chain([5; 32]),
        filter_key: FilterKey::new([6; 16]),
        entries: 7,
        page_count: 65,
        bucket_count: 1,
        filter_segments: vec![
            Segment::of(&[0; SEGMENT_BYTES]).unwrap(),
            Segment::of(&[0; PAGE_BYTES]).unwrap(),
        ],
        cut_off_segments: vec![Segment::of(&[0; RECORD_BYTES]).unwrap()],
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_manifest_comes_back_as_it_was() {
    assert_eq!(decode(&manifest()), Ok(manifest()));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_manifest_with_any_bit_flipped_or_cut_anywhere_is_refused() {
    let message = signed(&manifest());
    for index in 0..message.len() {
        let mut changed = message.clone();
        changed[index] ^= 0x80;
        assert!(Manifest::decode(&changed, &keys()).is_err(), "byte {index}");
        assert!(
            Manifest::decode(&message[..index], &keys()).is_err(),
            "{index} bytes"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn segments_have_to_add_up_to_the_pages() {
    type Fault = fn(&mut Manifest);
    let faults: [(Fault, &str); 7] = [
        (|manifest| manifest.page_count = 0, "page_count"),
        (|manifest| manifest.page_count = MAX_PAGES + 1, "page_count"),
        (|manifest| manifest.page_count = 66, "length"),
        (|manifest| manifest.bucket_count = 0, "bucket_count"),
        (
            |manifest| manifest.filter_segments.truncate(1),
            "filter_segments",
        ),
        (
            |manifest| manifest.filter_segments.push(manifest.filter_segments[0]),
            "length",
        ),
        (
            |manifest| manifest.cut_off_segments[0].length = 39,
            "length",
        ),
    ];
    for (fault, name) in faults {
        let mut manifest = manifest();
        fault(&mut manifest);
        let expected = ManifestError::Decode(DecodeError::Value(name));
        assert_eq!(decode(&manifest), Err(expected), "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_segment_is_known_by_its_length_and_hash() {
    let segment = Segment::of(b"bytes").unwrap();
    assert!(segment.matches(b"bytes"));
    assert!(!segment.matches(b"Bytes") && !segment.matches(b"byte"));
    assert_eq!(Segment::of(&vec![0; SEGMENT_BYTES + 1]), None);
}
