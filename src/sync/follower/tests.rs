//! Followers of one process against an authority that is a list of changes.

use ed25519_dalek::SigningKey;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::host::mock::MockProcess;
use crate::namespace::Namespace;
use crate::revocation::cut_off::CutOff;
use crate::revocation::{
    Change, FilterKey, Fingerprint, Kind, MAX_BATCH_CHANGES, Names, Status, cut_off,
};
use crate::time::UnixTime;

mod answers;
mod authority;
mod backlog;
mod caches;
mod company;
mod deaths;
mod generations;
mod leaders;
mod outages;
mod pace;
mod repairs;
mod successions;
mod trust;

use authority::Authority;

const FILTER_KEY: FilterKey = FilterKey::new([7; 16]);

const MAX_CHANGES: usize = MAX_BATCH_CHANGES as usize;

fn name(token: &str) -> Fingerprint {
    FILTER_KEY.fingerprint(Kind::Token, "iss", token)
}

/// One that pins the keys that are made of these bytes.
fn follower_pinning(seeds: &[u8]) -> Follower {
    let key = |seed: &u8| SigningKey::from_bytes(&[*seed; 32]).verifying_key();
    follower_with(FeedKeys::new(seeds.iter().map(key).collect()))
}

fn follower() -> Follower {
    // Made once: some tests have thousands of followers.
    thread_local! {
        static KEYS: FeedKeys =
            FeedKeys::new(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()]);
    }
    follower_with(KEYS.with(Clone::clone))
}

fn follower_with(keys: FeedKeys) -> Follower {
    let view = Rc::new(View::new(Namespace::example(), keys.clone()));
    let source = FeedSource {
        cluster: "authority".into(),
        authority: "authority".into(),
        credential: "edge".into(),
        keys,
        heartbeat: Duration::from_secs(10),
        reload_jitter: Duration::from_secs(1),
        max_staleness: Duration::from_secs(30),
    };
    Follower::new(source, view)
}

/// Answers every call that the authority has an answer for, until it is quiet.
fn settle(process: &MockProcess, follower: &mut Follower, authority: &Authority) {
    settle_with(process, follower, |call| authority.answer(call));
}

fn settle_with(
    process: &MockProcess,
    follower: &mut Follower,
    answer: impl Fn(&Call) -> Option<CallOutcome>,
) {
    for _ in 0..100 {
        let calls = process.calls.take();
        let mut is_quiet = true;
        for (id, call) in calls {
            match answer(&call) {
                Some(outcome) => {
                    is_quiet = false;
                    follower.on_response(process, id, &outcome);
                }
                None => process.calls.borrow_mut().push((id, call)),
            }
        }
        if is_quiet {
            return;
        }
    }
    panic!("the follower never comes to rest");
}

fn next_call(process: &MockProcess) -> Option<(CallId, Call)> {
    process.calls.borrow_mut().pop()
}

fn tick(process: &MockProcess, follower: &mut Follower, authority: &Authority) {
    process.pass(100);
    follower.on_tick(process, true);
    settle(process, follower, authority);
    follower.on_tick(process, true);
}

fn status(process: &MockProcess, follower: &Follower, token: &str) -> Status {
    let (status, _) = follower.view.status(process, |state| {
        let mut names = Names::default();
        names.add(&state.filter_key, Kind::Token, "iss", token);
        names
    });
    status
}
