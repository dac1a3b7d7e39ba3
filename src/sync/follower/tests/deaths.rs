//! Leaders that die between any two writes, and their successors.

use std::cell::{Cell, RefCell};

use super::company::{Leader, Onlookers, cleared, cut_off_at, records, revoked, writes_of};
use super::*;

/// Long enough for everything: a lease that runs out, a generation that is loaded, and one that is
/// discarded.
const TICKS: usize = 60;

/// A leader follows the authority through `prepare`, and then hears of `news`. For every number of
/// writes, it dies after that many, and another one takes over: no answer is wrong before any write
/// of either, and in the end everything is right. Returns how many writes the news took.
fn dies_after_any_write(prepare: impl Fn(&mut Authority), news: impl Fn(&mut Authority)) -> usize {
    for lives in 0.. {
        let process = MockProcess::default();
        let authority = RefCell::new(Authority::new());
        let onlookers = RefCell::new(Onlookers::new(&process));
        let look = |when: String| {
            let mut onlookers = onlookers.borrow_mut();
            onlookers.look(&authority.borrow(), &when);
        };
        let of_first = |write| look(format!("dies after {lives}, before write {write}"));
        let of_second = |write| {
            look(format!(
                "died after {lives}, before write {write} of the next"
            ));
        };
        let mut first = Leader::new(&process, &of_first);
        prepare(&mut authority.borrow_mut());
        if !authority.borrow().changes.is_empty() {
            for _ in 0..TICKS {
                first.tick(&authority.borrow());
            }
        }
        onlookers.borrow().tick();
        look(format!("before death after {lives}"));
        news(&mut authority.borrow_mut());
        first.machine.writes.set(0);
        first.machine.lives.set(lives);
        for _ in 0..TICKS {
            if !first.is_dead() {
                first.tick(&authority.borrow());
            }
        }
        let is_dead = first.is_dead();
        look(format!("after death after {lives}"));
        process.pass(3_000);
        authority.borrow_mut().changes.push(revoked("3"));
        let mut second = Leader::new(&process, &of_second);
        for _ in 0..TICKS {
            second.tick(&authority.borrow());
            look(format!("died after {lives}, a tick later"));
        }
        let authority = authority.borrow();
        let onlookers = onlookers.borrow();
        onlookers.agree(&authority, &format!("died after {lives}"));
        assert_eq!(records(&process, "/page/"), authority.page_count, "{lives}");
        assert_eq!(
            records(&process, "/bucket/"),
            authority.bucket_count,
            "{lives}"
        );
        if !is_dead {
            return lives;
        }
    }
    unreachable!("no work has so many writes");
}

fn something(authority: &mut Authority) {
    authority
        .changes
        .extend([revoked("0"), cut_off_at("alice", 20), cut_off_at("bob", 20)]);
}

