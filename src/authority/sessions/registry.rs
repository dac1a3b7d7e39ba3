//! What keeps sessions: the contract between the authority and an engine.

use std::fmt::Debug;
use std::time::Duration;

use super::displaced::Lost;
use super::session::{Ended, Observation, Owned, Session, Suspicion};
use crate::revocation::cut_off::CutOff;
use crate::revocation::{Cause, Fingerprint, Issuance, Kind};
use crate::time::UnixTime;

/// Keeps sessions and finds them again.
///
/// A registry knows less than is true: a report may be lost, the registry as a whole may be lost, and a
/// session whose edges do not report is not in it. So nothing may follow from a session's absence.
/// What follows from its age or its silence has to allow for [`Registry::heard_since`].
///
/// Every method may block for as long as a network round trip, if the engine is remote.
pub(in crate::authority) trait Registry: Debug + Send + Sync {
    /// Takes in what edges have seen. Returns the sessions as they are afterwards, in the order of the
    /// observations: those that are new, or all. One that has ended is live again once it is used and
    /// nothing revokes it any more.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Away`]: what was observed is lost, as for every method.
    fn report(
        &self,
        observations: &[Observation],
        now: UnixTime,
        told: Told,
        is_revoked: IsRevoked<'_>,
    ) -> Result<Vec<Reported>, RegistryError>;

    /// The live sessions of a subject, newest first. At most [`MAX_SESSIONS_OF_SUBJECT`] are kept.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn of_subject(
        &self,
        issuer: &str,
        subject: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError>;

    /// A session of this subject.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn get(&self, owned: Owned<'_>) -> Result<Option<Session>, RegistryError>;

    /// The live sessions that were last seen at `from` or later, and before `to`, in no
    /// particular order.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn last_seen_between(
        &self,
        from: UnixTime,
        to: UnixTime,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError>;

    /// Sessions that a filter lets through, in no particular order. One that is there throughout is in
    /// exactly one of the pages; where the engine gives back memory meanwhile, perhaps in two. A page may
    /// have some more than `limit`, if they have one name.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn search(
        &self,
        filter: &Filter,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page, RegistryError>;

    /// The live sessions of a name, of whichever subjects: what a revocation of the name would end. At
    /// most `limit`.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn named(&self, id: Fingerprint, limit: usize) -> Result<Vec<Session>, RegistryError>;

    /// Marks as ended what was revoked. Returns the sessions that ended by it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn mark(&self, marks: &[Mark]) -> Result<Vec<Session>, RegistryError>;

    /// Remembers that something about a session looks stolen.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn suspect(&self, owned: Owned<'_>, suspicion: Suspicion) -> Result<(), RegistryError>;

    /// Drops what was not seen for too long, and what ended a while ago.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn sweep(&self, now: UnixTime) -> Result<(), RegistryError>;

    /// How many there are.
    ///
    /// # Errors
    ///
    /// [`RegistryError`].
    fn counts(&self, now: UnixTime) -> Result<Counts, RegistryError>;

    /// Which live sessions it has dropped since the start, as it was full.
    fn lost(&self) -> Lost;

    /// Since when every report has come here. A session may have been used at any time before, however
    /// long ago it was last seen; so it counts as idle from then on at the earliest.
    fn heard_since(&self) -> UnixTime;

    /// Whether each of these sessions is still as it was when its end was decided, and this authority is
    /// the one that ends it.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], and then none may be ended, as where the engine has lost something of which others
    /// have not been told.
    fn claim(&self, ends: &[(&Session, Cause)]) -> Result<Vec<bool>, RegistryError> {
        Ok(vec![true; ends.len()])
    }

    /// Tells authorities that have the same registry what was heard here, and returns what they have
    /// heard; `None` where there are no others.
    ///
    /// # Errors
    ///
    /// [`RegistryError`], and then nothing was told.
    fn exchange(&self, _: &Tidings, _: UnixTime) -> Result<Option<Others>, RegistryError> {
        Ok(None)
    }

    /// Tells them that this authority goes.
    fn leave(&self) {}
}

/// Whether a session's newest tokens are revoked by any of its names, as far as the authority's own
/// entries tell. Asked only of sessions that have ended, and used since.
pub(in crate::authority) type IsRevoked<'r> = &'r dyn Fn(&Session) -> bool;

/// What an authority has heard of edges since it last told others.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Tidings {
    /// Whom it has heard.
    pub heard: Vec<HeardOf>,
    /// Whether it has ever heard anyone.
    pub has_heard: bool,
    /// Whether an edge does not tell of everything that it has seen.
    pub has_lost: bool,
}

/// What other authorities have heard.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Others {
    /// Whom they have heard since the last time.
    pub heard: Vec<HeardOf>,
    /// Authorities that have taken their leave, as sources.
    pub gone: Vec<String>,
    /// Whether something was lost, so that every session may have been used until now.
    pub has_lost: bool,
}

