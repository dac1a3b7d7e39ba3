//! Requests that the gate serves itself, on session routes.

use std::rc::Rc;

use serde_json::Value;

use super::{Decision, Observer, Pass, Setback};
use crate::gate::Wait;
use crate::gate::alias::reads_as;
use crate::gate::extraction::Location;
use crate::gate::path;
use crate::gate::reason::{Reason, Service};
use crate::gate::revocation::nonce_of;
use crate::gate::session_routes::{Route, SessionCall, is_own_page};
use crate::host::Host;
use crate::json_object::json_text;
use crate::revocation::wire::own_sessions::{
    EndSessionRequest, MAX_OWN_SESSIONS, OwnSessionsRequest,
};
use crate::revocation::wire::sign_out::{SignOutRequest, SignOutScope, UserToken};
use crate::token::Claims;

/// Longest cursor of a list that is passed on.
const MAX_CURSOR_BYTES: usize = 256;

/// Hexadecimal digits of a session's id.
const ID_DIGITS: usize = 32;

impl<'g, H: Host, O: Observer> Decision<'g, H, O> {
    /// What becomes of a request for a session route that was admitted: it waits for the authority, or
    /// is refused.
    #[cold]
    pub(super) fn serve(&self, route: Route<'_>) -> Setback<'g> {
        // The first token is the session's, as it is for the session headers.
        let Some(pass) = self.passes.first() else {
            return Reason::TokenMissing.into();
        };
        match self.session_call(route, pass) {
            Ok(call) => Setback::Waits {
                on: Wait::Session(Rc::new(call)),
                provider: pass.index,
            },
            Err(reason) => Setback::from(reason).about(pass.index, None),
        }
    }

    fn session_call(&self, route: Route<'_>, pass: &Pass<'g>) -> Result<SessionCall, Reason> {
        let method = self.request.method().unwrap_or_default();
        if !route.takes(method) {
            return Err(Reason::MethodNotAllowed);
        }
        if pass.is_only_in_cookies()
            && let Some(origins) = route.origins()
            && !is_own_page(self.request, origins)
        {
            return Err(Reason::CrossSite);
        }
        let (service, body) = self.wish(route, pass)?;
        Ok(SessionCall {
            service,
            body: json_text(&body).into_bytes(),
            provider: pass.index,
            token: Rc::clone(&pass.token),
            cookies: pass.cookies().map(str::to_owned).collect(),
        })
    }

    /// What the user wants, and the body of the call for it.
    fn wish(&self, route: Route<'_>, pass: &Pass<'_>) -> Result<(Service, Value), Reason> {
        let token = str::from_utf8(&pass.found.token).map_err(|_| Reason::TokenMalformed)?;
        let token = UserToken(token.to_owned());
        let nonce = nonce_of(self.host.random());
        let claims = pass.token.claims();
        match route {
            Route::SignOut(route) => {
                let word = self.parameters(&["scope"])?.next().flatten();
                let scope = route.scope(word.as_deref());
                let scope = scope.ok_or(Reason::ParameterInvalid)?;
                if !can_sign_out(claims, scope) {
                    return Err(Reason::TokenUnnamed);
                }
                let request = SignOutRequest {
                    token,
                    scope,
                    nonce,
                };
                Ok((scope.into(), request.to_json()))
            }
            _ if !can_sign_out(claims, SignOutScope::Everywhere) => Err(Reason::TokenUnnamed),
            Route::Sessions => {
                let mut values = self.parameters(&["after", "limit"])?;
                let (after, limit) = (values.next().flatten(), values.next().flatten());
                let request = OwnSessionsRequest {
                    token,
                    after: after.map(cursor).transpose()?,
                    limit: limit.map(|limit| page_size(&limit)).transpose()?,
                };
                Ok((Service::ListSessions, request.to_json()))
            }
            Route::Session(_, id) => {
                self.parameters(&[])?;
                let id = session_id(id).ok_or(Reason::SessionNotFound)?;
                let request = EndSessionRequest { token, id, nonce };
                Ok((Service::EndSession, request.to_json()))
            }
        }
    }

    /// The values of these parameters, in their order. Another one, besides those that carry tokens,
    /// or the same one twice, is a mistake: what is meant must not be guessed.
    fn parameters(&self, names: &[&str]) -> Result<std::vec::IntoIter<Option<String>>, Reason> {
        let mut values = vec![None; names.len()];
        let providers = &self.gate.policy.providers;
        let carries_token = |name: &[u8]| {
            let mut locations = providers.iter().flat_map(|provider| &provider.locations);
            locations.any(|location| match location {
                Location::Parameter(own) => reads_as(own, name),
                _ => false,
            })
        };
        for parameter in self.request.parameters() {
            let (name, value) = path::pair(parameter);
            let mut known = names.iter().zip(values.iter_mut());
            let known = known.find(|(known, _)| known.as_bytes() == name);
            match known {
                Some((_, slot @ None)) => {
                    let value = path::decoded(value).into_owned();
                    let value = String::from_utf8(value);
                    *slot = Some(value.map_err(|_| Reason::ParameterInvalid)?);
                }
                None if carries_token(name) => {}
                _ => return Err(Reason::ParameterInvalid),
            }
        }
        Ok(values.into_iter())
    }
}

impl Pass<'_> {
    /// Whether a browser may have sent the token by itself.
    fn is_only_in_cookies(&self) -> bool {
        self.cookies().count() == self.found.locations.len()
    }

    /// The cookies that the token came in.
    fn cookies(&self) -> impl Iterator<Item = &str> {
        let locations = self.found.locations.iter();
        locations.filter_map(|location| match location {
            Location::Cookie(cookie) => Some(cookie.name.as_str()),
            _ => None,
        })
    }
}

/// Whether the claims say what is to be revoked.
fn can_sign_out(claims: &Claims, scope: SignOutScope) -> bool {
    let has = |claim| matches!(claims.get(claim), Some(Value::String(name)) if !name.is_empty());
    has("iss")
        && match scope {
            SignOutScope::Session => has("sid") || has("jti"),
            SignOutScope::Others => has("sid") && has("sub"),
            SignOutScope::Everywhere => has("sub"),
        }
}

fn cursor(text: String) -> Result<String, Reason> {
    let is_fit = !text.is_empty()
        && text.len() <= MAX_CURSOR_BYTES
        && text.bytes().all(|byte| byte.is_ascii_graphic());
    is_fit.then_some(text).ok_or(Reason::ParameterInvalid)
}

fn page_size(text: &str) -> Result<u8, Reason> {
    let size = text.parse().ok();
    let size = size.filter(|size| (1..=MAX_OWN_SESSIONS).contains(size));
    size.ok_or(Reason::ParameterInvalid)
}

fn session_id(text: &[u8]) -> Option<String> {
    let is_digit = |byte: &u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    let is_id = text.len() == ID_DIGITS && text.iter().all(is_digit);
    is_id.then(|| String::from_utf8_lossy(text).into_owned())
}
