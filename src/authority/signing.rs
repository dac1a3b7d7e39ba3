//! The keys that the feed is signed with.
//!
//! A key is made at the first start and stays until the operator asks for another. The new one is
//! published at once and signs only after a while, so that there is time to add it to the filters'
//! configurations; the old one stays published for as long again, so that edges that still hold
//! something it signed can go on. Then it ends by itself. There are never more than [`MAX_KEYS`].

use std::fmt;
use std::sync::{PoisonError, RwLock};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey, VerifyingKey};

use super::store::{Replace, Setting, Store, StoreError};
use crate::revocation::{FeedKeys, FeedSignature, Signable};
use crate::time::UnixTime;

const ROW_BYTES: usize = 48;

/// The most keys that are published at once: enough for a rotation that was made twice by mistake
/// and one more to put it right, with room to spare. Each of them has to be in every filter's
/// configuration.
pub(super) const MAX_KEYS: usize = 8;

/// The installation's keys, oldest first; never empty.
#[derive(Debug)]
pub(super) struct FeedSigner {
    keys: RwLock<Vec<FeedKey>>,
}

/// One key and when it is used.
#[derive(Clone)]
pub(super) struct FeedKey {
    key: SigningKey,
    /// It signs from then on, until a later one does.
    pub signs_from: UnixTime,
    /// It is published until then; `None` while no other key follows it.
    pub ends_at: Option<UnixTime>,
}

/// Why there is no new key.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub(super) enum RotationError {
    /// The most keys are published already.
    #[error(
        "{MAX_KEYS} keys are published already; the first of them ends {} seconds after 1970",
        .0.seconds()
    )]
    TooMany(UnixTime),
    /// No secret could be made.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl FeedSigner {
    /// The keys in the store, or a new one that is put there.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn load_or_make(store: &Store, now_milliseconds: u64) -> Result<Self, StoreError> {
        let kept = if let Some(kept) = store.kept::<KeptKeys>()? {
            kept
        } else {
            let made = KeptKeys(vec![FeedKey::make(UnixTime::EPOCH)?]);
            let committed = store.commit(now_milliseconds, |writing| {
                // Another authority may start at the same time.
                if let Some(kept) = writing.kept()? {
                    return Ok(kept);
                }
                writing.keep(&made)?;
                Ok(made)
            });
            committed?.outcome
        };
        Ok(Self {
            keys: RwLock::new(kept.0),
        })
    }

    /// The message: the body with the signature of the key in use.
    #[must_use]
    pub(super) fn sign(&self, kind: Signable, body: Vec<u8>, now: UnixTime) -> Vec<u8> {
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
    pub(super) fn public_keys(&self, now: UnixTime) -> FeedKeys {
        FeedKeys::new(self.published(now).iter().map(FeedKey::public).collect())
    }

    /// Every key that an edge should accept, oldest first.
    #[must_use]
    pub(super) fn published(&self, now: UnixTime) -> Vec<FeedKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        let published = keys.iter().filter(|key| key.is_published(now));
        published.cloned().collect()
    }

    /// The published keys with another one that signs after `overlap`; the others end when it has
    /// signed for as long again. The result has to be kept in the store before
    /// [`FeedSigner::replace`] puts it in force.
    ///
    /// # Errors
    ///
    /// [`RotationError`].
    pub(super) fn rotated(
        &self,
        now: UnixTime,
        overlap: Duration,
    ) -> Result<Vec<FeedKey>, RotationError> {
        let new = FeedKey::make(now.later_by(overlap))?;
        let end = new.signs_from.later_by(overlap);
        let mut keys = self.published(now);
        for key in &mut keys {
            key.ends_at = Some(key.ends_at.map_or(end, |ends_at| ends_at.min(end)));
        }
        keys.retain(|key| key.is_published(now));
        if keys.len() >= MAX_KEYS {
            let ends = keys.iter().filter_map(|key| key.ends_at);
            return Err(RotationError::TooMany(ends.min().unwrap_or(end)));
        }
        keys.push(new);
        Ok(keys)
    }

    /// The work that keeps these keys in place of those that this process knows.
    #[must_use]
    pub(super) fn replacement(&self, keys: &[FeedKey]) -> Replace<KeptKeys> {
        let known = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        Replace {
            known: KeptKeys(known.clone()),
            next: KeptKeys(keys.to_vec()),
        }
    }

    /// Puts in force what was kept.
    pub(super) fn take(&self, kept: KeptKeys) {
        self.replace(kept.0);
    }

    /// Puts these keys in force.
    pub(super) fn replace(&self, keys: Vec<FeedKey>) {
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
            ends_at: None,
        })
    }

    fn is_published(&self, now: UnixTime) -> bool {
        self.ends_at.is_none_or(|ends_at| ends_at > now)
    }

    /// The public half.
    #[must_use]
    pub(super) fn public(&self) -> VerifyingKey {
        self.key.verifying_key()
    }

    /// The public half as it stands in the filter's configuration: 32 bytes in base64url without padding.
    #[must_use]
    pub(super) fn public_text(&self) -> String {
        URL_SAFE_NO_PAD.encode(self.public().as_bytes())
    }
}

