//! Requests in progress, which end with the tokens that let them in.
//!
//! Web sockets, server-sent events, gRPC streams, long down- and uploads: a request is decided when it
//! begins, and may go on for days. Every virtual machine keeps its own, in a [`Register`], and
//! on each tick finds out which of them have to end.
//!
//! # Which ones are looked at?
//!
//! Those that the changes since the last tick name, first of all: every watched request is compared
//! with them, which costs some ten nanoseconds each. A request that a change names is looked up in the
//! revocation filter, as a new one would be; where the filter says "perhaps" the authority is asked.
//! Thousands of changes at once have bits in common with most requests, and one change may be about all
//! of them: beyond [`MOST_COMPARED`] no names are compared, and what may be meant is looked up.
//! Where it is not known what was missed, all of them are looked up, one after the other. What
//! reads shared data or closes a stream is done for [`LOOKS_PER_TICK`] requests at most, so that
//! new requests do not wait for it.
//!
//! # Is an ordinary request cut off as well?
//!
//! Not if it ends within [`SHORT_TICKS`]: its client would see a broken connection where it waits for
//! an answer, and gains nothing by it. So a request is left alone until it is older than that.
//!
//! # Is someone who works over a WebSocket idle?
//!
//! Not where sessions in use are reported: every request that is watched is used, and twice in an interval
//! its session is told to be, for so many requests in a tick as are looked at.
//!
//! # What does a short request pay?
//!
//! A place in the register, which it gives back when it ends. It makes no call of the host, and takes no
//! memory but that of its place, which the next one uses again.

mod register;
mod round;
mod sweep;

use std::collections::VecDeque;
use std::time::Duration;

use super::calls::Caller;
use super::checks::Checks;
use super::{ContextId, EdgeHost, Metric};
use crate::backoff;
use crate::gate::{
    Admitted, ChangedNames, Check, Gate, Posture, StreamRule, StreamRules, Validity,
};
use crate::host::{BackgroundHost as _, CallId, CallOutcome};
use crate::revocation::Settled;
use crate::sync::VoidTokens;
use crate::time::{Interval, UnixTime};
use register::{Kept, Register, Watched};
use round::Round;
use sweep::Sweep;

pub(super) use register::Ticket;

/// Requests that are looked up or closed in one tick. A look-up takes some ten microseconds, closing
/// a stream some thirty.
const LOOKS_PER_TICK: usize = 512;

/// A request that has been there for fewer ticks than this, about a second, is not a stream yet.
const SHORT_TICKS: u32 = 10;

/// Requests that are looked up when the authority has answered about another one.
const LOOKS_PER_ANSWER: usize = 16;

/// Most requests whose names are compared with changes in one tick, and most names that they are
/// compared with. A request takes some four microseconds, most of it to hash its names once more.
const MOST_COMPARED: usize = 1_024;

/// Checks that are under way at the same time.
const MOST_CHECKS: usize = 64;

/// When an authority that has not answered is asked again.
const ASK_AGAIN: Duration = Duration::from_secs(1);

/// When at the latest, where requests go on without its answer.
const ASK_LATEST: Duration = Duration::from_mins(1);

impl Kept for Admitted {
    fn begin(&self) -> u64 {
        self.begin_keeping()
    }

    fn end(&self) -> u64 {
        self.end_keeping()
    }
}

/// Why a request in progress was ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// A token that let it in was revoked.
    Revoked,
    /// A token that let it in has expired.
    Expired,
    /// The revocation feed cannot be relied on, and has not been for a while.
    Stale,
    /// The filter takes a token for revoked, and the authority does not say whether it was.
    Unconfirmed,
}

impl End {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Revoked, Self::Expired, Self::Stale, Self::Unconfirmed];

    /// What metrics and access logs call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Revoked => "revoked",
            Self::Expired => "expired",
            Self::Stale => "stale",
            Self::Unconfirmed => "unconfirmed",
        }
    }
}

/// How many requests in progress there are, and what has become of others.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StreamCounts {
    /// Those that are watched.
    pub watched: usize,
    /// Those that went on unwatched since this was told last, for want of room.
    pub unwatched: u32,
    /// Those that were ended since then, in the order of [`End::ALL`].
    pub closed: [u32; End::ALL.len()],
}

/// A request that has to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Closing {
    pub(super) context: ContextId,
    pub(super) end: End,
}

/// A request that has to be looked at.
#[derive(Clone, Copy, Debug)]
struct Suspect {
    watched: Watched,
    /// Since when the authority was asked in vain.
    unanswered: Option<Interval>,
}

