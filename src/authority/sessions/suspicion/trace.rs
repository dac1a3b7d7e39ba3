//! What is kept of a session to judge it by: 64 bytes.
//!
//! Minutes are bits, so that reports of several workers and edges may come in any order, and so
//! that a report that comes twice changes nothing about networks and clients.

use super::network::{first_bits, of_first_bits};
use super::{
    Alternation, Finding, Kind, MAX_MINUTES, MINUTE_MILLISECONDS, Rate, Thresholds, Turns, changes,
    minute_of,
};
use crate::authority::sessions::Network;
use crate::authority::sessions::session::{Observation, ObservedSighting};

/// Wi-Fi and mobile network in both versions of IP, of which a device has seldom more than two in
/// half an hour.
const NETWORKS: usize = 4;

/// An app, its web view, and one more.
const CLIENTS: usize = 3;

/// The newest minute, which is not over, and those before it that count.
const COUNTS: u8 = super::MAX_RATE_MINUTES + 1;

/// Minutes with requests after which it is known what is usual.
const LEARNT: u8 = 10;

/// The weight of a minute in what is usual: one in so many.
const USUAL_WEIGHT: i32 = 16;

/// The recent past of one session.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(in crate::authority) struct Trace {
    /// The newest minute since the epoch.
    minute: u32,
    networks: [Used; NETWORKS],
    clients: [Client; CLIENTS],
    /// Requests in the newest minute and in those before it.
    counts: [u16; COUNTS as usize],
    /// Requests in a minute that has any, on average.
    usual: u16,
    /// Minutes that this is the average of, up to [`LEARNT`].
    learnt: u8,
    /// Bit for bit, whether a network is of IPv6.
    ipv6: u8,
    /// For each kind the hour in which it was told, see [`hour_of`]; 0 for never.
    told: [u8; 3],
}

const _: () = assert!(size_of::<Trace>() == 64);

/// A network, and when it was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Used {
    /// The first bits of its addresses.
    bits: u32,
    /// Bit 0 is the newest minute. Zero: not used lately.
    minutes: u32,
}

/// A kind of client, and where it was seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Client {
    /// A hash of its name; 0 where there is none.
    name: u16,
    /// Bit for bit, whether it was seen on a network.
    networks: u8,
    /// Bit for bit, whether it belongs together with a client: both were seen on one network.
    together: u8,
}

impl Trace {
    /// Takes a report in, and says what looks stolen: each kind at most once an hour.
    pub(in crate::authority) fn observe(
        &mut self,
        observation: &Observation,
        thresholds: &Thresholds,
        now: u64,
    ) -> Vec<Finding> {
        // What seems to lie ahead of the clock would push out what does not.
        self.advance(minute_of(observation.last_seen.min(now)));
        for sighting in &observation.sightings {
            self.advance(minute_of(sighting.last_seen.min(now)));
            self.sight(sighting, thresholds);
        }
        self.count(observation);
        let mut findings = self.findings(thresholds);
        findings.retain(|finding| self.tell(finding.kind(), now));
        findings
    }

    /// Makes this the newest minute, if it is newer.
    fn advance(&mut self, minute: u32) {
        let passed = minute.saturating_sub(self.minute);
        if passed == 0 {
            return;
        }
        for used in &mut self.networks {
            used.minutes = used.minutes.checked_shl(passed).unwrap_or(0);
        }
        for _ in 0..passed.min(COUNTS.into()) {
            self.learn();
            let [newest, second, third, _] = self.counts;
            self.counts = [0, newest, second, third];
        }
        self.minute = minute;
    }

    /// Takes the oldest count, which nothing is added to any more, into the average.
    fn learn(&mut self) {
        let [.., count] = self.counts;
        if count == 0 {
            return;
        }
        let (count, usual) = (i32::from(count), i32::from(self.usual));
        let weight = USUAL_WEIGHT.min(i32::from(self.learnt) + 1);
        let usual = usual + (count - usual) / weight;
        self.usual = u16::try_from(usual).unwrap_or(u16::MAX);
        self.learnt = (self.learnt + 1).min(LEARNT);
    }

