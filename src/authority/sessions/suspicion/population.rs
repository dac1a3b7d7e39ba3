//! A simulated day of people with phones and browsers, and of thieves: how often the first are
//! taken for the second, and how many of the second are found, and after how long.
//!
//! ```sh
//! cargo test --lib -- suspicion::population --nocapture
//! ```
//!
//! Nothing here is measured on people. What is assumed is written where it is used, and chosen to
//! make it harder rather than easier: whatever is known to look like two devices is in it, at least
//! as often as it occurs.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::trace::Trace;
use super::*;
use crate::authority::sessions::session::{Name, Observation, ObservedSighting};
use crate::revocation::wire::activity::MAX_SIGHTINGS;

/// 2026-01-05T00:00:00Z, a Monday.
const START: u64 = 1_767_571_200_000;

const MINUTES: u32 = 24 * 60;

/// How often an edge's worker reports a session.
const INTERVAL: u64 = 60_000;

/// Two edges with four workers each.
const WORKERS: u64 = 8;

/// `SplitMix64`, see `tests/support/random.rs`.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// From `least` up to and including `most`.
    fn between(&mut self, least: u32, most: u32) -> u32 {
        least + u32::try_from(self.next() % u64::from(most - least + 1)).unwrap()
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.between(1, 100) <= percent
    }
}

/// A network that a device can be on: its addresses, as edges report them.
#[derive(Clone, Debug)]
struct Access {
    ipv4: Option<[u8; 2]>,
    ipv6: Option<u16>,
    /// How many different first 16 bits a NAT or relay has.
    pools: u8,
    /// Whether a device keeps one of them for a while, as RFC 6888 demands, or gets one for each
    /// connection.
    is_paired: bool,
}

/// How a person's day is spent on networks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Habit {
    /// Home, on the way by mobile network, office, and back; lunch by mobile network.
    Commuter,
    /// At home, out twice for an hour.
    Homebody,
    /// No Wi-Fi at all.
    MobileOnly,
    /// Hotel, airport, aeroplane, another country.
    Traveller,
    /// A browser in an office, in two tabs, whose requests are on several connections.
    Desk,
    /// Switches a VPN on and off a few times, for some minutes or hours.
    Vpn,
    /// A relay for privacy, which gives every connection one of several exits.
    Relay,
    /// Two hours at the edge of a Wi-Fi: the device changes every one to four minutes.
    Flapping,
    /// An hour in a train whose Wi-Fi fails in tunnels.
    Train,
}

/// What a thief does with a copy of the token.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Theft {
    /// From a data centre, another client, one request a second for half an hour.
    Script,
    /// From a data centre, the victim's client, five requests a minute for an hour.
    Imitator,
    /// As a person uses a phone for an hour, with the same app on another network.
    Phone,
    /// From a data centre, the victim's client, once in ten minutes until the day is over.
    Slow,
    /// The same with another client.
    SlowScript,
    /// Twenty requests within a minute.
    Once,
    /// From the victim's network with the victim's client, five requests a minute for an hour.
    Neighbour,
    /// The same with a thousand requests a minute, for ten minutes.
    Scraper,
}

impl Habit {
    const fn text(self) -> &'static str {
        match self {
            Self::Commuter => "between home, mobile network and office",
            Self::Homebody => "at home, out twice",
            Self::MobileOnly => "mobile network only",
            Self::Traveller => "airport, aeroplane, hotel, another country",
            Self::Desk => "browser at a desk",
            Self::Vpn => "VPN, on and off",
            Self::Relay => "relay with an exit for each connection",
            Self::Flapping => "two hours at the edge of a Wi-Fi",
            Self::Train => "train with Wi-Fi that fails in tunnels",
        }
    }
}

impl Theft {
    const ALL: [Self; 8] = [
        Self::Script,
        Self::Imitator,
        Self::Phone,
        Self::Slow,
        Self::SlowScript,
        Self::Once,
        Self::Neighbour,
        Self::Scraper,
    ];

    const fn text(self) -> &'static str {
        match self {
            Self::Script => "a script in a data centre, every second for half an hour",
            Self::Imitator => {
                "in a data centre with the victim's client, five times a minute for an hour"
            }
            Self::Phone => "on another phone, as a person uses it for an hour",
            Self::Slow => "in a data centre with the victim's client, every ten minutes",
            Self::SlowScript => "a script in a data centre, every ten minutes",
            Self::Once => "in a data centre with the victim's client, for one minute",
            Self::Neighbour => "on the victim's network with the victim's client, for an hour",
            Self::Scraper => "the same, a thousand times a minute for ten minutes",
        }
    }
}

