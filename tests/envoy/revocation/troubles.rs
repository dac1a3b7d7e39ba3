//! What is wrong between Envoy and the authority, told apart in the log and by the metrics.

use std::net::TcpListener;
use std::thread;
use std::time::Duration;

use portcullis::sync::Fault;
use serde_json::{Value, json};

use super::scene::{Scene, session, settings, soon_stale};
use crate::support::{Authority, Bootstrap, Envoy, Meddler, Plugin, make_certificate, until};

fn bootstrap(authority: &Authority, more: &Value) -> Bootstrap {
    let plugin = Plugin::new(&settings(authority, more));
    Bootstrap::with_plugin(plugin).with_authority(authority.address())
}

/// One that trusts any certificate.
fn tls() -> Value {
    let context = "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext";
    json!({
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": format!("type.googleapis.com/{context}")},
    })
}

/// Asserts that an Envoy has this trouble and no other, and says so once, whichever of its workers
/// have led.
#[track_caller]
fn assert_told(bootstrap: &Bootstrap, times: u64, fault: &str, text: &str) -> Envoy {
    let envoy = Envoy::start(bootstrap);
    let stat = |fault: &str| envoy.stat(&format!("wasmcustom.portcullis.feed.failures.{fault}"));
    until(|| envoy.log(), || stat(fault) >= Some(times));
    let others = Fault::ALL.map(Fault::name);
    for other in others.into_iter().filter(|other| *other != fault) {
        assert_eq!(
            stat(other),
            Some(0),
            "{other} beside {fault}: {}",
            envoy.log()
        );
    }
    let log = envoy.log();
    let lines: Vec<_> = log
        .lines()
        .filter(|line| line.contains("revocation feed: ") && !line.contains("max_staleness"))
        .collect();
    assert_eq!(lines.len(), 1, "{lines:#?}");
    assert!(lines[0].contains(text), "{lines:#?}");
    envoy
}

/// Enough times for a leader to have handed over to the next one.
const OFTEN: u64 = 5;

#[test]
fn an_edge_that_may_not_follow_says_why() {
    let authority = Authority::start();
    let with = |secret: &str| {
        bootstrap(
            &authority,
            &json!({"credential": {"inline_string": secret}}),
        )
    };
    let unknown = with("portcullis_unknown");
    assert_told(
        &unknown,
        OFTEN,
        "credential",
        "does not know the credential",
    );
    let other_role = with(authority.scrape_credential());
    assert_told(&other_role, OFTEN, "role", "as one with the role `edge`");
    let log = authority.log();
    for expected in ["credential_missing", "role_missing", "refused a caller"] {
        assert!(log.contains(expected), "{log}");
    }
    assert!(!log.contains("portcullis_unknown"), "{log}");
}

#[test]
fn tls_on_one_side_only_is_reported_by_the_side_that_can_know_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (certificate, key) = make_certificate(directory.path());
    let with_tls = ["--tls-certificate", &certificate, "--tls-key", &key];
    let authority = Authority::start_with(&with_tls);
    let plain = bootstrap(&authority, &json!({}));
    assert_told(&plain, OFTEN, "tls", "do not agree on TLS");
    assert!(
        authority.log().contains("speaks no TLS"),
        "{}",
        authority.log()
    );
    // With a transport socket, all is well.
    let encrypted = plain.with_cluster_member("authority", "transport_socket", tls());
    let envoy = Envoy::start(&encrypted);
    let loaded = || envoy.stat("wasmcustom.portcullis.feed.loaded");
    until(|| envoy.log(), || loaded() == Some(1));

    let authority = Authority::start();
    let encrypted = bootstrap(&authority, &json!({}));
    let encrypted = encrypted.with_cluster_member("authority", "transport_socket", tls());
    assert_told(&encrypted, 2, "no_connection", "leads to no connection");
    assert!(
        authority.log().contains("speaks TLS"),
        "{}",
        authority.log()
    );
    // What Envoy said up to 1.39, and still does where it is configured to.
    let feature = "envoy.reloadable_features.hide_transport_failure_reason_in_response_body";
    let layer = json!({"name": "static", "static_layer": {feature: false}});
    let telling = encrypted.with_member("layered_runtime", json!({"layers": [layer]}));
    assert_told(&telling, 2, "tls", "do not agree on TLS");
}

#[test]
fn an_edge_that_gets_no_answer_says_how_far_it_has_come() {
    let authority = Authority::start();
    let nowhere = bootstrap(&authority, &json!({"cluster": "nowhere"}));
    assert_told(
        &nowhere,
        OFTEN,
        "no_cluster",
        "there is no cluster `nowhere`",
    );

    let empty = json!({"cluster_name": "authority", "endpoints": []});
    let empty = bootstrap(&authority, &json!({})).with_cluster_member(
        "authority",
        "load_assignment",
        empty,
    );
    assert_told(&empty, 3, "no_endpoint", "`authority` has no endpoint");

    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port on loopback");
    let silent = listener.local_addr().expect("the address just bound");
    let silent = bootstrap(&authority, &json!({})).with_authority(silent);
    assert_told(&silent, 1, "no_answer", "`authority` does not answer");
    drop(listener);
    assert_told(
        &silent,
        3,
        "no_connection",
        "`authority` leads to no connection",
    );
}

#[test]
fn an_edge_that_pins_another_key_says_that_it_believes_nothing() {
    let authority = Authority::start();
    let other = authority.start_another();
    let foreign = bootstrap(&authority, &json!({})).with_authority(other.address());
    assert_told(&foreign, OFTEN, "not_believed", "not believed: manifest");
}

#[test]
fn a_feed_that_was_never_loaded_grows_old_from_the_start() {
    let mut scene = Scene::unready(Authority::start(), &soon_stale(), Meddler::cut);
    let ages = |scene: &Scene, text: &str| {
        let log = scene.envoy.log();
        log.lines().filter(|line| line.contains(text)).count()
    };
    let staleness = |scene: &Scene| scene.metric("portcullis.feed.staleness_milliseconds");
    until(|| scene.envoy.log(), || staleness(&scene) > 5_000);
    assert_eq!(scene.metric("portcullis.feed.loaded"), 0);
    assert_eq!(ages(&scene, "none was loaded within `max_staleness`"), 1);
    scene.meddler.pass();
    scene.wait_until_accepted(&session("innocent"));
    until(
        || scene.envoy.log(),
        || scene.metric("portcullis.feed.loaded") == 1,
    );
    until(|| scene.envoy.log(), || staleness(&scene) < 3_000);
    until(
        || scene.envoy.log(),
        || ages(&scene, "no older than `max_staleness` again") == 1,
    );
    scene.meddler.cut();
    scene.wait_until_refused(&session("innocent"), "revocation_unavailable");
    until(
        || scene.envoy.log(),
        || ages(&scene, "older than `max_staleness`; `on_stale`") == 1,
    );
    assert_eq!(scene.metric("portcullis.feed.loaded"), 1);
    scene.meddler.pass();
    until(
        || scene.envoy.log(),
        || ages(&scene, "no older than `max_staleness` again") == 2,
    );
    thread::sleep(Duration::from_secs(1));
    assert_eq!(ages(&scene, "max_staleness"), 4, "{}", scene.envoy.log());
}

#[test]
fn an_envoy_without_revocation_has_no_feed_that_could_be_missing() {
    let envoy = Envoy::with(&crate::support::configuration());
    assert_eq!(envoy.stat("wasmcustom.portcullis.feed.loaded"), None);
}
