//! Keys in the shapes in which identity providers publish them, in a real Envoy: local ones, and one
//! that is fetched.

use serde_json::{Value, json};

use crate::support::{Bootstrap, Envoy, JwksServer, Listener, Plugin, Request};

fn sets() -> Vec<Value> {
    let text = include_str!("../vectors/published/sets.json");
    serde_json::from_str(text).unwrap()
}

fn configuration(keys: (&str, Value), settings: &Value) -> Value {
    let mut provider = json!({"issuer": "https://issuer.example", "audiences": ["api"]});
    provider[keys.0] = keys.1;
    for (name, value) in settings.as_object().unwrap() {
        provider[name] = value.clone();
    }
    json!({
        "providers": {"published": provider},
        "rules": [{"match": {"prefix": "/"}, "requires": {"provider_name": "published"}}],
    })
}

fn local(set: &Value) -> Value {
    let keys = ("local_jwks", json!({"inline_string": set["text"]}));
    configuration(keys, &set["settings"])
}

/// The tokens of a set pass. `Envoy::client_of` of this name leads to it.
fn pass(envoy: &Envoy, name: &str, set: &Value) {
    let mut client = envoy.client_of(name);
    for token in set["genuine"].as_array().unwrap() {
        let reply = client.send(&Request::get("/").bearer(token.as_str().unwrap()));
        assert_eq!(reply.status, 200, "{name}: {reply:?}");
    }
}

#[test]
fn keys_are_usable_as_they_are_published_and_others_are_named_in_the_log() {
    let sets = sets();
    let usable = || sets.iter().filter(|set| set["genuine"] != json!([]));
    let name = |set: &Value| set["name"].as_str().unwrap().to_owned();
    let listeners: Vec<_> = usable()
        .map(|set| {
            let plugin = Plugin::new(&local(set));
            Listener::portcullis(plugin).named(name(set))
        })
        .collect();
    let envoy = Envoy::start(&Bootstrap::new(listeners).with_workers(1));
    for set in usable() {
        pass(&envoy, &name(set), set);
    }
    let log = envoy.log();
    for key in usable().flat_map(|set| set["left_out"].as_array().unwrap()) {
        let id = match key["kid"].as_str() {
            Some(id) => format!(" (`kid` {id})"),
            None => String::new(),
        };
        let reason = key["reason"].as_str().unwrap();
        let line = format!("keys[{}]{id} is left out: {reason}", key["place"]);
        let is_told = |logged: &str| logged.contains("[warning]") && logged.contains(&line);
        assert!(log.lines().any(is_told), "{line}: {log}");
    }
}

#[test]
fn a_document_of_certificates_is_fetched_like_a_set_and_each_key_that_is_left_out_is_named() {
    let sets = sets();
    let named = |name: &str| sets.iter().find(|set| set["name"] == name).unwrap();
    for (name, is_told) in [
        ("Firebase", ""),
        (
            "a document of certificates with other things in it",
            "keys of published: keys[2] (`kid` c) is left out: expected a public key",
        ),
    ] {
        let set = named(name);
        let server = JwksServer::with_keys(set["text"].as_str().unwrap().to_owned());
        let uri = json!({"uri": "http://issuer.example/jwks", "cluster": "issuer"});
        let configuration = configuration(("remote_jwks", json!({"http_uri": uri})), &json!({}));
        let listener = Listener::portcullis(Plugin::new(&configuration)).named("fetched");
        let bootstrap = Bootstrap::new([listener]).with_cluster("issuer", server.address());
        let envoy = Envoy::start(&bootstrap);
        pass(&envoy, "fetched", set);
        assert!(envoy.log().contains(is_told), "{name}: {}", envoy.log());
    }
}
