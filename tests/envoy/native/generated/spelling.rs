//! A configuration in another spelling that means the same.

use serde_json::{Map, Value, json};

use crate::support::Random;

/// Objects whose names are chosen, and stay as they are.
const NAMED: [&str; 2] = ["providers", "requirement_map"];

/// Each key and value spelt by chance in one of the ways that protobuf's JSON takes.
pub(super) fn random(value: &Value, random: &mut Random) -> Value {
    match value {
        Value::Object(members) => {
            let mut respelt = Map::new();
            for (name, member) in members {
                let member = if NAMED.contains(&name.as_str()) {
                    each(member, random)
                } else if name == "case_sensitive" && random.chance(30) {
                    // The only one of these that protobuf has a wrapper for.
                    json!({"value": self::random(member, random)})
                } else {
                    self::random(member, random)
                };
                let camel = random.chance(40);
                let name = if camel {
                    camel_case(name)
                } else {
                    name.clone()
                };
                respelt.insert(name, member);
            }
            Value::Object(respelt)
        }
        Value::Array(elements) => match &**elements {
            [one] if random.chance(50) => self::random(one, random),
            elements => elements
                .iter()
                .map(|one| self::random(one, random))
                .collect(),
        },
        Value::Bool(boolean) if random.chance(40) => {
            let words = if *boolean {
                ["true", "True", "t", "yes", "Y", "1"]
            } else {
                ["false", "FALSE", "f", "No", "n", "0"]
            };
            json!(random.pick(&words))
        }
        Value::Number(number) if random.chance(50) => {
            let texts = [
                number.to_string(),
                format!("{number}.0"),
                format!("{number}e0"),
            ];
            json!(random.pick(&texts))
        }
        Value::String(text) => match seconds(text) {
            Some(seconds) if random.chance(60) => random
                .pick(&[
                    json!({"seconds": seconds}),
                    json!({"seconds": seconds.to_string(), "nanos": 0}),
                    json!(format!("{seconds}.000s")),
                ])
                .clone(),
            _ => value.clone(),
        },
        other => other.clone(),
    }
}

/// Each member of an object, under its name.
fn each(members: &Value, random: &mut Random) -> Value {
    let members = members.as_object().expect("an object").iter();
    let members = members.map(|(name, member)| (name.clone(), self::random(member, random)));
    Value::Object(members.collect())
}

/// Of a duration in whole seconds.
fn seconds(text: &str) -> Option<u64> {
    text.strip_suffix('s')?.parse().ok()
}

fn camel_case(key: &str) -> String {
    let mut words = key.split('_');
    let first = words.next().expect("a word").to_owned();
    let rest = words.map(|word| word[..1].to_uppercase() + &word[1..]);
    first + &rest.collect::<String>()
}
