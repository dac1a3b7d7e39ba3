//! A user's own sessions: an edge hands the user's token on, and the authority answers with the
//! sessions of its issuer and subject, or ends one of these.

use serde_json::Value;

use super::members;
use super::sign_out::UserToken;

/// The path for a user's own sessions, with an [`OwnSessionsRequest`].
pub const OWN_SESSIONS_PATH: &str = "/v1/own-sessions";

/// The path for ending one of a user's own sessions, with an [`EndSessionRequest`].
pub const END_OWN_SESSION_PATH: &str = "/v1/own-sessions/end";

/// The most sessions on a page.
pub const MAX_OWN_SESSIONS: u8 = 100;

/// Sessions on a page where the request does not say how many.
pub const DEFAULT_OWN_SESSIONS: u8 = 20;

/// Which of a user's own sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct OwnSessionsRequest {
    /// The user's token, in the compact form.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    pub token: UserToken,
    /// `next` of the page before.
    #[cfg_attr(not(target_family = "wasm"), schema(max_length = 256))]
    pub after: Option<String>,
    /// Sessions on a page; 20 by default.
    #[cfg_attr(not(target_family = "wasm"), schema(minimum = 1, maximum = 100))]
    pub limit: Option<u8>,
}

impl OwnSessionsRequest {
    /// The body of the request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let texts = [
            ("token", Some(&*self.token.0)),
            ("after", self.after.as_deref()),
        ];
        let limit = self.limit.map(u64::from);
        Value::Object(members(&texts, &[("limit", limit)]))
    }
}

/// Ends one of a user's own sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, utoipa::ToSchema),
    serde(deny_unknown_fields)
)]
pub struct EndSessionRequest {
    /// The user's token, in the compact form.
    #[cfg_attr(not(target_family = "wasm"), schema(value_type = String))]
    pub token: UserToken,
    /// `id` of the session.
    #[cfg_attr(not(target_family = "wasm"), schema(pattern = "^[0-9a-f]{32}$"))]
    pub id: String,
    /// A random number, below 2^63; the proof in the answer is valid for this request only.
    #[cfg_attr(
        not(target_family = "wasm"),
        schema(maximum = 9_223_372_036_854_775_807_isize)
    )]
    pub nonce: u64,
}

impl EndSessionRequest {
    /// The body of the request.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let texts = [("token", Some(&*self.token.0)), ("id", Some(&*self.id))];
        Value::Object(members(&texts, &[("nonce", Some(self.nonce))]))
    }
}

/// Some of a user's own sessions, the one seen last first.
#[cfg(not(target_family = "wasm"))]
#[derive(
    Clone, Debug, Default, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema,
)]
#[serde(deny_unknown_fields)]
pub struct OwnSessionsAnswer {
    /// The sessions.
    pub sessions: Vec<OwnSession>,
    /// What to ask for as `after` to see the next ones; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One of a user's own sessions.
#[cfg(not(target_family = "wasm"))]
#[derive(Clone, Debug, PartialEq, Eq, serde::Deserialize, serde::Serialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub struct OwnSession {
    /// Names the session, in this installation: 32 hexadecimal digits.
    pub id: String,
    /// The device, where the tokens name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// The client, where the tokens name one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// When an edge saw it first, as in RFC 3339.
    pub first_seen: String,
    /// When an edge saw it last, as in RFC 3339.
    pub last_seen: String,
    /// The network that it was seen from last, as far as the operator has that reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub network: Option<String>,
    /// The kind of program that it was seen from last, as far as the operator has that reported.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_agent: Option<String>,
    /// Whether it is the session of the token in the request.
    pub current: bool,
}

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use serde_json::json;

    use super::*;

    fn token() -> UserToken {
        UserToken("a.b.c".to_owned())
    }

    #[test]
    fn the_authority_reads_what_an_edge_asks() {
        let sparse = OwnSessionsRequest {
            token: token(),
            after: None,
            limit: None,
        };
        assert_eq!(sparse.to_json(), json!({"token": "a.b.c"}));
        let full = OwnSessionsRequest {
            after: Some("cursor".to_owned()),
            limit: Some(MAX_OWN_SESSIONS),
            ..sparse.clone()
        };
        for request in [sparse, full] {
            let read: OwnSessionsRequest = serde_json::from_value(request.to_json()).unwrap();
            assert_eq!(read, request);
        }
        let request = EndSessionRequest {
            token: token(),
            id: "0".repeat(32),
            nonce: 7,
        };
        let read: EndSessionRequest = serde_json::from_value(request.to_json()).unwrap();
        assert_eq!(read, request);
    }

    #[test]
    fn what_is_not_known_is_refused() {
        let subject = json!({"token": "t", "subject": "alice"});
        assert!(serde_json::from_value::<OwnSessionsRequest>(subject).is_err());
        let without_nonce = json!({"token": "t", "id": "0"});
        assert!(serde_json::from_value::<EndSessionRequest>(without_nonce).is_err());
    }
}
