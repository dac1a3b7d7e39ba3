//! The paths for OAuth clients, and what each answer is.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::desk::Told;
use super::form::Asked;
use super::{OAuth, answer_key};
use crate::authority::clock;
use crate::authority::signals::http::{
    ErrorAnswer, FORM, NotNow, arrival, body, in_time, no_store,
};
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::reception::{Arrival, Reception};

/// Where clients revoke tokens (RFC 7009).
pub(in crate::authority::signals) const REVOKE_PATH: &str = "/oauth/revoke";

/// Where resource servers ask about tokens (RFC 7662).
pub(in crate::authority::signals) const INTROSPECT_PATH: &str = "/oauth/introspect";

/// Where the key is that answers are signed with.
pub(in crate::authority::signals) const KEYS_PATH: &str = "/oauth/jwks";

/// Where this server says what it does (RFC 8414).
const METADATA_PATH: &str = "/.well-known/oauth-authorization-server";

/// How clients show who they are.
const METHODS: [&str; 3] = [
    "client_secret_basic",
    "client_secret_post",
    "private_key_jwt",
];

/// The algorithms of assertions: all that keys of a JWK Set can be for.
const ASSERTION_ALGORITHMS: [&str; 10] = [
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
];

/// Resource servers may keep keys for as long.
const KEYS_AGE: &str = "public, max-age=300";

/// The paths.
pub(in crate::authority::signals) fn routes() -> OpenApiRouter<Reception> {
    OpenApiRouter::new()
        .routes(routes!(revoke))
        .routes(routes!(introspect))
        .routes(routes!(keys))
        .routes(routes!(metadata))
}

/// What a client asks, and, unless `Authorization` has it, who it is. Other parameters are ignored. None
/// of these may be there twice, and one without a value counts as left out.
#[derive(ToSchema)]
#[expect(dead_code, reason = "a form is read from its bytes")]
struct ClientForm {
    /// The token in question.
    #[schema(min_length = 1)]
    token: String,
    /// Ignored: the token itself says what it is.
    token_type_hint: Option<String>,
    /// The client.
    client_id: Option<String>,
    /// Its secret (`client_secret_post`).
    client_secret: Option<String>,
    /// A JWT by one of its keys (`private_key_jwt`), which counts once.
    client_assertion: Option<String>,
    /// `urn:ietf:params:oauth:client-assertion-type:jwt-bearer`, with an assertion.
    client_assertion_type: Option<String>,
}

/// A client revokes a token that it was issued (RFC 7009).
#[utoipa::path(
    post,
    path = REVOKE_PATH,
    security(("client" = []), ()),
    request_body(content = ClientForm, content_type = FORM),
    responses(
        (status = 200, description = "The revocation is on the disk; or there is nothing to revoke, as \
          of a token that has expired, or a text that is none"),
        (status = 400, description = "The form is not in order (`invalid_request`), the client may not \
          revoke (`unauthorized_client`), the token is of another client or issuer (`invalid_grant`), \
          or has no name by which it could be revoked (`unsupported_token_type`)",
         body = ErrorAnswer),
        (status = 401, description = "The client has not shown who it is", body = ErrorAnswer),
        NotNow,
    )
)]
async fn revoke(State(reception): State<Reception>, request: Request) -> Response {
    let worker = reception.clone();
    let receiver = Receiver::OAuthRevoke;
    let done = asked(
        &reception,
        receiver,
        request,
        |oauth, asked, arrival| async move { worker.revoke(&oauth, asked, arrival).await },
    );
    match done.await {
        Ok(()) => no_store(StatusCode::OK.into_response()),
        Err(refusal) => refusal.code.into_response(),
    }
}

/// What a resource server is told of a token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "an answer is made of what the token says")]
struct IntrospectionAnswer {
    /// Whether it is good and not revoked. If it is not, nothing else is said.
    active: bool,
    /// `scope` of the token, or `scp`.
    scope: Option<String>,
    /// `client_id` of the token, or `azp`.
    client_id: Option<String>,
    /// `Bearer` or `DPoP`.
    token_type: Option<String>,
    /// These are as the token has them.
    exp: Option<Value>,
    iat: Option<Value>,
    nbf: Option<Value>,
    sub: Option<Value>,
    aud: Option<Value>,
    iss: Option<Value>,
    jti: Option<Value>,
    sid: Option<Value>,
    auth_time: Option<Value>,
    acr: Option<Value>,
    cnf: Option<Value>,
    username: Option<Value>,
}

