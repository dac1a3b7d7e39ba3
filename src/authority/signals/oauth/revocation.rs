//! From a token that its client revokes to what is revoked (RFC 7009 section 2). Pure: the claims of a
//! token with a good signature go in.
//!
//! # Whose is a token?
//!
//! The client's that `client_id` names (RFC 9068 section 2.2), or `azp` where there is none, or the claim
//! that the file names for issuers that have neither (`cid` of Okta, `appid` of Entra ID's version 1). A token
//! of another client is refused, as section 2.1 asks, by the error that RFC 6749 section 5.2 has for
//! what "was issued to another client".
//!
//! # Why is an expired token looked at?
//!
//! Its session may live on, and the client may have nothing else to name it by.

use super::configuration::{RevokeRule, RevokeScope};
use crate::authority::entry::Target;
use crate::authority::request::{MAX_EXPIRY, RevocationRequest};
use crate::authority::signals::reason::{Code, Refusal};
use crate::authority::signals::text::shown;
use crate::revocation::{Kind, MAX_CLOCK_SKEW, MAX_NAME_BYTES};
use crate::time::UnixTime;
use crate::token::Claims;

/// In histories, as the reason.
const REASON: &str = "revoked by its client";

/// What comes of a token that a client revokes.
#[derive(Debug)]
pub(super) enum Effect {
    /// This is revoked.
    Revoke(Box<RevocationRequest>),
    /// It is refused everywhere already.
    Expired,
}

/// What is revoked with a token that has these claims.
///
/// # Errors
///
/// [`Code::TokenOfOther`], [`Code::TokenUnnamed`].
pub(super) fn effect(
    claims: &Claims,
    client_id: &str,
    rule: &RevokeRule,
    now: UnixTime,
) -> Result<Effect, Refusal> {
    let issuer = claims.issuer().unwrap_or_default();
    check_owner(claims, issuer, client_id, rule)?;
    let session = match rule.ends {
        RevokeScope::Session => name(claims, "sid")?,
        RevokeScope::Token | RevokeScope::RotatedToken => None,
    };
    let (kind, value) = match session {
        Some(session) => (Kind::Session, session),
        None => (Kind::Token, token_name(claims)?),
    };
    let expires_at = claims.expires_at();
    // As long as an edge may let it pass.
    let is_over = |expires_at: UnixTime| expires_at.later_by(MAX_CLOCK_SKEW) <= now;
    if kind == Kind::Token && expires_at.is_some_and(is_over) {
        return Ok(Effect::Expired);
    }
    let subject = claims.string("sub");
    let subject = subject.filter(|name| (1..=MAX_NAME_BYTES).contains(&name.len()));
    let target = Target {
        kind,
        issuer: issuer.to_owned(),
        value,
        qualifier: String::new(),
    };
    let mut request = RevocationRequest {
        subject: subject.map(str::to_owned),
        rotated: rule.ends == RevokeScope::RotatedToken,
        reason: Some(REASON.to_owned()),
        actor: Some(client_id.to_owned()),
        ..RevocationRequest::of(target)
    };
    if kind == Kind::Token {
        // Only a token that lives for years comes to more than may be asked for.
        let latest = now.later_by(MAX_EXPIRY);
        request.expires_at = expires_at.map(|time| time.min(latest).seconds());
    }
    Ok(Effect::Revoke(Box::new(request)))
}

fn check_owner(
    claims: &Claims,
    issuer: &str,
    client_id: &str,
    rule: &RevokeRule,
) -> Result<(), Refusal> {
    if !rule.issuers.iter().any(|known| known == issuer) {
        return Err(Code::TokenOfOther.because(format!(
            "it is of `{}`, which is not among the `revoke.issuers` of the client",
            shown(issuer)
        )));
    }
    let claim = rule.client_claim.as_deref();
    let owner = claim.map_or_else(
        || claims.get("client_id").or_else(|| claims.get("azp")),
        |claim| claims.get(claim),
    );
    let owner = owner.and_then(|owner| owner.as_str());
    if owner == Some(client_id) {
        return Ok(());
    }
    Err(Code::TokenOfOther.because(match (owner, claim) {
        (Some(owner), _) => format!("it was issued to `{}`", shown(owner)),
        (None, Some(claim)) => format!("`{claim}` does not say for which client it was issued"),
        (None, None) => "neither `client_id` nor `azp` says for which client it was issued; \
                         `revoke.client_claim` can name the claim that does"
            .to_owned(),
    }))
}

