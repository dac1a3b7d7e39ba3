//! Ending a session on its user's behalf: an edge hands the user's token on, and the authority, which
//! verifies it itself, answers with a proof once the revocation is on the disk.

use std::fmt;

use serde_json::Value;

use super::members;

/// The path for signing out, with a [`SignOutRequest`].
pub const SIGN_OUT_PATH: &str = "/v1/sign-out";

/// A user's token in a request, in the compact form. It is never shown: with it anyone could act for
/// the user.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(transparent)
)]
pub struct UserToken(pub String);

impl fmt::Debug for UserToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("UserToken(…)")
    }
}

/// What a user signs out of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema),
    serde(rename_all = "snake_case")
)]
pub enum SignOutScope {
    /// The session of the token (`sid`), or the token alone (`jti`) where it names no session.
    Session,
    /// Every other session of the token's subject.
    Others,
    /// Every session of the token's subject.
    Everywhere,
}

impl SignOutScope {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Session, Self::Others, Self::Everywhere];

    /// The word for it in requests, histories and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Session => "session",
            Self::Others => "others",
            Self::Everywhere => "everywhere",
        }
    }
}

/// A user signs out.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct SignOutRequest {
    /// The user's token, in the compact form.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    pub token: UserToken,
    /// What the user signs out of.
    pub scope: SignOutScope,
    /// A random number, below 2^63; the proof in the answer is valid for this request only.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_223_372_036_854_775_807_isize)
    )]
    pub nonce: u64,
}

impl SignOutRequest {
    /// The body of the request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let texts = [
            ("token", Some(&*self.token.0)),
            ("scope", Some(self.scope.name())),
        ];
        Value::Object(members(&texts, &[("nonce", Some(self.nonce))]))
    }
}

/// It is done, and on the disk.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
pub struct DoneAnswer {
    /// The proof of it: base64url of SHA-256 of the request's body, eight bytes that name the key,
    /// and an Ed25519 signature over `portcullis sign-out 1`, a zero byte and what is before the key.
    pub proof: String,
    /// Whether it was the session of the token itself that was ended in the list of sessions, so that a
    /// browser has to be told as when its user signs out; absent where it was not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub current: bool,
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_authority_reads_what_an_edge_sends() {
        for scope in SignOutScope::ALL {
            let request = SignOutRequest {
                token: UserToken("a.b.c".to_owned()),
                scope,
                nonce: 7,
            };
            let json = request.to_json();
            assert_eq!(json["scope"], serde_json::to_value(scope).unwrap());
            let read: SignOutRequest = serde_json::from_value(json).unwrap();
            assert_eq!(read, request);
        }
    }

    #[test]
    fn what_is_not_known_is_refused() {
        for wrong in [
            json!({"token": "t", "scope": "session"}),
            json!({"token": "t", "scope": "all", "nonce": 1}),
            json!({"token": "t", "scope": "session", "nonce": 1, "subject": "alice"}),
            json!({"token": null, "scope": "session", "nonce": 1}),
        ] {
            assert!(
                serde_json::from_value::<SignOutRequest>(wrong.clone()).is_err(),
                "{wrong}"
            );
        }
    }

    #[test]
    fn a_token_is_not_shown() {
        let request = SignOutRequest {
            token: UserToken("secret".to_owned()),
            scope: SignOutScope::Session,
            nonce: 1,
        };
        assert!(!format!("{request:?}").contains("secret"));
    }
}