/// The requests in progress of one virtual machine.
#[derive(Debug)]
pub(super) struct Streams {
    rules: StreamRules,
    /// How long they go on while nothing is known; `None` where no revocation ends them.
    stream_grace: Option<Duration>,
    on_unconfirmed: Posture,
    register: Register<Admitted>,
    /// The number of the last tick.
    now: u32,
    /// Where the look at all of them is, while all have to be looked at.
    sweep: Option<Sweep>,
    suspects: VecDeque<Suspect>,
    /// Those about which the authority did not answer, until it is asked again.
    unanswered: Vec<Suspect>,
    pause: Option<Interval>,
    /// How often it was asked again in vain, in a row.
    failures: u32,
    checks: Checks<Check, Suspect>,
    /// No request expires earlier.
    first_expiry: Option<UnixTime>,
    /// Counts them as use of their sessions; `None` where they are not.
    round: Option<Round>,
    /// The stretch for which they go on although nothing is known.
    unknown: Option<Interval>,
    counts: StreamCounts,
}

impl Streams {
    /// None yet; `None` where the policy of this gate ends no request in progress.
    pub(super) fn new(gate: &Gate) -> Option<Self> {
        let policy = gate.policy();
        if !policy.watches_streams() {
            return None;
        }
        let settings = gate.feed().map(|(settings, _)| settings);
        let settings = settings.filter(|_| policy.closes_revoked());
        Some(Self {
            rules: policy.streams(),
            stream_grace: settings.map(|settings| settings.stream_grace),
            on_unconfirmed: settings.map_or(Posture::Deny, |settings| settings.on_unconfirmed),
            register: Register::default(),
            now: 0,
            sweep: None,
            suspects: VecDeque::new(),
            unanswered: Vec::new(),
            pause: None,
            failures: 0,
            checks: Checks::default(),
            first_expiry: None,
            round: gate.stream_period().map(Round::new),
            unknown: None,
            counts: StreamCounts::default(),
        })
    }

    /// Watches a request that was let in.
    pub(super) fn watch(&mut self, context: ContextId, admitted: Admitted) -> Ticket {
        if let Some(expiry) = admitted.expires_at() {
            let first = self.first_expiry.map_or(expiry, |first| first.min(expiry));
            self.first_expiry = Some(first);
        }
        let is_settled = self.stream_grace.is_none() || admitted.is_settled();
        self.counts.unwatched += self.register.make_room();
        let ticket = self.register.add(context, self.now, admitted);
        if !is_settled {
            self.suspect(Watched { ticket, context });
        }
        ticket
    }

    /// Forgets a request that has gone.
    pub(super) fn forget(&mut self, ticket: Ticket, context: ContextId) {
        self.register.remove(Watched { ticket, context });
    }

    /// Has those looked at that the feed has said something about.
    pub(super) fn note_changes(&mut self, gate: &Gate, changes: &VoidTokens) {
        if self.stream_grace.is_none() || self.register.len() == 0 {
            return;
        }
        match changes {
            VoidTokens::All => self.sweep = Some(Sweep::anew(self.sweep)),
            VoidTokens::Named(names) => {
                let meant = ChangedNames::new(names);
                let may_be = |admitted: &Admitted| meant.may_concern(admitted);
                let is = |admitted: &Admitted| gate.concerns(admitted, &meant);
                for watched in concerned(&self.register, names.len(), may_be, is) {
                    self.suspect(watched);
                }
            }
        }
    }

    /// Which requests have to end now.
    pub(super) fn tick<H: EdgeHost>(&mut self, host: &Caller<'_, H>, gate: &Gate) -> Vec<Closing> {
        let mut closing = Vec::new();
        self.now = self.now.wrapping_add(1);
        if self.register.len() == 0 {
            self.suspects.clear();
            self.unanswered.clear();
            (self.sweep, self.unknown) = (None, None);
            return closing;
        }
        let now = host.now_milliseconds();
        if let Some(round) = &mut self.round {
            round.go_on(now, &self.register, |admitted| gate.note_stream(admitted));
        }
        self.end_expired(now, &mut closing);
        if let Some(grace) = self.stream_grace {
            self.end_unknown(host, gate, (now, grace), &mut closing);
            self.ask_again(now);
            self.look(host, gate, LOOKS_PER_TICK, &mut closing);
        }
        closing
    }

