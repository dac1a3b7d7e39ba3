//! Authorities that fail, begin a new epoch, or are not the authority.

use std::cell::Cell;

use ed25519_dalek::Signer as _;

use super::*;
use crate::revocation::{FeedSignature, Signable, Standing};

/// A change of a message on its way.
type Corruption = fn(Vec<u8>) -> Vec<u8>;

#[wasm_bindgen_test(unsupported = test)]
fn what_is_not_the_authoritys_is_never_applied() {
    let mut authority = Authority::new();
    let honest = Authority::new();
    authority.revoke("a");
    let corruptions: [(&str, Corruption); 5] = [
        ("truncated", |mut body| {
            body.pop();
            body
        }),
        ("bit flipped", |mut body| {
            let middle = body.len() / 2;
            body[middle] ^= 1;
            body
        }),
        ("trailing", |mut body| {
            body.push(0);
            body
        }),
        ("empty", |_| Vec::new()),
        ("signed by another key", |body| {
            let key = SigningKey::from_bytes(&[2; 32]);
            let body = body[..body.len() - 72].to_vec();
            let signature = key.sign(&Signable::Batch.input(&body));
            let key = key.verifying_key();
            FeedSignature { key, signature }.append_to(body)
        }),
    ];
    for (title, corruption) in corruptions {
        let (process, mut leader) = (MockProcess::default(), follower());
        tick(&process, &mut leader, &honest);
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        let calls = process.calls.take();
        let (id, call) = calls.into_iter().next().unwrap();
        let Some(CallOutcome::Answered { body, .. }) = authority.answer(&call) else {
            panic!("no answer to {call:?}");
        };
        let outcome = CallOutcome::Answered {
            status: 200,
            headers: Vec::new(),
            body: corruption(body),
        };
        leader.on_response(&process, id, &outcome);
        leader.on_tick(&process, Role::Leads);
        assert_eq!(leader.counts().of(Fault::NotBelieved), 1, "{title}");
        assert_eq!(
            status(&process, &leader, "a"),
            Status::NotRevoked,
            "{title}"
        );
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_recorded_answer_is_the_answer_to_another_call() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let recorded = authority.batch(0, 12345);
    let (id, _) = process.calls.take().into_iter().next().unwrap();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: recorded,
    };
    let before = leader.view.state().unwrap().verified_at;
    leader.on_response(&process, id, &outcome);
    process.pass(50);
    leader.on_tick(&process, Role::Leads);
    assert_eq!(leader.view.state().unwrap().verified_at, before);
    assert_eq!(leader.counts().of(Fault::NotBelieved), 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_manifest_that_is_older_than_what_is_held_is_refused() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let older = authority.manifest();
    authority.revoke("a");
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    leader.load_at_once();
    process.pass(100);
    leader.on_tick(&process, Role::Leads);
    let calls = process.calls.take();
    let (id, _) = calls
        .into_iter()
        .find(|(_, call)| call.path.ends_with("manifest"))
        .unwrap();
    let outcome = CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: older,
    };
    leader.on_response(&process, id, &outcome);
    assert_eq!(leader.counts().of(Fault::NotBelieved), 1);
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn of_all_answers_to_a_poll_without_changes_only_410_leads_to_a_load() {
    for status in [204, 301, 400, 401, 404, 409, 410, 429, 500, 503] {
        let (process, authority, mut leader) =
            (MockProcess::default(), Authority::new(), follower());
        tick(&process, &mut leader, &authority);
        let is_loading = Cell::new(false);
        for _ in 0..100 {
            process.pass(100);
            leader.on_tick(&process, Role::Leads);
            settle_with(&process, &mut leader, |call| {
                is_loading.set(is_loading.get() || !call.path.contains("/deltas?"));
                Some(CallOutcome::Answered {
                    status,
                    headers: Vec::new(),
                    body: Vec::new(),
                })
            });
        }
        assert_eq!(is_loading.get(), status == 410, "{status}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_was_restored_from_a_backup_is_followed_in_its_new_epoch() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    for token in ["a", "b", "c"] {
        authority.revoke(token);
    }
    authority.publish_generation();
    tick(&process, &mut leader, &authority);
    authority.changes.truncate(1);
    authority.base = 1;
    authority.epoch = 2;
    authority.generation = 1;
    for _ in 0..20 {
        process.pass(10_000);
        settle_with(&process, &mut leader, |call| match authority.answer(call) {
            None => Some(CallOutcome::Failed),
            answer => answer,
        });
        leader.on_tick(&process, Role::Leads);
    }
    let state = leader.view.state().unwrap();
    assert_eq!((state.epoch, state.sequence), (2, 1));
    assert_eq!(status(&process, &leader, "a"), Status::PossiblyRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_is_there_again_is_heard_at_once_and_not_a_heartbeat_later() {
    let (process, authority, mut leader) = (MockProcess::default(), Authority::new(), follower());
    tick(&process, &mut leader, &authority);
    let (lost, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=10"), "{}", call.path);
    leader.on_response(&process, lost, &CallOutcome::Failed);
    process.pass(1_000);
    leader.on_tick(&process, Role::Leads);
    let (id, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=0"), "{}", call.path);
    leader.on_response(&process, id, &authority.answer(&call).unwrap());
    leader.on_tick(&process, Role::Leads);
    assert_eq!(leader.view.state().unwrap().verified_at, process.now.get());
    process.pass(1_000);
    leader.on_tick(&process, Role::Leads);
    let (_, call) = next_call(&process).unwrap();
    assert!(call.path.ends_with("wait=10"), "{}", call.path);
}

#[wasm_bindgen_test(unsupported = test)]
fn failures_are_tried_again_later_and_later_and_said_once() {
    let authority = Authority::new();
    // Nothing answers; or the manifest is fine, and nothing after it is.
    let steps = [
        "/v1/feed/manifest",
        "/v1/feed/segments/1/0",
        "/v1/feed/segments/1/1",
    ];
    for good in [&steps[..0], &steps[..1], &steps[..2]] {
        let (process, mut leader) = (MockProcess::default(), follower());
        let mut failed = 0;
        for _ in 0..600 {
            process.pass(100);
            leader.on_tick(&process, Role::Leads);
            while let Some((id, call)) = next_call(&process) {
                let outcome = if good.contains(&call.path.as_str()) {
                    authority.answer(&call).unwrap()
                } else {
                    failed += 1;
                    CallOutcome::Failed
                };
                leader.on_response(&process, id, &outcome);
            }
        }
        assert!(
            (30..=65).contains(&failed),
            "{good:?}: {failed} failures in a minute"
        );
        let log = process.log.borrow();
        let said = log.iter().filter(|line| line.contains("does not answer"));
        assert_eq!(said.count(), 1, "{good:?}: {log:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_lags_behind_what_is_held_is_waited_for_without_haste() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    for token in ["a", "b", "c"] {
        authority.revoke(token);
    }
    tick(&process, &mut leader, &authority);
    let before = leader.view.state().unwrap();
    // It was restored from a backup, and begins no epoch.
    let mut lagging = authority.clone();
    lagging.changes.truncate(1);
    leader.load_at_once();
    let calls = std::cell::RefCell::new(std::collections::BTreeMap::<String, u32>::new());
    for _ in 0..600 {
        process.pass(100);
        leader.on_tick(&process, Role::Leads);
        settle_with(&process, &mut leader, |call| {
            let path = call.path.split(['?', '&']).take(3).collect::<String>();
            *calls.borrow_mut().entry(path).or_default() += 1;
            lagging.answer(call)
        });
    }
    let calls = calls.into_inner();
    for (path, count) in &calls {
        let most = if path.contains("/deltas") { 65 } else { 1 };
        assert!((1..=most).contains(count), "{calls:?}");
    }
    assert_eq!(process.log.borrow().len(), 3, "{:?}", process.log);
    // The current state stays, and does not become fresher.
    assert_eq!(leader.view.state().unwrap(), before);
    let now = process.now.get();
    let most = Duration::from_secs(30);
    let standing = leader.view.standing(&process, now, most);
    assert_eq!(standing, Standing::Stale);
    // Its other half has come back.
    for _ in 0..100 {
        tick(&process, &mut leader, &authority);
    }
    let after = leader.view.state().unwrap();
    assert_ne!(after.load, before.load);
    assert_eq!(after.sequence, 3);
    let standing = leader.view.standing(&process, process.now.get(), most);
    assert_eq!(standing, Standing::Current);
}
