//! An entry: one revocation as the store keeps it.
//!
//! The store's rows are written here and read nowhere else:
//!
//! ```text
//! struct Entry {               // little-endian
//!     version: u8,              // 2; 3 with a cause; 4 with a qualifier or origins; 5 with their instants
//!     kind: u8,                 // 1 token, 2 session, 3 device, 4 subject, 5 client, 6 issuer, 7 claim,
//!                               // 8 subject and client
//!     in_force: u8,             // 1 revoked, 0 restored
//!     cause: u8,                // absent in version 2: plain
//!     expires_at: u64,          // seconds
//!     sequence: u64,            // of the last change in the feed
//!     not_before: u64,          // seconds; 0 unless a cut-off, or a session until the next sign-in
//!     issuer: Text,
//!     value: Text,
//!     except_session: Text,     // empty for none
//!     except_from: u64,         // seconds; 0 for none
//!     subject: Text,            // empty for none; the subject it belongs to, for searches
//!     qualifier: Text,          // absent before version 4: empty
//!     origins: u8,              // absent before version 4: 0
//!     origin: [Origin; origins],
//!     events: u8,
//!     event: [Event; events],
//! }
//! struct Origin {
//!     name: Text,               // empty for one that was not named
//!     at: u64,                  // absent before version 5; seconds, 0 for none
//! }
//! struct Event { time: u64 /* milliseconds */, action: u8 /* 0 restored, 1 revoked, 2 withdrawn */, actor: Text, reason: Text }
//! struct Text { length: u16, bytes: [u8; length] }
//! ```

use crate::little_endian::LittleEndian;
use crate::revocation::cut_off::{CutOff, Exception};
use crate::revocation::{Cause, FilterKey, Fingerprint, Kind};
use crate::time::UnixTime;

/// 1 was without `except_from`.
const VERSION: u8 = 2;

/// The same with a cause. A number of its own, so that a program that knows of no causes reads no
/// such row, and reads all others.
const VERSION_WITH_CAUSE: u8 = 3;

/// The same with a qualifier and origins, for the same reason.
const VERSION_WITH_ORIGINS: u8 = 4;

/// The same with the instants of origins, for the same reason.
const VERSION_WITH_INSTANTS: u8 = 5;

/// Origins that one entry remembers. A subject has few, and with more of them, none can take it back.
const MAX_ORIGINS: usize = 8;

/// Stands in the list of origins for all that were not named.
const UNNAMED: &str = "";

/// Enough to see how an entry came about and what happened lately, and a bound for a script that
/// revokes the same subject every minute.
const MAX_EVENTS: usize = 32;

/// What is revoked.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Target {
    /// What kind of thing.
    pub kind: Kind,
    /// The issuer that gave out the name.
    pub issuer: String,
    /// The name; empty for [`Kind::Issuer`].
    pub value: String,
    /// For [`Kind::Claim`] the claim, for [`Kind::SubjectAndClient`] the client; empty for others.
    pub qualifier: String,
}

impl Target {
    /// A target of a kind that one text names.
    #[must_use]
    pub(super) fn named(kind: Kind, issuer: &str, value: &str) -> Self {
        Self {
            kind,
            issuer: issuer.to_owned(),
            value: value.to_owned(),
            qualifier: String::new(),
        }
    }

    /// All tokens of an issuer.
    #[must_use]
    pub(super) fn issuer(issuer: &str) -> Self {
        Self::named(Kind::Issuer, issuer, "")
    }

    /// Its fingerprint.
    #[must_use]
    pub fn fingerprint(&self, key: &FilterKey) -> Fingerprint {
        let (issuer, value) = (&self.issuer, &self.value);
        if self.kind.is_compound() {
            key.compound(self.kind, issuer, &self.qualifier, value)
        } else {
            key.fingerprint(self.kind, issuer, value)
        }
    }
}

