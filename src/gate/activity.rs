//! Which sessions are in use: what the authority is told of the requests that were let in.
//!
//! A session is what a token's `sid` names, or the token itself by its `jti`. Every virtual machine
//! collects its own; the edge hands on what is due, on its ticks.
//!
//! # What does an ordinary request pay?
//!
//! Some dozen additions and comparisons, and no call of the host. The cached token knows the place
//! of its session, so that no name is hashed. The time is that of the last tick, which is exact
//! enough for something that is told once in a minute.
//!
//! # When is it looked from where a request comes?
//!
//! The host needs 1.3 µs to tell a client's address, and the header line with its software has to
//! be found among twenty. Both are done for the first request of a report and for one in sixteen,
//! which is how soon a session that is also used from elsewhere is noticed, and at once when the
//! client's software may be another. That costs a comparison: the line is at the same position as
//! in the request before, and its value is as long. Two programs of one user that take turns would
//! make every request such a change, so that only a few of them count in one report.
//!
//! # What is told when there is nothing to tell?
//!
//! That, twice in an interval. Otherwise the authority could not tell a session that is idle from
//! an edge that is silent.
//!
//! # What of a request that goes on for hours?
//!
//! A WebSocket is one request, however much is said over it. So requests in progress count as use of
//! their sessions, twice in an interval: then each report has it, and the session keeps its place
//! meanwhile. They are not counted as requests again, and not looked at once more.
//!
//! # What if there are too many sessions?
//!
//! New ones are not collected until others have made room, and their requests are counted as
//! dropped. A session makes room when it was not used for an interval after it was reported.
//! What could not be reported is kept, and goes with the next report.
//!
//! # What if the clock jumps?
//!
//! Ages are told, not instants, and by a clock of its own: it goes on from tick to tick as the
//! host's clock does, but never back, and never by more than some seconds at once. So no session
//! becomes a day old because the host has corrected its clock by one.

mod network;
mod session;
mod sessions;
mod user_agent;

use std::cell::RefCell;
use std::fmt;
use std::hash::Hasher as _;
use std::time::Duration;

use siphasher::sip128::{Hasher128 as _, SipHasher13};

use super::policy::{ActivityRules, Detail, StreamUse};
use super::request::Request;
use super::token_cache::KnownToken;
use crate::host::Host;
use crate::revocation::wire::activity::Report;
use session::{Line, Session};
use sessions::Sessions;

pub(super) use sessions::Place;
pub use sessions::{ActivityCounts, Bundle, Delivery};

/// The sessions in use, as far as one virtual machine has let their requests in.
pub struct Activity {
    rules: ActivityRules,
    device_claim: Option<String>,
    /// Keys the hash by which a session is found.
    secret: [u8; 16],
    sessions: RefCell<Sessions>,
}

/// Without the secret and the sessions.
impl fmt::Debug for Activity {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Activity");
        shown.field("rules", &self.rules).finish_non_exhaustive()
    }
}

impl Activity {
    pub(super) fn new(
        rules: ActivityRules,
        device_claim: Option<String>,
        secret: [u8; 16],
    ) -> Self {
        Self {
            rules,
            device_claim,
            secret,
            sessions: RefCell::default(),
        }
    }

