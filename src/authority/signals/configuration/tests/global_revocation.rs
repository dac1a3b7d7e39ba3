use super::*;

/// The same, with requests to revoke everything of a user, and these members of their rules.
fn with_revoker(members: &Value) -> Value {
    let mut rules = json!({"name": "okta"});
    for (name, value) in members.as_object().unwrap() {
        rules[name] = value.clone();
    }
    let rules: Value = rules
        .as_object()
        .unwrap()
        .clone()
        .into_iter()
        .filter(|(_, value)| !value.is_null())
        .collect();
    let issuer = issuer("receivers", json!({"global_token_revocation": rules}));
    json!({"public_url": "https://signals.example", "issuers": [issuer]})
}

#[test]
fn requests_to_revoke_everything_are_read_with_their_rules() {
    let rules = |document: &Value| {
        let configured = read(document);
        assert_eq!((configured.faults, configured.warnings), (vec![], vec![]));
        let [issuer] = configured
            .configuration
            .unwrap()
            .issuers
            .try_into()
            .unwrap();
        issuer.receivers.global_token_revocation.unwrap()
    };
    let expected = GlobalRevocationRules {
        name: "okta".to_owned(),
        authentication: CallerAuthentication::SignedJwt,
        email_claim: "email".to_owned(),
        unknown_subjects: UnknownSubjects::Accept,
    };
    let written = with_revoker(&json!({"email_claim": "email"}));
    assert_eq!(rules(&written), expected);
    // A secret needs neither client ids nor a URL.
    let mut document = with_revoker(&json!({
        "authentication": "bearer", "credential": {"file": "secret"}, "email_claim": "sub",
        "unknown_subjects": "not_found",
    }));
    document["issuers"][0]["client_ids"] = json!([]);
    document.as_object_mut().unwrap().remove("public_url");
    let expected = GlobalRevocationRules {
        authentication: CallerAuthentication::Bearer(SecretSource {
            at: "issuers[0].receivers.global_token_revocation.credential".to_owned(),
            place: SecretPlace::File("/etc/portcullis/secret".into()),
        }),
        email_claim: "sub".to_owned(),
        unknown_subjects: UnknownSubjects::NotFound,
        ..expected
    };
    assert_eq!(rules(&document), expected);
}

/// Both would look as if something was done, and would do nothing.
#[test]
fn what_e_mail_addresses_do_not_do_is_told() {
    let at = "issuers[0].receivers.global_token_revocation";
    let warnings = |members: Value| {
        let configured = read(&with_revoker(&members));
        assert_eq!(configured.faults, []);
        let warnings = configured.warnings.iter().map(ToString::to_string);
        warnings.collect::<Vec<_>>()
    };
    let default = format!(
        "{at}: `email_claim` is `email` where it is left out, and tokens of a user who is named by an \
         e-mail address are then refused only by filters that have this claim among their \
         `revocation.claims`; hint: write `email_claim: email` once they have, or `email_claim: sub` where \
         access tokens have the address as `sub`"
    );
    let unknown = |claim: &str| {
        format!(
            "{at}.unknown_subjects: has no effect on users who are named by an e-mail address: which values \
             of `{claim}` there are is not known, so the answer about them is never 404"
        )
    };
    for (members, expected) in [
        (json!({}), vec![default.clone()]),
        (
            json!({"unknown_subjects": "not_found"}),
            vec![default, unknown("email")],
        ),
        (
            json!({"unknown_subjects": "not_found", "email_claim": "mail"}),
            vec![unknown("mail")],
        ),
        (json!({"email_claim": "mail"}), vec![]),
        (
            json!({"unknown_subjects": "not_found", "email_claim": "sub"}),
            vec![],
        ),
    ] {
        assert_eq!(warnings(members.clone()), expected, "{members}");
    }
}

#[test]
fn a_caller_with_a_jwt_needs_a_client_id_and_a_url_of_its_own() {
    let at = "issuers[0].receivers.global_token_revocation";
    let mut document = with_revoker(&json!({}));
    document["issuers"][0]["client_ids"] = json!([]);
    let expected =
        "issuers[0]: `client_ids` is missing: `sub` of a caller's JWT has to be one of them";
    assert_eq!(faults(&document), [expected]);
    let mut document = with_revoker(&json!({}));
    document.as_object_mut().unwrap().remove("public_url");
    let expected = format!(
        "{at}: `public_url` is missing: `aud` of a caller's JWT has to be the URL of this receiver"
    );
    assert_eq!(faults(&document), [expected]);
    let mut document = with_revoker(&json!({}));
    let mut other = document["issuers"][0].clone();
    other["issuer"] = json!("https://b");
    document["issuers"].as_array_mut().unwrap().push(other);
    let expected = "issuers[1].receivers.global_token_revocation.name: expected a name that no other \
                    issuer has";
    assert_eq!(faults(&document), [expected]);
}

#[test]
fn every_fault_of_their_rules_is_told_with_its_path() {
    for (document, expected) in [
        (
            with_revoker(&json!({"name": "a/b"})),
            "issuers[0].receivers.global_token_revocation.name: expected at most 64 lower-case \
             letters, digits and hyphens, since it is part of a path"
                .to_owned(),
        ),
        (
            with_revoker(&json!({"name": null})),
            "issuers[0].receivers.global_token_revocation: `name` is missing".to_owned(),
        ),
        (
            with_revoker(&json!({"authentication": "bearer"})),
            "issuers[0].receivers.global_token_revocation: `credential` is missing".to_owned(),
        ),
        (
            with_revoker(&json!({"credential": {"env": "SECRET"}})),
            "issuers[0].receivers.global_token_revocation.credential: has no effect without \
             `authentication: bearer`"
                .to_owned(),
        ),
    ] {
        assert_eq!(faults(&document), [expected], "{document}");
    }
}
