use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::*;
use crate::token::fixtures::{es256, es256_other, jwk_set, signed, token};

/// 2026-01-01T00:00:00Z.
const NOW: u64 = 1_767_225_600;

fn explained(token: &str, path: &str) -> (String, bool) {
    explained_with(token, path, &[], &json!({}))
}

fn explained_with(
    token: &str,
    path: &str,
    headers: &[(&str, &str)],
    provider: &Value,
) -> (String, bool) {
    let mut configuration = json!({
        "providers": {"idp": {
            "issuer": "https://issuer.example",
            "audiences": ["api"],
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [
            {"match": {"path": "/open"}},
            {"match": {"prefix": "/orders"}, "requires": {"provider_name": "idp"}},
        ],
        "session_headers": true,
    });
    let settings = configuration["providers"]["idp"].as_object_mut().unwrap();
    settings.extend(provider.as_object().unwrap().clone());
    explained_by(&configuration, token, path, headers)
}

fn explained_under(rules: &Value, headers: &[(&str, &str)]) -> (String, bool) {
    let keys = jwk_set(&[&es256()]);
    let configuration = json!({
        "providers": {"idp": {"issuer": "i", "local_jwks": {"inline_string": keys}}},
        "rules": rules,
    });
    explained_by(&configuration, "", "/", headers)
}

fn explained_by(
    configuration: &Value,
    token: &str,
    path: &str,
    headers: &[(&str, &str)],
) -> (String, bool) {
    let headers = headers.iter();
    let headers = headers.map(|(name, value)| Header {
        name: (*name).to_owned(),
        value: (*value).to_owned(),
    });
    let (output, _, passes) = run_with(configuration, token, path, headers.collect(), &[]);
    (output, passes)
}

/// A request without a token for `/`, under this configuration.
fn bare(file: &Path) -> Arguments {
    Arguments {
        file: file.to_owned(),
        token: None,
        path: "/".to_owned(),
        method: "GET".to_owned(),
        scheme: "https".to_owned(),
        headers: Vec::new(),
        route_name: None,
        client_certificate: None,
        properties: Vec::new(),
        key_sets: Vec::new(),
    }
}

/// What is explained, what is warned of, and how it comes out.
fn run_at(arguments: &Arguments) -> (String, String, Result<(), CommandError>) {
    let now = SystemTime::UNIX_EPOCH + std::time::Duration::from_secs(NOW);
    let (mut output, mut errors) = (Vec::new(), Vec::new());
    let outcome = run(arguments, now, &mut output, &mut errors);
    let told = |bytes| String::from_utf8(bytes).unwrap();
    (told(output), told(errors), outcome)
}

/// What is explained, what is warned of, and whether the request goes on.
fn run_with(
    configuration: &Value,
    token: &str,
    path: &str,
    headers: Vec<Header>,
    key_sets: &[KeySetFile],
) -> (String, String, bool) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.json");
    fs::write(&file, configuration.to_string()).unwrap();
    let (output, errors, outcome) = run_at(&Arguments {
        token: (!token.is_empty()).then(|| token.to_owned()),
        path: path.to_owned(),
        headers,
        key_sets: key_sets.to_vec(),
        ..bare(&file)
    });
    (output, errors, outcome.is_ok())
}

fn claims(expiry: u64) -> Value {
    json!({
        "iss": "https://issuer.example", "aud": "api", "sub": "alice", "exp": expiry,
    })
}

#[test]
fn each_step_is_told_up_to_the_one_that_refuses() {
    let (output, passes) = explained(&token(&es256(), &claims(NOW - 3600)), "/orders");
    assert!(!passes);
    assert_eq!(
        output.lines().take(10).collect::<Vec<_>>(),
        [
            "rule       rules[1] (line 1) matches: {\"prefix\":\"/orders\"}, asks for \
             {\"provider_name\":\"idp\"}",
            "provider   idp",
            "  ok       there is one token where the provider's come in",
            &format!(
                "  ok       it is a well-formed token: `alg` is \"ES256\", `kid` is {:?}",
                es256().key_id().unwrap()
            ),
            "  ok       it is this issuer's: `iss` is \"https://issuer.example\", \
             `issuer` is \"https://issuer.example\"",
            "  ok       the provider's keys are there",
            &format!(
                "  ok       one of them made the signature: `alg` is \"ES256\", `kid` is {:?}",
                es256().key_id().unwrap()
            ),
            "  ok       it is for access: no `typ`",
            "  NO       its times are right: token_expired: `exp` 1h ago, no `nbf`, no `iat`, \
             `clock_skew_seconds` is not set",
            "verdict    refused with 401",
        ]
    );
}

#[test]
fn what_a_status_list_says_is_told_to_be_unknown_here() {
    let mut claims = claims(NOW + 60);
    let (output, _) = explained(&token(&es256(), &claims), "/orders");
    assert!(!output.contains("status list"), "{output}");
    let list = json!({"uri": "https://issuer.example/lists/1", "idx": 7});
    claims["status"] = json!({ "status_list": list });
    let token = token(&es256(), &claims);
    let line =
        "  ?        what entry 7 of the status list https://issuer.example/lists/1 says of it ";
    let (output, passes) = explained(&token, "/orders");
    assert!(passes);
    let told = format!("{line}does not count, since `status_list` is not `honour`\n");
    assert!(output.contains(&told), "{output}");
    let mut configuration = json!({
        "providers": {"idp": {
            "issuer": "https://issuer.example", "audiences": ["api"], "status_list": "honour",
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    configuration["revocation"] = json!({
        "cluster": "authority", "credential": {"inline_string": "edge"},
        "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
    });
    let (output, _) = explained_by(&configuration, &token, "/", &[]);
    let told = format!("{line}counts, and is not known here; `portcullis check --token` asks");
    assert!(output.contains(&told), "{output}");
}

#[test]
fn a_request_that_goes_on_shows_what_the_upstream_gets() {
    let (output, passes) = explained(&token(&es256(), &claims(NOW + 60)), "/orders");
    assert!(passes);
    assert!(
        output.contains("verdict    goes on to the upstream\n"),
        "{output}"
    );
    assert!(output.contains("+ x-session-subject: alice\n"), "{output}");
    assert!(output.contains("- authorization\n"), "{output}");
}

/// All that is known of it without a feed: a token that could not be revoked is refused, as by the
/// filter.
#[test]
fn what_revocation_asks_of_a_token_is_explained() {
    let mut configuration = json!({
        "providers": {"idp": {"local_jwks": {"inline_string": jwk_set(&[&es256()])}}},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
        "revocation": {
            "cluster": "authority",
            "credential": {"inline_string": "edge"},
            "public_keys": ["11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"],
        },
    });
    let explained = |configuration: &Value, claims: &Value| {
        let token = token(&es256(), claims);
        let (output, _, passes) = run_with(configuration, &token, "/", Vec::new(), &[]);
        assert!(output.contains("`portcullis check` asks"), "{output}");
        assert!(!output.contains("ok       it could be revoked"), "{output}");
        (output, passes)
    };
    let mut unnamed = claims(NOW + 60);
    assert!(explained(&configuration, &unnamed).1);
    unnamed["sid"] = json!(7);
    let (output, passes) = explained(&configuration, &unnamed);
    assert!(!passes);
    let line = "  NO       it could be revoked: token_unnamed\n";
    assert!(output.contains(line), "{output}");
    configuration["revocation"]["on_unnamed"] = json!("allow");
    assert!(explained(&configuration, &unnamed).1);

    let mut ahead = claims(NOW + 600);
    ahead["iat"] = json!(NOW + 61);
    let (output, passes) = explained(&configuration, &ahead);
    assert!(!passes);
    assert!(output.contains("token_issued_ahead"), "{output}");
}

#[test]
fn the_token_is_never_shown() {
    for (token, path) in [
        (token(&es256(), &claims(NOW + 60)), "/orders"),
        (token(&es256_other(), &claims(NOW + 60)), "/orders"),
        (token(&es256(), &claims(NOW + 60)), "/elsewhere"),
        ("notatoken.atall.whatever".to_owned(), "/orders"),
    ] {
        let (output, _) = explained(&token, path);
        for part in token.split('.') {
            assert!(part.len() < 8 || !output.contains(part), "{output}");
        }
    }
}

#[test]
fn no_copy_of_a_token_is_shown() {
    let token = token(&es256(), &claims(NOW + 60));
    let everywhere = json!({
        "from_headers": [{"name": "authorization", "value_prefix": "Bearer "}, {"name": "x-token"}],
        "from_params": ["token"],
        "from_cookies": ["token"],
        "forward_payload_header": "x-payload",
        "pad_forward_payload_header": true,
    });
    let path = format!("/orders?token={token}&copy={token}");
    let cookies = format!("token={token}; copy={token}; theme=dark");
    for typed in [&*token, ""] {
        let headers = [("cookie", &*cookies), ("x-token", &token)];
        let (output, passes) = explained_with(typed, &path, &headers, &everywhere);
        assert!(passes, "{output}");
        for shown in ["+ x-payload: ", "+ :path: /orders?copy=", "theme=dark"] {
            assert!(output.contains(shown), "{output}");
        }
        for part in token.split('.') {
            assert!(!output.contains(part), "{output}");
        }
    }
}

/// What the filter does in Envoy, which keeps `Host` as `:authority`.
#[test]
fn a_rule_for_a_host_decides_as_it_does_in_envoy() {
    let host = |name: &str| json!([{"name": name, "string_match": {"exact": "admin.example"}}]);
    for name in ["host", "Host", ":authority"] {
        let rules = json!([
            {"match": {"prefix": "/", "headers": host(name)}, "requires": {"provider_name": "idp"}},
            {"match": {"prefix": "/", "headers": [
                {"name": ":scheme", "string_match": {"exact": "https"}},
            ]}},
        ]);
        let to = |headers: &[(&str, &str)]| explained_under(&rules, headers);
        let (output, passes) = to(&[("host", "admin.example")]);
        assert!(
            !passes && output.contains("rules[0] (line 1) matches"),
            "{output}"
        );
        for headers in [&[("host", "api.example")][..], &[]] {
            let (output, passes) = to(headers);
            assert!(
                passes && output.contains("rules[1] (line 1) matches"),
                "{output}"
            );
        }
    }
}

#[test]
fn keys_in_a_variable_that_is_not_set_here_are_missing_and_can_be_given() {
    let configuration = json!({
        "providers": {"idp": {
            "local_jwks": {"environment_variable": "PORTCULLIS_TEST_NOT_SET"},
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    let token = token(&es256(), &claims(NOW + 60));
    let explained = |key_sets: &[KeySetFile]| {
        let headers = Vec::new();
        run_with(&configuration, &token, "/orders", headers, key_sets)
    };
    let (output, warnings, passes) = explained(&[]);
    assert!(!passes);
    assert!(output.contains("keys_unavailable"), "{output}");
    assert!(
        output.contains("hint: `--jwks idp=FILE` gives them"),
        "{output}"
    );
    assert!(
        warnings.starts_with(
            "warning: providers.idp.local_jwks.environment_variable: `PORTCULLIS_TEST_NOT_SET` "
        ),
        "{warnings}"
    );
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("jwks.json");
    fs::write(&file, jwk_set(&[&es256()])).unwrap();
    let provider = "idp".to_owned();
    let (output, _, passes) = explained(&[KeySetFile { provider, file }]);
    assert!(passes, "{output}");
}

#[test]
fn a_token_may_be_pasted_as_it_was_copied_and_come_in_any_header() {
    let token = token(&es256(), &claims(NOW + 60));
    let (plain, passes) = explained(&token, "/orders");
    assert!(passes, "{plain}");
    for pasted in [
        format!("Bearer {token}"),
        format!(" bearer  {token}\n"),
        format!("Authorization: Bearer {token}"),
        format!("\"{token}\""),
        format!("'authorization: bearer {token}'"),
    ] {
        assert_eq!(explained(&pasted, "/orders"), (plain.clone(), true));
    }
    let value = format!("Bearer {token}");
    let headers = [
        ("authorization", &*value),
        (":path", "/orders"),
        (":method", "POST"),
    ];
    let (output, passes) = explained_with("", "/open", &headers, &json!({}));
    assert_eq!((output, passes), (plain, true));
}

#[test]
fn what_decides_is_named_with_its_line_and_path() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("gate.yaml");
    let keys = jwk_set(&[&es256()]);
    let text = format!(
        "providers: {{idp: {{local_jwks: {{inline_string: '{keys}'}}}}}}\nrules:\n- match: {{path: \
         /a}}\n- match:\n    prefix: /\n  requirement_name: named\nrequirement_map: {{named: \
         {{provider_name: idp}}, open: {{}}}}\nrequirement_by_route_name: {{front: open}}\n"
    );
    fs::write(&file, text).unwrap();
    let explained = |path: &str, route: Option<&str>| {
        let (output, ..) = run_at(&Arguments {
            path: path.to_owned(),
            route_name: route.map(str::to_owned),
            ..bare(&file)
        });
        output.lines().next().unwrap().to_owned()
    };
    let rule = "rule       rules[0] (line 3) matches: {\"path\":\"/a\"}, asks for nothing";
    assert_eq!(explained("/a", None), rule);
    let rule = "rule       rules[1] (line 4) matches: {\"prefix\":\"/\"}, asks for `named` of \
                `requirement_map`";
    assert_eq!(explained("/b", None), rule);
    let rule = "rule       the route `front` chooses `open` of `requirement_map`";
    assert_eq!(explained("/b", Some("front")), rule);
}

#[test]
fn arguments_are_pairs() {
    assert_eq!(
        "X-A: b:c".parse(),
        Ok(Header {
            name: "x-a".into(),
            value: "b:c".into()
        })
    );
    let path = Header {
        name: ":path".into(),
        value: "/a:b".into(),
    };
    assert_eq!(":path: /a:b".parse(), Ok(path));
    for wrong in ["x-a", ":", ": x", ":status: 200", "::path: x"] {
        assert!(wrong.parse::<Header>().is_err(), "{wrong}");
    }
    assert!("idp".parse::<KeySetFile>().is_err());
}

#[test]
fn what_is_asked_of_a_sign_in_is_shown_where_it_is_asked() {
    let explained = |asked: &Value, claims: &Value| {
        let mut requires = json!({"provider_name": "idp"});
        let members = requires.as_object_mut().unwrap();
        members.extend(asked.as_object().unwrap().clone());
        let configuration = json!({
            "providers": {"idp": {
                "issuer": "https://issuer.example",
                "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            }},
            "rules": [{"match": {"prefix": "/"}, "requires": requires}],
        });
        let mut whole = json!({"iss": "https://issuer.example", "exp": NOW + 300});
        let members = whole.as_object_mut().unwrap();
        members.extend(claims.as_object().unwrap().clone());
        explained_by(&configuration, &token(&es256(), &whole), "/", &[])
    };
    let (output, passes) = explained(&json!({}), &json!({"acr": "gold", "auth_time": NOW}));
    assert!(passes && !output.contains("signed in"), "{output}");
    let strong = json!({"acr_values": ["gold"]});
    let (output, passes) = explained(&strong, &json!({"acr": "silver"}));
    let line = "  NO       its user has signed in strongly enough: authentication_too_weak: `acr` is \"silver\", no `amr`\n";
    assert!(!passes && output.contains(line), "{output}");
    assert!(!output.contains("lately enough"), "{output}");
    let recent = json!({"max_authentication_age": "300s"});
    for (auth_time, shown) in [
        (json!(NOW - 7200), "`auth_time` 2h ago"),
        (json!("yesterday"), "`auth_time` is \"yesterday\""),
        (Value::Null, "`auth_time` is null"),
    ] {
        let (output, passes) = explained(&recent, &json!({ "auth_time": auth_time }));
        let line = "  NO       its user has signed in lately enough: authentication_too_old: ";
        assert!(!passes && output.contains(line), "{output}");
        assert!(output.contains(shown), "{shown}: {output}");
        assert!(!output.contains("strongly enough"), "{output}");
    }
}

/// Of a client, signed by itself, and its thumbprint as `openssl` tells it.
const CERTIFICATE: &str = "\
-----BEGIN CERTIFICATE-----\n\
MIIBdzCCAR2gAwIBAgIUWsKV2rKVhwgSzVZTbUWep5R7mHwwCgYIKoZIzj0EAwIw\n\
EDEOMAwGA1UEAwwFcGhvbmUwIBcNMjYxMTMwMjMwMDExWhgPMjEyNjExMDYyMzAw\n\
MTFaMBAxDjAMBgNVBAMMBXBob25lMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n\
kQtcsKC+/MpsOvIOZ4qKZYHWsrBI4lxL6oWdq/+Xuq/FOM3C+Hq2UxnDnrROEQvq\n\
5QG3pmTovtISFaRWpbr1lKNTMFEwHQYDVR0OBBYEFB3i3kJpw5BSAR5c5jsOecit\n\
3sVEMB8GA1UdIwQYMBaAFB3i3kJpw5BSAR5c5jsOecit3sVEMA8GA1UdEwEB/wQF\n\
MAMBAf8wCgYIKoZIzj0EAwIDSAAwRQIhAMqSWAth7pTTIXMd/e7s4Ph+c4LBU87z\n\
SJu0hu/7ico2AiAm8bc+y4F5c6CTfXgwzrXY6yps30JB8rOauVBqqWYTlg==\n\
-----END CERTIFICATE-----\n\
";
const THUMBPRINT: &str = "VUaIabDpd9kOCyGyhR3Ek_T_g4Xg6qwowgiMuXGFA7M";

/// A configuration, in this directory, whose provider has this proof of possession verified.
fn written(directory: &Path, proof: &str) -> PathBuf {
    let file = directory.join("portcullis.json");
    let provider = json!({
        "issuer": "https://issuer.example",
        "local_jwks": {"inline_string": jwk_set(&[&es256()])},
        "proof_of_possession": {proof: {}},
    });
    let rules = json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}]);
    let configuration = json!({"providers": {"idp": provider}, "rules": rules});
    fs::write(&file, configuration.to_string()).unwrap();
    file
}

#[test]
fn a_token_that_is_bound_to_a_certificate_is_walked_with_the_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "mtls");
    let certificate = directory.path().join("client.pem");
    let bound = json!({
        "iss": "https://issuer.example", "exp": NOW + 300, "cnf": {"x5t#S256": THUMBPRINT},
    });
    let explained = |pem: Option<&str>| {
        if let Some(pem) = pem {
            fs::write(&certificate, pem).unwrap();
        }
        let (output, _, outcome) = run_at(&Arguments {
            token: Some(token(&es256(), &bound)),
            client_certificate: pem.map(|_| certificate.clone()),
            ..bare(&file)
        });
        (output, outcome)
    };
    let (output, outcome) = explained(Some(CERTIFICATE));
    assert!(outcome.is_ok(), "{output}");
    let (output, outcome) = explained(None);
    assert!(
        outcome.is_err() && output.contains("certificate_mismatch"),
        "{output}"
    );
    assert!(
        output.contains("hint: `--client-certificate FILE`"),
        "{output}"
    );
    let (_, outcome) = explained(Some("no certificate"));
    let told = outcome.unwrap_err().to_string();
    assert!(
        told.contains("client.pem: expected a certificate, PEM"),
        "{told}"
    );
}

#[test]
fn a_token_that_is_bound_to_a_key_is_walked_with_its_proof() {
    let directory = tempfile::tempdir().unwrap();
    let file = written(directory.path(), "dpop");
    let key = es256();
    let jkt = crate::token::thumbprint(&key.public_jwk()).unwrap();
    let bound = json!({
        "iss": "https://issuer.example", "exp": NOW + 300, "cnf": {"jkt": jkt},
    });
    let bound = token(&key, &bound);
    let hash = URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(bound.as_bytes()));
    let proof = |uri: &str| {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk()});
        let said = json!({"jti": "1", "htm": "GET", "htu": uri, "iat": NOW, "ath": hash});
        signed(
            &key,
            header.to_string().as_bytes(),
            said.to_string().as_bytes(),
        )
    };
    let explained = |token: Option<&str>, headers: &[(&str, &str)]| {
        let header = |(name, value): &(&str, &str)| format!("{name}: {value}").parse().unwrap();
        let (output, _, outcome) = run_at(&Arguments {
            token: token.map(str::to_owned),
            path: "/orders".to_owned(),
            headers: headers.iter().map(header).collect(),
            ..bare(&file)
        });
        let sent = headers.iter().map(|(_, value)| *value).chain(token);
        for part in sent.flat_map(|text| text.split(['.', ' '])) {
            assert!(part.len() < 20 || !output.contains(part), "{output}");
        }
        (output, outcome.is_ok())
    };
    let good = proof("https://localhost/orders");
    let (output, is_ok) = explained(Some(&bound), &[("DPoP", &good)]);
    assert!(is_ok, "{output}");
    let whole = format!("DPoP {bound}");
    let (output, is_ok) = explained(None, &[("authorization", &whole), ("dpop", &good)]);
    assert!(is_ok && output.contains("`iss` is"), "{output}");
    let other = proof("http://localhost/orders");
    let (output, is_ok) = explained(Some(&whole), &[]);
    assert!(!is_ok && output.contains("proof_missing"), "{output}");
    for (headers, expected) in [
        (&[][..], "scheme_mismatch"),
        (&[("dpop", &*other)], "proof_target_mismatch"),
    ] {
        let (output, is_ok) = explained(Some(&bound), headers);
        assert!(!is_ok && output.contains(expected), "{output}");
        assert!(output.contains("hint: "), "{output}");
    }
    // What each Envoy alone knows is not asked for, and what it sets is there.
    let text = fs::read_to_string(&file).unwrap();
    let settings = r#""dpop":{"nonce":"required","trust_forwarded_proto":true}"#;
    fs::write(&file, text.replace(r#""dpop":{}"#, settings)).unwrap();
    let (walked, is_ok) = explained(Some(&bound), &[("dpop", &good)]);
    assert!(!is_ok && walked.contains("proof_nonce_missing"), "{walked}");
    let good = {
        let header = json!({"typ": "dpop+jwt", "alg": "ES256", "jwk": key.public_jwk()});
        let uri = "https://localhost/orders";
        let said = json!({
            "jti": "1", "htm": "GET", "htu": uri, "iat": NOW, "ath": hash, "nonce": "any",
        });
        signed(
            &key,
            header.to_string().as_bytes(),
            said.to_string().as_bytes(),
        )
    };
    let (walked, is_ok) = explained(Some(&bound), &[("dpop", &good)]);
    assert!(
        is_ok && walked.contains("note       whether a proof was used before"),
        "{walked}"
    );
    assert!(
        walked.contains("`htm` is \"GET\", `htu` is \"https://localhost/orders\""),
        "{walked}"
    );
    let forwarded = ("x-forwarded-proto", "http");
    let (walked, is_ok) = explained(Some(&bound), &[("dpop", &good), forwarded]);
    assert!(
        !is_ok && walked.contains("proof_target_mismatch"),
        "{walked}"
    );
    let mislabelled = format!("Authorization: Bearer {bound}");
    let (walked, is_ok) = explained(Some(&mislabelled), &[("dpop", &good)]);
    assert!(!is_ok && walked.contains("scheme_mismatch"), "{walked}");
}

#[test]
fn what_binds_a_token_by_its_claims_is_given_by_headers_and_properties() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("portcullis.json");
    let configuration = json!({
        "providers": {"idp": {
            "local_jwks": {"inline_string": jwk_set(&[&es256()])},
            "bind_to": [
                {"claim_name": "device", "header": "x-device"},
                {"claim_name": "azp", "property": "connection.uri_san_peer_certificate"},
            ],
        }},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}],
    });
    fs::write(&file, configuration.to_string()).unwrap();
    let bound = json!({"exp": NOW + 300, "device": "phone-1", "azp": "spiffe://app"});
    let explained = |property: &str| {
        let (output, _, outcome) = run_at(&Arguments {
            token: Some(token(&es256(), &bound)),
            headers: vec!["x-device: phone-1".parse().unwrap()],
            properties: vec![property.parse().unwrap()],
            ..bare(&file)
        });
        (output, outcome.is_ok())
    };
    let (output, is_ok) = explained("connection.uri_san_peer_certificate=spiffe://app");
    assert!(is_ok, "{output}");
    assert!(output.contains("`bind_to` is [{"), "{output}");
    let (output, is_ok) = explained("connection.uri_san_peer_certificate=spiffe://other");
    assert!(
        !is_ok && output.contains("bound_claim_mismatch"),
        "{output}"
    );
    assert!(output.contains("hint: `--header` and"), "{output}");
    for odd in ["connection", "connection=x", "connection.uri_san", ""] {
        assert!(odd.parse::<Property>().is_err(), "{odd}");
    }
}
