use serde_json::{Value, json};

use super::*;
use crate::authority::signals::configuration::SubjectClaims;
use crate::authority::signals::logout::tests::issuer;

fn everything_is_known() -> SignalIssuer {
    SignalIssuer {
        subject_claims: SubjectClaims::new(&[
            ("email", "email"),
            ("opaque", "sid"),
            ("phone_number", "sub"),
            ("did", "jti"),
            ("uri", "azp"),
            ("tenant", "tid"),
            ("group", "groups"),
        ]),
        subject_issuers: vec!["https://other.example".to_owned()],
        access_token_issuer: Some("https://api.example".to_owned()),
        tokens_carry_device: true,
        ..issuer()
    }
}

fn names(
    value: &Value,
    issuer: &SignalIssuer,
    critical: &[&str],
) -> Result<Vec<(Kind, String)>, Code> {
    let subject = Subject::read(value).unwrap();
    let critical: Vec<_> = critical.iter().map(|name| (*name).to_owned()).collect();
    let targets = targets(&subject, Role::User, issuer, &critical);
    let targets = targets.map_err(|refusal| refusal.code)?.into_iter();
    Ok(targets
        .map(|target| {
            assert_eq!(target.issuer, issuer.token_issuer());
            let separator = if target.qualifier.is_empty() { "" } else { "=" };
            (
                target.kind,
                format!("{}{separator}{}", target.qualifier, target.value),
            )
        })
        .collect())
}

fn iss_sub(issuer: &str, sub: &str) -> Value {
    json!({"format": "iss_sub", "iss": issuer, "sub": sub})
}

fn opaque(id: &str) -> Value {
    json!({"format": "opaque", "id": id})
}

#[test]
fn a_subject_is_called_what_access_tokens_call_it() {
    let issuer = everything_is_known();
    let one = |kind, name: &str| Ok(vec![(kind, name.to_owned())]);
    for (value, expected) in [
        (iss_sub("https://id.example", "a"), one(Kind::Subject, "a")),
        (iss_sub("https://api.example", "a"), one(Kind::Subject, "a")),
        (
            iss_sub("https://other.example", "a"),
            one(Kind::Subject, "a"),
        ),
        (
            iss_sub("https://id.example/", "a"),
            Err(Code::SubjectForeign),
        ),
        (
            json!({"format": "jwt_id", "iss": "https://id.example", "jti": "1"}),
            one(Kind::Token, "1"),
        ),
        (
            json!({"format": "jwt_id", "iss": "https://x", "jti": "1"}),
            Err(Code::SubjectForeign),
        ),
        (
            json!({"format": "email", "email": "a@b"}),
            one(Kind::Claim, "email=a@b"),
        ),
        (opaque("s"), one(Kind::Session, "s")),
        (
            json!({"format": "phone_number", "phone_number": "+1"}),
            one(Kind::Subject, "+1"),
        ),
        (
            json!({"format": "did", "url": "did:x:1"}),
            one(Kind::Token, "did:x:1"),
        ),
        (
            json!({"format": "uri", "uri": "u:c"}),
            one(Kind::Client, "u:c"),
        ),
        (
            json!({"format": "oauth_client", "client_id": "c"}),
            Err(Code::SubjectFormatUnknown),
        ),
        (
            json!({"format": "account", "uri": "acct:a@b"}),
            Err(Code::SubjectFormatUnknown),
        ),
        (json!({"format": "x"}), Err(Code::SubjectFormatUnknown)),
        (
            json!({"format": "saml_assertion_id", "issuer": "i", "assertion_id": "1"}),
            Err(Code::SubjectFormatUnknown),
        ),
    ] {
        assert_eq!(names(&value, &issuer, &[]), expected, "{value}");
    }
}

#[test]
fn all_aliases_that_are_known_count() {
    let issuer = everything_is_known();
    let email = json!({"format": "email", "email": "a@b"});
    let unknown = json!({"format": "account", "uri": "acct:a@b"});
    let aliases = |all: &[&Value]| json!({"format": "aliases", "identifiers": all});
    let user = iss_sub("https://id.example", "a");
    let found = names(&aliases(&[&unknown, &email, &user, &email]), &issuer, &[]).unwrap();
    let expected = [
        (Kind::Claim, "email=a@b".to_owned()),
        (Kind::Subject, "a".to_owned()),
    ];
    assert_eq!(found, expected);
    let none = names(&aliases(&[&unknown]), &issuer, &[]);
    assert_eq!(none, Err(Code::SubjectFormatUnknown));
}

