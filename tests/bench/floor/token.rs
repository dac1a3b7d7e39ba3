//! The least that a filter does with a token that it has not seen.

use std::hint::black_box;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use prost::encoding::{WireType, decode_key, decode_varint, encode_key, encode_varint};
use serde::de::IgnoredAny;

/// What the signature of a token is checked with.
pub(crate) struct Decoded {
    text: Vec<u8>,
    signature: Vec<u8>,
}

/// Three parts out of base64url, and JSON that is well-formed in two of them, of which nothing is
/// kept.
pub(crate) fn decode(credentials: &[u8]) -> Option<Decoded> {
    let token = credentials.strip_prefix(b"Bearer ")?;
    let mut parts = token.split(|byte| *byte == b'.');
    let mut next = || URL_SAFE_NO_PAD.decode(parts.next()?).ok();
    let (header, claims, signature) = (next()?, next()?, next()?);
    black_box(serde_json::from_slice::<IgnoredAny>(&header).ok()?);
    black_box(serde_json::from_slice::<IgnoredAny>(&claims).ok()?);
    let end = token.iter().rposition(|byte| *byte == b'.')?;
    let text = token.get(..end)?.to_vec();
    Some(Decoded { text, signature })
}

/// The argument of `verify_signature` for this token: hash function and key of the one that is
/// configured, then signature and text.
pub(crate) fn question(configured: &[u8], token: &Decoded) -> Option<Vec<u8>> {
    let mut rest = configured;
    for _ in 0..2 {
        decode_key(&mut rest).ok()?;
        let length = decode_varint(&mut rest).ok()?;
        rest = rest.get(usize::try_from(length).ok()?..)?;
    }
    let head = configured.strip_suffix(rest)?;
    let mut question = Vec::with_capacity(configured.len() + token.text.len());
    question.extend_from_slice(head);
    let pair = (token.signature.len() == 64).then(|| der(&token.signature));
    let signature = pair.as_ref().unwrap_or(&token.signature);
    for (tag, field) in [(3, &signature[..]), (4, &token.text[..])] {
        encode_key(tag, WireType::LengthDelimited, &mut question);
        encode_varint(field.len() as u64, &mut question);
        question.extend_from_slice(field);
    }
    Some(question)
}

/// A pair of scalars of 32 bytes (RFC 7518 section 3.4) as DER (RFC 3279 section 2.2.3).
fn der(pair: &[u8]) -> Vec<u8> {
    let mut integers = Vec::with_capacity(72);
    for scalar in pair.chunks(32) {
        let zeros = scalar.iter().take_while(|byte| **byte == 0).count();
        let digits = scalar.get(zeros..).unwrap_or_default();
        let padding = digits.first().is_none_or(|byte| *byte >= 0x80);
        integers.extend([2, digits.len() as u8 + u8::from(padding)]);
        integers.extend(padding.then_some(0));
        integers.extend_from_slice(digits);
    }
    [&[0x30, integers.len() as u8], &integers[..]].concat()
}
