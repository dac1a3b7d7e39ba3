//! What becomes of requests in progress.

use super::*;
use crate::gate::{StreamRule, StreamRules};

fn streams(rules: Value) -> StreamRules {
    let configured = read_value(&with(&["streams"], rules)).unwrap();
    configured.policy.streams()
}

#[wasm_bindgen_test(unsupported = test)]
fn revocation_ends_streams_and_expiry_does_not_unless_told_otherwise() {
    let rules = streams(json!({}));
    assert_eq!(rules, StreamRules::default());
    assert_eq!(rules.on_revocation, StreamRule::Close);
    assert_eq!(rules.on_expiry, StreamRule::Keep);
    let rules = streams(json!({"on_expiry": "close", "expiry_grace": "7s"}));
    assert_eq!(rules.on_expiry, StreamRule::Close);
    assert_eq!(rules.expiry_grace, Duration::from_secs(7));
    let rules = streams(json!({"on_expiry": "close", "expiry_grace": "0s"}));
    assert_eq!(rules.expiry_grace, Duration::ZERO);
}

#[wasm_bindgen_test(unsupported = test)]
fn streams_are_watched_where_something_can_end_them() {
    let watches = |configuration: &Value| {
        let configured = read_value(configuration).unwrap();
        let policy = configured.policy;
        (policy.watches_streams(), policy.closes_revoked())
    };
    let keep = json!({"on_revocation": "keep"});
    let expire = json!({"on_expiry": "close"});
    assert_eq!(watches(&with(&["streams"], json!({}))), (true, true));
    assert_eq!(watches(&with(&["streams"], keep)), (false, false));
    assert_eq!(
        watches(&without_revocation(with(&["streams"], json!({})))),
        (false, false)
    );
    assert_eq!(
        watches(&without_revocation(with(&["streams"], expire))),
        (true, false)
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn a_rule_that_would_do_nothing_is_a_fault() {
    let of_keep = json!({"expiry_grace": "7s"});
    let expected = "streams.expiry_grace: expected `on_expiry: close` beside it";
    assert_eq!(faults(&with(&["streams"], of_keep)), [expected]);
    let close = without_revocation(with(&["streams"], json!({"on_revocation": "close"})));
    let expected = "streams.on_revocation: expected `revocation` beside it, without which no token \
                    is revoked";
    assert_eq!(faults(&close), [expected]);
    let null = json!({"on_expiry": null});
    let expected = "streams.on_expiry: expected a string, found `null`";
    assert_eq!(faults(&with(&["streams"], null)), [expected]);
}
