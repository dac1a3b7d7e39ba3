//! What is called how in Redis.
//!
//! | | |
//! |---|---|
//! | `portcullis:NAMESPACE:{SHARD}:s:ID` | the session of that name, or the sessions, should two subjects of the shard have one of the same name |
//! | `…:{SHARD}:seen` | ids by when they were last seen; below zero, those that have ended |
//! | `…:{SHARD}:tokens` | those of them that live and have no `sid` |
//! | `…:{SHARD}:u:OWNER` | ids of a subject, likewise |
//! | `…:{SHARD}:subjects` | subjects by when one of their sessions was last seen |
//! | `…:{SHARD}:c:ID` | which authority ends the session |
//! | `…:{SHARD}:w:WRITER`, `…:b:PROCESS` | what was written, so that nothing is written twice or lost unnoticed |
//! | `…:{all}:sources`, `…:losses` | what edges were heard of, by any authority |
//!
//! Everything of a subject is in one shard, and what is in braces decides about the slot of a cluster. The
//! namespace is that of the key that names are hashed with: authorities with another one, which could
//! make nothing of what they found, do not see it.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::authority::sessions::session::{Owned, Session};
use crate::authority::store::to_hex;
use crate::revocation::{FilterKey, Fingerprint, Kind};

/// As many parts as a cluster may be spread over, and as few as a revocation by `sid` can ask.
pub(super) const SHARDS: usize = 32;

/// Names of keys.
#[derive(Clone, Debug)]
pub(super) struct Keys {
    key: FilterKey,
    namespace: String,
}

impl Keys {
    #[must_use]
    pub(super) fn new(key: FilterKey) -> Self {
        let Fingerprint(bytes) = key.fingerprint(Kind::Issuer, "portcullis", "sessions");
        let namespace = to_hex(bytes.get(..4).unwrap_or_default());
        Self { key, namespace }
    }

    /// The fingerprint of a name.
    #[must_use]
    pub(super) const fn key(&self) -> &FilterKey {
        &self.key
    }

    /// The subject that a session belongs to, or the session itself.
    #[must_use]
    pub(super) fn owner(&self, owned: &Owned<'_>) -> Fingerprint {
        owned.subject.map_or(owned.id, |subject| {
            self.key.fingerprint(Kind::Subject, owned.issuer, subject)
        })
    }

    /// The owner of a session.
    #[must_use]
    pub(super) fn owner_of(&self, session: &Session) -> Fingerprint {
        self.owner(&Owned {
            issuer: &session.issuer,
            subject: session.subject.as_deref(),
            id: session.id,
        })
    }

    /// The shard of a session with this owner.
    #[must_use]
    pub(super) fn shard(owner: Fingerprint) -> usize {
        let [.., byte] = owner.0;
        usize::from(byte) % SHARDS
    }

    #[must_use]
    pub(super) fn session(&self, shard: usize, id: Fingerprint) -> Vec<u8> {
        self.named(shard, "s", id)
    }

    #[must_use]
    pub(super) fn subject(&self, shard: usize, owner: Fingerprint) -> Vec<u8> {
        self.named(shard, "u", owner)
    }

    #[must_use]
    pub(super) fn claim(&self, shard: usize, id: Fingerprint) -> Vec<u8> {
        self.named(shard, "c", id)
    }

    #[must_use]
    pub(super) fn seen(&self, shard: usize) -> Vec<u8> {
        self.plain(shard, "seen")
    }

    #[must_use]
    pub(super) fn tokens(&self, shard: usize) -> Vec<u8> {
        self.plain(shard, "tokens")
    }

    #[must_use]
    pub(super) fn subjects(&self, shard: usize) -> Vec<u8> {
        self.plain(shard, "subjects")
    }

    /// Of a process with this number.
    #[must_use]
    pub(super) fn beats(&self, shard: usize, process: u64) -> Vec<u8> {
        self.plain(shard, &format!("b:{process:x}"))
    }

    /// Of one of its writers.
    #[must_use]
    pub(super) fn writer(&self, shard: usize, process: u64, writer: u32) -> Vec<u8> {
        self.plain(shard, &format!("w:{process:x}.{writer}"))
    }

    /// What concerns no shard.
    #[must_use]
    pub(super) fn common(&self, name: &str) -> Vec<u8> {
        format!("portcullis:{}:{{all}}:{name}", self.namespace).into_bytes()
    }

    fn plain(&self, shard: usize, name: &str) -> Vec<u8> {
        format!("portcullis:{}:{{{shard}}}:{name}", self.namespace).into_bytes()
    }

    fn named(&self, shard: usize, kind: &str, name: Fingerprint) -> Vec<u8> {
        self.plain(shard, &format!("{kind}:{}", URL_SAFE_NO_PAD.encode(name.0)))
    }
}