fn token_name(claims: &Claims) -> Result<String, Refusal> {
    let name = name(claims, "jti")?;
    name.ok_or_else(|| Code::TokenUnnamed.because("it has no `jti` by which it could be revoked"))
}

/// A name that a revocation can have; none where there is none.
fn name(claims: &Claims, claim: &'static str) -> Result<Option<String>, Refusal> {
    use serde_json::Value;
    match claims.get(claim) {
        None => Ok(None),
        Some(Value::String(name)) if name.is_empty() => Ok(None),
        Some(Value::String(name)) if name.len() <= MAX_NAME_BYTES => Ok(Some(name.clone())),
        Some(_) => Err(Code::TokenUnnamed.because(format!(
            "`{claim}` is no text of at most {MAX_NAME_BYTES} bytes, so it cannot be revoked by it"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use serde_json::{Value, json};

    use super::*;
    use crate::authority::request::Limits;
    use crate::revocation::{Cause, EXPIRY_MARGIN};

    /// 2026-01-01T00:00:00Z.
    const NOW: u64 = 1_767_225_600;

    fn now() -> UnixTime {
        UnixTime::from_seconds(NOW).unwrap()
    }

    fn token() -> Value {
        json!({
            "iss": "https://id", "client_id": "web", "sub": "alice", "jti": "1", "sid": "s",
            "exp": NOW + 300,
        })
    }

    fn of(claims: &Value, ends: RevokeScope) -> Result<Effect, Refusal> {
        of_client(None, claims, ends)
    }

    fn of_client(
        client_claim: Option<&str>,
        claims: &Value,
        ends: RevokeScope,
    ) -> Result<Effect, Refusal> {
        let claims = claims.as_object().unwrap().clone().into_iter().collect();
        let rule = RevokeRule {
            issuers: vec!["https://id".to_owned()],
            ends,
            client_claim: client_claim.map(str::to_owned),
        };
        effect(&Claims::new(claims).unwrap(), "web", &rule, now())
    }

    fn revoked(claims: &Value, ends: RevokeScope) -> RevocationRequest {
        match of(claims, ends).unwrap() {
            Effect::Revoke(request) => *request,
            Effect::Expired => panic!("expired: {claims}"),
        }
    }

    fn with(name: &str, value: Value) -> Value {
        let mut token = token();
        token[name] = value;
        token
    }

    fn without(name: &str) -> Value {
        let mut token = token();
        token.as_object_mut().unwrap().remove(name);
        token
    }

    #[test]
    fn a_token_ends_alone_or_with_its_session() {
        let limits = Limits {
            max_token_lifetime: Duration::from_hours(24),
            clock_skew: Duration::from_mins(1),
            disagreement: None,
            expiry_margin: EXPIRY_MARGIN,
        };
        for (ends, kind, value, cause) in [
            (RevokeScope::Token, Kind::Token, "1", Cause::Plain),
            (RevokeScope::RotatedToken, Kind::Token, "1", Cause::Rotated),
            (RevokeScope::Session, Kind::Session, "s", Cause::Plain),
        ] {
            let request = revoked(&token(), ends);
            assert_eq!(request.subject.as_deref(), Some("alice"));
            let revocation = request.check("oauth_revoke", now(), &limits).unwrap();
            assert_eq!(
                (revocation.target.kind, &*revocation.target.value),
                (kind, value)
            );
            assert_eq!(revocation.target.issuer, "https://id");
            assert_eq!(revocation.cause, cause);
            assert_eq!(revocation.actor, "oauth_revoke:web");
            let life = match kind {
                Kind::Token => 300,
                _ => 24 * 3_600 + 60,
            };
            let expected = NOW + life + EXPIRY_MARGIN.as_secs();
            assert_eq!(revocation.expires_at.seconds(), expected);
        }
        let request = revoked(&without("sid"), RevokeScope::Session);
        assert_eq!(
            (request.kind, request.value.as_deref()),
            (Kind::Token, Some("1"))
        );
    }

    #[test]
    fn an_expired_token_does_nothing_but_end_its_session() {
        let skew = MAX_CLOCK_SKEW.as_secs();
        let expired = with("exp", json!(NOW - skew));
        assert!(matches!(
            of(&expired, RevokeScope::Token),
            Ok(Effect::Expired)
        ));
        assert_eq!(revoked(&expired, RevokeScope::Session).kind, Kind::Session);
        // At edges that allow for clocks, it may still pass.
        let late = with("exp", json!(NOW - skew + 1));
        assert_eq!(revoked(&late, RevokeScope::Token).kind, Kind::Token);
        // Without an end, it lives as long as any token.
        assert_eq!(
            revoked(&without("exp"), RevokeScope::Token).expires_at,
            None
        );
        let ancient = with("exp", json!(NOW * 2));
        let latest = now().later_by(MAX_EXPIRY).seconds();
        assert_eq!(
            revoked(&ancient, RevokeScope::Token).expires_at,
            Some(latest)
        );
    }

    #[test]
    fn a_token_of_another_client_is_refused() {
        for claims in [
            with("client_id", json!("app")),
            with("client_id", json!(["web"])),
            with("iss", json!("https://other")),
            without("client_id"),
            without("iss"),
            json!({"iss": "https://id", "azp": "app", "jti": "1"}),
            json!({"iss": "https://id", "client_id": "app", "azp": "web", "jti": "1"}),
        ] {
            let refusal = of(&claims, RevokeScope::Token).unwrap_err();
            assert_eq!(refusal.code, Code::TokenOfOther, "{claims}");
        }
        let claims = json!({"iss": "https://id", "azp": "web", "jti": "1"});
        assert_eq!(
            revoked(&claims, RevokeScope::Token).value.as_deref(),
            Some("1")
        );
    }

    /// As at Okta, and at Entra ID.
    #[test]
    fn another_claim_can_say_whose_a_token_is() {
        let okta = json!({"iss": "https://id", "cid": "web", "jti": "1"});
        let Ok(Effect::Revoke(request)) = of_client(Some("cid"), &okta, RevokeScope::Token) else {
            panic!("{okta}");
        };
        assert_eq!(request.value.as_deref(), Some("1"));
        let refused = |claim, claims: &Value| {
            let refusal = of_client(claim, claims, RevokeScope::Token).unwrap_err();
            assert_eq!(refusal.code, Code::TokenOfOther, "{claims}");
            refusal.detail
        };
        assert!(refused(None, &okta).contains("`revoke.client_claim` can name"));
        assert!(refused(Some("appid"), &okta).contains("`appid` does not say"));
        // Where another claim counts, what anyone may ask to have in his tokens does not.
        let other = json!({"iss": "https://id", "cid": "app", "client_id": "web", "jti": "1"});
        assert!(refused(Some("cid"), &other).contains("issued to `app`"));
        assert!(refused(Some("cid"), &token()).contains("`cid` does not say"));
    }

    #[test]
    fn a_token_without_a_name_cannot_be_revoked_by_it() {
        let long = "x".repeat(MAX_NAME_BYTES + 1);
        for (claims, ends) in [
            (without("jti"), RevokeScope::Token),
            (with("jti", json!("")), RevokeScope::Token),
            (with("jti", json!(long)), RevokeScope::Token),
            (with("sid", json!(7)), RevokeScope::Session),
            (with("sid", json!(long)), RevokeScope::Session),
            (
                json!({"iss": "https://id", "azp": "web"}),
                RevokeScope::Session,
            ),
        ] {
            let refusal = of(&claims, ends).unwrap_err();
            assert_eq!(refusal.code, Code::TokenUnnamed, "{claims}");
        }
    }
}
