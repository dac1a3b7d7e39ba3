//! What becomes of tokens of which nobody knows whether they were revoked.

use super::*;

/// When the feed that was heard at [`NOW`] is stale.
const LATE: u64 = NOW + 31;

fn with(postures: &[(&str, &str)]) -> Edge {
    Edge::new(|settings| {
        settings["max_staleness"] = json!("30s");
        for (name, posture) in postures {
            settings[*name] = json!(posture);
        }
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn without_an_answer_the_posture_decides() {
    for (posture, expected) in [
        ("deny", refused(Reason::RevocationUnconfirmed)),
        ("allow", UNKNOWN),
    ] {
        let edge = with(&[("on_unconfirmed", posture)]).with_feed();
        edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
        assert_eq!(edge.answered(&claims(), None), expected, "{posture}");
        // Nothing was learnt, so it is asked again.
        edge.question(&claims());
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn without_a_feed_the_posture_decides() {
    let with = |posture| with(&[("on_missing_feed", posture)]);
    let unavailable = refused(Reason::RevocationUnavailable);
    assert_eq!(with("deny").outcome(&claims()), unavailable);
    assert_eq!(with("allow").outcome(&claims()), UNKNOWN);
    assert_eq!(
        with("confirm").answered(&claims(), Some(true)),
        refused(Reason::TokenRevoked)
    );
    assert_eq!(with("confirm").answered(&claims(), Some(false)), ALLOWED);
    assert_eq!(with("confirm").answered(&claims(), None), unavailable);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_silent_authority_is_noticed_for_known_tokens_too() {
    let with = |posture| {
        let edge = with(&[("on_stale", posture)]).with_feed();
        assert_eq!(edge.outcome(&claims()), ALLOWED);
        assert_eq!(edge.send_at(LATE - 1, &claims(), &[]).1, ALLOWED);
        edge
    };
    let late = |edge: &Edge| edge.send_at(LATE, &claims(), &[]);
    assert_eq!(late(&with("deny")).1, refused(Reason::RevocationStale));
    assert_eq!(late(&with("allow")).1, UNKNOWN);
    let (verdict, _) = late(&with("confirm"));
    assert!(
        matches!(verdict, Verdict::Wait(Wait::Confirmation(_))),
        "{verdict:?}"
    );
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_let_through_while_the_feed_is_stale_is_not_remembered_as_verified() {
    let edge = with(&[("on_stale", "allow")]).with_feed();
    for _ in 0..2 {
        assert_eq!(edge.send_at(LATE, &claims(), &[]).1, UNKNOWN);
    }
    // What is remembered needs no look at shared data.
    let state = (*edge.view().state().unwrap()).clone();
    let verified_at = LATE * 1_000;
    edge.view().replace(Some(FeedState {
        verified_at,
        ..state
    }));
    for key in edge.process.keys() {
        edge.process.set_shared(&key, b"", Expected::Anything);
    }
    edge.question_at(LATE, &claims());
}

#[wasm_bindgen_test(unsupported = test)]
fn what_the_authority_says_while_the_feed_is_stale_counts() {
    for posture in ["confirm", "allow"] {
        for (is_revoked, expected) in [(false, ALLOWED), (true, refused(Reason::TokenRevoked))] {
            let edge = with(&[("on_stale", posture)]).with_feed();
            edge.apply(&Change::Add(Edge::name(Kind::Session, "session")));
            let outcome = edge.answered_at(LATE, &claims(), Some(is_revoked));
            assert_eq!(outcome, expected, "{posture}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_remembered_as_revoked_is_let_through_by_no_posture() {
    let revoked = refused(Reason::TokenRevoked);
    let stale = refused(Reason::RevocationStale);
    let missing = refused(Reason::RevocationUnavailable);
    let remembered = |postures: &[(&str, &str)]| {
        let edge = with(&[postures, &[("on_unconfirmed", "allow")]].concat()).with_feed();
        edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
        assert_eq!(edge.answered(&claims(), Some(true)), revoked);
        edge
    };
    let edge = remembered(&[("on_stale", "allow")]);
    assert_eq!(edge.send_at(LATE, &claims(), &[]).1, revoked);
    let edge = remembered(&[("on_stale", "deny")]);
    assert_eq!(edge.send_at(LATE, &claims(), &[]).1, stale);
    let edge = remembered(&[("on_stale", "confirm")]);
    assert_eq!(edge.answered_at(LATE, &claims(), None), stale);

    let forgotten = |posture| {
        let edge = remembered(&[("on_missing_feed", posture)]);
        edge.view().replace(None);
        for key in edge.process.keys() {
            edge.process.set_shared(&key, b"", Expected::Anything);
        }
        edge
    };
    assert_eq!(forgotten("allow").outcome(&claims()), revoked);
    assert_eq!(forgotten("deny").outcome(&claims()), missing);
    assert_eq!(forgotten("confirm").answered(&claims(), None), missing);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cut_off_that_is_held_refuses_whatever_the_posture() {
    let edge = with(&[("on_stale", "allow"), ("on_unconfirmed", "allow")]).with_feed();
    edge.cut_off(Kind::Subject, "alice");
    let outcome = edge.send_at(LATE, &claims(), &[]).1;
    assert_eq!(outcome, refused(Reason::TokenRevoked));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_that_was_set_back_does_not_hide_how_old_the_feed_is() {
    let edge = with(&[]).with_feed();
    let mut claims = claims();
    claims["iat"] = json!(NOW - 3_600);
    assert_eq!(edge.send_at(NOW - 3, &claims, &[]).1, ALLOWED);
    let outcome = edge.send_at(NOW - 3_600, &claims, &[]).1;
    assert_eq!(outcome, refused(Reason::RevocationStale));
}
