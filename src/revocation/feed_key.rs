//! The keys that sign for the authority.
//!
//! Manifests, batches and exact answers are signed with Ed25519 (RFC 8032). The operator pins the
//! public halves in the filter's configuration; there may be several, so that one can be replaced
//! while edges run. Transport security only keeps the feed's content private; these signatures
//! alone protect the feed from forgery.

use ed25519_dalek::{Signature, VerifyingKey};

/// The end of every signed message: eight bytes that name the key, and the signature.
pub(super) const SIGNATURE_BYTES: usize = KEY_ID_BYTES + Signature::BYTE_SIZE;

const KEY_ID_BYTES: usize = 8;

/// Why a message is not the authority's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FeedSignatureError {
    /// Shorter than a signature.
    #[error("too short to be signed")]
    TooShort,
    /// Signed with a key that is not pinned.
    #[error("signed with a key that is not configured")]
    UnknownKey,
    /// The signature is not the key's.
    #[error("the signature is not the key's")]
    Invalid,
}

/// What is signed: a domain, so that a signature of one kind of message is not valid for another,
/// and the message's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signable {
    /// A [`super::Manifest`].
    Manifest,
    /// A [`super::Batch`].
    Batch,
    /// A [statement](super::proof) about one token.
    Check,
    /// A position in the feed, as [evidence](super::Evidence) of an edge.
    Head,
    /// The [completion](super::proof::completion) of what a user has asked for with a token.
    SignOut,
}

impl Signable {
    const fn domain(self) -> &'static [u8] {
        match self {
            Self::Manifest => b"portcullis manifest 1\0",
            Self::Batch => b"portcullis batch 1\0",
            Self::Check => b"portcullis check 1\0",
            Self::Head => b"portcullis head 1\0",
            Self::SignOut => b"portcullis sign-out 1\0",
        }
    }

    /// The bytes to be signed for this body.
    #[must_use]
    pub fn input(self, body: &[u8]) -> Vec<u8> {
        [self.domain(), body].concat()
    }
}

/// The signature of a message with the name of its key, as it is appended to the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FeedSignature {
    /// The key that made it.
    pub key: VerifyingKey,
    /// Over [`Signable::input`].
    pub signature: Signature,
}

impl FeedSignature {
    /// The body with the signature appended.
    #[must_use]
    pub fn append_to(&self, mut body: Vec<u8>) -> Vec<u8> {
        body.extend(key_id(&self.key));
        body.extend(self.signature.to_bytes());
        body
    }
}

/// The public key that has signed a message: the whole key, since trust depends on it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Signer(pub [u8; 32]);

/// The public keys that the operator pinned.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FeedKeys(Vec<VerifyingKey>);

impl FeedKeys {
    /// These keys.
    #[must_use]
    pub const fn new(keys: Vec<VerifyingKey>) -> Self {
        Self(keys)
    }

    /// The body of a signed message.
    ///
    /// # Errors
    ///
    /// [`FeedSignatureError`].
    pub fn verified<'m>(
        &self,
        kind: Signable,
        message: &'m [u8],
    ) -> Result<&'m [u8], FeedSignatureError> {
        self.verified_by(kind, message).map(|(body, _)| body)
    }

    /// The body of a signed message, and its signer.
    ///
    /// # Errors
    ///
    /// [`FeedSignatureError`].
    pub fn verified_by<'m>(
        &self,
        kind: Signable,
        message: &'m [u8],
    ) -> Result<(&'m [u8], Signer), FeedSignatureError> {
        let length = message.len().checked_sub(SIGNATURE_BYTES);
        let (body, trailer) = length
            .and_then(|length| message.split_at_checked(length))
            .ok_or(FeedSignatureError::TooShort)?;
        let (id, signature) = trailer
            .split_at_checked(KEY_ID_BYTES)
            .ok_or(FeedSignatureError::TooShort)?;
        let key = self.0.iter().find(|key| key_id(key) == id);
        let key = key.ok_or(FeedSignatureError::UnknownKey)?;
        let signature =
            Signature::from_slice(signature).map_err(|_| FeedSignatureError::Invalid)?;
        key.verify_strict(&kind.input(body), &signature)
            .map_err(|_| FeedSignatureError::Invalid)?;
        Ok((body, Signer(*key.as_bytes())))
    }

    /// Whether this is one of the keys.
    #[must_use]
    pub fn has(&self, signer: Signer) -> bool {
        self.0.iter().any(|key| *key.as_bytes() == signer.0)
    }
}

/// The first bytes of the public key. No hash is needed: the id only saves trying all keys.
fn key_id(key: &VerifyingKey) -> [u8; KEY_ID_BYTES] {
    let mut id = [0; KEY_ID_BYTES];
    for (to, from) in id.iter_mut().zip(key.as_bytes()) {
        *to = *from;
    }
    id
}
