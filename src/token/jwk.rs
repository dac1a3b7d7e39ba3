//! One JWK (RFC 7517) as identity providers publish it.
//!
//! A set comes from where the operator said, so oddities that have only one meaning are accepted:
//! members that say nothing, leading zeros, padding. What a token says is read strictly all the
//! same.

use base64::DecodeError;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};

use super::algorithm::Family;
use super::der::{rsa_numbers, without_zeros};
use super::{Algorithm, KeyError};
use crate::json_object::{JsonObject, json_text};

/// Members that only a private key has (RFC 7518 sections 6.2.2 and 6.3.2, RFC 8037 section 2).
const PRIVATE: [&str; 6] = ["d", "p", "q", "dp", "dq", "qi"];

/// Whether there is any member of a private or secret key, even an empty one.
pub(super) fn is_private(jwk: &Value) -> bool {
    PRIVATE
        .iter()
        .chain(&["k"])
        .any(|name| jwk.get(name).is_some())
}

/// A member of a JWK, unless it says nothing: some libraries write `null` or `""` for what is not
/// there.
fn said<'j>(jwk: &'j Value, name: &str) -> Option<&'j Value> {
    jwk.get(name)
        .filter(|value| !value.is_null() && value.as_str() != Some(""))
}

fn text<'j>(jwk: &'j Value, name: &str) -> Option<&'j str> {
    said(jwk, name).and_then(Value::as_str)
}

/// `kid`; a number by its digits. Any other kind of value counts as none.
pub(super) fn key_id(jwk: &Value) -> Option<String> {
    match said(jwk, "kid")? {
        Value::String(id) => Some(id.clone()),
        Value::Number(id) => Some(id.to_string()),
        _ => None,
    }
}

/// The kind of the key, by the algorithm that it has by default, and the algorithm that it names;
/// an error if it is not meant for verifying (RFC 7517 sections 4.2 and 4.3).
pub(super) fn purpose(jwk: &Value) -> Result<(Algorithm, Option<Algorithm>), KeyError> {
    let key_type = text(jwk, "kty").ok_or(KeyError::NotAKey)?;
    let is_secret = key_type == "oct";
    if !is_secret && PRIVATE.iter().any(|name| said(jwk, name).is_some()) {
        return Err(KeyError::Private);
    }
    let named = match said(jwk, "alg") {
        None => None,
        Some(value) => {
            let algorithm = value.as_str().and_then(Algorithm::from_name);
            // An `alg` that is there but not a string must not count as "no algorithm".
            Some(algorithm.ok_or_else(|| refused("alg", value))?)
        }
    };
    let curve = text(jwk, "crv");
    let kind = match (key_type, curve) {
        ("RSA", _) => Algorithm::Rs256,
        ("oct", _) => Algorithm::Hs256,
        // As in `jwt_authn`, the curve may be missing.
        ("EC", None) => named
            .filter(|algorithm| algorithm.family() == Family::Ecdsa)
            .unwrap_or(Algorithm::Es256),
        ("EC", Some("P-256")) => Algorithm::Es256,
        ("EC", Some("P-384")) => Algorithm::Es384,
        ("EC", Some("P-521")) => Algorithm::Es512,
        ("OKP", Some("Ed25519")) => Algorithm::EdDsa,
        ("OKP", None) => return Err(KeyError::Missing("crv")),
        ("EC" | "OKP", Some(curve)) => return Err(KeyError::member("crv", curve)),
        _ => return Err(KeyError::member("kty", key_type)),
    };
    if let Some(algorithm) = named
        && !algorithm.has_keys_of(kind)
    {
        return Err(KeyError::member("alg", algorithm.name()));
    }
    if let Some(usage) = said(jwk, "use")
        && !usage.as_str().is_some_and(is_for_tokens)
    {
        return Err(refused("use", usage));
    }
    if let Some(operations) = said(jwk, "key_ops")
        && !verifies(operations)
    {
        return Err(refused("key_ops", operations));
    }
    Ok((kind, named))
}

/// The bytes of a member in base64url. Padding and white space are allowed.
pub(super) fn bytes(jwk: &Value, member: &'static str) -> Result<Vec<u8>, KeyError> {
    let text = text(jwk, member).ok_or(KeyError::Missing(member))?;
    let mut base64 = String::with_capacity(text.len());
    base64.extend(
        text.chars()
            .filter(|character| !character.is_ascii_whitespace()),
    );
    let decoded = URL_SAFE_NO_PAD.decode(base64.trim_end_matches('='));
    decoded.map_err(|error| match error {
        // Not even one character of a secret is shown.
        DecodeError::InvalidByte(_, byte) if byte.is_ascii() && member != "k" => {
            KeyError::Alphabet {
                member,
                found: byte.into(),
            }
        }
        _ => KeyError::Base64(member),
    })
}