/// A revocation request that passed validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What is revoked.
    pub target: Target,
    /// When the last token that it names has expired, including the margin for late clocks.
    pub expires_at: UnixTime,
    /// For a cut-off: tokens issued before are revoked. For a session: those for which the user has
    /// signed in before; the epoch for all of them, whenever that was.
    pub not_before: UnixTime,
    /// For a cut-off: the session that goes on.
    pub except_session: Option<String>,
    /// The subject it belongs to, for searches, where that is known.
    pub subject: Option<String>,
    /// Why, as far as clients can tell.
    pub cause: Cause,
    /// What it comes from, if that may take it back by itself.
    pub origin: Option<Origin>,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What something was revoked by that may take that back by itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Origin {
    /// Its name.
    pub name: String,
    /// When it has happened for which something is revoked or restored, where that is known.
    pub at: Option<UnixTime>,
}

impl Origin {
    /// One of this name.
    #[must_use]
    pub(super) const fn named(name: String) -> Self {
        Self { name, at: None }
    }

    /// Whether it has happened earlier, as far as that is known of both.
    fn is_before(&self, other: &Self) -> bool {
        self.at.zip(other.at).is_some_and(|(at, other)| at < other)
    }
}

/// What was done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It was revoked, or its revocation changed.
    Revoked,
    /// The entry was restored.
    Restored,
    /// An origin has withdrawn what it had revoked. Others have revoked the same.
    Withdrawn,
}

/// One line of an entry's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Event {
    /// When, in milliseconds since the epoch.
    pub time: u64,
    /// What.
    pub action: Action,
    /// Who.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// An entry with its history, oldest event first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Entry {
    /// What is revoked.
    pub target: Target,
    /// Whether it is revoked; `false` once it was restored.
    pub in_force: bool,
    /// Why it was revoked, as far as clients can tell.
    pub cause: Cause,
    /// When the entry is dropped.
    pub expires_at: UnixTime,
    /// Number of the last change in the feed that it made.
    pub sequence: u64,
    /// For a cut-off, or a session that is revoked until the next sign-in.
    pub not_before: UnixTime,
    /// For a cut-off: the session that goes on.
    pub except: Option<ExceptedSession>,
    /// The subject it belongs to, where that is known.
    pub subject: Option<String>,
    /// What it was revoked by, where any of that has a name; an empty name stands for all that has none.
    pub origins: Vec<Origin>,
    /// Its history. Of a longer one the first and the latest events are kept.
    pub events: Vec<Event>,
}

/// The session that a cut-off does not revoke.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ExceptedSession {
    /// Its name.
    pub session: String,
    /// Its tokens issued before this are revoked all the same.
    pub from: UnixTime,
}

impl ExceptedSession {
    /// The session with all of its tokens.
    pub(super) const fn whole(session: String) -> Self {
        Self {
            session,
            from: UnixTime::EPOCH,
        }
    }
}

impl Entry {
    /// An entry that revokes nothing yet.
    #[must_use]
    pub(super) fn new(target: Target) -> Self {
        Self {
            target,
            in_force: false,
            cause: Cause::Plain,
            expires_at: UnixTime::EPOCH,
            sequence: 0,
            not_before: UnixTime::EPOCH,
            except: None,
            subject: None,
            origins: Vec::new(),
            events: Vec::new(),
        }
    }

    /// Sets the cut-off to what the revocation asks for, whatever it was.
    pub(super) fn set_cut_off(&mut self, revocation: &Revocation) {
        self.not_before = revocation.not_before;
        let session = revocation.except_session.clone();
        self.except = session.map(ExceptedSession::whole);
    }

