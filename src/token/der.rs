//! Public keys in DER and PEM (RFC 5280, RFC 7468), as far as they hold keys that verify here.
//!
//! A certificate is only the wrapping of a key: what is published at the address that the operator
//! chose is trusted. So its signature, names and times are not looked at, just as in `jwt_authn`.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::Algorithm;

const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
/// `version` of a certificate.
const CONTEXT_0: u8 = 0xa0;

/// `AlgorithmIdentifier` of every kind of key (RFC 3279 section 2.3.1, RFC 5480 section 2.1.1,
/// RFC 8410 section 3), by the first algorithm of each.
const IDENTIFIERS: [(Algorithm, &[u8]); 5] = [
    (
        Algorithm::Rs256,
        b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00",
    ),
    (
        Algorithm::Es256,
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    ),
    (
        Algorithm::Es384,
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22",
    ),
    (
        Algorithm::Es512,
        b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23",
    ),
    (Algorithm::EdDsa, b"\x30\x05\x06\x03\x2b\x65\x70"),
];

/// The blocks of a PEM text, each with its label. They need not be on lines of their own:
/// environment variables often have them on one line.
pub(super) fn blocks(text: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut pieces = text.split('-').filter(|piece| !piece.is_empty());
    std::iter::from_fn(move || {
        let label = pieces.find_map(|piece| piece.strip_prefix("BEGIN "))?;
        Some((label, pieces.next()?))
    })
}

/// The content of a PEM block. It may have white space anywhere, and so `\n` as two characters,
/// which many a variable has for a line break.
pub(super) fn block_bytes(body: &str) -> Option<Vec<u8>> {
    let mut base64 = String::with_capacity(body.len());
    for (number, piece) in body.split('\\').enumerate() {
        let piece = piece.get(usize::from(number > 0)..)?;
        base64.extend(
            piece
                .chars()
                .filter(|character| !character.is_ascii_whitespace()),
        );
    }
    STANDARD.decode(base64).ok()
}

/// `SubjectPublicKeyInfo` of a certificate (RFC 5280 section 4.1), with its header.
pub(super) fn certificate_key(certificate: &[u8]) -> Option<&[u8]> {
    let mut certificate = only(certificate, SEQUENCE)?;
    let mut fields = element(&mut certificate, SEQUENCE)?;
    if fields.first() == Some(&CONTEXT_0) {
        element(&mut fields, CONTEXT_0)?;
    }
    // Serial number, signature, issuer, validity, subject.
    for tag in [INTEGER, SEQUENCE, SEQUENCE, SEQUENCE, SEQUENCE] {
        element(&mut fields, tag)?;
    }
    let whole = fields;
    element(&mut fields, SEQUENCE)?;
    whole.get(..whole.len() - fields.len())
}

/// The kind of key in a `SubjectPublicKeyInfo`, by its first algorithm, and the bits of it.
pub(super) fn key_in(info: &[u8]) -> Option<(Algorithm, &[u8])> {
    let content = only(info, SEQUENCE)?;
    let known = |(algorithm, identifier): &(Algorithm, &[u8])| {
        let bits = only(content.strip_prefix(*identifier)?, BIT_STRING)?;
        Some((*algorithm, bits.strip_prefix(&[0])?))
    };
    IDENTIFIERS.iter().find_map(known)
}

/// Modulus and exponent of an `RSAPublicKey` (RFC 8017 appendix A.1.1).
pub(super) fn rsa_numbers(key: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut numbers = only(key, SEQUENCE)?;
    let modulus = element(&mut numbers, INTEGER)?;
    Some((modulus, only(numbers, INTEGER)?))
}

/// The `SubjectPublicKeyInfo` of a key of this kind with these bits; empty for a kind that
/// [`IDENTIFIERS`] lacks.
pub(super) fn key_info(algorithm: Algorithm, bits: &[u8]) -> Vec<u8> {
    let known = IDENTIFIERS.iter().find(|(kind, _)| *kind == algorithm);
    known.map_or_else(Vec::new, |(_, identifier)| {
        encoded(SEQUENCE, [identifier, &encoded(BIT_STRING, [&[0], bits])])
    })
}

/// A `SEQUENCE` of two `INTEGER`s, each without leading zeros: an `RSAPublicKey`, or a signature by
/// ECDSA.
pub(super) fn pair(first: &[u8], second: &[u8]) -> Vec<u8> {
    encoded(SEQUENCE, [&integer(first), &integer(second)])
}

/// A signature by ECDSA whose r and s stand side by side with this length each (RFC 7518 section 3.4). `None`
/// for another length and for zero.
pub(super) fn ecdsa_signature(signature: &[u8], length: usize) -> Option<Vec<u8>> {
    let (r, s) = signature.split_at_checked(length)?;
    if s.len() != length {
        return None;
    }
    let (r, s) = (without_zeros(r), without_zeros(s));
    (!r.is_empty() && !s.is_empty()).then(|| pair(r, s))
}

/// The digits of a number without leading zeros.
pub(super) fn without_zeros(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

/// An `INTEGER` that is not negative.
fn integer(digits: &[u8]) -> Vec<u8> {
    // A first bit that is set would make it negative.
    let is_high = matches!(digits.first(), Some(0x80..));
    encoded(INTEGER, [if is_high { &[0] } else { &[] }, digits])
}

/// An element with these parts of its content, in one piece of memory: a signature becomes one for each request
/// with a new token.
fn encoded(tag: u8, content: [&[u8]; 2]) -> Vec<u8> {
    let [first, second] = content;
    let length = first.len() + second.len();
    let mut element = Vec::with_capacity(length + 4);
    element.push(tag);
    let [.., high, low] = length.to_be_bytes();
    match (high, low) {
        (0, 0..=0x7f) => element.push(low),
        (0, _) => element.extend([0x81, low]),
        // Nothing that is encoded here has more than a kilobyte.
        _ => element.extend([0x82, high, low]),
    }
    element.extend(first);
    element.extend(second);
    element
}

/// The content of the only element in `bytes`.
fn only(mut bytes: &[u8], tag: u8) -> Option<&[u8]> {
    let content = element(&mut bytes, tag)?;
    bytes.is_empty().then_some(content)
}

/// Removes the next element, which has this tag and, by the rules of DER (X.690 section 10.1), a
/// definite length in its shortest form. At most 64 KiB, which is longer than any key.
fn element<'d>(rest: &mut &'d [u8], tag: u8) -> Option<&'d [u8]> {
    let [found, length, after @ ..] = *rest else {
        return None;
    };
    let (length, after) = match (*length, after) {
        (0..=0x7f, after) => (usize::from(*length), after),
        (0x81, [length @ 0x80..=0xff, after @ ..]) => (usize::from(*length), after),
        (0x82, [high @ 1..=0xff, low, after @ ..]) => {
            (usize::from(u16::from_be_bytes([*high, *low])), after)
        }
        _ => return None,
    };
    let (content, after) = after.split_at_checked(length)?;
    *rest = after;
    (*found == tag).then_some(content)
}
