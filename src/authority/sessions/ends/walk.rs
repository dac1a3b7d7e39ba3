//! The walk through the registry, a page at a time, and what is found on it.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::time::{Duration, Instant};

use super::look::{Counted, Look};
use super::{ENDS_PER_STEP, End, PAGE_LENGTH, Subject, WALK_PAUSE};
use crate::authority::sessions::registry::{Mark, RegistryError};
use crate::authority::sessions::session::{Ended, Session};
use crate::revocation::cut_off::CutOff;
use crate::revocation::{Cause, Fingerprint};
use crate::time::UnixTime;

/// A walk through the registry.
#[derive(Debug, Default)]
pub(super) struct Walk {
    /// Where the next page begins.
    after: Option<String>,
    /// When the last page was looked at, unless the next walk is to begin at once.
    last_page: Option<Instant>,
    /// Sessions that this walk found, and that are still to end.
    left: usize,
    /// Those that it found, and that are left because of others.
    held: HashSet<Fingerprint>,
    crowds: Crowds,
}

/// Sessions that are left because of others are counted up to here.
const MOST_HELD: usize = 10_000;

/// What a walk has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Seen {
    /// Sessions that have to end, and are still to.
    pub(super) left: usize,
    /// Sessions that would have to end, and are left since that would end one of another subject.
    pub(super) held: usize,
}

/// What was found in a step.
#[derive(Debug, Default)]
pub(super) struct Found {
    /// What to revoke: each name once, at most [`ENDS_PER_STEP`].
    pub(super) due: Vec<End>,
    /// What is revoked already, of which the registry has not heard: reported after it was revoked, by
    /// an edge that had not heard of it.
    pub(super) marks: Vec<Mark>,
    /// At the end of a walk.
    pub(super) seen: Option<Seen>,
}

impl Walk {
    /// Looks at these subjects, and at the next page unless it is too early for the next walk.
    ///
    /// # Errors
    ///
    /// [`RegistryError`]: nothing was found that would not be found again. The next step looks at the same
    /// page.
    pub(super) fn step(
        &mut self,
        look: &Look<'_>,
        subjects: Vec<Subject>,
        before: Option<UnixTime>,
        now: Instant,
    ) -> Result<Found, RegistryError> {
        let mut found = Found::default();
        let subjects = subjects.into_iter().collect();
        // What this leaves, the walk comes across.
        Self::sort(look, subjects, Vec::new(), &mut found)?;
        let is_pausing = self
            .last_page
            .is_some_and(|last_page| now.saturating_duration_since(last_page) < WALK_PAUSE);
        if self.after.is_none() && is_pausing {
            return Ok(found);
        }
        let after = self.after.take();
        if after.is_none() {
            *self = Self::default();
        }
        self.last_page = Some(now);
        if let Some(before) = before {
            match self.look_at_page(look, after.as_deref(), before, &mut found) {
                Ok(next) => self.after = next,
                Err(error) => {
                    self.after = after;
                    return Err(error);
                }
            }
        }
        if self.after.is_none() {
            let (left, held) = (self.left, self.held.len());
            found.seen = Some(Seen { left, held });
            if left > 0 {
                // The next walk begins at once.
                self.last_page = None;
            }
        }
        Ok(found)
    }

    /// Looks at a page. Returns where the next one begins.
    fn look_at_page(
        &mut self,
        look: &Look<'_>,
        after: Option<&str>,
        before: UnixTime,
        found: &mut Found,
    ) -> Result<Option<String>, RegistryError> {
        let from = UnixTime::EPOCH;
        let page = look
            .registry
            .last_seen_between(from, before, after, PAGE_LENGTH)?;
        let (mut subjects, mut ends) = (HashSet::new(), Vec::new());
        for session in page.sessions {
            if let Some((counted, most)) = look.counted(&session)
                && self.crowds.is_crowded(counted, most)
            {
                subjects.extend(Subject::of(&session));
            }
            ends.extend(look.end_of(session));
        }
        let (left, held) = Self::sort(look, subjects, ends, found)?;
        self.left += left;
        let room = MOST_HELD.saturating_sub(self.held.len());
        self.held.extend(held.into_iter().take(room));
        Ok(page.next)
    }

    /// Sorts these ends, and those of subjects with too many sessions, into what follows from them.
    /// Returns how many are left for want of room, and which are because of others.
    fn sort(
        look: &Look<'_>,
        subjects: HashSet<Subject>,
        mut ends: Vec<End>,
        found: &mut Found,
    ) -> Result<(usize, HashSet<Fingerprint>), RegistryError> {
        for subject in subjects {
            ends.extend(look.crowd(&subject)?);
        }
        let (mut left, mut held) = (0, HashSet::new());
        // One name may be of several subjects, and a session found for two reasons.
        let mut sorted: HashSet<Fingerprint> = found.due.iter().map(End::id).collect();
        for end in ends {
            // Of sessions of one name, each is revoked or not by its own sign-in.
            if let Some(cause) = (look.revoked)(&end.session) {
                found.marks.push(mark(&end.session, look.now, cause));
                continue;
            }
            let id = end.id();
            if !sorted.insert(id) {
                continue;
            }
            if found.due.len() >= ENDS_PER_STEP {
                left += 1;
            } else if look.hits_another(&end)? {
                held.insert(id);
            } else {
                found.due.push(end);
            }
        }
        Ok((left, held))
    }
}

/// The mark of what is revoked. Another session of the same name goes on if its user has signed in since.
pub(in crate::authority::sessions) fn mark(session: &Session, at: UnixTime, cause: Cause) -> Mark {
    const NEXT: Duration = Duration::from_secs(1);
    let kind = session.name.kind();
    let issued = session.issuance().for_kind(kind).unwrap_or_default();
    Mark {
        kind,
        name: session.id,
        cut_off: Some(CutOff {
            key: session.id,
            not_before: issued.later_by(NEXT),
            except: None,
            is_compound: false,
        }),
        ended: Ended { at, cause },
    }
}

/// How many sessions of each subject a walk has come across, at least: several subjects may share a
/// place. A megabyte, whatever there are of either.
#[derive(Debug, Default)]
struct Crowds {
    counts: Vec<u8>,
}

/// So many places that a million sessions seldom share one.
const PLACES: usize = 1 << 20;

impl Crowds {
    /// Counts a session. Whether its subject may have more than so many.
    fn is_crowded(&mut self, counted: Counted<'_>, most: u32) -> bool {
        if self.counts.is_empty() {
            self.counts = vec![0; PLACES];
        }
        let mut hasher = DefaultHasher::new();
        counted.hash(&mut hasher);
        let place = usize::try_from(hasher.finish() % PLACES as u64).unwrap_or(0);
        let Some(count) = self.counts.get_mut(place) else {
            return true;
        };
        *count = count.saturating_add(1);
        u32::from(*count) > most.min(u32::from(u8::MAX) - 1)
    }
}
