//! Revocation as a request meets it, at an edge that follows an authority.

mod answers;
mod compound;
mod issuance;
mod naming;
mod postures;
mod session_routes;
mod statuses;
mod streams;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::SigningKey;

use super::*;
use crate::revocation::cut_off::{CutOff, Exception};
use crate::revocation::{Cause, Settled};

/// An edge in a process of its own, and its authority.
struct Fixture {
    machine: VirtualMachine<Rc<MockProcess>>,
    process: Rc<MockProcess>,
    authority: RefCell<MockAuthority>,
}

impl Fixture {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self::of_issuer(Some("iss"), change)
    }

    /// A fixture whose provider has this issuer, or any.
    fn of_issuer(issuer: Option<&str>, change: impl FnOnce(&mut Value)) -> Self {
        let mut revocation = mock_authority::settings();
        revocation["device_claim"] = json!("device");
        change(&mut revocation);
        let mut provider = json!({"local_jwks": {"inline_string": jwk_set(&[&es256()])}});
        if let Some(issuer) = issuer {
            provider["issuer"] = json!(issuer);
        }
        let configuration = json!({
            "providers": {"idp": provider},
            "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
            "revocation": revocation,
        });
        Self::of(&configuration)
    }

    fn of(configuration: &Value) -> Self {
        let process = Rc::new(MockProcess::default());
        Self {
            machine: VirtualMachine::new(Rc::clone(&process), configuration),
            process,
            authority: RefCell::new(MockAuthority::new()),
        }
    }

    /// With an empty generation that was just heard of.
    fn with_feed(self) -> Self {
        self.hear();
        assert!(self.machine.view().state().is_some());
        self
    }

    /// Lets the edge hear what is new.
    fn hear(&self) {
        self.machine.tick();
        let authority = self.authority.borrow();
        let answer = |call: &Call| answer_but_checks(&authority, call);
        self.machine.answer(answer);
        self.machine.tick();
    }

    /// The authority makes a change, and the edge hears of it.
    fn apply(&self, change: Change) {
        self.authority.borrow_mut().changes.push(change);
        let head = self.authority.borrow().changes.len();
        self.hear();
        let state = self.machine.view().state().unwrap();
        assert_eq!(state.sequence, head as u64);
    }

    /// Cuts off what has this name and was issued before [`NOW`].
    fn cut_off(&self, kind: Kind, value: &str) {
        self.apply(Change::SetCutOff(CutOff {
            key: name_of(kind, value),
            not_before: UnixTime::from_seconds(NOW).unwrap(),
            except: None,
            is_compound: false,
        }));
    }

    /// Empties shared data.
    fn wipe(&self) {
        for key in self.process.keys() {
            self.process.set_shared(&key, b"", Expected::Anything);
        }
    }

    /// A request at this time.
    fn send_at(&self, now: u64, claims: &Value) -> ContextId {
        let before = self.process.now.replace(now * 1_000);
        let context = self.machine.send(request("/", &token(&es256(), claims)));
        self.process.now.set(before);
        context
    }

    /// The outcome of a request that does not wait.
    fn outcome_at(&self, now: u64, claims: &Value) -> Option<Outcome> {
        self.machine.outcome(self.send_at(now, claims))
    }

    fn outcome(&self, claims: &Value) -> Option<Outcome> {
        self.outcome_at(NOW, claims)
    }

    /// A request that waits for a check, and the check.
    fn check_at(&self, now: u64, claims: &Value) -> (ContextId, OpenCall) {
        let context = self.send_at(now, claims);
        assert_eq!(self.machine.outcome(context), None);
        let mut checks = self.machine.host.calls();
        checks.retain(|open| open.context == context);
        assert_eq!(checks.len(), 1, "{checks:?}");
        (context, checks.remove(0))
    }

    fn check(&self, claims: &Value) -> (ContextId, OpenCall) {
        self.check_at(NOW, claims)
    }

    /// The outcome after the authority has answered that the token is revoked, or not, or does not
    /// answer.
    fn answered(&self, claims: &Value, is_revoked: Option<bool>) -> Option<Outcome> {
        self.answered_at(NOW, claims, is_revoked)
    }

    fn answered_at(&self, now: u64, claims: &Value, is_revoked: Option<bool>) -> Option<Outcome> {
        let (context, check) = self.check_at(now, claims);
        let before = self.process.now.replace(now * 1_000);
        match is_revoked {
            Some(is_revoked) => {
                let proof = proof_of(&body_of(&check), is_revoked, &authority_key());
                self.machine.end_call(&check, &says(&proof));
            }
            None => self.fail(&check),
        }
        self.process.now.set(before);
        self.machine.outcome(context)
    }

    /// The outcome of a request that waits, after its authority has answered.
    fn checked(&self) -> Option<Outcome> {
        self.checked_for(&claims())
    }

    fn checked_for(&self, claims: &Value) -> Option<Outcome> {
        let (context, check) = self.check(claims);
        let answer = self.authority.borrow().answer(&check.call).unwrap();
        self.machine.end_call(&check, &answer);
        self.machine.outcome(context)
    }

    /// Ends a check and the next try without an answer.
    fn fail(&self, check: &OpenCall) {
        self.machine.end_call(check, &CallOutcome::Failed);
        for retry in self.machine.host.calls() {
            if retry.context == check.context {
                self.machine.end_call(&retry, &CallOutcome::Failed);
            }
        }
    }
}

