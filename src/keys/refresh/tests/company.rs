//! Several machines, and other plugins that write into the same space.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn another_machine_takes_over_when_the_leader_is_gone() {
    let mut process = Process::with(&settings());
    process.tick();
    process.hosts[0].take_calls();
    for _ in 0..40 {
        process.now.set(process.now.get() + 100);
        process.machines[1].tick(&process.hosts[1]);
    }
    process.answer(1, 200, &[], &old_set());
    assert!(process.machines[1].keys(process.now.get()).is_some());
}

#[wasm_bindgen_test(unsupported = test)]
fn of_two_leaders_the_second_takes_over_what_the_first_has_published() {
    let mut process = Process::with(&settings());
    process.tick();
    let key = process.hosts[0]
        .space
        .keys()
        .into_iter()
        .find(|key| key.ends_with("/lease"));
    let (key, hosts) = (key.unwrap(), &process.hosts);
    hosts[0].set_shared(&key, b"", Expected::Anything);
    process.machines[1].tick(&process.hosts[1]);
    process.answer(1, 200, &[], &new_set());
    process.answer(0, 200, &[], &old_set());
    process.tick();
    assert!(process.both_have(&new_set()));
}

#[wasm_bindgen_test(unsupported = test)]
fn foreign_bytes_change_nothing_and_are_written_over() {
    let mut process = Process::started();
    let keys = process.hosts[0].space.keys();
    for key in &keys {
        process.hosts[0].set_shared(key, &[0xff; 100], Expected::Anything);
    }
    process.tick();
    assert!(process.both_have(&old_set()));
    process.time_to_call(Duration::from_mins(10)).unwrap();
    let machine = usize::from(process.hosts[0].calls.borrow().is_empty());
    process.answer(machine, 200, &[], &new_set());
    process.tick();
    assert!(process.both_have(&new_set()));
}
