//! Requirements that are made of others, and those that need no token.

use serde_json::{Value, json};

use super::Requests;
use super::requests::genuine;
use super::trials::usual;
use crate::support::{AUDIENCE, ISSUER, Request, Token, jwks};

fn provider(more: &Value) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE],
        "local_jwks": {"inline_string": jwks(&["es256"])},
    });
    for (key, value) in more.as_object().unwrap() {
        provider[key] = value.clone();
    }
    provider
}

fn rule(path: &str, requires: &Value) -> Value {
    json!({"match": {"path": path}, "requires": requires})
}

pub(super) fn optional() -> Value {
    let orders = json!({"provider_name": "demo", "audiences": ["orders"]});
    let orders = json!([{"provider_and_audiences": orders}, {"allow_missing": {}}]);
    let beside = json!([orders[0], {"provider_name": "other"}, {"allow_missing": {}}]);
    let either = json!([{"provider_name": "demo"}, {"allow_missing_or_failed": {}}]);
    json!({
        "providers": {
            "demo": provider(&json!({"from_headers": [{"name": "x-token"}]})),
            "other": provider(&json!({
                "issuer": "https://other.example",
                "from_headers": [{"name": "x-token"}],
            })),
        },
        "rules": [
            rule("/missing", &json!({"allow_missing": {}})),
            rule("/failed", &json!({"allow_missing_or_failed": {}})),
            rule("/orders", &json!({"requires_any": {"requirements": orders}})),
            rule("/beside", &json!({"requires_any": {"requirements": beside}})),
            rule("/either", &json!({"requires_any": {"requirements": either}})),
        ],
    })
}

pub(super) fn optional_bearer() -> Value {
    let mut configuration = usual(json!({}));
    configuration["rules"][3]["requires"] = json!({"allow_missing": {}});
    configuration
}

pub(super) fn for_an_optional_bearer() -> Requests {
    let token = genuine().to_string();
    let with = |value: String| Request::get("/api").header("authorization", value);
    vec![
        ("no token", Request::get("/api")),
        ("rubbish", with("Bearer abc".to_owned())),
        ("another scheme", with("Basic YTpi".to_owned())),
        ("the scheme alone", with("Bearer".to_owned())),
        ("a tab after the scheme", with(format!("Bearer\t{token}"))),
        ("nothing after the scheme", with(format!("Bearer{token}"))),
    ]
}

pub(super) fn for_optional() -> Requests {
    let with = |path, token: &str| Request::get(path).header("x-token", token);
    let token = genuine().to_string();
    vec![
        ("no token", Request::get("/missing")),
        ("a genuine token", with("/missing", &token)),
        ("rubbish", with("/missing", "abc")),
        ("an empty token", with("/missing", "")),
        ("rubbish that may fail", with("/failed", "abc")),
        ("no token in place of another", Request::get("/orders")),
        ("the audience of the provider", with("/orders", &token)),
        (
            "the audience of the provider, beside another",
            with("/beside", &token),
        ),
        (
            "the audience of the requirement",
            with("/orders", &genuine().claim("aud", "orders").to_string()),
        ),
        (
            "another audience",
            with("/orders", &genuine().claim("aud", "x").to_string()),
        ),
        ("rubbish in place of another", with("/either", "abc")),
    ]
}

/// One provider keeps the token and fills a header, the other takes the token out.
pub(super) fn lists() -> Value {
    let header = json!([{"header_name": "x-user", "claim_name": "sub"}]);
    let both = |one: &str, other: &str| {
        let list = json!([{"provider_name": one}, {"provider_name": other}]);
        json!({"requires_all": {"requirements": list}})
    };
    let failing = both("keeping", "foreign");
    let nested = json!([failing, {"provider_name": "taking"}]);
    json!({
        "providers": {
            "keeping": provider(&json!({"forward": true, "claim_to_headers": header})),
            "taking": provider(&json!({})),
            "foreign": provider(&json!({"issuer": "https://foreign.example"})),
        },
        "rules": [
            rule("/kept", &both("keeping", "keeping")),
            rule("/kept-then-taken", &both("keeping", "taking")),
            rule("/taken", &both("taking", "taking")),
            rule("/nested", &json!({"requires_any": {"requirements": nested}})),
        ],
    })
}

pub(super) fn for_lists() -> Requests {
    let get = |path| Request::get(path).bearer(genuine());
    vec![
        ("a token that is kept, twice", get("/kept")),
        (
            "a token that is kept, then taken out",
            get("/kept-then-taken"),
        ),
        ("a token that is taken out, twice", get("/taken")),
        ("an alternative that fails half way", get("/nested")),
    ]
}

/// Two providers of one issuer, each with its own key.
pub(super) fn one_issuer() -> Value {
    let of = |key: &str| provider(&json!({"local_jwks": {"inline_string": jwks(&[key])}}));
    json!({
        "providers": {"first": of("es256"), "second": of("rs256")},
        "rules": [rule("/", &json!({"allow_missing": {}}))],
    })
}

pub(super) fn for_one_issuer() -> Requests {
    let get = |key| Request::get("/").bearer(Token::signed_by(key));
    vec![
        ("of the first", get("es256")),
        ("of the second", get("rs256")),
    ]
}

/// What a filter before has put into the filter state decides where no rule matches.
pub(super) fn by_filter_state() -> Value {
    json!({
        "providers": {"demo": provider(&json!({}))},
        "rules": [rule("/open", &json!({}))],
        "filter_state_rules": {
            "name": "requirement",
            "requires": {"guarded": {"provider_name": "demo"}, "open": {}},
        },
    })
}

pub(super) fn for_filter_state() -> Requests {
    let with = |path, value: &str| Request::get(path).header("x-requirement", value);
    vec![
        ("a rule before the filter state", with("/open", "guarded")),
        ("a requirement without a token", with("/x", "guarded")),
        (
            "a requirement with a token",
            with("/x", "guarded").bearer(genuine()),
        ),
        ("an empty requirement", with("/x", "open")),
        ("no such requirement", with("/x", "another")),
        ("nothing in the filter state", Request::get("/x")),
    ]
}
