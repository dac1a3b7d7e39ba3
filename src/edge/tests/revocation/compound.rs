//! Names of two texts: a claim with its value, and a subject with a client.

use super::*;

const REFUSED: Option<Outcome> = refused(Reason::TokenRevoked);

/// An edge that lists a claim, one that is nested, and one with dots in its name.
fn listing() -> Fixture {
    Fixture::new(|settings| {
        settings["claims"] = json!([
            "tenant",
            "address.city",
            {"name": "organisation", "claim_path": ["https://x.example/organisation"]},
        ]);
    })
    .with_feed()
}

fn of_tenant() -> Value {
    let mut claims = claims();
    claims["tenant"] = json!("acme");
    claims["address"] = json!({"city": "Trier"});
    claims["https://x.example/organisation"] = json!("org-1");
    claims["azp"] = json!("party");
    claims
}

impl Fixture {
    /// Cuts off what has this name and was issued before [`NOW`].
    fn cut_off_compound(&self, kind: Kind, first: &str, second: &str, except: Option<&str>) {
        let except = except.map(|session| Exception {
            session: name_of(Kind::Session, session),
            from: UnixTime::EPOCH,
        });
        self.apply(Change::SetCutOff(CutOff {
            key: mock_authority::FILTER_KEY.compound(kind, "iss", first, second),
            not_before: UnixTime::from_seconds(NOW).unwrap(),
            except,
            is_compound: true,
        }));
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_that_is_listed_can_be_cut_off_by_and_another_value_of_it_is_not_concerned() {
    for (name, value) in [
        ("tenant", "acme"),
        ("address.city", "Trier"),
        ("organisation", "org-1"),
    ] {
        let edge = listing();
        assert_eq!(edge.outcome(&of_tenant()), ALLOWED, "{name}");
        edge.cut_off_compound(Kind::Claim, name, "other", None);
        edge.cut_off_compound(Kind::Claim, "other", value, None);
        assert_eq!(edge.outcome(&of_tenant()), ALLOWED, "{name}");
        edge.cut_off_compound(Kind::Claim, name, value, None);
        assert_eq!(edge.outcome(&of_tenant()), REFUSED, "{name}");
        let mut fresh = of_tenant();
        fresh["iat"] = json!(NOW);
        assert_eq!(edge.outcome(&fresh), ALLOWED, "{name}");
        fresh["auth_time"] = json!(NOW - 1);
        assert_eq!(edge.outcome(&fresh), REFUSED, "{name}: refreshed");
        edge.apply(Change::ClearCutOff(mock_authority::FILTER_KEY.compound(
            Kind::Claim,
            "iss",
            name,
            value,
        )));
        assert_eq!(edge.outcome(&of_tenant()), ALLOWED, "{name}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn a_claim_that_is_not_listed_is_not_looked_at() {
    let edge = Fixture::new(|_| {}).with_feed();
    edge.cut_off_compound(Kind::Claim, "tenant", "acme", None);
    assert_eq!(edge.outcome(&of_tenant()), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_session_may_be_spared() {
    let edge = listing();
    edge.cut_off_compound(Kind::Claim, "tenant", "acme", Some("session"));
    assert_eq!(edge.outcome(&of_tenant()), ALLOWED);
    let mut other = of_tenant();
    other["sid"] = json!("other");
    assert_eq!(edge.outcome(&other), REFUSED);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_listed_claim_may_be_absent_and_must_not_be_what_no_revocation_can_name() {
    let edge = listing();
    assert_eq!(edge.outcome(&claims()), ALLOWED);
    for odd in [
        json!(7),
        json!(null),
        json!(["acme"]),
        json!("x".repeat(1_025)),
    ] {
        let mut claims = of_tenant();
        claims["tenant"] = odd.clone();
        let unnamed = refused(Reason::TokenUnnamed);
        assert_eq!(edge.outcome(&claims), unnamed, "{odd}");
    }
    let mut empty = of_tenant();
    empty["tenant"] = json!("");
    assert_eq!(edge.outcome(&empty), ALLOWED);
}

#[wasm_bindgen_test(unsupported = test)]
fn a_subject_is_cut_off_at_one_client_and_goes_on_at_others() {
    for client in ["app", "party"] {
        let edge = Fixture::new(|_| {}).with_feed();
        assert_eq!(edge.outcome(&of_tenant()), ALLOWED);
        edge.cut_off_compound(Kind::SubjectAndClient, "other", "alice", None);
        edge.cut_off_compound(Kind::SubjectAndClient, client, "bob", None);
        edge.cut_off_compound(Kind::SubjectAndClient, "alice", client, None);
        assert_eq!(edge.outcome(&of_tenant()), ALLOWED, "{client}");
        edge.cut_off_compound(Kind::SubjectAndClient, client, "alice", None);
        assert_eq!(edge.outcome(&of_tenant()), REFUSED, "{client}");
        let mut elsewhere = of_tenant();
        elsewhere["client_id"] = json!("third");
        elsewhere["azp"] = json!("third");
        assert_eq!(edge.outcome(&elsewhere), ALLOWED, "{client}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_authority_is_asked_about_the_claims_that_are_listed() {
    let edge = listing();
    edge.apply(Change::Add(name_of(Kind::Token, "token")));
    let (_, check) = edge.check(&of_tenant());
    let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
    let expected = json!([
        {"name": "tenant", "value": "acme"},
        {"name": "address.city", "value": "Trier"},
        {"name": "organisation", "value": "org-1"},
    ]);
    assert_eq!(body["claims"], expected);
    let (_, check) = edge.check(&claims());
    let body: Value = serde_json::from_slice(&body_of(&check)).unwrap();
    assert_eq!(
        body.get("claims"),
        None,
        "an older authority understands it"
    );
}
