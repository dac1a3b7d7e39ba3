//! Revocations one after the other at a group of authorities, while something happens to what is around them.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use super::member::Member;
use super::patience::until;

/// How many clients revoke.
pub(crate) const CLIENTS: usize = 4;

/// How long a client waits before its next revocation, so that all of them can be looked at afterwards.
const PACE: Duration = Duration::from_millis(5);

/// How long a client waits for an answer before it asks another authority.
const ANSWER_LIMIT: Duration = Duration::from_secs(3);

/// How long a client waits before it asks again.
const PAUSE: Duration = Duration::from_millis(20);

/// What has been acknowledged so far.
#[derive(Default)]
pub(crate) struct Load {
    acknowledged: AtomicUsize,
    is_over: AtomicBool,
}

impl Load {
    /// Waits until so many more are acknowledged.
    #[track_caller]
    pub(crate) fn wait_for_more(&self, count: usize, members: &[Member]) {
        let before = self.acknowledged();
        until(
            || format!("{count} revocations more: {}", logs(members)),
            || self.acknowledged() >= before + count,
        );
    }

    pub(crate) fn acknowledged(&self) -> usize {
        self.acknowledged.load(Ordering::Relaxed)
    }
}

/// Revokes sessions whose names begin with `prefix` for as long as `trouble` takes, and returns those
/// that were acknowledged. A client that is refused, or gets no answer, asks the next authority for the same,
/// as often as it takes; so at most one of each client's is not acknowledged in the end, and may be done or not.
pub(crate) fn under_load(
    members: &[Member],
    prefix: &str,
    trouble: impl FnOnce(&Load),
) -> Vec<String> {
    let load = Load::default();
    thread::scope(|scope| {
        let clients: Vec<_> = (0..CLIENTS)
            .map(|client| {
                let load = &load;
                scope.spawn(move || revoke(members, load, client, prefix))
            })
            .collect();
        // A client that is not told of a failure here would go on for ever.
        let ending = EndWhenDropped(&load);
        trouble(&load);
        drop(ending);
        let clients = clients.into_iter();
        clients.flat_map(|client| client.join().unwrap()).collect()
    })
}

struct EndWhenDropped<'l>(&'l Load);

impl Drop for EndWhenDropped<'_> {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Relaxed);
    }
}

fn revoke(members: &[Member], load: &Load, client: usize, prefix: &str) -> Vec<String> {
    let mut acknowledged = Vec::new();
    let mut at = client;
    while !load.is_over.load(Ordering::Relaxed) {
        let value = format!("{prefix}-{client}-{}", acknowledged.len());
        if members[at % members.len()].revoke_within(ANSWER_LIMIT, &value) == Some(200) {
            load.acknowledged.fetch_add(1, Ordering::Relaxed);
            acknowledged.push(value);
            thread::sleep(PACE);
        } else {
            at += 1;
            thread::sleep(PAUSE);
        }
    }
    acknowledged
}

/// Waits until one of them is ready, and gives the first that is.
#[track_caller]
pub(crate) fn first_ready(members: &[Member]) -> &Member {
    let ready = || members.iter().find(|member| member.ready() == "ready\n");
    until(
        || format!("one ready: {}", logs(members)),
        || ready().is_some(),
    );
    ready().unwrap_or_else(|| panic!("one ready: {}", logs(members)))
}

/// Waits until all authorities that are ready say that each of these sessions is revoked, and expects them
/// to say so of no other one.
#[track_caller]
pub(crate) fn expect_revoked(members: &[Member], values: &[String]) {
    let is_revoked = |member: &Member, value: &str| {
        let answer = member.check(value).filter(|answer| answer.status == 200);
        answer.map(|answer| answer.json()["revoked"] == true)
    };
    let lost = || -> BTreeSet<(usize, &String)> {
        let all = members.iter().enumerate();
        all.filter(|(_, member)| member.ready() == "ready\n")
            .flat_map(|(number, member)| {
                let lost = values
                    .iter()
                    .filter(|value| is_revoked(member, value) != Some(true));
                lost.map(move |value| (number, value)).collect::<Vec<_>>()
            })
            .collect()
    };
    until(
        || format!("all revoked, but {:?}: {}", lost(), logs(members)),
        || {
            first_ready(members);
            lost().is_empty()
        },
    );
    for member in members {
        assert_ne!(is_revoked(member, "never revoked"), Some(true));
    }
}

pub(crate) fn logs(members: &[Member]) -> String {
    members
        .iter()
        .map(Member::log)
        .collect::<Vec<_>>()
        .join("\n--\n")
}

/// How often a line with this text is in their logs.
pub(crate) fn times_logged(members: &[Member], text: &str) -> usize {
    logs(members).matches(text).count()
}
