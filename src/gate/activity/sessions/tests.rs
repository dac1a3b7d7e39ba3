//! What holds whatever comes, in whatever order.

use std::collections::BTreeMap;

use serde_json::Value;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::token::parse_json;

const MOST: usize = 20;

/// Twice as many as there is room for.
const SESSIONS: u32 = 40;
const INTERVAL: Duration = Duration::from_secs(5);

/// One in four is a token without `sid`.
fn report_of(name: u128) -> Report {
    let text = Some(name.to_string());
    let (sid, jti) = if name % 4 == 3 {
        (None, text)
    } else {
        (text, None)
    };
    Report {
        issuer: "iss".to_owned(),
        sid,
        jti,
        ..Report::default()
    }
}

/// A request of this session, which comes with the place where it was last. `false` when there was
/// no room.
fn request(sessions: &mut Sessions, name: u128, place: &mut Place) -> bool {
    if !sessions.has(*place) {
        *place = sessions.join(name, report_of(name), 1).unwrap_or_default();
    }
    let now = sessions.now();
    let session = sessions.get_mut(*place);
    session.map(|session| session.window.count(now)).is_some()
}

fn number(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self
            .0
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        u32::try_from(self.0 >> 33).unwrap() % bound
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn there_are_never_more_than_may_be_and_every_request_is_told_dropped_or_held() {
    for seed in 0..20 {
        let mut random = Random(seed);
        let mut sessions = Sessions::with_room_for(MOST);
        let mut places = [Place::default(); SESSIONS as usize];
        let mut told_at: BTreeMap<String, u64> = BTreeMap::new();
        let mut under_way: Option<(Vec<(String, u64)>, Bundle)> = None;
        let (mut host, mut noted, mut told, mut dropped) = (1_000_000_u64, 0_u64, 0_u64, 0_u64);
        for _ in 0..4_000 {
            match random.below(8) {
                0..5 => {
                    let name = random.below(SESSIONS);
                    request(&mut sessions, name.into(), &mut places[name as usize]);
                    noted += 1;
                }
                5 => {
                    host = match random.below(50) {
                        0 => u64::from(random.below(10_000_000)),
                        _ => host + u64::from(random.below(2_000)),
                    };
                    sessions.tick(host, INTERVAL);
                }
                6 if under_way.is_none() => {
                    if let Some((body, bundle)) = sessions.take_bundle(INTERVAL, || false) {
                        let body = parse_json(&body).unwrap();
                        let reports = body["reports"].as_array().unwrap();
                        let reports = reports.iter().map(|report| {
                            assert!(
                                number(&report["last_seen_ago"])
                                    <= number(&report["first_seen_ago"])
                            );
                            let name = report.get("sid").or(report.get("jti")).unwrap();
                            let name = name.as_str().unwrap().to_owned();
                            (name, number(&report["requests"]))
                        });
                        under_way = Some((reports.collect(), bundle));
                    }
                }
                _ => {
                    let Some((reports, bundle)) = under_way.take() else {
                        continue;
                    };
                    let delivery = match random.below(3) {
                        0 => Delivery::Unanswered,
                        1 => Delivery::Refused,
                        _ => Delivery::Reported,
                    };
                    sessions.settle(bundle, delivery);
                    if delivery == Delivery::Reported {
                        for (name, requests) in reports {
                            assert!(requests > 0);
                            told += requests;
                            let now = sessions.now();
                            // What has made room may come again at any time.
                            let makes_room = name.parse::<u32>().unwrap() % 4 == 3;
                            let before = told_at.insert(name, now);
                            if let Some(before) = before.filter(|_| !makes_room) {
                                assert!(now >= before + milliseconds(INTERVAL));
                            }
                        }
                    }
                }
            }
            let counts = sessions.take_counts();
            dropped += u64::from(counts.dropped);
            assert!(counts.sessions <= MOST);
            let queued = sessions.due.iter().chain(&sessions.reported);
            let queued = queued.map(|turn| turn.place);
            let sent = under_way.iter().flat_map(|(_, bundle)| &bundle.windows);
            let places = queued.chain(sent.map(|(turn, _)| turn.place));
            let live = places.filter(|place| sessions.get(*place).is_some());
            assert_eq!(live.count(), counts.sessions);
            assert_eq!(sessions.seats.len(), sessions.free.len() + counts.sessions);
            let live = sessions
                .seats
                .iter()
                .filter_map(|seat| seat.session.as_deref());
            let held: u64 = live
                .clone()
                .map(|session| u64::from(session.window.requests))
                .sum();
            let bytes: usize = live.map(|session| name_bytes(&session.report)).sum();
            assert_eq!(bytes, sessions.name_bytes);
            let on_the_way = under_way.iter().flat_map(|(reports, _)| reports);
            let on_the_way: u64 = on_the_way.map(|(_, requests)| requests).sum();
            assert_eq!(noted, told + dropped + held + on_the_way);
        }
        assert!(
            told > 500 && dropped > 100,
            "{told} told, {dropped} dropped"
        );
        if let Some((_, bundle)) = under_way.take() {
            sessions.settle(bundle, Delivery::Refused);
        }
        sessions.clear();
        let counts = sessions.take_counts();
        assert_eq!(counts.sessions, 0);
        assert_eq!(noted, told + dropped + u64::from(counts.dropped));
    }
}

/// Whether the next body says that there is more than it tells, and what has to be known of it.
fn next(sessions: &mut Sessions) -> (bool, Bundle) {
    let (body, bundle) = sessions.take_bundle(INTERVAL, || false).unwrap();
    let body = parse_json(&body).unwrap();
    (body.get("incomplete") == Some(&Value::Bool(true)), bundle)
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_not_told_or_told_late_is_said_to_be_until_the_authority_has_heard_it() {
    let mut sessions = Sessions::with_room_for(1);
    sessions.tick(1_000, INTERVAL);
    let mut places = [Place::default(); 2];
    assert!(request(&mut sessions, 0, &mut places[0]));
    let (is_incomplete, bundle) = next(&mut sessions);
    assert!(!is_incomplete);
    sessions.settle(bundle, Delivery::Reported);
    assert!(!request(&mut sessions, 1, &mut places[1]), "no room");
    let mut host = 1_000;
    let mut pass = |sessions: &mut Sessions, seconds: u64| {
        host += seconds * 1_000;
        sessions.tick(host, INTERVAL);
    };
    for delivery in [Delivery::Unanswered, Delivery::Refused, Delivery::Reported] {
        pass(&mut sessions, 3);
        let (is_incomplete, bundle) = next(&mut sessions);
        assert!(is_incomplete, "{delivery:?}");
        sessions.settle(bundle, delivery);
    }
    pass(&mut sessions, 3);
    let (is_incomplete, bundle) = next(&mut sessions);
    assert!(!is_incomplete);
    sessions.settle(bundle, Delivery::Reported);
    // One that waits for more than an interval after its turn has come, however often it was sent.
    assert!(request(&mut sessions, 2, &mut places[0]));
    for _ in 0..2 {
        let (is_incomplete, bundle) = next(&mut sessions);
        assert!(!is_incomplete && !bundle.windows.is_empty());
        sessions.settle(bundle, Delivery::Unanswered);
        assert!(!sessions.holds_back(INTERVAL));
        pass(&mut sessions, 6);
    }
    assert!(sessions.holds_back(INTERVAL));
    let (is_incomplete, bundle) = next(&mut sessions);
    assert!(is_incomplete);
    sessions.settle(bundle, Delivery::Reported);
}

#[wasm_bindgen_test(unsupported = test)]
fn tokens_without_a_sid_make_room_for_sessions_and_never_keep_them_from_becoming_idle() {
    let mut sessions = Sessions::with_room_for(2);
    sessions.tick(1_000, INTERVAL);
    let join = |sessions: &mut Sessions, name: u128| request(sessions, name, &mut Place::default());
    assert!(join(&mut sessions, 3) && join(&mut sessions, 7));
    assert!(!join(&mut sessions, 11), "no token makes room for another");
    // A stream in progress is no request more, and none is dropped for it.
    assert!(sessions.join(11, report_of(11), 0).is_none());
    let (is_incomplete, bundle) = next(&mut sessions);
    assert!(!is_incomplete);
    // Both are on their way when they have to go.
    assert!(join(&mut sessions, 0) && join(&mut sessions, 1));
    assert!(!join(&mut sessions, 7), "and no session for a token");
    sessions.settle(bundle, Delivery::Unanswered);
    assert_eq!(sessions.take_counts().dropped, 4);
    sessions.tick(2_000, INTERVAL);
    let (is_incomplete, bundle) = next(&mut sessions);
    assert_eq!((is_incomplete, bundle.windows.len()), (false, 2));
    sessions.settle(bundle, Delivery::Reported);
    assert!(!join(&mut sessions, 2));
    sessions.tick(6_000, INTERVAL);
    assert!(next(&mut sessions).0, "a session has no room");
}

#[wasm_bindgen_test(unsupported = test)]
fn what_comes_late_of_tokens_without_a_sid_is_no_reason_to_say_so() {
    for (name, expected) in [(3, false), (4, true)] {
        let mut sessions = Sessions::default();
        sessions.tick(0, INTERVAL);
        assert!(request(&mut sessions, name, &mut Place::default()));
        for second in [6, 12] {
            sessions.tick(second * 1_000, INTERVAL);
        }
        assert_eq!(next(&mut sessions).0, expected);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_place_that_another_session_has_taken_is_not_found_by_the_tokens_of_the_one_before() {
    let mut sessions = Sessions::with_room_for(1);
    let [mut first, mut second] = [Place::default(); 2];
    sessions.tick(0, INTERVAL);
    assert!(request(&mut sessions, 1, &mut first));
    assert!(
        !request(&mut sessions, 2, &mut second),
        "there is one place"
    );
    let (_, bundle) = sessions.take_bundle(INTERVAL, || false).unwrap();
    sessions.settle(bundle, Delivery::Reported);
    sessions.tick(milliseconds(INTERVAL), INTERVAL);
    assert!(request(&mut sessions, 2, &mut second));
    assert!(!sessions.has(first) && sessions.get_mut(first).is_none());
    assert_eq!((first.index, second.index), (0, 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn names_take_no_more_room_than_they_may_and_a_batch_no_more_than_is_sent_at_once() {
    let mut sessions = Sessions::default();
    let long = |name: u128| {
        let text = |letter: &str| Some(letter.repeat(1_024));
        Report {
            subject: text("s"),
            client: text("c"),
            ..report_of(name)
        }
    };
    let joined = (0..MOST_SESSIONS as u128).filter(|name| {
        let place = sessions.join(*name, long(*name), 1).unwrap_or_default();
        let session = sessions.get_mut(place);
        session.map(|session| session.window.count(0)).is_some()
    });
    let joined = joined.count();
    assert!(joined < MOST_SESSIONS && joined > MOST_NAME_BYTES / 2_100);
    assert!(sessions.name_bytes <= MOST_NAME_BYTES);
    let (body, bundle) = sessions.take_bundle(INTERVAL, || false).unwrap();
    assert!((BUNDLE_BYTES..BUNDLE_BYTES + 3_000).contains(&body.len()));
    assert!(bundle.windows.len() < 130);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_older_token_does_not_take_the_place_of_the_newest() {
    let mut sessions = Sessions::default();
    let report = |issued_at| Report {
        issued_at,
        ..report_of(1)
    };
    let [first, _, last] = [Some(5), Some(9), Some(7)]
        .map(|issued_at| sessions.join(1, report(issued_at), 1).unwrap());
    assert_eq!(first, last);
    let session = sessions.get_mut(first).unwrap();
    assert_eq!(session.report.issued_at, Some(9));
}
