//! Revocation as a request meets it, over a mock process that holds a feed.

mod answers;
mod naming;
mod postures;

use std::cell::Cell;
use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::{Signer as _, SigningKey};
use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;
use crate::gate::{Admission, Answers, Attempt, Gate, Outcome, Verdict, Wait, read_configuration};
use crate::host::Expected;
use crate::host::mock::{MockHost, MockProcess};
use crate::revocation::cut_off::CutOff;
use crate::revocation::page::PAGE_BYTES;
use crate::revocation::{Change, FeedSignature, FeedState, Kind, Signable, example_state};
use crate::time::UnixTime;
use crate::token::fixtures::{es256, es256_other, jwk_set, token};
use crate::token::{Backend, KeyRules, KeySet};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

struct Edge {
    gate: Gate,
    process: Rc<MockProcess>,
    /// Signatures that were verified since this was taken last.
    verifications: Cell<usize>,
}

impl Edge {
    fn new(change: impl FnOnce(&mut Value)) -> Self {
        Self::of_issuer(Some("iss"), change)
    }

    /// One whose provider has this issuer, or any.
    fn of_issuer(issuer: Option<&str>, change: impl FnOnce(&mut Value)) -> Self {
        let key = authority_key().verifying_key();
        let mut revocation = json!({
            "cluster": "authority",
            "credential": {"inline_string": "edge"},
            "public_keys": [URL_SAFE_NO_PAD.encode(key.as_bytes())],
            "device_claim": "device",
        });
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
        let policy = read_configuration(configuration.to_string().as_bytes(), &|_| None);
        Self {
            gate: Gate::new(policy.unwrap().policy, Backend::Module, [1; 16]),
            process: Rc::default(),
            verifications: Cell::new(0),
        }
    }

    /// With an empty generation that was heard of just now.
    fn with_feed(self) -> Self {
        let state = Self::state();
        let filter = self.view().filter();
        for index in 0..state.page_count {
            let page = [0; PAGE_BYTES];
            assert!(filter.write_page(&*self.process, &state, index, &page, || true));
        }
        for index in 0..state.bucket_count {
            assert!(filter.write_bucket(&*self.process, &state, index, &[], || true));
        }
        self.view().replace(Some(state));
        self
    }

    fn state() -> FeedState {
        FeedState {
            verified_at: NOW * 1_000,
            ..example_state()
        }
    }

    fn view(&self) -> &View {
        self.gate.feed().unwrap().1
    }

    /// A change as the follower applies it: to the records, then to state and cache.
    fn apply(&self, change: &Change) {
        let state = (*self.view().state().unwrap()).clone();
        let sequence = state.sequence + 1;
        let filter = self.view().filter();
        assert!(filter.apply(&*self.process, &state, state.sequence, &[*change]));
        self.view().replace(Some(FeedState { sequence, ..state }));
        self.gate.void(&[change.fingerprint()]);
    }

    fn name(kind: Kind, value: &str) -> crate::revocation::Fingerprint {
        Self::state().filter_key.fingerprint(kind, "iss", value)
    }

    fn send_at(
        &self,
        now: u64,
        claims: &Value,
        answers: &[Confirmation],
    ) -> (Verdict, Option<Outcome>) {
        let host = MockHost::get("/", UnixTime::from_seconds(now).unwrap())
            .in_process(&self.process)
            .with_header(
                "authorization",
                format!("Bearer {}", token(&es256(), claims)),
            );
        let verdict = if answers.is_empty() {
            self.gate.on_request(&host, Attempt::First)
        } else {
            let confirmations = answers.to_vec();
            let answers = Answers {
                confirmations,
                ..Answers::default()
            };
            self.gate.on_answers(&host, &answers)
        };
        let verified = host.verifications.get();
        self.verifications.set(self.verifications.get() + verified);
        let counted = host.counted.borrow();
        let outcome = counted.first().map(|(outcome, _)| *outcome);
        (verdict, outcome)
    }

    fn send(&self, claims: &Value) -> (Verdict, Option<Outcome>) {
        self.send_at(NOW, claims, &[])
    }

    fn outcome(&self, claims: &Value) -> Option<Outcome> {
        self.send(claims).1
    }

    fn question(&self, claims: &Value) -> Question {
        self.question_at(NOW, claims)
    }

    fn question_at(&self, now: u64, claims: &Value) -> Question {
        match self.send_at(now, claims, &[]).0 {
            Verdict::Wait(Wait::Confirmation(question)) => question,
            other => panic!("expected a question, found {other:?}"),
        }
    }

    /// The outcome after the authority has answered.
    fn answered(&self, claims: &Value, is_revoked: Option<bool>) -> Option<Outcome> {
        self.answered_at(NOW, claims, is_revoked)
    }

    fn answered_at(&self, now: u64, claims: &Value, is_revoked: Option<bool>) -> Option<Outcome> {
        let question = self.question_at(now, claims);
        let outcome = is_revoked.map_or(CallOutcome::Failed, |is_revoked| {
            says(&proof_of(&question.bytes(), is_revoked, &authority_key()))
        });
        let confirmation = self.gate.confirmation(&question, &outcome);
        self.send_at(now, claims, &[confirmation]).1
    }

    /// Cuts off what has this name and was issued before [`NOW`].
    fn cut_off(&self, kind: Kind, value: &str) {
        self.apply(&Change::SetCutOff(CutOff {
            key: Self::name(kind, value),
            not_before: UnixTime::from_seconds(NOW).unwrap(),
            except: None,
        }));
    }
}

