use std::fs;
use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use serde_json::json;
use tempfile::TempDir;

use super::*;
use crate::authority::signals::configuration::SubjectForm;
use crate::revocation::Kind;

pub(super) const LIMITS: RecordLimits = RecordLimits {
    retention: Duration::from_hours(1),
    max_records: 5,
    subjects: SubjectForm::Plain,
};

pub(super) fn key() -> FilterKey {
    FilterKey::new([7; 16])
}

fn open(directory: &TempDir) -> Ledger {
    Ledger::start(directory.path(), key(), LIMITS, SignalMetrics::new()).unwrap()
}

fn record(outcome: &str, subject: &str) -> Record {
    Record {
        received: crate::authority::clock::now_milliseconds(),
        receiver: "back_channel_logout".to_owned(),
        outcome: outcome.to_owned(),
        issuer: Some("https://id.example".to_owned()),
        subject: Some(subject.to_owned()),
        revoked: vec![Revoked::of(&target(subject), subject.to_owned())],
        took: 1_234,
        ..Record::default()
    }
}

fn target(subject: &str) -> Target {
    Target::named(Kind::Subject, "https://id.example", subject)
}

fn accept(ledger: &Ledger, jti: &str, subject: &str, until: UnixTime) {
    let id = ledger.replay_id("https://id.example", jti);
    block_on(async {
        let reservation = ledger.reserve(id, until).await.unwrap();
        let kept = ledger.accept(reservation, record(ACCEPTED, subject));
        kept.await.unwrap();
    });
}

fn block_on<T>(work: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    runtime.unwrap().block_on(work)
}

fn later(seconds: u64) -> UnixTime {
    crate::authority::clock::now().later_by(Duration::from_secs(seconds))
}

fn subjects(ledger: &Ledger, filter: &Filter) -> Vec<String> {
    let page = ledger.search(filter, None, 100).unwrap();
    let subjects = page.records.into_iter();
    subjects.filter_map(|(_, record)| record.subject).collect()
}

#[test]
fn what_was_accepted_is_known_again_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = |ledger: &Ledger, issuer: &str, jti: &str| {
        let id = ledger.replay_id(issuer, jti);
        ledger.is_known(&id)
    };
    assert!(!id(&ledger, "https://id.example", "j"));
    accept(&ledger, "j", "alice", later(600));
    let check = |ledger: &Ledger| {
        assert!(id(ledger, "https://id.example", "j"));
        assert!(!id(ledger, "https://id.example", "k"));
        assert!(!id(ledger, "https://id.examplej", ""));
        assert!(!id(ledger, "https://id.exampl", "ej"));
        assert_eq!(subjects(ledger, &Filter::default()), ["alice"]);
    };
    check(&ledger);
    ledger.finish();
    drop(ledger);
    check(&open(&directory));
}

#[test]
fn what_would_be_refused_for_its_age_is_dropped() {
    let replays = Replays::default();
    let now = later(0);
    replays.insert([1; 16], now, now);
    replays.insert([2; 16], later(600), now);
    replays.insert([1; 16], now, now);
    assert_eq!(replays.take_expired(now), [] as [ReplayId; 0]);
    assert_eq!(replays.take_expired(later(10)), [[1; 16]]);
    assert!(!replays.contains(&[1; 16]) && replays.contains(&[2; 16]));
    assert_eq!(replays.take_expired(later(20)), [] as [ReplayId; 0]);
}

#[test]
fn for_want_of_room_what_is_good_for_days_is_dropped_and_no_assertion() {
    let replays = Replays::of(3);
    let now = later(0);
    // All of one source.
    let id = |number: u8| -> ReplayId {
        let mut id = [0; 16];
        id[15] = number;
        id
    };
    replays.insert(id(1), later(60), now);
    replays.insert(id(2), later(86_400), now);
    replays.insert(id(3), later(2 * 86_400), now);
    replays.insert(id(4), later(3 * 86_400), now);
    let known = |numbers: &[u8]| numbers.iter().all(|&number| replays.contains(&id(number)));
    assert!(known(&[1, 3, 4]) && !known(&[2]));
    assert_eq!(replays.take_expired(now), [id(2)]);
    // Where there is nothing else, the first to be refused for its age.
    for number in [5, 6, 7] {
        replays.insert(id(number), later(60 + u64::from(number)), now);
    }
    assert!(known(&[5, 6, 7]) && !known(&[1]));
}