    /// Adds a revocation to the cut-off: afterwards it revokes what it has revoked before, and
    /// what the revocation asks for, and nothing else. `false` when it did so already.
    pub(super) fn extend_cut_off(&mut self, revocation: &Revocation) -> bool {
        let not_before = self.not_before.max(revocation.not_before);
        let floor = |session: &str| {
            let asked = if revocation.except_session.as_deref() == Some(session) {
                UnixTime::EPOCH
            } else {
                revocation.not_before
            };
            self.not_before_of(session).max(asked)
        };
        // Both cannot be spared unless they are the same: the one of the earlier instant is
        // covered by the later one.
        let known = self.except.as_ref().map(|except| &except.session);
        let except = [known, revocation.except_session.as_ref()]
            .into_iter()
            .flatten()
            .map(|session| ExceptedSession {
                session: session.clone(),
                from: floor(session),
            })
            .find(|except| except.from < not_before);
        let is_more = (not_before, &except) != (self.not_before, &self.except);
        (self.not_before, self.except) = (not_before, except);
        is_more
    }

    fn not_before_of(&self, session: &str) -> UnixTime {
        match &self.except {
            Some(except) if except.session == session => except.from,
            _ => self.not_before,
        }
    }

    /// Adds a revocation of a session: afterwards it is revoked for all sign-ins for which it was, and
    /// for those that the revocation asks for. `false` when it was so already.
    pub(super) fn extend_session(&mut self, revocation: &Revocation) -> bool {
        let for_ever = UnixTime::EPOCH;
        let not_before = match (self.not_before, revocation.not_before) {
            (known, asked) if known == for_ever || asked == for_ever => for_ever,
            (known, asked) => known.max(asked),
        };
        std::mem::replace(&mut self.not_before, not_before) != not_before
    }

    /// Adds what a revocation comes from. `false` when it was known already, and has happened no later.
    pub(super) fn add_origin(&mut self, origin: Option<&Origin>) -> bool {
        let unnamed = || Origin::named(UNNAMED.to_owned());
        let origin = origin.cloned().unwrap_or_else(unnamed);
        // An entry in force without a list was revoked by nothing that has a name.
        if self.origins.is_empty() {
            if origin.name == UNNAMED {
                return false;
            }
            if self.in_force {
                self.origins.push(unnamed());
            }
        }
        let mut known = self.origins.iter_mut();
        if let Some(known) = known.find(|known| known.name == origin.name) {
            let at = known.at.max(origin.at);
            return std::mem::replace(&mut known.at, at) != at;
        }
        if self.origins.len() < MAX_ORIGINS {
            self.origins.push(origin);
            return true;
        }
        if self.origins.contains(&unnamed()) {
            return false;
        }
        self.origins.pop();
        self.origins.push(unnamed());
        true
    }

    /// Takes an origin away, and says whether others are left; `None` when the entry is not revoked by
    /// it, or by something that has happened later.
    pub(super) fn remove_origin(&mut self, origin: &Origin) -> Option<bool> {
        let before = self.origins.len();
        let is_kept = |known: &Origin| known.name != origin.name || origin.is_before(known);
        self.origins.retain(is_kept);
        let is_left = !self.origins.is_empty();
        let is_known = self.origins.len() < before;
        if self.has_no_named_origin() {
            self.origins.clear();
        }
        is_known.then_some(is_left)
    }

    /// Whether nothing that has a name has revoked it.
    fn has_no_named_origin(&self) -> bool {
        self.origins.iter().all(|origin| origin.name == UNNAMED)
    }

    /// Adds an event, dropping one from the middle when there are too many.
    pub(super) fn note(&mut self, event: Event) {
        if self.events.len() >= MAX_EVENTS {
            self.events.remove(1);
        }
        self.events.push(event);
    }

    /// The cut-off that the entry describes, under `key`.
    #[must_use]
    pub(super) fn cut_off(&self, key: &FilterKey) -> CutOff {
        let except = self.except.as_ref().map(|except| Exception {
            session: key.fingerprint(Kind::Session, &self.target.issuer, &except.session),
            from: except.from,
        });
        CutOff {
            key: self.target.fingerprint(key),
            not_before: self.not_before,
            except,
            is_compound: self.target.kind.is_compound(),
        }
    }

