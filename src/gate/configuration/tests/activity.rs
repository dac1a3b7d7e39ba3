//! What is told of the use of sessions.

use super::*;
use crate::gate::policy::{ActivityRules, Detail, StreamUse};

fn activity(rules: Value) -> Option<ActivityRules> {
    let configured = read_value(&with(&["activity"], rules)).unwrap();
    configured.policy.activity
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_is_told_unless_it_is_asked_for_and_then_no_address() {
    let mut without = complete();
    without.as_object_mut().unwrap().remove("activity");
    assert_eq!(read_value(&without).unwrap().policy.activity, None);
    assert_eq!(activity(json!({"report": false, "network": "full"})), None);
    let defaults = ActivityRules {
        interval: Duration::from_mins(1),
        network: Detail::Coarse,
        user_agent: Detail::Coarse,
        streams: StreamUse::Count,
    };
    assert_eq!(activity(json!({"report": true})), Some(defaults));
    let less = json!({
        "report": true, "interval": "5s", "network": "none", "user_agent": "none",
        "streams": "ignore",
    });
    let expected = ActivityRules {
        interval: Duration::from_secs(5),
        network: Detail::None,
        user_agent: Detail::None,
        streams: StreamUse::Ignore,
    };
    assert_eq!(activity(less), Some(expected));
}

#[wasm_bindgen_test(unsupported = test)]
fn what_would_tell_nobody_or_more_than_is_meant_is_a_fault() {
    let faults_of = |rules: Value| faults(&with(&["activity"], rules));
    for (rules, expected) in [
        (json!({}), "activity: `report` is missing"),
        (
            json!({"report": true, "network": null}),
            "activity.network: expected a string, found `null`",
        ),
        (
            json!({"report": true, "user_agent": "full"}),
            "activity.user_agent: expected `family` or `none`",
        ),
        (
            json!({"report": true, "streams": null}),
            "activity.streams: expected a string, found `null`",
        ),
        (
            json!({"report": true, "interval": "0.5s"}),
            "activity.interval: expected from `1s` to `3600s`",
        ),
        (
            json!({"report": true, "interval": "3601s"}),
            "activity.interval: expected from `1s` to `3600s`",
        ),
    ] {
        assert_eq!(faults_of(rules), [expected]);
    }
    let mut alone = with(&["activity"], json!({"report": true}));
    for key in ["revocation", "sign_out", "sessions"] {
        alone.as_object_mut().unwrap().remove(key);
    }
    let expected = "activity: expected `revocation` beside it, whose authority is told";
    assert_eq!(faults(&alone), [expected]);
    alone["activity"]["report"] = json!(false);
    assert!(read_value(&alone).is_ok());
}
