//! What operators watch the gate with: alerts, the dashboard and access logs, in real servers.

mod access_logs;
mod scene;

use std::collections::{BTreeMap, BTreeSet};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::support::{has_prometheus, hastened, read_yaml, until};
use scene::{HASTE, Scene};

const RULES: &str = include_str!("../../envoy/observability/rules.yaml");
const DASHBOARD: &str = include_str!("../../envoy/observability/dashboard.json");

/// Those whose cause takes an hour, a database or a broken disk: `rules.test.yaml` has them.
const NOT_CAUSED: [(&str, &str); 8] = [
    (
        "NoLeader",
        "every virtual machine of an Envoy that still answers has to be gone",
    ),
    ("OldKeys", "keys have to be an hour old"),
    (
        "NoKeeper",
        "a database with several authorities, none of which holds the lease",
    ),
    ("AuthorityNotFound", "Prometheus has to find none for long"),
    (
        "CertificateExpires",
        "the authorities are scraped without TLS; `connections` has the metric",
    ),
    ("CertificateExpired", "the same"),
    ("StoreDamaged", "a row that cannot be read has to expire"),
    (
        "GenerationsFail",
        "what is built has to differ from the entries",
    ),
];

/// Longer than the slowest of them takes: for `EdgeBehind`, an edge lacks a change for 30 s.
const ALL_FIRE: Duration = Duration::from_secs(70);

fn all_alerts() -> BTreeSet<String> {
    let rules = read_yaml(RULES);
    let groups = rules["groups"].as_array().unwrap().iter();
    let rules = groups.flat_map(|group| group["rules"].as_array().unwrap());
    let names = rules.filter_map(|rule| rule["alert"].as_str());
    names.map(str::to_owned).collect()
}

#[test]
fn in_haste_windows_and_patience_are_shorter_and_thresholds_stay() {
    let rule = "expr: rate(a[5m]) > 25000 and b[1h] offset 10m\nfor: 2m15s\nscrape_interval: 15s";
    let hasty = "expr: rate(a[7500ms]) > 25000 and b[90000ms] offset 15000ms\nfor: 3375ms\nscrape_interval: 375ms";
    assert_eq!(hastened(rule, 40), hasty);
}

/// One story, since a server takes its time to start: all is well, then nothing is, and what the dashboard
/// shows of it.
#[test]
fn nothing_fires_while_all_is_well_and_each_alert_once_it_has_a_cause() {
    if !has_prometheus() {
        return;
    }
    let scene = Scene::start();
    scene.serve_while(|| {
        stays_quiet(&scene);
        let fired = let_all_fire(&scene);
        for (name, alert) in &fired {
            is_legible(name, alert);
        }
        let not_caused = NOT_CAUSED.map(|(name, _)| name.to_owned());
        let mut known: BTreeSet<_> = fired.into_keys().collect();
        known.extend(not_caused);
        assert_eq!(known, all_alerts());
        every_panel_shows_something(&scene);
    });
}

