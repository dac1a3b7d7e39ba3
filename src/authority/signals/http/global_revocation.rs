//! `POST /global-token-revocation/{name}`: everything of a user is to be revoked.

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode};
use axum::response::{IntoResponse as _, Response};

use super::{
    ErrorAnswer, GLOBAL_REVOCATION_PATH, NotNow, answer, arrival, body, in_time, no_store,
};
use crate::authority::http::bearer;
use crate::authority::signals::ledger::Record;
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::reception::{Asked, Reception};

/// An identity provider, or a tool for incidents, asks that everything of a user be revoked
/// (draft-parecki-oauth-global-token-revocation-06). A JWT counts for one request, a secret for any number.
#[utoipa::path(
    post,
    path = GLOBAL_REVOCATION_PATH,
    security(("caller" = [])),
    params(("name" = String, Path, min_length = 1,
     description = "`global_token_revocation.name` of an issuer in the signals file")),
    request_body(content = ref("#/components/schemas/GlobalRevocationRequest"),
     content_type = "application/json"),
    responses(
        (status = 204, description = "The revocation is on the disk, and so is that the caller's JWT \
          was used"),
        (status = 400, description = "The body is no JSON, or it has no subject identifier of a known \
          format", body = ErrorAnswer),
        (status = 401, description = "There is no credential, or it is not good", body = ErrorAnswer),
        (status = 403, description = "The caller is none of those that may ask, or the user is of \
          another issuer", body = ErrorAnswer),
        (status = 404, description = "No issuer has this name; or nothing is known of the user, where \
          `unknown_subjects` is `not_found`", body = ErrorAnswer),
        (status = 422, description = "The user's name is too long for one in access tokens",
         body = ErrorAnswer),
        NotNow,
    )
)]
pub(super) async fn revoke(
    State(reception): State<Reception>,
    name: Result<Path<String>, PathRejection>,
    request: Request,
) -> Response {
    let receiver = Receiver::GlobalTokenRevocation;
    let arrival = arrival(&request);
    // One that cannot be read is nobody's.
    let name = name.map_or_else(|_| String::new(), |Path(name)| name);
    let credential = bearer(&request).map(str::to_owned);
    let limits = reception.receivers.configuration.limits;
    let done = match body(request, "application/json", &limits).await {
        Ok(body) => {
            let asked = Asked {
                name,
                credential,
                body,
            };
            let room = reception.receivers.requests.of(&asked.name);
            let (claiming, claimed) = (reception.clone(), asked.clone());
            let describe = |record: &mut Record| claiming.note_asked(&claimed, record);
            let worker = reception.clone();
            let work = async move { worker.revoke_everything(asked, arrival).await };
            in_time(&reception, room, (receiver, arrival), describe, work).await
        }
        Err(refusal) => {
            reception.turned_away(receiver, &refusal, &arrival);
            Err(refusal)
        }
    };
    match done {
        Ok(()) => no_store(StatusCode::NO_CONTENT.into_response()),
        Err(refusal) => refused(&refusal),
    }
}

/// The draft defines statuses (section 3.4.2) and no bodies: these are as those of the other receivers.
pub(super) fn refused(refusal: &Refusal) -> Response {
    let code = refusal.code;
    let status = status(code);
    if status != StatusCode::UNAUTHORIZED {
        let mut response = code.into_response();
        *response.status_mut() = status;
        return response;
    }
    let mut response = answer(status, "invalid_token", code.description());
    // RFC 6750 section 3.1: no error where nothing was shown.
    let challenge = if code == Code::CredentialMissing {
        r#"Bearer realm="portcullis signals""#
    } else {
        r#"Bearer realm="portcullis signals", error="invalid_token""#
    };
    let challenge = HeaderValue::from_static(challenge);
    response.headers_mut().insert("www-authenticate", challenge);
    response
}

/// What is wrong with a JWT is 400 where it is the signal, and 401 here, where it is the credential. A user
/// of another issuer is not for this caller to name (section 3.4.2).
fn status(code: Code) -> StatusCode {
    match code {
        Code::TokenTooLarge
        | Code::TokenMalformed
        | Code::CriticalHeader
        | Code::TimeInMilliseconds
        | Code::IssuerUnknown
        | Code::KeyUnknown
        | Code::AlgorithmMismatch
        | Code::SignatureInvalid
        | Code::TypeMismatch
        | Code::AudienceMismatch
        | Code::IssueTimeMissing
        | Code::IssuedAhead
        | Code::TooOld
        | Code::Expired
        | Code::ExpiryMissing
        | Code::NotYetValid
        | Code::IdMissing => StatusCode::UNAUTHORIZED,
        Code::SubjectForeign => StatusCode::FORBIDDEN,
        other => other.status(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statuses_are_those_of_the_draft() {
        for (code, expected) in [
            (Code::BodyInvalid, 400),
            (Code::SubjectMissing, 400),
            (Code::SubjectFormatUnknown, 400),
            (Code::CredentialMissing, 401),
            (Code::CredentialInvalid, 401),
            (Code::AssertionRepeated, 401),
            (Code::SignatureInvalid, 401),
            (Code::AudienceMismatch, 401),
            (Code::CallerUnknown, 403),
            (Code::SubjectForeign, 403),
            (Code::SubjectUnknown, 404),
            (Code::SubjectUnusable, 422),
            (Code::TooManyFailures, 429),
            (Code::KeysUnavailable, 503),
        ] {
            let response = refused(&code.into());
            assert_eq!(response.status().as_u16(), expected, "{}", code.label());
            let has_challenge = response.headers().contains_key("www-authenticate");
            assert_eq!(has_challenge, expected == 401);
            assert_eq!(response.headers()["cache-control"], "no-store");
        }
    }
}
