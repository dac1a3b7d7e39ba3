//! What an unquoted scalar stands for, which depends on the reader of the file: `no` may be a
//! country, and `010` eight.

use serde_json::{Number, Value};

/// The reader of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reader {
    /// Any reader of JSON: all of them agree.
    Json,
    /// Envoy, whose YAML is that of `yaml-cpp`, and whose numbers are those that fit into 32 bits:
    /// all others stay text, fractions too.
    Envoy,
    /// Kubernetes, whose YAML is that of `go-yaml` before its third version.
    Kubernetes,
}

impl Reader {
    /// What the text stands for. Measured with Envoy 1.40.
    pub(super) fn value(self, text: &str) -> Value {
        if matches!(text, "" | "~" | "null" | "Null" | "NULL") {
            return Value::Null;
        }
        let value = match self {
            Self::Json => serde_json::from_str(text).ok(),
            Self::Envoy => boolean(text).or_else(|| integer_of_envoy(text)),
            Self::Kubernetes => boolean(text).or_else(|| number_of_kubernetes(text)),
        };
        value.unwrap_or_else(|| text.into())
    }
}

/// A sentence that says what the text is read as, where that is not what it looks like.
pub(super) fn misreading(text: &str, value: &Value) -> Option<String> {
    let looks_like: Value = serde_json::from_str(text).unwrap_or_else(|_| text.into());
    match value {
        Value::Bool(_) | Value::Number(_) if looks_like.is_string() => {
            let is_plain = matches!(text, "True" | "TRUE" | "False" | "FALSE");
            (!is_plain).then(|| format!("`{text}` is read as `{value}`; hint: put it in quotes"))
        }
        Value::String(_) if looks_like.is_number() => Some(format!(
            "`{text}` is read as text, which equals no number: Envoy's YAML has none with a \
             fraction or above 2147483647; hint: give the configuration as JSON text in a \
             `google.protobuf.StringValue`"
        )),
        _ => None,
    }
}

/// The words for booleans, in lower case, in upper case or capitalized.
fn boolean(text: &str) -> Option<Value> {
    let lower = text.to_ascii_lowercase();
    let (first, rest) = text.split_at_checked(1)?;
    let is_cased = text == lower
        || text == lower.to_ascii_uppercase()
        || (first == first.to_ascii_uppercase() && rest == rest.to_ascii_lowercase());
    let boolean = match &*lower {
        "true" | "yes" | "on" | "y" => true,
        "false" | "no" | "off" | "n" => false,
        _ => return None,
    };
    is_cased.then_some(boolean.into())
}

/// As C reads it, with hexadecimal and octal digits; text where it needs more than 32 bits.
fn integer_of_envoy(text: &str) -> Option<Value> {
    let number = integer(text, &[("0x", 16), ("0X", 16), ("0", 8)])?;
    let number = i64::try_from(number).ok()?;
    let is_small = i32::try_from(number).is_ok();
    Some(if is_small {
        number.into()
    } else {
        number.to_string().into()
    })
}

fn number_of_kubernetes(text: &str) -> Option<Value> {
    let is_number = |letter: char| letter.is_ascii_digit() || "+-.".contains(letter);
    if !text.starts_with(is_number) {
        return None;
    }
    let text = text.replace('_', "");
    let prefixes = [
        ("0x", 16),
        ("0X", 16),
        ("0o", 8),
        ("0O", 8),
        ("0b", 2),
        ("0B", 2),
        ("0", 8),
    ];
    if let Some(number) = integer(&text, &prefixes) {
        let signed = i64::try_from(number).map(Number::from);
        let number = signed
            .or_else(|_| u64::try_from(number).map(Number::from))
            .ok();
        if let Some(number) = number {
            return Some(Value::Number(number));
        }
    }
    let is_decimal = |byte: u8| byte.is_ascii_digit() || b".eE+-".contains(&byte);
    let number = text.bytes().all(is_decimal).then(|| text.parse().ok())??;
    Number::from_f64(number).map(Value::Number)
}

