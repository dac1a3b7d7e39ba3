//! Who checks a signature: the host where it can, the module where it must.
//!
//! Envoy's BoringSSL checks RS256 in a twentieth and ES256 in a tenth of the time that the same
//! takes inside the module, through the foreign function `verify_signature`. It does not offer
//! RSA-PSS, Ed25519 and HMAC. The host's "no" is final: the module is asked only if the function is
//! missing, otherwise every forged token would cost both.

use ed25519_dalek::Signature as Ed25519Signature;
use p256::ecdsa::Signature as P256Signature;
use p256::ecdsa::signature::Verifier as _;
use superboring::error::ErrorStack;
use superboring::hash::MessageDigest;
use superboring::pkey::{PKey, Public};
use superboring::rsa::Padding;
use superboring::sign::Verifier as RsaVerifier;

use super::algorithm::Digest;
use super::der::ecdsa_signature;
use super::key::{Material, P256_COORDINATE_BYTES};
use super::{Algorithm, Key};
use crate::host::{ForeignAnswer, SignatureHost};
use crate::protobuf::write_bytes;

/// Why a signature is not believed. Ordered by how far the check came.
///
/// A client is told the same for all of them: a client without a genuine token must not find out
/// which key ids and algorithms a provider has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
#[non_exhaustive]
pub enum SignatureError {
    /// No key has the token's `kid`.
    #[error("no key has the token's `kid`")]
    KeyUnknown,
    /// The key is for other algorithms than the token's `alg`.
    #[error("the token's `alg` is not an algorithm of the key")]
    AlgorithmMismatch,
    /// The signature is not the key's.
    #[error("the signature was not made by the key")]
    Invalid,
}

/// Where RS256 and ES256 signatures are checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Backend {
    /// By the host's `verify_signature`.
    Host,
    /// Inside the module, since the host has no such function or a wrong one.
    Module,
}

impl Backend {
    /// Finds out whether the host can be relied on: its function has to accept a signature that is
    /// known to be good and to refuse one that is known to be bad. A missing function, or another
    /// one of the same name, fails that.
    #[must_use]
    pub fn detect(host: &impl SignatureHost) -> Self {
        let ask = |text: &[u8]| {
            let key = known::SUBJECT_PUBLIC_KEY_INFO;
            let arguments = arguments(Digest::Sha256, key, known::SIGNATURE, text);
            host.verify_signature(&arguments)
        };
        let accepts = ask(known::TEXT) == ForeignAnswer::Genuine;
        if accepts && ask(b"another text") == ForeignAnswer::Forged {
            Self::Host
        } else {
            Self::Module
        }
    }
}

/// Whether `signature`, in the form that JWS gives it (RFC 7518 section 3, RFC 8037 section 3.1),
/// is `key`'s over `signing_input`, by an algorithm that the key is for.
pub(super) fn verify(
    key: &Key,
    algorithm: Algorithm,
    backend: Backend,
    host: &impl SignatureHost,
    signing_input: &[u8],
    signature: &[u8],
) -> bool {
    let digest = algorithm.digest();
    let ask = |signature: &[u8]| ask(backend, host, digest, key, signature, signing_input);
    match key.material() {
        Material::Ed25519(public) => Ed25519Signature::from_slice(signature)
            .is_ok_and(|signature| public.verify_strict(signing_input, &signature).is_ok()),
        Material::Secret(secret) => verify_hmac(digest, secret, signature, signing_input),
        Material::Rsa(public) => {
            // The host knows PKCS#1 v1.5 only.
            let answer = if algorithm.is_pss() {
                ForeignAnswer::Unavailable
            } else {
                ask(signature)
            };
            answer.is_genuine_or_else(|| {
                verify_rsa(public, algorithm, signature, signing_input).unwrap_or(false)
            })
        }
        // JWS has r and s side by side with a fixed length (RFC 7518 section 3.4); zero and
        // values past the order are refused here ("psychic signatures", CVE-2022-21449).
        Material::P256(public) => {
            let (Ok(parsed), Some(der)) = (
                P256Signature::from_slice(signature),
                ecdsa_signature(signature, P256_COORDINATE_BYTES),
            ) else {
                return false;
            };
            ask(&der).is_genuine_or_else(|| public.verify(signing_input, &parsed).is_ok())
        }
        // Values past the order are the host's to refuse.
        Material::HostPoint(length) => ecdsa_signature(signature, *length)
            .is_some_and(|der| ask(&der) == ForeignAnswer::Genuine),
        Material::LargeCurve(public) => public.to_der(signature).is_some_and(|der| {
            ask(&der).is_genuine_or_else(|| public.verify(signing_input, signature))
        }),
    }
}

