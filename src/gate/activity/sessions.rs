//! The sessions that are collected, each at a place that its tokens know.
//!
//! A session is in one of three states: something of it has to be told, in its turn; it was handed
//! on and that has not ended; or it was reported less than an interval ago. Where nothing has
//! happened at the end of the interval, it is forgotten. Intervals are all of the same length, so
//! the sessions that were reported stand in the order in which theirs end, and a tick looks at
//! those at the front alone.

use std::collections::VecDeque;
use std::time::Duration;

use super::session::{Session, Window};
use crate::revocation::wire::activity::{ActivityBody, Report};
use crate::time::milliseconds;

/// Sessions of one virtual machine. With names of ordinary length and two sightings each, these
/// take some 25 MB.
const MOST_SESSIONS: usize = 50_000;

/// Bytes of their names. Only tokens with names as long as the authority allows come to this.
const MOST_NAME_BYTES: usize = 16 * 1024 * 1024;

/// A bundle that has come to so many bytes is sent. A thousand sessions come to a quarter of a MiB,
/// and to write them takes about a millisecond.
const BUNDLE_BYTES: usize = 256 * 1024;

/// Chains of sessions whose ids end alike: a chain has three of them when there are as many as may
/// be. A hash table of the library would be six times as much code.
const CHAINS: u16 = 16_384;

/// Sessions whose interval is looked at in one tick.
const MOST_PER_TICK: usize = 2_000;

/// Places that are looked at, for one that a session with a `sid` may take.
const MOST_TRIED: usize = 64;

/// As far as a clock is believed to have gone on from one tick to the next. Ticks come ten times a
/// second; a worker that could not tick for longer was stopped.
const LONGEST_STEP: Duration = Duration::from_secs(10);

/// Where a session is. Another one may have taken its place since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) struct Place {
    index: u32,
    generation: u32,
}

/// No place.
impl Default for Place {
    fn default() -> Self {
        Self {
            index: u32::MAX,
            generation: 0,
        }
    }
}

/// What has become of what was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ActivityCounts {
    /// Reports that the authority has taken.
    pub reported: u32,
    /// Requests that it will not hear of.
    pub dropped: u32,
    /// Sessions that are known.
    pub sessions: usize,
}

/// What was handed on, and has to be known when that has ended.
#[derive(Debug)]
pub struct Bundle {
    windows: Vec<(Turn, Window)>,
    /// Whether it says that there is more.
    is_incomplete: bool,
}

/// What has become of a bundle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Delivery {
    /// The authority has taken it.
    Reported,
    /// It has refused it, and would do so again.
    Refused,
    /// It has not answered.
    Unanswered,
}

/// A clock that goes on from tick to tick.
#[derive(Debug, Default)]
struct Clock {
    /// What the host's said last.
    host: Option<u64>,
    now: u64,
}

#[derive(Debug, Default)]
struct Seat {
    generation: u32,
    /// The next one of its chain.
    next: Option<u32>,
    session: Option<Box<Session>>,
}

/// A session in one of the queues, and since when. It may have made room for another one by then.
#[derive(Clone, Copy, Debug)]
struct Turn {
    place: Place,
    since: u64,
}

/// The sessions of one virtual machine.
#[derive(Debug)]
pub(super) struct Sessions {
    seats: Vec<Seat>,
    free: Vec<u32>,
    /// The first session of each chain. None until there is a session.
    chains: Vec<Option<u32>>,
    len: usize,
    /// Those of which something has to be told.
    due: VecDeque<Turn>,
    /// Those that were reported.
    reported: VecDeque<Turn>,
    clock: Clock,
    /// When something was handed on last.
    told_at: u64,
    /// Whether something was dropped since, which the authority has to know: what it does not hear of
    /// must not look idle.
    is_incomplete: bool,
    /// The next place to try for one that can be taken.
    next_tried: usize,
    name_bytes: usize,
    most: usize,
    counts: ActivityCounts,
}

impl Default for Sessions {
    fn default() -> Self {
        Self::with_room_for(MOST_SESSIONS)
    }
}

impl Sessions {
    fn with_room_for(most: usize) -> Self {
        Self {
            seats: Vec::new(),
            free: Vec::new(),
            chains: Vec::new(),
            len: 0,
            due: VecDeque::new(),
            reported: VecDeque::new(),
            clock: Clock::default(),
            told_at: 0,
            is_incomplete: false,
            next_tried: 0,
            name_bytes: 0,
            most,
            counts: ActivityCounts::default(),
        }
    }

    /// The time at the last tick.
    pub(super) const fn now(&self) -> u64 {
        self.clock.now
    }

    pub(super) fn has(&self, place: Place) -> bool {
        let seat = self.seats.get(place.index as usize);
        seat.is_some_and(|seat| seat.generation == place.generation)
    }

