//! Two leaders at once, one of which is paused in the middle of its work.

use std::cell::{Cell, RefCell};

use super::company::{Leader, Onlookers, cleared, cut_off_at, records, revoked, writes_of};
use super::*;

/// What the second leader does while the first one is paused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Meanwhile {
    /// It applies this many batches, the first of which has the changes that the other one is
    /// applying.
    Batches(usize),
    /// The same, and loads its generation once more.
    Reload(usize),
    /// The same, and switches to a generation that was published after them.
    Switch(usize),
    /// The same, and on to yet another one. The records of the first are discarded.
    SwitchTwice(usize),
}

/// What the first leader and the second have applied.
fn before() -> [Change; 2] {
    [cut_off_at("alice", 20), revoked("0")]
}

/// What the first leader applies: writes of two buckets and a page, one of the announcement, one
/// of the state.
fn old_batch() -> [Change; 5] {
    [
        cleared("alice"),
        cut_off_at("bob", 20),
        revoked("1"),
        cleared("bob"),
        cut_off_at("carol", 20),
    ]
}

const WRITES: usize = 5;

/// What comes after it, batch by batch. Every cut-off of the old one is replaced, one of them
/// twice.
fn newer_batches() -> [Vec<Change>; 3] {
    [
        vec![cut_off_at("alice", 20), cut_off_at("bob", 16)],
        vec![cleared("carol"), cleared("alice")],
        vec![revoked("2"), cut_off_at("alice", 16)],
    ]
}

/// The first leader, applying an old batch, is paused before its write `stopped`; it resumes when
/// the second one is done, and dies after `more` writes, unless it has finished by then.
fn stopped_and_dead(stopped: usize, meanwhile: Meanwhile, more: usize) {
    let context = format!("stopped before write {stopped}, {meanwhile:?}, dead {more} later");
    let survives = stopped + more > WRITES;
    let (process, authority) = (MockProcess::default(), RefCell::new(Authority::new()));
    let onlookers = RefCell::new(Onlookers::new(&process));
    let look = |_| {
        let mut onlookers = onlookers.borrow_mut();
        onlookers.look(&authority.borrow(), &context);
    };
    let second = RefCell::new(Leader::new(&process, &look));
    let of_first = |write| {
        if write == stopped {
            goes_on(&mut second.borrow_mut(), &authority, meanwhile);
        }
        look(write);
    };
    let mut first = Leader::new(&process, &of_first);
    authority.borrow_mut().changes = before().to_vec();
    first.machine.writes.set(100);
    first.tick(&authority.borrow());
    second.borrow_mut().tick(&authority.borrow());
    authority.borrow_mut().changes.extend(old_batch());
    let answered = first.answered(|call| authority.borrow().answer(call));
    let (id, outcome) = answered.expect("the first leader polls");
    first.machine.writes.set(0);
    if !survives {
        first.machine.lives.set(stopped + more);
    }
    first.hear(id, &outcome);
    let second = &mut second.borrow_mut();
    for _ in 0..15 {
        if survives {
            first.tick(&authority.borrow());
        }
        second.tick(&authority.borrow());
        look(0);
    }
    let onlookers = onlookers.borrow();
    onlookers.agree(&authority.borrow(), &context);
    let loaded = match meanwhile {
        Meanwhile::Batches(_) => 0,
        Meanwhile::Reload(_) | Meanwhile::Switch(_) => 1,
        Meanwhile::SwitchTwice(_) => 2,
    };
    assert_eq!(second.follower.counts().generations, loaded, "{context}");
    assert_eq!(first.follower.counts().generations, 1, "{context}");
}

fn goes_on(second: &mut Leader<'_>, authority: &RefCell<Authority>, meanwhile: Meanwhile) {
    let (batches, loads) = match meanwhile {
        Meanwhile::Batches(batches) => (batches, 0),
        Meanwhile::Reload(batches) | Meanwhile::Switch(batches) => (batches, 1),
        Meanwhile::SwitchTwice(batches) => (batches, 2),
    };
    for batch in newer_batches().into_iter().take(batches) {
        authority.borrow_mut().changes.extend(batch);
        second.tick(&authority.borrow());
    }
    for _ in 0..loads {
        if !matches!(meanwhile, Meanwhile::Reload(_)) {
            authority.borrow_mut().publish_generation();
        }
        second.follower.load_at_once();
        // Until the one before it is discarded.
        for _ in 0..30 {
            second.tick(&authority.borrow());
        }
    }
    second.tick(&authority.borrow());
}

