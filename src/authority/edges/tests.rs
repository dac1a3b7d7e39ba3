use std::net::Ipv4Addr;

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MILLISECOND: Duration = Duration::from_millis(1);

/// An authority that has run for long, with its clock and its history.
struct Scene {
    edges: Edges,
    start: Instant,
    now: Instant,
    head: Position,
}

impl Scene {
    fn new() -> Self {
        let start = Instant::now();
        Self {
            edges: Edges::new(start),
            start,
            now: start + 100 * SECOND,
            head: at(10),
        }
    }

    fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    fn ask(&mut self, sight: Sight) -> Key {
        self.edges.ask(sight, self.head, self.now)
    }

    /// The edge polls, and is answered with everything there is.
    fn poll(&mut self, sight: Sight) {
        let key = self.ask(sight);
        self.edges.answered(&key, Some(self.head), self.now);
    }

    /// How many edges count, and how many of these have this change.
    fn having(&self, sequence: u64) -> (usize, usize) {
        let reach = self.reach(sequence);
        (reach.edges, reach.edges - reach.lacking.len())
    }

    fn reach(&self, sequence: u64) -> Reach {
        self.edges.reach(at(sequence), self.now, self.now)
    }

    fn counts(&self) -> Counts {
        self.edges.counts(self.head, self.now)
    }

    fn views(&self) -> Vec<View> {
        self.edges.views(self.head, self.now)
    }
}

fn at(sequence: u64) -> Position {
    Position { epoch: 1, sequence }
}

/// A poll from here, of an edge that says nothing of itself.
fn nameless(sequence: u64) -> Sight {
    Sight {
        credential: "fleet".into(),
        address: Ipv4Addr::LOCALHOST.into(),
        introduction: None,
        position: at(sequence),
    }
}

/// A poll of this process.
fn of(process: u64, sequence: u64) -> Sight {
    let introduction = Introduction {
        process,
        age_seconds: 3_600,
        generation: Some(5),
        instance: format!("edge-{process}"),
    };
    Sight {
        introduction: Some((introduction, "0.1.0".to_owned())),
        ..nameless(sequence)
    }
}

#[test]
fn an_edge_has_a_change_when_it_polls_for_what_comes_after_it() {
    let mut scene = Scene::new();
    let key = scene.ask(of(1, 10));
    scene.head = at(11);
    assert_eq!(scene.having(11), (1, 0), "it waits");
    scene.edges.answered(&key, Some(at(11)), scene.now);
    assert_eq!(scene.having(11), (1, 0), "the answer may be lost");
    scene.ask(of(1, 10));
    assert_eq!(scene.having(11), (1, 0), "and was");
    scene.ask(of(1, 11));
    assert_eq!(scene.having(11), (1, 1));
    assert_eq!(scene.having(10), (1, 1));
}

#[test]
fn all_leaders_of_a_process_are_one_edge_and_processes_of_one_name_are_two() {
    let mut scene = Scene::new();
    scene.ask(of(1, 10));
    scene.ask(of(1, 10));
    assert_eq!(scene.views().len(), 1);
    let mut twin = of(2, 10);
    if let Some((introduction, _)) = &mut twin.introduction {
        introduction.instance = "edge-1".to_owned();
    }
    scene.ask(twin);
    let other_credential = Sight {
        credential: "other".into(),
        ..of(1, 10)
    };
    scene.ask(other_credential);
    let names: Vec<_> = scene
        .views()
        .into_iter()
        .map(|view| view.instance)
        .collect();
    assert_eq!(names, ["edge-1"; 3]);
}

#[test]
fn an_edge_is_shown_as_it_describes_itself() {
    let mut scene = Scene::new();
    scene.ask(of(7, 10));
    scene.pass(5 * SECOND);
    let views = scene.views();
    let [view] = &views[..] else {
        panic!("one edge");
    };
    assert_eq!((&*view.instance, view.process), ("edge-7", Some(7)));
    assert_eq!(view.version.as_deref(), Some("0.1.0"));
    assert_eq!((view.generation, view.position), (Some(5), Some(at(10))));
    assert_eq!(view.age, 3_605 * SECOND, "also from before this authority");
    assert!(view.is_polling);
    assert_eq!(view.seen_ago, Duration::ZERO, "its poll is open");
}