    /// Takes notice of a request that was let in with these tokens. Two that are of the same
    /// session count once.
    pub(super) fn note<'t>(
        &self,
        host: &impl Host,
        request: &Request,
        tokens: impl Iterator<Item = &'t KnownToken>,
    ) {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.now();
        let mut last = None;
        for token in tokens {
            if !sessions.has(token.place()) {
                self.find_place(&mut sessions, token, 1);
            }
            let place = token.place();
            let Some(session) = sessions.get_mut(place).filter(|_| last != Some(place)) else {
                continue;
            };
            if session.window.is_sample() || session.may_have_other_agent(request) {
                self.look(host, request, session);
            }
            session.window.count(now);
            last = Some(place);
        }
    }

    /// How often [`Activity::note_stream`] is to be called for every request in progress; `None` where
    /// they do not count.
    pub(super) fn stream_period(&self) -> Option<Duration> {
        (self.rules.streams == StreamUse::Count).then(|| self.rules.interval / 2)
    }

    /// Takes notice of a request in progress that was let in with these tokens.
    pub(super) fn note_stream<'t>(&self, tokens: impl Iterator<Item = &'t KnownToken>) {
        let mut sessions = self.sessions.borrow_mut();
        let now = sessions.now();
        for token in tokens {
            if !sessions.has(token.place()) {
                self.find_place(&mut sessions, token, 0);
            }
            if let Some(session) = sessions.get_mut(token.place()) {
                session.window.note_stream(now);
            }
        }
    }

    /// Moves on to this time, in milliseconds since the epoch by the host's clock.
    pub fn tick(&self, now_milliseconds: u64) {
        let interval = self.rules.interval;
        self.sessions.borrow_mut().tick(now_milliseconds, interval);
    }

    /// What has to be told now: the body of the request, and what has to be known when it has
    /// ended, to be given back with [`Activity::settle`]. `None` when there is nothing, and that
    /// was told lately too. `is_held_back` says whether another virtual machine of the process has
    /// something to tell and cannot: the authority takes what one of them tells for the whole.
    pub fn take_bundle(&self, is_held_back: impl FnOnce() -> bool) -> Option<(Vec<u8>, Bundle)> {
        let mut sessions = self.sessions.borrow_mut();
        sessions.take_bundle(self.rules.interval, is_held_back)
    }

    /// Whether something is told late or not at all, of which the authority does not know yet.
    pub fn holds_back(&self) -> bool {
        self.sessions.borrow().holds_back(self.rules.interval)
    }

    /// Takes back what was handed on.
    pub fn settle(&self, bundle: Bundle, delivery: Delivery) {
        self.sessions.borrow_mut().settle(bundle, delivery);
    }

    /// What was counted since this was asked last.
    pub fn take_counts(&self) -> ActivityCounts {
        self.sessions.borrow_mut().take_counts()
    }

    /// The same at the end, when nothing more is told.
    pub fn end(&self) -> ActivityCounts {
        let mut sessions = self.sessions.borrow_mut();
        sessions.clear();
        sessions.take_counts()
    }

    /// Gives a token, of which there are so many new requests, the place of its session, unless it names none
    /// or there is no room.
    #[cold]
    fn find_place(&self, sessions: &mut Sessions, token: &KnownToken, requests: u32) {
        let report = super::revocation::report_of(token.claims(), self.device_claim.as_deref());
        if let Some(report) = report {
            let place = sessions.join(self.id(&report), report, requests);
            token.put_at(place.unwrap_or_default());
        }
    }

    /// What a session is found by: 128 bits of a hash under a secret, so that no client can make
    /// two sessions one. Subjects that share a `sid` are told apart, as the authority does, and so are
    /// clients, since a session policy may have rules for the one that was used last.
    fn id(&self, report: &Report) -> u128 {
        let mut hasher = SipHasher13::new_with_key(&self.secret);
        for name in [
            Some(&report.issuer),
            report.subject.as_ref(),
            report.sid.as_ref(),
            report.jti.as_ref(),
            report.client.as_ref(),
        ] {
            let name = name.map(String::as_bytes).unwrap_or_default();
            hasher.write_usize(name.len());
            hasher.write(name);
        }
        hasher.finish128().as_u128()
    }

    /// Looks from where a request comes, if that has to be known for this one.
    #[cold]
    fn look(&self, host: &impl Host, request: &Request, session: &mut Session) {
        let line = match self.rules.user_agent {
            Detail::None => None,
            Detail::Coarse | Detail::Full => request.line(USER_AGENT),
        };
        session.agent_line = line.map(|(index, value)| Line::new(index, value));
        let family = line.and_then(|(_, value)| user_agent::family(value));
        if session.window.has_to_look(family.as_deref()) {
            let address = || host.property(&["source", "address"]);
            let network = network::of(address, self.rules.network);
            session.window.turn_to(network, family);
        }
    }
}

const USER_AGENT: &str = "user-agent";
