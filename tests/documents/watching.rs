//! What operators watch the gate with: alerts with their rows, and the dashboard.

use std::collections::{BTreeMap, BTreeSet};
use std::process::Command;

use portcullis::gate::Reason;
use regex_lite::Regex;
use serde_json::Value;

use super::support::{has_prometheus, read_yaml};
use super::{document, root, rows};

const RULES: &str = "envoy/observability/rules.yaml";
const CASES: &str = "envoy/observability/rules.test.yaml";
const DASHBOARD: &str = "envoy/observability/dashboard.json";

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// The alerts, in their order.
fn alerts() -> Vec<Value> {
    let rules = read_yaml(&document(RULES));
    let rules = list(&rules["groups"]).flat_map(|group| list(&group["rules"]));
    rules
        .filter(|rule| rule.get("alert").is_some())
        .cloned()
        .collect()
}

fn name_of(alert: &Value) -> &str {
    alert["alert"].as_str().unwrap()
}

#[test]
fn every_alert_has_a_row_that_says_what_to_do_and_leads_there() {
    let alerts = alerts();
    assert!(alerts.len() >= 20, "{}", alerts.len());
    let cell = |alert: &Value| {
        let name = name_of(alert);
        format!("<a id=\"alert-{}\"></a>`{name}`", name.to_lowercase())
    };
    let expected: Vec<_> = alerts.iter().map(cell).collect();
    let rows = rows(
        &document("envoy/operations.md"),
        "| alert | what users notice | what to do |",
    );
    let answered: Vec<_> = rows.iter().map(|row| row[0].clone()).collect();
    assert_eq!(expected, answered);
    for alert in &alerts {
        let name = name_of(alert);
        let annotations = &alert["annotations"];
        let runbook = format!("envoy/operations.md#alert-{}", name.to_lowercase());
        assert_eq!(annotations["runbook"], runbook.as_str());
        let severity = alert["labels"]["severity"].as_str();
        assert!(
            matches!(severity, Some("critical" | "warning")),
            "{name}: {severity:?}"
        );
        for part in ["summary", "description"] {
            assert!(
                annotations[part]
                    .as_str()
                    .is_some_and(|text| text.len() > 10),
                "{name}: {part}"
            );
        }
    }
}

#[test]
fn every_alert_has_a_case_in_which_it_fires_and_nothing_fires_in_many() {
    let cases = read_yaml(&document(CASES));
    let mut fires = BTreeSet::new();
    let mut count = 0;
    for expected in list(&cases["tests"]).flat_map(|case| list(&case["promql_expr_test"])) {
        let samples = list(&expected["exp_samples"]);
        for labels in samples.map(|sample| sample["labels"].as_str().unwrap()) {
            let (_, behind) = labels.split_once("alertname=\"").unwrap_or_default();
            fires.insert(behind.split('"').next().unwrap().to_owned());
        }
        count += usize::from(list(&expected["exp_samples"]).next().is_none());
    }
    for alert in alerts() {
        assert!(fires.contains(name_of(&alert)), "{}", name_of(&alert));
    }
    assert!(count >= 20, "cases in which nothing fires: {count}");
}

/// By Prometheus's own tool.
#[test]
fn the_cases_of_the_alerts_come_out_as_they_say() {
    if !has_prometheus() {
        return;
    }
    for arguments in [
        ["check", "config", "--syntax-only", "prometheus.yaml"].as_slice(),
        &["check", "rules", "rules.yaml"],
        &["test", "rules", "rules.test.yaml"],
    ] {
        let mut command = Command::new("promtool");
        let command = command
            .args(arguments)
            .current_dir(root().join("envoy/observability"));
        let output = command.output().unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:#?}");
    }
}

#[test]
fn the_alert_on_503_goes_by_the_reasons_for_it() {
    let alerts = alerts();
    let alert = alerts.iter().find(|alert| name_of(alert) == "NotKnown");
    let query = alert.unwrap()["expr"].as_str().unwrap();
    let (_, behind) = query.split_once("reason=~\"").unwrap();
    let (reasons, _) = behind.split_once('"').unwrap();
    // As Prometheus anchors it.
    let pattern = Regex::new(&format!("^(?:{reasons})$")).unwrap();
    for reason in Reason::ALL {
        let is_503 = reason.problem().status == 503;
        let label = reason.label();
        assert_eq!(pattern.is_match(label), is_503, "{label}");
    }
    // What one tells of, the other leaves out.
    let jumped = alerts
        .iter()
        .find(|alert| name_of(alert) == "RefusalsJumped");
    let query = jumped.unwrap()["expr"].as_str().unwrap();
    assert!(
        query.contains(&format!("{{reason!~\"{reasons}\"}}")),
        "{query}"
    );
}

#[test]
fn the_dashboard_is_what_its_list_writes() {
    let written = Command::new("python3")
        .current_dir(root())
        .arg(".github/dashboard.py")
        .output();
    let written = String::from_utf8(written.unwrap().stdout).unwrap();
    assert!(
        written == document(DASHBOARD),
        "run: python3 .github/dashboard.py > {DASHBOARD}"
    );
}

#[test]
fn panels_have_ids_places_and_a_data_source_and_variables_are_there() {
    let dashboard: Value = serde_json::from_str(&document(DASHBOARD)).unwrap();
    let variables: Vec<_> = list(&dashboard["templating"]["list"]).collect();
    let names: BTreeSet<_> = variables
        .iter()
        .map(|it| it["name"].as_str().unwrap())
        .collect();
    assert_eq!(names.len(), variables.len());
    let mut ids = BTreeSet::new();
    let mut titles = BTreeSet::new();
    let mut taken: BTreeMap<(u64, u64), u64> = BTreeMap::new();
    let mut used = BTreeSet::from(["datasource"]);
    let word = Regex::new(r"\$([a-z_]+)").unwrap();
    for panel in list(&dashboard["panels"]) {
        let id = panel["id"].as_u64().unwrap();
        assert!(ids.insert(id), "two panels {id}");
        let title = panel["title"].as_str().unwrap();
        assert!(titles.insert(title), "two panels {title:?}");
        let place = ["x", "y", "w", "h"].map(|side| panel["gridPos"][side].as_u64().unwrap());
        let [x, y, width, height] = place;
        assert!(x + width <= 24, "{title}");
        for cell in (x..x + width).flat_map(|x| (y..y + height).map(move |y| (x, y))) {
            let before = taken.insert(cell, id);
            assert_eq!(before, None, "{title} lies over another");
        }
        if panel["type"] == "row" {
            continue;
        }
        let mut references = BTreeSet::new();
        assert_eq!(panel["datasource"]["uid"], "${datasource}", "{title}");
        for target in list(&panel["targets"]) {
            assert_eq!(target["datasource"]["uid"], "${datasource}", "{title}");
            assert!(
                references.insert(target["refId"].as_str().unwrap()),
                "{title}"
            );
            let query = target["expr"].as_str().unwrap();
            used.extend(
                word.captures_iter(query)
                    .map(|found| found.get(1).unwrap().as_str()),
            );
        }
        assert!(!references.is_empty(), "{title}");
    }
    used.retain(|name| *name != "__rate_interval");
    assert_eq!(used, names);
    assert!(ids.len() > 40, "{}", ids.len());
}