impl fmt::Debug for FeedKey {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "FeedKey({})", self.public_text())
    }
}

/// The keys, as the store has them.
#[derive(Clone, Debug)]
pub(super) struct KeptKeys(Vec<FeedKey>);

impl Setting for KeptKeys {
    const NAME: &'static str = "feed_keys";

    fn encode(&self) -> Vec<u8> {
        encode(&self.0)
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        decode(bytes).map(Self)
    }
}

/// For each key its seed (32 bytes), the second from which it signs and the one at which it ends, the
/// last of all for none (64 bits each, little-endian).
fn encode(keys: &[FeedKey]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(keys.len() * ROW_BYTES);
    for key in keys {
        bytes.extend(key.key.to_bytes());
        bytes.extend(key.signs_from.seconds().to_le_bytes());
        let ends_at = key.ends_at.unwrap_or(UnixTime::MAX);
        bytes.extend(ends_at.seconds().to_le_bytes());
    }
    bytes
}

fn decode(bytes: &[u8]) -> Option<Vec<FeedKey>> {
    let rows = bytes.chunks_exact(ROW_BYTES);
    if bytes.is_empty() || !rows.remainder().is_empty() {
        return None;
    }
    rows.map(|row| {
        let (seed, rest) = row.split_first_chunk()?;
        let (signs_from, ends_at) = rest.split_first_chunk()?;
        let time = |bytes| UnixTime::from_seconds(u64::from_le_bytes(bytes));
        let ends_at = time(ends_at.try_into().ok()?)?;
        Some(FeedKey {
            key: SigningKey::from_bytes(seed),
            signs_from: time(*signs_from)?,
            ends_at: (ends_at < UnixTime::MAX).then_some(ends_at),
        })
    })
    .collect()
}

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
        let ends = |keys: &[FeedKey]| keys.iter().map(|key| key.ends_at).collect::<Vec<_>>();
        assert_eq!(ends(&read), [Some(time(120)), None]);
        assert_eq!(ends(&keys), ends(&read));
        assert!(decode(&[]).is_none());
        assert!(decode(&encode(&keys)[1..]).is_none());
    }

    #[test]
    fn a_new_key_is_published_at_once_signs_later_and_outlives_the_old_one() {
        let overlap = Duration::from_secs(10);
        let signer = signer();
        let before = signer.public_keys(time(100));
        signer.replace(signer.rotated(time(100), overlap).unwrap());
        let both = signer.public_keys(time(100));
        let sign = |seconds| signer.sign(Signable::Batch, b"body".to_vec(), time(seconds));
        assert!(before.verified(Signable::Batch, &sign(109)).is_ok());
        assert!(before.verified(Signable::Batch, &sign(110)).is_err());
        assert!(both.verified(Signable::Batch, &sign(110)).is_ok());
        assert_eq!(signer.published(time(119)).len(), 2);
        assert_eq!(signer.published(time(120)).len(), 1, "it ends by itself");
        let last = signer.public_keys(time(1_000_000));
        assert!(last.verified(Signable::Batch, &sign(1_000_000)).is_ok());
        assert_eq!(signer.rotated(time(119), overlap).unwrap().len(), 3);
        assert_eq!(signer.rotated(time(120), overlap).unwrap().len(), 2);
    }

    #[test]
    fn however_often_keys_are_rotated_there_are_few_and_one_signs() {
        let overlap = Duration::from_hours(24);
        let signer = signer();
        let mut refused = 0;
        for second in 0..200 {
            match signer.rotated(time(second), overlap) {
                Ok(keys) => signer.replace(keys),
                Err(RotationError::TooMany(ends_at)) => {
                    refused += 1;
                    assert_eq!(ends_at, time(2 * 86_400), "when the first one ends");
                }
                Err(error) => panic!("{error}"),
            }
        }
        assert_eq!(refused, 200 - (MAX_KEYS - 1));
        let first = signer.published(time(200));
        assert_eq!(first.len(), MAX_KEYS);
        for second in [0, 200, 86_400, 200_000, 10_000_000] {
            let message = signer.sign(Signable::Batch, b"body".to_vec(), time(second));
            let published = signer.public_keys(time(second));
            assert!(published.verified(Signable::Batch, &message).is_ok());
        }
        assert_eq!(signer.published(time(3 * 86_400)).len(), 1);
        // A key that must not be believed any more goes at once.
        let keys = signer.rotated(time(300), Duration::ZERO).unwrap();
        assert_eq!(keys.len(), 1);
    }

    #[test]
    fn a_private_key_is_not_shown() {
        let key = signer().published(time(0)).remove(0);
        assert_eq!(
            format!("{key:?}"),
            format!("FeedKey({})", key.public_text())
        );
    }
}
