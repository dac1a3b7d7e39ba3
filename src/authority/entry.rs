//! An entry: one revocation as the store keeps it.
//!
//! The store's rows are written here and read nowhere else:
//!
//! ```text
//! struct Entry {               // little-endian
//!     version: u8,              // 2; 3 with a cause
//!     kind: u8,                 // 1 token, 2 session, 3 device, 4 subject, 5 client, 6 issuer
//!     in_force: u8,             // 1 revoked, 0 restored
//!     cause: u8,                // absent in version 2: plain
//!     expires_at: u64,          // seconds
//!     sequence: u64,            // of the last change in the feed
//!     not_before: u64,          // seconds; 0 unless a cut-off
//!     issuer: Text,
//!     value: Text,
//!     except_session: Text,     // empty for none
//!     except_from: u64,         // seconds; 0 for none
//!     subject: Text,            // empty for none; the subject it belongs to, for searches
//!     events: u8,
//!     event: [Event; events],
//! }
//! struct Event { time: u64 /* milliseconds */, action: u8, actor: Text, reason: Text }
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
}

impl Target {
    /// All tokens of an issuer.
    #[must_use]
    pub(super) fn issuer(issuer: &str) -> Self {
        Self {
            kind: Kind::Issuer,
            issuer: issuer.to_owned(),
            value: String::new(),
        }
    }

    /// Its fingerprint.
    #[must_use]
    pub fn fingerprint(&self, key: &FilterKey) -> Fingerprint {
        key.fingerprint(self.kind, &self.issuer, &self.value)
    }
}

/// A revocation request that passed validation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revocation {
    /// What is revoked.
    pub target: Target,
    /// When the last token that it names has expired, including the margin for late clocks.
    pub expires_at: UnixTime,
    /// For a cut-off: tokens issued before are revoked.
    pub not_before: UnixTime,
    /// For a cut-off: the session that goes on.
    pub except_session: Option<String>,
    /// The subject it belongs to, for searches, where that is known.
    pub subject: Option<String>,
    /// Why, as far as clients can tell.
    pub cause: Cause,
    /// Who asks.
    pub actor: String,
    /// Why.
    pub reason: String,
}

/// What was done to an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Action {
    /// It was revoked, or its revocation changed.
    Revoked,
    /// The entry was restored.
    Restored,
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
    /// For a cut-off.
    pub not_before: UnixTime,
    /// For a cut-off: the session that goes on.
    pub except: Option<ExceptedSession>,
    /// The subject it belongs to, where that is known.
    pub subject: Option<String>,
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
        }
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
        if self.cause.is_plain() {
            bytes.extend([VERSION, kind, in_force]);
        } else {
            let cause = self.cause.number();
            bytes.extend([VERSION_WITH_CAUSE, kind, in_force, cause]);
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
        bytes.push(u8::try_from(self.events.len()).unwrap_or(u8::MAX));
        for event in self.events.iter().take(usize::from(u8::MAX)) {
            bytes.extend(event.time.to_le_bytes());
            bytes.push(match event.action {
                Action::Revoked => 1,
                Action::Restored => 0,
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
        } = start(&mut row)?;
        let expires_at = UnixTime::from_seconds(row.u64()?)?;
        let sequence = row.u64()?;
        let not_before = UnixTime::from_seconds(row.u64()?)?;
        let target = Target {
            kind,
            issuer: text(&mut row)?,
            value: text(&mut row)?,
        };
        let except_session = unless_empty(text(&mut row)?);
        let except_from = UnixTime::from_seconds(row.u64()?)?;
        let subject = unless_empty(text(&mut row)?);
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
}

/// The beginning of a row, for the start, when all of them are read.
#[must_use]
pub(super) fn summary(row: &[u8]) -> Option<Summary> {
    let mut row = LittleEndian(row);
    let Start {
        kind,
        in_force,
        cause,
    } = start(&mut row)?;
    Some(Summary {
        kind,
        in_force,
        cause,
        expires_at: UnixTime::from_seconds(row.u64()?)?,
    })
}

/// What a row has before its times.
struct Start {
    kind: Kind,
    in_force: bool,
    cause: Cause,
}

fn start(row: &mut LittleEndian<'_>) -> Option<Start> {
    let version = row.u8()?;
    Some(Start {
        kind: Kind::from_tag(row.u8()?)?,
        in_force: row.u8()? == 1,
        cause: match version {
            VERSION => Cause::Plain,
            VERSION_WITH_CAUSE => Cause::from_number(row.u8()?),
            _ => return None,
        },
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

fn event(row: &mut LittleEndian<'_>) -> Option<Event> {
    Some(Event {
        time: row.u64()?,
        action: match row.u8()? {
            1 => Action::Revoked,
            0 => Action::Restored,
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
mod tests {
    use super::*;

    fn entry() -> Entry {
        let event = |action, time| Event {
            time,
            action,
            actor: "operator".into(),
            reason: "lost telephone – gestohlen".into(),
        };
        Entry {
            in_force: true,
            cause: Cause::Plain,
            expires_at: UnixTime::from_seconds(7).unwrap(),
            sequence: 9,
            not_before: UnixTime::MAX,
            except: Some(ExceptedSession {
                session: "session".into(),
                from: UnixTime::from_seconds(3).unwrap(),
            }),
            events: vec![event(Action::Revoked, 1), event(Action::Restored, u64::MAX)],
            ..Entry::new(Target {
                kind: Kind::Subject,
                issuer: "https://issuer.example".into(),
                value: "alice".into(),
            })
        }
    }

    #[test]
    fn an_entry_comes_back_as_it_was() {
        for (kind, cause) in Kind::ALL.into_iter().zip(Cause::ALL) {
            let mut entry = entry();
            (entry.target.kind, entry.cause) = (kind, cause);
            assert_eq!(Entry::decode(&entry.encode()), Some(entry.clone()));
            let expected = Summary {
                kind,
                in_force: true,
                cause,
                expires_at: entry.expires_at,
            };
            assert_eq!(summary(&entry.encode()), Some(expected));
        }
    }

    #[test]
    fn a_row_cut_anywhere_or_too_long_is_none() {
        for cause in [Cause::Plain, Cause::Idle] {
            let mut row = Entry { cause, ..entry() }.encode();
            for length in 0..row.len() {
                assert_eq!(Entry::decode(&row[..length]), None, "{length} bytes");
            }
            row.push(0);
            assert_eq!(Entry::decode(&row), None);
        }
    }

    #[test]
    fn a_cause_of_a_newer_version_is_plain_and_one_of_a_newer_row_is_none() {
        let mut row = Entry {
            cause: Cause::Suspicious,
            ..entry()
        }
        .encode();
        row[3] = u8::MAX;
        assert_eq!(Entry::decode(&row), Some(entry()));
        row[0] += 1;
        assert_eq!((Entry::decode(&row), summary(&row)), (None, None));
    }

    #[test]
    fn a_long_history_keeps_its_beginning_and_its_end() {
        let mut entry = entry();
        for time in 0..100 {
            entry.note(Event {
                time,
                ..entry.events[0].clone()
            });
        }
        assert_eq!(entry.events.len(), MAX_EVENTS);
        assert_eq!(entry.events[0].time, 1);
        assert_eq!(entry.events.last().unwrap().time, 99);
        assert_eq!(Entry::decode(&entry.encode()), Some(entry));
    }
}
