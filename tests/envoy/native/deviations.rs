//! The list of deviations, `tests/envoy/deviations.json`: where Portcullis is meant to differ from
//! `jwt_authn`, and why. The table in `envoy/jwt_authn.md` is held to the same list.

use serde_json::Value;

use super::comparison::{ACCEPTED, Difference, Outcome};
use super::generated::Features;
use super::header_changes;

/// Any reason for a refusal.
const REFUSED: &str = "refused";

/// One deviation on purpose.
pub(super) struct Deviation {
    pub(super) id: String,
    /// Handwritten pairs that differ in exactly this way.
    pub(super) shown_by: Vec<Shown>,
    /// Configurations that only `jwt_authn` takes, by their names in [`super::trials::refused`].
    pub(super) configurations: Vec<String>,
    /// Which generated pairs it explains.
    explains: Vec<Explanation>,
}

/// A handwritten pair, and the difference that it shows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shown {
    pub(super) trial: String,
    pub(super) request: String,
    pub(super) difference: Difference,
    /// Whether it depends on chance which of two pairs of the deviation differs.
    pub(super) is_chance: bool,
}

/// What has to hold of a generated pair for a deviation to explain its difference.
struct Explanation {
    /// All of these features.
    with: Vec<String>,
    /// One of these, unless there are none.
    with_any: Vec<String>,
    /// None of these.
    without: Vec<String>,
    change: Change,
}

enum Change {
    /// One of the reasons of `jwt_authn`, and one of Portcullis.
    Verdict(Vec<String>, Vec<String>),
    /// A header of the upstream's, changed in this way.
    Header(HeaderChange),
}

/// How two values of a header are related.
type HeaderChange = fn(name: &str, native: &[String], own: &[String]) -> bool;

pub(super) fn all() -> Vec<Deviation> {
    let list: Value = serde_json::from_str(include_str!("../deviations.json")).expect("JSON");
    let list = list.as_array().expect("a list").iter();
    list.map(Deviation::read).collect()
}

impl Deviation {
    fn read(entry: &Value) -> Self {
        let list = |key: &str| entry[key].as_array().cloned().unwrap_or_default();
        Self {
            id: text(&entry["id"]),
            shown_by: list("shown_by").iter().map(Shown::read).collect(),
            configurations: texts(&entry["shown_by_configurations"]),
            explains: list("explains").iter().map(Explanation::read).collect(),
        }
    }

    /// Whether this difference of a generated pair with these features is meant.
    pub(super) fn explains(
        &self,
        difference: &Difference,
        features: &Features,
        native: &Outcome,
        own: &Outcome,
    ) -> bool {
        let mut explains = self.explains.iter();
        explains.any(|explanation| {
            explanation.is_about(features)
                && explanation.change.covers(difference, features, native, own)
        })
    }

    pub(super) fn features(&self) -> impl Iterator<Item = &str> {
        let explains = self.explains.iter();
        let names =
            explains.flat_map(|one| one.with.iter().chain(&one.with_any).chain(&one.without));
        names.map(String::as_str)
    }
}

impl Shown {
    fn read(entry: &Value) -> Self {
        let (native, own) = (&entry["jwt_authn"], &entry["portcullis"]);
        let difference = match entry.get("header") {
            Some(name) => Difference::Header(text(name), texts(native), texts(own)),
            None => Difference::Status(status(native), status(own)),
        };
        Self {
            trial: text(&entry["trial"]),
            request: text(&entry["request"]),
            difference,
            is_chance: entry.get("by_chance").is_some(),
        }
    }
}

impl Explanation {
    fn read(entry: &Value) -> Self {
        let change = match entry.get("header") {
            Some(name) => Change::Header(header_change(&text(name))),
            None => Change::Verdict(texts(&entry["jwt_authn"]), texts(&entry["portcullis"])),
        };
        Self {
            with: texts(&entry["with"]),
            with_any: texts(&entry["with_any"]),
            without: texts(&entry["without"]),
            change,
        }
    }
}