/// Requests of one connection in one minute.
#[derive(Clone, Debug)]
struct Use {
    /// The first of them.
    at: u64,
    last: u64,
    requests: u32,
    network: Network,
    client: &'static str,
    worker: u64,
}

struct Person {
    habit: Habit,
    random: Random,
    accesses: Vec<Access>,
    /// For each minute the access that the device is on.
    day: Vec<usize>,
    clients: Vec<&'static str>,
    /// Whether edges can be reached by IPv6.
    has_ipv6: bool,
    /// What a device has of a paired pool.
    lot: u64,
    uses: Vec<Use>,
}

impl Person {
    fn new(seed: u64, has_ipv6: bool) -> Self {
        let mut random = Random(seed);
        let habit = match random.between(0, 99) {
            0..30 => Habit::Commuter,
            30..52 => Habit::Homebody,
            52..66 => Habit::MobileOnly,
            66..70 => Habit::Traveller,
            70..84 => Habit::Desk,
            84..90 => Habit::Vpn,
            90..93 => Habit::Relay,
            93..96 => Habit::Flapping,
            _ => Habit::Train,
        };
        let clients = if habit == Habit::Desk {
            vec!["Chrome"]
        } else if random.chance(35) {
            // An app with a web view.
            vec!["okhttp", "Chrome"]
        } else {
            vec!["okhttp"]
        };
        let mut person = Self {
            habit,
            random,
            accesses: Vec::new(),
            day: Vec::new(),
            clients,
            has_ipv6,
            lot: 0,
            uses: Vec::new(),
        };
        person.plan();
        person
    }

    /// Half of all networks have both versions of IP, some only IPv6; a tenth of the mobile ones
    /// have a NAT whose pool is wider than the 16 bits that are compared, and in one hundredth each
    /// connection gets an address of its own from it.
    fn access(&mut self, is_mobile: bool) -> usize {
        let random = &mut self.random;
        let first = u8::try_from(random.between(11, 220)).unwrap();
        let second = u8::try_from(random.between(0, 255)).unwrap();
        let (ipv4, ipv6) = match random.between(0, 9) {
            0..5 => (true, true),
            5 if is_mobile => (false, true),
            _ => (true, false),
        };
        let prefix = u16::try_from(random.between(1, 0xFFFF)).unwrap();
        let pools = if is_mobile && random.chance(10) {
            u8::try_from(random.between(2, 6)).unwrap()
        } else {
            1
        };
        self.accesses.push(Access {
            ipv4: ipv4.then_some([first, second]),
            ipv6: ipv6.then_some(prefix),
            pools,
            is_paired: random.chance(90),
        });
        self.accesses.len() - 1
    }

    /// Spends time on an access.
    fn stay(&mut self, access: usize, minutes: u32) {
        let rest = MINUTES as usize - self.day.len();
        let minutes = rest.min(minutes as usize);
        self.day.extend(vec![access; minutes]);
    }

    /// Changes back and forth between two accesses.
    fn swing(&mut self, accesses: [usize; 2], minutes: u32, longest: u32) {
        let end = self.day.len() + minutes as usize;
        for access in accesses.into_iter().cycle() {
            if self.day.len() >= end {
                return;
            }
            let stay = self.random.between(1, longest);
            self.stay(access, stay);
            if self.day.len() >= MINUTES as usize {
                return;
            }
        }
    }

