use super::trace::Trace;
use super::*;
use crate::authority::sessions::session::{Name, Observation, ObservedSighting};
use crate::revocation::FilterKey;

/// 2026-01-05T08:00:00Z.
const START: u64 = 1_767_600_000_000;

const HOME: &str = "203.0.113.0/24";
const MOBILE: &str = "198.51.100.0/24";
const ELSEWHERE: &str = "192.0.2.0/24";

/// What was seen in a minute: requests, and where they came from with which client.
fn seen(minute: u64, requests: u32, sightings: &[(&str, &str)]) -> Observation {
    let at = START + minute * 60_000;
    let sightings = sightings.iter().map(|(network, client)| ObservedSighting {
        network: (!network.is_empty()).then(|| network.parse().unwrap()),
        user_agent: (!client.is_empty()).then(|| (*client).to_owned()),
        requests,
        last_seen: at + 30_000,
    });
    Observation {
        issuer: "https://issuer.example".to_owned(),
        subject: Some("alice".to_owned()),
        name: Name::Session("session".into()),
        client: None,
        device: None,
        auth_time: None,
        issued_at: None,
        expires_at: None,
        first_seen: at,
        last_seen: at + 30_000,
        requests,
        sightings: sightings.collect(),
    }
}

/// What is found when minutes are reported one after the other.
fn findings(thresholds: &Thresholds, seen: &[Observation]) -> Vec<Finding> {
    let mut trace = Trace::default();
    let found = seen.iter().flat_map(|seen| {
        let now = seen.last_seen + 30_000;
        trace.observe(seen, thresholds, now)
    });
    found.collect()
}

fn kinds(seen: &[Observation]) -> Vec<Kind> {
    let findings = findings(&Thresholds::default(), seen);
    findings.iter().map(Finding::kind).collect()
}

/// A client on two networks in turn, one a minute.
fn alternating(networks: [&str; 2], clients: [&str; 2], minutes: u64) -> Vec<Observation> {
    let minutes = 0..minutes;
    let seen = minutes.map(|minute| {
        let side = usize::from(minute % 2 == 1);
        seen(minute, 3, &[(networks[side], clients[side])])
    });
    seen.collect()
}

#[test]
fn changes_are_the_least_that_explain_what_was_seen() {
    for (first, second, expected) in [
        (0b0000, 0b0000, 0),
        (0b1111, 0b0000, 0),
        (0b1100, 0b0011, 1),
        (0b1110, 0b0011, 1),
        (0b1010, 0b0101, 3),
        (0b1001, 0b0110, 2),
        (0b1111, 0b0100, 2),
        (0b1111, 0b1111, 4),
        (0b0100, 0b0100, 1),
        (0b0000_1000, 0b0000_0010, 1),
    ] {
        assert_eq!(changes(first, second, 32), expected, "{first:b} {second:b}");
        assert_eq!(changes(second, first, 32), expected, "{first:b} {second:b}");
    }
    assert_eq!(changes(u32::MAX, u32::MAX, 32), 32);
    assert_eq!(changes(u32::MAX, u32::MAX, 10), 10);
    assert_eq!(changes(u32::MAX, u32::MAX, u8::MAX), 32);
    assert_eq!(changes(0b1000, 0b0001, 3), 0, "the first was before");
}

/// A path of one device through the minutes never has fewer changes than are counted.
#[test]
fn one_device_is_never_said_to_change_more_often_than_it_did() {
    let mut random = 0x2545_F491_4F6C_DD1D_u64;
    let mut next = || {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        random
    };
    for _ in 0..2_000 {
        let (mut bits, mut place, mut made) = ([0_u32; 2], 0, 0);
        for minute in (0..32).rev() {
            // In some minutes it is not seen, in some it changes up to three times.
            if next() % 4 == 0 {
                continue;
            }
            bits[place] |= 1 << minute;
            for _ in 0..(next() % 8).saturating_sub(4) {
                place = 1 - place;
                made += 1;
                bits[place] |= 1 << minute;
            }
        }
        let counted = changes(bits[0], bits[1], 32);
        assert!(counted <= made, "{counted} of {made}: {bits:x?}");
    }
}

