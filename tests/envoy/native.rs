//! An operator who pastes his `jwt_authn` configuration gets the same verdicts.
//!
//! Envoy's own filter and Portcullis stand in one Envoy, on two listeners, with the same JSON.
//! Every request goes to both, and they have to agree in the status and in every header that the
//! upstream sees, unless [`DEVIATIONS`] says why not.

mod deviations;
mod requests;
mod tokens;
mod trials;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use crate::support::{Bootstrap, Envoy, Listener, Plugin, Request, Response};
use deviations::{DEVIATIONS, Difference};

/// A configuration, and the requests that are tried with it. They are made when Envoy is ready,
/// since the times in their tokens are close to the limits.
struct Trial {
    name: &'static str,
    configuration: Value,
    requests: fn() -> Requests,
}

/// Requests with their names.
type Requests = Vec<(&'static str, Request)>;

/// The names of the trial and of the request.
type Place = (&'static str, &'static str);

#[test]
fn a_pasted_configuration_gives_the_verdicts_of_the_native_filter() {
    let trials = trials::all();
    let found: Vec<_> = trials.iter().flat_map(differences).collect();
    let is_listed = |found: &(Place, Difference)| {
        let mut listed = DEVIATIONS.iter();
        listed.any(|deviation| (deviation.place, &deviation.difference) == (found.0, &found.1))
    };
    let unlisted: Vec<_> = found.iter().filter(|found| !is_listed(found)).collect();
    assert!(unlisted.is_empty(), "not on the list: {unlisted:#?}");
    for listed in DEVIATIONS {
        let found = found.contains(&(listed.place, listed.difference.clone()));
        assert!(found, "on the list, but not found any more: {listed:#?}");
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
    assert!(trials.len() >= 4, "{} configurations", trials.len());
    assert!(requests >= 40 + DEVIATIONS.len(), "{requests} requests");
}

fn differences(trial: &Trial) -> Vec<(Place, Difference)> {
    let native = Listener::native(&trial.configuration);
    let own = Listener::portcullis(Plugin::new(&trial.configuration));
    let envoy = Envoy::start(&Bootstrap::new([native, own]));
    let (mut native, mut own) = (envoy.client_of("native"), envoy.client_of("portcullis"));
    let mut differences = Vec::new();
    for (name, request) in (trial.requests)() {
        let found = compare(&native.send(&request), &own.send(&request));
        differences.extend(found.into_iter().map(|found| ((trial.name, name), found)));
    }
    differences
}

fn compare(native: &Response, own: &Response) -> Vec<Difference> {
    if native.status != own.status {
        return vec![Difference::Status(native.status, own.status)];
    }
    if native.status != 200 {
        return Vec::new();
    }
    let (native, own) = (headers_seen(native), headers_seen(own));
    let names: BTreeSet<_> = native.keys().chain(own.keys()).collect();
    let differing = names
        .into_iter()
        .filter(|name| native.get(*name) != own.get(*name));
    let difference = |name: &String| {
        let value = |headers: &BTreeMap<_, String>| headers.get(name).cloned().map(Into::into);
        Difference::Header(name.clone().into(), value(&native), value(&own))
    };
    differing.map(difference).collect()
}

/// The headers that the upstream saw, without the one that Envoy makes up for each request.
fn headers_seen(reply: &Response) -> BTreeMap<String, String> {
    let mut seen = BTreeMap::new();
    for (name, value) in reply.forwarded().headers {
        if name != "x-request-id"
            && let Some(earlier) = seen.insert(name.clone(), value)
        {
            panic!("`{name}` came twice, first as `{earlier}`");
        }
    }
    seen
}
