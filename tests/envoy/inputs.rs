//! Keys, tokens and configurations as they are found in use, in a real Envoy.

use serde_json::Value;

use crate::support::inputs::{Input, inputs};
use crate::support::{Bootstrap, Envoy, JwksServer, Listener, Plugin, Request, assert_refused};

/// Every request of an input gets the expected answer. `Envoy::client_of` of this name leads there.
fn comes_out(envoy: &Envoy, name: &str, input: &Input) {
    let mut client = envoy.client_of(name);
    for trial in &input.trials {
        let mut request = Request::get(&*trial.path);
        for (name, value) in &trial.headers {
            request = request.header(name, value);
        }
        let reply = client.send(&request);
        match &trial.refusal {
            None => assert_eq!(reply.status, 200, "{name}: {reply:?}"),
            Some(refusal) => assert_refused(&reply, refusal.status, &refusal.code),
        }
    }
}

/// An Envoy whose gate fetches these keys.
fn fetching(configuration: &Value, keys: &str) -> (Envoy, JwksServer) {
    let server = JwksServer::with_keys(keys.to_owned());
    let listener = Listener::portcullis(Plugin::new(configuration)).named("fetching");
    let bootstrap = Bootstrap::new([listener]).with_cluster("issuer", server.address());
    (Envoy::start(&bootstrap), server)
}

#[test]
fn every_valid_input_is_decided_on_as_it_has_to_be() {
    let mut inputs = inputs();
    inputs.retain(|input| input.faults.is_empty());
    let (fetched, local): (Vec<_>, Vec<_>) = inputs.into_iter().partition(Input::is_fetched);
    let listeners: Vec<_> = local
        .iter()
        .map(|input| {
            let plugin = Plugin::new(&input.configuration);
            Listener::portcullis(plugin).named(input.name.clone())
        })
        .collect();
    let envoy = Envoy::start(&Bootstrap::new(listeners).with_workers(1));
    for input in &local {
        comes_out(&envoy, &input.name, input);
    }
    let log = envoy.log();
    for warning in local.iter().flat_map(|input| &input.warnings) {
        let is_told = |logged: &str| logged.contains("[warning]") && logged.contains(warning);
        assert!(log.lines().any(is_told), "{warning}: {log}");
    }
    assert!(!fetched.is_empty());
    for input in &fetched {
        let (envoy, _server) = fetching(&input.configuration, &input.keys);
        comes_out(&envoy, "fetching", input);
    }
}

#[test]
fn an_envoy_with_an_input_that_is_wrong_says_so_and_does_not_start() {
    for input in inputs() {
        if input.faults.is_empty() {
            continue;
        }
        let log = Envoy::refuses(&Bootstrap::with_plugin(Plugin::new(&input.configuration)));
        for fault in &input.faults {
            assert!(log.contains(fault), "{}: {fault}: {log}", input.name);
        }
    }
}

#[test]
fn a_document_of_certificates_is_fetched_like_a_set_and_each_key_that_is_left_out_is_named() {
    for (name, is_told) in [
        ("Firebase", ""),
        (
            "a document of certificates with other things in it",
            "keys of idp: keys[2] (`kid` c) is left out: expected a public key",
        ),
    ] {
        let inputs = inputs();
        let input = inputs.iter().find(|input| input.name == name).unwrap();
        let (envoy, _server) = fetching(&input.with_fetched_keys(), &input.keys);
        comes_out(&envoy, "fetching", input);
        assert!(envoy.log().contains(is_told), "{name}: {}", envoy.log());
    }
}
