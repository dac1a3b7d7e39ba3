//! Who has signed in to the console and what was done there, since the start.
//!
//! What was revoked and restored is also in the histories of the entries, which are on the disk: the page with
//! the audit log shows both. What stands only here is in the log as well, where it outlives the process.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// Some days of a support desk; a line takes a hundred bytes.
const MOST: usize = 1_000;

/// The latest lines.
#[derive(Debug, Default)]
pub(super) struct Diary(Mutex<VecDeque<Line>>);

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
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() >= MOST {
            lines.pop_back();
        }
        lines.push_front(line);
    }

    /// The latest lines, newest first.
    pub(super) fn latest(&self, limit: usize) -> Vec<Line> {
        let lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        lines.iter().take(limit).cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_lines_are_kept() {
        let diary = Diary::default();
        for at in 0..2_000 {
            diary.write(Line {
                at,
                who: None,
                address: None,
                deed: Deed::SignedIn,
                entry: None,
            });
        }
        let lines = diary.latest(usize::MAX);
        assert_eq!(lines.len(), MOST);
        assert_eq!((lines[0].at, lines[MOST - 1].at), (1_999, 1_000));
        assert_eq!(diary.latest(3).len(), 3);
    }
}
