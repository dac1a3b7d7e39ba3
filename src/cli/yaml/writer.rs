//! Writes a value as YAML that is meant to be read and edited.

use serde_json::{Map, Value};

/// Words that some YAML readers do not take for text.
const WORDS: [&str; 9] = ["true", "false", "null", "yes", "no", "on", "off", "y", "n"];

/// The value in block style, members in the order of their names, with a line break at the end.
pub(crate) fn to_yaml(value: &Value) -> String {
    let mut text = String::new();
    match value {
        Value::Object(members) if !members.is_empty() => object(members, 0, &mut text),
        Value::Array(elements) if !elements.is_empty() => list(elements, 0, &mut text),
        other => {
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
    text
}

/// Every member on a line of its own, indented by `margin`.
fn object(members: &Map<String, Value>, margin: usize, text: &mut String) {
    for (index, (name, value)) in members.iter().enumerate() {
        // The indentation of the first one is written already.
        if index > 0 {
            text.push_str(&" ".repeat(margin));
        }
        text.push_str(&word(name));
        text.push(':');
        below(value, margin, text);
    }
}

fn list(elements: &[Value], margin: usize, text: &mut String) {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            text.push_str(&" ".repeat(margin));
        }
        text.push_str("- ");
        match element {
            Value::Object(members) if !members.is_empty() => object(members, margin + 2, text),
            Value::Array(inner) if !inner.is_empty() => list(inner, margin + 2, text),
            other => {
                text.push_str(&scalar(other));
                text.push('\n');
            }
        }
    }
}

/// The value of a member, after its name.
fn below(value: &Value, margin: usize, text: &mut String) {
    let margin = margin + 2;
    match value {
        Value::Object(members) if !members.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(margin));
            object(members, margin, text);
        }
        Value::Array(elements) if !elements.is_empty() => {
            text.push('\n');
            text.push_str(&" ".repeat(margin));
            list(elements, margin, text);
        }
        other => {
            text.push(' ');
            text.push_str(&scalar(other));
            text.push('\n');
        }
    }
}

fn scalar(value: &Value) -> String {
    match value {
        Value::String(text) => word(text),
        // Empty lists and objects look the same in JSON.
        other => other.to_string(),
    }
}

/// Text without quotes where every reader takes it for text, otherwise as JSON writes it, which is
/// YAML too.
fn word(text: &str) -> String {
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-./".contains(&byte);
    let begins = text.starts_with(|letter: char| letter.is_ascii_alphabetic() || letter == '/');
    let is_word = WORDS.iter().any(|word| text.eq_ignore_ascii_case(word));
    let is_url = (text.starts_with("https://") || text.starts_with("http://"))
        && text.bytes().all(|byte| is_plain(byte) || byte == b':')
        && !text.ends_with(':');
    if is_url || (begins && !is_word && text.bytes().all(is_plain)) {
        return text.to_owned();
    }
    if let (true, false) = (text.contains('"'), text.contains('\'')) {
        let is_printable = |letter: char| matches!(letter, ' '..='~');
        if text.chars().all(is_printable) {
            return format!("'{text}'");
        }
    }
    Value::from(text).to_string()
}
