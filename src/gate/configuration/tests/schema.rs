//! The list of all keys, `envoy/configuration.json`, from which the table of
//! `envoy/configuration.md` and the JSON Schema for editors, `envoy/configuration.schema.json`, are
//! made (`./build.sh readme` writes them anew), and which is held to the code here.

use std::path::{Path, PathBuf};
use std::{env, fs};

use serde_json::{Map, Value, json};

use super::closed::{NodePath, OF_ANY_KIND};
use super::readme::as_documented;
use super::{complete, environment, read_value};
use crate::configuration::Variable;
use crate::gate::configuration::inspect;

/// One key, with what it holds and its default.
struct Key {
    path: String,
    kind: String,
    default: String,
    meaning: String,
    is_own: bool,
}

impl Key {
    fn all() -> Vec<Self> {
        let text = include_str!("../../../../envoy/configuration.json");
        let list: Vec<Value> = serde_json::from_str(text).unwrap();
        let key = |row: &Value| {
            let cell = |name: &str| row[name].as_str().unwrap().to_owned();
            Self {
                path: cell("key"),
                kind: cell("type"),
                default: cell("default"),
                meaning: cell("meaning"),
                is_own: row["own"] == true,
            }
        };
        list.iter().map(key).collect()
    }

    fn row(&self) -> String {
        let mark = if self.is_own { " ◆" } else { "" };
        let Self {
            path,
            kind,
            default,
            meaning,
            ..
        } = self;
        format!("| `{path}`{mark} | {kind} | {default} | {meaning} |\n")
    }

    /// The default, if it is a value.
    fn default_value(&self) -> Option<Value> {
        let text = self.default.strip_prefix('`')?.strip_suffix('`')?;
        if text.contains('`') {
            return None;
        }
        Some(match self.kind.as_str() {
            "flag" => text.parse::<bool>().unwrap().into(),
            kind if kind.contains("number") => text.parse::<i64>().unwrap().into(),
            _ => text.into(),
        })
    }

    /// What a value has to be like.
    fn schema(&self) -> Value {
        let text = json!({"type": "string", "minLength": 1});
        let any = json!({"not": {"type": "null"}});
        let named = |kind: &str| {
            let name = kind.strip_prefix("`<")?.strip_suffix(">`")?;
            Some(json!({"$ref": format!("#/$defs/{name}")}))
        };
        match self.kind.as_str() {
            "text" => text,
            "text, also an empty one" => json!({"type": "string"}),
            "flag" => json!({"type": "boolean"}),
            "`true`" => json!({"const": true}),
            "duration" => json!({"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?s$"}),
            "number" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            "whole number" => json!({"type": "integer"}),
            "any value" => any,
            "anything" => json!({}),
            "object" => object(),
            "`{}`" => json!({"type": "object", "maxProperties": 0}),
            "map" => json!({"type": "object", "additionalProperties": object()}),
            "map of names" => json!({"type": "object", "additionalProperties": text}),
            "list" => json!({"type": "array", "items": object()}),
            "list of texts" => json!({"type": "array", "items": text}),
            "list of any values" => json!({"type": "array", "items": any}),
            kind => {
                if let Some(range) = kind.strip_prefix("number from ") {
                    let (least, most) = range.split_once(" to ").unwrap();
                    let end = |text: &str| text.parse::<u32>().unwrap();
                    json!({"type": "integer", "minimum": end(least), "maximum": end(most)})
                } else if let Some(inner) = kind.strip_prefix("list of ") {
                    json!({"type": "array", "items": named(inner).unwrap()})
                } else if let Some(inner) = kind.strip_prefix("map of ") {
                    json!({"type": "object", "additionalProperties": named(inner).unwrap()})
                } else {
                    named(kind).unwrap_or_else(|| words(kind))
                }
            }
        }
    }
}

fn object() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

/// `a`, `b` or `c`.
fn words(kind: &str) -> Value {
    let words = kind.split(" or ").map(|word| {
        let word = word
            .strip_prefix('`')
            .and_then(|word| word.strip_suffix('`'));
        word.unwrap_or_else(|| panic!("unknown type {kind}"))
    });
    json!({"enum": words.collect::<Vec<_>>()})
}