#[test]
fn what_is_still_being_loaded_is_not_had_yet() {
    let mut scene = Scene::new();
    let mut loading = of(1, 10);
    if let Some((introduction, _)) = &mut loading.introduction {
        introduction.generation = None;
    }
    scene.poll(loading.clone());
    assert_eq!(scene.having(10), (1, 0));
    assert_eq!(scene.views()[0].position, None);
    scene.poll(of(1, 8));
    scene.poll(loading);
    let view = &scene.views()[0];
    assert_eq!((view.position, view.generation), (Some(at(8)), Some(5)));
}

#[test]
fn edges_without_a_number_behind_one_address_are_told_apart_by_where_they_are() {
    let mut scene = Scene::new();
    let keys: Vec<_> = (0..3).map(|_| scene.ask(nameless(10))).collect();
    assert_eq!(scene.having(10), (3, 3));
    scene.head = at(11);
    for key in &keys {
        scene.edges.answered(key, Some(at(11)), scene.now);
    }
    scene.pass(MILLISECOND);
    scene.ask(nameless(11));
    scene.ask(nameless(11));
    assert_eq!(scene.having(11), (3, 2), "one of them was stopped");
    // The answer was lost, and it polls from where it was.
    scene.ask(nameless(10));
    assert_eq!(scene.having(11), (3, 2));
    assert_eq!(scene.views().len(), 3);
}

#[test]
fn a_quiet_edge_without_a_number_stays_the_same_edge() {
    let mut scene = Scene::new();
    let stopped = scene.ask(nameless(10));
    scene.edges.answered(&stopped, Some(at(10)), scene.now);
    for _ in 0..10 {
        scene.pass(10 * SECOND);
        scene.poll(nameless(10));
    }
    assert_eq!(scene.views().len(), 1);
    // It has loaded a generation, which is further.
    scene.head = at(500);
    scene.poll(nameless(400));
    assert_eq!(scene.views().len(), 1);
    let other_address = Sight {
        address: Ipv4Addr::new(10, 0, 0, 1).into(),
        ..nameless(400)
    };
    scene.poll(other_address);
    assert_eq!(scene.views().len(), 2);
}

#[test]
fn an_edge_counts_for_a_minute_and_is_listed_for_a_quarter_of_an_hour() {
    let mut scene = Scene::new();
    scene.poll(of(1, 9));
    scene.pass(LATELY);
    assert_eq!(scene.having(10), (1, 0));
    assert_eq!(scene.counts().edges, 1);
    // One that is waited for does not get lost meanwhile.
    let begun = scene.now;
    scene.pass(SECOND);
    let reach = scene.edges.reach(at(10), begun, scene.now);
    assert_eq!((reach.edges, reach.lacking.len()), (1, 1));
    assert_eq!(scene.having(10), (0, 0));
    assert_eq!(scene.counts(), Counts::default());
    assert_eq!(scene.views().len(), 1);
    scene.pass(REMEMBERED);
    assert!(scene.views().is_empty());
    scene.poll(of(2, 10));
    assert_eq!(scene.edges.known.len(), 1, "it takes no room any more");
}

#[test]
fn an_open_poll_counts_however_long_it_is_held() {
    let mut scene = Scene::new();
    scene.ask(of(1, 10));
    scene.pass(2 * LATELY);
    assert_eq!(scene.having(10), (1, 1));
    assert_eq!(scene.counts().edges, 1);
}

#[test]
fn an_edge_of_another_history_has_nothing_of_this_one() {
    let mut scene = Scene::new();
    scene.poll(Sight {
        position: Position {
            epoch: 2,
            sequence: 10,
        },
        ..of(1, 0)
    });
    // It claims what there is not, and has it no more once there is.
    scene.poll(of(2, 1_000));
    scene.head = at(2_000);
    assert_eq!(scene.having(10), (2, 0));
    assert!(scene.views().iter().all(|view| view.lacks.is_none()));
}

