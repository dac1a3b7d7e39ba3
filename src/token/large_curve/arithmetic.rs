//! The arithmetic of P-384 and P-521, outside of the filter.

use p384::ecdsa::signature::Verifier as _;

use crate::token::Algorithm;

/// A point that is on its curve.
pub(super) enum Point {
    P384(p384::ecdsa::VerifyingKey),
    P521(p521::ecdsa::VerifyingKey),
}

impl Point {
    /// From an uncompressed point (SEC 1 section 2.3.3), if it is on the curve.
    pub(super) fn from_sec1(algorithm: Algorithm, point: &[u8]) -> Option<Self> {
        match algorithm {
            Algorithm::Es384 => p384::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P384),
            _ => p521::ecdsa::VerifyingKey::from_sec1_bytes(point)
                .ok()
                .map(Self::P521),
        }
    }

    pub(super) fn verify(&self, text: &[u8], signature: &[u8]) -> bool {
        match self {
            Self::P384(key) => p384::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
            Self::P521(key) => p521::ecdsa::Signature::from_slice(signature)
                .is_ok_and(|signature| key.verify(text, &signature).is_ok()),
        }
    }
}