/// The whole schema. What is allowed in several objects, `<text>` for instance, is defined once.
fn schema(keys: &[Key]) -> Value {
    let mut whole = object();
    let mut definitions = Map::new();
    for key in keys {
        let (holder, path) = match key
            .path
            .strip_prefix('<')
            .and_then(|rest| rest.split_once(">."))
        {
            Some((name, path)) => (definitions.entry(name).or_insert_with(object), path),
            None => (&mut whole, key.path.as_str()),
        };
        let (holder, name) = match path.rsplit_once('.') {
            Some((above, name)) => (below(holder, above), name),
            None => (holder, path),
        };
        let mut own = key.schema();
        own["description"] = key.meaning.clone().into();
        if let Some(default) = key.default_value() {
            own["default"] = default;
        }
        holder["properties"][name] = own;
        if key.default == "required" {
            let required = holder.as_object_mut().unwrap().entry("required");
            let required = required.or_insert_with(|| json!([]));
            required.as_array_mut().unwrap().push(name.into());
        }
    }
    whole["$schema"] = "https://json-schema.org/draft/2020-12/schema".into();
    whole["title"] = "Portcullis".into();
    whole["description"] =
        "The usual spelling of every key; `portcullis validate` knows the others too, and much more."
            .into();
    whole["$defs"] = definitions.into();
    whole
}

/// The schema of the objects at this path below an object.
fn below<'s>(schema: &'s mut Value, path: &str) -> &'s mut Value {
    let mut inner = schema;
    for step in path.split('.') {
        let (step, is_list) = match step.strip_suffix("[]") {
            Some(step) => (step, true),
            None => (step, false),
        };
        inner = if step.starts_with('<') {
            &mut inner["additionalProperties"]
        } else {
            &mut inner["properties"][step]
        };
        if is_list {
            inner = &mut inner["items"];
        }
        // An object where a text is allowed as well.
        if inner["type"] == "string" {
            *inner = json!({"anyOf": [inner.clone(), object()]});
        }
        if inner.get("anyOf").is_some() {
            inner = &mut inner["anyOf"][1];
        }
    }
    inner
}

fn document(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("envoy")
        .join(name)
}

#[test]
fn the_tables_of_the_documents_and_the_schema_are_those_of_the_list_of_keys() {
    let keys = Key::all();
    let old = fs::read_to_string(document("configuration.md")).unwrap();
    let (first, last) = (
        "<!-- configuration keys -->\n",
        "<!-- end of configuration keys -->",
    );
    let (before, rest) = old.split_once(first).unwrap();
    let (_, after) = rest.split_once(last).unwrap();
    let head = "| key | type | default | meaning |\n|---|---|---|---|\n";
    let rows: String = keys.iter().map(Key::row).collect();
    let table = [before, first, head, &rows, last, after].concat();
    let schema = format!("{:#}\n", schema(&keys));
    for (name, text) in [
        ("configuration.md", table),
        ("configuration.schema.json", schema),
    ] {
        let path = document(name);
        if env::var("PORTCULLIS_README").is_ok_and(|mode| mode == "write") {
            fs::write(&path, text).unwrap();
        } else {
            let found = fs::read_to_string(&path).unwrap_or_default();
            assert!(found == text, "{name} is behind; run: ./build.sh readme");
        }
    }
}

