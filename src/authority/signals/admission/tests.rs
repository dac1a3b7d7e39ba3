use super::*;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn other(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000_u32 + number).to_be_bytes())
}

/// Of the issuer `a`, which is one of two.
fn admission(per_second: u32) -> Admission {
    Admission::new(per_second, ["a", "b"])
}

/// Whether a token of `a` from there is looked at.
fn is_admitted(admission: &Admission, address: IpAddr, now: Instant) -> bool {
    admission.admit(address, Some("a"), now).is_ok()
}

/// How many of so many forged tokens from there are looked at.
fn forged(admission: &Admission, address: IpAddr, times: usize, now: Instant) -> usize {
    let admitted = (0..times).filter(|_| is_admitted(admission, address, now));
    admitted.count()
}

fn genuine(admission: &Admission, address: IpAddr, now: Instant) -> bool {
    let is_admitted = is_admitted(admission, address, now);
    if is_admitted {
        admission.give_back(address, Some("a"), now);
        admission.know(address, now);
    }
    is_admitted
}

#[test]
fn forged_tokens_from_one_network_are_soon_not_looked_at_any_more() {
    let (admission, start) = (admission(1), Instant::now());
    assert_eq!(forged(&admission, address(1), 1_000, start), 100);
    // An IPv6 network counts as one.
    for last in 0..1_000_u16 {
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(is_admitted(&admission, address, start), last < 100);
    }
    let later = start + Duration::from_secs(5);
    assert_eq!(forged(&admission, address(1), 1_000, later), 5);
}

/// All of it has come before anything is known of any.
#[test]
fn the_first_burst_of_a_provider_that_has_never_sent_anything_is_looked_at() {
    let (admission, start) = (admission(100), Instant::now());
    assert_eq!(forged(&admission, address(1), 101, start), 100);
    // With the first that is found genuine, there is room for what a known one sends.
    admission.give_back(address(1), Some("a"), start);
    admission.know(address(1), start);
    assert_eq!(forged(&admission, address(1), 500, start), 500);
}

#[test]
fn genuine_ones_are_never_rationed_and_are_served_beside_a_flood() {
    let (admission, start) = (admission(1), Instant::now());
    for _ in 0..1_000 {
        assert!(genuine(&admission, address(1), start));
    }
    // From everywhere: what there is for all, and the share of the one issuer that is claimed.
    let looked_at = |now| {
        let all = (0..100_000).filter(|number| is_admitted(&admission, other(*number), now));
        all.count()
    };
    assert_eq!(looked_at(start), 250 + 125);
    let later = start + Duration::from_secs(1);
    assert_eq!(looked_at(later), 50 + 25);
    for _ in 0..1_000 {
        assert!(genuine(&admission, address(1), later));
    }
    // A network that is not known has to wait for its turn.
    assert!(!genuine(&admission, address(2), later));
    let later = later + Duration::from_secs(1);
    assert!(genuine(&admission, address(2), later));
}

#[test]
fn a_forger_beside_the_genuine_sender_has_a_bound_of_its_own() {
    let (admission, start) = (admission(1), Instant::now());
    assert!(genuine(&admission, address(1), start));
    assert_eq!(forged(&admission, address(1), 10_000, start), 500);
    assert!(!genuine(&admission, address(1), start));
    let later = start + Duration::from_millis(100);
    assert!(genuine(&admission, address(1), later));
    // A day later it is a stranger again.
    let later = later + REPUTATION + Duration::from_secs(1);
    assert_eq!(forged(&admission, address(1), 10_000, later), 100);
}

#[test]
fn a_flood_from_elsewhere_takes_nothing_of_a_strangers_own() {
    let (admission, start) = (admission(1), Instant::now());
    for number in 0..1_000 {
        is_admitted(&admission, other(number), start);
    }
    // The common bucket is empty, and refuses it; its own stays full.
    assert_eq!(forged(&admission, address(1), 1_000, start), 0);
    let state = admission.state.lock().unwrap();
    let level = state.networks[&Network::own(address(1))].bucket.level;
    assert!((level - STRANGER.burst).abs() < f64::EPSILON, "{level}");
}

#[test]
fn a_sender_from_before_a_restart_is_known() {
    let (admission, start) = (admission(1), Instant::now());
    admission.remember(address(1), Duration::from_hours(23), start);
    for number in 0..100_000 {
        is_admitted(&admission, other(number), start);
    }
    assert_eq!(forged(&admission, address(1), 1, start), 1);
    assert_eq!(forged(&admission, address(2), 1, start), 0);
    // For as long as it would have been.
    let later = start + Duration::from_hours(1);
    assert!(
        admission
            .lock()
            .known(Network::own(address(1)), later)
            .is_none()
    );
}

