//! More changes than fit into one answer.

use std::collections::BTreeMap;

use super::company::{Leader, cleared};
use super::*;
use crate::revocation::Standing;

/// Answers the open poll, and returns when it was sent.
fn answer_poll(process: &MockProcess, leader: &mut Follower, authority: &Authority) {
    let (id, call) = next_call(process).expect("a poll");
    assert!(call.path.contains("/deltas?"), "{}", call.path);
    let outcome = authority.answer_or_heartbeat(&call).unwrap();
    leader.on_response(process, id, &outcome);
}

fn verified_at(process: &MockProcess, leader: &Follower) -> u64 {
    leader.read_state(process).unwrap().0.verified_at
}

#[wasm_bindgen_test(unsupported = test)]
fn an_answer_is_as_old_as_its_poll() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let sent = process.now.get();
    process.pass(10_000);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), sent);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_backlog_is_stale_until_it_is_worked_off() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let first = process.now.get();
    process.pass(10_000);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), first);
    leader.on_tick(&process, Role::Leads);
    let second = process.now.get();
    for number in 0..3 * MAX_CHANGES {
        authority.revoke(&number.to_string());
    }
    for _ in 0..2 {
        process.pass(10_000);
        answer_poll(&process, &mut leader, &authority);
        assert_eq!(verified_at(&process, &leader), first);
    }
    leader.on_tick(&process, Role::Leads);
    let most = Duration::from_secs(15);
    let standing = |leader: &Follower| leader.view.standing(&process, process.now.get(), most);
    assert_eq!(standing(&leader), Standing::Stale);
    let last = process.now.get();
    authority.revoke("one more");
    answer_poll(&process, &mut leader, &authority);
    // One is left, but everything is applied that there was when the first poll was sent.
    assert_eq!(verified_at(&process, &leader), second);
    answer_poll(&process, &mut leader, &authority);
    assert_eq!(verified_at(&process, &leader), last);
    leader.on_tick(&process, Role::Leads);
    assert_eq!(standing(&leader), Standing::Current);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_edge_shows_where_the_authority_has_told_it_that_it_is() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let keys = FeedKeys::new(vec![authority.key.verifying_key()]);
    authority.revoke("a");
    for round in 0..3 {
        tick(&process, &mut leader, &authority);
        let state = leader.view.state().unwrap();
        let (epoch, sequence, chain) = (state.epoch, state.sequence, state.chain);
        assert!(
            state.evidence.holds(epoch, sequence, chain, &keys),
            "{round}"
        );
        let calls = process.calls.borrow();
        let shown = format!("&evidence={}&", state.evidence.to_text());
        assert!(
            calls.iter().any(|(_, call)| call.path.contains(&shown)),
            "{round}"
        );
        drop(calls);
        authority.revoke(&round.to_string());
    }
}

/// How many records have changed.
fn records_written(process: &MockProcess, before: &BTreeMap<String, u32>) -> usize {
    let is_record = |key: &&String| key.contains("/page/") || key.contains("/bucket/");
    let keys = process.keys();
    let changed =
        |key: &&String| process.shared(key).map(|s| s.version) != before.get(*key).copied();
    keys.iter().filter(is_record).filter(changed).count()
}

fn versions(process: &MockProcess) -> BTreeMap<String, u32> {
    let version = |key: String| process.shared(&key).map(|shared| (key, shared.version));
    process.keys().into_iter().filter_map(version).collect()
}

#[wasm_bindgen_test(unsupported = test)]
fn a_batch_writes_every_record_once() {
    let process = MockProcess::default();
    let mut authority = Authority::new();
    let mut leader = Leader::new(&process, &|_| {});
    leader.tick(&authority);
    let subject = |number: usize| FILTER_KEY.fingerprint(Kind::Subject, "iss", &number.to_string());
    for number in 0..MAX_CHANGES {
        let change = match number % 3 {
            0 => Change::Add(name(&number.to_string())),
            1 => cleared("alice"),
            _ => Change::SetCutOff(CutOff {
                key: subject(number),
                not_before: UnixTime::from_seconds(20).unwrap(),
                except: None,
                is_compound: false,
            }),
        };
        authority.changes.push(change);
    }
    let before = versions(&process);
    leader.machine.writes.set(0);
    leader.tick(&authority);
    let records = authority.page_count + authority.bucket_count;
    assert_eq!(records_written(&process, &before), records as usize);
    // And the announcement and the state.
    assert_eq!(leader.machine.writes.get(), records as usize + 2);
    assert_eq!(leader.follower.counts().changes, MAX_CHANGES as u64);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_backlog_takes_as_many_polls_as_it_fills_answers_and_no_tick() {
    const CHANGES: usize = 10_000;
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    authority.page_count = 8;
    authority.bucket_count = 64;
    let mut leader = Leader::new(&process, &|_| {});
    leader.tick(&authority);
    for number in 0..CHANGES {
        authority.changes.push(Change::SetCutOff(CutOff {
            key: FILTER_KEY.fingerprint(Kind::Subject, "iss", &number.to_string()),
            not_before: UnixTime::from_seconds(20).unwrap(),
            except: None,
            is_compound: false,
        }));
    }
    leader.machine.writes.set(0);
    let started = process.now.get();
    let mut polls = 0;
    while let Some((id, outcome)) = leader.answered(|call| authority.answer(call)) {
        polls += 1;
        leader.hear(id, &outcome);
    }
    assert_eq!(polls, CHANGES.div_ceil(MAX_CHANGES));
    assert_eq!(process.now.get(), started);
    let (state, _) = leader.follower.read_state(&process).unwrap();
    assert_eq!(state.sequence, CHANGES as u64);
    // Every bucket, the announcement and the state.
    let most = polls * (authority.bucket_count as usize + 2);
    assert!(
        leader.machine.writes.get() <= most,
        "{:?}",
        leader.machine.writes
    );
}