#[test]
fn what_is_being_worked_on_is_waited_for_and_free_again_if_that_came_to_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let id = ledger.replay_id("https://id.example", "j");
    let other = ledger.replay_id("https://id.example", "k");
    block_on(async {
        let reservation = ledger.reserve(id, later(600)).await.unwrap();
        assert!(ledger.reserve(other, later(600)).await.is_some());
        let mut second = pin!(ledger.reserve(id, later(600)));
        assert!(poll_once(second.as_mut()).await.is_none());
        drop(reservation);
        let reservation = second.await.unwrap();
        let mut third = pin!(ledger.reserve(id, later(600)));
        assert!(poll_once(third.as_mut()).await.is_none());
        ledger.use_up(reservation).await.unwrap();
        assert!(third.await.is_none());
        assert!(ledger.reserve(id, later(600)).await.is_none());
    });
}

/// What a future gives at once, if anything.
async fn poll_once<T>(future: Pin<&mut impl Future<Output = T>>) -> Option<T> {
    let mut future = Some(future);
    poll_fn(|context| {
        let polled = future.take().map(|future| future.poll(context));
        Poll::Ready(match polled {
            Some(Poll::Ready(value)) => Some(value),
            Some(Poll::Pending) | None => None,
        })
    })
    .await
}

#[test]
fn what_cannot_be_written_is_not_known_and_may_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    // A directory is no file that could be opened.
    fs::create_dir(directory.path().join("signals.redb")).unwrap();
    let id = ledger.replay_id("https://id.example", "j");
    block_on(async {
        let reservation = ledger.reserve(id, later(600)).await.unwrap();
        assert!(ledger.use_up(reservation).await.is_err());
        let reservation = ledger.reserve(id, later(600)).await.unwrap();
        let accepted = ledger.accept(reservation, record(ACCEPTED, "alice"));
        assert!(accepted.await.is_err());
        fs::remove_dir(directory.path().join("signals.redb")).unwrap();
        let reservation = ledger.reserve(id, later(600)).await.unwrap();
        ledger.use_up(reservation).await.unwrap();
    });
    ledger.finish();
    drop(ledger);
    assert!(open(&directory).is_known(&id));
}

#[test]
fn of_what_can_be_taken_back_the_latest_counts_also_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let alice = target("alice");
    let now = later(0);
    let moment = |happened, issued| Moment {
        happened_at: now.later_by(Duration::from_secs(happened)),
        issued_at: now.later_by(Duration::from_secs(issued)),
    };
    let origin = "stream okta: account-disabled";
    let said = ledger.said(origin, &alice, moment(100, 200));
    let replay = ledger.replay_id("https://id.example", "j");
    block_on(async {
        let reservation = ledger.reserve(replay, later(600)).await.unwrap();
        let kept = ledger.accept_with(reservation, said.to_vec(), record(ACCEPTED, "alice"));
        kept.await.unwrap();
    });
    ledger.finish();
    drop(ledger);
    let ledger = open(&directory);
    for (moment, has_later, has_later_of_second) in [
        (moment(90, 300), true, true),
        (moment(100, 190), false, true),
        (moment(100, 200), false, false),
        (moment(100, 210), false, false),
        (moment(110, 190), false, false),
    ] {
        let said = ledger.said(origin, &alice, moment);
        assert_eq!(ledger.has_later(&said), has_later, "{moment:?}");
        let found = ledger.has_later_of_second(&said);
        assert_eq!(found, has_later_of_second, "{moment:?}");
    }
    let bob = target("bob");
    for other in [
        ledger.said(origin, &bob, moment(0, 0)),
        ledger.said("stream other: account-disabled", &alice, moment(0, 0)),
    ] {
        assert!(!ledger.has_later(&other) && !ledger.has_later_of_second(&other));
    }
}

/// However many records there are since.
#[test]
fn who_has_sent_something_genuine_is_known_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    let now = crate::authority::clock::now();
    let senders = [(1, SenderKind::Provider), (2, SenderKind::Client)];
    let senders = senders.map(|(last, kind)| KnownSender::of([192, 0, 2, last].into(), kind, now));
    for sender in senders {
        ledger.keep_sender(sender);
    }
    for _ in 0..20 {
        ledger.note(record("too_many_signals", "bob"));
    }
    ledger.finish();
    drop(ledger);
    assert_eq!(open(&directory).known_senders(), senders);
}