/// For longer than the alert on refusals looks back.
fn stays_quiet(scene: &Scene) {
    // Prometheus takes five seconds to find its targets.
    let are_scraped = || scene.prometheus.query("up == 1").len() == 3;
    until(|| scene.prometheus.log(), are_scraped);
    let settled = Instant::now();
    scene.sign_users_out();
    while settled.elapsed() < Duration::from_mins(11) / HASTE {
        thread::sleep(Duration::from_millis(100));
    }
    let window = settled.elapsed().as_millis();
    let ever = |query: &str| scene.prometheus.query(&format!("{query}[{window}ms])"));
    let mut fired = ever(r#"max_over_time(ALERTS{alertstate="firing"}"#);
    // On a busy machine, a scrape may not come in time, which is what these tell.
    if ever("min_over_time(up").iter().any(|(_, up)| *up < 1.0) {
        let tells = |labels: &Value| {
            ["AuthorityDown", "EdgeNotScraped"].map(|name| labels["alertname"] == name)
        };
        fired.retain(|(labels, _)| tells(labels) == [false; 2]);
    }
    assert!(fired.is_empty(), "{fired:#?}");
}

/// Makes the causes, and gives the first alert of each name.
fn let_all_fire(scene: &Scene) -> BTreeMap<String, Value> {
    // Alerts that tell of one server have to tell of that one.
    let expected = [
        (
            "RevocationsNotHeardOf",
            "instance",
            scene.stranger_address(),
        ),
        ("FeedNotLoaded", "instance", scene.stranger_address()),
        ("NotKnown", "instance", scene.stranger_address()),
        ("NoKeys", "provider", "idp".to_owned()),
        ("RefusalsJumped", "reason", "signature_invalid".to_owned()),
        ("EdgeNotScraped", "instance", scene.stranger_address()),
        ("EdgeBehind", "severity", "critical".to_owned()),
        ("AuthorityDown", "instance", scene.other_address()),
        ("AuthorityCannotWrite", "instance", scene.other_address()),
        ("RevocationsLost", "instance", scene.authority_address()),
        ("ClocksDiffer", "instance", scene.other_address()),
        ("SignalsRefused", "outcome", "audience_mismatch".to_owned()),
        ("StreamStopped", "stream", "silent".to_owned()),
        (
            "OldKeysOfSignals",
            "issuer",
            "https://gone.example".to_owned(),
        ),
        ("SessionsLookStolen", "kind", "clients".to_owned()),
        ("WebhookFails", "severity", "warning".to_owned()),
    ];
    let mut fired: BTreeMap<String, Value> = BTreeMap::new();
    let begun = Instant::now();
    scene.break_everything();
    loop {
        scene.ask_the_stranger();
        for alert in scene.prometheus.firing() {
            let labels = &alert["labels"];
            let name = labels["alertname"].as_str().unwrap();
            let is_it = |(alert, label, value): &(&str, &str, String)| {
                *alert == name && labels[*label] == value.as_str()
            };
            if expected.iter().any(is_it) && !fired.contains_key(name) {
                println!("{name} after {:?}", begun.elapsed());
                fired.insert(name.to_owned(), alert.clone());
            }
        }
        let has = |names: &[&str]| names.iter().all(|name| fired.contains_key(*name));
        if has(&["ClocksDiffer", "AuthorityCannotWrite"]) {
            scene.end_the_other();
        }
        if has(&[
            "FeedNotLoaded",
            "NotKnown",
            "NoKeys",
            "RevocationsNotHeardOf",
        ]) {
            scene.end_the_stranger();
        }
        let missing: Vec<_> = expected
            .iter()
            .filter(|(name, ..)| !fired.contains_key(*name))
            .collect();
        if missing.is_empty() {
            return fired;
        }
        let told = || {
            let alerts = scene.prometheus.query("ALERTS");
            format!(
                "missing: {missing:#?}\nthere are: {alerts:#?}\n{}",
                scene.told()
            )
        };
        assert!(begun.elapsed() < ALL_FIRE, "{}", told());
        thread::sleep(Duration::from_millis(100));
    }
}

/// What is sent to a phone at night.
fn is_legible(name: &str, alert: &Value) {
    let annotations = &alert["annotations"];
    for part in ["summary", "description", "runbook"] {
        let text = annotations[part].as_str().unwrap_or_default();
        let is_filled = !text.is_empty() && !text.contains('<') && !text.contains("{{");
        assert!(is_filled, "{name}: {part}: {text:?}");
    }
    println!("{name}: {}", annotations["summary"]);
}

fn every_panel_shows_something(scene: &Scene) {
    let dashboard: Value = serde_json::from_str(DASHBOARD).unwrap();
    let panels = dashboard["panels"].as_array().unwrap().iter();
    let queries = panels.flat_map(|panel| {
        let targets = panel["targets"].as_array().into_iter().flatten();
        targets.map(move |target| {
            (
                panel["title"].as_str().unwrap(),
                target["expr"].as_str().unwrap(),
            )
        })
    });
    let mut empty = Vec::new();
    let mut count = 0;
    for (title, query) in queries {
        let query = scene.prometheus.as_grafana_asks(query);
        let series = scene.prometheus.query_range(&query);
        let is_shown = series
            .iter()
            .any(|(_, values)| values.iter().any(|value| value.is_finite()));
        if !is_shown {
            empty.push(json!({"panel": title, "query": query, "series": series.len()}));
        }
        count += 1;
    }
    assert!(empty.is_empty(), "{empty:#?}");
    assert!(count > 50, "{count}");
}
