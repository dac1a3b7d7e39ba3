//! Every value of a file with everything in it is replaced in turn by one of another kind, and every key
//! mistyped: that is a fault at its path, and never counts as if the value were absent.

use super::*;

/// A step on the way to a value: a JSON pointer's, and the path as faults name it.
#[derive(Clone, Debug, Default)]
struct Place {
    pointer: String,
    path: String,
}

/// Where the operator chooses the names, so that none is a typing error.
const NAMED_BY_THE_OPERATOR: &str = "session_policy.clients";

/// Every place below the whole.
fn places(value: &Value) -> Vec<Place> {
    let mut places = Vec::new();
    collect(value, &Place::default(), &mut places);
    places
}

fn collect(value: &Value, at: &Place, places: &mut Vec<Place>) {
    let steps: Vec<(Place, &Value)> = match value {
        Value::Object(members) => members
            .iter()
            .map(|(name, value)| {
                let path = crate::configuration::joined(&at.path, name);
                let pointer = format!("{}/{name}", at.pointer);
                (Place { pointer, path }, value)
            })
            .collect(),
        Value::Array(elements) => (elements.iter().enumerate())
            .map(|(index, value)| {
                let path = format!("{}[{index}]", at.path);
                let pointer = format!("{}/{index}", at.pointer);
                (Place { pointer, path }, value)
            })
            .collect(),
        _ => Vec::new(),
    };
    for (place, value) in steps {
        collect(value, &place, places);
        places.push(place);
    }
}

fn replaced(place: &Place, value: Value) -> Value {
    let mut document = complete();
    *document.pointer_mut(&place.pointer).unwrap() = value;
    document
}

/// Whether one of the faults is of this value, or of something in it.
fn is_told(document: &Value, path: &str) -> bool {
    let configured = read(document);
    let is_of = |fault: &Fault| {
        let rest = fault.path.strip_prefix(path);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
    };
    configured.configuration.is_none() && configured.faults.iter().any(is_of)
}

#[test]
fn a_value_of_another_kind_is_a_fault_at_its_path_everywhere() {
    let mut count = 0;
    for place in places(&complete()) {
        let document = complete();
        let found = document.pointer(&place.pointer).unwrap();
        let others = [
            json!(true),
            json!(-1),
            json!(0.5),
            json!(""),
            json!([]),
            json!([[]]),
            json!({}),
            json!({"x": 1}),
            json!("\u{0}"),
        ];
        for other in others {
            let is_same_kind = match (found, &other) {
                // An empty list of what may be left out is as good as none.
                (Value::Array(_), Value::Array(list)) => list.is_empty(),
                (Value::Object(_), Value::Object(members)) => members.is_empty(),
                // One element may stand for a list.
                (Value::String(_) | Value::Array(_), Value::String(text)) => !text.is_empty(),
                _ => false,
            };
            if is_same_kind {
                continue;
            }
            let is_read = !is_told(&replaced(&place, other.clone()), &place.path);
            assert!(!is_read, "{}: {other}", place.path);
            count += 1;
        }
    }
    assert!(count > 300, "{count}");
}

#[test]
fn a_typing_error_in_any_key_is_a_fault_at_its_path() {
    let mut count = 0;
    for place in places(&complete()) {
        let (parent, name) = place.pointer.rsplit_once('/').unwrap();
        let (above, _) = place.path.split_at(place.path.len() - name.len());
        let above = above.trim_end_matches('.');
        let mut document = complete();
        let object = document.pointer_mut(parent).and_then(Value::as_object_mut);
        let Some(object) = object.filter(|_| !above.ends_with(NAMED_BY_THE_OPERATOR)) else {
            continue;
        };
        let value = object.remove(name).unwrap();
        let mistyped = format!("{name}x");
        object.insert(mistyped.clone(), value);
        let path = crate::configuration::joined(above, &mistyped);
        assert!(
            is_told(&document, &path),
            "{path}: {:?}",
            read(&document).faults
        );
        count += 1;
    }
    assert!(count > 40, "{count}");
}
