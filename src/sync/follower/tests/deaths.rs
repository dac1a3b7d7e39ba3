//! Leaders that stop between any two writes.

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn a_leader_that_stops_between_any_two_writes_does_no_harm() {
    let mut authority = Authority::new();
    authority.revoke("a");
    authority.publish_generation();
    authority.revoke("b");
    for writes in 0..16 {
        let process = MockProcess::default();
        let (mut first, mut second) = (follower(), follower());
        process.writes_left.set(Some(writes));
        tick(&process, &mut first, &authority);
        // It is gone; its calls are never answered.
        process.calls.take();
        process.writes_left.set(None);
        let half_way = status(&process, &second, "a");
        // What was written whole can be read before the first tick.
        assert!(half_way != Status::NotRevoked, "{writes}: {half_way:?}");
        tick(&process, &mut second, &authority);
        tick(&process, &mut second, &authority);
        for token in ["a", "b"] {
            assert_eq!(
                status(&process, &second, token),
                Status::PossiblyRevoked,
                "{writes} {token}"
            );
        }
        assert_eq!(
            status(&process, &second, "c"),
            Status::NotRevoked,
            "{writes}"
        );
    }
}
