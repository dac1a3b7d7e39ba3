//! Followers of one process against an authority that is a list of changes.

use ed25519_dalek::SigningKey;
use wasm_bindgen_test::wasm_bindgen_test;

use super::loading::REPAIR_PAUSE;
use super::*;
use crate::host::mock::MockProcess;
use crate::host::{Call, Expected};
use crate::namespace::Namespace;
use crate::revocation::cut_off::CutOff;
use crate::revocation::mock_authority::{self, FILTER_KEY, MockAuthority as Authority, name_of};
use crate::revocation::{
    Change, FeedState, Fingerprint, Kind, MAX_BATCH_CHANGES, Names, Status, cut_off,
};
use crate::time::{Interval, UnixTime, milliseconds};

mod answers;
mod backlog;
mod caches;
mod company;
mod deaths;
mod generations;
mod introductions;
mod leaders;
mod outages;
mod pace;
mod repairs;
mod successions;
mod trust;

const MAX_CHANGES: usize = MAX_BATCH_CHANGES as usize;

fn name(token: &str) -> Fingerprint {
    name_of(Kind::Token, token)
}

/// A follower that pins the keys made from these bytes.
fn follower_pinning(seeds: &[u8]) -> Follower {
    let key = |seed: &u8| SigningKey::from_bytes(&[*seed; 32]).verifying_key();
    follower_with(FeedKeys::new(seeds.iter().map(key).collect()))
}

impl Follower {
    fn read_state(&self, host: &impl SharedData) -> Option<(FeedState, u32)> {
        self.view.filter().state(host)
    }

    /// Makes a leader load a generation on its next tick, in any case.
    fn load_at_once(&mut self) {
        self.load_after(0, Duration::ZERO);
    }

    fn load_after(&mut self, now: u64, delay: Duration) {
        if let Some(lead) = &mut self.lead {
            lead.load.pause = Some(Interval::new(now, delay));
        }
    }

    fn is_to_load(&self) -> bool {
        let lead = self.lead.as_ref();
        lead.is_some_and(|lead| lead.load.is_requested())
    }

    fn is_loading(&self) -> bool {
        let lead = self.lead.as_ref();
        lead.is_some_and(|lead| lead.load.is_under_way())
    }

    fn may_attest(&self, now: u64) -> bool {
        let lead = self.lead.as_ref();
        lead.is_some_and(|lead| lead.attester.line.is_free(now))
    }
}

fn follower() -> Follower {
    follower_with(keys())
}

fn new_view() -> View {
    view_with(keys())
}

fn keys() -> FeedKeys {
    // Computed once: some tests have thousands of followers.
    thread_local! {
        static KEYS: FeedKeys =
            FeedKeys::new(vec![SigningKey::from_bytes(&[1; 32]).verifying_key()]);
    }
    KEYS.with(Clone::clone)
}

fn follower_with(keys: FeedKeys) -> Follower {
    let view = Rc::new(view_with(keys.clone()));
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

fn view_with(keys: FeedKeys) -> View {
    thread_local! {
        static SPACE: Namespace = company::space();
    }
    View::new(SPACE.with(Clone::clone), keys)
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
    follower.on_tick(process, Role::Leads);
    settle(process, follower, authority);
    follower.on_tick(process, Role::Leads);
}

fn status(process: &MockProcess, follower: &Follower, token: &str) -> Status {
    let (status, _) = follower.view.status(process, |state| {
        let mut names = Names::default();
        names.add(&state.filter_key, Kind::Token, "iss", token);
        names
    });
    status
}
