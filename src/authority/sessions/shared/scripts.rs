//! What is done inside Redis, so that it is done as a whole.

use ring::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};

use crate::authority::store::to_hex;

/// A script, which is called by the hash of its text once a server has it.
#[derive(Debug)]
pub(super) struct Script(&'static str);

/// Writes sessions of one shard.
pub(super) const COMMIT: Script = Script(include_str!("scripts/commit.lua"));
/// Counts what was written to a shard.
pub(super) const BEAT: Script = Script(include_str!("scripts/beat.lua"));
/// Counts sessions and subjects.
pub(super) const COUNT: Script = Script(include_str!("scripts/count.lua"));
/// Finds sessions by when they were last seen.
pub(super) const PAGE: Script = Script(include_str!("scripts/page.lua"));
/// Reads what is under some keys of one shard.
pub(super) const READ: Script = Script("return redis.call('MGET', unpack(KEYS))");
/// Keeps two authorities from ending one session.
pub(super) const CLAIM: Script = Script(include_str!("scripts/claim.lua"));
/// Tells other authorities what was heard here.
pub(super) const EXCHANGE: Script = Script(include_str!("scripts/exchange.lua"));

impl Script {
    /// The text.
    #[must_use]
    pub(super) const fn text(&self) -> &'static str {
        self.0
    }

    /// The hash, by which Redis knows it. It is a name, and protects nothing.
    #[must_use]
    pub(super) fn hash(&self) -> String {
        to_hex(digest(&SHA1_FOR_LEGACY_USE_ONLY, self.0.as_bytes()).as_ref())
    }
}
