use serde_json::{Value, json};

use super::*;
use crate::authority::signals::logout::tests::{change, issuer, verified};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

const SKEW: Duration = Duration::from_mins(1);

const URL: &str = "https://signals.example/global-token-revocation/okta";

fn read(body: &Value) -> Result<Identifier, Code> {
    subject(body.to_string().as_bytes()).map_err(|refusal| refusal.code)
}

fn iss_sub() -> Identifier {
    Identifier::IssuerSubject {
        issuer: "https://issuer.example.com/".to_owned(),
        subject: "145234573".to_owned(),
    }
}

/// As the draft and Okta's documentation have them.
#[test]
fn a_user_is_named_in_each_format_and_under_either_name_of_the_member() {
    let email = Identifier::Email("user@example.com".to_owned());
    let opaque = Identifier::Opaque("e193177dfdc52e3dd03f78c".to_owned());
    for (member, expected) in [
        (
            json!({"format": "email", "email": "user@example.com"}),
            email,
        ),
        (
            json!({"format": "opaque", "id": "e193177dfdc52e3dd03f78c"}),
            opaque,
        ),
        (
            json!({"format": "iss_sub", "iss": "https://issuer.example.com/", "sub": "145234573"}),
            iss_sub(),
        ),
    ] {
        for body in [
            json!({"sub_id": member}),
            json!({"subject": member}),
            json!({"sub_id": member, "subject": member}),
            json!({"sub_id": member, "subject": null, "other": [1]}),
        ] {
            assert_eq!(read(&body), Ok(expected.clone()), "{body}");
        }
    }
}

#[test]
fn a_body_that_does_not_name_one_user_is_refused() {
    let email = |email: &str| json!({"format": "email", "email": email});
    for (body, expected) in [
        (json!({}), Code::SubjectMissing),
        (json!({"sub_id": null}), Code::SubjectMissing),
        (json!([]), Code::BodyInvalid),
        (json!({"sub_id": "alice"}), Code::BodyInvalid),
        (json!({"sub_id": ["email"]}), Code::BodyInvalid),
        (json!({"sub_id": {"email": "a@b"}}), Code::BodyInvalid),
        (
            json!({"sub_id": {"format": "email", "email": 7}}),
            Code::BodyInvalid,
        ),
        (
            json!({"sub_id": email("a@b"), "subject": email("c@b")}),
            Code::BodyInvalid,
        ),
        (json!({"sub_id": {"format": "email"}}), Code::SubjectInvalid),
        (
            json!({"sub_id": {"format": "opaque", "sub": "a"}}),
            Code::SubjectInvalid,
        ),
        (
            json!({"sub_id": {"format": "iss_sub", "sub": "a"}}),
            Code::SubjectInvalid,
        ),
        (
            json!({"sub_id": {"format": "opaque", "id": "a", "email": "a@b"}}),
            Code::SubjectInvalid,
        ),
        (
            json!({"sub_id": {"format": "opaque", "id": "a", "tenant": "b"}}),
            Code::SubjectInvalid,
        ),
        (json!({"sub_id": email("")}), Code::SubjectInvalid),
        (
            json!({"sub_id": email(&"x".repeat(1_025))}),
            Code::SubjectInvalid,
        ),
        (
            json!({"sub_id": {"format": "phone_number", "phone_number": "+1"}}),
            Code::SubjectFormatUnknown,
        ),
        (
            json!({"sub_id": {"format": "Email", "email": "a@b"}}),
            Code::SubjectFormatUnknown,
        ),
    ] {
        assert_eq!(read(&body), Err(expected), "{body}");
    }
    let one = r#"{"format": "opaque", "id": "a"}"#;
    for body in [
        "",
        "{",
        "{}x",
        &format!(r#"{{"sub_id": {one}, "sub_id": {one}}}"#),
        r#"{"sub_id": {"format": "opaque", "id": "a", "id": "b"}}"#,
    ] {
        let refused = subject(body.as_bytes()).unwrap_err();
        assert_eq!(refused.code, Code::BodyInvalid, "{body}");
    }
}

/// The JWT of a caller as Okta sends it, with some members changed; `null` takes one away.
fn shown_by(header: &Value, claims: &Value) -> Result<Assertion, Code> {
    let mut heading = json!({"typ": "global-token-revocation+jwt", "alg": "ES256"});
    let mut body = json!({
        "iss": "https://id.example", "sub": "web", "aud": URL, "jti": "j", "iat": NOW - 5,
        "nbf": NOW - 300, "exp": NOW + 295,
    });
    change(&mut heading, header);
    change(&mut body, claims);
    let now = UnixTime::from_seconds(NOW).unwrap();
    let token = verified(&heading, &body);
    assertion(&token, &issuer(), URL, now, SKEW).map_err(|refusal| refusal.code)
}

#[test]
fn a_jwt_for_this_url_shows_who_asks_and_when() {
    let plain = json!({});
    let found = shown_by(&plain, &plain).unwrap();
    assert_eq!(found.id, "j");
    assert_eq!(found.issued_at.seconds(), NOW - 5);
    assert_eq!(found.good_until.seconds(), NOW + 295 + 60);
    for (header, claims) in [
        (json!({"typ": null}), json!({"nbf": null})),
        (json!({"typ": "JWT"}), json!({"aud": ["other", URL]})),
        (
            json!({"typ": "application/Global-Token-Revocation+jwt"}),
            json!({"sub": "app"}),
        ),
    ] {
        assert!(shown_by(&header, &claims).is_ok(), "{header} {claims}");
    }
}

#[test]
fn a_jwt_for_anything_else_is_no_credential() {
    let plain = json!({});
    for (claims, expected) in [
        (json!({"aud": null}), Code::AudienceMismatch),
        (json!({"aud": "web"}), Code::AudienceMismatch),
        (json!({"aud": format!("{URL}/")}), Code::AudienceMismatch),
        (json!({"aud": format!("{URL}?x")}), Code::AudienceMismatch),
        (json!({"exp": null}), Code::ExpiryMissing),
        (json!({"exp": NOW - 61}), Code::Expired),
        (json!({"iat": null}), Code::IssueTimeMissing),
        (json!({"iat": NOW + 61}), Code::IssuedAhead),
        (json!({"iat": NOW - 661, "exp": NOW + 3_600}), Code::TooOld),
        (json!({"nbf": NOW + 61}), Code::NotYetValid),
        (json!({"jti": null}), Code::IdMissing),
        (json!({"jti": ""}), Code::IdMissing),
        (json!({"sub": null}), Code::CallerUnknown),
        (json!({"sub": "alice"}), Code::CallerUnknown),
    ] {
        assert_eq!(shown_by(&plain, &claims), Err(expected), "{claims}");
    }
    for typ in ["at+jwt", "logout+jwt", "secevent+jwt", ""] {
        let header = json!({ "typ": typ });
        assert_eq!(shown_by(&header, &plain), Err(Code::TypeMismatch), "{typ}");
    }
}