#[test]
fn of_a_complex_subject_the_narrowest_member_counts_by_which_tokens_can_be_told() {
    let mut issuer = everything_is_known();
    let (user, device) = (iss_sub("https://id.example", "u"), opaque("d"));
    let all = json!({
        "format": "complex", "user": user, "device": device, "session": opaque("s"),
        "tenant": opaque("t"),
    });
    let one = |kind, name: &str| Ok(vec![(kind, name.to_owned())]);
    assert_eq!(names(&all, &issuer, &[]), one(Kind::Session, "s"));
    issuer.tokens_carry_sid = false;
    assert_eq!(names(&all, &issuer, &[]), one(Kind::Subject, "u"));
    // Neither is a reason to keep everybody from a device, nor one to cut off its tenant.
    let on_device = json!({"format": "complex", "device": device, "session": opaque("s")});
    assert_eq!(names(&on_device, &issuer, &[]), Err(Code::NothingToRevoke));
    let device = json!({"format": "complex", "device": device, "tenant": opaque("t")});
    assert_eq!(names(&device, &issuer, &[]), Err(Code::NothingToRevoke));
    let account = json!({"format": "account", "uri": "acct:a@b"});
    let stranger = json!({"format": "complex", "user": account, "tenant": opaque("t")});
    assert_eq!(
        names(&stranger, &issuer, &[]),
        Err(Code::SubjectFormatUnknown)
    );
    for (member, expected) in [
        ("tenant", one(Kind::Claim, "tid=1")),
        ("group", one(Kind::Claim, "groups=1")),
        ("application", one(Kind::Client, "1")),
        ("org_unit", Err(Code::SubjectFormatUnknown)),
        ("planet", Err(Code::SubjectFormatUnknown)),
    ] {
        let value = json!({"format": "complex", member: opaque("1")});
        assert_eq!(names(&value, &issuer, &[]), expected, "{value}");
    }
    let both = json!({"format": "complex", "application": opaque("1"), "tenant": opaque("t")});
    assert_eq!(names(&both, &issuer, &[]), Err(Code::NothingToRevoke));
}

#[test]
fn a_critical_member_shapes_what_is_revoked_or_the_event_is_refused() {
    let issuer = everything_is_known();
    let user = iss_sub("https://id.example", "u");
    let of = |members: Value, critical: &[&str]| {
        let mut value = json!({"format": "complex", "user": user});
        let members = members.as_object().unwrap().clone();
        value.as_object_mut().unwrap().extend(members);
        names(&value, &issuer, critical)
    };
    let one = |kind, name: &str| Ok(vec![(kind, name.to_owned())]);
    let subject = one(Kind::Subject, "u");
    let (s, d, t) = (opaque("s"), opaque("d"), opaque("t"));
    for (members, critical, expected) in [
        (json!({"org_unit": t}), vec!["tenant"], subject.clone()),
        (json!({"tenant": t}), vec!["user"], subject.clone()),
        // It is one user's session on one device.
        (
            json!({"session": s, "device": d}),
            vec!["session", "user", "device"],
            one(Kind::Session, "s"),
        ),
    ] {
        assert_eq!(of(members.clone(), &critical), expected, "{members}");
    }
    for (members, critical) in [
        (json!({"org_unit": t}), "org_unit"),
        (json!({"tenant": {"format": "x"}}), "tenant"),
        (json!({"planet": t}), "planet"),
        (json!({"planet": "Mars"}), "planet"),
        // Tokens are told by it, but none by it and the user.
        (json!({"tenant": t}), "tenant"),
        (json!({"device": d}), "device"),
        (json!({"session": s, "tenant": t}), "tenant"),
        (json!({"session": s, "application": t}), "application"),
    ] {
        let refused = of(members.clone(), &["user", critical]);
        assert_eq!(refused, Err(Code::SubjectCritical), "{members}");
    }
    let device = json!({"format": "complex", "user": user, "device": d, "tenant": t});
    let device = Subject::read(&device).unwrap();
    let of_device = |critical: &str| super::device(&device, &issuer, &[critical.to_owned()]);
    assert_eq!(of_device("device").unwrap()[0].kind, Kind::Device);
    for broader in ["user", "tenant"] {
        let refused = of_device(broader).unwrap_err();
        assert_eq!(refused.code, Code::SubjectCritical);
        let key = "name it in `tenants` of the stream";
        assert_eq!(refused.detail.contains(key), broader == "tenant");
    }
}

