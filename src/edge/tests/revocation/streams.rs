//! Requests in progress, and what ends them.

mod any_order;

use super::*;
use crate::sync::VoidTokens;

/// The requests of one edge that were let in.
impl Fixture {
    /// With revocation, these rules for streams, and a feed.
    fn with_streams(streams: &Value, change: impl FnOnce(&mut Value)) -> Self {
        let mut revocation = mock_authority::settings();
        change(&mut revocation);
        let mut configuration = json!({
            "providers": {"idp": {
                "issuer": "iss",
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
                "clock_skew_seconds": 10,
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
            "revocation": revocation,
        });
        if !streams.is_null() {
            configuration["streams"] = streams.clone();
        }
        Self::of(&configuration).with_feed()
    }

    fn watching() -> Self {
        Self::with_streams(&json!(null), |_| ())
    }

    /// A request that is let in and stays.
    fn stream(&self, claims: &Value) -> ContextId {
        let now = self.process.now.get() / 1_000;
        let stream = self.send_at(now, claims);
        assert_eq!(self.machine.outcome(stream), ALLOWED);
        stream
    }

    /// Time passes until no request can be taken for a short one any more.
    fn grow(&self) {
        for _ in 0..10 {
            self.machine.tick();
        }
    }

    fn closed(&self) -> Vec<(ContextId, End)> {
        let closed = self.machine.host.take_closed();
        // Envoy lets go of what was closed.
        for (context, _) in &closed {
            self.machine.leave(*context);
        }
        closed
    }

    fn answer_checks(&self) {
        let authority = self.authority.borrow();
        let is_check = |call: &Call| call.path == "/v1/check";
        self.machine
            .answer(|call| is_check(call).then(|| authority.answer(call))?);
    }

    fn fail_checks(&self) {
        let is_check = |call: &Call| call.path == "/v1/check";
        self.machine
            .answer(|call| is_check(call).then_some(CallOutcome::Failed));
    }

    fn count_checks(&self) -> usize {
        calls(&self.machine, "/v1/check")
    }

    fn watched(&self) -> usize {
        self.machine.tick();
        self.machine.host.streams().watched
    }
}

fn calls(machine: &VirtualMachine<Rc<MockProcess>>, path: &str) -> usize {
    let calls = machine.host.calls();
    calls.iter().filter(|open| open.call.path == path).count()
}

fn claims(name: &str) -> Value {
    json!({
        "iss": "iss", "jti": name, "sid": format!("session of {name}"), "sub": name,
        "iat": NOW - 10, "exp": NOW + 3_600,
    })
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_ends_with_its_token_and_no_other_does() {
    let fixture = Fixture::watching();
    let [alice, bob, carol] = ["alice", "bob", "carol"].map(|name| fixture.stream(&claims(name)));
    fixture.grow();
    assert_eq!(fixture.watched(), 3);
    let session = name_of(Kind::Session, "session of alice");
    fixture.apply(Change::Add(session));
    assert_eq!(fixture.closed(), [], "the filter says no more than perhaps");
    fixture.answer_checks();
    assert_eq!(fixture.closed(), [(alice, End::Revoked)]);
    fixture.cut_off(Kind::Subject, "bob");
    assert_eq!(
        fixture.closed(),
        [(bob, End::Revoked)],
        "a cut-off is exact"
    );
    assert_eq!(fixture.watched(), 1);
    fixture.machine.leave(carol);
    assert_eq!(fixture.watched(), 0);
}

#[wasm_bindgen_test(unsupported = test)]
fn what_does_not_name_a_stream_is_not_asked_about() {
    let fixture = Fixture::watching();
    for number in 0..50 {
        fixture.stream(&claims(&number.to_string()));
    }
    fixture.grow();
    for number in 0..200 {
        let name = name_of(Kind::Token, &format!("other {number}"));
        fixture
            .authority
            .borrow_mut()
            .changes
            .push(Change::Add(name));
    }
    fixture.hear();
    assert_eq!((fixture.count_checks(), fixture.closed()), (0, vec![]));
    assert_eq!(fixture.watched(), 50);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_goes_on_when_the_authority_says_no() {
    let fixture = Fixture::watching();
    fixture.stream(&claims("alice"));
    fixture.grow();
    fixture.apply(Change::Add(name_of(Kind::Token, "alice")));
    fixture.authority.borrow_mut().changes.clear();
    assert_eq!(fixture.count_checks(), 1);
    fixture.answer_checks();
    assert_eq!((fixture.closed(), fixture.watched()), (vec![], 1));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_was_rotated_leaves_streams_alone_until_its_session_ends() {
    let fixture = Fixture::watching();
    let stream = fixture.stream(&claims("alice"));
    fixture.grow();
    fixture.authority.borrow_mut().rotate("alice");
    fixture.hear();
    fixture.answer_checks();
    assert_eq!((fixture.closed(), fixture.watched()), (vec![], 1));
    // A new request with it is refused.
    let (refused, check) = fixture.check(&claims("alice"));
    let answer = fixture.authority.borrow().answer(&check.call).unwrap();
    fixture.machine.end_call(&check, &answer);
    let revoked = Some(Outcome::Refused(Reason::TokenRevoked));
    assert_eq!(fixture.machine.outcome(refused), revoked);
    let session = name_of(Kind::Session, "session of alice");
    fixture.apply(Change::Add(session));
    fixture.answer_checks();
    assert_eq!(fixture.closed(), [(stream, End::Revoked)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn all_streams_are_looked_at_when_it_is_not_known_what_has_changed() {
    let fixture = Fixture::watching();
    let streams: Vec<_> = (0..1_200)
        .map(|number| fixture.stream(&claims(&number.to_string())))
        .collect();
    fixture.grow();
    fixture.wipe();
    fixture.machine.tick();
    assert_eq!(fixture.closed(), [], "nothing is known now");
    // Nothing says how the new feed came about.
    let name = name_of(Kind::Subject, "1111");
    fixture
        .authority
        .borrow_mut()
        .changes
        .push(Change::SetCutOff(CutOff {
            key: name,
            not_before: UnixTime::MAX,
            except: None,
            is_compound: false,
        }));
    fixture.authority.borrow_mut().publish_generation();
    for _ in 0..10 {
        fixture.process.pass(11_000);
        fixture.hear();
    }
    assert_eq!(fixture.closed(), [(streams[1_111], End::Revoked)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_look_at_all_of_them_gets_to_the_last_however_often_changes_are_missed() {
    let fixture = Fixture::watching();
    for number in 0..1_600 {
        fixture.stream(&claims(&(number % 3).to_string()));
    }
    let last = fixture.stream(&claims("alice"));
    fixture.grow();
    fixture.wipe();
    fixture.machine.tick();
    let mut authority = fixture.authority.borrow_mut();
    authority.changes.push(Change::SetCutOff(CutOff {
        key: name_of(Kind::Subject, "alice"),
        not_before: UnixTime::MAX,
        except: None,
        is_compound: false,
    }));
    authority.publish_generation();
    drop(authority);
    let edge = &fixture.machine.edge;
    let mut closed = Vec::new();
    for _ in 0..20 {
        fixture.process.pass(11_000);
        let mut streams = edge.streams.as_ref().unwrap().borrow_mut();
        streams.note_changes(&edge.gate, &VoidTokens::All);
        drop(streams);
        fixture.hear();
        closed.extend(fixture.closed());
    }
    assert_eq!(closed, [(last, End::Revoked)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_tick_looks_at_so_many_and_the_next_one_at_the_rest() {
    let fixture = Fixture::watching();
    let mut of_alice = claims("alice");
    for number in 0..600 {
        of_alice["jti"] = number.into();
        fixture.stream(&claims(&number.to_string()));
        of_alice["jti"] = json!(format!("alice {number}"));
        fixture.stream(&of_alice);
    }
    fixture.grow();
    fixture.cut_off(Kind::Subject, "alice");
    let first = fixture.closed().len();
    assert!((500..600).contains(&first), "{first}");
    fixture.machine.tick();
    assert_eq!(first + fixture.closed().len(), 600);
    assert_eq!(fixture.watched(), 600);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_ends_when_its_token_has_expired_where_the_operator_says_so() {
    let rules = json!({"on_expiry": "close", "expiry_grace": "5s"});
    let fixture = Fixture::with_streams(&rules, |_| ());
    let kept = fixture.stream(&claims("alice"));
    let mut short = claims("bob");
    short["exp"] = (NOW + 20).into();
    let stream = fixture.stream(&short);
    fixture.grow();
    // The skew that is allowed, and the grace.
    fixture.process.now.set((NOW + 20 + 10 + 5) * 1_000 - 1);
    fixture.hear();
    assert_eq!(fixture.closed(), []);
    fixture.process.pass(1);
    fixture.machine.tick();
    assert_eq!(fixture.closed(), [(stream, End::Expired)]);
    assert_eq!(fixture.watched(), 1);
    fixture.machine.leave(kept);
    let keeps = Fixture::watching();
    keeps.stream(&short);
    keeps.grow();
    keeps.process.now.set((NOW + 100_000) * 1_000);
    keeps.hear();
    assert_eq!(keeps.closed(), []);
}

#[wasm_bindgen_test(unsupported = test)]
fn streams_end_some_time_after_new_requests_are_refused_for_want_of_a_feed() {
    for (posture, ends) in [("deny", true), ("allow", false)] {
        let fixture = Fixture::with_streams(&json!(null), |revocation| {
            revocation["on_stale"] = json!(posture);
            revocation["stream_grace"] = json!("60s");
        });
        let stream = fixture.stream(&claims("alice"));
        fixture.grow();
        fixture.process.pass(30_001);
        fixture.machine.tick();
        fixture.process.pass(59_999);
        fixture.machine.tick();
        assert_eq!(fixture.closed(), []);
        fixture.process.pass(1);
        fixture.machine.tick();
        let expected = if ends {
            vec![(stream, End::Stale)]
        } else {
            vec![]
        };
        assert_eq!(fixture.closed(), expected, "{posture}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn an_authority_that_does_not_answer_is_asked_again_and_then_streams_end() {
    for (posture, ends) in [("deny", true), ("allow", false)] {
        let fixture = Fixture::with_streams(&json!(null), |revocation| {
            revocation["on_unconfirmed"] = json!(posture);
            revocation["stream_grace"] = json!("3s");
        });
        let stream = fixture.stream(&claims("alice"));
        fixture.grow();
        fixture.apply(Change::Add(name_of(Kind::Token, "alice")));
        let mut closed = Vec::new();
        for _ in 0..40 {
            fixture.fail_checks();
            closed.extend(fixture.closed());
            fixture.process.pass(100);
            fixture.machine.tick();
        }
        let expected = if ends {
            vec![(stream, End::Unconfirmed)]
        } else {
            vec![]
        };
        assert_eq!(closed, expected, "{posture}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_that_goes_on_without_an_answer_ends_when_one_comes_however_late() {
    let fixture = Fixture::with_streams(&json!(null), |revocation| {
        revocation["on_unconfirmed"] = json!("allow");
        revocation["on_stale"] = json!("allow");
        revocation["stream_grace"] = json!("3s");
    });
    let stream = fixture.stream(&claims("alice"));
    fixture.grow();
    fixture.apply(Change::Add(name_of(Kind::Token, "alice")));
    let mut asked = 0;
    for _ in 0..6_000 {
        asked += fixture.count_checks();
        fixture.fail_checks();
        assert_eq!(fixture.closed(), []);
        fixture.process.pass(100);
        fixture.machine.tick();
    }
    // Twice each time, and after a minute at the latest.
    assert!((18..80).contains(&asked), "{asked}");
    for _ in 0..600 {
        fixture.process.pass(100);
        fixture.machine.tick();
        fixture.answer_checks();
    }
    assert_eq!(fixture.closed(), [(stream, End::Revoked)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn nothing_is_watched_where_nothing_ends_a_stream() {
    let fixture = Fixture::with_streams(&json!({"on_revocation": "keep"}), |_| ());
    fixture.stream(&claims("alice"));
    fixture.cut_off(Kind::Subject, "alice");
    assert_eq!((fixture.closed(), fixture.watched()), (vec![], 0));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_stream_that_was_let_in_unseen_is_looked_at_when_there_is_a_feed() {
    let fixture = Fixture::new(|revocation| revocation["on_missing_feed"] = json!("allow"));
    let stream = fixture.send_at(NOW, &claims("alice"));
    let unknown = Some(Outcome::Allowed(Admission::RevocationUnknown));
    assert_eq!(fixture.machine.outcome(stream), unknown);
    fixture.grow();
    let mut authority = fixture.authority.borrow_mut();
    authority
        .changes
        .push(Change::Add(name_of(Kind::Token, "alice")));
    drop(authority);
    fixture.hear();
    fixture.hear();
    fixture.answer_checks();
    assert_eq!(fixture.closed(), [(stream, End::Revoked)]);
}

#[wasm_bindgen_test(unsupported = test)]
fn every_virtual_machine_ends_its_own_streams() {
    let fixture = Fixture::watching();
    let mut configuration = json!({
        "providers": {"idp": {
            "issuer": "iss", "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    configuration["revocation"] = mock_authority::settings();
    let other = VirtualMachine::new(Rc::clone(&fixture.process), &configuration);
    other.tick();
    let stream = other.send(request("/", &token(&es256(), &claims("alice"))));
    assert_eq!(other.outcome(stream), ALLOWED);
    for _ in 0..10 {
        other.tick();
    }
    fixture.cut_off(Kind::Subject, "alice");
    assert_eq!(other.host.take_closed(), []);
    other.tick();
    assert_eq!(other.host.take_closed(), [(stream, End::Revoked)]);
    assert_eq!(calls(&other, "/v1/feed/deltas"), 0, "it does not lead");
}

#[wasm_bindgen_test(unsupported = test)]
fn an_ordinary_request_comes_to_its_end_and_one_that_stays_does_not() {
    let fixture = Fixture::watching();
    let [short, long] = [(); 2].map(|()| fixture.stream(&claims("alice")));
    fixture.cut_off(Kind::Subject, "alice");
    assert_eq!(fixture.closed(), []);
    fixture.machine.leave(short);
    fixture.grow();
    assert_eq!(fixture.closed(), [(long, End::Revoked)]);
}
