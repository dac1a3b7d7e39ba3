//! Leases, for work that only one virtual machine of a process should do.

use std::cell::Cell;
use std::time::Duration;

use crate::host::{Expected, SharedData, SharedValue};
use crate::little_endian::LittleEndian;
use crate::namespace::Namespace;
use crate::time::Interval;

/// The name of its record.
const NAME: &str = "lease";

/// How long a lease holds. If the leader dies, nobody leads for this long. It is longer than any
/// pause of a live worker, and too short to matter.
const TERM: Duration = Duration::from_secs(3);

/// How often the leader renews the lease in a term: it may miss two renewals.
const RENEWALS_PER_TERM: u32 = 3;

/// What this virtual machine does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It does the work and publishes the results.
    Leads,
    /// It uses what is published.
    Follows,
}

/// A lease in shared data: `holder: u64, renewed_at: u64`, in milliseconds since the epoch; 0 when
/// it was released.
///
/// There may be two holders for a moment, when a holder is paused between reading the lease and its
/// work, or when the clock jumps. Work done under a lease has to tolerate that.
#[derive(Debug)]
pub struct Lease {
    space: Namespace,
    holder: u64,
    rest: Cell<Rest>,
}

/// A pause of a leader that failed, so that another one that may succeed can lead.
#[derive(Clone, Copy, Debug, Default)]
struct Rest {
    stands_back: Interval,
    /// After the lease was free for this long, no other virtual machine wants it.
    patience: Duration,
    free_since: Option<u64>,
}

/// The lease as it is in shared data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Holding {
    holder: u64,
    renewed_at: u64,
}

impl Lease {
    /// The lease for the work whose records are in this namespace. `holder` is a random number of
    /// this virtual machine.
    #[must_use]
    pub fn new(space: Namespace, holder: u64) -> Self {
        Self {
            space,
            holder,
            rest: Cell::default(),
        }
    }

    /// Takes, renews or respects the lease. To be called on every tick.
    pub fn tick(&self, host: &impl SharedData, now_milliseconds: u64) -> Role {
        let now = now_milliseconds;
        let shared = self.shared(host);
        // An expired lease, or bytes that are not a lease, count as none.
        let holding = shared.as_ref().and_then(|shared| self.holding(shared));
        let holding =
            holding.filter(|holding| Interval::new(holding.renewed_at, TERM).contains(now));
        if let Some(holding) = holding {
            if holding.holder != self.holder {
                self.watch(None);
                return Role::Follows;
            }
            if Interval::new(holding.renewed_at, TERM / RENEWALS_PER_TERM).contains(now) {
                return Role::Leads;
            }
        } else if self.leaves_it_to_others(now) {
            return Role::Follows;
        }
        let expected = shared.map_or(Expected::Absent, |shared| Expected::Version(shared.version));
        self.take(host, now, expected)
    }

    /// Whether this one stands back, while another one may still take the free lease.
    fn leaves_it_to_others(&self, now: u64) -> bool {
        let rest = self.rest.get();
        if rest.stands_back.is_over(now) {
            return false;
        }
        let since = rest.free_since.unwrap_or(now);
        self.watch(Some(since));
        Interval::new(since, rest.patience).contains(now)
    }

    fn watch(&self, free_since: Option<u64>) {
        let rest = self.rest.get();
        self.rest.set(Rest { free_since, ..rest });
    }

    /// Releases the lease, if this one holds it, so that another one can take it at once.
    pub fn release(&self, host: &impl SharedData) {
        if let Some(shared) = self.shared(host)
            && self
                .holding(&shared)
                .is_some_and(|holding| holding.holder == self.holder)
        {
            let released = Holding {
                holder: self.holder,
                renewed_at: 0,
            };
            self.write(host, released, Expected::Version(shared.version));
        }
    }

    /// Releases the lease and leaves it to others for 5 to 15 seconds, by `random`. If it stays
    /// free for about a second, this one takes it again.
    pub fn stand_back(&self, host: &impl SharedData, now_milliseconds: u64, random: u64) {
        let now = now_milliseconds;
        self.release(host);
        self.rest.set(Rest {
            stands_back: Interval::new(now, Duration::from_millis(5_000 + random % 10_000)),
            patience: Duration::from_millis(500 + random % 1_000),
            free_since: Some(now),
        });
    }

    fn take(&self, host: &impl SharedData, now: u64, expected: Expected) -> Role {
        let holding = Holding {
            holder: self.holder,
            renewed_at: now,
        };
        if self.write(host, holding, expected) {
            Role::Leads
        } else {
            Role::Follows
        }
    }
}

impl Lease {
    fn shared(&self, host: &impl SharedData) -> Option<SharedValue> {
        host.shared(&self.space.key_of(NAME))
    }

    fn holding(&self, shared: &SharedValue) -> Option<Holding> {
        Holding::decode(self.space.open(NAME, &shared.bytes)?)
    }

    fn write(&self, host: &impl SharedData, holding: Holding, expected: Expected) -> bool {
        let record = self.space.seal(NAME, &holding.encode());
        host.set_shared(&self.space.key_of(NAME), &record, expected)
    }
}

impl Holding {
    fn encode(self) -> Vec<u8> {
        let fields = [self.holder.to_le_bytes(), self.renewed_at.to_le_bytes()];
        fields.concat()
    }