#[test]
fn how_late_an_edge_is_counts_from_when_it_lacked_nothing() {
    let mut scene = Scene::new();
    let key = scene.ask(of(1, 10));
    scene.pass(20 * SECOND);
    assert_eq!(scene.counts().longest, Duration::ZERO);
    scene.head = at(13);
    assert_eq!(scene.counts().longest, Duration::ZERO, "on their way");
    assert_eq!(scene.counts().most_changes, 3);
    scene.edges.answered(&key, Some(at(13)), scene.now);
    scene.pass(SECOND / 2);
    assert_eq!(scene.counts().behind, 0, "an edge needs a moment");
    scene.pass(SECOND / 2);
    let counts = scene.counts();
    assert_eq!((counts.behind, counts.longest), (1, SECOND));
    // It gets on, and is not there yet.
    scene.poll(of(1, 12));
    scene.pass(SECOND);
    let counts = scene.counts();
    assert_eq!((counts.most_changes, counts.longest), (1, 2 * SECOND));
    scene.poll(of(1, 13));
    assert_eq!(scene.counts().longest, Duration::ZERO);
    assert_eq!(scene.counts().edges, 1);
}

#[test]
fn the_slowest_are_listed_first() {
    let mut scene = Scene::new();
    for (process, sequence) in [(1, 10), (2, 7), (3, 9), (4, 10)] {
        scene.poll(of(process, sequence));
        scene.pass(SECOND);
    }
    scene.poll(Sight {
        position: Position {
            epoch: 9,
            sequence: 10,
        },
        ..of(5, 0)
    });
    let order: Vec<_> = scene.views().iter().map(|view| view.process).collect();
    assert_eq!(order, [5, 2, 3, 1, 4].map(Some));
    let lacking: Vec<_> = scene.reach(10).lacking;
    let order: Vec<_> = lacking.iter().map(|view| view.process).collect();
    assert_eq!(order, [5, 2, 3].map(Some));
}

#[test]
fn the_one_that_was_silent_longest_makes_room_and_then_not_all_are_known() {
    let mut scene = Scene::new();
    scene.edges.most = 3;
    scene.ask(of(1, 10));
    for process in 2..=3 {
        scene.pass(SECOND);
        scene.poll(of(process, 10));
    }
    scene.pass(2 * LATELY);
    scene.poll(of(4, 10));
    let known = |scene: &Scene| {
        let mut known: Vec<_> = scene.views().iter().map(|view| view.process).collect();
        known.sort_unstable();
        known.into_iter().flatten().collect::<Vec<_>>()
    };
    assert_eq!(known(&scene), [1, 3, 4], "the first has an open poll");
    assert_eq!(scene.counts().displaced, 1);
    assert_eq!(scene.reach(10).unknown, None, "it did not count any more");
    scene.poll(of(5, 10));
    scene.poll(of(6, 10));
    assert_eq!(known(&scene), [1, 5, 6]);
    assert_eq!(scene.reach(10).unknown, Some(Unknown::TooMany));
    assert!(!scene.reach(10).is_whole());
    scene.pass(LATELY + SECOND);
    assert_eq!(scene.reach(10).unknown, None);
    // The end of a poll of an edge that is not known any more changes nothing.
    let key = scene.ask(of(7, 10));
    scene.edges.known.remove(&key);
    scene.edges.answered(&key, None, scene.now);
}

#[test]
fn an_authority_that_was_just_started_may_not_know_all_edges_yet() {
    let mut scene = Scene::new();
    scene.now = scene.start;
    scene.poll(of(1, 10));
    assert_eq!(scene.reach(10).unknown, Some(Unknown::Started));
    scene.pass(COMES_BACK.saturating_sub(MILLISECOND));
    assert!(!scene.reach(10).is_whole());
    scene.pass(MILLISECOND);
    assert!(scene.reach(10).is_whole());
}
