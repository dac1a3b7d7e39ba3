//! How often in a row a browser is sent to sign in in a stronger way.
//!
//! A login page, or the identity provider behind it, that does not heed what it is asked for sends the browser
//! back with a token that is as weak as before. A cookie counts the rounds, so that the browser is told what is
//! wrong instead of going round for ever. It has no `Secure` and no prefix of its name: a browser drops such a
//! cookie over plain HTTP, and would go round there. A client that forges it keeps only itself from the login
//! page.

use crate::gate::path;
use crate::gate::policy::SignIn;
use crate::gate::reason::Reason;
use crate::gate::request::Request;
use crate::time::UnixTime;

/// `portcullis-step-up=<seconds since 1970>.<number of the round>`.
const COOKIE: &str = "portcullis-step-up";

/// As many protected pages may be loaded at once before their user has signed in.
const MAX_ROUNDS: u8 = 5;

/// Longer than a sign-in with a second factor takes.
const COOKIE_SECONDS: u64 = 900;

/// One more time that a browser is sent to sign in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Round {
    at: UnixTime,
    /// From 1.
    number: u8,
}

impl Round {
    /// The next one; `None` when there have been enough.
    pub(super) fn next(
        request: &Request,
        reason: Reason,
        sign_in: &SignIn,
        now: UnixTime,
    ) -> Option<Self> {
        // What has come of a round before is known only where the time alone was wrong: a sign-in was late enough
        // then, and has become too old since.
        let since = match (reason, sign_in.max_age) {
            (Reason::AuthenticationTooOld, Some(max_age)) => max_age.as_secs(),
            _ => COOKIE_SECONDS,
        };
        let rounds = request.cookies().filter_map(Self::read);
        let counting =
            rounds.filter(|last| now.seconds().saturating_sub(last.at.seconds()) <= since);
        let last = counting.map(|last| last.number).max().unwrap_or(0);
        let number = last.saturating_add(1);
        (number <= MAX_ROUNDS).then_some(Self { at: now, number })
    }

    fn read(cookie: &[u8]) -> Option<Self> {
        let (name, value) = path::pair(cookie);
        if name != COOKIE.as_bytes() {
            return None;
        }
        let (at, number) = str::from_utf8(value).ok()?.split_once('.')?;
        let at = UnixTime::from_seconds(at.parse().ok()?)?;
        let number = number.parse().ok()?;
        Some(Self { at, number })
    }

    /// `Set-Cookie` for it.
    pub(super) fn cookie(self) -> String {
        let (at, number) = (self.at.seconds(), self.number);
        format!("{COOKIE}={at}.{number}; Path=/; Max-Age={COOKIE_SECONDS}; HttpOnly; SameSite=Lax")
    }
}
