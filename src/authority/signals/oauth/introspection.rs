//! What a resource server is told of a token (RFC 7662 section 2.2). Pure: a token that is good goes in.
//!
//! The verdict is the gate's own. A token that the gate refuses is not active, and of such a token
//! nothing else is said. Where the two could come apart, this is the stricter one: a claim that any
//! revocation names counts whether or not the filters list it, a token that cannot be revoked by all
//! of its names is not active, and neither is one that its `typ` says is none for an API.

use serde_json::{Map, Value, json};

use super::configuration::IntrospectRule;
use crate::authority::verifier::User;
use crate::revocation::MAX_NAME_BYTES;
use crate::revocation::wire::ClaimName;
use crate::token::{Claims, is_type};

/// Claims that are handed on as they are.
const CLAIMS: [&str; 12] = [
    "exp",
    "iat",
    "nbf",
    "sub",
    "aud",
    "iss",
    "jti",
    "sid",
    "auth_time",
    "acr",
    "cnf",
    "username",
];

/// Whether a resource server with this rule may know of a good token.
pub(super) fn may_know(rule: &IntrospectRule, claims: &Claims) -> bool {
    match rule {
        IntrospectRule::Any => true,
        IntrospectRule::Audiences(known) => claims
            .audiences()
            .any(|audience| known.iter().any(|known| known == audience)),
    }
}

/// Whether a good token is one for an API, as far as it says so: not a logout token, for one, nor an
/// answer of this server.
pub(super) fn is_for_apis(user: &User) -> bool {
    let found = user.token_type.as_deref().unwrap_or("jwt");
    let is_access_token = is_type(found, "jwt") || is_type(found, "at+jwt");
    // Logout tokens and security events have it, and no access token.
    is_access_token && user.claims.get("events").is_none()
}

/// The claims by which a token could be revoked although they are not listed: every text at the top, by
/// its own name.
pub(super) fn claim_names(claims: &Claims) -> Vec<ClaimName> {
    let named = claims.members().filter_map(|(name, value)| {
        let value = value.as_str()?;
        let is_name = |text: &str| (1..=MAX_NAME_BYTES).contains(&text.len());
        (is_name(name) && is_name(value)).then(|| ClaimName {
            name: name.to_owned(),
            value: value.to_owned(),
        })
    });
    named.collect()
}

/// Of a token that is not active, nothing else is said.
pub(super) fn inactive() -> Value {
    json!({"active": false})
}

/// Of one that is: what it says.
pub(super) fn active(claims: &Claims) -> Value {
    let mut members = Map::new();
    members.insert("active".to_owned(), true.into());
    let scope = claims.get("scope").or_else(|| claims.get("scp"));
    let client = claims.get("client_id").or_else(|| claims.get("azp"));
    let is_dpop = claims
        .get("cnf")
        .is_some_and(|cnf| cnf.get("jkt").is_some());
    let made = [
        ("scope", scope.and_then(scope_text)),
        ("client_id", client.and_then(Value::as_str).map(Value::from)),
        (
            "token_type",
            Some(if is_dpop { "DPoP" } else { "Bearer" }.into()),
        ),
    ];
    let given = CLAIMS.map(|name| (name, claims.get(name).cloned()));
    for (name, value) in made.into_iter().chain(given) {
        if let Some(value) = value.filter(|value| !value.is_null()) {
            members.insert(name.to_owned(), value);
        }
    }
    Value::Object(members)
}

/// Words with blanks between them, of which some providers make a list.
fn scope_text(scope: &Value) -> Option<Value> {
    match scope {
        Value::String(_) => Some(scope.clone()),
        Value::Array(words) => {
            let words: Option<Vec<_>> = words.iter().map(Value::as_str).collect();
            Some(words?.join(" ").into())
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::revocation::wire::CheckRequest;
    use crate::time::UnixTime;

    fn claims(claims: &Value) -> Claims {
        let claims = claims.as_object().unwrap().clone();
        Claims::new(claims.into_iter().collect()).unwrap()
    }

    #[test]
    fn an_active_token_is_told_with_what_it_says() {
        let told = active(&claims(&json!({
            "iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 9, "iat": 1, "nbf": 2, "jti": "j",
            "sid": "d", "auth_time": 3, "acr": "x", "scope": "read write", "client_id": "web",
            "azp": "other", "email": "private", "username": null,
        })));
        let expected = json!({
            "active": true, "iss": "i", "sub": "s", "aud": ["a", "b"], "exp": 9, "iat": 1, "nbf": 2,
            "jti": "j", "sid": "d", "auth_time": 3, "acr": "x", "scope": "read write",
            "client_id": "web", "token_type": "Bearer",
        });
        assert_eq!(told, expected);
        let bound = json!({"scp": ["read", "write"], "azp": "web", "cnf": {"jkt": "k"}});
        let expected = json!({
            "active": true, "scope": "read write", "client_id": "web", "token_type": "DPoP",
            "cnf": {"jkt": "k"},
        });
        assert_eq!(active(&claims(&bound)), expected);
        let odd = claims(&json!({"scope": [1], "client_id": 7}));
        assert_eq!(
            active(&odd),
            json!({"active": true, "token_type": "Bearer"})
        );
        assert_eq!(inactive(), json!({"active": false}));
    }

    #[test]
    fn a_resource_server_may_know_of_tokens_for_its_audiences() {
        let rule = IntrospectRule::Audiences(vec!["a".to_owned(), "b".to_owned()]);
        for (audience, expected) in [
            (json!("a"), true),
            (json!(["c", "b"]), true),
            (json!("c"), false),
            (json!("A"), false),
            (json!([]), false),
        ] {
            let claims = claims(&json!({ "aud": audience }));
            assert_eq!(may_know(&rule, &claims), expected, "{audience}");
            assert!(may_know(&IntrospectRule::Any, &claims));
        }
        assert!(!may_know(&rule, &claims(&json!({}))));
    }

    #[test]
    fn what_its_type_says_is_no_access_token_is_none() {
        let user = |token_type: Option<&str>, of: &Value| User {
            claims: claims(of),
            names: CheckRequest::default(),
            expires_at: UnixTime::EPOCH,
            token_type: token_type.map(str::to_owned),
            is_wholly_named: true,
        };
        for (token_type, expected) in [
            (None, true),
            (Some("JWT"), true),
            (Some("at+jwt"), true),
            (Some("application/AT+JWT"), true),
            (Some("logout+jwt"), false),
            (Some("token-introspection+jwt"), false),
            (Some("secevent+jwt"), false),
            (Some(""), false),
        ] {
            assert_eq!(
                is_for_apis(&user(token_type, &json!({}))),
                expected,
                "{token_type:?}"
            );
        }
        assert!(!is_for_apis(&user(None, &json!({"events": {}}))));
    }

    #[test]
    fn every_text_at_the_top_is_asked_about() {
        let claims = claims(&json!({"email": "a@b", "org": {"id": "o"}, "n": 1, "empty": ""}));
        let names = claim_names(&claims);
        let names: Vec<_> = names
            .iter()
            .map(|claim| (&*claim.name, &*claim.value))
            .collect();
        assert_eq!(names, [("email", "a@b")]);
    }
}