    fn sight(&mut self, sighting: &ObservedSighting, thresholds: &Thresholds) {
        let age = self.minute.saturating_sub(minute_of(sighting.last_seen));
        let network = sighting.network.and_then(|seen| thresholds.compared(seen));
        let Some(network) = network.filter(|_| age < MAX_MINUTES.into()) else {
            return;
        };
        let place = self.place_of(network);
        if let Some(used) = self.networks.get_mut(place) {
            used.minutes |= 1 << age;
        }
        if let Some(name) = sighting.user_agent.as_deref()
            && !thresholds.is_client_ignored(name)
        {
            self.sight_client(hash_of(name), 1 << place);
        }
    }

    /// Where this network is kept, in place of the one that was not used for longest.
    fn place_of(&mut self, network: Network) -> usize {
        let (bits, is_ipv6) = (first_bits(network), network.address().is_ipv6());
        let mut networks = self.networks.iter().enumerate();
        let is_kept =
            |(place, used): &(usize, &Used)| used.bits == bits && self.is_ipv6(*place) == is_ipv6;
        if let Some((place, _)) = networks.find(is_kept) {
            return place;
        }
        let networks = self.networks.iter_mut().enumerate();
        let Some((place, used)) = networks.max_by_key(|(_, used)| used.age()) else {
            return 0;
        };
        *used = Used { bits, minutes: 0 };
        self.ipv6 = self.ipv6 & !(1 << place) | u8::from(is_ipv6) << place;
        for client in &mut self.clients {
            client.networks &= !(1 << place);
        }
        place
    }

    const fn is_ipv6(&self, place: usize) -> bool {
        has(self.ipv6, place)
    }

    /// Notes a client on a network, the only bit that is set.
    fn sight_client(&mut self, name: u16, network: u8) {
        let place = self.client_place_of(name);
        let mut together = 0;
        for (other, client) in self.clients.iter_mut().enumerate() {
            if other != place && client.networks & network != 0 {
                client.together |= 1 << place;
                together |= 1 << other;
            }
        }
        if let Some(client) = self.clients.get_mut(place) {
            client.networks |= network;
            client.together |= together;
        }
    }

    /// Where this client is kept, in place of the one that was not seen for longest.
    fn client_place_of(&mut self, name: u16) -> usize {
        let mut clients = self.clients.iter();
        if let Some(place) = clients.position(|client| client.name == name) {
            return place;
        }
        let age = |client: &Client| {
            let networks = self.networks.iter().enumerate();
            let networks = networks.filter(|(network, _)| has(client.networks, *network));
            networks
                .map(|(_, used)| used.age())
                .min()
                .unwrap_or(u32::MAX)
        };
        let clients = self.clients.iter().enumerate();
        let oldest = clients.max_by_key(|(_, client)| (age(client), client.name == 0));
        let place = oldest.map_or(0, |(place, _)| place);
        for (other, client) in self.clients.iter_mut().enumerate() {
            client.together &= !(1 << place);
            if other == place {
                *client = Client {
                    name,
                    ..Client::default()
                };
            }
        }
        place
    }

    /// Spreads the requests over the minutes that they were seen in.
    fn count(&mut self, observation: &Observation) {
        let last = minute_of(observation.last_seen).min(self.minute);
        let length = observation.last_seen.saturating_sub(observation.first_seen);
        let minutes = u32::try_from(length.div_ceil(MINUTE_MILLISECONDS)).unwrap_or(u32::MAX);
        let minutes = minutes.max(1);
        let requests = u16::try_from(observation.requests / minutes).unwrap_or(u16::MAX);
        for minute in 0..minutes.min(COUNTS.into()) {
            let age = self.minute - last.saturating_sub(minute);
            if let Some(count) = self.counts.get_mut(age as usize) {
                *count = count.saturating_add(requests);
            }
        }
    }

    fn findings(&self, thresholds: &Thresholds) -> Vec<Finding> {
        let networks = thresholds.networks.and_then(|most| {
            let turns = self.turns(most, thresholds, |_, _| true);
            turns.map(Finding::Networks)
        });
        let clients = thresholds.clients.and_then(|most| {
            let turns = self.turns(most, thresholds, |first, second| {
                self.is_of_strangers(first, second)
            });
            turns.map(Finding::Clients)
        });
        let rate = thresholds.rate.and_then(|most| self.rate(most));
        [networks, clients, rate].into_iter().flatten().collect()
    }