#[wasm_bindgen_test(unsupported = test)]
fn whatever_a_leader_with_an_old_batch_still_writes_takes_nothing_back_and_causes_no_reload() {
    assert_eq!(writes_of(&before(), &old_batch()), WRITES);
    let batches = [0, 1, 2, 3].map(Meanwhile::Batches);
    let reloads = [1, 3].map(Meanwhile::Reload);
    let switches = [1, 3].map(Meanwhile::Switch);
    let twice = [1, 3].map(Meanwhile::SwitchTwice);
    for meanwhile in batches
        .into_iter()
        .chain(reloads)
        .chain(switches)
        .chain(twice)
    {
        for stopped in 0..WRITES {
            for more in 0..=WRITES - stopped + 1 {
                stopped_and_dead(stopped, meanwhile, more);
            }
        }
    }
}

/// What the second leader does while the first one is paused with a generation half loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Overtaking {
    /// It applies a batch.
    Batch,
    /// It loads the same generation, in the same slot.
    Load,
    /// And then another one, in the other slot.
    LoadTwice,
    /// It follows the authority into another epoch.
    Epoch,
    /// It loads the same generation, in the same slot, and another plugin overwrites all of it.
    LoadInVain,
}

/// The first leader loads a generation and is paused before its write `stopped`; it resumes when
/// the second one is done, and dies after `more` writes.
fn stopped_while_loading(stopped: usize, overtaking: Overtaking, more: usize) {
    let context = format!("stopped before write {stopped}, {overtaking:?}, dead {more} later");
    let (process, authority) = (MockProcess::default(), RefCell::new(Authority::new()));
    let onlookers = RefCell::new(Onlookers::new(&process));
    onlookers.borrow_mut().may_be_mute = true;
    let look = |_| {
        let mut onlookers = onlookers.borrow_mut();
        onlookers.look(&authority.borrow(), &context);
    };
    let second = RefCell::new(Leader::new(&process, &look));
    let of_first = |write| {
        if write == stopped {
            overtakes(&mut second.borrow_mut(), &authority, overtaking);
        }
        look(write);
    };
    let mut first = Leader::new(&process, &of_first);
    authority.borrow_mut().changes = vec![cut_off_at("alice", 20), revoked("0"), revoked("1")];
    first.machine.writes.set(100);
    first.tick(&authority.borrow());
    second.borrow_mut().tick(&authority.borrow());
    authority.borrow_mut().publish_generation();
    authority.borrow_mut().changes.push(cut_off_at("carol", 20));
    second.borrow_mut().tick(&authority.borrow());
    first.machine.writes.set(0);
    first.machine.lives.set(stopped + more);
    first.follower.load_at_once();
    // The authority goes on serving the segments of a generation that it has replaced.
    let old = authority.borrow().clone();
    first.tick_with(|call| {
        if call.path.contains("/deltas?") {
            authority.borrow().answer(call)
        } else {
            old.answer(call)
        }
    });
    for _ in 0..50 {
        second.borrow_mut().tick(&authority.borrow());
        look(0);
    }
    let onlookers = onlookers.borrow();
    onlookers.agree(&authority.borrow(), &context);
}