fn claims() -> Value {
    json!({
        "iss": "iss", "sub": "alice", "sid": "session", "jti": "token", "device": "phone",
        "client_id": "app", "iat": NOW - 10, "exp": NOW + 300,
    })
}

const UNKNOWN: Option<Outcome> = Some(Outcome::Allowed(Admission::RevocationUnknown));

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be none")]
const fn refused(reason: Reason) -> Option<Outcome> {
    Some(Outcome::Refused(reason))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_is_not_revoked_passes_and_the_next_time_without_a_look() {
    let edge = Fixture::new(|_| {}).with_feed();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    edge.wipe();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn token_session_and_device_are_asked_about_when_the_filter_says_perhaps() {
    for (kind, value) in [
        (Kind::Token, "token"),
        (Kind::Session, "session"),
        (Kind::Device, "phone"),
    ] {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&claims()), ALLOWED);
        edge.apply(Change::Add(name_of(kind, value)));
        let expected = refused(Reason::TokenRevoked);
        assert_eq!(edge.answered(&claims(), Some(true)), expected, "{kind:?}");
        // The answer is kept with the token.
        assert_eq!(edge.outcome(&claims()), expected, "{kind:?}");
        edge.apply(Change::Restore(name_of(kind, value)));
        assert_eq!(edge.answered(&claims(), Some(false)), ALLOWED, "{kind:?}");
        assert_eq!(edge.outcome(&claims()), ALLOWED, "{kind:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_session_that_has_ended_is_not_asked_for_a_stronger_sign_in() {
    let mut settings = mock_authority::settings();
    settings["device_claim"] = json!("device");
    let edge = Fixture::of(&json!({
        "providers": {"idp": {
            "issuer": "iss", "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{
            "match": {"prefix": "/"},
            "requires": {"provider_name": "idp", "acr_values": ["mfa"]},
        }],
        "revocation": settings,
    }));
    let edge = edge.with_feed();
    let too_weak = refused(Reason::AuthenticationTooWeak);
    assert_eq!(edge.outcome(&claims()), too_weak);
    edge.apply(Change::Add(name_of(Kind::Session, "session")));
    let revoked = refused(Reason::TokenRevoked);
    assert_eq!(edge.answered(&claims(), Some(true)), revoked);
    assert_eq!(edge.outcome(&claims()), revoked);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_check_names_everything_by_which_the_token_could_be_revoked() {
    let edge = Fixture::new(|_| {}).with_feed();
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    let (_, OpenCall { call, .. }) = edge.check(&claims());
    assert_eq!((call.method, call.path.as_str()), ("POST", "/v1/check"));
    let mut body: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
    let nonce = body.as_object_mut().unwrap().remove("nonce");
    assert!(nonce.is_some_and(|nonce| nonce.is_u64()));
    let expected = json!({
        "issuer": "iss", "jti": "token", "sid": "session", "device": "phone", "subject": "alice",
        "client": "app", "issued_at": NOW - 10, "epoch": 1, "at_least": 1,
        "with_cause": true,
    });
    assert_eq!(body, expected);
}

#[wasm_bindgen_test(unsupported = test)]
fn cut_offs_refuse_older_tokens_without_a_call_and_leave_newer_ones_alone() {
    for (kind, value) in [
        (Kind::Subject, "alice"),
        (Kind::Client, "app"),
        (Kind::Issuer, ""),
    ] {
        let edge = Fixture::new(|_| {}).with_feed();
        edge.apply(Change::SetCutOff(CutOff {
            key: name_of(kind, value),
            not_before: UnixTime::from_seconds(NOW).unwrap(),
            except: None,
            is_compound: false,
        }));
        assert_eq!(
            edge.outcome(&claims()),
            refused(Reason::TokenRevoked),
            "{kind:?}"
        );
        let mut fresh = claims();
        fresh["iat"] = json!(NOW);
        assert_eq!(edge.outcome(&fresh), ALLOWED, "{kind:?}");
    }
}

/// No cut-off reaches that far ahead.
#[wasm_bindgen_test(unsupported = test)]
fn a_token_issued_further_ahead_than_clocks_may_differ_is_refused_every_time() {
    let edge = Fixture::new(|_| {}).with_feed();
    let ahead = |seconds| {
        let mut claims = claims();
        claims["iat"] = json!(NOW + seconds);
        claims["exp"] = json!(NOW + 999_999_999);
        claims
    };
    assert_eq!(edge.outcome(&ahead(60)), ALLOWED);
    let too_far = refused(Reason::TokenIssuedAhead);
    for seconds in [61, 3_600, 900_000_000] {
        assert_eq!(edge.outcome(&ahead(seconds)), too_far, "{seconds}");
    }
    // Even a cached one, when the clock is set back.
    assert_eq!(edge.outcome_at(NOW - 1, &ahead(60)), too_far);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_does_not_say_when_it_was_issued_is_cut_off_by_any_instant() {
    let edge = Fixture::new(|_| {}).with_feed();
    let mut timeless = claims();
    timeless.as_object_mut().unwrap().remove("iat");
    assert_eq!(edge.outcome(&timeless), ALLOWED);
    edge.cut_off(Kind::Subject, "alice");
    assert_eq!(edge.outcome(&timeless), refused(Reason::TokenRevoked));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_was_cut_off_is_remembered_until_that_is_taken_back() {
    let edge = Fixture::new(|_| {}).with_feed();
    let name = name_of(Kind::Subject, "alice");
    edge.apply(Change::SetCutOff(CutOff {
        key: name,
        not_before: UnixTime::from_seconds(NOW).unwrap(),
        except: None,
        is_compound: false,
    }));
    assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    let looked_up = |edge: &Fixture| {
        // This tells of them.
        edge.machine.tick();
        let counts = edge.machine.host.take_cache_counts();
        (counts.hits, counts.misses, counts.void)
    };
    assert_eq!(looked_up(&edge), (0, 1, 0));
    assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    assert_eq!(looked_up(&edge), (1, 0, 0));
    edge.apply(Change::ClearCutOff(name));
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    assert_eq!(looked_up(&edge), (0, 0, 1));
}

fn authority_key() -> SigningKey {
    MockAuthority::new().key
}

/// The body of a check.
fn body_of(check: &OpenCall) -> Vec<u8> {
    check.call.body.clone().unwrap()
}

fn proof_of(body: &[u8], is_revoked: bool, key: &SigningKey) -> String {
    let authority = MockAuthority {
        key: key.clone(),
        ..MockAuthority::new()
    };
    authority.proof(
        body,
        if is_revoked {
            Settled::Revoked(Cause::Plain)
        } else {
            Settled::NotRevoked
        },
    )
}

fn says(proof: &str) -> CallOutcome {
    CallOutcome::Answered {
        status: 200,
        headers: Vec::new(),
        body: json!({ "revoked": false, "proof": proof })
            .to_string()
            .into_bytes(),
    }
}