#[test]
fn two_networks_in_turn_are_found_with_the_evidence() {
    let found = findings(
        &Thresholds::default(),
        &alternating([HOME, ELSEWHERE], ["okhttp"; 2], 9),
    );
    let turns = Turns {
        networks: ["203.0.0.0/16", "192.0.0.0/16"].map(|text| text.parse().unwrap()),
        changes: 7,
        minutes: 15,
    };
    assert_eq!(found, [Finding::Networks(turns)]);
    assert_eq!(
        found[0].to_string(),
        "203.0.0.0/16 and 192.0.0.0/16 took turns at least 7 times in 15 minutes"
    );
}

#[test]
fn what_is_ordinary_is_not_found() {
    let app = "okhttp";
    let way = |networks: &[(&str, u8)]| {
        let mut minutes = 0..;
        let mut stay = |(network, length): &(&str, u8)| {
            let stays = minutes.by_ref().take(usize::from(*length));
            stays
                .map(|minute| seen(minute, 5, &[(network, app)]))
                .collect::<Vec<_>>()
        };
        networks.iter().flat_map(&mut stay).collect::<Vec<_>>()
    };
    let there_and_back = way(&[(HOME, 20), (MOBILE, 3), (HOME, 4), (MOBILE, 9), (HOME, 9)]);
    let two_versions = alternating([HOME, "2001:db8:1::/48"], [app; 2], 60);
    let translated = alternating(["203.0.113.0/24", "203.0.250.0/24"], [app; 2], 60);
    let in_one_provider = alternating(["2001:db8:1::/48", "2001:db8:ffff::/48"], [app; 2], 60);
    let web_view = (0..60).map(|minute| seen(minute, 5, &[(HOME, app), (HOME, "Chrome")]));
    let mut web_view_on_the_way: Vec<_> = web_view.clone().collect();
    web_view_on_the_way
        .extend((60..63).map(|minute| seen(minute, 5, &[(HOME, app), (MOBILE, "Chrome")])));
    let unnamed = alternating(["", ""], ["okhttp", "curl"], 60);
    for (what, seen) in [
        ("there and back", there_and_back),
        ("IPv4 and IPv6", two_versions),
        ("carrier NAT", translated),
        ("one provider", in_one_provider),
        ("web view", web_view.collect()),
        ("web view on the way", web_view_on_the_way),
        ("without networks", unnamed),
    ] {
        assert_eq!(kinds(&seen), [], "{what}");
    }
}

#[test]
fn two_clients_that_share_no_network_are_found_sooner() {
    let in_turn = alternating([HOME, ELSEWHERE], ["okhttp", "curl"], 3);
    assert_eq!(kinds(&in_turn[..2]), []);
    assert_eq!(kinds(&in_turn), [Kind::Clients]);
    // At once, in one report.
    let at_once = |minute| seen(minute, 3, &[(HOME, "okhttp"), (ELSEWHERE, "curl")]);
    assert_eq!(kinds(&[at_once(0)]), []);
    assert_eq!(kinds(&[at_once(0), at_once(1)]), [Kind::Clients]);
}

#[test]
fn what_is_ignored_says_nothing() {
    let seen = alternating([HOME, ELSEWHERE], ["okhttp", "curl"], 30);
    assert_eq!(kinds(&seen), [Kind::Clients, Kind::Networks]);
    let ignoring = |networks: &[&str], clients: &[&str]| Thresholds {
        ignored_networks: networks.iter().map(|text| text.parse().unwrap()).collect(),
        ignored_user_agents: clients.iter().map(|&name| name.to_owned()).collect(),
        ..Thresholds::default()
    };
    let found = |thresholds: &Thresholds| {
        let found = findings(thresholds, &seen);
        found.iter().map(Finding::kind).collect::<Vec<_>>()
    };
    assert_eq!(found(&ignoring(&["192.0.0.0/8"], &[])), []);
    assert_eq!(
        found(&ignoring(&["192.0.2.0/25"], &["Curl"])),
        [Kind::Networks]
    );
    let nothing = Thresholds {
        networks: None,
        clients: None,
        rate: None,
        ..Thresholds::default()
    };
    assert_eq!(found(&nothing), []);
}

