//! What can be revoked, and how an edge finds out whether it was.
//!
//! A revocation names a token (`jti`), a session (`sid`) or a device, or it is a *cut-off*, which
//! revokes everything of a subject, client or issuer that was issued before an instant. The names
//! are never hashes of the token's bytes, which its holder can change without breaking the
//! signature; they are claims, hashed under a secret key ([`FilterKey`]).
//!
//! Names of tokens, sessions and devices are in a Bloom filter of 4 KiB [`page`]s, so that an Envoy
//! process needs three bytes for each, however many workers it has. A hit there is a *maybe*, and
//! the authority is asked for the exact answer. Cut-offs are exact, in [`cut_off`] buckets, so that
//! a user who signs in again after a password change does not wait for the authority.
//!
//! The authority publishes both as a [`Manifest`] with immutable segments, and what changed since
//! as [`Batch`]es. This module reads them; the authority builds them. In an Envoy process they are
//! in shared data ([`SharedFilter`]), where every virtual machine reads them through its [`View`].

mod cause;
mod change;
mod codec;
pub mod cut_off;
mod evidence;
mod feed_key;
mod feed_state;
#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub(crate) mod fuzzing;
mod issuance;
mod manifest;
#[cfg(any(test, fuzzing))]
pub mod mock_authority;
mod name;
pub mod page;
pub mod proof;
mod shared_filter;
mod view;
pub mod wire;

pub use cause::Cause;
pub use change::{
    Batch, BatchError, Chain, Change, KEPT_CHANGES, MAX_BATCH_BYTES, MAX_BATCH_CHANGES,
};
pub use codec::DecodeError;
pub use evidence::Evidence;
pub use feed_key::{FeedKeys, FeedSignature, FeedSignatureError, Signable, Signer};
pub use feed_state::FeedState;
#[cfg(test)]
pub(crate) use feed_state::example as example_state;
pub use issuance::{CutOffBy, Issuance};
pub use manifest::{Manifest, ManifestError, SEGMENT_BYTES, Segment};
pub use name::{EXPIRY_MARGIN, FilterKey, Fingerprint, Kind, MAX_CLOCK_SKEW, MAX_NAME_BYTES};
pub use proof::Settled;
pub(crate) use shared_filter::RecordKind;
pub use shared_filter::{Fill, Names, SharedFilter, Status};
pub use view::{Standing, View};
