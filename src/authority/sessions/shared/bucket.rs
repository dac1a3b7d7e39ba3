//! What is under the name of a session.
//!
//! ```text
//! struct Bucket {
//!     stamp: [u8; 8],              // another one with every change
//!     sessions: [Entry],           // to the end
//! }
//! struct Entry { length: u32, session: [u8; length] } // little-endian; see `codec`
//! ```

use std::time::Duration;

use super::keys::Keys;
use crate::authority::sessions::codec;
use crate::authority::sessions::registry::ENDED_KEPT;
use crate::authority::sessions::session::{Name, Owned, Session};
use crate::little_endian::LittleEndian;
use crate::revocation::Fingerprint;
use crate::time::UnixTime;

/// Added to the instant at which a session ended, so that it comes before all that live. Sums are exact
/// in a sorted set.
const ENDED: i64 = -(1 << 40);

/// How much longer Redis keeps a session than an authority that looks after it.
pub(super) const EXPIRY_MARGIN: Duration = Duration::from_hours(1);

const STAMP_LENGTH: usize = 8;

/// Sessions of one name in one shard. Those that are beyond are not kept.
pub(super) const MOST_NAMESAKES: usize = 64;

/// The sessions of one name in one shard: one, unless two subjects have one of the same name.
#[derive(Clone, Debug, Default)]
pub(super) struct Bucket {
    /// As it was read; empty where there was nothing.
    pub(super) stamp: Vec<u8>,
    pub(super) sessions: Vec<Session>,
}

/// A change to a bucket, in the words of the script.
#[derive(Clone, Debug)]
pub(super) struct Change {
    pub(super) id: Fingerprint,
    stamp: Vec<u8>,
    value: Vec<u8>,
    kept: u64,
    score: Option<i64>,
    /// Whose session was changed; `None` where it has no subject.
    pub(super) owner: Option<Fingerprint>,
    place: Option<i64>,
    among_tokens: AmongTokens,
}

/// What becomes of an id in the order of tokens without `sid`.
#[derive(Clone, Copy, Debug)]
enum AmongTokens {
    /// It is none, and is not there.
    Never,
    /// It is taken out.
    Gone,
    /// It is there, with this score.
    At(i64),
}

impl Bucket {
    /// What was found under the name. What is none counts as no session, and is overwritten with the
    /// next report: it is of a version that is not known here.
    #[must_use]
    pub(super) fn read(value: &[u8]) -> Self {
        let Some((stamp, entries)) = value.split_at_checked(STAMP_LENGTH) else {
            let stamp = value.to_vec();
            return Self {
                stamp,
                sessions: Vec::new(),
            };
        };
        let mut rest = LittleEndian(entries);
        let mut sessions = Vec::new();
        while let Some(length) = rest.u32() {
            let entry = usize::try_from(length)
                .ok()
                .and_then(|length| rest.slice(length));
            let Some(session) = entry.and_then(codec::decode) else {
                break;
            };
            sessions.push(session);
        }
        Self {
            stamp: stamp.to_vec(),
            sessions,
        }
    }

    /// The place of a subject's session.
    #[must_use]
    pub(super) fn find(&self, owned: &Owned<'_>) -> Option<&Session> {
        self.sessions.iter().find(|session| {
            session.subject.as_deref() == owned.subject && *session.issuer == *owned.issuer
        })
    }

    /// The change that puts a session there, in place of that of the same subject, or of the one that was
    /// not seen for longest, where there are too many.
    #[must_use]
    pub(super) fn put(mut self, session: &Session, keys: &Keys, stamp: u64, kept: Kept) -> Change {
        self.remove(session);
        while self.sessions.len() >= MOST_NAMESAKES {
            let scores = self.sessions.iter().map(score).enumerate();
            let Some((first, _)) = scores.min_by_key(|(_, score)| *score) else {
                break;
            };
            self.sessions.swap_remove(first);
        }
        self.sessions.push(session.clone());
        let owner = owner(session, keys);
        self.change(session.id, owner, Some(score(session)), (stamp, kept))
    }

