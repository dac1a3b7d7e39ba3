//! An operator who pastes his `jwt_authn` configuration gets the same verdicts.
//!
//! Envoy's own filter and Portcullis run in one Envoy, on two listeners, with the same JSON. Every
//! request goes to both, and they have to agree in the status, in whether a refusal says anything,
//! and in everything that the upstream sees, unless the list of deviations explains the difference.
//! Some pairs of configuration and request are made by hand, one for everything that is known to be
//! difficult; a thousand and more are generated.

mod comparison;
mod converted;
mod deviations;
mod generated;
mod header_changes;
mod keys;
mod query;
mod requests;
mod requirements;
mod tokens;
mod trials;

use std::collections::BTreeSet;
use std::net::SocketAddr;

use serde_json::{Value, json};

use crate::support::{Bootstrap, Envoy, Listener, Plugin, Request};
use comparison::{Difference, Outcome};
pub(crate) use converted::converted_file;
use deviations::Shown;

/// A configuration, and the requests that are tried with it. They are made when Envoy is ready,
/// since the times in their tokens are close to the limits.
struct Trial {
    name: &'static str,
    configuration: Value,
    requests: fn() -> Requests,
}

/// Requests with their names.
type Requests = Vec<(&'static str, Request)>;

/// A difference, with the names of its trial and request.
type Found = (&'static str, &'static str, Difference);

#[test]
fn a_pasted_configuration_gives_the_verdicts_of_the_native_filter() {
    let trials = trials::all();
    let found = differences(&trials, Value::clone);
    let deviations = deviations::all();
    let shown = || deviations.iter().flat_map(|deviation| &deviation.shown_by);
    let undeclared: Vec<_> = found
        .iter()
        .filter(|found| !shown().any(|shown| shown.is(found)))
        .collect();
    assert!(undeclared.is_empty(), "not on the list: {undeclared:#?}");
    for deviation in &deviations {
        let is_found = |shown: &Shown| found.iter().any(|found| shown.is(found));
        for shown in deviation.shown_by.iter().filter(|shown| !shown.is_chance) {
            let id = &deviation.id;
            assert!(is_found(shown), "`{id}` is not found any more: {shown:#?}");
        }
        let has_configuration = !deviation.configurations.is_empty();
        let is_shown = has_configuration || deviation.shown_by.iter().any(is_found);
        assert!(is_shown, "no pair shows `{}`", deviation.id);
    }
}

#[test]
fn a_configuration_that_is_refused_on_purpose_is_one_that_the_native_filter_takes() {
    let deviations = deviations::all();
    let named = deviations
        .iter()
        .flat_map(|deviation| &deviation.configurations);
    let refused = trials::refused();
    assert!(named.eq(refused.iter().map(|(name, ..)| name)));
    for (name, configuration, fault) in refused {
        // It has started when this returns.
        Envoy::start(&Bootstrap::new([Listener::native(&configuration)]));
        let log = Envoy::refuses(&Bootstrap::with_plugin(Plugin::new(&configuration)));
        assert!(log.contains(fault), "{name}: {log}");
    }
}

#[test]
fn enough_is_compared_and_every_request_has_a_name_of_its_own() {
    let trials = trials::all();
    let mut requests = 0;
    for trial in &trials {
        let names: Vec<_> = (trial.requests)().iter().map(|(name, _)| *name).collect();
        let different = BTreeSet::from_iter(&names);
        assert_eq!(different.len(), names.len(), "in `{}`", trial.name);
        requests += names.len();
    }
    assert!(trials.len() >= 20, "{} configurations", trials.len());
    assert!(requests >= 200, "{requests} requests");
}

impl Shown {
    fn is(&self, (trial, request, difference): &Found) -> bool {
        self.trial == *trial && self.request == *request && self.difference == *difference
    }
}

/// How the filters differ where Portcullis has what `translated` makes of each configuration.
fn differences(trials: &[Trial], translated: impl Fn(&Value) -> Value) -> Vec<Found> {
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let listeners: Vec<_> = trials
        .iter()
        .flat_map(|trial| listeners(trial, &translated(&trial.configuration)))
        .collect();
    let bootstrap = Bootstrap::new(listeners).with_cluster("nowhere", nowhere);
    let envoy = Envoy::start(&bootstrap);
    let mut differences = Vec::new();
    for trial in trials {
        let client = |filter| envoy.client_of(&format!("{filter}-{}", trial.name));
        let (mut native, mut own) = (client("native"), client("portcullis"));
        for (name, request) in (trial.requests)() {
            let native = Outcome::of(&native.send(&request));
            let found = comparison::differences(&native, &Outcome::of(&own.send(&request)));
            let found = found.into_iter().map(Difference::without_tokens);
            differences.extend(found.map(|found| (trial.name, name, found)));
        }
    }
    differences
}

fn listeners(trial: &Trial, translated: &Value) -> [Listener; 2] {
    let filter = filter_state_from_a_header();
    let native = Listener::native(&trial.configuration).named(format!("native-{}", trial.name));
    let own = Listener::portcullis(Plugin::new(translated));
    let own = own.named(format!("portcullis-{}", trial.name));
    [native, own].map(|listener| {
        let listener = listener.with_first_filter(&filter);
        listener.with_first_routes(&routes()).telling_reasons()
    })
}

/// `x-requirement` as text under `requirement`.
fn filter_state_from_a_header() -> Value {
    let value = json!({"text_format_source": {"inline_string": "%REQ(x-requirement)%"}});
    json!({
        "name": "envoy.filters.http.set_filter_state",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.set_filter_state.v3.Config",
            "on_request_headers": [{
                "object_key": "requirement",
                "factory_key": "envoy.string",
                "format_string": value,
            }],
        },
    })
}

/// One for `CONNECT`, and one for requests that have a header which claims go into.
fn routes() -> [Value; 2] {
    let user = json!([{"name": "x-user", "present_match": true}]);
    let by_user = json!({"prefix": "/api/by-user", "headers": user});
    [
        json!({"match": {"connect_matcher": {}}, "direct_response": {"status": 200}}),
        json!({"match": by_user, "direct_response": {"status": 204}}),
    ]
}