/// A source of reports that was heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority) struct HeardOf {
    /// A credential, or an authority.
    pub source: String,
    /// How long ago.
    pub ago: Duration,
    /// Within which it will be heard again.
    pub interval: Duration,
}

/// The bounds of a registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Limits {
    /// How many sessions it keeps. Beyond it, those that ended go first, then tokens without `sid`, then
    /// the others, of each those that were not seen for longest.
    pub max_sessions: usize,
    /// How long a session is kept after it was last seen.
    pub retention: Duration,
}

/// Of how many sessions of a subject a registry knows; the longest idle go first. A service that
/// has a new token with a name of its own every minute is one subject.
pub(in crate::authority) const MAX_SESSIONS_OF_SUBJECT: usize = 1_000;

/// How long a session is kept once it has ended: what edges have seen of it before is still on its
/// way, and must not make it a new one.
pub(in crate::authority) const ENDED_KEPT: Duration = Duration::from_hours(1);

/// A session that is used so long after it ended was restored, or its subject has signed in again under
/// the same name, whatever the entries here tell: it is live again. Sooner, they are asked.
pub(in crate::authority) const REVIVED_AFTER: Duration = Duration::from_mins(1);

/// Which sessions a report returns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) enum Told {
    /// Those that were not known.
    New,
    /// Every one.
    All,
}

/// A session that was reported.
#[derive(Clone, Debug)]
pub(in crate::authority) struct Reported {
    /// As it is now.
    pub session: Session,
    /// Whether it was not known before.
    pub is_new: bool,
}

/// Some sessions.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Page {
    /// The sessions.
    pub sessions: Vec<Session>,
    /// Names the last one, for the page after this; `None` when there is none.
    pub next: Option<String>,
}

/// Which sessions are searched for.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Filter {
    /// Only of this issuer.
    pub issuer: Option<String>,
    /// Only of this subject.
    pub subject: Option<String>,
    /// Only those that were not seen since.
    pub not_seen_since: Option<UnixTime>,
    /// Only those that looked stolen.
    pub suspicious: bool,
    /// Also those that have ended.
    pub ended: bool,
}

impl Filter {
    /// Whether it lets this session through.
    #[must_use]
    pub(in crate::authority) fn matches(&self, session: &Session) -> bool {
        let is_same = |wanted: Option<&str>, found: Option<&str>| {
            wanted.is_none_or(|wanted| Some(wanted) == found)
        };
        is_same(self.issuer.as_deref(), Some(&session.issuer))
            && is_same(self.subject.as_deref(), session.subject.as_deref())
            && self
                .not_seen_since
                .is_none_or(|since| session.last_seen < since)
            && (!self.suspicious || session.suspicion.is_some())
            && (self.ended || session.is_live())
    }
}

/// Whether a revocation of a session's name would end a live session of another subject too.
///
/// # Errors
///
/// [`RegistryError`].
pub(super) fn is_shared(registry: &dyn Registry, session: &Session) -> Result<bool, RegistryError> {
    // One more than the subject has itself.
    let namesakes = registry.named(session.id, 2)?;
    let mut others = namesakes.iter();
    Ok(others.any(|other| other.subject != session.subject))
}

/// Something that was revoked. What is restored needs no mark: the next report of such a session
/// revives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Mark {
    /// What kind of thing.
    pub kind: Kind,
    /// Its name.
    pub name: Fingerprint,
    /// What the revocation leaves alone: of a kind that is cut off, tokens that were issued later; of a
    /// session, those of a later sign-in. `None` where it leaves nothing.
    pub cut_off: Option<CutOff>,
    /// Since when, and why.
    pub ended: Ended,
}

impl Mark {
    /// Whether a session of what it names has ended, whose newest token was issued then.
    #[must_use]
    pub(super) fn cuts_off(&self, issuance: Issuance, session: Fingerprint) -> bool {
        let issued = issuance.for_kind(self.kind);
        self.cut_off
            .is_none_or(|cut_off| cut_off.revokes(issued, Some(session)))
    }
}

/// How many sessions there are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct Counts {
    /// All that are kept.
    pub sessions: u64,
    /// Live ones that were seen within [`Counts::WINDOWS`].
    pub active_sessions: [u64; Counts::WINDOWS.len()],
    /// Subjects with such a session.
    pub active_subjects: [u64; Counts::WINDOWS.len()],
    /// Dropped for want of room, since the start.
    pub displaced: u64,
}

impl Counts {
    /// What counts as active: seen within the last five minutes, the last hour, the last day. Edges
    /// report a session once a minute, unless told otherwise.
    pub(in crate::authority) const WINDOWS: [Duration; 3] = [
        Duration::from_mins(5),
        Duration::from_hours(1),
        Duration::from_hours(24),
    ];
}

/// Why a registry cannot do what it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub(in crate::authority) enum RegistryError {
    /// The engine cannot be reached, and reports are lost meanwhile, or it is loading what it had
    /// before a restart.
    #[error("the registry of sessions is not available")]
    Away,
    /// No page of this search ended there.
    #[error("expected `next` of a page of the same search")]
    Cursor,
}
