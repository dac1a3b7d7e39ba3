//! The JSON Schema for editors, `envoy/configuration.schema.json`, made from the [list of keys](super::list)
//! (`./build.sh readme` writes it anew), and held to what the filter takes. `portcullis schema` prints it.

use jsonschema::Validator;
use serde_json::{Map, Value, json};

use super::closed::{NodePath, OF_ANY_KIND};
use super::list::{Key, as_documented, with_examples};
use super::page::hold;
use super::spelling::usual;
use super::{inspected, read_value};

impl Key {
    /// What a value has to be like.
    fn schema(&self) -> Value {
        let text = json!({"type": "string", "minLength": 1});
        let any = json!({"not": {"type": "null"}});
        let named = |kind: &str| {
            let name = kind.strip_prefix("`<")?.strip_suffix(">`")?;
            Some(json!({"$ref": format!("#/$defs/{name}")}))
        };
        match self.kind.as_str() {
            "string" => text,
            "string, may be empty" => json!({"type": "string"}),
            "boolean" => json!({"type": "boolean"}),
            "`true`" => json!({"const": true}),
            "duration" => json!({"$ref": "#/$defs/duration"}),
            "number" => json!({"type": "integer", "minimum": 0, "maximum": u32::MAX}),
            "whole number" => json!({"type": "integer"}),
            "any value" => any,
            "anything" => json!({}),
            "object" => object(),
            "`{}`" => json!({"type": "object", "maxProperties": 0}),
            "map" => json!({"type": "object", "additionalProperties": object()}),
            "map of names" => json!({"type": "object", "additionalProperties": text}),
            "list" => json!({"type": "array", "items": object()}),
            "list of strings" => json!({"type": "array", "items": text}),
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

    fn description(&self) -> String {
        let text = match (self.meaning.as_str(), self.more.as_str()) {
            (meaning, "") => meaning.to_owned(),
            (meaning, more) => format!("{meaning}. {more}"),
        };
        without_links(&text)
    }
}

fn object() -> Value {
    json!({"type": "object", "properties": {}, "additionalProperties": false})
}

fn duration() -> Value {
    let integer = |maximum: u64| json!({"type": "integer", "minimum": 0, "maximum": maximum});
    let parts = json!({"seconds": integer(315_576_000_000), "nanos": integer(999_999_999)});
    json!({"anyOf": [
        {"type": "string", "pattern": "^[0-9]+(\\.[0-9]{1,9})?s$"},
        {"type": "object", "properties": parts, "additionalProperties": false},
    ]})
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
        own["description"] = key.description().into();
        own["examples"] = json!([key.example_value()]);
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
    definitions.insert("duration".to_owned(), duration());
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

/// Without the targets of links, which are relative to a document.
fn without_links(text: &str) -> String {
    let mut parts = text.split("](");
    let mut plain = parts.next().unwrap().replace('[', "");
    for part in parts {
        let (_, behind) = part.split_once(')').unwrap();
        plain += &behind.replace('[', "");
    }
    plain
}

fn validator(schema: &Value) -> Validator {
    jsonschema::draft202012::meta::validate(schema).unwrap();
    jsonschema::draft202012::new(schema).unwrap()
}

#[test]
fn the_schema_is_that_of_the_list_of_keys() {
    let text = format!("{:#}\n", schema(&Key::all()));
    hold("configuration.schema.json", &text);
}

#[test]
fn the_schema_takes_what_the_filter_takes_and_no_value_of_another_kind() {
    let validator = validator(&schema(&Key::all()));
    let configuration = usual();
    assert!(validator.is_valid(&configuration));
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
            assert_eq!(validator.is_valid(&changed), is_taken, "{path}: {value}");
        }
    }
}

#[test]
fn a_mistyped_key_is_refused_at_every_level() {
    let validator = validator(&schema(&Key::all()));
    let configuration = usual();
    let mut tried = 0;
    for node in NodePath::all(&configuration) {
        if let Some(changed) = node.renamed(&configuration, "no such key") {
            assert!(!validator.is_valid(&changed), "{}", node.path());
            tried += 1;
        }
    }
    assert!(tried > 150, "{tried}");
}

#[test]
fn a_key_is_missing_where_the_list_says_that_it_is_required() {
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
    }
}

#[test]
fn the_schema_takes_every_example() {
    let validator = validator(&schema(&Key::all()));
    for (key, configuration) in with_examples() {
        let usual = inspected(&configuration).configuration;
        let errors: Vec<_> = validator.iter_errors(&usual).collect();
        assert!(errors.is_empty(), "{}: {errors:?}", key.path);
    }
}

#[test]
fn a_description_has_no_links() {
    assert_eq!(without_links("as [`a`](#a-b), [c](d.md)."), "as `a`, c.");
    assert_eq!(without_links("a"), "a");
}