    fn get(&self, place: Place) -> Option<&Session> {
        let seat = self.seats.get(place.index as usize)?;
        let session = seat.session.as_deref()?;
        (seat.generation == place.generation).then_some(session)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Session> {
        let seat = self.seats.get_mut(place.index as usize)?;
        let session = seat.session.as_deref_mut()?;
        (seat.generation == place.generation).then_some(session)
    }

    /// The place of the session with this id, which a token with these names is of. A session that
    /// is new takes one; `None` where there is no room, and these requests of the token are not collected.
    /// Tokens without `sid` make room for sessions, since no session policy is for them.
    pub(super) fn join(&mut self, id: u128, report: Report, requests: u32) -> Option<Place> {
        if let Some(index) = self.find(id) {
            self.renew(index, report);
            return self.place(index);
        }
        let bytes = name_bytes(&report);
        let has_room = self.has_room(bytes) || (can_be_idle(&report) && self.make_room(bytes));
        if !has_room {
            self.drop_requests(requests, can_be_idle(&report));
            return None;
        }
        let index = self.take_seat();
        let since = self.now();
        let seat = self.seats.get_mut(index as usize)?;
        seat.session = Some(Box::new(Session {
            id,
            report,
            window: Window::default(),
            agent_line: None,
        }));
        if self.chains.is_empty() {
            self.chains.resize(usize::from(CHAINS), None);
        }
        seat.next = self.chains.get_mut(chain_of(id))?.replace(index);
        self.name_bytes += bytes;
        self.len += 1;
        let place = self.place(index)?;
        self.due.push_back(Turn { place, since });
        Some(place)
    }

    /// Moves on to this time by the host's clock, and finds out what has to be told again.
    pub(super) fn tick(&mut self, host: u64, interval: Duration) {
        let now = self.clock.move_on(host);
        let interval = milliseconds(interval);
        for _ in 0..MOST_PER_TICK {
            let Some(turn) = self.reported.front().copied() else {
                break;
            };
            if now - turn.since < interval {
                break;
            }
            self.reported.pop_front();
            let session = self.get_mut(turn.place);
            match session.map(|session| session.window.is_used()) {
                Some(true) => self.due.push_back(turn),
                Some(false) => self.forget(turn.place.index),
                None => {}
            }
        }
    }

    /// What is due, as much as is sent at once. Where nothing is and nothing was for half an
    /// interval, that is told too. `is_held_back` says whether another virtual machine of the process
    /// keeps something back.
    pub(super) fn take_bundle(
        &mut self,
        interval: Duration,
        is_held_back: impl FnOnce() -> bool,
    ) -> Option<(Vec<u8>, Bundle)> {
        let now = self.now();
        let is_quiet = now - self.told_at < milliseconds(interval) / 2;
        if self.due.is_empty() && is_quiet {
            return None;
        }
        self.told_at = now;
        let is_incomplete = self.holds_back(interval);
        self.is_incomplete = false;
        let mut body = ActivityBody::new(interval, is_incomplete || is_held_back());
        let mut windows = Vec::new();
        while let Some(turn) = self.due.front().copied()
            && body.bytes() < BUNDLE_BYTES
        {
            if let Some(session) = self.get_mut(turn.place) {
                if !body.add(session.fill_in(now)) {
                    break;
                }
                session.report.sightings = Vec::new();
                windows.push((turn, std::mem::take(&mut session.window)));
            }
            self.due.pop_front();
        }
        let bundle = Bundle {
            windows,
            is_incomplete,
        };
        Some((body.finish(), bundle))
    }

    /// Whether something was dropped of which the authority has not heard yet, or is told late.
    pub(super) fn holds_back(&self, interval: Duration) -> bool {
        self.is_incomplete || self.is_behind(interval)
    }

    /// Whether a session that can be idle is told later than an interval after its turn has come.
    fn is_behind(&self, interval: Duration) -> bool {
        let late = 2 * milliseconds(interval);
        let mut due = self.due.iter();
        let first = due.find(|turn| {
            let session = self.get(turn.place);
            session.is_some_and(|session| can_be_idle(&session.report))
        });
        first.is_some_and(|turn| self.now() - turn.since > late)
    }

    pub(super) fn settle(&mut self, bundle: Bundle, delivery: Delivery) {
        let now = self.now();
        if delivery != Delivery::Reported {
            self.is_incomplete |= bundle.is_incomplete;
        }
        // What was not told is late since its turn had come, and the first to be told.
        for (turn, window) in bundle.windows.into_iter().rev() {
            match (delivery, self.get_mut(turn.place)) {
                (Delivery::Reported, _) => {
                    self.counts.reported = self.counts.reported.saturating_add(1);
                }
                (Delivery::Unanswered, Some(session)) => {
                    session.window.merge(window);
                    self.due.push_front(turn);
                    continue;
                }
                (_, session) => {
                    let can_be_idle = session.is_some_and(|session| can_be_idle(&session.report));
                    self.drop_requests(window.requests, can_be_idle);
                }
            }
            let place = turn.place;
            self.reported.push_back(Turn { place, since: now });
        }
    }

    /// Forgets all of them.
    pub(super) fn clear(&mut self) {
        for seat in std::mem::take(&mut self.seats) {
            if let Some(session) = seat.session {
                self.drop_requests(session.window.requests, false);
            }
        }
        *self = Self {
            counts: self.counts,
            ..Self::with_room_for(self.most)
        };
    }

    pub(super) fn take_counts(&mut self) -> ActivityCounts {
        ActivityCounts {
            sessions: self.len,
            ..std::mem::take(&mut self.counts)
        }
    }

    const fn has_room(&self, bytes: usize) -> bool {
        self.len < self.most && self.name_bytes + bytes <= MOST_NAME_BYTES
    }

    /// Whether there is room once some of those that cannot become idle have gone. They are looked for
    /// at one place after the other, and at so many for one session that its request does not wait.
    #[cold]
    fn make_room(&mut self, bytes: usize) -> bool {
        for _ in 0..MOST_TRIED {
            let index = self.next_tried;
            self.next_tried = if index < self.seats.len() {
                index + 1
            } else {
                0
            };
            let seat = self.seats.get(index);
            let session = seat.and_then(|seat| seat.session.as_ref());
            let session = session.filter(|session| !can_be_idle(&session.report));
            let Some(requests) = session.map(|session| session.window.requests) else {
                continue;
            };
            self.drop_requests(requests, false);
            self.forget(u32::try_from(index).unwrap_or(u32::MAX));
            if self.has_room(bytes) {
                return true;
            }
        }
        false
    }

    fn find(&self, id: u128) -> Option<u32> {
        let mut next = self.chains.get(chain_of(id)).copied().flatten();
        while let Some(index) = next {
            let seat = self.seats.get(index as usize)?;
            if seat
                .session
                .as_ref()
                .is_some_and(|session| session.id == id)
            {
                return Some(index);
            }
            next = seat.next;
        }
        None
    }

    /// Takes a session out of its chain.
    fn unchain(&mut self, id: u128, index: u32) {
        let after = self.seats.get(index as usize).and_then(|seat| seat.next);
        let Some(mut link) = self.chains.get_mut(chain_of(id)) else {
            return;
        };
        while let Some(at) = *link
            && at != index
        {
            let Some(seat) = self.seats.get_mut(at as usize) else {
                return;
            };
            link = &mut seat.next;
        }
        *link = after;
    }

    fn place(&self, index: u32) -> Option<Place> {
        let generation = self.seats.get(index as usize)?.generation;
        Some(Place { index, generation })
    }

    fn session(&mut self, index: u32) -> Option<&mut Session> {
        self.seats.get_mut(index as usize)?.session.as_deref_mut()
    }

    /// Takes over the names of a token, unless they are those of an older one.
    fn renew(&mut self, index: u32, report: Report) {
        let (mut more, mut less) = (0, 0);
        if let Some(session) = self.session(index)
            && report.issued_at >= session.report.issued_at
        {
            (more, less) = (name_bytes(&report), name_bytes(&session.report));
            session.report = report;
        }
        self.name_bytes = self.name_bytes + more - less;
    }

    fn take_seat(&mut self) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            self.seats.push(Seat::default());
            u32::try_from(self.seats.len() - 1).unwrap_or(u32::MAX)
        })
    }

    fn forget(&mut self, index: u32) {
        let Some(seat) = self.seats.get_mut(index as usize) else {
            return;
        };
        if let Some(session) = seat.session.take() {
            seat.generation = seat.generation.wrapping_add(1);
            self.unchain(session.id, index);
            self.len -= 1;
            self.name_bytes -= name_bytes(&session.report);
            self.free.push(index);
        }
    }

    /// Counts requests of which the authority will not hear. Where that could make a session look idle,
    /// it has to know.
    const fn drop_requests(&mut self, requests: u32, can_be_idle: bool) {
        self.is_incomplete |= can_be_idle;
        self.counts.dropped = self.counts.dropped.saturating_add(requests);
    }
}

impl Clock {
    fn move_on(&mut self, host: u64) -> u64 {
        let before = self.host.replace(host).unwrap_or(host);
        let step = host.saturating_sub(before);
        self.now += step.min(milliseconds(LONGEST_STEP));
        self.now
    }
}

/// Ids are hashes, so that any bits of one will do.
fn chain_of(id: u128) -> usize {
    usize::try_from(id % u128::from(CHAINS)).unwrap_or_default()
}

/// Whether a session policy may end it for being idle: only what has a `sid`.
const fn can_be_idle(report: &Report) -> bool {
    report.sid.is_some()
}

fn name_bytes(report: &Report) -> usize {
    let names = [
        &report.subject,
        &report.sid,
        &report.jti,
        &report.client,
        &report.device,
    ];
    let names = names.into_iter().flatten().map(String::len);
    report.issuer.len() + names.sum::<usize>()
}

#[cfg(test)]
mod tests;
