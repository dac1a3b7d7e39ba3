//! The configurations that both filters are given, with keys of `jwt_authn` only.

use serde_json::{Value, json};

use super::{Requests, Trial, keys, query, requests, requirements, tokens};
use crate::support::{AUDIENCE, ISSUER, jwks};

pub(super) fn all() -> Vec<Trial> {
    let trial = |name, configuration, requests: fn() -> Requests| Trial {
        name,
        configuration,
        requests,
    };
    vec![
        trial("rules", usual(json!({})), requests::for_rules),
        trial("tokens", usual(json!({})), tokens::usual),
        trial("strictness", usual(json!({})), tokens::odd),
        trial("hosts", hosts(), requests::for_hosts),
        trial("patterns", patterns(), requests::for_patterns),
        trial(
            "default location",
            usual(json!({})),
            requests::at_the_default_location,
        ),
        trial(
            "named locations",
            named_locations(),
            requests::at_named_locations,
        ),
        trial("claims", claims(), requests::with_claims),
        trial("spoofing", claims(), requests::with_spoofed_headers),
        trial("unbound", unbound(), tokens::of_any_issuer),
        trial(
            "no skew",
            usual(json!({"clock_skew_seconds": 0})),
            tokens::at_the_edge_of_time,
        ),
        trial(
            "short lives",
            usual(json!({"max_lifetime": "1800s", "require_expiration": false})),
            tokens::of_several_lives,
        ),
        trial("two providers", two_providers(), requests::of_two_providers),
        trial("kinds of keys", keys::configuration(), keys::requests),
        trial(
            "a nameless key",
            keys::with_a_nameless_key(),
            keys::for_a_nameless_key,
        ),
        trial(
            "more keys than 256",
            keys::more_than_256(),
            keys::of_the_last,
        ),
        trial(
            "odd members of keys",
            keys::with_odd_members(),
            keys::for_odd_members,
        ),
        trial(
            "odd spellings in keys",
            keys::with_odd_spellings(),
            keys::for_odd_spellings,
        ),
        trial("certificates", keys::certificates(), keys::of_certificates),
        trial("ids of keys", keys::with_odd_ids(), keys::for_odd_ids),
        trial(
            "nine keys of an algorithm",
            keys::nine_of_an_algorithm(),
            keys::without_a_name,
        ),
        trial("no server of keys", no_server_of_keys(), requests::of_one),
        trial("as people write it", as_people_write_it(), requests::of_one),
        trial("parameters", query::configuration(), query::requests),
        trial(
            "an optional bearer",
            requirements::optional_bearer(),
            requirements::for_an_optional_bearer,
        ),
        trial(
            "optional tokens",
            requirements::optional(),
            requirements::for_optional,
        ),
        trial(
            "lists of requirements",
            requirements::lists(),
            requirements::for_lists,
        ),
        trial(
            "one issuer",
            requirements::one_issuer(),
            requirements::for_one_issuer,
        ),
        trial(
            "subjects",
            usual(json!({"subjects": {"exact": "bob"}})),
            requests::of_one,
        ),
        trial("routes", claims(), requests::for_routes),
        trial("no path", usual(json!({})), requests::without_a_path),
        trial(
            "filter state",
            requirements::by_filter_state(),
            requirements::for_filter_state,
        ),
    ]
}

/// Configurations that are refused although `jwt_authn` takes them, with their faults, in the order
/// of the deviations.
pub(super) fn refused() -> [(&'static str, Value, &'static str); 9] {
    let mut template = usual(json!({}));
    template["rules"][3]["match"] = json!({"path_match_policy": {
        "name": "envoy.path.match.uri_template.uri_template_matcher",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.path.match.uri_template.v3\
                      .UriTemplateMatchConfig",
            "path_template": "/api/{name}",
        },
    }});
    let header = |name: &str| json!([{"header_name": name, "claim_name": "sub"}]);
    let mut null = usual(json!({}));
    null["rules"][3]["requires"] = json!({"provider_name": null});
    let mut empty = usual(json!({}));
    empty["rules"][3]["match"]["case_sensitive"] = json!({});
    [
        (
            "no providers",
            json!({"providers": {}}),
            "providers: expected at least one provider",
        ),
        (
            "a claim in a header of tokens",
            usual(
                json!({"from_headers": [{"name": "x-user"}], "claim_to_headers": header("x-user")}),
            ),
            "`x-user` is where provider `demo` looks for tokens, so no claim can go there",
        ),
        (
            "a claim in a reserved header",
            usual(json!({"claim_to_headers": header("content-length")})),
            "`content-length` carries the request itself and cannot hold a claim",
        ),
        (
            "a token in a reserved header",
            usual(json!({"from_headers": [{"name": "Host"}]})),
            "`host` carries the request itself and cannot hold a token",
        ),
        (
            "a URI template",
            template,
            "URI templates are not supported; hint: `safe_regex`",
        ),
        (
            "null in place of a provider's name",
            null,
            "rules[3].requires.provider_name: expected a string, found `null`",
        ),
        (
            "a key in both spellings",
            usual(json!({"from_params": ["a"], "fromParams": ["b"]})),
            "providers.demo.fromParams: is `from_params` too, which is here as well",
        ),
        (
            "a list in a list",
            usual(json!({"from_params": [["token"]]})),
            "providers.demo.from_params[0]: expected a string, found a list",
        ),
        (
            "an empty wrapper",
            empty,
            "rules[3].match.case_sensitive: expected `true` or `false`, found an object",
        ),
    ]
}

