//! Blanks in issuers and audiences.

use super::*;

#[test]
fn blanks_round_an_issuer_are_told() {
    let with = |issuer: &str| {
        let rules = json!([{"match": prefix("/"), "requires": token()}]);
        let mut configuration = configuration(rules, json!({}));
        configuration["providers"]["idp"]["issuer"] = json!(issuer);
        configuration
    };
    for issuer in [
        " https://a/",
        "https://a/ ",
        "https://a/\n",
        "\thttps://a/",
        "a\u{a0}",
    ] {
        let expected = "providers.idp.issuer: begins or ends with a blank or a line break";
        assert_finding(&with(issuer), expected);
    }
    assert_sound(&with("https://a/"));
    assert_sound(&with("of one company"));
}

#[test]
fn blanks_in_audiences_are_told_of_providers_and_of_requirements() {
    let rules = |requires: Value| json!([{"match": prefix("/"), "requires": requires}]);
    for (audiences, told) in [
        (json!([" api"]), 0),
        (json!(["api", "web "]), 1),
        (json!(["api web"]), 0),
        (json!(["api\n"]), 0),
        (json!("api web"), 0),
    ] {
        let mut of_provider = configuration(rules(token()), json!({}));
        of_provider["providers"]["idp"]["audiences"] = audiences.clone();
        let expected = format!("providers.idp.audiences[{told}]: has a blank in it");
        assert_finding(&of_provider, &expected);
        let own = json!({"provider_name": "idp", "audiences": audiences});
        let own = rules(json!({"requires_any": {"requirements": [
            token(), {"provider_and_audiences": own},
        ]}}));
        let expected = format!(
            "rules[0].requires.requires_any.requirements[1].provider_and_audiences.audiences[{told}]: \
             has a blank"
        );
        assert_finding(&configuration(own, json!({})), &expected);
    }
}
