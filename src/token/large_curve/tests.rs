use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::signer::Signer;

fn signer_and_key(algorithm: Algorithm) -> (Signer, LargeCurveKey) {
    let signer = Signer::generate(algorithm, None).unwrap();
    let jwk = signer.public_jwk();
    let coordinate = |name: &str| URL_SAFE_NO_PAD.decode(jwk[name].as_str().unwrap()).unwrap();
    let point = [vec![4], coordinate("x"), coordinate("y")].concat();
    let key = LargeCurveKey::new(algorithm, &point).unwrap();
    (signer, key)
}

#[wasm_bindgen_test(unsupported = test)]
fn signatures_in_der_are_what_others_write() {
    let (signer, key) = signer_and_key(Algorithm::Es384);
    for text in 0..20_u8 {
        let signature = signer.sign(&[text]).unwrap();
        let expected = p384::ecdsa::Signature::from_slice(&signature)
            .unwrap()
            .to_der();
        assert_eq!(key.to_der(&signature).unwrap(), expected.as_bytes());
    }
    let (signer, key) = signer_and_key(Algorithm::Es512);
    for text in 0..20_u8 {
        let signature = signer.sign(&[text]).unwrap();
        let expected = p521::ecdsa::Signature::from_slice(&signature)
            .unwrap()
            .to_der();
        assert_eq!(key.to_der(&signature).unwrap(), expected.as_bytes());
    }
    // Short values lose their zeros.
    let mut small = [0; 132];
    small[65] = 1;
    small[131] = 0x80;
    let expected = b"\x30\x07\x02\x01\x01\x02\x02\x00\x80";
    assert_eq!(key.to_der(&small).unwrap(), expected);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_no_pair_of_numbers_never_becomes_a_signature() {
    for algorithm in [Algorithm::Es384, Algorithm::Es512] {
        let (signer, key) = signer_and_key(algorithm);
        let genuine = signer.sign(b"text").unwrap();
        let half = genuine.len() / 2;
        for signature in [
            &[][..],
            &genuine[1..],
            &[&genuine[..], &[0]].concat(),
            &vec![0; genuine.len()],
            &[&genuine[..half], &vec![0; half]].concat(),
            &[&vec![0; half], &genuine[half..]].concat(),
        ] {
            assert_eq!(key.to_der(signature), None, "{algorithm} {signature:02x?}");
        }
    }
}