/// A resource server asks whether a token is good (RFC 7662). With `Accept:
/// application/token-introspection+jwt`, the answer is signed (RFC 9701).
#[utoipa::path(
    post,
    path = INTROSPECT_PATH,
    security(("client" = []), ()),
    request_body(content = ClientForm, content_type = FORM),
    responses(
        (status = 200, description = "What is known of the token at this moment",
         content((IntrospectionAnswer = "application/json"),
          (String = "application/token-introspection+jwt"))),
        (status = 400, description = "The form is not in order (`invalid_request`), or the client may \
          not ask (`unauthorized_client`)", body = ErrorAnswer),
        (status = 401, description = "The client has not shown who it is", body = ErrorAnswer),
        NotNow,
    )
)]
async fn introspect(State(reception): State<Reception>, request: Request) -> Response {
    let is_signed = wants_signed(request.headers());
    let worker = reception.clone();
    let receiver = Receiver::OAuthIntrospect;
    let told = asked(
        &reception,
        receiver,
        request,
        |oauth, asked, arrival| async move { worker.introspect(&oauth, asked, arrival).await },
    );
    match told.await {
        Ok(Told { client_id, answer }) if is_signed => {
            signed_answer(&reception, &client_id, &answer)
        }
        Ok(Told { answer, .. }) => no_store(Json(answer).into_response()),
        Err(refusal) => refusal.code.into_response(),
    }
}

/// What a client asks, and what `work` makes of it.
async fn asked<T, F>(
    reception: &Reception,
    receiver: Receiver,
    request: Request,
    work: impl FnOnce(Arc<OAuth>, Asked, Arrival) -> F,
) -> Result<T, Refusal>
where
    T: Send + 'static,
    F: Future<Output = Result<T, Refusal>> + Send + 'static,
{
    let arrival = arrival(&request);
    let limits = reception.receivers.configuration.limits;
    let authorization = request.headers().get_all("authorization");
    let authorization: Vec<HeaderValue> = authorization.iter().cloned().collect();
    let read = match body(request, FORM, &limits).await {
        Ok(body) => Asked::read(&body, &authorization),
        Err(refusal) => Err(refusal),
    };
    // The paths are there only where this is.
    let oauth = reception.receivers.oauth.clone();
    let asked = read.and_then(|asked| Ok((oauth.ok_or(Code::ClientNotPermitted)?, asked)));
    match asked {
        Ok((oauth, asked)) => {
            let room = Arc::clone(oauth.rooms.of(&asked.claimed_client()));
            let work = work(oauth, asked, arrival);
            in_time(reception, &room, (receiver, arrival), |_| (), work).await
        }
        Err(refusal) => {
            reception.turned_away(receiver, &refusal, &arrival);
            Err(refusal)
        }
    }
}

/// Whether `Accept` asks for a signed answer (RFC 9701 section 4).
fn wants_signed(headers: &HeaderMap) -> bool {
    let values = headers.get_all("accept").into_iter();
    let ranges = values.filter_map(|value| value.to_str().ok());
    let mut ranges = ranges.flat_map(|value| value.split(','));
    ranges.any(|range| {
        let mut parts = range.split(';').map(str::trim);
        let media_type = parts.next().unwrap_or_default();
        let media_type = media_type.to_ascii_lowercase();
        let is_signed = media_type.strip_prefix("application/") == Some(answer_key::TYPE);
        // `q=0` is a refusal, whatever its digits.
        let mut parts = parts.filter_map(|part| part.split_once('='));
        let is_refused = parts.any(|(name, value)| {
            name.trim().eq_ignore_ascii_case("q") && value.trim().parse() == Ok(0.0_f32)
        });
        is_signed && !is_refused
    })
}

