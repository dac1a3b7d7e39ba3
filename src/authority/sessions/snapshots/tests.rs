use std::fs;

use super::super::conformance::{KEY, LIMITS, START, at, id, seen};
use super::super::registry::{Filter, Mark, Registry as _, RegistryError, Told};
use super::super::session::{Ended, Observation, ObservedSighting, Owned, Suspicion};
use super::*;
use crate::revocation::{Cause, Kind};

fn fresh(directory: &Path, key: FilterKey) -> Keeper {
    Keeper {
        memory: Arc::new(Memory::new(KEY, LIMITS, at(0))),
        key,
        path: directory.join(FILE_NAME),
        metrics: SessionMetrics::new(),
        database: None,
        has_failed: false,
    }
}

/// The registry after a restart.
fn restarted(directory: &Path) -> Keeper {
    let mut keeper = fresh(directory, KEY);
    keeper.load();
    keeper
}

#[expect(clippy::needless_pass_by_value, reason = "tests make it for this call")]
fn report(keeper: &Keeper, observations: Vec<Observation>) {
    keeper
        .memory
        .report(&observations, at(0), Told::New, &|_| true)
        .unwrap();
}

fn sessions(keeper: &Keeper) -> Vec<Session> {
    let all = Filter {
        ended: true,
        ..Filter::default()
    };
    let mut sessions = keeper.memory.search(&all, None, 10_000).unwrap().sessions;
    sessions.sort_by_key(|session| session.id);
    sessions
}

fn rows(keeper: &Keeper) -> u64 {
    let database = keeper.database.as_ref().unwrap();
    let reading = database.begin_read().unwrap();
    let table = reading.open_table(TABLE).unwrap();
    redb::ReadableTableMetadata::len(&table).unwrap()
}

fn observation(number: u64) -> Observation {
    Observation {
        client: Some("app".to_owned()),
        sightings: vec![ObservedSighting {
            network: "203.0.113.0/24".parse().ok(),
            user_agent: Some("okhttp".to_owned()),
            requests: 1,
            last_seen: (START + number) * 1_000,
        }],
        ..seen(&format!("u{}", number % 50), &number.to_string(), number)
    }
}

#[test]
fn sessions_are_there_again_after_a_restart_with_their_ends() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = restarted(directory.path());
    assert!(!keeper.path.exists(), "nothing to write yet");
    keeper.snapshot(None);
    assert!(!keeper.path.exists());
    report(&keeper, (0..300).map(observation).collect());
    let ended = Ended {
        at: at(400),
        cause: Cause::TooOld,
    };
    let mark = Mark {
        kind: Kind::Session,
        name: id("7"),
        cut_off: None,
        ended,
    };
    keeper.memory.mark(&[mark]).unwrap();
    keeper.snapshot(None);
    let held = sessions(&keeper);
    assert_eq!((held.len(), rows(&keeper)), (300, 300));
    keeper.close();

    let mut again = restarted(directory.path());
    assert_eq!(sessions(&again), held);
    let counts = again.memory.counts(at(400)).unwrap();
    assert_eq!((counts.sessions, counts.active_sessions[1]), (300, 299));
    // What is the same is not written again, and what is replaced or gone leaves no row.
    assert_eq!(again.memory.take_changes(10).rows, []);
    report(
        &again,
        vec![
            seen("u1", "1", 300),
            seen("u2", "2", 700),
            seen("n", "n", 700),
        ],
    );
    again.snapshot(None);
    assert_eq!(rows(&again), 301);
    again.memory.sweep(at(400 + 2 * 3_600)).unwrap();
    again.snapshot(None);
    assert_eq!(rows(&again), 300);
    again.close();
    let last = restarted(directory.path());
    let last_seen = |name: &str| {
        let sessions = sessions(&last);
        let session = sessions.iter().find(|session| session.id == id(name));
        session.map(|session| session.last_seen)
    };
    assert_eq!(
        last_seen("1"),
        Some(at(1)),
        "less than ten minutes are not worth a row"
    );
    assert_eq!(last_seen("2"), Some(at(700)));
    assert_eq!(last_seen("7"), None);
}

