use super::*;

/// A text is compared as a whole unless Istio splits it too.
#[test]
fn a_word_of_a_claim_is_not_the_claim() {
    let asked = |action: &str, key: &str, values: &str| {
        let rules = format!("[{{when: [{{key: '{key}', {values}}}]}}]");
        let more = ", spaceDelimitedClaims: [groups]";
        let outcome = Outcome::of(&(authentication(more) + &policy(action, &rules)));
        let rule = outcome.valid()["rules"].get(0).cloned();
        let claims = rule.map(|rule| rule["requires"]["claims"].clone());
        (claims, outcome.differences)
    };
    for (action, values) in [("ALLOW", "values: [root]"), ("DENY", "notValues: [root]")] {
        for (key, test, is_less) in [
            ("request.auth.claims[name]", "one_of", true),
            ("request.auth.claims[groups][scope]", "one_of", true),
            ("request.auth.audiences", "one_of", true),
            ("request.auth.claims[groups]", "contains", false),
            ("request.auth.claims[scope]", "contains", false),
            ("request.auth.presenter", "equals", false),
        ] {
            let (claims, differences) = asked(action, key, values);
            let expected = match test {
                "one_of" => json!(["root", ["root"]]),
                _ => json!("root"),
            };
            assert_eq!(claims.unwrap()[0][test], expected, "{action} {key}");
            assert_eq!(differences.len(), usize::from(is_less), "{differences:?}");
            let is_told = |told: &String| told.contains("lets less through than before where");
            assert!(differences.iter().all(is_told), "{differences:?}");
        }
    }
    // An empty list is there, but has no value.
    let (claims, differences) = asked("ALLOW", "request.auth.claims[groups]", "values: ['*']");
    assert_eq!(claims, None);
    assert_eq!(differences.len(), 2, "{differences:?}");
    let (claims, differences) = asked("DENY", "request.auth.claims[groups]", "notValues: ['*']");
    assert_eq!(claims, None);
    assert_eq!(differences.len(), 2, "{differences:?}");
}

#[test]
fn a_principal_is_an_issuer_of_these_a_slash_and_a_subject() {
    let second =
        "{issuer: 'https://a.example/t', jwks: '{\"keys\": []}', fromHeaders: [{name: x-second}]}";
    let both = authentication("").replace("}]}]}\n", &format!("}}]}}, {second}]}}\n"));
    let there = json!({"present": true});
    let is = |subject: &str| json!({"equals": subject});
    let one = |provider: &str, test: &Value| {
        let mut claim = test.clone();
        claim["claim_name"] = json!("sub");
        json!({"provider_name": provider, "claims": [claim]})
    };
    let (a, t) = ("a-example", "a-example-t");
    for (principal, expected) in [
        ("*", vec![one(a, &there), one(t, &there)]),
        ("https://a.example/auth0/123", vec![]),
        ("https://a.example/t/123", vec![one(t, &is("123"))]),
        ("https://a.example/t", vec![one(a, &is("t"))]),
        ("https://a.example", vec![]),
        ("https://b.example/123", vec![]),
        ("https://a.ex*", vec![]),
        ("https:*", vec![one(a, &there), one(t, &there)]),
        ("https://a.example/*", vec![one(a, &there)]),
        ("https://b*", vec![]),
        ("*/auth0/123", vec![]),
        ("*/123", vec![one(a, &is("123")), one(t, &is("123"))]),
        ("*.example/t/1", vec![one(t, &is("1"))]),
    ] {
        let rules = format!("[{{from: [{{source: {{requestPrincipals: ['{principal}']}}}}]}}]");
        let outcome = Outcome::of(&(both.clone() + &policy("ALLOW", &rules)));
        outcome.differs_only_in(&[]);
        let rules = outcome.one()["rules"].as_array().unwrap();
        let requires = rules.first().map(|rule| rule["requires"].clone());
        let told = json!(expected).to_string();
        let expected = match expected.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            _ => Some(any(&expected.into())),
        };
        assert_eq!(requires, expected, "{principal}");
        for (part, is_told) in [
            ("an empty `sub`", told.contains("present")),
            ("it matches no token", told == "[]"),
            ("before 1.21", principal.starts_with("*/")),
        ] {
            assert_eq!(outcome.notes(part), is_told, "{principal}: {part}");
        }
    }
    // A pattern for subjects lets no request through.
    for principal in ["https://a.example/adm*", "*123"] {
        let rules = format!("[{{from: [{{source: {{requestPrincipals: ['{principal}']}}}}]}}]");
        let outcome = Outcome::of(&(both.clone() + &policy("ALLOW", &rules)));
        assert_eq!(outcome.one()["rules"], json!([]), "{principal}");
        assert_eq!(outcome.differences.len(), 2, "{:?}", outcome.differences);
    }
}
