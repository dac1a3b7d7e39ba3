//! What becomes of tokens when it is not known whether they are revoked.

use super::*;

/// When the feed that was heard at [`NOW`] is stale.
const LATE: u64 = NOW + 31;

fn with(postures: &[(&str, &str)]) -> Fixture {
    Fixture::new(|settings| {
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
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        assert_eq!(edge.answered(&claims(), None), expected, "{posture}");
        // Nothing was learnt, so the check is made again.
        edge.check(&claims());
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
fn a_poll_ends_three_times_before_the_feed_is_stale_and_every_ten_seconds_at_least() {
    for (max_staleness, wait) in [("6s", "wait=2"), ("30s", "wait=10"), ("3600s", "wait=10")] {
        let edge = Fixture::new(|settings| settings["max_staleness"] = json!(max_staleness));
        let edge = edge.with_feed();
        edge.hear();
        let calls = edge.machine.host.calls();
        let is_it = |open: &OpenCall| open.call.path.split(['?', '&']).any(|part| part == wait);
        assert!(calls.iter().any(is_it), "{max_staleness}: {calls:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_silent_authority_is_noticed_for_known_tokens_too() {
    let with = |posture| {
        let edge = with(&[("on_stale", posture)]).with_feed();
        assert_eq!(edge.outcome(&claims()), ALLOWED);
        assert_eq!(edge.outcome_at(LATE - 1, &claims()), ALLOWED);
        edge
    };
    let late = |edge: &Fixture| edge.outcome_at(LATE, &claims());
    assert_eq!(late(&with("deny")), refused(Reason::RevocationStale));
    assert_eq!(late(&with("allow")), UNKNOWN);
    with("confirm").check_at(LATE, &claims());
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_let_through_while_the_feed_is_stale_is_not_remembered_as_verified() {
    let edge = with(&[("on_stale", "allow")]).with_feed();
    for _ in 0..2 {
        assert_eq!(edge.outcome_at(LATE, &claims()), UNKNOWN);
    }
    edge.process.now.set(LATE * 1_000);
    edge.hear();
    // What is cached needs no look at shared data.
    edge.wipe();
    edge.check_at(LATE, &claims());
}

#[wasm_bindgen_test(unsupported = test)]
fn what_the_authority_says_while_the_feed_is_stale_counts() {
    for posture in ["confirm", "allow"] {
        for (is_revoked, expected) in [(false, ALLOWED), (true, refused(Reason::TokenRevoked))] {
            let edge = with(&[("on_stale", posture)]).with_feed();
            edge.apply(Change::Add(name_of(Kind::Session, "session")));
            let outcome = edge.answered_at(LATE, &claims(), Some(is_revoked));
            assert_eq!(outcome, expected, "{posture}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_remembered_as_revoked_is_let_through_by_no_posture() {
    let revoked = refused(Reason::TokenRevoked);
    let stale = refused(Reason::RevocationStale);
    let remembered = |postures: &[(&str, &str)]| {
        let edge = with(&[postures, &[("on_unconfirmed", "allow")]].concat()).with_feed();
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        assert_eq!(edge.answered(&claims(), Some(true)), revoked);
        edge
    };
    let edge = remembered(&[("on_stale", "allow")]);
    assert_eq!(edge.outcome_at(LATE, &claims()), revoked);
    let edge = remembered(&[("on_stale", "deny")]);
    assert_eq!(edge.outcome_at(LATE, &claims()), stale);
    let edge = remembered(&[("on_stale", "confirm")]);
    assert_eq!(edge.answered_at(LATE, &claims(), None), stale);
}

/// A change may have been missed, so what is cached may be out of date.
#[wasm_bindgen_test(unsupported = test)]
fn without_a_feed_nothing_is_remembered() {
    let unavailable = refused(Reason::RevocationUnavailable);
    for (posture, expected) in [
        ("deny", Some(unavailable)),
        ("allow", Some(UNKNOWN)),
        ("confirm", None),
    ] {
        let edge = with(&[("on_missing_feed", posture)]).with_feed();
        edge.apply(Change::Add(name_of(Kind::Token, "token")));
        let revoked = refused(Reason::TokenRevoked);
        assert_eq!(edge.answered(&claims(), Some(true)), revoked);
        edge.wipe();
        // The edge leads now, but the authority does not answer.
        edge.machine.tick();
        match expected {
            Some(expected) => assert_eq!(edge.outcome(&claims()), expected, "{posture}"),
            None => assert_eq!(edge.answered(&claims(), None), unavailable, "{posture}"),
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_cut_off_that_is_held_refuses_whatever_the_posture() {
    let edge = with(&[("on_stale", "allow"), ("on_unconfirmed", "allow")]).with_feed();
    edge.cut_off(Kind::Subject, "alice");
    let outcome = edge.outcome_at(LATE, &claims());
    assert_eq!(outcome, refused(Reason::TokenRevoked));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_clock_that_was_set_back_does_not_hide_how_old_the_feed_is() {
    let edge = with(&[]).with_feed();
    let mut claims = claims();
    claims["iat"] = json!(NOW - 3_600);
    assert_eq!(edge.outcome_at(NOW - 3, &claims), ALLOWED);
    let outcome = edge.outcome_at(NOW - 3_600, &claims);
    assert_eq!(outcome, refused(Reason::RevocationStale));
}