fn claims() -> Value {
    json!({
        "iss": "iss", "sub": "alice", "sid": "session", "jti": "token", "device": "phone",
        "client_id": "app", "iat": NOW - 10, "exp": NOW + 300,
    })
}

const ALLOWED: Option<Outcome> = Some(Outcome::Allowed(Admission::Verified));
const UNKNOWN: Option<Outcome> = Some(Outcome::Allowed(Admission::RevocationUnknown));

#[expect(clippy::unnecessary_wraps, reason = "compared with what may be none")]
const fn refused(reason: Reason) -> Option<Outcome> {
    Some(Outcome::Refused(reason))
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_nobody_revoked_passes_and_the_next_time_without_a_look() {
    let edge = Edge::new(|_| {}).with_feed();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    for key in edge.process.keys() {
        edge.process.set_shared(&key, b"", Expected::Anything);
    }
    assert_eq!(edge.outcome(&claims()), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn token_session_and_device_are_asked_about_when_the_filter_says_perhaps() {
    for (kind, value) in [
        (Kind::Token, "token"),
        (Kind::Session, "session"),
        (Kind::Device, "phone"),
    ] {
        let edge = Edge::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&claims()), ALLOWED);
        edge.apply(&Change::Add(Edge::name(kind, value)));
        let expected = refused(Reason::TokenRevoked);
        assert_eq!(edge.answered(&claims(), Some(true)), expected, "{kind:?}");
        // The answer is kept with the token.
        assert_eq!(edge.outcome(&claims()), expected, "{kind:?}");
        edge.apply(&Change::Restore(Edge::name(kind, value)));
        assert_eq!(edge.answered(&claims(), Some(false)), ALLOWED, "{kind:?}");
        assert_eq!(edge.outcome(&claims()), ALLOWED, "{kind:?}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_question_names_everything_by_which_the_token_could_be_revoked() {
    let edge = Edge::new(|_| {}).with_feed();
    edge.apply(&Change::Add(Edge::name(Kind::Token, "token")));
    let call = edge
        .gate
        .confirmation_call(&edge.question(&claims()))
        .unwrap();
    assert_eq!((call.method, call.path.as_str()), ("POST", "/v1/check"));
    let mut body: Value = serde_json::from_slice(&call.body.unwrap()).unwrap();
    let nonce = body.as_object_mut().unwrap().remove("nonce");
    assert!(nonce.is_some_and(|nonce| nonce.is_u64()));
    let expected = json!({
        "issuer": "iss", "jti": "token", "sid": "session", "device": "phone", "subject": "alice",
        "client": "app", "issued_at": NOW - 10,
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
        let edge = Edge::new(|_| {}).with_feed();
        edge.apply(&Change::SetCutOff(CutOff {
            key: Edge::name(kind, value),
            not_before: UnixTime::from_seconds(NOW).unwrap(),
            except: None,
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

/// No cut-off reaches further ahead.
#[wasm_bindgen_test(unsupported = test)]
fn a_token_issued_further_ahead_than_clocks_may_differ_is_refused_every_time() {
    let edge = Edge::new(|_| {}).with_feed();
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
    // Also one that is known, when the clock is set back.
    assert_eq!(edge.send_at(NOW - 1, &ahead(60), &[]).1, too_far);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_does_not_say_when_it_was_issued_is_cut_off_by_any_instant() {
    let edge = Edge::new(|_| {}).with_feed();
    let mut timeless = claims();
    timeless.as_object_mut().unwrap().remove("iat");
    assert_eq!(edge.outcome(&timeless), ALLOWED);
    edge.cut_off(Kind::Subject, "alice");
    assert_eq!(edge.outcome(&timeless), refused(Reason::TokenRevoked));
}

#[wasm_bindgen_test(unsupported = test)]
fn a_token_that_was_cut_off_is_remembered_until_that_is_taken_back() {
    let edge = Edge::new(|_| {}).with_feed();
    let name = Edge::name(Kind::Subject, "alice");
    edge.apply(&Change::SetCutOff(CutOff {
        key: name,
        not_before: UnixTime::from_seconds(NOW).unwrap(),
        except: None,
    }));
    assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    let looked_up = |edge: &Edge| {
        let counts = edge.gate.take_cache_counts();
        (counts.hits, counts.misses, counts.void)
    };
    assert_eq!(looked_up(&edge), (0, 1, 0));
    assert_eq!(edge.outcome(&claims()), refused(Reason::TokenRevoked));
    assert_eq!(looked_up(&edge), (1, 0, 0));
    edge.apply(&Change::ClearCutOff(name));
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    assert_eq!(looked_up(&edge), (0, 0, 1));
}

fn authority_key() -> SigningKey {
    SigningKey::from_bytes(&[1; 32])
}

fn keys() -> FeedKeys {
    FeedKeys::new(vec![authority_key().verifying_key()])
}

fn proof_of(question: &[u8], is_revoked: bool, key: &SigningKey) -> String {
    let statement = proof::statement(question, is_revoked);
    let signature = FeedSignature {
        key: key.verifying_key(),
        signature: key.sign(&Signable::Check.input(&statement)),
    };
    proof::encode(&signature.append_to(statement))
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

fn answer(question: &Question, is_revoked: bool) -> Confirmation {
    let proof = proof_of(&question.bytes(), is_revoked, &authority_key());
    Confirmation::read(question, &says(&proof), &keys())
}