fn signed_answer(reception: &Reception, client_id: &str, answer: &Value) -> Response {
    let oauth = reception.receivers.oauth.as_ref();
    let signed = oauth.and_then(|oauth| {
        let signed = oauth
            .key
            .signed(&oauth.issuer, client_id, answer, clock::now());
        signed.ok()
    });
    let Some(signed) = signed else {
        return Code::RecordsUnavailable.into_response();
    };
    let media_type = format!("application/{}", answer_key::TYPE);
    no_store(([("content-type", media_type)], signed).into_response())
}

/// A JWK Set.
#[derive(Debug, Serialize, ToSchema)]
struct KeysAnswer {
    /// One public key (RFC 7517).
    #[schema(value_type = Vec<Object>)]
    keys: Vec<Value>,
}

/// The key that answers about tokens are signed with.
#[utoipa::path(
    get,
    path = KEYS_PATH,
    security(()),
    responses(
        (status = 200, body = KeysAnswer,
         headers(("cache-control" = String, description = "For how long they may be kept"))),
    )
)]
async fn keys(State(reception): State<Reception>) -> Response {
    let oauth = reception.receivers.oauth.iter();
    kept(&KeysAnswer {
        keys: oauth.map(|oauth| oauth.key.public_jwk()).collect(),
    })
}

/// What this server does for clients (RFC 8414).
#[derive(Debug, Serialize, ToSchema)]
struct MetadataAnswer {
    issuer: String,
    jwks_uri: String,
    revocation_endpoint: String,
    revocation_endpoint_auth_methods_supported: &'static [&'static str],
    revocation_endpoint_auth_signing_alg_values_supported: &'static [&'static str],
    introspection_endpoint: String,
    introspection_endpoint_auth_methods_supported: &'static [&'static str],
    introspection_endpoint_auth_signing_alg_values_supported: &'static [&'static str],
    introspection_signing_alg_values_supported: Vec<&'static str>,
    /// Empty: nothing is issued here, so there is no endpoint for it, and no grant.
    response_types_supported: &'static [&'static str],
    /// Empty as well.
    grant_types_supported: &'static [&'static str],
}

/// The paths for OAuth clients, and how they may show who they are (RFC 8414).
#[utoipa::path(
    get,
    path = METADATA_PATH,
    security(()),
    responses(
        (status = 200, body = MetadataAnswer,
         headers(("cache-control" = String, description = "For how long it may be kept"))),
    )
)]
async fn metadata(State(reception): State<Reception>) -> Response {
    let Some(oauth) = &reception.receivers.oauth else {
        return StatusCode::NOT_FOUND.into_response();
    };
    kept(&MetadataAnswer {
        issuer: oauth.issuer.clone(),
        jwks_uri: oauth.url(KEYS_PATH),
        revocation_endpoint: oauth.url(REVOKE_PATH),
        revocation_endpoint_auth_methods_supported: &METHODS,
        revocation_endpoint_auth_signing_alg_values_supported: &ASSERTION_ALGORITHMS,
        introspection_endpoint: oauth.url(INTROSPECT_PATH),
        introspection_endpoint_auth_methods_supported: &METHODS,
        introspection_endpoint_auth_signing_alg_values_supported: &ASSERTION_ALGORITHMS,
        introspection_signing_alg_values_supported: vec![oauth.key.algorithm()],
        response_types_supported: &[],
        grant_types_supported: &[],
    })
}

fn kept(answer: &impl Serialize) -> Response {
    ([("cache-control", KEYS_AGE)], Json(answer)).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signed_answer_is_for_those_that_ask_for_it() {
        for (accept, expected) in [
            (vec![], false),
            (vec!["*/*"], false),
            (vec!["application/json"], false),
            (vec!["application/token-introspection+jwt"], true),
            (
                vec![
                    "application/json",
                    "Application/Token-Introspection+JWT; q=0.5",
                ],
                true,
            ),
            (
                vec!["application/json;q=0.1, application/token-introspection+jwt"],
                true,
            ),
            (vec!["application/token-introspection+jwt;q=0"], false),
            (vec!["application/token-introspection+jwt; Q=0.000"], false),
            (vec!["application/token-introspection+jwtx"], false),
            (vec!["token-introspection+jwt"], false),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accept {
                headers.append("accept", HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(wants_signed(&headers), expected, "{accept:?}");
        }
    }
}