#[test]
fn that_a_network_is_known_is_kept_once_an_hour() {
    let (admission, start) = (admission(1), Instant::now());
    let minutes = (0..180).filter(|minute| {
        let now = start + Duration::from_mins(*minute);
        admission.know(address(1), now)
    });
    assert_eq!(minutes.collect::<Vec<_>>(), [0, 60, 120]);
    // What was kept before a restart is not kept again sooner.
    admission.remember(address(2), Duration::from_mins(30), start);
    let later = |minutes| start + Duration::from_mins(minutes);
    assert!(!admission.know(address(2), later(29)));
    assert!(admission.know(address(2), later(30)));
}

#[test]
fn what_could_not_be_checked_counts_for_nothing() {
    let (admission, start) = (admission(1), Instant::now());
    for _ in 0..1_000 {
        assert!(is_admitted(&admission, address(1), start));
        admission.give_back(address(1), Some("a"), start);
    }
    assert_eq!(forged(&admission, address(1), 1_000, start), 100);
}

#[test]
fn networks_are_bounded_and_known_ones_are_not_pushed_out() {
    let (admission, start) = (admission(1), Instant::now());
    assert!(genuine(&admission, address(1), start));
    for number in 0..20_000 {
        is_admitted(&admission, other(number), start);
    }
    let state = admission.state.lock().unwrap();
    assert_eq!(state.networks.len(), MOST_NETWORKS);
    assert_eq!(state.order.len(), MOST_NETWORKS);
    assert!(state.networks[&Network::own(address(1))].is_known(start));
}

#[test]
fn an_issuer_has_ten_seconds_worth_at_once() {
    let (admission, start) = (admission(3), Instant::now());
    let taken = |issuer: &str, now| {
        let taken = (0..100).filter(|_| admission.take_genuine(issuer, now).is_ok());
        taken.count()
    };
    assert_eq!(taken("a", start), 30);
    assert_eq!(taken("b", start), 30);
    assert_eq!(taken("a", start + Duration::from_secs(2)), 6);
}

#[test]
fn few_records_are_written_of_strangers() {
    let (admission, start) = (admission(1), Instant::now());
    let noted = |now| (0..1_000).filter(|_| admission.may_note(now)).count();
    assert_eq!(noted(start), 50);
    assert_eq!(noted(start + Duration::from_secs(1)), 5);
}

/// A subscriber of IPv6 has 65,536 networks, and what there is for all strangers is not his.
#[test]
fn one_subscriber_of_ipv6_does_not_use_up_what_strangers_have() {
    let (admission, start) = (admission(1), Instant::now());
    let subscriber = |number: u32| {
        let [.., high, low] = number.to_be_bytes();
        let network = u16::from_be_bytes([high, low]);
        IpAddr::from([0x2001, 0xdb8, 1, network, 0, 0, 0, 1])
    };
    let looked_at = |numbers: std::ops::Range<u32>, now| {
        let all = numbers.filter(|number| is_admitted(&admission, subscriber(*number), now));
        all.count()
    };
    // One after the other, of one /56 and of the whole /48.
    assert_eq!(looked_at(0..256, start), 150);
    assert_eq!(looked_at(256..65_536, start), 50);
    let later = start + Duration::from_secs(1);
    assert_eq!(looked_at(256..65_536, later), 5);
    assert!(admission.state.lock().unwrap().networks.len() < 1_000);
    // Others are served.
    assert!(is_admitted(&admission, address(1), start));
    let elsewhere = IpAddr::from([0x2001, 0xdb8, 2, 0, 0, 0, 0, 1]);
    assert!(is_admitted(&admission, elsewhere, start));
    // And so is a network of his from which something genuine comes.
    admission.know(subscriber(7), later);
    assert!(genuine(&admission, subscriber(7), later));
    assert!(!genuine(&admission, subscriber(8), later));
}

#[test]
fn what_claims_one_issuer_leaves_the_share_of_each_other() {
    let (admission, start) = (admission(1), Instant::now());
    for number in 0..10_000 {
        is_admitted(&admission, other(number), start);
    }
    let of = |claimed| admission.admit(address(1), claimed, start).is_ok();
    assert!(!of(Some("a")) && !of(Some("unknown")) && !of(None));
    // What could not be checked is not used up.
    for _ in 0..1_000 {
        assert!(of(Some("b")));
        admission.give_back(address(1), Some("b"), start);
    }
    assert!(!of(Some("a")), "nothing of it has gone to all");
    let taken = (2..=20).flat_map(|last| std::iter::repeat_n(address(last), 100));
    let taken = taken.filter(|address| admission.admit(*address, Some("b"), start).is_ok());
    assert_eq!(taken.count(), 125);
}
