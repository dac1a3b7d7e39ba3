use super::*;

const OWN: u64 = 1_767_225_600_000;
const HOUR: i64 = 3_600_000;

/// What comes of these voices: credential, last part of the address, difference.
fn verdict(voices: &[(&str, u8, i64)]) -> Verdict {
    let clocks = Clocks::new(Duration::from_mins(1));
    let now = Instant::now();
    for (credential, address, difference) in voices {
        let said = OWN.saturating_add_signed(*difference);
        let address = IpAddr::from([10, 0, 0, *address]);
        clocks.hear(&(*credential).into(), address, said, OWN, now);
    }
    clocks.verdict(now)
}

#[test]
fn a_clock_that_most_edges_find_behind_or_ahead_is_off() {
    for hour in [HOUR, -HOUR] {
        let verdict = verdict(&[("a", 1, hour), ("a", 2, hour), ("a", 3, 20)]);
        assert!(verdict.is_off && verdict.is_agreed, "{verdict:?}");
        assert_eq!((verdict.voices, verdict.difference_milliseconds), (3, hour));
    }
    assert!(verdict(&[("a", 1, HOUR), ("b", 1, HOUR)]).is_agreed);
    assert!(!verdict(&[("a", 1, 60_000), ("a", 2, -60_000), ("a", 3, 50_000)]).is_off);
    assert_eq!(verdict(&[]), Verdict::default());
}

#[test]
fn a_clock_is_ahead_when_most_edges_are_behind_it() {
    assert!(verdict(&[("a", 1, -HOUR), ("a", 2, -HOUR)]).is_ahead());
    assert!(!verdict(&[("a", 1, HOUR), ("a", 2, HOUR)]).is_ahead());
    assert!(!verdict(&[("a", 1, -HOUR)]).is_ahead(), "one voice");
    assert!(!verdict(&[]).is_ahead());
}

#[test]
fn one_voice_warns_and_decides_nothing() {
    let once = verdict(&[("a", 1, HOUR)]);
    assert!(once.is_off && !once.is_agreed, "{once:?}");
    let again = verdict(&[("a", 1, HOUR), ("a", 1, HOUR), ("a", 1, HOUR)]);
    assert_eq!(again.voices, 1, "however often it says so");
}

#[test]
fn a_credential_that_lies_alone_is_outvoted() {
    for lies in [HOUR, -HOUR, i64::MAX, i64::MIN] {
        assert!(
            !verdict(&[("liar", 1, lies), ("a", 2, 0)]).is_agreed,
            "{lies}"
        );
        assert!(!verdict(&[("a", 1, lies), ("a", 2, 0)]).is_agreed, "{lies}");
    }
    let mut voices: Vec<_> = (1..50).map(|address| ("liar", address, HOUR)).collect();
    voices.push(("a", 60, 3));
    let outnumbered = verdict(&voices);
    assert!(
        outnumbered.is_off && !outnumbered.is_agreed,
        "{outnumbered:?}"
    );
    // Ahead and behind is not one opinion.
    assert!(!verdict(&[("a", 1, HOUR), ("b", 1, -HOUR)]).is_agreed);
    assert!(!verdict(&[("a", 1, HOUR), ("b", 1, -HOUR), ("c", 1, 0)]).is_off);
}

#[test]
fn what_was_said_minutes_ago_does_not_count() {
    let clocks = Clocks::new(Duration::ZERO);
    let now = Instant::now();
    let hear = |address: &str, now| {
        let address = address.parse().unwrap();
        clocks.hear(&"a".into(), address, OWN + 7_000, OWN, now);
    };
    hear("10.0.0.1", now);
    hear("2001:db8::1", now);
    hear("2001:db8::2", now);
    assert_eq!(clocks.verdict(now).voices, 2, "a network is one voice");
    assert!(clocks.verdict(now).is_agreed);
    let later = now + REMEMBERED.abs_diff(JUDGED_EVERY);
    hear("10.0.0.1", later);
    assert_eq!(clocks.verdict(later).voices, 2);
    assert_eq!(clocks.verdict(later + JUDGED_EVERY).voices, 1);
}
