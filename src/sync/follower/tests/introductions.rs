//! What the authority is told of the edge that polls.

use std::cell::RefCell;

use super::*;
use crate::revocation::wire::EDGE_HEADER;

/// What is said with a poll: the process, its age, the generation in use, and the instance.
fn introduction(call: &Call) -> Vec<String> {
    assert!(call.path.starts_with("/v1/feed/deltas?"), "{call:?}");
    let mut headers = call.headers.iter();
    let header = headers.find(|(name, _)| *name == EDGE_HEADER);
    let (_, text) = header.expect("an introduction");
    let own = format!("1 {} ", env!("CARGO_PKG_VERSION"));
    let fields = text.strip_prefix(&own).expect("format and version");
    fields.split(' ').map(str::to_owned).collect()
}

fn poll(process: &MockProcess) -> Vec<String> {
    let (_, call) = next_call(process).expect("a poll");
    introduction(&call)
}

#[wasm_bindgen_test(unsupported = test)]
fn every_leader_of_a_process_says_that_it_is_the_same_edge() {
    let (process, authority) = (MockProcess::default(), Authority::new());
    let (mut first, mut second) = (follower(), follower());
    tick(&process, &mut first, &authority);
    let said = poll(&process);
    let generation = authority.generation.to_string();
    assert_eq!(said[1..], ["0", &*generation, "edge_1"]);
    process.pass(10_000);
    second.on_tick(&process, Role::Leads);
    let later = poll(&process);
    assert_eq!(later[0], said[0]);
    assert_eq!(later[1..], ["10", &*generation, "edge_1"]);
    // The clock is set back.
    process.now.set(1_000_000);
    follower().on_tick(&process, Role::Leads);
    let set_back = poll(&process);
    assert_eq!((&set_back[0], &*set_back[1]), (&said[0], "0"));
}

#[wasm_bindgen_test(unsupported = test)]
fn processes_differ() {
    let authority = Authority::new();
    let mut said = Vec::new();
    for offset in 0..2 {
        let process = MockProcess::default();
        for _ in 0..offset {
            let _ = process.random();
        }
        tick(&process, &mut follower(), &authority);
        said.push(poll(&process).swap_remove(0));
    }
    assert_ne!(said[0], said[1]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_generation_that_is_being_loaded_is_not_said_to_be_in_use() {
    let (process, mut authority, mut leader) =
        (MockProcess::default(), Authority::new(), follower());
    let said = RefCell::new(Vec::new());
    let answer = |call: &Call, authority: &Authority| {
        if call.path.starts_with("/v1/feed/deltas?") {
            said.borrow_mut().push(introduction(call).swap_remove(2));
        }
        authority.answer(call)
    };
    process.pass(100);
    leader.on_tick(&process, Role::Leads);
    settle_with(&process, &mut leader, |call| answer(call, &authority));
    leader.on_tick(&process, Role::Leads);
    let first = authority.generation.to_string();
    // The open poll is looked at twice.
    let mut firsts = said.take();
    firsts.dedup();
    assert_eq!(firsts.first().map(String::as_str), Some("0"));
    authority.publish_generation();
    leader.load_at_once();
    leader.on_tick(&process, Role::Leads);
    settle_with(&process, &mut leader, |call| answer(call, &authority));
    leader.on_tick(&process, Role::Leads);
    settle_with(&process, &mut leader, |call| answer(call, &authority));
    let said = said.take();
    assert!(said.contains(&"0".to_owned()), "{said:?}");
    assert_ne!(first, authority.generation.to_string());
}
