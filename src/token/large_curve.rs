//! P-384 and P-521, whose arithmetic the filter does not contain.
//!
//! Envoy's BoringSSL checks ES384 and ES512, and every Envoy that has `verify_signature` at all has
//! it for these. The arithmetic of both curves would be an eighth of the module, which Envoy
//! compiles before its first request. So in the filter such a signature is checked by the host or
//! not at all; natively, for the command line and the tests, it is checked here.

use super::Algorithm;
use super::der::ecdsa_signature;

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
    /// Takes an uncompressed point (SEC 1 section 2.3.3) for ES384 or ES512. Whether the point is on
    /// the curve is checked where the arithmetic is done.
    pub(super) fn new(algorithm: Algorithm, point: &[u8]) -> Option<Self> {
        Some(Self {
            point: arithmetic::Point::from_sec1(algorithm, point)?,
            coordinate_bytes: algorithm.coordinate_bytes(),
        })
    }

    /// A signature in the form that the host takes: r and s, which JWS has side by side with a
    /// fixed length (RFC 7518 section 3.4), as `SEQUENCE` of two `INTEGER`s in DER. `None` for
    /// another length and for zero; values past the order are the arithmetic's to refuse.
    pub(super) fn to_der(&self, signature: &[u8]) -> Option<Vec<u8>> {
        ecdsa_signature(signature, self.coordinate_bytes)
    }

    /// Whether the signature is this key's, checked inside the module.
    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        self.point.verify(text, signature)
    }
}

#[cfg(test)]
mod tests;
