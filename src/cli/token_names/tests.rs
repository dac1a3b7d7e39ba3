use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;

fn token(claims: &Value) -> String {
    let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
    format!("{}.{}.c2ln", part(&json!({"alg": "ES256"})), part(claims))
}

fn names(claims: &Value) -> TokenNames {
    TokenNames::of(&token(claims), Some("device"), &[]).unwrap()
}

#[test]
fn every_kind_has_the_name_that_the_gate_goes_by() {
    let names = names(&json!({
        "iss": "i", "jti": "t", "sid": "s", "device": "d", "sub": "u", "client_id": "c",
        "azp": "p", "iat": 7, "exp": 9,
    }));
    assert_eq!(names.issuer(), "i");
    let expected = [
        (Kind::Token, Some("t")),
        (Kind::Session, Some("s")),
        (Kind::Device, Some("d")),
        (Kind::Subject, Some("u")),
        (Kind::Client, Some("c")),
        (Kind::Issuer, None),
    ];
    for (kind, name) in expected {
        assert_eq!(names.name(kind).unwrap().as_deref(), name);
    }
    assert_eq!(names.check().azp.as_deref(), Some("p"));
    assert_eq!(names.check().issued_at, Some(7));
    assert_eq!(names.check().auth_time, None);
    assert_eq!(names.expires_at().map(UnixTime::seconds), Some(9));
    assert_eq!(names.all().len(), 6);
}

#[test]
fn what_names_nothing_is_told_from_what_is_not_there() {
    let names = names(&json!({"iss": "i", "sid": 7, "azp": "p"}));
    let value = |claim: &str| {
        let all = names.all();
        let name = all.iter().find(|name| name.claim == claim).unwrap();
        name.value.map(str::to_owned)
    };
    assert_eq!(value("jti"), Err(Nameless::Absent));
    assert_eq!(value("sid"), Err(Nameless::Unusable));
    assert_eq!(value("azp"), Ok("p".into()));
    assert_eq!(names.name(Kind::Client).unwrap().as_deref(), Some("p"));
    let error = names.name(Kind::Session).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the token has no `sid` that a revocation could name"
    );
}

#[test]
fn what_is_pasted_with_a_token_is_removed() {
    let token = token(&json!({"iss": "i"}));
    for around in [
        "TOKEN\n",
        " TOKEN ",
        "Bearer TOKEN",
        "bearer  TOKEN\r\n",
        "Authorization: Bearer TOKEN",
        "DPoP TOKEN",
        "Authorization: DPoP TOKEN",
        "'authorization: bearer TOKEN'\n",
    ] {
        let text = around.replace("TOKEN", &token);
        assert!(TokenNames::of(&text, None, &[]).is_ok(), "{around}");
    }
}

#[test]
fn a_token_is_in_no_error() {
    let secret = "c2VjcmV0";
    let valid = token(&json!({"sub": "u"}));
    for text in [
        valid.as_str(),
        &valid.replace("c2ln", secret),
        &format!("{secret}.{secret}.{secret}"),
        &format!("{valid}.{secret}"),
        secret,
        "",
    ] {
        let error = TokenNames::of(text, None, &[]).unwrap_err();
        let told = format!("{error} {:?}", std::error::Error::source(&error));
        assert!(!told.contains(secret) && !told.contains(&valid), "{told}");
    }
    for typed in [valid.as_str(), &format!("Bearer {valid}")] {
        let error = TokenNames::read(Path::new(typed), None, &[]).unwrap_err();
        assert!(matches!(error, TokenFileError::Typed), "{error}");
        assert!(!error.to_string().contains(&valid));
    }
}
