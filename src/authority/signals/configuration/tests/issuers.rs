use super::*;

#[test]
fn every_fault_of_an_issuer_is_told_with_its_path() {
    for (document, expected) in [
        (json!([]), "expected an object, found a list".to_owned()),
        (json!({}), "`issuers` is missing".to_owned()),
        (
            json!({"issuers": []}),
            "issuers: expected at least one issuer".to_owned(),
        ),
        (
            with_issuer(&issuer("client_id", json!("web"))),
            "issuers[0].client_id: unknown key, did you mean `client_ids`?".to_owned(),
        ),
        (
            with_issuer(&issuer("client_ids", json!([]))),
            "issuers[0]: `client_ids` is missing: `aud` of a logout token has to have one of them"
                .to_owned(),
        ),
        (
            with_issuer(&issuer("subject", json!({"claims": {"e_mail": "email"}}))),
            "issuers[0].subject.claims.e_mail: unknown key, did you mean `email`?".to_owned(),
        ),
        (
            with_issuer(&issuer("sessions_end", Value::Null)),
            "issuers[0].sessions_end: expected a string, found `null`".to_owned(),
        ),
        (
            with_issuer(&issuer("receivers", json!({"backchannel_logout": true}))),
            "issuers[0].receivers.backchannel_logout: unknown key, did you mean \
             `back_channel_logout`?"
                .to_owned(),
        ),
        (
            with_issuer(&issuer(
                "keys",
                json!({"jwks_file": "a", "discovery": "https://a"}),
            )),
            "issuers[0].keys: expected one of `jwks_file`, `jwks_uri` and `discovery`".to_owned(),
        ),
        (
            with_issuer(&issuer(
                "keys",
                json!({"jwks_file": "a", "certificate_authority": "b"}),
            )),
            "issuers[0].keys.certificate_authority: has no effect without a server".to_owned(),
        ),
        (
            with_issuer(&issuer(
                "subject",
                json!({"by": "template", "template": "{sub}"}),
            )),
            "issuers[0].subject.template: expected `{subject}` once, and no other braces"
                .to_owned(),
        ),
        (
            with_issuer(&issuer(
                "subject",
                json!({"by": "iss_sub", "template": "{subject}"}),
            )),
            "issuers[0].subject.template: has no effect without `by: template`".to_owned(),
        ),
        (
            with_issuer(&issuer("max_age", json!("2d"))),
            "issuers[0].max_age: expected a duration from a minute to a day".to_owned(),
        ),
        (
            with_issuer(&issuer("logout_without_sid", json!("everything"))),
            "issuers[0].logout_without_sid: expected `subject` or `subject_and_client`".to_owned(),
        ),
    ] {
        assert_eq!(faults(&document), [expected], "{document}");
    }
}