/// `x` and `y` (RFC 7518 section 6.2.1) as an uncompressed point (SEC 1 section 2.3.3). Missing
/// leading zeros are added, and superfluous ones dropped.
pub(super) fn point(jwk: &Value, coordinate_bytes: usize) -> Result<Vec<u8>, KeyError> {
    let mut point = vec![4];
    for name in ["x", "y"] {
        let coordinate = bytes(jwk, name)?;
        let digits = without_zeros(&coordinate);
        let missing = coordinate_bytes.checked_sub(digits.len());
        let missing = missing.ok_or(KeyError::Length {
            found: digits.len(),
            expected: coordinate_bytes,
        })?;
        point.resize(point.len() + missing, 0);
        point.extend(digits);
    }
    Ok(point)
}

/// The JWK of a public key for verifying, by the bits that DER has of it.
pub(super) fn public(kind: Algorithm, bits: &[u8]) -> Option<Value> {
    let encode = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    Some(match kind.family() {
        Family::Rsa => {
            let (n, e) = rsa_numbers(bits)?;
            let [n, e] = [n, e].map(|number| encode(without_zeros(number)));
            json!({"kty": "RSA", "use": "sig", "n": n, "e": e})
        }
        Family::EdDsa => json!({"kty": "OKP", "use": "sig", "crv": "Ed25519", "x": encode(bits)}),
        _ => {
            let (x, y) = bits.get(1..)?.split_at_checked(kind.coordinate_bytes())?;
            let curve = match kind {
                Algorithm::Es256 => "P-256",
                Algorithm::Es384 => "P-384",
                _ => "P-521",
            };
            json!({"kty": "EC", "use": "sig", "crv": curve, "x": encode(x), "y": encode(y)})
        }
    })
}

/// The thumbprint of a key (RFC 7638) by SHA-256, in base64url without padding; `None` for what is no key with
/// a public part. The members count as they are written: another spelling of the same key has another one.
#[must_use]
pub fn thumbprint(jwk: &Value) -> Option<String> {
    let mut object = JsonObject::begin(Vec::with_capacity(192));
    for name in required_members(jwk)? {
        object.text(name, Some(text(jwk, name)?));
    }
    Some(URL_SAFE_NO_PAD.encode(hmac_sha256::Hash::hash(&object.end())))
}

/// The members that make a public key of its type (RFC 7638 section 3.2), in the order of their names.
pub(crate) fn required_members(jwk: &Value) -> Option<&'static [&'static str]> {
    match text(jwk, "kty")? {
        "EC" => Some(&["crv", "kty", "x", "y"]),
        "OKP" => Some(&["crv", "kty", "x"]),
        "RSA" => Some(&["e", "kty", "n"]),
        _ => None,
    }
}

/// `use`: for signatures, or in a SPIFFE bundle for tokens (SPIFFE Trust Domain and Bundle section
/// 4.2.2).
fn is_for_tokens(usage: &str) -> bool {
    usage.eq_ignore_ascii_case("sig") || usage == "jwt-svid"
}

fn verifies(operations: &Value) -> bool {
    match operations {
        Value::Array(list) => list.is_empty() || list.iter().any(|name| name == "verify"),
        single => single == "verify",
    }
}

fn refused(name: &'static str, value: &Value) -> KeyError {
    match value {
        Value::String(text) => KeyError::member(name, text),
        other => KeyError::member(name, &json_text(other)),
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    #[wasm_bindgen_test(unsupported = test)]
    fn the_thumbprint_is_that_of_the_rfcs() {
        // RFC 7638 section 3.1.
        let n = "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs\
                 tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn1n91CbOpb\
                 ISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw";
        let rsa = json!({"kty": "RSA", "n": n, "e": "AQAB", "alg": "RS256", "kid": "2011-04-29"});
        let expected = "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs";
        assert_eq!(thumbprint(&rsa).as_deref(), Some(expected));
        // RFC 8037 appendix A.3.
        let x = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        let ed25519 = json!({"kty": "OKP", "crv": "Ed25519", "x": x});
        let expected = "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k";
        assert_eq!(thumbprint(&ed25519).as_deref(), Some(expected));
        // The key of RFC 9449 section 4.1, and the token of section 6.1 that is bound to it.
        let ec = json!({
            "kty": "EC",
            "x": "l8tFrhx-34tV3hRICRDY9zCkDlpBhF42UQUfWVAWBFs",
            "y": "9VE4jf_Ok_o64zbTTlcuNJajHmt6v9TDVrU0CdvGRDA",
            "crv": "P-256",
        });
        let expected = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I";
        assert_eq!(thumbprint(&ec).as_deref(), Some(expected));
        for odd in [
            json!({}),
            json!("EC"),
            json!({"kty": "oct", "k": "x"}),
            json!({"kty": "OKP", "crv": "Ed25519", "x": 7}),
            json!({"kty": "EC", "crv": "P-256", "x": "x"}),
        ] {
            assert_eq!(thumbprint(&odd), None, "{odd}");
        }
    }
}