#[test]
fn a_user_at_a_critical_application_is_cut_off_at_that_client() {
    let issuer = everything_is_known();
    let user = iss_sub("https://id.example", "u");
    let of = |user: &Value, application: &Value, critical: &[&str]| {
        let value = json!({"format": "complex", "user": user, "application": application});
        let found = names(&value, &issuer, critical);
        let about_account = Subject::read(&value).unwrap();
        let critical: Vec<_> = critical.iter().map(|name| (*name).to_owned()).collect();
        let about_account = account(&about_account, &issuer, &critical);
        let kinds = |targets: Vec<Target>| targets.iter().map(|it| it.kind).collect::<Vec<_>>();
        let of_account = about_account.map(kinds).map_err(|refusal| refusal.code);
        let kinds = |found: &[(Kind, String)]| found.iter().map(|it| it.0).collect::<Vec<_>>();
        assert_eq!(
            found.as_deref().map(kinds).map_err(|code| *code),
            of_account
        );
        found
    };
    let client = json!({"format": "oauth_client", "client_id": "web"});
    let both = Ok(vec![(Kind::SubjectAndClient, "web=u".to_owned())]);
    for application in [opaque("web"), client.clone()] {
        assert_eq!(of(&user, &application, &["application"]), both);
        // What may be ignored need not be what tokens call the client.
        let whole = Ok(vec![(Kind::Subject, "u".to_owned())]);
        assert_eq!(of(&user, &application, &["user"]), whole);
    }
    let email = json!({"format": "email", "email": "a@b"});
    for (user, application) in [
        // No name that tokens have is a claim and a client.
        (&email, &client),
        (&user, &email),
        (&user, &json!({"format": "x"})),
    ] {
        let refused = of(user, application, &["application"]);
        assert_eq!(refused, Err(Code::SubjectCritical), "{user} {application}");
    }
}

/// Or one user's event would cut off all users of the client.
#[test]
fn a_client_is_named_as_an_application_and_as_nothing_else() {
    let issuer = everything_is_known();
    let client = json!({"format": "oauth_client", "client_id": "web"});
    let complex = |member: &str| json!({"format": "complex", member: client});
    let named = names(&complex("application"), &issuer, &[]);
    assert_eq!(named, Ok(vec![(Kind::Client, "web".to_owned())]));
    for member in ["user", "session", "device", "tenant", "org_unit", "group"] {
        assert!(names(&complex(member), &issuer, &[]).is_err(), "{member}");
    }
    let aliases = |all: &[&Value]| json!({"format": "aliases", "identifiers": all});
    let alone = names(&aliases(&[&client]), &issuer, &[]);
    assert_eq!(alone, Err(Code::SubjectFormatUnknown));
    let user = iss_sub("https://id.example", "a");
    let beside = names(&aliases(&[&client, &user]), &issuer, &[]);
    assert_eq!(beside, Ok(vec![(Kind::Subject, "a".to_owned())]));
    for value in [&client, &complex("user")] {
        let subject = Subject::read(value).unwrap();
        assert!(account(&subject, &issuer, &[]).is_err(), "{value}");
    }
}

#[test]
fn an_event_about_an_account_means_its_user_however_narrow_the_rest_is() {
    let issuer = everything_is_known();
    let user = iss_sub("https://id.example", "a");
    let both = json!({"format": "complex", "user": user, "session": opaque("s")});
    let session = json!({"format": "complex", "session": opaque("s")});
    let named = |value: &Value| {
        let subject = Subject::read(value).unwrap();
        let targets = account(&subject, &issuer, &[]).unwrap().into_iter();
        let names = targets.map(|target| (target.kind, target.value));
        names.collect::<Vec<_>>()
    };
    assert_eq!(named(&both), [(Kind::Subject, "a".to_owned())]);
    assert_eq!(named(&user), [(Kind::Subject, "a".to_owned())]);
    assert_eq!(named(&session), [(Kind::Session, "s".to_owned())]);
    let subject = Subject::read(&both).unwrap();
    let refused = account(&subject, &issuer, &["session".to_owned()]).unwrap_err();
    assert_eq!(refused.code, Code::SubjectCritical, "it is not all of it");
}

#[test]
fn what_names_a_user_or_a_token_is_no_device_and_no_session() {
    let issuer = everything_is_known();
    for identifier in [
        json!({"format": "jwt_id", "iss": "https://id.example", "jti": "1"}),
        json!({"format": "email", "email": "a@example.com"}),
        json!({"format": "phone_number", "phone_number": "+15550100"}),
    ] {
        let subject = Subject::read(&identifier).unwrap();
        let refused = device(&subject, &issuer, &[]).unwrap_err();
        assert_eq!(refused.code, Code::SubjectFormatUnknown, "{identifier}");
        let session = json!({"format": "complex", "session": identifier});
        let refused = names(&session, &issuer, &[]).unwrap_err();
        assert_eq!(refused, Code::SubjectFormatUnknown, "{identifier}");
    }
    let device_of = |value: &Value| {
        let subject = Subject::read(value).unwrap();
        let targets = device(&subject, &issuer, &[]);
        targets
            .map(|targets| targets.len())
            .map_err(|refusal| refusal.code)
    };
    assert_eq!(device_of(&opaque("d")), Ok(1));
    // The example of CAEP 1.0 names a device so, in its member.
    let user = iss_sub("https://id.example", "a");
    assert_eq!(device_of(&user), Err(Code::SubjectFormatUnknown));
    assert_eq!(
        device_of(&json!({"format": "complex", "device": user})),
        Ok(1)
    );
}