    /// Takes the end of a call of its own. Which requests have to end for it.
    pub(super) fn answered<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        call: CallId,
        outcome: &CallOutcome,
    ) -> Vec<Closing> {
        let mut closing = Vec::new();
        if let Some((check, suspects)) = self.checks.answered(host, call, outcome) {
            let outcome = gate.check_outcome(&check, outcome);
            host.measure(Metric::Check(&outcome));
            if outcome.answer.is_some() {
                self.failures = 0;
            }
            for suspect in suspects {
                match outcome.answer {
                    Some(Settled::Revoked(_)) => {
                        self.end(suspect.watched, End::Revoked, &mut closing);
                    }
                    Some(Settled::NotRevoked) => {}
                    None => self.note_unanswered(host, suspect, &mut closing),
                }
            }
        }
        self.look(host, gate, LOOKS_PER_ANSWER, &mut closing);
        closing
    }

    /// Counts a request that was ended.
    pub(super) fn count(&mut self, end: End) {
        if let Some(count) = self.counts.closed.get_mut(end as usize) {
            *count += 1;
        }
    }

    /// What was counted since this was asked last.
    pub(super) fn take_counts(&mut self) -> StreamCounts {
        StreamCounts {
            watched: self.register.len(),
            ..std::mem::take(&mut self.counts)
        }
    }

    fn end(&mut self, watched: Watched, end: End, closing: &mut Vec<Closing>) {
        if self.register.remove(watched) {
            closing.push(Closing {
                context: watched.context,
                end,
            });
        }
    }

    fn end_expired(&mut self, now_milliseconds: u64, closing: &mut Vec<Closing>) {
        let now = UnixTime::from_milliseconds(now_milliseconds);
        let grace = self.rules.expiry_grace;
        let is_due = |expiry: UnixTime| expiry.later_by(grace) <= now;
        if self.rules.on_expiry == StreamRule::Keep || !self.first_expiry.is_some_and(is_due) {
            return;
        }
        let has_expired = |admitted: &Admitted| admitted.expires_at().is_some_and(is_due);
        for watched in self.register.find(has_expired, LOOKS_PER_TICK) {
            if self.is_short(watched) == Some(false) {
                self.end(watched, End::Expired, closing);
            }
        }
        self.first_expiry = self.register.all().filter_map(Admitted::expires_at).min();
    }

    /// Ends them, so many in a tick, when nothing has been known for too long.
    fn end_unknown<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        (now, grace): (u64, Duration),
        closing: &mut Vec<Closing>,
    ) {
        if !gate.refuses_unknown(host, now) {
            self.unknown = None;
            return;
        }
        let unknown = self.unknown.unwrap_or(Interval::new(now, grace));
        let unknown = unknown.begun_by(now);
        self.unknown = Some(unknown);
        if unknown.is_over(now) {
            for watched in self.register.find(|_| true, LOOKS_PER_TICK) {
                if self.is_short(watched) == Some(false) {
                    self.end(watched, End::Stale, closing);
                }
            }
        }
    }

    /// Whether a request may still be an ordinary one; `None` when it has gone.
    fn is_short(&self, watched: Watched) -> Option<bool> {
        let since = self.register.since(watched)?;
        Some(self.now.wrapping_sub(since) < SHORT_TICKS)
    }

    fn suspect(&mut self, watched: Watched) {
        self.push(Suspect {
            watched,
            unanswered: None,
        });
    }

    fn push(&mut self, suspect: Suspect) {
        // There are more entries than requests only when most of them have gone.
        if self.suspects.len() >= register::MOST_WATCHED {
            self.suspects.clear();
            self.sweep = Some(Sweep::anew(self.sweep));
        } else {
            self.suspects.push_back(suspect);
        }
    }

    fn next_suspect(&mut self) -> Option<Suspect> {
        if let Some(suspect) = self.suspects.pop_front() {
            return Some(suspect);
        }
        let watched = self.sweep.as_mut()?.next(&self.register)?;
        Some(Suspect {
            watched,
            unanswered: None,
        })
    }

    /// Looks at some of those that have to be looked at, if there is a feed.
    fn look<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        most: usize,
        closing: &mut Vec<Closing>,
    ) {
        if gate.feed().is_none_or(|(_, view)| view.state().is_none()) {
            // When there is one again, all of them are looked at.
            self.suspects.clear();
            return;
        }
        let mut later = Vec::new();
        for _ in 0..most {
            if self.checks.is_busy(MOST_CHECKS) {
                break;
            }
            let Some(suspect) = self.next_suspect() else {
                self.sweep = None;
                break;
            };
            if self.is_short(suspect.watched) == Some(true) {
                later.push(suspect);
                continue;
            }
            let found = self.register.get(suspect.watched);
            let random = || host.random();
            let look = |admitted| gate.look_again(host, random, admitted);
            match found.map(look) {
                None | Some(Validity::Holds) => {}
                Some(Validity::Revoked) => self.end(suspect.watched, End::Revoked, closing),
                Some(Validity::Check(checks)) => {
                    for check in checks {
                        self.check(host, gate, &check, suspect, closing);
                    }
                }
            }
        }
        self.suspects.extend(later);
    }

    fn check<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        check: &Check,
        suspect: Suspect,
        closing: &mut Vec<Closing>,
    ) {
        let call = || gate.check_call(check);
        if let Err(suspect) = self.checks.make(host, check, call, suspect) {
            self.note_unanswered(host, suspect, closing);
        }
    }

    /// Ends a request of which the authority has not said for too long whether it has to, or has it
    /// asked again later: sooner or later it says so, and a revoked one must not go on for ever.
    fn note_unanswered<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        suspect: Suspect,
        closing: &mut Vec<Closing>,
    ) {
        let now = host.now_milliseconds();
        let grace = self.stream_grace.unwrap_or_default();
        let unanswered = suspect.unanswered.unwrap_or(Interval::new(now, grace));
        let unanswered = unanswered.begun_by(now);
        let may_go_on = self.on_unconfirmed == Posture::Allow;
        if !may_go_on && unanswered.is_over(now) {
            self.end(suspect.watched, End::Unconfirmed, closing);
            return;
        }
        if self.register.mark_waiting(suspect.watched, true) {
            // Where it may go on without an answer, ever more time is left; else the answer has to be in
            // before the grace is over.
            self.pause.get_or_insert_with(|| {
                let wait = if may_go_on {
                    backoff::wait(ASK_AGAIN, ASK_LATEST, self.failures, host.random())
                } else {
                    ASK_AGAIN
                };
                Interval::new(now, wait)
            });
            self.unanswered.push(Suspect {
                unanswered: Some(unanswered),
                ..suspect
            });
        }
    }

    fn ask_again(&mut self, now: u64) {
        if self.pause.is_some_and(|pause| pause.is_over(now)) {
            self.pause = None;
            self.failures = self.failures.saturating_add(1);
            for suspect in std::mem::take(&mut self.unanswered) {
                if self.register.mark_waiting(suspect.watched, false) {
                    self.push(suspect);
                }
            }
        }
    }
}

