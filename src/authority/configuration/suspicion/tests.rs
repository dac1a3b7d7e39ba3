use std::path::Path;

use serde_json::{Value, json};

use super::super::{Configuration, Configured};
use super::*;

fn read(document: &Value) -> Configured {
    Configuration::read(document, Path::new("/etc/portcullis"))
}

#[test]
fn without_a_section_the_defaults_count_and_nobody_is_told() {
    for document in [json!({}), json!({"suspicion": {}})] {
        let configuration = read(&document).configuration.unwrap();
        assert_eq!(configuration.suspicion, Policy::default());
        assert_eq!(configuration.webhook, None);
    }
}

#[test]
fn what_looks_stolen_is_read_with_what_is_done_about_it() {
    let configured = read(&json!({"suspicion": {
        "on_suspicion": "end",
        "networks": {"changes": 9, "within": "1200s", "on_suspicion": "report"},
        "clients": {"on_suspicion": "ignore"},
        "rate": {"requests_per_minute": 900, "times_usual": 5, "within": "120s"},
        "ipv4_prefix": 24,
        "ignore_networks": ["192.0.2.0/24", "2001:db8::/32"],
        "ignore_user_agents": ["Chrome"],
    }}));
    assert_eq!(configured.faults, []);
    let Policy {
        thresholds,
        reactions,
    } = configured.configuration.unwrap().suspicion;
    let networks = Alternation {
        changes: 9,
        minutes: 20,
    };
    let rate = Rate {
        requests_per_minute: 900,
        times_usual: 5,
        minutes: 2,
    };
    assert_eq!(thresholds.networks, Some(networks));
    assert_eq!(thresholds.clients, None);
    assert_eq!(thresholds.rate, Some(rate));
    assert_eq!((thresholds.ipv4_prefix, thresholds.ipv6_prefix), (24, 32));
    assert_eq!(thresholds.ignored_networks.len(), 2);
    assert_eq!(thresholds.ignored_user_agents, ["Chrome"]);
    assert_eq!(reactions.networks, Reaction::Report);
    assert_eq!(reactions.rate, Reaction::End);
}

#[test]
fn the_receiver_of_a_webhook_is_read_with_its_default() {
    let configured = read(&json!({"webhook": {
        "url": "https://events.example/portcullis?tenant=1", "secret_file": "secret",
        "certificate_authority": "/ca.pem",
    }}));
    assert_eq!(configured.faults, []);
    let webhook = configured.configuration.unwrap().webhook.unwrap();
    assert_eq!(webhook.url, "https://events.example/portcullis?tenant=1");
    assert_eq!(webhook.secret_file, Path::new("/etc/portcullis/secret"));
    assert_eq!(webhook.certificate_authority, Some("/ca.pem".into()));
    assert_eq!(webhook.timeout, Duration::from_secs(10));
}

#[test]
fn every_fault_of_suspicion_and_webhook_is_told_with_its_path() {
    let webhook = |member: &str, value: &str| {
        let mut section = json!({"url": "https://a/", "secret_file": "s"});
        section[member] = value.into();
        json!({"webhook": section})
    };
    for (document, path) in [
        (
            json!({"suspicion": {"on_suspicion": "ignore"}}),
            "suspicion.on_suspicion",
        ),
        (
            json!({"suspicion": {"networks": {"changes": 1}}}),
            "suspicion.networks.changes",
        ),
        (
            json!({"suspicion": {"networks": {"within": "90s"}}}),
            "suspicion.networks.within",
        ),
        (
            json!({"suspicion": {"clients": {"within": "1980s"}}}),
            "suspicion.clients.within",
        ),
        (
            json!({"suspicion": {"rate": {"within": "240s"}}}),
            "suspicion.rate.within",
        ),
        (
            json!({"suspicion": {"rate": {"requests_per_minute": 59}}}),
            "suspicion.rate.requests_per_minute",
        ),
        (
            json!({"suspicion": {"ipv6_prefix": 48}}),
            "suspicion.ipv6_prefix",
        ),
        (
            json!({"suspicion": {"ignore_networks": ["10.0.0.0/33"]}}),
            "suspicion.ignore_networks[0]",
        ),
        (json!({"suspicion": {"speed": {}}}), "suspicion.speed"),
        (json!({"webhook": {"url": "https://a/"}}), "webhook"),
        (webhook("url", "http://events.example/"), "webhook.url"),
        (
            webhook("url", "https://user@events.example/"),
            "webhook.url",
        ),
        (webhook("timeout", "90s"), "webhook.timeout"),
        (webhook("secret", "whsec_x"), "webhook.secret"),
    ] {
        let faults = read(&document).faults;
        let [fault] = faults.as_slice() else {
            panic!("{document}: {faults:?}");
        };
        assert_eq!(fault.path, path, "{fault}");
    }
}
