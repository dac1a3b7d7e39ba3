//! The claims of a token (RFC 7519 section 4), with the types of the registered ones checked.

use serde_json::Value;

use super::Members;
use crate::time::UnixTime;

/// A registered claim that does not have the type that RFC 7519 section 4.1 gives it.
///
/// Such a claim is an error and never "absent": an `exp` that is a string must not become a token
/// without expiry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClaimError {
    /// It is something else, or a number out of range.
    #[error("claim `{name}`: expected {expected}")]
    Type {
        /// Name of the claim.
        name: &'static str,
        /// What it should have been.
        expected: &'static str,
    },
    /// A time that would lie after the year 9999, and does not if it is in milliseconds, as the
    /// clocks of some languages give it (`Date.now()`). Guessing the unit would give one number two
    /// meanings.
    #[error("claim `{name}`: expected seconds since 1970, found what looks like milliseconds")]
    Milliseconds {
        /// Name of the claim.
        name: &'static str,
    },
}

/// The claims set of a token. As trustworthy as the token it came from.
#[derive(Clone, Debug, PartialEq)]
pub struct Claims {
    members: Members,
    expires_at: Option<UnixTime>,
    not_before: Option<UnixTime>,
    issued_at: Option<UnixTime>,
}

impl Claims {
    /// Takes the members of a claims set that was a text of this length, checking the types of
    /// `iss`, `sub`, `jti` (strings), `aud` (a string or a list of strings) and `exp`, `nbf`, `iat`
    /// (numbers from the epoch to the year 9999).
    ///
    /// Checks no value against anything: not the clock, not the audience.
    ///
    /// # Errors
    ///
    /// [`ClaimError`] for the first claim of a wrong type.
    pub fn new(members: Members) -> Result<Self, ClaimError> {
        for name in ["iss", "sub", "jti"] {
            if members.get(name).is_some_and(|value| !value.is_string()) {
                return Err(ClaimError::Type {
                    name,
                    expected: "a string",
                });
            }
        }
        if members.get("aud").is_some_and(|value| !is_audience(value)) {
            return Err(ClaimError::Type {
                name: "aud",
                expected: "a string or a list of strings",
            });
        }
        Ok(Self {
            expires_at: time(&members, "exp")?,
            not_before: time(&members, "nbf")?,
            issued_at: time(&members, "iat")?,
            members,
        })
    }

    /// Bytes of memory that the claims hold.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.members.heap_bytes()
    }

    /// `iss`.
    #[must_use]
    pub fn issuer(&self) -> Option<&str> {
        self.string("iss")
    }

    /// `exp`.
    #[must_use]
    pub const fn expires_at(&self) -> Option<UnixTime> {
        self.expires_at
    }

    /// `nbf`.
    #[must_use]
    pub const fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// `iat`.
    #[must_use]
    pub const fn issued_at(&self) -> Option<UnixTime> {
        self.issued_at
    }

    /// `auth_time` (OpenID Connect Core section 2); the epoch where it is there and is no time. It is
    /// not held to anything else: not to the clock, and not to [`issued_at`](Self::issued_at).
    #[must_use]
    pub fn auth_time(&self) -> Option<UnixTime> {
        time(&self.members, "auth_time").unwrap_or(Some(UnixTime::EPOCH))
    }

    /// The values of `aud`, whether it is one string or a list; empty when absent.
    pub fn audiences(&self) -> impl Iterator<Item = &str> {
        let values = match self.members.get("aud") {
            Some(Value::Array(values)) => values.as_slice(),
            Some(value) => std::slice::from_ref(value),
            None => &[],
        };
        values.iter().filter_map(Value::as_str)
    }

    /// A top-level claim by its literal name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Value> {
        self.members.get(name)
    }

    /// The value at the end of a path of literal member names, outermost first.
    #[must_use]
    pub fn at(&self, path: &[String]) -> Option<&Value> {
        let (first, rest) = path.split_first()?;
        rest.iter()
            .try_fold(self.members.get(first)?, |value, name| value.get(name))
    }

    /// Names and values of all claims.
    pub fn members(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.members.iter()
    }

    /// A top-level claim by its literal name, when it is a string.
    #[must_use]
    pub fn string(&self, name: &str) -> Option<&str> {
        self.members.get(name).and_then(Value::as_str)
    }
}