/// As from eight workers, half of them of an edge that was cut off for some minutes.
#[test]
fn reports_out_of_order_make_no_difference_to_a_device_that_moves() {
    let mut seen: Vec<_> = (0..40)
        .map(|minute| {
            let network = if minute / 8 % 2 == 0 { HOME } else { MOBILE };
            seen(minute, 5, &[(network, "okhttp")])
        })
        .collect();
    for (position, observation) in seen.iter_mut().enumerate() {
        // The key of the sort below.
        observation.issued_at = crate::time::UnixTime::from_seconds(
            observation.last_seen / 1000 + if position % 2 == 0 { 600 } else { 0 },
        );
    }
    seen.sort_by_key(|observation| observation.issued_at);
    let mut trace = Trace::default();
    for observation in &seen {
        let now = observation.issued_at.unwrap().seconds() * 1000;
        let found = trace.observe(observation, &Thresholds::default(), now);
        assert_eq!(found, []);
    }
}

#[test]
fn far_more_requests_than_usual_are_found() {
    let usual = (0..15).map(|minute| seen(minute, 30, &[]));
    let many = |from: u64, count, requests| {
        (from..from + count).map(move |minute| seen(minute, requests, &[]))
    };
    let after = |many: Vec<Observation>| {
        let seen: Vec<_> = usual.clone().chain(many).collect();
        findings(&Thresholds::default(), &seen)
    };
    assert_eq!(after(many(15, 2, 5_000).collect()), [], "two minutes");
    assert_eq!(after(many(15, 9, 599).collect()), [], "as a person may");
    let found = after(many(15, 9, 700).collect());
    assert_eq!(
        found,
        [Finding::Rate {
            requests: 700,
            usual: 30,
            minutes: 3
        }]
    );
    assert_eq!(
        found[0].to_string(),
        "700 requests a minute for 3 minutes, where 30 are usual"
    );
    // A service that makes as many from the beginning.
    let steady: Vec<_> = many(0, 60, 700).collect();
    assert_eq!(findings(&Thresholds::default(), &steady), []);
    // What many workers and a late report add up to.
    let many: Vec<_> = many(15, 4, 175).collect();
    let many = many.into_iter().flat_map(|seen| vec![seen; 4]);
    assert_eq!(after(many.collect()).len(), 1);
}

#[test]
fn a_kind_is_told_once_an_hour() {
    let seen = alternating([HOME, ELSEWHERE], ["okhttp"; 2], 175);
    let found = findings(&Thresholds::default(), &seen);
    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn nothing_that_an_edge_reports_breaks_it() {
    let mut trace = Trace::default();
    let thresholds = Thresholds::default();
    let extremes = [0, 1, 60_000, START, START + 1, u64::MAX - 1, u64::MAX];
    for first_seen in extremes {
        for last_seen in extremes {
            for now in extremes {
                for requests in [0, 1, u32::MAX] {
                    let mut observation = seen(0, requests, &[(HOME, "a"), ("::/0", "b")]);
                    observation.first_seen = first_seen;
                    observation.last_seen = last_seen;
                    observation.sightings[0].last_seen = first_seen;
                    observation.sightings[1].last_seen = last_seen;
                    trace.observe(&observation, &thresholds, now);
                }
            }
        }
    }
}

#[test]
fn sessions_are_told_apart_and_so_are_subjects() {
    let watch = Watch::new(Thresholds::default(), FilterKey::new([7; 16]));
    let look = |seen: &Observation| watch.look(std::slice::from_ref(seen), seen.last_seen);
    let of = |subject: &str, mut seen: Observation| {
        seen.subject = Some(subject.to_owned());
        seen
    };
    for seen in alternating([HOME, ELSEWHERE], ["okhttp"; 2], 30) {
        let is_first = seen.sightings[0].network == Some(HOME.parse().unwrap());
        let subject = if is_first { "alice" } else { "bob" };
        assert_eq!(look(&of(subject, seen)), []);
    }
    let seen = alternating([HOME, ELSEWHERE], ["okhttp"; 2], 30);
    let found: Vec<_> = seen
        .into_iter()
        .flat_map(|seen| look(&of("carol", seen)))
        .collect();
    let [suspect] = found.as_slice() else {
        panic!("{found:?}");
    };
    assert_eq!(suspect.subject.as_deref(), Some("carol"));
    assert_eq!(suspect.finding.kind(), Kind::Networks);
}