    /// Of a session: the sign-in from which on it is not revoked; the epoch where none is.
    #[must_use]
    pub(super) fn signed_in_from(&self) -> UnixTime {
        signed_in_from(self.target.kind, self.not_before)
    }

    /// Whether it is revoked at `now`: neither restored nor lapsed with its tokens.
    #[must_use]
    pub(super) fn is_in_force(&self, now: UnixTime) -> bool {
        self.in_force && self.expires_at > now
    }

    /// The fingerprint of the subject it belongs to, where that is known.
    #[must_use]
    pub(super) fn owner(&self, key: &FilterKey) -> Option<Fingerprint> {
        let issuer = &self.target.issuer;
        let subject = self.subject.as_ref()?;
        Some(key.fingerprint(Kind::Subject, issuer, subject))
    }

    /// The row.
    #[must_use]
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(128);
        let (kind, in_force) = (self.target.kind.tag(), u8::from(self.in_force));
        let cause = self.cause.number();
        let has_instants = self.origins.iter().any(|origin| origin.at.is_some());
        let has_origins = !self.target.qualifier.is_empty() || !self.has_no_named_origin();
        let version = match (has_instants, has_origins, self.cause.is_plain()) {
            (true, ..) => VERSION_WITH_INSTANTS,
            (false, true, _) => VERSION_WITH_ORIGINS,
            (false, false, false) => VERSION_WITH_CAUSE,
            (false, false, true) => VERSION,
        };
        bytes.extend([version, kind, in_force]);
        if version != VERSION {
            bytes.push(cause);
        }
        let times = [
            self.expires_at.seconds(),
            self.sequence,
            self.not_before.seconds(),
        ];
        bytes.extend(times.into_iter().flat_map(u64::to_le_bytes));
        put_text(&mut bytes, &self.target.issuer);
        put_text(&mut bytes, &self.target.value);
        let (except_session, except_from) = match &self.except {
            Some(except) => (except.session.as_str(), except.from),
            None => ("", UnixTime::EPOCH),
        };
        put_text(&mut bytes, except_session);
        bytes.extend(except_from.seconds().to_le_bytes());
        put_text(&mut bytes, self.subject.as_deref().unwrap_or_default());
        if has_instants || has_origins {
            put_text(&mut bytes, &self.target.qualifier);
            bytes.push(u8::try_from(self.origins.len()).unwrap_or(u8::MAX));
            for origin in self.origins.iter().take(usize::from(u8::MAX)) {
                put_text(&mut bytes, &origin.name);
                if has_instants {
                    let at = origin.at.unwrap_or(UnixTime::EPOCH);
                    bytes.extend(at.seconds().to_le_bytes());
                }
            }
        }
        bytes.push(u8::try_from(self.events.len()).unwrap_or(u8::MAX));
        for event in self.events.iter().take(usize::from(u8::MAX)) {
            bytes.extend(event.time.to_le_bytes());
            bytes.push(match event.action {
                Action::Revoked => 1,
                Action::Restored => 0,
                Action::Withdrawn => 2,
            });
            put_text(&mut bytes, &event.actor);
            put_text(&mut bytes, &event.reason);
        }
        bytes
    }

    /// Reads a row; `None` when it is not one, which only a damaged file or a newer version can
    /// bring about.
    #[must_use]
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let mut row = LittleEndian(bytes);
        let Start {
            kind,
            in_force,
            cause,
            has_origins,
            has_instants,
        } = start(&mut row)?;
        let expires_at = UnixTime::from_seconds(row.u64()?)?;
        let sequence = row.u64()?;
        let not_before = UnixTime::from_seconds(row.u64()?)?;
        let (issuer, value) = (text(&mut row)?, text(&mut row)?);
        let except_session = unless_empty(text(&mut row)?);
        let except_from = UnixTime::from_seconds(row.u64()?)?;
        let subject = unless_empty(text(&mut row)?);
        let (mut qualifier, mut origins) = (String::new(), Vec::new());
        if has_origins {
            qualifier = text(&mut row)?;
            let all = (0..row.u8()?).map(|_| origin(&mut row, has_instants));
            origins = all.collect::<Option<_>>()?;
        }
        let target = Target {
            kind,
            issuer,
            value,
            qualifier,
        };
        let events = (0..row.u8()?)
            .map(|_| event(&mut row))
            .collect::<Option<_>>()?;
        row.end(Self {
            target,
            in_force,
            cause,
            expires_at,
            sequence,
            not_before,
            except: except_session.map(|session| ExceptedSession {
                session,
                from: except_from,
            }),
            subject,
            origins,
            events,
        })
    }
}