    /// The change that takes a session away.
    #[must_use]
    pub(super) fn drop(mut self, session: &Session, keys: &Keys, stamp: u64, kept: Kept) -> Change {
        self.remove(session);
        self.change(session.id, owner(session, keys), None, (stamp, kept))
    }

    /// The change that takes the id from a subject that has no session there, or from none.
    #[must_use]
    pub(super) fn forget(
        self,
        id: Fingerprint,
        owner: Option<Fingerprint>,
        stamp: u64,
        kept: Kept,
    ) -> Change {
        self.change(id, owner, None, (stamp, kept))
    }

    fn remove(&mut self, session: &Session) {
        self.sessions
            .retain(|other| other.subject != session.subject || other.issuer != session.issuer);
    }

    fn change(
        self,
        id: Fingerprint,
        owner: Option<Fingerprint>,
        place: Option<i64>,
        (stamp, kept): (u64, Kept),
    ) -> Change {
        let mut value = Vec::new();
        if !self.sessions.is_empty() {
            value.extend(stamp.to_le_bytes());
        }
        for session in &self.sessions {
            let entry = codec::encode(session);
            value.extend(u32::try_from(entry.len()).unwrap_or(u32::MAX).to_le_bytes());
            value.extend(entry);
        }
        let sessions = self.sessions.iter();
        // What lives has to be found, whatever has ended beside it.
        let live = sessions.clone().filter(|session| session.is_live());
        let first = live.map(score).min();
        let is_session = |session: &Session| matches!(session.name, Name::Session(_));
        let among_tokens = match (self.sessions.first(), first) {
            (Some(session), _) if is_session(session) => AmongTokens::Never,
            (Some(_), Some(score)) => AmongTokens::At(score),
            (Some(_), None) | (None, _) => AmongTokens::Gone,
        };
        Change {
            id,
            stamp: self.stamp,
            value,
            kept: sessions
                .clone()
                .map(|session| kept.seconds(session))
                .max()
                .unwrap_or(1),
            score: first.or_else(|| sessions.map(score).min()),
            owner,
            place,
            among_tokens,
        }
    }
}

/// For how long Redis is to keep sessions.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kept {
    /// After the last request.
    pub(super) retention: Duration,
    pub(super) now: UnixTime,
}

impl Kept {
    fn seconds(self, session: &Session) -> u64 {
        let margin = EXPIRY_MARGIN.as_secs();
        if session.ended.is_some() {
            return ENDED_KEPT.as_secs() + margin;
        }
        let until = session.last_seen.seconds() + self.retention.as_secs();
        until.saturating_sub(self.now.seconds()) + margin
    }
}

impl Change {
    /// The script's arguments for it.
    #[must_use]
    pub(super) fn arguments(self) -> [Vec<u8>; 8] {
        let text = |number: Option<i64>| {
            number.map_or_else(Vec::new, |number| number.to_string().into_bytes())
        };
        [
            self.id.0.to_vec(),
            self.stamp,
            self.value,
            self.kept.to_string().into_bytes(),
            text(self.score),
            self.owner.map_or_else(Vec::new, |owner| owner.0.to_vec()),
            text(self.place),
            match self.among_tokens {
                AmongTokens::Never => Vec::new(),
                AmongTokens::Gone => b"gone".to_vec(),
                AmongTokens::At(score) => text(Some(score)),
            },
        ]
    }
}

/// Whose session it is; `None` where it has no subject.
fn owner(session: &Session, keys: &Keys) -> Option<Fingerprint> {
    let subject = session.subject.as_ref();
    subject.map(|_| keys.owner_of(session))
}

/// By what sessions are in order: those that ended first, then those that were not seen for longest.
#[must_use]
pub(super) fn score(session: &Session) -> i64 {
    session
        .ended
        .map_or_else(|| seconds(session.last_seen), |ended| ended_score(ended.at))
}

/// The score of a session that ended then.
#[must_use]
pub(super) fn ended_score(at: UnixTime) -> i64 {
    seconds(at) + ENDED
}

fn seconds(time: UnixTime) -> i64 {
    i64::try_from(time.seconds()).unwrap_or(i64::MAX)
}