impl Explanation {
    fn is_about(&self, features: &Features) -> bool {
        let has = |name: &String| features.has(name);
        self.with.iter().all(has)
            && (self.with_any.is_empty() || self.with_any.iter().any(has))
            && !self.without.iter().any(has)
    }
}

impl Change {
    fn covers(
        &self,
        difference: &Difference,
        features: &Features,
        native: &Outcome,
        own: &Outcome,
    ) -> bool {
        match (self, difference) {
            (Self::Verdict(there, here), Difference::Status(..)) => {
                // Of several alternatives that fail, the reason of another one may be told.
                let is_other = features.has("requires_any") && *here != [ACCEPTED];
                let refused = is_other && is_one_of(&[REFUSED.to_owned()], own);
                is_one_of(there, native) && (is_one_of(here, own) || refused)
            }
            // Where requests go through without a good token too, what differs is whether the
            // upstream is told whose token it was.
            (Self::Verdict(expected, _), Difference::Header(name, there, here)) => {
                let is_optional = ["allow_missing", "allow_missing_or_failed"]
                    .iter()
                    .any(|feature| features.has(feature));
                let is_meant = if expected.iter().any(|reason| reason == ACCEPTED) {
                    header_changes::token_left
                } else {
                    header_changes::token_taken
                };
                is_optional && is_meant(name, there, here)
            }
            (Self::Header(is_meant), Difference::Header(name, there, here)) => {
                is_meant(name, there, here)
            }
            _ => false,
        }
    }
}

/// Whether the outcome is one of these names: by their reasons, by their statuses, or as `refused`.
fn is_one_of(named: &[String], outcome: &Outcome) -> bool {
    named.iter().any(|name| match name.as_str() {
        REFUSED => (400..500).contains(&outcome.status),
        // The filter has let it through, with a header that Envoy then cannot send.
        ACCEPTED if outcome.reason.starts_with("invalid_header_value") => true,
        name => name == outcome.reason || name == outcome.status.to_string(),
    })
}

/// The ways in which headers are meant to differ, by the names that the list has for them.
fn header_change(name: &str) -> HeaderChange {
    match name {
        "alias removed" => header_changes::alias_removed,
        "digits kept" => header_changes::digits_kept,
        "cookie removed" => header_changes::cookie_removed,
        "filled once" => header_changes::filled_once,
        "scheme recognised" => header_changes::scheme_recognised,
        "token left" => header_changes::token_left,
        "token taken" => header_changes::token_taken,
        "query unchanged" => header_changes::query_unchanged,
        other => panic!("no change of headers is called `{other}`"),
    }
}

fn status(value: &Value) -> u16 {
    let status = value.as_u64().expect("a status");
    u16::try_from(status).expect("a status")
}

fn text(value: &Value) -> String {
    value.as_str().expect("text").to_owned()
}

/// A text, a list of texts, or nothing.
fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::Null => Vec::new(),
        Value::Array(list) => list.iter().map(text).collect(),
        one => vec![text(one)],
    }
}

/// A misspelt name would have no effect.
#[test]
fn every_deviation_names_reasons_and_features_that_there_are() {
    let own: Vec<_> = portcullis::gate::Reason::ALL
        .map(portcullis::gate::Reason::label)
        .into();
    for deviation in all() {
        let mut features = deviation.features();
        assert!(features.all(Features::is_known), "{}", deviation.id);
        for explanation in &deviation.explains {
            if let Change::Verdict(there, here) = &explanation.change {
                assert!(!there.is_empty() && !here.is_empty(), "{}", deviation.id);
                let is_known = |reason: &String| {
                    [ACCEPTED, REFUSED].contains(&&**reason) || own.contains(&&**reason)
                };
                assert!(here.iter().all(is_known), "{}: {here:?}", deviation.id);
            }
        }
    }
}
