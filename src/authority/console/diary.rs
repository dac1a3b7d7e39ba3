//! Who has signed in to the console and what was done there, since the start.
//!
//! What was revoked and restored is also in the histories of the entries, which are on the disk: the page with
//! the audit log shows both. What stands only here is in the log as well, where it outlives the process.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Of each ring. Some days of a support desk; a line takes a hundred bytes.
const MOST: usize = 1_000;

/// The latest lines.
#[derive(Debug, Default)]
pub(super) struct Diary(Mutex<Rings>);

/// Anyone can have a sign-in refused, as often as they like: such lines push out only each other.
#[derive(Debug, Default)]
struct Rings {
    /// How many lines there were, of which each has its number.
    written: u64,
    deeds: VecDeque<(u64, Line)>,
    refusals: VecDeque<(u64, Line)>,
}

/// Lines of which kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ring {
    /// What people have done who are signed in, and their signing in.
    Deeds,
    /// Sign-ins that were refused.
    Refusals,
}

/// Some lines.
#[derive(Debug)]
pub(super) struct Lines {
    /// Newest first.
    pub(super) lines: Vec<Line>,
    /// What the ones after them are before; `None` at the end.
    pub(super) next: Option<u64>,
}

/// One thing that was done.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// When, in milliseconds since the epoch.
    pub(super) at: u64,
    /// The credential's name; `None` where it is not known.
    pub(super) who: Option<Arc<str>>,
    /// Where the request came from.
    pub(super) address: Option<IpAddr>,
    /// What.
    pub(super) deed: Deed,
    /// The entry that was made or changed.
    pub(super) entry: Option<String>,
}

/// What is done in the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deed {
    SignedIn,
    /// With a credential that is not known, or is not for people.
    RefusedSignIn,
    SignedOut,
    ReadToken,
    Revoked,
    Restored,
}

impl Deed {
    /// What the log has for it.
    pub(super) const fn code(self) -> &'static str {
        match self {
            Self::SignedIn => "signed_in",
            Self::RefusedSignIn => "sign_in_refused",
            Self::SignedOut => "signed_out",
            Self::ReadToken => "token_read",
            Self::Revoked => "revoked",
            Self::Restored => "restored",
        }
    }

    /// For people.
    pub(super) const fn text(self) -> &'static str {
        match self {
            Self::SignedIn => "signed in to the console",
            Self::RefusedSignIn => "was refused at the console",
            Self::SignedOut => "signed out of the console",
            Self::ReadToken => "had a token read",
            Self::Revoked => "revoked",
            Self::Restored => "restored",
        }
    }
}

impl Diary {
    /// Writes a line here and into the log. Neither has the name of a user, or anything of a token: an
    /// entry is named by its id.
    pub(super) fn write(&self, line: Line) {
        tracing::info!(
            action = line.deed.code(),
            credential = line.who.as_deref(),
            address = line.address.map(tracing::field::display),
            entry = line.entry.as_deref(),
            "console"
        );
        let mut rings = self.lock();
        let number = rings.written;
        rings.written += 1;
        let ring = match line.deed {
            Deed::RefusedSignIn => &mut rings.refusals,
            _ => &mut rings.deeds,
        };
        if ring.len() >= MOST {
            ring.pop_back();
        }
        ring.push_front((number, line));
    }

    /// The latest lines, or those before a line.
    pub(super) fn latest(&self, ring: Ring, before: Option<u64>, limit: usize) -> Lines {
        let rings = self.lock();
        let ring = match ring {
            Ring::Deeds => &rings.deeds,
            Ring::Refusals => &rings.refusals,
        };
        let is_before = |number: u64| before.is_none_or(|before| number < before);
        let mut found = ring
            .iter()
            .filter(|(number, _)| is_before(*number))
            .peekable();
        let (mut lines, mut last) = (Vec::new(), None);
        while let Some((number, line)) = found.next_if(|_| lines.len() < limit) {
            lines.push(line.clone());
            last = Some(*number);
        }
        let next = last.filter(|_| found.peek().is_some());
        Lines { lines, next }
    }

    fn lock(&self) -> MutexGuard<'_, Rings> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(diary: &Diary, deed: Deed, at: u64) {
        diary.write(Line {
            at,
            who: None,
            address: None,
            deed,
            entry: None,
        });
    }

    #[test]
    fn the_latest_lines_are_kept_and_found_page_by_page() {
        let diary = Diary::default();
        for at in 0..2_000 {
            write(&diary, Deed::SignedIn, at);
        }
        let (mut found, mut before) = (Vec::new(), None);
        loop {
            let page = diary.latest(Ring::Deeds, before, 300);
            found.extend(page.lines.iter().map(|line| line.at));
            // What is written in between moves nothing.
            write(&diary, Deed::RefusedSignIn, 0);
            before = page.next;
            if before.is_none() {
                break;
            }
        }
        assert_eq!(found, (1_000..2_000).rev().collect::<Vec<_>>());
        let all = diary.latest(Ring::Deeds, None, MOST);
        assert_eq!((all.lines.len(), all.next), (MOST, None));
    }

    #[test]
    fn refused_sign_ins_push_out_only_each_other() {
        let diary = Diary::default();
        write(&diary, Deed::Revoked, 1);
        for at in 0..2_000 {
            write(&diary, Deed::RefusedSignIn, at);
        }
        let [line] = &*diary.latest(Ring::Deeds, None, 10).lines else {
            panic!("one line")
        };
        assert_eq!((line.deed, line.at), (Deed::Revoked, 1));
        let refusals = diary.latest(Ring::Refusals, None, usize::MAX).lines;
        assert_eq!((refusals.len(), refusals[0].at), (MOST, 1_999));
    }
}