fn overtakes(second: &mut Leader<'_>, authority: &RefCell<Authority>, overtaking: Overtaking) {
    let changes = [cleared("alice"), revoked("2"), cut_off_at("bob", 20)];
    match overtaking {
        Overtaking::Batch => {}
        Overtaking::Load | Overtaking::LoadInVain => {
            second.follower.load_at_once();
        }
        Overtaking::LoadTwice => {
            second.follower.load_at_once();
            second.tick(&authority.borrow());
            authority.borrow_mut().publish_generation();
            second.follower.load_at_once();
        }
        Overtaking::Epoch => authority.borrow_mut().restore(1),
    }
    second.tick(&authority.borrow());
    authority.borrow_mut().changes.extend(changes);
    for _ in 0..50 {
        second.tick(&authority.borrow());
    }
    if overtaking == Overtaking::LoadInVain {
        let process = second.machine.process;
        let is_record = |key: &&String| key.contains("/page/") || key.contains("/bucket/");
        for key in process.keys().iter().filter(is_record) {
            process.set_shared(key, b"foreign", Expected::Anything);
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn whatever_a_leader_with_half_a_generation_still_writes_takes_nothing_back() {
    // The claim, which is taken, updated twice and given up, three pages, the buckets, a change and
    // the state.
    let writes = 4 + 3 + Authority::new().bucket_count as usize + 2;
    for overtaking in [
        Overtaking::Batch,
        Overtaking::Load,
        Overtaking::LoadTwice,
        Overtaking::Epoch,
        Overtaking::LoadInVain,
    ] {
        for stopped in 0..writes {
            for more in 0..=writes + 5 - stopped {
                stopped_while_loading(stopped, overtaking, more);
            }
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_was_overtaken_writes_nothing_more_and_leaves_it_at_that() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let mut first = Leader::new(&process, &|_| {});
    let mut second = Leader::new(&process, &|_| {});
    for _ in 0..40 {
        first.tick(&authority);
    }
    // It has the manifest of the next generation, and is paused before the first segment.
    authority.publish_generation();
    let old = authority.clone();
    first.follower.load_at_once();
    first.tick_with(|call| {
        let is_segment = call.path.contains("/segments/");
        (!is_segment).then(|| authority.answer(call)).flatten()
    });
    for _ in 0..2 {
        authority.publish_generation();
        second.follower.load_at_once();
        for _ in 0..60 {
            second.tick(&authority);
        }
    }
    assert_eq!(records(&process, "/page/"), authority.page_count);
    let held = |leader: &Leader<'_>| leader.follower.view.state().map(|state| state.load);
    while let Some((id, outcome)) = first.answered(|call| old.answer(call)) {
        first.hear(id, &outcome);
    }
    assert_eq!(records(&process, "/page/"), authority.page_count);
    for _ in 0..60 {
        first.tick(&authority);
    }
    assert_eq!(first.follower.counts().generations, 1);
    assert_eq!(records(&process, "/page/"), authority.page_count);
    assert_eq!(records(&process, "/bucket/"), authority.bucket_count);
    assert_eq!(held(&first), held(&second));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_returns_does_not_load_what_another_one_has_loaded() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let mut first = Leader::new(&process, &|_| {});
    let mut second = Leader::new(&process, &|_| {});
    first.tick(&authority);
    // It learns of another generation, and loses the lead before it has loaded that.
    authority.publish_generation();
    first.tick_with(|call| {
        let is_poll = call.path.contains("/deltas?");
        is_poll
            .then(|| authority.answer_or_heartbeat(call))
            .flatten()
    });
    assert!(first.follower.is_to_load());
    first.follower.on_tick(&first.machine, Role::Follows);
    for _ in 0..40 {
        second.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    assert_eq!(second.follower.counts().generations, 1);
    for _ in 0..40 {
        first.tick_with(|call| authority.answer_or_heartbeat(call));
    }
    assert_eq!(first.follower.counts().generations, 1);
}

#[wasm_bindgen_test(unsupported = test)]
fn two_leaders_at_once_do_no_harm() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    let mut other = follower();
    for round in 0..20 {
        authority.revoke(&round.to_string());
        if round % 7 == 3 {
            authority.publish_generation();
        }
        process.pass(500);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, Role::Leads);
        }
        let calls = process.calls.take();
        for (id, call) in calls {
            let Some(outcome) = authority.answer(&call) else {
                process.calls.borrow_mut().push((id, call));
                continue;
            };
            let before = [first.counts(), second.counts()];
            first.on_response(&process, id, &outcome);
            second.on_response(&process, id, &outcome);
            let after = [first.counts(), second.counts()];
            let both = before.iter().zip(&after);
            let heard = both.filter(|(before, after)| before != after).count();
            assert!(heard <= 1, "an answer is for one of them");
        }
    }
    for _ in 0..20 {
        process.pass(2_000);
        for leader in [&mut first, &mut second] {
            leader.on_tick(&process, Role::Leads);
            settle(&process, leader, &authority);
        }
    }
    other.on_tick(&process, Role::Follows);
    for round in 0..20 {
        assert_eq!(
            status(&process, &other, &round.to_string()),
            Status::PossiblyRevoked,
            "{round}"
        );
    }
    assert_eq!(status(&process, &other, "never"), Status::NotRevoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_was_stopped_while_loading_cannot_take_back_what_came_since() {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    authority.publish_generation();
    // The first leader has the manifest, and is paused before the first segment is loaded.
    first.on_tick(&process, Role::Leads);
    let (id, call) = next_call(&process).unwrap();
    let outcome = authority.answer(&call).unwrap();
    first.on_response(&process, id, &outcome);
    let (late, call) = next_call(&process).unwrap();
    let segment = authority.answer(&call).unwrap();
    tick(&process, &mut second, &authority);
    authority.revoke("a");
    tick(&process, &mut second, &authority);
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    first.on_response(&process, late, &segment);
    assert_ne!(status(&process, &second, "a"), Status::NotRevoked);
    process.calls.take();
    for _ in 0..3 {
        process.pass(30_000);
        tick(&process, &mut second, &authority);
    }
    assert_eq!(status(&process, &second, "a"), Status::PossiblyRevoked);
    assert_eq!(status(&process, &second, "b"), Status::NotRevoked);
}

/// The first leader has half a generation, and is paused when the answer with the next segment
/// comes. The second one loads the same generation into the same slot, and publishes it.
fn wakes_after_another_has_loaded(is_first_generation: bool) {
    let (process, mut authority) = (MockProcess::default(), Authority::new());
    authority.revoke("a");
    let mut first = Leader::new(&process, &|_| {});
    let mut second = Leader::new(&process, &|_| {});
    if !is_first_generation {
        first.tick(&authority);
        second.tick(&authority);
        authority.publish_generation();
        for leader in [&mut first, &mut second] {
            leader.follower.load_at_once();
        }
    }
    first.tick_with(|call| {
        let is_manifest = call.path.contains("/manifest");
        is_manifest.then(|| authority.answer(call)).flatten()
    });
    let is_segment = |call: &Call| call.path.contains("/segments/");
    let answered = first.answered(|call| is_segment(call).then(|| authority.answer(call))?);
    let (id, outcome) = answered.expect("the first segment is asked for");
    process.pass(3_100);
    second.tick(&authority);
    let held = first.follower.read_state(&process).unwrap().0;
    assert_eq!(second.follower.counts().generations, 1);
    first.machine.writes.set(0);
    first.hear(id, &outcome);
    assert_eq!(first.machine.writes.get(), 0);
    assert!(!first.follower.is_loading());
    let found = status(&process, &second.follower, "a");
    assert_eq!(found, Status::PossiblyRevoked);
    assert!(!second.follower.view.filter().is_damaged(&process, &held));
    for _ in 0..60 {
        first.tick(&authority);
        second.tick(&authority);
    }
    // Neither loads anything more.
    assert_eq!(second.follower.counts().generations, 1);
    let before = u64::from(!is_first_generation);
    assert_eq!(first.follower.counts().generations, before);
    assert_eq!(first.follower.counts().of(Fault::NotBelieved), 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_wakes_with_a_segment_does_not_write_where_another_has_published_meanwhile() {
    wakes_after_another_has_loaded(true);
    wakes_after_another_has_loaded(false);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_is_published_only_over_what_was_found_though_that_was_nothing_or_unreadable() {
    for is_unreadable in [false, true] {
        let (process, authority) = (MockProcess::default(), Authority::new());
        let state_key = follower().view.filter().space().key_of("state");
        let mut other = follower();
        tick(&process, &mut other, &authority);
        let foreign = process.shared(&state_key).unwrap().bytes;
        let process = MockProcess::default();
        if is_unreadable {
            process.set_shared(&state_key, b"foreign", Expected::Anything);
        }
        // Another leader publishes between its look at the state and its write of one, the last of
        // all.
        let writes = Cell::new(usize::MAX);
        let meanwhile = |write| {
            if write == writes.get() {
                process.set_shared(&state_key, &foreign, Expected::Anything);
            }
        };
        // Three pages and the buckets.
        writes.set(3 + authority.bucket_count as usize);
        let mut leader = Leader::new(&process, &meanwhile);
        leader.follower.on_tick(&leader.machine, Role::Leads);
        while leader.machine.writes.get() <= writes.get() {
            let answered = leader.answered(|call| authority.answer(call));
            let (id, outcome) = answered.expect("it loads");
            leader.hear(id, &outcome);
        }
        let found = process.shared(&state_key).unwrap().bytes;
        assert_eq!(found, foreign, "{is_unreadable}");
        assert_eq!(leader.follower.counts().generations, 0);
    }
}
