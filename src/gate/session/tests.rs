use serde_json::json;
use wasm_bindgen_test::wasm_bindgen_test;

use super::*;

#[wasm_bindgen_test(unsupported = test)]
fn values_that_would_change_on_the_way_are_not_forwardable() {
    for value in [
        "a\r\nx-admin: 1",
        "a\nb",
        "a\0b",
        "a\u{7f}",
        "a\u{85}b",
        "a\u{2028}b",
        "a\u{202e}b",
        "a\u{2066}b",
        " alice",
        "alice\t",
        "alice\u{a0}",
        &"a".repeat(MAX_VALUE_BYTES + 1),
    ] {
        assert!(!is_forwardable(value), "{}", value.escape_debug());
    }
    for value in [
        "",
        "alice",
        "José, O'Neil",
        "日本語",
        &"a".repeat(MAX_VALUE_BYTES),
    ] {
        assert!(is_forwardable(value), "{value}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn scalars_keep_their_digits_and_structures_are_base64_of_their_json() {
    for (value, expected) in [
        (json!("text"), "text"),
        (json!(9_007_199_254_740_993_u64), "9007199254740993"),
        (json!(-7), "-7"),
        (json!(1.5), "1.5"),
        (json!(true), "true"),
        (json!(null), ""),
        (json!(["a", "b"]), "WyJhIiwiYiJd"),
        (json!({"a": 1}), "eyJhIjoxfQ=="),
    ] {
        let written = header_value(&value, Form::Base64);
        assert_eq!(written.as_deref(), Ok(expected), "{value}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn lists_and_objects_are_written_in_the_form_that_was_chosen() {
    for (value, json, comma) in [
        (json!(["a", "b"]), r#"["a","b"]"#, Some("a,b")),
        (json!([1, true]), "[1,true]", Some("1,true")),
        (json!([]), "[]", Some("")),
        (json!(["a,b"]), r#"["a,b"]"#, None),
        (json!(["a", ""]), r#"["a",""]"#, None),
        (json!([" a"]), r#"[" a"]"#, None),
        (json!([["a"]]), r#"[["a"]]"#, None),
        (json!({"a": 1}), r#"{"a":1}"#, None),
        (
            json!(["\u{e9}\u{1f600}\n\u{7f}"]),
            r#"["\u00e9\ud83d\ude00\n\u007f"]"#,
            None,
        ),
    ] {
        assert_eq!(header_value(&value, Form::Json).as_deref(), Ok(json));
        let joined = header_value(&value, Form::Comma).ok();
        if value.to_string().is_ascii() {
            assert_eq!(joined.as_deref(), comma, "{value}");
        }
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn the_payload_is_padded_only_where_that_was_asked_for() {
    for (encoded, padded) in [("YQ", "YQ=="), ("YWI", "YWI="), ("YWJj", "YWJj")] {
        let token = format!("e30.{encoded}.c2ln");
        assert_eq!(payload(token.as_bytes(), false), encoded);
        assert_eq!(payload(token.as_bytes(), true), padded);
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_is_logged_stands_in_one_line() {
    assert_eq!(loggable(&json!("alice")), "alice");
    assert_eq!(loggable(&json!("a\r\nb")), "a\\r\\nb");
    assert_eq!(loggable(&json!(["a"])), r#"["a"]"#);
    assert_eq!(loggable(&json!("a".repeat(1000))).len(), 256);
}

#[wasm_bindgen_test(unsupported = test)]
fn lists_of_words_are_joined_only_when_they_can_be_told_apart_again() {
    for (value, expected) in [
        (json!(["read", "write"]), "read write"),
        (
            json!(["read all", "x"]),
            &STANDARD.encode(r#"["read all","x"]"#),
        ),
        (json!("read write"), "read write"),
    ] {
        assert_eq!(standard_value(&value).as_deref(), Ok(expected), "{value}");
    }
}

#[wasm_bindgen_test(unsupported = test)]
fn what_says_who_is_calling_is_known_by_name() {
    let identities = ["subject", "id", "issuer", "client", "token-id"];
    let set = SessionHeaders::new("", Unfit::Refuse);
    let headers = set.names().zip(SessionHeaders::standard());
    let named = headers.filter(|(_, header)| header.is_identity);
    assert!(named.map(|(name, _)| name).eq(identities));
}
