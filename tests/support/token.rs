//! Tokens, genuine ones and all other kinds.

use std::fmt;
use std::time::SystemTime;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value, json};

use super::keys;

/// `iss` of every genuine token.
pub(crate) const ISSUER: &str = "https://issuer.example";

/// `aud` of every genuine token.
pub(crate) const AUDIENCE: &str = "api";

/// A part of a token, between the dots.
pub(crate) fn encode_part(text: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

/// A token that is genuine until it is changed. `to_string` signs it.
#[derive(Clone)]
pub(crate) struct Token {
    key: &'static str,
    header: Map<String, Value>,
    claims: Map<String, Value>,
}

impl Token {
    /// A token of `alice` for an hour, signed by a key with this name.
    pub(crate) fn signed_by(key: &'static str) -> Self {
        let signer = keys::key(key);
        let header = json!({"alg": signer.algorithm_name(), "kid": signer.key_id(), "typ": "JWT"});
        let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "sub": "alice", "iat": now()});
        let token = Self {
            key,
            header: members(header),
            claims: members(claims),
        };
        token.expiring_in(3600)
    }

    /// With this `exp`, in seconds from now; negative for one that has passed.
    pub(crate) fn expiring_in(self, seconds: i64) -> Self {
        self.claim("exp", now() + seconds)
    }

    /// With this `iat`, in seconds from now, as an issuer whose clock is ahead by that writes it.
    pub(crate) fn issued_in(self, seconds: i64) -> Self {
        self.claim("iat", now() + seconds)
    }

    /// With this `nbf`, in seconds from now.
    pub(crate) fn valid_in(self, seconds: i64) -> Self {
        self.claim("nbf", now() + seconds)
    }

    /// With this claim, in place of what it had.
    pub(crate) fn claim(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.claims.insert(name.to_owned(), value.into());
        self
    }

    /// Without this claim.
    pub(crate) fn without_claim(mut self, name: &str) -> Self {
        self.claims.remove(name);
        self
    }

    /// With this header parameter, in place of what it had.
    pub(crate) fn header(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.header.insert(name.to_owned(), value.into());
        self
    }

    /// Without this header parameter.
    pub(crate) fn without_header(mut self, name: &str) -> Self {
        self.header.remove(name);
        self
    }

    /// The claims as text, to be changed in ways that no JSON library allows.
    pub(crate) fn claims_text(&self) -> String {
        Value::Object(self.claims.clone()).to_string()
    }

    /// Signed, with this text in place of the claims.
    pub(crate) fn with_claims_text(&self, claims: impl AsRef<[u8]>) -> String {
        self.with_parts(&encode_part(self.header_text()), &encode_part(claims))
    }

    /// Signed, with these in place of the encoded header and claims.
    pub(crate) fn with_parts(&self, header: &str, claims: &str) -> String {
        let signing_input = format!("{header}.{claims}");
        let signature = keys::key(self.key).sign(signing_input.as_bytes());
        format!("{signing_input}.{}", encode_part(signature))
    }

    /// The header as text.
    pub(crate) fn header_text(&self) -> String {
        Value::Object(self.header.clone()).to_string()
    }
}

impl fmt::Display for Token {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.with_claims_text(self.claims_text()))
    }
}

impl From<Token> for String {
    fn from(token: Token) -> Self {
        token.to_string()
    }
}

impl From<&Token> for String {
    fn from(token: &Token) -> Self {
        token.to_string()
    }
}

fn members(object: Value) -> Map<String, Value> {
    match object {
        Value::Object(members) => members,
        other => panic!("expected an object, found {other}"),
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "Envoy compares the times in tokens with the clock of the machine"
)]
fn now() -> i64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let seconds = since_epoch.expect("a clock past 1970").as_secs();
    seconds
        .try_into()
        .expect("a clock before the year 292 billion")
}