    fn decode(payload: &[u8]) -> Option<Self> {
        let mut fields = LittleEndian(payload);
        let holding = Self {
            holder: fields.u64()?,
            renewed_at: fields.u64()?,
        };
        fields.end(holding)
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;
    use crate::host::mock_background::MockSpace;
    use crate::namespace::RecordSecret;

    const START: u64 = 1_800_000_000_000;

    fn space(purpose: &str) -> Namespace {
        Namespace::new(&RecordSecret::of("test", "secret"), purpose, &())
    }

    fn leases(count: u64) -> Vec<Lease> {
        (1..=count)
            .map(|holder| Lease::new(space("test"), holder))
            .collect()
    }

    fn leaders(leases: &[Lease], space: &MockSpace, now: u64) -> Vec<u64> {
        let leads = |lease: &&Lease| lease.tick(space, now) == Role::Leads;
        leases
            .iter()
            .filter(leads)
            .map(|lease| lease.holder)
            .collect()
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_first_to_ask_leads_for_as_long_as_it_ticks() {
        let (space, leases) = (MockSpace::default(), leases(3));
        for tick in 0..1000 {
            assert_eq!(
                leaders(&leases, &space, START + tick * 100),
                [1],
                "tick {tick}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn another_one_leads_a_term_after_the_leader_has_gone() {
        let (space, leases) = (MockSpace::default(), leases(3));
        assert_eq!(leaders(&leases, &space, START), [1]);
        assert!(leaders(&leases[1..], &space, START + 2_999).is_empty());
        assert_eq!(leaders(&leases[1..], &space, START + 3_000), [2]);
        assert_eq!(leaders(&leases, &space, START + 3_100), [2]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_lease_is_written_three_times_a_term_and_not_on_every_tick() {
        let (space, leases) = (MockSpace::default(), leases(2));
        for tick in 0..30 {
            leaders(&leases, &space, START + tick * 100);
        }
        assert_eq!(space.writes(), 3);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_released_lease_is_free_at_once_and_only_its_holder_can_release_it() {
        let (space, leases) = (MockSpace::default(), leases(2));
        assert_eq!(leaders(&leases, &space, START), [1]);
        leases[1].release(&space);
        assert_eq!(leaders(&leases, &space, START + 100), [1]);
        leases[0].release(&space);
        assert_eq!(leaders(&leases[1..], &space, START + 200), [2]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_lease_is_left_to_others_and_taken_again_if_it_stays_free() {
        let (space, leases) = (MockSpace::default(), leases(2));
        assert_eq!(leaders(&leases, &space, START), [1]);
        leases[0].stand_back(&space, START, 0);
        assert!(leaders(&leases[..1], &space, START + 100).is_empty());
        assert!(leaders(&leases[..1], &space, START + 499).is_empty());
        assert_eq!(leaders(&leases[..1], &space, START + 500), [1]);
        leases[0].stand_back(&space, START + 600, 0);
        assert_eq!(leaders(&leases, &space, START + 700), [2]);
        assert!(leaders(&leases[..1], &space, START + 3_699).is_empty());
        // Free since this moment, and not longer.
        assert!(leaders(&leases[..1], &space, START + 3_700).is_empty());
        assert_eq!(leaders(&leases, &space, START + 3_800), [2]);
        leases[1].stand_back(&space, START + 3_800, 0);
        assert_eq!(leaders(&leases[..1], &space, START + 5_600), [1]);
        leases[0].stand_back(&space, START + 5_600, 0);
        assert_eq!(leaders(&leases[..1], &space, START - 3_600_000), [1]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn foreign_bytes_and_a_clock_set_back_do_not_block_the_lease() {
        for foreign in [
            &b""[..],
            b"x",
            &[0xff; 64],
            &space("test").seal("wanted", &[0; 16]),
            &space("another").seal(NAME, &[0xff; 16]),
        ] {
            let (space, leases) = (MockSpace::default(), leases(2));
            let key = leases[0].space.key_of(NAME);
            space.set_shared(&key, foreign, Expected::Anything);
            assert_eq!(leaders(&leases, &space, START), [1], "{foreign:?}");
        }
        let (space, leases) = (MockSpace::default(), leases(2));
        assert_eq!(leaders(&leases, &space, START), [1]);
        assert_eq!(leaders(&leases[1..], &space, START - 3_600_000), [2]);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn leases_for_different_purposes_do_not_meet() {
        let space = MockSpace::default();
        for purpose in ["a", "b"] {
            let [first, second] = [1, 2].map(|holder| Lease::new(self::space(purpose), holder));
            assert_eq!(first.tick(&space, START), Role::Leads);
            assert_eq!(second.tick(&space, START), Role::Follows);
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn of_two_that_take_it_at_once_one_follows() {
        let (space, leases) = (MockSpace::default(), leases(2));
        assert_eq!(leases[0].take(&space, START, Expected::Absent), Role::Leads);
        assert_eq!(
            leases[1].take(&space, START, Expected::Absent),
            Role::Follows
        );
        let version = leases[0].shared(&space).unwrap().version;
        let expired = START + 10_000;
        for (lease, role) in leases.iter().zip([Role::Leads, Role::Follows]) {
            assert_eq!(
                lease.take(&space, expired, Expected::Version(version)),
                role
            );
        }
    }
}