/// One provider with the usual issuer, audience and keys, and with these keys besides.
pub(super) fn usual(more: Value) -> Value {
    let mut provider = json!({
        "issuer": ISSUER,
        "audiences": [AUDIENCE, "https://orders.example/"],
        "local_jwks": {"inline_string": jwks(&["rs256", "es256", "eddsa"])},
    });
    let Value::Object(more) = more else {
        panic!("expected an object, found {more}");
    };
    provider.as_object_mut().unwrap().extend(more);
    json!({
        "providers": {"demo": provider},
        "rules": [
            {"match": {"prefix": "/public"}},
            {"match": {"path": "/exact"}, "requires": {"provider_name": "demo"}},
            {"match": {"prefix": "/empty"}, "requires": {}},
            {"match": {"prefix": "/api"}, "requires": {"provider_name": "demo"}},
        ],
    })
}

fn patterns() -> Value {
    let mut configuration = usual(json!({}));
    let regex = |pattern: &str| json!({"safe_regex": {"regex": pattern}});
    let kind = json!([{"name": "x-kind", "string_match": regex(".*b.*")}]);
    configuration["rules"] = json!([
        {"match": regex("/files/.*a.*"), "requires": {"provider_name": "demo"}},
        {"match": {"prefix": "/kinds", "headers": kind}, "requires": {"provider_name": "demo"}},
        {"match": {"prefix": "/"}},
    ]);
    configuration
}

/// One host is guarded, in each of the ways to say so, and everything else is open.
fn hosts() -> Value {
    let mut configuration = usual(json!({}));
    let exact = |name: &str| json!({"name": name, "string_match": {"exact": "admin.example"}});
    let mut not_open = json!({"name": "host", "string_match": {"prefix": "open."}});
    not_open["invert_match"] = true.into();
    let mut or_absent = not_open.clone();
    or_absent["treat_missing_header_as_empty"] = true.into();
    let rules = [
        ("/host", exact("host")),
        ("/capitals", exact("Host")),
        ("/authority", exact(":authority")),
        ("/inverted", not_open),
        ("/inverted-or-absent", or_absent),
        ("/present", json!({"name": "host"})),
        ("/absent", json!({"name": "host", "present_match": false})),
        (
            "/deprecated",
            json!({"name": "host", "suffix_match": "n.example"}),
        ),
    ];
    let guarded = rules.map(|(path, header)| {
        let matches = json!({"path": path, "headers": [header]});
        json!({"match": matches, "requires": {"provider_name": "demo"}})
    });
    let open = json!({"match": {"prefix": "/"}});
    configuration["rules"] = guarded.into_iter().chain([open]).collect();
    configuration
}

fn no_server_of_keys() -> Value {
    let uri = json!({"uri": "https://idp.example/jwks", "cluster": "nowhere", "timeout": "1s"});
    let mut configuration = usual(json!({"remote_jwks": {"http_uri": uri}}));
    let provider = configuration["providers"]["demo"].as_object_mut().unwrap();
    provider.remove("local_jwks");
    configuration
}

/// Spellings of public configurations, and of Envoy's own documentation.
fn as_people_write_it() -> Value {
    json!({
        "providers": {
            "demo": {
                "issuer": ISSUER,
                "audiences": AUDIENCE,
                "localJwks": {"inlineString": jwks(&["es256"])},
                "fromHeaders": {"name": "Authorization", "valuePrefix": "Bearer "},
                "from_params": "token",
                "clock_skew_seconds": "30",
                "forward": "true",
                "forward_payload_header": "",
                "max_lifetime": {"seconds": "86400"},
            },
            "other": {
                "issuer": "",
                "remote_jwks": {
                    "http_uri": {
                        "uri": "https://idp.example/jwks",
                        "cluster": "nowhere",
                        "timeout": {"seconds": 5, "nanos": 0},
                    },
                    "cacheDuration": {"seconds": 300},
                    "retryPolicy": {
                        "numRetries": {"value": 3},
                        "retryBackOff": {"baseInterval": {"nanos": 100_000_000}},
                    },
                },
            },
        },
        "rules": {
            "match": {"prefix": "/api", "caseSensitive": {"value": true}},
            "requires": {"providerName": "demo"},
        },
        "stripFailureResponse": "false",
    })
}

fn named_locations() -> Value {
    usual(json!({"from_headers": [
        {"name": "X-Token"},
        {"name": "X-Prefixed", "value_prefix": "jwt="},
        {"name": "Authorization", "value_prefix": "Token "},
    ]}))
}

fn claims() -> Value {
    let header = |name: &str, claim: &str| json!({"header_name": name, "claim_name": claim});
    usual(json!({
        "forward": true,
        "claim_to_headers": [
            header("x-user", "sub"),
            header("X-Plan", "account.plan.name"),
            header("x-account", "account"),
            header("x-groups", "groups"),
            header("x-flag", "flag"),
            header("x-number", "number"),
        ],
    }))
}

/// A signature by any of the keys is enough.
fn unbound() -> Value {
    json!({
        "providers": {
            "demo": {
                "local_jwks": {"inline_string": jwks(&["es256"])},
                "clock_skew_seconds": 300,
            },
        },
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "demo"}}],
    })
}

fn two_providers() -> Value {
    let provider = |issuer: &str, key: &str, header: &str| {
        json!({
            "issuer": issuer,
            "local_jwks": {"inline_string": jwks(&[key])},
            "claim_to_headers": [{"header_name": header, "claim_name": "sub"}],
        })
    };
    json!({
        "providers": {
            "first": provider("https://first.example", "es256", "x-first"),
            "second": provider("https://second.example", "rs256", "x-second"),
        },
        "rules": [
            {"match": {"prefix": "/first"}, "requires": {"provider_name": "first"}},
            {"match": {"prefix": "/second"}, "requires": {"provider_name": "second"}},
            {"match": {"prefix": "/"}},
        ],
    })
}