    fn plan(&mut self) {
        let home = self.access(false);
        let mobile = self.access(true);
        let morning = self.random.between(420, 540);
        match self.habit {
            Habit::Commuter | Habit::Train => {
                let office = self.access(false);
                let way = self.random.between(15, 60);
                self.stay(home, morning);
                if self.habit == Habit::Train {
                    let train = self.access(false);
                    self.swing([train, mobile], 60, 8);
                } else {
                    self.stay(mobile, way);
                }
                self.stay(office, 200);
                self.stay(mobile, 45);
                self.stay(office, 240);
                self.stay(mobile, way);
            }
            Habit::Homebody => {
                self.stay(home, morning + 90);
                self.stay(mobile, 60);
                self.stay(home, 300);
                self.stay(mobile, 60);
            }
            Habit::MobileOnly => self.stay(mobile, MINUTES),
            Habit::Traveller => {
                let (airport, aeroplane) = (self.access(false), self.access(false));
                let (roaming, hotel) = (self.access(true), self.access(false));
                self.stay(home, 360);
                for (access, minutes) in [
                    (mobile, 50),
                    (airport, 70),
                    (mobile, 20),
                    (aeroplane, 150),
                    (roaming, 60),
                    (hotel, 120),
                    (roaming, 180),
                ] {
                    self.stay(access, minutes);
                }
                self.stay(hotel, MINUTES);
            }
            Habit::Desk => {
                let office = self.access(false);
                self.stay(office, MINUTES);
            }
            Habit::Vpn => {
                let vpn = self.access(false);
                self.stay(home, morning);
                for _ in 0..4 {
                    let (on, off) = (self.random.between(5, 120), self.random.between(5, 120));
                    self.stay(vpn, on);
                    self.stay(home, off);
                }
            }
            Habit::Relay => {
                self.accesses[home] = Access {
                    ipv4: Some([104, 28]),
                    ipv6: None,
                    pools: 8,
                    is_paired: false,
                };
            }
            Habit::Flapping => {
                self.stay(home, morning + 60);
                self.swing([home, mobile], 120, 4);
            }
        }
        self.stay(home, MINUTES);
    }

    /// An address of a connection, as an edge reports it: /24 and /48.
    fn address(&mut self, access: usize) -> String {
        let access = self.accesses[access].clone();
        let random = &mut self.random;
        let lot = if access.is_paired {
            self.lot
        } else {
            random.next()
        };
        let pool = u8::try_from(lot % u64::from(access.pools)).unwrap();
        // Another /24 or /48 of the same pool.
        let third = random.between(0, 7);
        // Devices prefer IPv6, but not always.
        let is_ipv6 = self.has_ipv6 && (access.ipv4.is_none() || random.chance(80));
        match access {
            Access {
                ipv6: Some(prefix), ..
            } if is_ipv6 => format!("2a{pool:02x}:{prefix:x}:{third}::/48"),
            // What has no IPv4 is translated by the carrier.
            Access { ipv4, ipv6, .. } => {
                let translated = || ipv6.unwrap_or_default().to_be_bytes().map(|byte| byte | 1);
                let [first, second] = ipv4.unwrap_or_else(translated);
                format!("{first}.{}.{third}.0/24", second.wrapping_add(pool))
            }
        }
    }

    /// Uses the app: about forty times a day for some minutes, and in the background every
    /// quarter of an hour on whatever the device is on.
    fn live(&mut self) {
        let wakes = self.random.between(360, 480);
        let sleeps = self.random.between(1_290, 1_410);
        let mut minute = 0;
        while minute < MINUTES {
            self.lot = self.random.next();
            let is_awake = (wakes..sleeps).contains(&minute);
            if is_awake && self.random.chance(60) {
                let length = self.random.between(1, 12);
                self.use_app(minute, length, None);
                minute += length;
            } else {
                let requests = self.random.between(1, 3);
                let [access, client] = [self.day[minute as usize], 0];
                let address = self.address(access);
                let worker = self.random.next() % WORKERS;
                self.act(minute, requests, &address, self.clients[client], worker);
            }
            minute += self.random.between(5, 25);
        }
    }

    /// Some minutes of use, on one connection for each client; on another one after a change of
    /// network. In the minute of the change there may still be an answer awaited on the old one,
    /// which is retried on the new one.
    fn use_app(&mut self, start: u32, length: u32, elsewhere: Option<usize>) {
        let clients = self.clients.clone();
        for (number, client) in clients.into_iter().enumerate() {
            // The web view is opened now and then.
            if number > 0 && !self.random.chance(40) {
                continue;
            }
            let mut connection: Option<(usize, String, u64)> = None;
            for minute in start..(start + length).min(MINUTES) {
                let access = elsewhere.unwrap_or(self.day[minute as usize]);
                let is_old = connection.as_ref().is_none_or(|(old, ..)| *old != access);
                // Browsers open connections as they please.
                if is_old || self.random.chance(10) {
                    if let Some((_, address, worker)) = &connection
                        && self.random.chance(50)
                    {
                        let (address, worker) = (address.clone(), *worker);
                        self.act(minute, 1, &address, client, worker);
                    }
                    let address = self.address(access);
                    let worker = self.random.next() % WORKERS;
                    connection = Some((access, address, worker));
                }
                let (_, address, worker) = connection.clone().unwrap();
                let requests = self.random.between(3, 60);
                self.act(minute, requests, &address, client, worker);
            }
        }
    }

