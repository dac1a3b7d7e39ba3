//! The keys that the feed is signed with.
//!
//! A key is made at the first start and stays until the operator asks for another. The new one is
//! published at once and signs only after a while, so that there is time to add it to the filters'
//! configurations; the old one stays published for as long again, so that an edge that still holds
//! something it signed goes on.

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::store::{Store, StoreError, Work};
use crate::revocation::{FeedKeys, FeedSignature, Signable};
use crate::time::UnixTime;

/// The installation's keys, oldest first; never empty.
#[derive(Debug)]
pub struct FeedSigner {
    keys: RwLock<Vec<FeedKey>>,
}

/// One key and when it is used.
#[derive(Clone)]
pub struct FeedKey {
    key: SigningKey,
    /// It signs from then on, until a later one does.
    pub signs_from: UnixTime,
}

impl FeedSigner {
    /// The keys in the store, or a new one that is put there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub fn load_or_make(store: &Store, now_milliseconds: u64) -> Result<Self, StoreError> {
        let keys = if let Some(bytes) = store.kept(NAME)? {
            decode(&bytes).ok_or(StoreError::Row)?
        } else {
            let keys = vec![FeedKey::make(
                UnixTime::from_seconds(0).unwrap_or(UnixTime::MAX),
            )?];
            store.commit(&[Work::Keep(NAME, encode(&keys))], now_milliseconds)?;
            keys
        };
        Ok(Self {
            keys: RwLock::new(keys),
        })
    }

    /// The message: the body with the signature of the key whose turn it is.
    #[must_use]
    pub fn sign(&self, kind: Signable, body: Vec<u8>, now: UnixTime) -> Vec<u8> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let turn = keys.iter().rev().find(|key| key.signs_from <= now);
        let Some(FeedKey { key, .. }) = turn.or(keys.first()) else {
            return body;
        };
        let signature = FeedSignature {
            key: key.verifying_key(),
            signature: key.sign(&kind.input(&body)),
        };
        signature.append_to(body)
    }

    /// The keys as an edge knows them.
    #[must_use]
    pub fn public_keys(&self) -> FeedKeys {
        FeedKeys::new(self.published().iter().map(FeedKey::public).collect())
    }

    /// Every key that an edge should accept, oldest first.
    #[must_use]
    pub fn published(&self) -> Vec<FeedKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        keys.clone()
    }

    /// Adds a key that signs after `overlap`, and forgets those that have been out of use for as
    /// long. The result has to be kept in the store before it is put into force with
    /// [`FeedSigner::replace`].
    ///
    /// # Errors
    ///
    /// [`StoreError::Random`].
    pub fn rotated(&self, now: UnixTime, overlap: Duration) -> Result<Vec<FeedKey>, StoreError> {
        let keys = self.published();
        let mut rotated: Vec<FeedKey> = keys
            .iter()
            .zip(keys.iter().skip(1).map(Some).chain([None]))
            .filter(|(_, next)| next.is_none_or(|next| next.signs_from.later_by(overlap) > now))
            .map(|(key, _)| key.clone())
            .collect();
        rotated.push(FeedKey::make(now.later_by(overlap))?);
        Ok(rotated)
    }

    /// How these keys are kept.
    #[must_use]
    pub fn kept(keys: &[FeedKey]) -> Work {
        Work::Keep(NAME, encode(keys))
    }

    /// Puts keys into force.
    pub fn replace(&self, keys: Vec<FeedKey>) {
        *self.keys.write().unwrap_or_else(PoisonError::into_inner) = keys;
    }
}

impl FeedKey {
    fn make(signs_from: UnixTime) -> Result<Self, StoreError> {
        let mut seed = [0; 32];
        getrandom::fill(&mut seed).map_err(StoreError::Random)?;
        Ok(Self {
            key: SigningKey::from_bytes(&seed),
            signs_from,
        })
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The public half as it stands in the filter's configuration: 32 bytes in base64url without padding.
    #[must_use]
    pub fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public().as_bytes())
    }
}

impl fmt::Debug for FeedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FeedKey({})", self.public_text())
    }
}

/// For each key its seed (32 bytes) and the second from which it signs (64 bits, little-endian).
fn encode(keys: &[FeedKey]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * ROW_BYTES);
    for key in keys {
        bytes.extend(key.key.to_bytes());
        bytes.extend(key.signs_from.seconds().to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<FeedKey>> {
    let rows = bytes.chunks_exact(ROW_BYTES);
    if bytes.is_empty() || !rows.remainder().is_empty() {
        return None;
    }
    rows.map(|row| {
        let (seed, signs_from) = row.split_first_chunk()?;
        Some(FeedKey {
            key: SigningKey::from_bytes(seed),
            signs_from: UnixTime::from_seconds(u64::from_le_bytes(signs_from.try_into().ok()?))?,
        })
    })
    .collect()
}

const NAME: &str = "feed_keys";
const ROW_BYTES: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;

    fn time(seconds: u64) -> UnixTime {
        UnixTime::from_seconds(seconds).unwrap()
    }

    fn signer() -> FeedSigner {
        FeedSigner {
            keys: RwLock::new(vec![FeedKey::make(time(0)).unwrap()]),
        }
    }

    #[test]
    fn keys_come_back_as_they_were() {
        let signer = signer();
        let keys = signer.rotated(time(100), Duration::from_secs(10)).unwrap();
        let read = decode(&encode(&keys)).unwrap();
        assert_eq!(encode(&read), encode(&keys));
        assert!(decode(&[]).is_none());
        assert!(decode(&encode(&keys)[1..]).is_none());
    }

    #[test]
    fn a_new_key_is_published_at_once_signs_later_and_outlives_the_old_one() {
        let overlap = Duration::from_secs(10);
        let signer = signer();
        let before = signer.public_keys();
        signer.replace(signer.rotated(time(100), overlap).unwrap());
        let both = signer.public_keys();
        let sign = |seconds| signer.sign(Signable::Batch, b"body".to_vec(), time(seconds));
        assert!(before.verified(Signable::Batch, &sign(109)).is_ok());
        assert!(before.verified(Signable::Batch, &sign(110)).is_err());
        assert!(both.verified(Signable::Batch, &sign(110)).is_ok());
        let too_early = signer.rotated(time(119), overlap).unwrap();
        assert_eq!(too_early.len(), 3);
        let later = signer.rotated(time(120), overlap).unwrap();
        assert_eq!(later.len(), 2);
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let key = signer().published().remove(0);
        assert_eq!(
            format!("{key:?}"),
            format!("FeedKey({})", key.public_text())
        );
    }
}
