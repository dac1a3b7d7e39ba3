//! Several cookies of one name, as browsers send them where the domain above has set one as well.

use std::time::Instant;

use serde_json::{Value, json};

use crate::support::{
    Bootstrap, Envoy, JwksServer, PATIENCE, Plugin, Request, Token, assert_refused, configuration,
    jwks,
};

fn choosing(change: impl FnOnce(&mut Value)) -> Value {
    let mut configuration = configuration();
    configuration["session_headers"] = json!(true);
    let provider = &mut configuration["providers"]["demo"];
    provider["from_cookies"] = json!(["jwt"]);
    provider["duplicate_cookies"] = json!("first_genuine");
    change(provider);
    configuration
}

fn genuine() -> Token {
    Token::signed_by("es256")
}

/// The value of a cookie of the same name that another site has set.
fn others() -> [String; 3] {
    let parents = Token::signed_by("es256-other").claim("iss", "https://parent.example");
    let forged = Token::signed_by("es256-other").header("kid", "test-es256");
    ["s%3Aabc".to_owned(), parents.into(), forged.into()]
}

#[test]
fn the_one_genuine_cookie_lets_in_and_no_other_reaches_the_upstream() {
    for forward in [false, true] {
        let envoy = Envoy::with(&choosing(|provider| provider["forward"] = json!(forward)));
        let mut client = envoy.client();
        let genuine = genuine().to_string();
        let kept = if forward {
            format!("a=b; jwt={genuine}; c=d")
        } else {
            "a=b; c=d".to_owned()
        };
        for other in others() {
            for lines in [
                vec![format!("a=b; jwt={genuine}; jwt={other}; c=d")],
                vec![format!("a=b; jwt={other}; jwt={genuine}; c=d")],
                vec![
                    format!("a=b; jwt={other}"),
                    format!("JWT =\"{other}\"; jwt={genuine}; c=d"),
                ],
            ] {
                let request = lines.iter().fold(Request::get("/api"), |request, line| {
                    request.header("cookie", line)
                });
                let forwarded = client.send(&request).forwarded();
                assert_eq!(forwarded.header("x-session-subject"), Some("alice"));
                assert_eq!(forwarded.header("cookie"), Some(&*kept), "{lines:?}");
            }
        }
    }
}

#[test]
fn two_genuine_cookies_are_refused_and_so_are_those_of_which_none_is() {
    let envoy = Envoy::with(&choosing(|_| ()));
    let mut client = envoy.client();
    let mut send = |first: &str, second: &str| {
        let cookies = format!("jwt={first}; jwt={second}");
        client.send(&Request::get("/api").header("cookie", cookies))
    };
    let genuine = genuine();
    let mallory = genuine.clone().claim("sub", "mallory").to_string();
    let expired = genuine.clone().expiring_in(-1000).to_string();
    let genuine = genuine.to_string();
    for second in [&mallory, &expired] {
        assert_refused(&send(&genuine, second), 400, "token_ambiguous");
        assert_refused(&send(second, &genuine), 400, "token_ambiguous");
    }
    let [text, parents, forged] = others();
    assert_refused(&send(&text, &forged), 401, "token_malformed");
    assert_refused(&send(&forged, &parents), 401, "signature_invalid");
    assert_refused(&send(&forged, &expired), 401, "token_expired");
    assert_eq!(send(&genuine, &genuine).status, 200);
}

/// As long as the keys are missing, anything may be the genuine one.
#[test]
fn as_long_as_keys_are_missing_no_cookie_is_taken_for_genuine_or_forged() {
    let server = JwksServer::start();
    let configuration = choosing(|provider| {
        let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "issuer"});
        let provider = provider.as_object_mut().unwrap();
        provider.remove("local_jwks");
        provider.insert("remote_jwks".to_owned(), json!({"http_uri": uri}));
    });
    let bootstrap = Bootstrap::with_plugin(Plugin::new(&configuration));
    let envoy = Envoy::start(&bootstrap.with_cluster("issuer", server.address()));
    let [text, _, forged] = others();
    let request = |first: &str| {
        let cookies = format!("jwt={first}; jwt={text}; jwt={forged}");
        Request::get("/api").header("cookie", cookies)
    };
    let genuine = genuine().to_string();
    for first in [&*genuine, "abc"] {
        let reply = envoy.client().send(&request(first));
        assert_refused(&reply, 503, "keys_unavailable");
    }
    server.serve("/jwks", jwks(&["es256"]).into_bytes());
    let begun = Instant::now();
    let until = |first: &str, status: u16| loop {
        let reply = envoy.client().send(&request(first));
        // The other worker may be told of the keys a tick later.
        if reply.status == status {
            return reply;
        }
        assert_refused(&reply, 503, "keys_unavailable");
        assert!(begun.elapsed() < PATIENCE);
    };
    until(&genuine, 200);
    assert_refused(&until("abc", 401), 401, "token_malformed");
}