/// Sets, clears and sets again, in either order.
fn all_sorts(authority: &mut Authority) {
    authority.changes.extend([
        cleared("alice"),
        revoked("1"),
        cut_off_at("carol", 20),
        cut_off_at("alice", 20),
        cleared("bob"),
        revoked("2"),
        cleared("carol"),
    ]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_dies_while_it_loads_the_first_generation_does_no_harm() {
    let writes = dies_after_any_write(
        |_| {},
        |authority| {
            something(authority);
            authority.publish_generation();
            all_sorts(authority);
        },
    );
    // Three pages and all buckets; with what came since, two or three pages and both buckets again;
    // and the state.
    let buckets = Authority::new().bucket_count as usize;
    assert!(writes >= 3 + buckets + 2 + buckets, "{writes}");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_dies_while_it_applies_a_batch_does_no_harm() {
    let writes = dies_after_any_write(something, all_sorts);
    // Two buckets and a page at least, their announcement and the state.
    assert!(writes >= 5, "{writes}");
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_dies_while_it_switches_to_another_generation_or_discards_the_old_one_does_no_harm()
{
    for page_count in [2, 3, 5] {
        let writes = dies_after_any_write(something, |authority| {
            all_sorts(authority);
            authority.page_count = page_count;
            authority.publish_generation();
            authority
                .changes
                .extend([cut_off_at("bob", 20), cleared("alice")]);
        });
        // The batches; pages, buckets and the state; and emptying three pages and the buckets.
        let buckets = Authority::new().bucket_count as usize;
        assert!(writes >= 5 + 2 + 2 + buckets + 1 + 3 + buckets, "{writes}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_dies_while_an_epoch_begins_does_no_harm() {
    let writes = dies_after_any_write(
        |authority| {
            something(authority);
            all_sorts(authority);
        },
        |authority| {
            authority.restore(3);
            authority
                .changes
                .extend([cleared("alice"), cut_off_at("carol", 20), revoked("2")]);
        },
    );
    // Pages, buckets, changes and the state; and emptying the old ones.
    let buckets = Authority::new().bucket_count as usize;
    assert!(writes >= 3 + buckets + 2 + 1 + 3 + buckets, "{writes}");
}

/// The authority is restored from a backup, and has exactly the changes of the state. It may have
/// given the numbers of those that it has lost to `others`.
fn loses_what_a_dead_leader_was_applying(lives: usize, others: &[Change]) {
    let context = format!("dies after {lives}, and then {others:?}");
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let onlookers = Onlookers::new(&process);
    let mut first = Leader::new(&process, &|_| {});
    something(&mut authority);
    first.tick(&authority);
    let backup = authority.changes.clone();
    all_sorts(&mut authority);
    first.machine.writes.set(0);
    first.machine.lives.set(lives);
    first.tick(&authority);
    assert!(first.is_dead(), "{context}");
    onlookers.ask();
    authority.changes = backup;
    authority.changes.extend(others);
    process.pass(3_000);
    let mut second = Leader::new(&process, &|_| {});
    for _ in 0..TICKS {
        second.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    onlookers.agree(&authority, &context);
    // And it goes on.
    authority.changes.extend([cleared("bob"), revoked("2")]);
    for _ in 0..TICKS {
        second.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    assert!(second.follower.counts().generations <= 1, "{context}");
    onlookers.agree(&authority, &context);
}

#[wasm_bindgen_test(unsupported = test)]
fn changes_that_a_dead_leader_was_applying_when_the_authority_lost_them_are_undone() {
    let longer = [
        revoked("2"),
        cut_off_at("carol", 20),
        cleared("bob"),
        cut_off_at("bob", 20),
        cleared("carol"),
        cut_off_at("carol", 20),
        revoked("3"),
        cleared("alice"),
    ];
    let (mut before, mut after) = (Authority::new(), Authority::new());
    something(&mut before);
    all_sorts(&mut after);
    // The state is never written.
    for lives in 0..writes_of(&before.changes, &after.changes) {
        for others in [0, 1, 2, 3, 7, 8] {
            loses_what_a_dead_leader_was_applying(lives, &longer[..others]);
        }
    }
}

/// A leader has announced a batch and is paused before its write `stopped`. Another one announces
/// more over it and dies after `lives` writes; the first resumes and writes a state that is behind
/// what is announced. Then the authority is restored to just that state, and has given the numbers
/// of the changes that it has lost to `others`. `false` when the second leader is not dead by then.
fn loses_what_was_announced_over_another_leader(
    stopped: usize,
    lives: usize,
    others: &[Change],
) -> bool {
    let context = format!("stopped before {stopped}, dies after {lives}, and then {others:?}");
    let (process, authority) = (MockProcess::default(), RefCell::new(Authority::new()));
    let onlookers = Onlookers::new(&process);
    let second = RefCell::new(Leader::new(&process, &|_| {}));
    let of_first = |write| {
        if write == stopped {
            authority.borrow_mut().changes.truncate(3);
            all_sorts(&mut authority.borrow_mut());
            second.borrow_mut().tick(&authority.borrow());
        }
    };
    let mut first = Leader::new(&process, &of_first);
    something(&mut authority.borrow_mut());
    first.machine.writes.set(100);
    first.tick(&authority.borrow());
    second.borrow_mut().tick(&authority.borrow());
    all_sorts(&mut authority.borrow_mut());
    authority.borrow_mut().changes.truncate(6);
    let backup = authority.borrow().changes.clone();
    let answered = first.answered(|call| authority.borrow().answer(call));
    let (id, outcome) = answered.expect("the first leader polls");
    first.machine.writes.set(0);
    second.borrow().machine.writes.set(0);
    second.borrow().machine.lives.set(lives);
    first.hear(id, &outcome);
    if !second.borrow().is_dead() {
        return false;
    }
    let written = first.follower.read_state(&process).unwrap().0;
    assert_eq!(written.sequence, 6, "{context}");
    onlookers.ask();
    let authority = &mut *authority.borrow_mut();
    authority.changes = backup;
    authority.changes.extend(others);
    process.pass(3_000);
    let mut third = Leader::new(&process, &|_| {});
    for _ in 0..TICKS {
        third.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    onlookers.agree(authority, &context);
    // And it goes on.
    authority.changes.extend([cleared("bob"), revoked("2")]);
    for _ in 0..TICKS {
        third.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    assert!(third.follower.counts().generations <= 1, "{context}");
    onlookers.agree(authority, &context);
    true
}

#[wasm_bindgen_test(unsupported = test)]
fn changes_that_were_announced_over_another_leader_when_the_authority_lost_them_are_undone() {
    let longer = [
        revoked("3"),
        cut_off_at("bob", 20),
        cut_off_at("alice", 20),
        cleared("carol"),
        cleared("alice"),
    ];
    let (mut before, mut after) = (Authority::new(), Authority::new());
    something(&mut before);
    all_sorts(&mut after);
    // The announcement is written; the records and the state are not.
    for stopped in 1..writes_of(&before.changes, &after.changes[..3]) {
        for others in 0..=longer.len() {
            let others = &longer[..others];
            let mut deaths = (0..20).take_while(|lives| {
                loses_what_was_announced_over_another_leader(stopped, *lives, others)
            });
            // The announcement and what the first one has not applied.
            assert!((&mut deaths).count() >= 2, "{stopped}");
        }
    }
}

/// Before the leader's write `moment`, with which it applies a batch, another plugin overwrites all
/// records of a kind. Returns whether the leader reached that write.
fn is_damaged_before_any_write(kind: &str, moment: usize) -> bool {
    let process = MockProcess::default();
    let authority = RefCell::new(Authority::new());
    let onlookers = RefCell::new(Onlookers::new(&process));
    onlookers.borrow_mut().may_be_mute = true;
    let damages = Cell::new(usize::MAX);
    let meanwhile = |write| {
        let mut onlookers = onlookers.borrow_mut();
        let context = format!("{kind} before write {moment}, at write {write}");
        onlookers.look(&authority.borrow(), &context);
        if write == damages.get() {
            damages.set(usize::MAX);
            for key in process.keys().iter().filter(|key| key.contains(kind)) {
                process.set_shared(key, b"foreign", Expected::Anything);
            }
            onlookers.look(&authority.borrow(), &context);
        }
    };
    let mut leader = Leader::new(&process, &meanwhile);
    something(&mut authority.borrow_mut());
    leader.tick(&authority.borrow());
    onlookers.borrow().ask();
    leader.machine.writes.set(0);
    damages.set(moment);
    // A token that every cache has is revoked, and another one is restored.
    for news in [all_sorts, |authority: &mut Authority| {
        authority.changes.push(cut_off_at("bob", 20));
    }] {
        news(&mut authority.borrow_mut());
        for _ in 0..TICKS {
            leader.tick(&authority.borrow());
        }
        onlookers.borrow().ask();
    }
    leader.tick(&authority.borrow());
    let context = format!("{kind} before write {moment}");
    let onlookers = onlookers.borrow();
    onlookers.agree(&authority.borrow(), &context);
    assert!(leader.follower.counts().generations <= 2, "{context}");
    damages.get() == usize::MAX
}

#[wasm_bindgen_test(unsupported = test)]
fn records_that_are_written_over_at_any_moment_let_nothing_through_and_come_back() {
    for kind in ["/page/", "/bucket/", "/announcement/", "/state", "/"] {
        let mut moments = (0..100).take_while(|moment| is_damaged_before_any_write(kind, *moment));
        // Three records and one, their announcements and the states.
        assert!((&mut moments).count() >= 8, "{kind}");
    }
}
