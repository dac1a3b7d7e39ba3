use super::*;

const MINUTE: Duration = Duration::from_mins(1);
const HOUR: u64 = 3_600;

/// 2026-01-01T00:00:00Z.
const START: u64 = 1_767_225_600_000;

/// Edges that report once a minute, and a clock that may be set.
struct Scene {
    coverage: Coverage,
    passed: u64,
    /// By how many seconds the clock was set.
    set_by: i64,
    /// The credentials that report.
    reporting: Vec<&'static str>,
}

impl Scene {
    fn new(reporting: &[&'static str]) -> Self {
        Self {
            coverage: Coverage::default(),
            passed: 0,
            set_by: 0,
            reporting: reporting.to_vec(),
        }
    }

    fn now(&self) -> Moment {
        Moment {
            clock: (START + self.passed * 1_000).saturating_add_signed(self.set_by * 1_000),
            passed: Duration::from_secs(self.passed),
        }
    }

    /// Lets so many seconds pass.
    fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.passed += 1;
            let now = self.now();
            self.coverage.pass(now);
            if self.passed.is_multiple_of(60) {
                for source in &self.reporting {
                    self.coverage.hear(source, MINUTE, now);
                }
            }
        }
    }

    /// Stops the authority in good order, and starts it so many seconds later.
    fn restart(&mut self, down: u64) {
        let stopped = self.passed;
        self.passed += down;
        let coverage = std::mem::take(&mut self.coverage);
        let heard = kept::tests::restarted(coverage, stopped, self.passed).unwrap();
        assert_eq!(heard.passed, self.now().passed);
        self.coverage = heard.coverage;
    }

    /// Since how many seconds a session has to have been unseen to be idle for half an hour.
    fn idle_for(&self, timeout: u64) -> Option<u64> {
        let since = self.coverage.idle_since(Duration::from_secs(timeout))?;
        Some((self.now().clock - since) / 1_000)
    }
}

#[test]
fn a_session_is_idle_once_edges_have_reported_all_the_while() {
    let mut scene = Scene::new(&["a", "b"]);
    assert_eq!(scene.idle_for(0), None, "nothing was ever heard");
    scene.pass(60 + 1_800 + 120);
    assert_eq!(
        scene.idle_for(1_800),
        None,
        "what was used since is still to be reported"
    );
    scene.pass(60);
    assert_eq!(scene.idle_for(1_800), Some(1_800 + 180));
    scene.pass(59);
    assert_eq!(scene.idle_for(1_800), Some(1_800 + 179));
}

#[test]
fn while_one_credential_is_silent_no_session_becomes_idle_and_afterwards_time_counts_anew() {
    for silence in [HOUR, 23 * HOUR] {
        let mut scene = Scene::new(&["a", "b"]);
        scene.pass(2 * HOUR);
        let before = scene.coverage.idle_since(30 * MINUTE).unwrap();
        scene.reporting = vec!["a"];
        scene.pass(silence);
        let later = scene.coverage.idle_since(30 * MINUTE).unwrap();
        assert!(later - before <= 60_000, "no more than was known then");
        scene.reporting = vec!["a", "b"];
        scene.pass(1_800);
        assert_eq!(
            scene.idle_for(1_800),
            None,
            "used just before it was heard again"
        );
        scene.pass(300);
        assert!(scene.idle_for(1_800).is_some());
    }
}

#[test]
fn a_credential_that_was_given_up_holds_nothing_up_after_a_day() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(HOUR);
    scene.reporting = vec!["a"];
    scene.pass(24 * HOUR + 60 + 1_800);
    assert!(scene.idle_for(1_800).is_none_or(|age| age > 24 * HOUR));
    scene.pass(180);
    assert!(scene.idle_for(1_800).is_some_and(|age| age < HOUR));
}

#[test]
fn a_source_that_has_taken_its_leave_holds_nothing_up() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(HOUR);
    scene.reporting = vec!["a"];
    let now = scene.now();
    scene.coverage.forget("b", now);
    scene.pass(1_800 + 180);
    assert!(scene.idle_for(1_800).is_some());
    assert_eq!(scene.coverage.silent(scene.now()), 0);
    // Time in which nobody reports counts for nothing.
    scene.reporting = Vec::new();
    let now = scene.now();
    scene.coverage.forget("a", now);
    scene.pass(HOUR);
    scene.reporting = vec!["c"];
    scene.pass(600);
    assert!(scene.idle_for(1_800).is_none());
}