/// The beginning of a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Summary {
    pub kind: Kind,
    pub in_force: bool,
    pub cause: Cause,
    pub expires_at: UnixTime,
    /// As in the entry.
    pub not_before: UnixTime,
}

/// The beginning of a row, for the start, when all of them are read.
#[must_use]
pub(super) fn summary(row: &[u8]) -> Option<Summary> {
    let mut row = LittleEndian(row);
    let Start {
        kind,
        in_force,
        cause,
        ..
    } = start(&mut row)?;
    let expires_at = UnixTime::from_seconds(row.u64()?)?;
    let _sequence = row.u64()?;
    Some(Summary {
        kind,
        in_force,
        cause,
        expires_at,
        not_before: UnixTime::from_seconds(row.u64()?)?,
    })
}

/// [`Entry::signed_in_from`] of an entry of this kind with this instant.
pub(super) fn signed_in_from(kind: Kind, not_before: UnixTime) -> UnixTime {
    match kind {
        Kind::Session => not_before,
        _ => UnixTime::EPOCH,
    }
}

/// What a row has before its times.
struct Start {
    kind: Kind,
    in_force: bool,
    cause: Cause,
    /// Whether a qualifier and origins are in the row.
    has_origins: bool,
    /// Whether these have instants.
    has_instants: bool,
}

fn start(row: &mut LittleEndian<'_>) -> Option<Start> {
    let version = row.u8()?;
    Some(Start {
        kind: Kind::from_tag(row.u8()?)?,
        in_force: row.u8()? == 1,
        cause: match version {
            VERSION => Cause::Plain,
            VERSION_WITH_CAUSE | VERSION_WITH_ORIGINS | VERSION_WITH_INSTANTS => {
                Cause::from_number(row.u8()?)
            }
            _ => return None,
        },
        has_origins: matches!(version, VERSION_WITH_ORIGINS | VERSION_WITH_INSTANTS),
        has_instants: version == VERSION_WITH_INSTANTS,
    })
}

fn text(row: &mut LittleEndian<'_>) -> Option<String> {
    let length = usize::from(row.u16()?);
    String::from_utf8(row.slice(length)?.to_vec()).ok()
}

/// A text that is empty for none.
fn unless_empty(text: String) -> Option<String> {
    Some(text).filter(|text| !text.is_empty())
}

fn origin(row: &mut LittleEndian<'_>, has_instant: bool) -> Option<Origin> {
    let name = text(row)?;
    let mut at = None;
    if has_instant {
        at = Some(UnixTime::from_seconds(row.u64()?)?).filter(|at| *at > UnixTime::EPOCH);
    }
    Some(Origin { name, at })
}

fn event(row: &mut LittleEndian<'_>) -> Option<Event> {
    Some(Event {
        time: row.u64()?,
        action: match row.u8()? {
            1 => Action::Revoked,
            0 => Action::Restored,
            2 => Action::Withdrawn,
            _ => return None,
        },
        actor: text(row)?,
        reason: text(row)?,
    })
}

/// No text here is longer than 64 KiB: the interface's limits are far lower.
fn put_text(bytes: &mut Vec<u8>, text: &str) {
    let length = u16::try_from(text.len()).unwrap_or(0);
    bytes.extend(length.to_le_bytes());
    bytes.extend(text.as_bytes().iter().take(usize::from(length)));
}

#[cfg(test)]
mod tests;
