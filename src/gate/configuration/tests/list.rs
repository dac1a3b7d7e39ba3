//! The list of all keys, `envoy/configuration.json`, held to the code. The [page](super::page) of the
//! documents and the [schema](super::schema) for editors are made from it: `./build.sh readme` writes both.

use std::collections::BTreeSet;

use serde_json::Value;

use super::closed::NodePath;
use super::{Reading, complete, inspected, policy, read_value};
use crate::cli::yaml;
use crate::configuration::{Variable, joined};

/// Keys with a table of their own.
pub(super) struct Group {
    pub(super) heading: String,
    /// What their paths have in common.
    pub(super) below: String,
    /// What is said of all of them.
    pub(super) text: String,
    pub(super) keys: Vec<Key>,
}

/// One key, with what it holds and its default.
#[derive(Clone)]
pub(super) struct Key {
    pub(super) path: String,
    pub(super) kind: String,
    pub(super) default: String,
    /// A value, as it is written in YAML.
    pub(super) example: String,
    /// A line.
    pub(super) meaning: String,
    /// What does not fit into it.
    pub(super) more: String,
    pub(super) is_own: bool,
}

impl Group {
    pub(super) fn all() -> Vec<Self> {
        let text = include_str!("../../../../envoy/configuration.json");
        let list: Vec<Value> = serde_json::from_str(text).unwrap();
        let mut groups: Vec<Self> = Vec::new();
        for row in &list {
            let cell = |name: &str| row[name].as_str().unwrap().to_owned();
            let optional = |name: &str| row[name].as_str().unwrap_or_default().to_owned();
            if row.get("group").is_some() {
                groups.push(Self {
                    heading: cell("group"),
                    below: cell("below"),
                    text: optional("text"),
                    keys: Vec::new(),
                });
                continue;
            }
            groups.last_mut().unwrap().keys.push(Key {
                path: cell("key"),
                kind: cell("type"),
                default: cell("default"),
                example: cell("example"),
                meaning: cell("meaning"),
                more: optional("more"),
                is_own: row["own"] == true,
            });
        }
        groups
    }
}

impl Key {
    pub(super) fn all() -> Vec<Self> {
        let groups = Group::all().into_iter();
        groups.flat_map(|group| group.keys).collect()
    }

    /// The last part of its path.
    pub(super) fn name(&self) -> &str {
        self.path.rsplit('.').next().unwrap()
    }

    pub(super) fn example_value(&self) -> Value {
        let documents = yaml::documents(&self.example);
        let [document] = documents.as_deref().unwrap() else {
            panic!("{}: expected one value", self.path);
        };
        document.value.clone()
    }

    /// The default, where it is a value.
    pub(super) fn default_value(&self) -> Option<Value> {
        let text = self.default.strip_prefix('`')?.strip_suffix('`')?;
        if text.contains('`') {
            return None;
        }
        Some(match self.kind.as_str() {
            "boolean" => text.parse::<bool>().unwrap().into(),
            kind if kind.contains("number") => text.parse::<i64>().unwrap().into(),
            _ => text.into(),
        })
    }

    /// Configurations with the example at each node of this one where the key is allowed: beside what is
    /// there, and by itself, since some keys exclude others.
    fn at_nodes_of(&self, configuration: &Value) -> Vec<Value> {
        let name = self.name();
        let mut nodes = NodePath::all(configuration);
        nodes.push(NodePath(Vec::new()));
        nodes.retain(|node| as_documented(&joined(&node.path(), name)) == self.path);
        let mut variants = Vec::new();
        for node in nodes {
            for is_alone in [false, true] {
                let mut variant = configuration.clone();
                let Value::Object(members) = node.get(&mut variant) else {
                    continue;
                };
                if is_alone {
                    members.clear();
                }
                members.insert(name.to_owned(), self.example_value());
                variants.push(variant);
            }
        }
        variants
    }
}

/// The examples of the keys at the top, which fit together.
fn of_examples() -> Value {
    let keys = Key::all().into_iter();
    let keys = keys.filter(|key| !key.path.contains('.') && !key.path.contains('<'));
    keys.map(|key| (key.path.clone(), key.example_value()))
        .collect()
}