#[test]
fn a_source_that_has_long_been_silent_is_so_for_an_authority_that_begins() {
    let mut heard = Heard::default();
    let now = Moment {
        clock: START,
        passed: heard.passed,
    };
    let ago = Duration::from_hours(23);
    heard.coverage.hear_of("gone", MINUTE, ago, now);
    assert_eq!(heard.coverage.silent(now), 1);
}

#[test]
fn gaps_that_are_short_beside_the_timeout_are_left_out() {
    let mut scene = Scene::new(&["a"]);
    let week = 7 * 24 * HOUR;
    for _ in 0..7 {
        scene.pass(24 * HOUR);
        scene.reporting.clear();
        scene.pass(600);
        scene.reporting.push("a");
    }
    scene.pass(HOUR);
    let age = scene.idle_for(6 * 24 * HOUR).unwrap();
    assert!((6 * 24 * HOUR + 5 * 600..week).contains(&age), "{age}");
    assert_eq!(
        scene.idle_for(12 * HOUR),
        None,
        "of which ten minutes are more than a hundredth"
    );
}

#[test]
fn a_clock_that_is_set_makes_no_session_idle() {
    for set_by in [7_200, -7_200, 3, -3] {
        let mut scene = Scene::new(&["a"]);
        scene.pass(2 * HOUR);
        let last_seen = scene.now().clock;
        scene.set_by = set_by;
        scene.pass(600);
        let since = scene.coverage.idle_since(30 * MINUTE);
        assert!(since.is_none_or(|since| since < last_seen), "{set_by}");
        scene.pass(1_800);
        let now = scene.now().clock;
        let since = scene.coverage.idle_since(30 * MINUTE).unwrap();
        assert!(now - since < 1_800_000 + 240_000, "{set_by}");
    }
}

#[test]
fn what_an_edge_cannot_tell_of_counts_as_used() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(2 * HOUR);
    let now = scene.now();
    scene.coverage.lose(now);
    assert_eq!(scene.idle_for(1_800), None);
    scene.pass(1_800 + 120);
    assert_eq!(scene.idle_for(1_800), None);
    scene.pass(120);
    assert!(scene.idle_for(1_800).is_some());
    for _ in 0..60 {
        scene.pass(60);
        let now = scene.now();
        scene.coverage.lose(now);
        assert_eq!(scene.idle_for(60), None);
    }
}

#[test]
fn edges_with_one_credential_may_have_intervals_that_differ() {
    let mut scene = Scene::new(&["a"]);
    for _ in 0..20 {
        let now = scene.now();
        scene.coverage.hear("a", 10 * MINUTE, now);
        scene.pass(600);
    }
    let age = scene.idle_for(1_800).unwrap();
    assert!((1_800 + 1_200..=1_800 + 1_320).contains(&age), "{age}");
    // The slower one is no more.
    scene.pass(3 * HOUR);
    assert!(scene.idle_for(1_800).unwrap() <= 1_800 + 180);
}

#[test]
fn a_restart_that_is_shorter_than_a_silence_leaves_time_counting() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(2 * HOUR);
    scene.restart(100);
    let now = scene.now();
    scene.coverage.pass(now);
    assert!(scene.idle_for(1_800).unwrap() <= 1_800 + 180 + 100);
    scene.pass(60);
    assert!(scene.idle_for(1_800).unwrap() <= 1_800 + 180);
}

#[test]
fn a_restart_that_is_as_long_as_a_silence_begins_time_anew() {
    let mut scene = Scene::new(&["a", "b"]);
    scene.pass(2 * HOUR);
    let before = scene.coverage.idle_since(30 * MINUTE).unwrap();
    scene.restart(600);
    let now = scene.now();
    scene.coverage.pass(now);
    let later = scene.coverage.idle_since(30 * MINUTE).unwrap();
    assert!(later - before <= 60_000, "no more than was known then");
    scene.pass(1_800);
    assert_eq!(
        scene.idle_for(1_800),
        None,
        "used just before the end of it"
    );
    scene.pass(300);
    assert!(scene.idle_for(1_800).is_some());
}

