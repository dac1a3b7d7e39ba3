//! How often a browser is sent to sign in in a stronger way.
//!
//! A login page, or the identity provider behind it, that does not heed what it is asked for sends the browser
//! back with a token that is as weak as before. A cookie counts the rounds, so that it is told what is wrong
//! instead of going round for ever. A client that forges it keeps only itself from the login page.

use crate::gate::path;
use crate::gate::request::Request;

/// The cookie that counts. Its prefix keeps other hosts from setting it (RFC 6265bis section 4.1.3.2).
const COOKIE: &str = "__Host-portcullis-step-up";

/// Rounds within the time that the cookie lives, in seconds, after each of them.
const MAX_ROUNDS: u8 = 3;
const COOKIE_SECONDS: u16 = 120;

/// The number of the next round, from 1; `None` when there have been enough.
pub(super) fn round(request: &Request) -> Option<u8> {
    let rounds = request.cookies().filter_map(|cookie| {
        let (name, value) = path::pair(cookie);
        (name == COOKIE.as_bytes()).then_some(value)
    });
    let rounds = rounds.map(|value| str::from_utf8(value).ok()?.parse().ok());
    let last = rounds.map(|round| round.unwrap_or(MAX_ROUNDS)).max();
    let next = last.unwrap_or(0).saturating_add(1);
    (next <= MAX_ROUNDS).then_some(next)
}

/// `Set-Cookie` for this round.
pub(super) fn cookie(round: u8) -> String {
    format!("{COOKIE}={round}; Path=/; Max-Age={COOKIE_SECONDS}; Secure; HttpOnly; SameSite=Lax")
}