#[test]
fn the_last_snapshot_has_every_session_as_it_was_last_seen_where_that_is_asked_for() {
    for is_exact in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let mut keeper = restarted(directory.path());
        report(&keeper, (0..9_000).map(observation).collect());
        assert!(keeper.snapshot(None));
        report(
            &keeper,
            (0..9_000)
                .map(|number| Observation {
                    last_seen: (START + number + 30) * 1_000,
                    ..observation(number)
                })
                .collect(),
        );
        let held = sessions(&keeper);
        let (stop, stops) = mpsc::channel();
        let (done, is_done) = mpsc::channel();
        stop.send(Last { is_exact, done }).unwrap();
        keeper.keep(&stops);
        assert_eq!(is_done.recv().unwrap(), is_exact);
        let found = sessions(&restarted(directory.path()));
        let is_same = |(found, held): (&Session, &Session)| found.last_seen == held.last_seen;
        assert_eq!(found.iter().zip(&held).all(is_same), is_exact);
    }
}

#[test]
fn a_snapshot_that_could_not_be_written_leaves_the_file_without_something() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = restarted(&directory.path().join("missing"));
    report(&keeper, vec![observation(1)]);
    assert!(!keeper.snapshot(None));
    assert!(!keeper.snapshot(None), "what was lost is not written again");
}

#[test]
fn what_was_reported_before_the_file_was_read_adds_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = restarted(directory.path());
    report(&keeper, vec![observation(5)]);
    let suspicion = Suspicion {
        at: at(6),
        evidence: "two networks".into(),
    };
    let held = &sessions(&keeper)[0];
    let owned = Owned {
        issuer: &held.issuer,
        subject: held.subject.as_deref(),
        id: held.id,
    };
    keeper.memory.suspect(owned, suspicion.clone()).unwrap();
    keeper.snapshot(None);
    keeper.close();

    let mut again = fresh(directory.path(), KEY);
    again.memory.begin_loading();
    report(&again, vec![seen("u5", "5", 50), seen("x", "x", 50)]);
    let none = Filter::default();
    let early = again.memory.search(&none, None, 9).unwrap_err();
    assert_eq!(early, RegistryError::Away);
    again.load();
    let sessions = sessions(&again);
    assert_eq!(sessions.len(), 2);
    let session = sessions
        .iter()
        .find(|session| session.id == id("5"))
        .unwrap();
    assert_eq!((session.first_seen, session.last_seen), (at(5), at(50)));
    assert_eq!((session.requests, session.sightings.len()), (2, 1));
    assert_eq!(session.suspicion, Some(suspicion));
    assert_eq!(session.client.as_deref(), Some("app"));
    again.snapshot(None);
    assert_eq!(rows(&again), 2);
}

#[test]
fn a_file_that_is_damaged_or_of_others_is_set_aside_or_left_out_and_never_misread() {
    let directory = tempfile::tempdir().unwrap();
    let mut keeper = restarted(directory.path());
    report(&keeper, (0..40).map(observation).collect());
    keeper.snapshot(None);
    let held = sessions(&keeper);
    let path = keeper.path.clone();
    keeper.close();
    let whole = fs::read(&path).unwrap();

    let mut stranger = fresh(directory.path(), FilterKey::new([9; 16]));
    stranger.load();
    assert_eq!(sessions(&stranger), []);
    stranger.snapshot(None);
    assert_eq!(rows(&stranger), 0, "what cannot be read is removed");
    stranger.close();

    let mut lost = 0;
    for position in (0..whole.len()).step_by(whole.len() / 97) {
        let mut damaged = whole.clone();
        damaged[position] ^= 0x10;
        fs::write(&path, damaged).unwrap();
        let mut again = restarted(directory.path());
        let found = sessions(&again);
        assert!(found.iter().all(|session| held.contains(session)));
        lost += usize::from(found.len() < held.len());
        // It goes on.
        report(&again, vec![seen("new", "new", 1)]);
        again.snapshot(None);
        again.close();
        assert!(sessions(&restarted(directory.path())).len() > found.len());
    }
    assert!(lost > 0, "some damage has to matter");

    fs::write(&path, b"not a database").unwrap();
    let again = restarted(directory.path());
    assert_eq!(sessions(&again), []);
    let aside = path.with_extension("redb.damaged");
    assert_eq!(fs::read(aside).unwrap(), b"not a database");
}
