use super::*;

fn header(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

fn basic(pair: &str) -> HeaderValue {
    header(&format!("Basic {}", STANDARD.encode(pair)))
}

fn read(body: &str, authorization: &[HeaderValue]) -> Result<Asked, Code> {
    Asked::read(body.as_bytes(), authorization).map_err(|refusal| refusal.code)
}

/// The client that was named, with whether its secret is this one.
fn named(asked: Asked, secret: &str) -> (String, bool) {
    let expected = format!("{asked:?}");
    assert_eq!(expected, "Asked(…)");
    match asked.credentials {
        Credentials::Secret {
            client_id,
            secret: found,
        } => (client_id, found.is(Presented::new(secret.as_bytes()))),
        Credentials::Assertion { .. } => panic!("an assertion"),
    }
}

#[test]
fn a_secret_is_found_in_the_header_or_in_the_form() {
    for (body, authorization) in [
        ("token=t", vec![basic("web:s3cret")]),
        ("token=t&client_id=web", vec![basic("web:s3cret")]),
        ("token=t", vec![basic("w%65b:s%33cret")]),
        ("token=t&client_id=web&client_secret=s3cret", vec![]),
        ("client_secret=s%33cret&client_id=web&x=1&token=t", vec![]),
        ("token=t&client_secret=", vec![basic("web:s3cret")]),
        (
            "token=t&token_type_hint=any&token_type_hint=",
            vec![basic("web:s3cret")],
        ),
    ] {
        let asked = read(body, &authorization).unwrap();
        assert_eq!(asked.token, "t", "{body}");
        assert_eq!(named(asked, "s3cret"), ("web".to_owned(), true), "{body}");
    }
    // Of what is encoded, all is decoded; a colon belongs to the secret.
    let asked = read("token=t", &[basic("a%3Ab:c:d+e%25")]).unwrap();
    assert_eq!(named(asked, "c:d e%"), ("a:b".to_owned(), true));
    let asked = read(
        "token=t",
        &[header(
            &basic("w:s").to_str().unwrap().replace("Basic", "bAsIc"),
        )],
    );
    assert_eq!(named(asked.unwrap(), "s"), ("w".to_owned(), true));
}

#[test]
fn an_assertion_is_found_with_its_type_alone() {
    let kind =
        "client_assertion_type=urn%3Aietf%3Aparams%3Aoauth%3Aclient-assertion-type%3Ajwt-bearer";
    let body = format!("token=t&client_assertion=a.b.c&{kind}&client_id=web");
    let Credentials::Assertion {
        client_id,
        assertion,
    } = read(&body, &[]).unwrap().credentials
    else {
        panic!("no assertion");
    };
    assert_eq!(
        (client_id.as_deref(), assertion.0.as_str()),
        (Some("web"), "a.b.c")
    );
    assert_eq!(format!("{assertion:?}"), "Assertion(…)");
    for body in [
        format!("token=t&{kind}"),
        "token=t&client_assertion=a.b.c".to_owned(),
        "token=t&client_assertion=a.b.c&client_assertion_type=saml2".to_owned(),
    ] {
        assert_eq!(read(&body, &[]).unwrap_err(), Code::ClientRefused, "{body}");
    }
}

#[test]
fn a_request_that_is_not_in_order_is_told_why() {
    let web = || vec![basic("web:s3cret")];
    for (body, authorization, expected) in [
        ("token=t", vec![], Code::ClientMissing),
        ("token=t&client_id=web", vec![], Code::ClientMissing),
        ("token=t&client_secret=s", vec![], Code::ClientMissing),
        ("", web(), Code::ParameterMissing),
        ("token=", web(), Code::ParameterMissing),
        ("token=t&token=t", web(), Code::ParameterRepeated),
        ("token=&t%6Fken=t", web(), Code::ParameterRepeated),
        (
            "token=t&client_id=a&client_id=a&client_secret=s",
            vec![],
            Code::ParameterRepeated,
        ),
        ("token=%zz", web(), Code::BodyInvalid),
        ("token=%ff", web(), Code::BodyInvalid),
        (
            "token=t&client_id=web&client_secret=s",
            web(),
            Code::MethodsMixed,
        ),
        ("token=t&client_assertion=a", web(), Code::MethodsMixed),
        (
            "token=t&client_secret=s&client_assertion=a&client_id=w",
            vec![],
            Code::MethodsMixed,
        ),
        (
            "token=t",
            vec![basic("a:b"), basic("a:b")],
            Code::MethodsMixed,
        ),
        ("token=t&client_id=other", web(), Code::ClientRefused),
        ("token=t", vec![header("Bearer abc")], Code::ClientRefused),
        ("token=t", vec![header("Basic")], Code::ClientRefused),
        ("token=t", vec![header("Basic !")], Code::ClientRefused),
        ("token=t", vec![basic("web")], Code::ClientRefused),
        ("token=t", vec![basic(":s")], Code::ClientRefused),
        ("token=t", vec![basic("web:")], Code::ClientRefused),
        ("token=t", vec![basic("web:%zz")], Code::ClientRefused),
    ] {
        assert_eq!(read(body, &authorization).unwrap_err(), expected, "{body}");
    }
}