fn verify_rsa(
    key: &PKey<Public>,
    algorithm: Algorithm,
    signature: &[u8],
    text: &[u8],
) -> Result<bool, ErrorStack> {
    let digest = match algorithm.digest() {
        Digest::Sha256 => MessageDigest::sha256(),
        Digest::Sha384 => MessageDigest::sha384(),
        Digest::Sha512 => MessageDigest::sha512(),
    };
    let mut verifier = RsaVerifier::new(digest, key)?;
    // The salt is as long as the hash (RFC 7518 section 3.5), which is what is expected here.
    verifier.set_rsa_padding(if algorithm.is_pss() {
        Padding::PKCS1_PSS
    } else {
        Padding::PKCS1
    })?;
    verifier.verify_oneshot(signature, text)
}

/// In time that does not depend on where the first wrong byte is.
fn verify_hmac(digest: Digest, secret: &[u8], signature: &[u8], text: &[u8]) -> bool {
    match digest {
        Digest::Sha256 => signature
            .try_into()
            .is_ok_and(|expected| hmac_sha256::HMAC::verify(text, secret, expected)),
        Digest::Sha384 => signature
            .try_into()
            .is_ok_and(|expected| hmac_sha512::sha384::HMAC::verify(text, secret, expected)),
        Digest::Sha512 => signature
            .try_into()
            .is_ok_and(|expected| hmac_sha512::HMAC::verify(text, secret, expected)),
    }
}

/// The host's answer, unless the module is to verify.
fn ask(
    backend: Backend,
    host: &impl SignatureHost,
    digest: Digest,
    key: &Key,
    signature: &[u8],
    text: &[u8],
) -> ForeignAnswer {
    if backend == Backend::Module {
        return ForeignAnswer::Unavailable;
    }
    let arguments = arguments(digest, key.subject_public_key_info(), signature, text);
    host.verify_signature(&arguments)
}

/// The message that `verify_signature` takes, written straight into one buffer:
///
/// ```text
/// message VerifySignatureArguments {
///   string hash_function = 1;  // "sha256"
///   bytes  public_key    = 2;  // SubjectPublicKeyInfo in DER
///   bytes  signature     = 3;  // ECDSA as DER, RSA as it is
///   bytes  text          = 4;
/// }
/// ```
fn arguments(digest: Digest, public_key: &[u8], signature: &[u8], text: &[u8]) -> Vec<u8> {
    let fields = [digest.host_name().as_bytes(), public_key, signature, text];
    // Before each field are a key and a length of at most five bytes.
    let mut message = Vec::with_capacity(fields.iter().map(|field| field.len() + 6).sum());
    for (tag, field) in (1..).zip(fields) {
        write_bytes(&mut message, tag, field);
    }
    message
}

/// The example of RFC 7515 appendix A.3 (ES256), with its key and signature in DER.
mod known {
    pub(super) const SUBJECT_PUBLIC_KEY_INFO: &[u8] = b"\
        \x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07\x03\x42\x00\x04\x7f\xcd\xce\x27\x70\
        \xf6\xc4\x5d\x41\x83\xcb\xee\x6f\xdb\x4b\x7b\x58\x07\x33\x35\x7b\xe9\xef\x13\xba\xcf\x6e\x3c\x7b\xd1\x54\x45\xc7\xf1\x44\xcd\x1b\
        \xbd\x9b\x7e\x87\x2c\xdf\xed\xb9\xee\xb9\xf4\xb3\x69\x5d\x6e\xa9\x0b\x24\xad\x8a\x46\x23\x28\x85\x88\xe5\xad\
    ";
    pub(super) const SIGNATURE: &[u8] = b"\
        \x30\x45\x02\x20\x0e\xd1\x21\x53\x79\x63\x6c\x48\x3c\x2f\x7f\x15\x58\x07\xd4\x02\xa3\xb2\x28\x03\x3a\xf9\x7c\x7e\x17\x81\x9a\xc3\
        \x16\x9e\xa6\x65\x02\x21\x00\xc5\x0a\x07\xd3\x8c\x3c\x70\xe5\xd8\xf1\x2d\xaf\x08\x4a\x54\x80\xa6\x65\x90\xc5\xf2\x93\x50\x9a\x8f\
        \x3f\x7f\x8a\x83\xa3\x54\xd5\
    ";
    pub(super) const TEXT: &[u8] = b"\
        eyJhbGciOiJFUzI1NiJ9.eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTk\
        zODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ\
    ";
}

#[cfg(test)]
mod tests;