fn is_audience(value: &Value) -> bool {
    match value {
        Value::String(_) => true,
        Value::Array(values) => values.iter().all(Value::is_string),
        _ => false,
    }
}

fn time(members: &Members, name: &'static str) -> Result<Option<UnixTime>, ClaimError> {
    let Some(value) = members.get(name) else {
        return Ok(None);
    };
    let seconds = |divisor: f64| {
        let number = value.as_f64()?;
        UnixTime::from_fractional_seconds(number / divisor)
    };
    let time = match value.as_u64() {
        Some(whole) => UnixTime::from_seconds(whole),
        None => seconds(1.0),
    };
    match time {
        Some(time) => Ok(Some(time)),
        None if seconds(1000.0).is_some() => Err(ClaimError::Milliseconds { name }),
        None => Err(ClaimError::Type {
            name,
            expected: "a number of seconds between 1970 and 9999",
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn claims(value: Value) -> Result<Claims, ClaimError> {
        match value {
            Value::Object(members) => Claims::new(members.into_iter().collect()),
            other => panic!("test data is not an object: {other}"),
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_registered_claim_of_the_wrong_type_is_an_error_and_never_absent() {
        for (name, value) in [
            ("iss", json!(7)),
            ("sub", json!(null)),
            ("jti", json!(["a"])),
            ("aud", json!(1)),
            ("aud", json!(["a", 1])),
            ("aud", json!({"a": 1})),
            ("exp", json!("1700000000")),
            ("exp", json!(null)),
            ("exp", json!(-1)),
            ("exp", json!(1e19)),
            ("exp", json!(253_402_300_800_000_u64)),
            ("exp", json!(-1_700_000_000_000_i64)),
            ("nbf", json!([1])),
            ("iat", json!(true)),
        ] {
            let error = claims(json!({ name: value })).unwrap_err();
            let is_type = matches!(error, ClaimError::Type { name: found, .. } if found == name);
            assert!(is_type, "{name}: {value}: {error:?}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_time_in_milliseconds_is_told_as_what_it_is() {
        for name in ["exp", "nbf", "iat"] {
            for value in [
                json!(1_767_225_600_000_u64),
                json!(1_767_225_600_123.5),
                json!(253_402_300_800_u64),
                json!(253_402_300_799_000_u64),
            ] {
                let error = claims(json!({ name: value })).unwrap_err();
                assert_eq!(error, ClaimError::Milliseconds { name }, "{value}");
            }
        }
        // No claim that the gate reads.
        assert!(claims(json!({"auth_time": 1_767_225_600_000_u64})).is_ok());
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn an_auth_time_that_is_no_time_is_earlier_than_all_others() {
        for (value, expected) in [
            (json!(1_767_225_600), 1_767_225_600),
            (json!(1_767_225_600.9), 1_767_225_600),
            (json!(0), 0),
            (json!(null), 0),
            (json!("1767225600"), 0),
            (json!(-1), 0),
            (json!(1_767_225_600_000_u64), 0),
            (json!([1]), 0),
        ] {
            let claims = claims(json!({ "auth_time": value })).unwrap();
            assert_eq!(
                claims.auth_time(),
                UnixTime::from_seconds(expected),
                "{value}"
            );
        }
        assert_eq!(claims(json!({"iat": 5})).unwrap().auth_time(), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn times_may_have_a_fraction_which_is_dropped() {
        let claims = claims(json!({"exp": 1_700_000_000.9, "nbf": 0, "iat": 5})).unwrap();
        assert_eq!(claims.expires_at(), UnixTime::from_seconds(1_700_000_000));
        assert_eq!(claims.not_before(), UnixTime::from_seconds(0));
        assert_eq!(claims.issued_at(), UnixTime::from_seconds(5));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn audiences_are_the_same_for_a_string_and_a_list() {
        let one = claims(json!({"aud": "a"})).unwrap();
        let list = claims(json!({"aud": ["a"]})).unwrap();
        assert!(one.audiences().eq(list.audiences()));
        assert_eq!(claims(json!({})).unwrap().audiences().count(), 0);
    }
}