/// A whole number with a sign or none, and with the prefix of its base or none.
fn integer(text: &str, prefixes: &[(&str, u32)]) -> Option<i128> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    let mut prefixes = prefixes.iter();
    let based = prefixes.find_map(|(prefix, base)| {
        let rest = digits.strip_prefix(prefix)?;
        Some((rest, *base)).filter(|(rest, _)| !rest.is_empty() || *prefix != "0")
    });
    let (digits, base) = based.unwrap_or((digits, 10));
    if !digits.starts_with(|letter: char| letter.is_ascii_alphanumeric()) {
        return None;
    }
    let number = i128::from_str_radix(digits, base).ok()?;
    Some(if text.starts_with('-') {
        -number
    } else {
        number
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// As Envoy 1.40 shows them in its `/config_dump`.
    #[test]
    fn envoy_reads_the_words_of_yaml_1_1_and_the_numbers_of_c() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("No", json!(false)),
            ("ON", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("N", json!(false)),
            ("True", json!(true)),
            ("tRue", json!("tRue")),
            ("oN", json!("oN")),
            ("yEs", json!("yEs")),
            ("~", json!(null)),
            ("NULL", json!(null)),
            ("nUll", json!("nUll")),
            ("", json!(null)),
            ("0", json!(0)),
            ("00", json!(0)),
            ("-0", json!(0)),
            ("010", json!(8)),
            ("-010", json!(-8)),
            ("08", json!("08")),
            ("0o10", json!("0o10")),
            ("0b11", json!("0b11")),
            ("0x1F", json!(31)),
            ("-0X10", json!(-16)),
            ("0x", json!("0x")),
            ("0x-1", json!("0x-1")),
            ("+7", json!(7)),
            ("+-7", json!("+-7")),
            ("1_000", json!("1_000")),
            ("1.5", json!("1.5")),
            ("60.0", json!("60.0")),
            ("1e3", json!("1e3")),
            (".inf", json!(".inf")),
            ("2147483647", json!(2_147_483_647)),
            ("2147483648", json!("2147483648")),
            ("-2147483648", json!(-2_147_483_648_i64)),
            ("-2147483649", json!("-2147483649")),
            ("0xFFFFFFFF", json!("4294967295")),
            ("9223372036854775807", json!("9223372036854775807")),
            ("18446744073709551615", json!("18446744073709551615")),
            ("0xffffffffffffffff", json!("0xffffffffffffffff")),
            ("12:30:45", json!("12:30:45")),
            ("5s", json!("5s")),
            ("1 2", json!("1 2")),
            ("ä", json!("ä")),
        ] {
            assert_eq!(Reader::Envoy.value(text), expected, "{text}");
        }
    }

    #[test]
    fn kubernetes_reads_the_same_words_and_other_numbers() {
        for (text, expected) in [
            ("yes", json!(true)),
            ("off", json!(false)),
            ("y", json!(true)),
            ("010", json!(8)),
            ("08", json!(8.0)),
            ("0o10", json!(8)),
            ("0b11", json!(3)),
            ("0x1F", json!(31)),
            ("1_000", json!(1000)),
            ("1.5", json!(1.5)),
            (".5", json!(0.5)),
            ("1e3", json!(1000.0)),
            ("2147483648", json!(2_147_483_648_u64)),
            ("18446744073709551615", json!(u64::MAX)),
            ("1.2.3", json!("1.2.3")),
            ("10.0.0.1", json!("10.0.0.1")),
            ("-", json!("-")),
            (".inf", json!(".inf")),
            ("5s", json!("5s")),
            ("a_b", json!("a_b")),
        ] {
            assert_eq!(Reader::Kubernetes.value(text), expected, "{text}");
        }
    }

    #[test]
    fn json_is_json() {
        for (text, expected) in [
            ("true", json!(true)),
            ("1.5", json!(1.5)),
            ("4294967296", json!(4_294_967_296_u64)),
        ] {
            assert_eq!(Reader::Json.value(text), expected, "{text}");
        }
    }
}