    fn act(
        &mut self,
        minute: u32,
        requests: u32,
        network: &str,
        client: &'static str,
        worker: u64,
    ) {
        let start = START + u64::from(minute) * 60_000;
        let at = start + u64::from(self.random.between(0, 29_999));
        let last = at + u64::from(self.random.between(0, 29_999));
        self.uses.push(Use {
            at,
            last,
            requests,
            network: network.parse().unwrap(),
            client,
            worker,
        });
    }

    /// A theft in the course of the day, and when it began.
    fn rob(&mut self, theft: Theft) -> u64 {
        let start = self.random.between(500, 1_100);
        let data_centre = "45.77.12.0/24";
        let own = self.clients[0];
        let mut steady = |length: u32, every: usize, requests, client, network: Option<&str>| {
            let worker = self.random.next() % WORKERS;
            let network = network.map(str::to_owned);
            let minutes = start..(start + length).min(MINUTES);
            for minute in minutes.step_by(every) {
                let here = self.address(self.day[minute as usize]);
                self.act(
                    minute,
                    requests,
                    network.as_deref().unwrap_or(&here),
                    client,
                    worker,
                );
            }
        };
        match theft {
            Theft::Script => steady(30, 1, 60, "python-requests", Some(data_centre)),
            Theft::Imitator => steady(60, 1, 5, own, Some(data_centre)),
            Theft::Slow => steady(MINUTES, 10, 1, own, Some(data_centre)),
            Theft::SlowScript => steady(MINUTES, 10, 1, "python-requests", Some(data_centre)),
            Theft::Once => steady(1, 1, 20, own, Some(data_centre)),
            Theft::Neighbour => steady(60, 1, 5, own, None),
            Theft::Scraper => steady(10, 1, 1_000, own, None),
            Theft::Phone => {
                let elsewhere = self.access(true);
                let mut minute = start;
                while minute < start + 60 {
                    let length = self.random.between(1, 12);
                    self.use_app(minute, length, Some(elsewhere));
                    minute += length + self.random.between(1, 10);
                }
            }
        }
        START + u64::from(start) * 60_000
    }

    /// What is found, each with when the authority knows it.
    fn findings(&self, thresholds: &Thresholds) -> Vec<(u64, Finding)> {
        let mut reports = self.reports();
        reports.sort_by_key(|report| report.received);
        let mut trace = Trace::default();
        let mut found = Vec::new();
        for Reported { received, seen } in &reports {
            let findings = trace.observe(seen, thresholds, *received);
            found.extend(findings.into_iter().map(|finding| (*received, finding)));
        }
        found
    }

    /// What the workers report: each at its own phase of the minute, with the four sightings that
    /// are most recent; one in fifty comes some minutes late, as from an edge that was cut off.
    fn reports(&self) -> Vec<Reported> {
        let mut reports: BTreeMap<(u64, u64), Reported> = BTreeMap::new();
        for used in &self.uses {
            let phase = used.worker * INTERVAL / WORKERS;
            let number = (used.last + phase) / INTERVAL;
            let end = (number + 1) * INTERVAL - phase;
            let mut lot = Random(used.worker ^ number ^ self.random.0);
            let late = if lot.chance(2) {
                u64::from(lot.between(1, 10)) * 60_000
            } else {
                u64::from(lot.between(5, 2_000))
            };
            let report = reports.entry((used.worker, number)).or_insert(Reported {
                received: end + late,
                seen: seen(used.at, used.last),
            });
            report.add(used);
        }
        reports.into_values().collect()
    }
}

/// What is seen of a session, nothing of which matters but where and when it was used.
fn seen(first_seen: u64, last_seen: u64) -> Observation {
    Observation {
        issuer: "https://issuer.example".to_owned(),
        subject: None,
        name: Name::Session("session".into()),
        client: None,
        device: None,
        auth_time: None,
        issued_at: None,
        expires_at: None,
        first_seen,
        last_seen,
        requests: 0,
        sightings: Vec::new(),
    }
}

/// A report on its way.
struct Reported {
    received: u64,
    seen: Observation,
}

impl Reported {
    fn add(&mut self, used: &Use) {
        let seen = &mut self.seen;
        seen.requests += used.requests;
        seen.first_seen = seen.first_seen.min(used.at);
        seen.last_seen = seen.last_seen.max(used.last);
        let network = Some(used.network);
        let user_agent = Some(used.client);
        let mut sightings = seen.sightings.iter_mut();
        let same = sightings.find(|sighting| {
            sighting.network == network && sighting.user_agent.as_deref() == user_agent
        });
        match same {
            Some(sighting) => sighting.last_seen = sighting.last_seen.max(used.last),
            None => seen.sightings.push(ObservedSighting {
                network,
                user_agent: user_agent.map(str::to_owned),
                requests: used.requests,
                last_seen: used.last,
            }),
        }
        seen.sightings
            .sort_by_key(|sighting| Reverse(sighting.last_seen));
        seen.sightings.truncate(MAX_SIGHTINGS);
    }
}

