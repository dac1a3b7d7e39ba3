//! What records in shared data are sealed with.

use super::*;
use crate::namespace::RecordSecret;

fn secret_of(configuration: &Value) -> RecordSecret {
    *read_value(configuration).unwrap().policy.record_secret()
}

#[test]
fn records_are_sealed_under_the_secret_else_the_credential_else_nothing() {
    let complete = complete();
    let text = "0123456789abcdef0123456789abcdef";
    let of_operator = RecordSecret::of("shared_data_secret", text);
    assert_eq!(secret_of(&complete), of_operator);
    let mut without = complete;
    without
        .as_object_mut()
        .unwrap()
        .remove("shared_data_secret");
    let credential = without["revocation"]["credential"]["inline_string"].clone();
    let of_credential = RecordSecret::of("credential", credential.as_str().unwrap());
    assert_eq!(secret_of(&without), of_credential);
    assert_eq!(
        secret_of(&without_revocation(without)),
        RecordSecret::none()
    );
}

#[test]
fn a_secret_that_could_be_guessed_is_a_fault() {
    for text in ["", "secret", "0123456789abcdef0123456789abcde", " \n"] {
        let secret = json!({"inline_string": text});
        let faults = read_value(&with(&["shared_data_secret"], secret)).unwrap_err();
        assert_eq!(faults.len(), 1, "{text}");
        assert_eq!(faults[0].path, "shared_data_secret.inline_string");
    }
}