/// Whether the schema takes a value.
fn conforms(value: &Value, schema: &Value, whole: &Value) -> bool {
    let mut keywords = schema.as_object().unwrap().iter();
    keywords.all(|(keyword, wanted)| match keyword.as_str() {
        "$schema" | "$defs" | "title" | "description" | "default" | "additionalProperties" => true,
        "$ref" => {
            let name = wanted.as_str().unwrap().strip_prefix("#/$defs/").unwrap();
            conforms(value, &whole["$defs"][name], whole)
        }
        "type" => match wanted.as_str().unwrap() {
            "null" => value.is_null(),
            "boolean" => value.is_boolean(),
            "integer" => value.as_f64().is_some_and(|number| number.fract() == 0.0),
            "string" => value.is_string(),
            "array" => value.is_array(),
            "object" => value.is_object(),
            other => panic!("{other}"),
        },
        "not" => !conforms(value, wanted, whole),
        "const" => value == wanted,
        "enum" => wanted.as_array().unwrap().contains(value),
        "anyOf" => {
            let mut schemas = wanted.as_array().unwrap().iter();
            schemas.any(|schema| conforms(value, schema, whole))
        }
        "minLength" => value.as_str() != Some(""),
        "pattern" => {
            let pattern = regex_lite::Regex::new(wanted.as_str().unwrap()).unwrap();
            value.as_str().is_none_or(|text| pattern.is_match(text))
        }
        "minimum" => value.as_f64() >= wanted.as_f64(),
        "maximum" => value.as_f64() <= wanted.as_f64(),
        "maxProperties" => value.as_object().is_none_or(Map::is_empty),
        "required" => {
            let mut names = wanted.as_array().unwrap().iter();
            names.all(|name| value.get(name.as_str().unwrap()).is_some())
        }
        "items" => {
            let mut elements = value.as_array().into_iter().flatten();
            elements.all(|element| conforms(element, wanted, whole))
        }
        "properties" => members_conform(value, wanted, &schema["additionalProperties"], whole),
        other => panic!("{other}"),
    }) && (schema.get("properties").is_some()
        || members_conform(value, &json!({}), &schema["additionalProperties"], whole))
}

fn members_conform(value: &Value, known: &Value, others: &Value, whole: &Value) -> bool {
    let mut members = value.as_object().into_iter().flatten();
    members.all(|(name, member)| match (known.get(name), others) {
        (None, Value::Bool(is_taken)) => *is_taken,
        (None, Value::Null) => true,
        (Some(schema), _) | (None, schema) => conforms(member, schema, whole),
    })
}

/// A configuration with every key, in the usual spelling.
fn usual() -> Value {
    let environment = |name: &str| environment(name).map_or(Variable::Unset, Variable::Set);
    let inspection = inspect(complete().to_string().as_bytes(), &environment);
    assert_eq!(inspection.faults, []);
    inspection.configuration
}

#[test]
fn the_schema_takes_what_the_filter_takes_and_no_value_of_another_kind() {
    let schema = schema(&Key::all());
    let configuration = usual();
    assert!(conforms(&configuration, &schema, &schema));
    for node in NodePath::all(&configuration) {
        let path = as_documented(&node.path());
        let mut original = configuration.clone();
        let original = node.get(&mut original);
        for value in [
            json!(true),
            json!(-0.5),
            json!(""),
            json!([[]]),
            json!({"no such key": {}}),
        ] {
            let is_alike = std::mem::discriminant(original) == std::mem::discriminant(&value);
            if (is_alike && value != "") || OF_ANY_KIND.contains(&&*path) {
                continue;
            }
            let changed = node.with(&configuration, value.clone());
            let is_taken = read_value(&changed).is_ok();
            assert_eq!(
                conforms(&changed, &schema, &schema),
                is_taken,
                "{path}: {value}"
            );
        }
    }
}

#[test]
fn a_key_that_is_missing_is_told_by_the_schema_where_the_list_says_that_it_is_required() {
    let schema = schema(&Key::all());
    let configuration = usual();
    let required = |path: &str| {
        let keys = Key::all();
        let key = keys.iter().find(|key| key.path == path);
        key.is_some_and(|key| key.default == "required")
    };
    for node in NodePath::all(&configuration) {
        let path = as_documented(&node.path());
        let Some(changed) = node.renamed(&configuration, "no such key") else {
            continue;
        };
        let Err(faults) = read_value(&changed) else {
            panic!("{path}");
        };
        let is_told = faults
            .iter()
            .any(|fault| fault.message.ends_with("` is missing"));
        assert_eq!(is_told, required(&path), "{path}: {faults:?}");
        assert!(!conforms(&changed, &schema, &schema), "{path}");
    }
}

/// A key with its default comes to the same as a key that is left out.
#[test]
fn the_defaults_of_the_list_are_those_that_count() {
    let configuration = usual();
    let mut tried = 0;
    for node in NodePath::all(&configuration) {
        let path = as_documented(&node.path());
        let keys = Key::all();
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