#[test]
fn strangers_push_out_nothing_that_is_genuine() {
    let directory = tempfile::tempdir().unwrap();
    let file = File::new(directory.path(), key());
    let note = |shelf, number: usize| {
        Box::new(Note {
            record: Some((shelf, record("signature_invalid", &number.to_string()))),
            ..Note::default()
        })
    };
    let signed: Vec<_> = (0..7).map(|number| note(Shelf::Signed, number)).collect();
    let strangers: Vec<_> = (0..1_500)
        .map(|number| note(Shelf::Strangers, number))
        .collect();
    file.write(&signed, &LIMITS).unwrap();
    file.write(&strangers, &LIMITS).unwrap();
    let all = file
        .search(&Shelf::ALL, &Filter::default(), None, None, 10_000)
        .unwrap();
    assert_eq!(all.records.len(), 5 + 1_000);
    assert_eq!(all.next, None);
    let numbers: Vec<_> = all.records.iter().map(|(number, _)| *number).collect();
    assert!(numbers.is_sorted_by(|before, after| before > after));
    let oldest = all.records.iter().rev().take(5);
    let oldest = oldest.map(|(_, record)| record.subject.clone().unwrap());
    assert_eq!(oldest.collect::<Vec<_>>(), ["2", "3", "4", "5", "6"]);
    // Page by page, it is the same.
    let (mut pages, mut before) = (Vec::new(), None);
    loop {
        let page = file
            .search(&Shelf::ALL, &Filter::default(), None, before, 100)
            .unwrap();
        pages.extend(page.records.iter().map(|(number, _)| *number));
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    assert_eq!(pages, numbers);
    // What is old is dropped from both.
    let now = later(3_700);
    file.sweep(&[], now, LIMITS.retention).unwrap();
    assert_eq!(
        file.search(&Shelf::ALL, &Filter::default(), None, None, 10)
            .unwrap()
            .records,
        []
    );
}

#[test]
fn records_are_found_by_issuer_subject_and_outcome() {
    let directory = tempfile::tempdir().unwrap();
    let ledger = open(&directory);
    accept(&ledger, "1", "alice", later(600));
    accept(&ledger, "2", &ledger.hashed("bob"), later(600));
    ledger.note(record(REPEATED, "alice"));
    ledger.note_stranger(record("issuer_unknown", "carol"));
    accept(&ledger, "3", "dave", later(600));
    let of = |subject: &str| {
        let filter = Filter {
            subject: Some(subject.to_owned()),
            ..Filter::default()
        };
        subjects(&ledger, &filter).len()
    };
    assert_eq!(
        (of("alice"), of("bob"), of("carol"), of("eve")),
        (2, 1, 1, 0)
    );
    let refused = Filter {
        refused: true,
        ..Filter::default()
    };
    assert_eq!(subjects(&ledger, &refused), ["carol"]);
    let other = Filter {
        issuer: Some("https://other.example".to_owned()),
        ..Filter::default()
    };
    assert_eq!(subjects(&ledger, &other), [] as [&str; 0]);
    assert!(!ledger.hashed("bob").contains("bob"));
}

#[test]
fn a_damaged_file_is_set_aside_and_a_new_one_begun() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("signals.redb");
    fs::write(&path, vec![b'x'; 10_000]).unwrap();
    let ledger = open(&directory);
    accept(&ledger, "j", "alice", later(600));
    assert_eq!(subjects(&ledger, &Filter::default()), ["alice"]);
    assert!(directory.path().join("signals.redb.damaged").exists());
}

#[test]
fn what_was_revoked_says_by_which_claim_or_client_and_records_of_before_are_read() {
    let of = |kind, qualifier: &str| Target {
        kind,
        qualifier: qualifier.to_owned(),
        ..target("a")
    };
    for (target, expected) in [
        (
            of(Kind::Subject, ""),
            json!({"kind": "subject", "value": "hash:1", "issuer": "https://id.example"}),
        ),
        (
            of(Kind::Claim, "email"),
            json!({"kind": "claim", "value": "hash:1", "issuer": "https://id.example",
                   "claim": "email"}),
        ),
        (
            of(Kind::SubjectAndClient, "web"),
            json!({"kind": "subject_and_client", "value": "hash:1",
                   "issuer": "https://id.example", "client": "web"}),
        ),
    ] {
        let revoked = Revoked::of(&target, "hash:1".to_owned());
        assert_eq!(serde_json::to_value(&revoked).unwrap(), expected);
        assert_eq!(
            serde_json::from_value::<Revoked>(expected).unwrap(),
            revoked
        );
    }
    let of_before = json!({"kind": "claim", "value": "a@b"});
    let read: Revoked = serde_json::from_value(of_before).unwrap();
    assert_eq!((read.kind, read.value.as_str()), (Kind::Claim, "a@b"));
    assert_eq!((read.issuer, read.claim), (None, None));
}