#[test]
fn a_restart_in_which_the_clock_was_set_begins_time_anew() {
    for set_by in [7_200, -7_200, 100, -100, 3, -3] {
        let mut scene = Scene::new(&["a"]);
        scene.pass(2 * HOUR);
        let last_seen = scene.now().clock;
        scene.set_by = set_by;
        scene.restart(60);
        scene.pass(600);
        let since = scene.coverage.idle_since(30 * MINUTE);
        assert!(since.is_none_or(|since| since < last_seen), "{set_by}");
        scene.pass(1_800);
        let now = scene.now().clock;
        let since = scene.coverage.idle_since(30 * MINUTE).unwrap();
        assert!(now - since < 1_800_000 + 240_000, "{set_by}");
    }
}

/// A use of a session that no report has told of yet.
struct Use {
    at: u64,
    source: usize,
}

/// A session that is used at any edge.
#[derive(Default)]
struct Used {
    uses: Vec<u64>,
    untold: Vec<Use>,
    /// When it was last seen, as far as reports tell: by the clock of then, and in truth.
    seen: Option<(u64, u64)>,
}

impl Used {
    /// For how long it was unused at most since it was last seen.
    fn longest_pause(&self, now: u64) -> u64 {
        let (_, seen) = self.seen.unwrap();
        let uses = self.uses.iter().filter(|used| **used >= seen);
        let ends: Vec<_> = uses.copied().chain([now]).collect();
        ends.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap()
    }
}

/// Edges behind three credentials lose touch with the authority, and what they have collected with it;
/// the clock is set to and fro; and the authority is restarted. What is called idle was not used for as long as that since it was last
/// seen, in time that has truly passed.
#[test]
fn no_session_is_called_idle_that_was_used() {
    const TIMEOUT: u64 = 600;
    let names = ["a", "b", "c"];
    let mut called = 0;
    for seed in 0..12 {
        let mut random = seed;
        let mut below = |most: u64| {
            random = random_after(random);
            (random >> 33) % most
        };
        let mut scene = Scene::new(&[]);
        let mut sessions: [Used; 4] = Default::default();
        // From when to when each is cut off.
        let mut cuts = [(0, 0); 3];
        // Until when the authority is down.
        let mut down_until = 0;
        for second in 1..30_000 {
            if second == down_until {
                let down = second - scene.passed;
                scene.restart(down);
            }
            if second < down_until {
                if below(2_000) == 0 {
                    scene.set_by += [7_200, -7_200][usize::try_from(below(2)).unwrap()];
                }
                if below(400) == 0 {
                    let index = usize::try_from(below(4)).unwrap();
                    let source = usize::try_from(below(3)).unwrap();
                    sessions[index].uses.push(second);
                    sessions[index].untold.push(Use { at: second, source });
                }
                continue;
            }
            scene.passed = second;
            if below(4_000) == 0 {
                down_until = second + 1 + below(400);
            }
            if below(5_000) == 0 {
                scene.set_by += [7_200, -7_200, 60, -60][usize::try_from(below(4)).unwrap()];
            }
            let now = scene.now();
            scene.coverage.pass(now);
            for (source, (from, until)) in cuts.iter_mut().enumerate() {
                if second == *until && *until - *from > 240 && below(2) == 0 {
                    for session in &mut sessions {
                        session.untold.retain(|used| used.source != source);
                    }
                }
                if second > *until && below(3_000) == 0 {
                    (*from, *until) = (second, second + 60 + below(2_000));
                }
                // Two edges, each once a minute.
                if second < *until || second % 30 != source as u64 * 7 {
                    continue;
                }
                for session in &mut sessions {
                    for used in session.untold.extract_if(.., |used| used.source == source) {
                        let seen = now.clock - (second - used.at) * 1_000;
                        session.seen = session.seen.max(Some((seen, used.at)));
                    }
                }
                scene.coverage.hear(names[source], MINUTE, now);
            }
            let since = scene.coverage.idle_since(Duration::from_secs(TIMEOUT));
            for session in &mut sessions {
                if since.is_some_and(|since| session.seen.is_some_and(|(seen, _)| seen < since)) {
                    called += 1;
                    let idle = session.longest_pause(second);
                    assert!(idle >= TIMEOUT, "seed {seed}, {second} s: {idle} s");
                }
                if below(400) == 0 {
                    session.uses.push(second);
                    let source = usize::try_from(below(3)).unwrap();
                    session.untold.push(Use { at: second, source });
                }
            }
        }
    }
    assert!(called > 1_000, "{called}");
}

/// A linear congruential generator (Knuth's MMIX).
const fn random_after(random: u64) -> u64 {
    random
        .wrapping_mul(6_364_136_223_846_793_005)
        .wrapping_add(1_442_695_040_888_963_407)
}
