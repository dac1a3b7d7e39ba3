//! How often in a row a browser is sent to sign in in a stronger way.
//!
//! A login page, or the identity provider behind it, that does not heed what it is asked for sends the browser
//! back with a token that is as weak as before. A cookie counts the rounds, so that the browser is told what is
//! wrong instead of going round for ever. It has no `Secure` and no prefix of its name: a browser drops such a
//! cookie over plain HTTP, and would go round there. So a neighbouring host can set it as well, and keep a browser
//! from the login page for a quarter of an hour, which is told what is wrong then.

use std::time::Duration;

use crate::gate::decision::Refusal;
use crate::gate::path;
use crate::gate::reason::Reason;
use crate::gate::request::Request;
use crate::time::UnixTime;

/// `portcullis-step-up=<first round, in seconds since 1970>.<number of the round>`.
const COOKIE: &str = "portcullis-step-up";

/// As many protected pages may be loaded at once before their user has signed in.
const MAX_ROUNDS: u8 = 5;

/// Longer than a sign-in with a second factor takes.
const KEPT_FOR: Duration = Duration::from_mins(15);

/// By which clocks of several Envoys may differ.
const CLOCKS: Duration = Duration::from_mins(1);

/// One more time that a browser is sent to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    /// When the first one was.
    since: UnixTime,
    /// From 1.
    number: u8,
}

impl Round {
    /// The next one; `None` when there have been enough.
    pub(super) fn next(request: &Request, refusal: Refusal<'_>, now: UnixTime) -> Option<Self> {
        let is_old = refusal.reason == Reason::AuthenticationTooOld;
        let latest = now.later_by(CLOCKS);
        let counts = |last: &Self| {
            let is_recent = last.since <= latest && now <= last.since.later_by(KEPT_FOR);
            // Its user has signed in since, as was asked for, and long ago by now.
            let heeded = |by: UnixTime| last.since < by && by <= now;
            is_recent && !(is_old && refusal.signed_in_by.is_some_and(heeded))
        };
        let rounds = request.cookies().filter_map(Self::read);
        let last = rounds.filter(counts).max_by_key(|last| last.number);
        let Self { since, number } = last.unwrap_or(Self {
            since: now,
            number: 0,
        });
        let number = number.saturating_add(1);
        (number <= MAX_ROUNDS).then_some(Self { since, number })
    }

    fn read(cookie: &[u8]) -> Option<Self> {
        let (name, value) = path::pair(cookie);
        if name != COOKIE.as_bytes() {
            return None;
        }
        let (since, number) = str::from_utf8(value).ok()?.split_once('.')?;
        let since = UnixTime::from_seconds(since.parse().ok()?)?;
        let number = number.parse().ok()?;
        Some(Self { since, number })
    }

    /// `Set-Cookie` for it.
    pub(super) fn cookie(self) -> String {
        let (since, number, seconds) = (self.since.seconds(), self.number, KEPT_FOR.as_secs());
        format!("{COOKIE}={since}.{number}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Lax")
    }
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use super::*;

    #[test]
    fn the_documents_say_how_often_a_browser_is_sent() {
        assert_eq!((MAX_ROUNDS, KEPT_FOR), (5, Duration::from_mins(15)));
        let page = include_str!("../../../envoy/applications.md");
        assert!(page.contains("a sixth time within a quarter of an hour"));
        let list = include_str!("../../../envoy/configuration.json");
        let told = "in the last quarter of an hour: after five times it is told the refusal";
        assert!(list.contains(told) && list.contains(COOKIE));
    }
}
