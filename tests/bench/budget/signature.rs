//! The host's `verify_signature`.

use ring::signature::{
    ECDSA_P256_SHA256_ASN1, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};

/// The identifier of RSA keys (RFC 8017 appendix A), as it stands in DER.
const RSA: &[u8] = b"\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01";

/// Whether the signature in a `VerifySignatureArguments` is the key's.
pub(crate) fn is_genuine(arguments: &[u8]) -> bool {
    let fields = fields(arguments);
    let [hash, key, signature, text] = fields[..] else {
        panic!("expected four fields, found {fields:?}");
    };
    assert_eq!(hash, b"sha256", "only the usual algorithms are tried here");
    let (identifier, public) = key_parts(key);
    let algorithm: &dyn VerificationAlgorithm = if identifier.starts_with(RSA) {
        &RSA_PKCS1_2048_8192_SHA256
    } else {
        &ECDSA_P256_SHA256_ASN1
    };
    let key = UnparsedPublicKey::new(algorithm, public);
    key.verify(text, signature).is_ok()
}

/// The fields of a protobuf message that has only byte strings in it, in order.
fn fields(mut message: &[u8]) -> Vec<&[u8]> {
    let mut fields = Vec::new();
    while !message.is_empty() {
        let (_, wire_type) = prost::encoding::decode_key(&mut message).expect("a key");
        assert_eq!(wire_type, prost::encoding::WireType::LengthDelimited);
        let length = prost::encoding::decode_varint(&mut message).expect("a length");
        let (field, rest) = message.split_at(usize::try_from(length).expect("a length"));
        fields.push(field);
        message = rest;
    }
    fields
}

/// Identifier and key of a `SubjectPublicKeyInfo` (RFC 5280 section 4.1).
fn key_parts(der: &[u8]) -> (&[u8], &[u8]) {
    let (whole, _) = value(der);
    let (identifier, rest) = value(whole);
    let (key, _) = value(rest);
    // A bit string begins with the number of its unused bits.
    (identifier, &key[1..])
}

/// The value of the first element, and what follows it.
fn value(der: &[u8]) -> (&[u8], &[u8]) {
    let (length, start) = match der[1] {
        short @ ..0x80 => (usize::from(short), 2),
        long => {
            let end = 2 + usize::from(long & 0x7f);
            let digits = der[2..end].iter();
            let length = digits.fold(0, |length, digit| length << 8 | usize::from(*digit));
            (length, end)
        }
    };
    der[start..].split_at(length)
}