/// A configuration with every example, once at each node where the filter takes it.
pub(super) fn with_examples() -> Vec<(Key, Value)> {
    let frames = [complete(), of_examples()];
    let mut found = Vec::new();
    for key in Key::all() {
        let variants = frames.iter().flat_map(|frame| key.at_nodes_of(frame));
        let taken = variants.filter(|variant| inspected(variant).faults.is_empty());
        found.extend(taken.map(|variant| (key.clone(), variant)));
    }
    found
}

#[test]
fn the_list_has_exactly_the_keys_that_are_read() {
    let configuration = complete();
    let reading = Reading::new(&configuration, &|_| Variable::Unknown);
    policy(reading.root()).unwrap();
    let asked = reading.asked();
    let read: BTreeSet<_> = asked.iter().map(|key| as_documented(key)).collect();
    let keys = Key::all();
    let listed: BTreeSet<_> = keys.iter().map(|key| key.path.clone()).collect();
    assert_eq!(listed, read);
    assert_eq!(listed.len(), keys.len());
}

#[test]
fn the_filter_takes_every_example() {
    assert_eq!(inspected(&of_examples()).faults, []);
    let taken: BTreeSet<_> = with_examples()
        .into_iter()
        .map(|(key, _)| key.path)
        .collect();
    let keys = Key::all().into_iter().map(|key| key.path);
    let left: Vec<_> = keys.filter(|path| !taken.contains(path)).collect();
    assert!(left.is_empty(), "{left:#?}");
}

/// A key with its default comes to the same as a key that is left out.
#[test]
fn the_defaults_of_the_list_are_those_that_count() {
    let configuration = super::spelling::usual();
    let keys = Key::all();
    let mut tried = 0;
    for node in NodePath::all(&configuration) {
        let path = as_documented(&node.path());
        let key = keys.iter().find(|key| key.path == path);
        let Some(default) = key.and_then(Key::default_value) else {
            continue;
        };
        let written = node.with(&configuration, default);
        let left_out = node.without(&configuration);
        // If another key has no effect without it, neither of them is read.
        let read = |configuration: &Value| {
            let read = read_value(configuration);
            read.map(|configured| format!("{:?}", configured.policy))
        };
        assert_eq!(read(&written), read(&left_out), "{path}");
        tried += 1;
    }
    assert!(tried > 20);
}

/// Names that the operator chooses, indices of lists, and what may be in several objects, as they are
/// written in the list.
pub(super) fn as_documented(key: &str) -> String {
    let mut key = key.to_owned();
    for digit in 0..10 {
        key = key.replace(&format!("[{digit}]"), "[]");
    }
    for (name, written) in [
        ("providers.idp", "providers.<name>"),
        ("providers.remote", "providers.<name>"),
        ("providers.searched", "providers.<name>"),
        ("requirement_map.some", "requirement_map.<name>"),
        ("requirement_map.both", "requirement_map.<name>"),
        (
            "filter_state_rules.requires.some",
            "filter_state_rules.requires.<name>",
        ),
        (
            "requirement_by_route_name.assets",
            "requirement_by_route_name.<route>",
        ),
    ] {
        key = key.replace(name, written);
    }
    key = key.replace("[\"@type\"]", "@type");
    for (suffix, written) in [
        ("safe_regex", "<regex>"),
        ("safe_regex_match", "<regex>"),
        ("string_match", "<text>"),
        ("subjects", "<text>"),
        ("issuer_pattern", "<text>"),
        ("requirements[]", "<requirement>"),
        ("filter_state_rules.requires.<name>", "<requirement>"),
        ("requires", "<requirement>"),
        ("requirement_map.<name>", "<requirement>"),
        ("match.headers[]", "<header>"),
        ("match.query_parameters[]", "<parameter>"),
    ] {
        if let Some((_, rest)) = key.rsplit_once(&format!("{suffix}.")) {
            return format!("{written}.{rest}");
        }
    }
    key
}
