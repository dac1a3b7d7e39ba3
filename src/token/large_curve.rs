//! P-384 and P-521, whose arithmetic the filter does not contain.
//!
//! Envoy's BoringSSL checks ES384 and ES512, and every Envoy that has `verify_signature` at all has
//! it for these. The arithmetic of both curves would be an eighth of the module, which Envoy
//! compiles before its first request. So in the filter such a signature is checked by the host or
//! not at all; natively, for the command line and the tests, it is checked here.

use serde_json::Value;

use super::Algorithm;
use super::key::uncompressed_point;

#[cfg(not(target_os = "wasi"))]
mod arithmetic;

#[cfg(target_os = "wasi")]
#[path = "large_curve/no_arithmetic.rs"]
mod arithmetic;

/// A point on one of the two curves.
pub(super) struct LargeCurveKey {
    point: arithmetic::Point,
    coordinate_bytes: usize,
}

impl LargeCurveKey {
    /// Takes a point, and gives with it the `SubjectPublicKeyInfo`. Whether the point is on the
    /// curve is checked by whoever does the arithmetic.
    pub(super) fn from_jwk(jwk: &Value, algorithm: Algorithm) -> Option<(Self, Vec<u8>)> {
        let (coordinate_bytes, before_point) = match algorithm {
            Algorithm::Es384 => (48, P384_INFO_BEFORE_POINT),
            Algorithm::Es512 => (66, P521_INFO_BEFORE_POINT),
            _ => return None,
        };
        let point = uncompressed_point(jwk, coordinate_bytes)?;
        let key = Self {
            point: arithmetic::Point::from_sec1(algorithm, &point)?,
            coordinate_bytes,
        };
        Some((key, [before_point, &point].concat()))
    }

    /// A signature in the form that the host takes: r and s, which JWS has side by side with a
    /// fixed length (RFC 7518 section 3.4), as `SEQUENCE` of two `INTEGER`s in DER. `None` for
    /// another length and for zero; values past the order are the arithmetic's to refuse.
    pub(super) fn to_der(&self, signature: &[u8]) -> Option<Vec<u8>> {
        let (r, s) = signature.split_at_checked(self.coordinate_bytes)?;
        if s.len() != self.coordinate_bytes {
            return None;
        }
        let mut integers = Vec::with_capacity(signature.len() + 8);
        for integer in [r, s] {
            let zeros = integer.iter().take_while(|byte| **byte == 0).count();
            let digits = integer.get(zeros..).filter(|digits| !digits.is_empty())?;
            // A first bit that is set would make it negative.
            let sign: &[u8] = match digits.first() {
                Some(0x80..) => &[0],
                _ => &[],
            };
            // Two coordinates of at most 67 bytes: one byte is enough for their lengths.
            integers.push(0x02);
            integers.push(u8::try_from(sign.len() + digits.len()).ok()?);
            integers.extend([sign, digits].concat());
        }
        let length = u8::try_from(integers.len()).ok()?;
        let header = match length {
            0x80.. => vec![0x30, 0x81, length],
            _ => vec![0x30, length],
        };
        Some([header, integers].concat())
    }

    /// Whether the signature is this key's, checked inside the module.
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        self.point.verify(text, signature)
    }
}

/// `SubjectPublicKeyInfo` (RFC 5480 section 2) up to the point.
const P384_INFO_BEFORE_POINT: &[u8] = b"\
    \x30\x76\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22\x03\x62\x00";
const P521_INFO_BEFORE_POINT: &[u8] = b"\
    \x30\x81\x9b\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x23\x03\x81\x86\x00";

#[cfg(test)]
mod tests;
