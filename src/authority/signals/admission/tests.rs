use super::*;

fn address(last: u8) -> IpAddr {
    IpAddr::from([192, 0, 2, last])
}

fn other(number: u32) -> IpAddr {
    IpAddr::from((0x0a00_0000_u32 + number).to_be_bytes())
}

/// How many of so many forged tokens from there are looked at.
fn forged(admission: &Admission, address: IpAddr, times: usize, now: Instant) -> usize {
    let admitted = (0..times).filter(|_| admission.admit(address, now).is_ok());
    admitted.count()
}

fn genuine(admission: &Admission, address: IpAddr, now: Instant) -> bool {
    let is_admitted = admission.admit(address, now).is_ok();
    if is_admitted {
        admission.give_back(address, true, now);
    }
    is_admitted
}

#[test]
fn forged_tokens_from_one_network_are_soon_not_looked_at_any_more() {
    let (admission, start) = (Admission::new(1), Instant::now());
    assert_eq!(forged(&admission, address(1), 1_000, start), 100);
    // An IPv6 network counts as one.
    for last in 0..1_000_u16 {
        let address = IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, last]);
        assert_eq!(admission.admit(address, start).is_ok(), last < 100);
    }
    let later = start + Duration::from_secs(5);
    assert_eq!(forged(&admission, address(1), 1_000, later), 5);
}

/// All of it has come before anything is known of any.
#[test]
fn the_first_burst_of_a_provider_that_has_never_sent_anything_is_looked_at() {
    let (admission, start) = (Admission::new(100), Instant::now());
    assert!((0..100).all(|_| admission.admit(address(1), start).is_ok()));
    assert!(admission.admit(address(1), start).is_err());
    // With the first that is found genuine, there is room for what a known one sends.
    admission.give_back(address(1), true, start);
    assert!((0..500).all(|_| admission.admit(address(1), start).is_ok()));
}

#[test]
fn genuine_ones_are_never_rationed_and_are_served_beside_a_flood() {
    let (admission, start) = (Admission::new(1), Instant::now());
    for _ in 0..1_000 {
        assert!(genuine(&admission, address(1), start));
    }
    // From everywhere: at most five hundred at once.
    let looked_at = (0..100_000).filter(|number| admission.admit(other(*number), start).is_ok());
    assert_eq!(looked_at.count(), 500);
    let later = start + Duration::from_secs(1);
    let looked_at = (0..100_000).filter(|number| admission.admit(other(*number), later).is_ok());
    assert_eq!(looked_at.count(), 100);
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
    let (admission, start) = (Admission::new(1), Instant::now());
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
    let (admission, start) = (Admission::new(1), Instant::now());
    for number in 0..1_000 {
        let _ = admission.admit(other(number), start);
    }
    // The common bucket is empty, and refuses it; its own stays full.
    assert_eq!(forged(&admission, address(1), 1_000, start), 0);
    let state = admission.state.lock().unwrap();
    let level = state.networks[&address(1)].bucket.level;
    assert!((level - STRANGER.burst).abs() < f64::EPSILON, "{level}");
}

#[test]
fn a_sender_from_before_a_restart_is_known() {
    let (admission, start) = (Admission::new(1), Instant::now());
    admission.know(address(1), start);
    for number in 0..100_000 {
        let _ = admission.admit(other(number), start);
    }
    assert!(genuine(&admission, address(1), start));
    assert!(!genuine(&admission, address(2), start));
}

#[test]
fn what_could_not_be_checked_counts_for_nothing() {
    let (admission, start) = (Admission::new(1), Instant::now());
    for _ in 0..1_000 {
        admission.admit(address(1), start).unwrap();
        admission.give_back(address(1), false, start);
    }
    assert_eq!(forged(&admission, address(1), 1_000, start), 100);
}

#[test]
fn networks_are_bounded_and_known_ones_are_not_pushed_out() {
    let (admission, start) = (Admission::new(1), Instant::now());
    assert!(genuine(&admission, address(1), start));
    for number in 0..20_000 {
        let _ = admission.admit(other(number), start);
    }
    let state = admission.state.lock().unwrap();
    assert_eq!(state.networks.len(), MOST_NETWORKS);
    assert_eq!(state.order.len(), MOST_NETWORKS);
    assert!(state.networks[&address(1)].is_known(start));
}

#[test]
fn an_issuer_has_ten_seconds_worth_at_once() {
    let (admission, start) = (Admission::new(3), Instant::now());
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
    let (admission, start) = (Admission::new(1), Instant::now());
    let noted = |now| (0..1_000).filter(|_| admission.may_note(now)).count();
    assert_eq!(noted(start), 50);
    assert_eq!(noted(start + Duration::from_secs(1)), 5);
}