    /// The two networks that took turns most often, of those that are to be compared.
    fn turns(
        &self,
        most: Alternation,
        thresholds: &Thresholds,
        is_compared: impl Fn(usize, usize) -> bool,
    ) -> Option<Turns> {
        let used = || {
            let networks = self.networks.iter().enumerate();
            networks.filter(|(_, used)| used.age() < most.minutes.into())
        };
        let pairs = used().flat_map(|first| {
            let before = used().take_while(move |second| second.0 < first.0);
            before.map(move |second| (first, second))
        });
        let pairs = pairs.filter(|((first, _), (second, _))| {
            self.is_ipv6(*first) == self.is_ipv6(*second) && is_compared(*first, *second)
        });
        let turns = pairs.map(|(first, second)| {
            let changes = changes(first.1.minutes, second.1.minutes, most.minutes);
            (changes, first, second)
        });
        let (changes, first, second) = turns.max_by_key(|turns| turns.0)?;
        if changes < most.changes {
            return None;
        }
        let network = |(place, used): (usize, &Used)| {
            let is_ipv6 = self.is_ipv6(place);
            of_first_bits(used.bits, is_ipv6, thresholds.prefix(is_ipv6))
        };
        Some(Turns {
            networks: [network(first), network(second)],
            changes,
            minutes: most.minutes,
        })
    }

    /// Whether each of the networks has clients of its own, and one of the one and one of the other
    /// were never on one network.
    fn is_of_strangers(&self, first: usize, second: usize) -> bool {
        let on = |network: usize| {
            let clients = self.clients.iter().enumerate();
            clients.filter(move |(_, client)| has(client.networks, network))
        };
        let is_apart = on(first).all(|(_, client)| !has(client.networks, second));
        let is_strange =
            |client: &Client| on(second).any(|(other, _)| !has(client.together, other));
        is_apart && on(first).any(|(_, client)| is_strange(client))
    }

    fn rate(&self, most: Rate) -> Option<Finding> {
        if self.learnt < LEARNT {
            return None;
        }
        let limit = self.usual.saturating_mul(most.times_usual);
        let limit = limit.max(most.requests_per_minute);
        // The newest minute may not be over, and reports of the one before may still come.
        let mut ends = self.counts.windows(most.minutes.into());
        let requests = ends.find_map(|counts| {
            let least = counts.iter().min();
            least.copied().filter(|least| *least >= limit)
        })?;
        Some(Finding::Rate {
            requests,
            usual: self.usual,
            minutes: most.minutes,
        })
    }

    /// Notes that this is told, unless it was in this hour.
    fn tell(&mut self, kind: Kind, now: u64) -> bool {
        let hour = hour_of(now);
        let [networks, clients, rate] = &mut self.told;
        let told = match kind {
            Kind::Networks => networks,
            Kind::Clients => clients,
            Kind::Rate => rate,
        };
        let is_new = *told != hour;
        *told = hour;
        is_new
    }
}

impl Used {
    /// How many minutes ago; 32 when that is not known any more.
    const fn age(self) -> u32 {
        self.minutes.trailing_zeros()
    }
}

const fn has(bits: u8, place: usize) -> bool {
    bits >> place & 1 == 1
}

/// A number from 1 to 255, which comes again after ten days and a half.
fn hour_of(milliseconds: u64) -> u8 {
    u8::try_from(milliseconds / (60 * MINUTE_MILLISECONDS) % 255 + 1).unwrap_or(u8::MAX)
}

/// FNV-1a, folded. Two names that have the same hash count as one client, so that a thief with the
/// other one is not seen by it; a thief who knows the names takes the same one anyway.
fn hash_of(name: &str) -> u16 {
    let hash = name.bytes().fold(0x811c_9dc5_u32, |hash, byte| {
        (hash ^ u32::from(byte)).wrapping_mul(0x0100_0193)
    });
    let [first, second, third, fourth] = hash.to_be_bytes();
    u16::from_be_bytes([first ^ third, second ^ fourth]).max(1)
}
