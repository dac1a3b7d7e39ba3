//! Connection slots: which connections may be open, and which one is closed for the next.
//!
//! | share of the slots | for | when all are taken |
//! |---|---|---|
//! | an eighth, and what the others leave | strangers: connections without a valid credential so far, such as health checks | the newest gets the slot of another, the oldest of a network that has too many (`strangers`) |
//! | a quarter, and three quarters of it for one credential | the operator's interface | the newest gets the slot of an idle connection, else it is refused |
//! | five eighths, and half of all for one credential | the edges' interface | the same, where a connection has been idle for some time |
//!
//! So there is always a slot for one more stranger, a caller with a credential is a stranger for a
//! moment only, and no number of edges, polls or strangers keeps an operator or a health check out.
//!
//! # Why is a new edge refused, instead of closing the oldest connection?
//!
//! One credential serves many edges, and it may have been stolen. If the newest connection got the
//! slot of the oldest, the thief could disconnect every edge; like this, only new ones are kept
//! out.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Notify;

use super::seldom::Seldom;

mod strangers;

use strangers::{Stranger, Strangers};

/// How long an edge's connection may be idle before it makes room for another: longer than a
/// segment takes on a slow line, since it is still being sent when the request counts as answered.
const PATIENCE: Duration = Duration::from_secs(10);

/// What a connection is used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::authority) enum Interface {
    /// Revoking, looking, monitoring.
    Operators,
    /// The feed and checks.
    Edges,
}

/// The slots of all connections.
#[derive(Debug)]
pub(super) struct ConnectionSlots {
    taken: Mutex<Taken>,
    total: usize,
    refused: Seldom,
}

#[derive(Debug, Default)]
struct Taken {
    last_number: u64,
    strangers: Strangers,
    groups: HashMap<Holder, Group>,
    operators: usize,
    edges: usize,
}

/// A credential on an interface, whose connections are counted together.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Holder {
    interface: Interface,
    credential: Arc<str>,
}

#[derive(Debug, Default)]
struct Group {
    busy: usize,
    /// The longest idle first.
    idle: BTreeMap<u64, Idle>,
}

#[derive(Debug)]
struct Idle {
    since: Instant,
    send_away: Arc<Notify>,
}

/// One connection's slot. Its requests have it among their extensions.
#[derive(Debug)]
pub(in crate::authority) struct ConnectionSlot {
    slots: Arc<ConnectionSlots>,
    state: Mutex<State>,
    /// Where it comes from.
    network: IpAddr,
    /// Whether a request is in progress. Changed while the state is locked.
    is_busy: AtomicBool,
    send_away: Arc<Notify>,
}

#[derive(Debug)]
enum State {
    Stranger(Stranger),
    Busy(Holder),
    Idle(Holder, u64),
}

/// A request is being answered, until this is dropped.
#[derive(Debug)]
pub(in crate::authority) struct Busy(Arc<ConnectionSlot>);

/// A request is in progress, until this is dropped.
#[derive(Debug)]
pub(super) struct InProgress(Arc<ConnectionSlot>);

/// All slots that the caller may use are taken by connections that are being answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::authority) struct Full {
    /// How many that are.
    pub(in crate::authority) limit: usize,
}

impl ConnectionSlots {
    pub(super) fn new(total: usize) -> Arc<Self> {
        Arc::new(Self {
            taken: Mutex::default(),
            total,
            refused: Seldom::default(),
        })
    }

    /// A slot for one more connection from there, which is a stranger.
    pub(super) fn admit(self: &Arc<Self>, address: IpAddr) -> Arc<ConnectionSlot> {
        let (send_away, network) = (Arc::new(Notify::new()), strangers::network(address));
        let stranger = self.lock().admit(network, false, &send_away);
        Arc::new(ConnectionSlot {
            slots: Arc::clone(self),
            state: Mutex::new(State::Stranger(stranger)),
            network,
            is_busy: AtomicBool::new(false),
            send_away,
        })
    }