/// The requests that changes of so many names concern: those that may be meant, and of these, as long
/// as they are few, only those that are.
fn concerned<T: Kept>(
    register: &Register<T>,
    names: usize,
    may_be: impl Fn(&T) -> bool,
    is: impl Fn(&T) -> bool,
) -> Vec<Watched> {
    let mut found = register.find(may_be, usize::MAX);
    if found.len().max(names) <= MOST_COMPARED {
        found.retain(|watched| register.get(*watched).is_some_and(&is));
    }
    found
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    impl Kept for u32 {
        fn begin(&self) -> u64 {
            0
        }

        fn end(&self) -> u64 {
            0
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn whatever_is_revoked_at_once_names_are_compared_for_so_many_requests_at_most() {
        let mut register = Register::default();
        for number in 0..10_000 {
            register.add(ContextId(number), 0, number);
        }
        // So many changes, in how many of a hundred requests they may be meant, and what follows.
        for (names, percent, compared, found) in [
            // Sixteen bits of one of ten names are those of a change by chance.
            (1, 1, 100, 50),
            (500, 7, 700, 350),
            (1_024, 10, 1_000, 500),
            (1_025, 10, 0, 1_000),
            (10_000, 75, 0, 7_500),
            // Everything of an issuer.
            (1, 100, 0, 10_000),
        ] {
            let [looks, comparisons] = [const { Cell::new(0) }; 2];
            let may_be = |number: &u32| {
                looks.set(looks.get() + 1);
                number % 100 < percent
            };
            let is = |number: &u32| {
                comparisons.set(comparisons.get() + 1);
                (number / 100).is_multiple_of(2)
            };
            let suspects = concerned(&register, names, may_be, is);
            let done = (looks.get(), comparisons.get(), suspects.len());
            assert_eq!(done, (10_000, compared, found), "{names}, {percent} %");
        }
    }
}
