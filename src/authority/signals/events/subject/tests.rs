use serde_json::json;

use super::*;

fn read(value: &Value) -> Result<Subject, Code> {
    Subject::read(value).map_err(|refusal| refusal.code)
}

fn plain(format: Format, text: &str) -> Identifier {
    Identifier::Plain(format, text.to_owned())
}

fn iss_sub() -> Identifier {
    Identifier::IssSub {
        issuer: "https://issuer.example.com/".to_owned(),
        subject: "145234573".to_owned(),
    }
}

/// The examples of RFC 9493 section 3.2, and of Shared Signals Framework 1.0 section 3.5.
#[test]
fn every_format_of_the_specifications_is_read() {
    let jwt = Identifier::JwtId {
        issuer: "https://idp.example.com/123456789/".to_owned(),
        id: "B70BA622-9515-4353-A866-823539EECBC8".to_owned(),
    };
    let account = "acct:example.user@service.example.com";
    let did = "did:example:123456/did/url/path?versionId=1";
    let email = json!({"format": "email", "email": "user@example.com"});
    let phone = json!({"format": "phone_number", "phone_number": "+12065550100"});
    for (value, expected) in [
        (
            json!({"format": "account", "uri": account}),
            plain(Format::Account, account),
        ),
        (email.clone(), plain(Format::Email, "user@example.com")),
        (
            json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
            iss_sub(),
        ),
        (
            json!({"format": "opaque", "id": "11112222333344445555"}),
            plain(Format::Opaque, "11112222333344445555"),
        ),
        (phone.clone(), plain(Format::PhoneNumber, "+12065550100")),
        (
            json!({"format": "did", "url": did}),
            plain(Format::Did, did),
        ),
        (
            json!({"format": "uri", "uri": "https://user.example.com/"}),
            plain(Format::Uri, "https://user.example.com/"),
        ),
        (
            json!({
                "format": "jwt_id", "iss": "https://idp.example.com/123456789/",
                "jti": "B70BA622-9515-4353-A866-823539EECBC8",
            }),
            jwt,
        ),
        (
            json!({"format": "aliases", "identifiers": [email, phone]}),
            Identifier::Aliases(vec![
                plain(Format::Email, "user@example.com"),
                plain(Format::PhoneNumber, "+12065550100"),
            ]),
        ),
        (
            json!({"format": "saml_assertion_id", "issuer": "i", "assertion_id": "_8e8dc5f6"}),
            Identifier::Other("saml_assertion_id".to_owned()),
        ),
        (
            json!({"format": "catalog_item", "catalog_id": "c0384/winter/2354122"}),
            Identifier::Other("catalog_item".to_owned()),
        ),
    ] {
        assert_eq!(read(&value), Ok(Subject::Simple(expected)), "{value}");
    }
}

#[test]
fn what_drafts_have_called_otherwise_is_the_same() {
    for (value, expected) in [
        (
            json!({"subject_type": "iss-sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
            iss_sub(),
        ),
        (
            json!({"subject_type": "phone", "phone": "+1206"}),
            plain(Format::PhoneNumber, "+1206"),
        ),
        (
            json!({"subject_type": "phone", "phone_number": "+1206"}),
            plain(Format::PhoneNumber, "+1206"),
        ),
        (
            json!({
                "subject_type": "id-token-claims", "iss": "https://issuer.example.com/",
                "sub": "145234573", "email": "a@b",
            }),
            Identifier::Aliases(vec![iss_sub(), plain(Format::Email, "a@b")]),
        ),
        (
            json!({"subject_type": "oauth_client", "client_id": "web"}),
            plain(Format::Client, "web"),
        ),
    ] {
        assert_eq!(read(&value), Ok(Subject::Simple(expected)), "{value}");
    }
    let user = json!({"format": "email", "email": "a@b"});
    let complex = Ok(Subject::Complex(vec![(
        "user".to_owned(),
        plain(Format::Email, "a@b"),
    )]));
    assert_eq!(read(&json!({"user": user})), complex);
    assert_eq!(read(&json!({"format": "complex", "user": user})), complex);
    assert_eq!(
        read(&json!({"subject_type": "complex", "user": user})),
        complex
    );
}

#[test]
fn what_is_not_as_its_format_demands_is_refused() {
    let long = "x".repeat(MAX_NAME_BYTES + 1);
    let many = vec![json!({"format": "opaque", "id": "1"}); MOST_PARTS + 1];
    let aliases = json!({"format": "aliases", "identifiers": [{"format": "opaque", "id": "1"}]});
    for value in [
        json!(null),
        json!("alice"),
        json!([]),
        json!({}),
        json!({"email": "a@b"}),
        json!({"format": 7}),
        json!({"format": "email"}),
        json!({"format": "email", "email": ""}),
        json!({"format": "email", "email": 7}),
        json!({"format": "email", "email": long}),
        json!({"format": "iss_sub", "sub": "a"}),
        json!({"format": "iss_sub", "iss": "a"}),
        json!({"format": "jwt_id", "iss": "a"}),
        json!({"format": "aliases"}),
        json!({"format": "aliases", "identifiers": []}),
        json!({"format": "aliases", "identifiers": many}),
        json!({"format": "aliases", "identifiers": [aliases]}),
        json!({"format": "aliases", "identifiers": ["a"]}),
        json!({"format": "id_token_claims"}),
        json!({"format": "complex"}),
        json!({"format": "complex", "user": "alice"}),
        json!({"format": "complex", "user": {"format": "email"}}),
        json!({"format": "complex", "session": {}}),
    ] {
        assert_eq!(read(&value), Err(Code::SubjectInvalid), "{value}");
    }
}

#[test]
fn members_that_others_have_added_need_not_be_understood() {
    let value = json!({
        "format": "complex", "user": {"format": "opaque", "id": "1"}, "place": "Rome",
        "mood": {"format": "email"},
    });
    let Ok(Subject::Complex(members)) = read(&value) else {
        panic!("{value}");
    };
    assert_eq!(members.len(), 3);
    let other = members
        .iter()
        .filter(|(_, part)| matches!(part, Identifier::Other(_)));
    assert_eq!(other.count(), 2);
}

#[test]
fn a_record_has_the_user_and_the_session() {
    let opaque = |id: &str| json!({"format": "opaque", "id": id});
    for (value, user, session) in [
        (opaque("1"), Some("1"), None),
        (
            json!({"format": "complex", "user": opaque("u"), "session": opaque("s")}),
            Some("u"),
            Some("s"),
        ),
        (
            json!({"format": "complex", "device": opaque("d")}),
            Some("d"),
            None,
        ),
        (
            json!({"format": "complex", "session": opaque("s")}),
            None,
            Some("s"),
        ),
        (
            json!({"format": "complex", "tenant": opaque("t")}),
            Some("t"),
            None,
        ),
        (json!({"format": "x"}), None, None),
    ] {
        assert_eq!(read(&value).unwrap().shown(), (user, session), "{value}");
    }
}