/// Sessions of each habit, and in how many of them something of each kind was found.
type Alarms = BTreeMap<Habit, (u32, [u32; 3])>;

fn alarms(has_ipv6: bool, thresholds: &Thresholds) -> Alarms {
    let mut alarms = Alarms::new();
    for number in 0..SESSIONS {
        let mut person = Person::new(Random(number).next(), has_ipv6);
        person.live();
        let (count, kinds) = alarms.entry(person.habit).or_default();
        *count += 1;
        let findings = person.findings(thresholds);
        for (kind, count) in Kind::ALL.into_iter().zip(kinds) {
            *count += u32::from(findings.iter().any(|(_, finding)| finding.kind() == kind));
        }
    }
    alarms
}

/// How many of all thefts are found within ten minutes, an hour and a day, in percent.
fn found(theft: Theft, has_ipv6: bool, thresholds: &Thresholds) -> [u64; 3] {
    let mut within = [0; 3];
    for number in 0..THEFTS {
        let mut person = Person::new(Random(!number).next(), has_ipv6);
        person.live();
        let start = person.rob(theft);
        let findings = person.findings(thresholds);
        let first = findings.iter().find(|(at, _)| *at >= start);
        for (minutes, count) in [10, 60, 1_440].into_iter().zip(&mut within) {
            let end = start + minutes * 60_000;
            *count += u64::from(first.is_some_and(|(at, _)| *at <= end));
        }
    }
    within.map(|count| count * 100 / THEFTS)
}

/// Of each habit, once with IPv4 only and once with both.
const SESSIONS: u64 = 4_000;

/// Of each kind, likewise.
const THEFTS: u64 = 100;

/// The tables, as `envoy/sessions.md` has them.
fn tables(thresholds: &Thresholds) -> String {
    let mut text = String::new();
    let row = |cells: &[u32]| {
        let cells = cells.iter().map(|cell| format!(" {cell} |"));
        cells.collect::<String>()
    };
    text.push_str(
        "| Sessions in which something was found | of | `networks` | `clients` | `rate` | with IPv6: \
         `networks` | `clients` | `rate` |\n|---|--:|--:|--:|--:|--:|--:|--:|\n",
    );
    let [ipv4, both] = [false, true].map(|has_ipv6| alarms(has_ipv6, thresholds));
    let (mut total, mut without_relays) = ([0; 7], [0; 7]);
    for ((habit, (sessions, kinds)), (_, with_ipv6)) in ipv4.iter().zip(both.values()) {
        let cells = [&[*sessions][..], kinds, with_ipv6].concat();
        for ((total, without_relays), count) in
            total.iter_mut().zip(&mut without_relays).zip(&cells)
        {
            *total += count;
            *without_relays += if *habit == Habit::Relay { 0 } else { *count };
        }
        let who = habit.text();
        writeln!(text, "| {who} |{}", row(&cells)).unwrap();
    }
    writeln!(text, "| **all, in a day** |{}", row(&total)).unwrap();
    writeln!(text, "| **without relays** |{}", row(&without_relays)).unwrap();
    text.push_str(
        "\n| Thefts found, in percent, within | 10 min | 1 h | 1 d | with IPv6: 10 min | 1 h | 1 d \
         |\n|---|--:|--:|--:|--:|--:|--:|\n",
    );
    for theft in Theft::ALL {
        let [ipv4, both] = [false, true].map(|has_ipv6| found(theft, has_ipv6, thresholds));
        let cells = [ipv4, both].concat();
        let cells: Vec<_> = cells
            .iter()
            .map(|cell| u32::try_from(*cell).unwrap())
            .collect();
        writeln!(text, "| {} |{}", theft.text(), row(&cells)).unwrap();
    }
    text
}

#[test]
fn the_figures_are_those_of_the_document() {
    let tables = tables(&Thresholds::default());
    println!("{tables}");
    let document = concat!(env!("CARGO_MANIFEST_DIR"), "/envoy/sessions.md");
    let document = std::fs::read_to_string(document).unwrap();
    assert!(
        document.contains(&tables),
        "expected in envoy/sessions.md:\n{tables}"
    );
}