    /// Closes connections of strangers, this many or all.
    pub(super) fn send_away(&self, count: usize) {
        let mut taken = self.lock();
        for _ in 0..count {
            if let Some(send_away) = taken.strangers.take_out(self.total / 4) {
                send_away.notify_one();
            }
        }
    }

    const fn limit(&self, interface: Interface) -> usize {
        match interface {
            Interface::Operators => self.total / 4,
            Interface::Edges => self.total * 5 / 8,
        }
    }

    const fn limit_of_one(&self, interface: Interface) -> usize {
        match interface {
            Interface::Operators => self.total * 3 / 16,
            Interface::Edges => self.total / 2,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Finds a slot for a request, if necessary that of an idle connection.
    fn make_room(&self, taken: &mut Taken, holder: &Holder, now: Instant) -> Result<(), Full> {
        let (interface, limit) = (holder.interface, self.limit(holder.interface));
        let limit_of_one = self.limit_of_one(interface);
        let of_one = taken.groups.get(holder).map_or(0, Group::count);
        if of_one >= limit_of_one {
            let full = Full {
                limit: limit_of_one,
            };
            return taken.send_idle_away(holder, now).ok_or(full);
        }
        if taken.count(interface) < limit {
            return Ok(());
        }
        let mut holders = taken
            .groups
            .keys()
            .filter(|other| other.interface == interface);
        let longest_idle = holders
            .by_ref()
            .filter_map(|other| Some((taken.groups.get(other)?.idle.keys().next()?, other)))
            .min_by_key(|(number, _)| **number)
            .map(|(_, other)| other.clone());
        longest_idle
            .and_then(|other| taken.send_idle_away(&other, now))
            .ok_or(Full { limit })
    }
}

impl Taken {
    fn number(&mut self) -> u64 {
        self.last_number += 1;
        self.last_number
    }

    fn admit(&mut self, network: IpAddr, is_busy: bool, send_away: &Arc<Notify>) -> Stranger {
        let stranger = Stranger {
            number: self.number(),
            network,
        };
        self.strangers
            .insert(stranger, is_busy, Arc::clone(send_away));
        stranger
    }

    const fn count(&self, interface: Interface) -> usize {
        match interface {
            Interface::Operators => self.operators,
            Interface::Edges => self.edges,
        }
    }

    const fn count_mut(&mut self, interface: Interface) -> &mut usize {
        match interface {
            Interface::Operators => &mut self.operators,
            Interface::Edges => &mut self.edges,
        }
    }

    fn begin(&mut self, holder: &Holder) {
        self.groups.entry(holder.clone()).or_default().busy += 1;
        *self.count_mut(holder.interface) += 1;
    }

    /// Whether the connection in this state was not sent away.
    fn has(&self, state: &State) -> bool {
        match state {
            State::Stranger(stranger) => self.strangers.contains(*stranger),
            State::Busy(_) => true,
            State::Idle(holder, number) => {
                let group = self.groups.get(holder);
                group.is_some_and(|group| group.idle.contains_key(number))
            }
        }
    }

    /// Undoes the count of a state, unless the connection was sent away.
    fn leave(&mut self, state: &State) {
        let holder = match state {
            State::Stranger(stranger) => {
                self.strangers.remove(*stranger);
                return;
            }
            State::Busy(holder) | State::Idle(holder, _) => holder,
        };
        let Some(group) = self.groups.get_mut(holder) else {
            return;
        };
        if let State::Idle(_, number) = state {
            if group.idle.remove(number).is_none() {
                return;
            }
        } else {
            group.busy = group.busy.saturating_sub(1);
        }
        let is_empty = group.count() == 0;
        let count = self.count_mut(holder.interface);
        *count = count.saturating_sub(1);
        if is_empty {
            self.groups.remove(holder);
        }
    }

    /// Frees the slot of the connection that has been idle longest.
    fn send_idle_away(&mut self, holder: &Holder, now: Instant) -> Option<()> {
        let group = self.groups.get_mut(holder)?;
        let (number, idle) = group.idle.first_key_value()?;
        let patience = match holder.interface {
            Interface::Operators => Duration::ZERO,
            Interface::Edges => PATIENCE,
        };
        if now.saturating_duration_since(idle.since) < patience {
            return None;
        }
        idle.send_away.notify_one();
        let state = State::Idle(holder.clone(), *number);
        self.leave(&state);
        Some(())
    }
}

impl Group {
    fn count(&self) -> usize {
        self.busy + self.idle.len()
    }
}

impl ConnectionSlot {
    /// A request with a valid credential begins.
    ///
    /// # Errors
    ///
    /// [`Full`]. The connection is a stranger then, or it was sent away before this request came
    /// and is about to end: the request must not begin, since it would be cut off.
    pub(in crate::authority) fn begin(
        self: &Arc<Self>,
        interface: Interface,
        credential: &Arc<str>,
        now: Instant,
    ) -> Result<Busy, Full> {
        let holder = Holder {
            interface,
            credential: Arc::clone(credential),
        };
        let (mut state, mut taken) = (self.state(), self.slots.lock());
        if !taken.has(&state) {
            return Err(Full {
                limit: self.slots.limit_of_one(interface),
            });
        }
        taken.leave(&state);
        match self.slots.make_room(&mut taken, &holder, now) {
            Ok(()) => {
                taken.begin(&holder);
                *state = State::Busy(holder);
                Ok(Busy(Arc::clone(self)))
            }
            Err(full) => {
                *state = State::Stranger(self.admitted(&mut taken));
                drop(taken);
                if let Some(times) = self.slots.refused.take(now) {
                    let limit = full.limit;
                    tracing::warn!(%credential, ?interface, limit, times, "too many connections");
                }
                Err(full)
            }
        }
    }

    /// A request without a valid credential begins.
    pub(in crate::authority) fn become_stranger(&self) {
        let mut state = self.state();
        if !matches!(*state, State::Stranger(_)) {
            let mut taken = self.slots.lock();
            if taken.has(&state) {
                taken.leave(&state);
                *state = State::Stranger(self.admitted(&mut taken));
            }
        }
    }

    /// The connection is that of a stranger again.
    fn admitted(&self, taken: &mut Taken) -> Stranger {
        let is_busy = self.is_busy.load(Ordering::Relaxed);
        taken.admit(self.network, is_busy, &self.send_away)
    }

    /// A request begins, of which it is not known yet who has sent it.
    pub(super) fn request(self: &Arc<Self>) -> InProgress {
        self.set_busy(true);
        InProgress(Arc::clone(self))
    }

    fn set_busy(&self, is_busy: bool) {
        let state = self.state();
        self.is_busy.store(is_busy, Ordering::Relaxed);
        if let State::Stranger(stranger) = *state {
            self.slots.lock().strangers.set_busy(stranger, is_busy);
        }
    }

    /// Returns when the connection has lost its slot.
    pub(super) async fn sent_away(&self) {
        self.send_away.notified().await;
    }

    /// The connection becomes idle.
    fn rest(&self, now: Instant) {
        let mut state = self.state();
        let State::Busy(holder) = &*state else {
            return;
        };
        let holder = holder.clone();
        let mut taken = self.slots.lock();
        let number = taken.number();
        if let Some(group) = taken.groups.get_mut(&holder) {
            group.busy = group.busy.saturating_sub(1);
            let send_away = Arc::clone(&self.send_away);
            group.idle.insert(
                number,
                Idle {
                    since: now,
                    send_away,
                },
            );
        }
        *state = State::Idle(holder, number);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for ConnectionSlot {
    fn drop(&mut self) {
        let state = self.state();
        self.slots.lock().leave(&state);
    }
}

impl Drop for InProgress {
    fn drop(&mut self) {
        self.0.set_busy(false);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.rest(Instant::now());
    }
}

#[cfg(test)]
mod tests;
