//! A configuration in its usual spelling, for looking at it after it was read.

use std::collections::{HashMap, HashSet};
use std::ptr;

use serde_json::Value;

/// What was found to be spelt in another way than the usual one. A value is identified by its
/// address in memory, since several values of one configuration may look the same.
#[derive(Default)]
pub(super) struct Usual {
    keys: HashMap<*const Value, &'static str>,
    values: HashMap<*const Value, Value>,
    lists: HashSet<*const Value>,
}

impl Usual {
    /// The member has the camel case of this key as its name.
    pub(super) fn rename(&mut self, member: &Value, key: &'static str) {
        self.keys.insert(ptr::from_ref(member), key);
    }

    /// The value is written as another one.
    pub(super) fn replace(&mut self, written: &Value, value: Value) {
        self.values.insert(ptr::from_ref(written), value);
    }

    /// The value stands for a list of one element.
    pub(super) fn enlist(&mut self, element: &Value) {
        self.lists.insert(ptr::from_ref(element));
    }

    /// The value, which is the one that was read, in its usual spelling.
    pub(super) fn spelling_of(&self, written: &Value) -> Value {
        let address = ptr::from_ref(written);
        let value = self.values.get(&address).cloned();
        let value = value.unwrap_or_else(|| self.inside(written));
        if self.lists.contains(&address) {
            return Value::Array(vec![value]);
        }
        value
    }

    fn inside(&self, written: &Value) -> Value {
        match written {
            Value::Object(members) => {
                let members = members.iter().map(|(name, member)| {
                    let key = self.keys.get(&ptr::from_ref(member));
                    let name = key.map_or_else(|| name.clone(), |key| (*key).to_owned());
                    (name, self.spelling_of(member))
                });
                Value::Object(members.collect())
            }
            Value::Array(elements) => elements
                .iter()
                .map(|element| self.spelling_of(element))
                .collect(),
            other => other.clone(),
        }
    }
}
