//! Walking through a whole store, part by part.

use super::{Part, Whole};
use crate::authority::store::StoreError;
use crate::revocation::Fingerprint;

/// Walks through everything.
pub(super) struct Parts<'w> {
    whole: &'w dyn Whole,
    at: At,
}

/// What comes next.
#[derive(Clone, Copy)]
enum At {
    Settings,
    Issuers,
    Staged(u64),
    Changes(u64),
    Entries(u64),
    Owners(Option<(Fingerprint, Fingerprint)>),
    Head,
    End,
}

impl<'w> Parts<'w> {
    pub(super) const fn of(whole: &'w dyn Whole) -> Self {
        Self {
            whole,
            at: At::Settings,
        }
    }

    /// The next part, and `None` after the last.
    ///
    /// # Errors
    ///
    /// [`StoreError`].
    pub(super) fn next(&mut self) -> Result<Option<Part>, StoreError> {
        while !matches!(self.at, At::End) {
            let (part, at) = self.step()?;
            self.at = at;
            if part.is_some() {
                return Ok(part);
            }
        }
        Ok(None)
    }

    /// What is there next, if anything, and what comes after it.
    fn step(&self) -> Result<(Option<Part>, At), StoreError> {
        let whole = self.whole;
        Ok(match self.at {
            At::Settings => {
                let mut settings = whole.settings()?;
                settings.sort();
                (Some(Part::Settings(settings)), At::Issuers)
            }
            At::Issuers => (Some(Part::Issuers(whole.issuers()?)), At::Staged(0)),
            At::Staged(first) => match whole.staged(first)? {
                Some((number, part)) => {
                    let at = number.checked_add(1).map_or(At::Changes(0), At::Staged);
                    (Some(Part::Staged(number, part)), at)
                }
                None => (None, At::Changes(0)),
            },
            At::Changes(first) => {
                let page = whole.changes(first)?;
                let next = page.last().and_then(|(last, ..)| last.checked_add(1));
                (
                    Some(Part::Changes(page)),
                    next.map_or(At::Entries(0), At::Changes),
                )
            }
            At::Entries(first) => {
                let page = whole.entries(first)?;
                let next = page
                    .last()
                    .and_then(|(_, last)| last.sequence.checked_add(1));
                (
                    Some(Part::Entries(page)),
                    next.map_or(At::Owners(None), At::Entries),
                )
            }
            At::Owners(after) => {
                let page = whole.owners(after)?;
                let last = page.last().copied();
                let at = last.map_or(At::Head, |last| At::Owners(Some(last)));
                (Some(Part::Owners(page)), at)
            }
            At::Head => (Some(Part::Head(whole.head()?)), At::End),
            At::End => (None, At::End),
        })
    }
}
