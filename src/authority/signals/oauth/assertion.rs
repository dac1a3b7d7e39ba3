//! The assertion by which a client shows who it is (`private_key_jwt`): what has to hold once its
//! signature was found good (RFC 7523 section 3, and OpenID Connect Core section 9, which asks for
//! `jti`).
//!
//! # Why one audience, and nothing beside it?
//!
//! An assertion for two servers can be used by either of them at the other. The successor of RFC 7523
//! asks for the issuer's identifier as the only audience, which here is `public_url`; many libraries
//! still send the URL that they call. Both name this listener and nothing else, so both count.

use std::time::Duration;

use crate::authority::signals::reason::{Code, Refusal};
use crate::authority::signals::statement;
use crate::authority::signals::text::shown;
use crate::revocation::MAX_NAME_BYTES;
use crate::time::UnixTime;
use crate::token::VerifiedToken;

/// How far ahead `exp` may lie. Libraries write a minute or five.
pub(super) const MOST_AHEAD: Duration = Duration::from_mins(10);

/// An assertion that is in order, as far as it is not known yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// `jti`.
    pub(super) id: String,
    /// From when on it would be refused for its age.
    pub(super) good_until: UnixTime,
}

/// What an assertion of this client with a good signature says, if it is in order. `audiences` are
/// what this listener is called.
///
/// # Errors
///
/// [`Code::ClientRefused`], with what is wrong.
pub(super) fn read(
    token: &VerifiedToken,
    client_id: &str,
    audiences: &[&str],
    now: UnixTime,
    clock_skew: Duration,
) -> Result<Statement, Refusal> {
    let claims = token.claims();
    // A token that the client has signed for something else is none.
    statement::check_type(token.token_type(), "client-authentication+jwt")
        .map_err(|refusal| Code::ClientRefused.because(refusal.detail))?;
    if claims.issuer() != Some(client_id) || claims.string("sub") != Some(client_id) {
        return refused("`iss` and `sub` of the assertion have to be the `client_id`");
    }
    let found: Vec<_> = claims.audiences().take(2).collect();
    match *found.as_slice() {
        [one] if audiences.contains(&one) => {}
        [one] => {
            let expected = audiences.join("`, `");
            let one = shown(one);
            return refused(format!(
                "`aud` of the assertion is `{one}`, expected one of `{expected}`"
            ));
        }
        _ => return refused("`aud` of the assertion has to name this server and nothing else"),
    }
    let latest = now.later_by(clock_skew);
    let Some(expires_at) = claims.expires_at() else {
        return refused("the assertion has no `exp`");
    };
    let good_until = expires_at.later_by(clock_skew);
    if good_until <= now {
        return refused("the assertion has expired");
    }
    if expires_at > latest.later_by(MOST_AHEAD) {
        let minutes = MOST_AHEAD.as_secs() / 60;
        return refused(format!(
            "`exp` of the assertion is more than {minutes} minutes ahead"
        ));
    }
    let is_ahead = |time: Option<UnixTime>| time.is_some_and(|time| time > latest);
    if is_ahead(claims.not_before()) || is_ahead(claims.issued_at()) {
        return refused("`nbf` or `iat` of the assertion is ahead of the clock here");
    }
    let id = claims.string("jti").unwrap_or_default();
    if id.is_empty() || id.len() > MAX_NAME_BYTES {
        return refused("`jti` of the assertion is missing, empty or too long");
    }
    Ok(Statement {
        id: id.to_owned(),
        good_until,
    })
}

fn refused<T>(detail: impl Into<String>) -> Result<T, Refusal> {
    Err(Code::ClientRefused.because(detail))
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;
    use serde_json::{Value, json};

    use super::*;
    use crate::token::UnverifiedToken;

    /// 2026-01-01T00:00:00Z.
    const NOW: u64 = 1_767_225_600;

    const SKEW: Duration = Duration::from_mins(1);

    fn good() -> Value {
        json!({"iss": "web", "sub": "web", "aud": "https://a", "jti": "1", "exp": NOW + 60})
    }

    fn outcome(header: &Value, claims: &Value) -> Result<Statement, String> {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let token = format!("{}.{}.AA", part(header), part(claims));
        let token = UnverifiedToken::parse(token.as_bytes()).unwrap();
        let now = UnixTime::from_seconds(NOW).unwrap();
        let audiences = ["https://a", "https://a/oauth/revoke"];
        let token = VerifiedToken::assumed(token);
        read(&token, "web", &audiences, now, SKEW).map_err(|refusal| {
            assert_eq!(refusal.code, Code::ClientRefused);
            refusal.detail
        })
    }

    #[test]
    fn an_assertion_in_order_is_good_until_it_expires() {
        for typ in [
            Value::Null,
            json!("JWT"),
            json!("client-authentication+jwt"),
        ] {
            let mut header = json!({"alg": "ES256"});
            if !typ.is_null() {
                header["typ"] = typ;
            }
            for audience in [json!("https://a"), json!(["https://a/oauth/revoke"])] {
                let mut claims = good();
                claims["aud"] = audience;
                let statement = outcome(&header, &claims).unwrap();
                assert_eq!(statement.id, "1");
                assert_eq!(statement.good_until.seconds(), NOW + 120);
            }
        }
    }

    #[test]
    fn an_assertion_that_is_not_in_order_is_told_why() {
        let header = json!({"alg": "ES256"});
        for (name, value, expected) in [
            ("iss", json!("app"), "`iss` and `sub`"),
            ("sub", json!("app"), "`iss` and `sub`"),
            (
                "aud",
                json!("https://b"),
                "`aud` of the assertion is `https://b`",
            ),
            ("aud", json!(["https://a", "https://b"]), "nothing else"),
            ("aud", json!(["https://a", "https://a"]), "nothing else"),
            ("aud", json!([]), "nothing else"),
            ("exp", json!(NOW - 60), "has expired"),
            ("exp", json!(NOW + 661), "more than 10 minutes ahead"),
            ("nbf", json!(NOW + 61), "is ahead"),
            ("iat", json!(NOW + 61), "is ahead"),
            ("jti", json!(""), "`jti`"),
            ("jti", json!("x".repeat(2_000)), "`jti`"),
        ] {
            let mut claims = good();
            claims[name] = value;
            let detail = outcome(&header, &claims).unwrap_err();
            assert!(detail.contains(expected), "{claims}: {detail}");
        }
        for name in ["iss", "sub", "aud", "exp", "jti"] {
            let mut claims = good();
            claims.as_object_mut().unwrap().remove(name);
            assert!(outcome(&header, &claims).is_err(), "{name}");
        }
        let other = json!({"alg": "ES256", "typ": "at+jwt"});
        let detail = outcome(&other, &good()).unwrap_err();
        assert!(detail.contains("`typ`"), "{detail}");
    }
}
