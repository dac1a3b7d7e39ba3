//! What a client is told that the gate has served itself.

use super::super::refusal::is_navigation;
use super::super::request::Request;
use super::SessionCall;
use super::call::Done;
use crate::gate::reason::Service;
use crate::host::Response;

impl SessionCall {
    /// The answer when the authority has done what was asked for. A browser that has sent a form to sign
    /// out is sent to `redirect`.
    pub(in crate::gate) fn response(
        &self,
        request: &Request,
        done: Done,
        redirect: Option<&str>,
    ) -> Response {
        let mut headers = vec![("cache-control", "no-store".to_owned())];
        if done.ended_own_session && !self.cookies.is_empty() {
            headers.push(("clear-site-data", CLEAR.to_owned()));
            let expired = self.cookies.iter().map(|name| format!("{name}={EXPIRED}"));
            headers.extend(expired.map(|cookie| ("set-cookie", cookie)));
        }
        let redirect = redirect.filter(|_| done.ended_own_session);
        let (mut status, mut grpc_status) = (204, None);
        if self.service == Service::ListSessions {
            status = 200;
            headers.push(("content-type", "application/json".to_owned()));
            headers.push(("x-content-type-options", "nosniff".to_owned()));
        } else if request.is_grpc() {
            (status, grpc_status) = (200, Some(0));
            headers.push(("grpc-status", "0".to_owned()));
        } else if let Some(url) = redirect
            && is_navigation(request)
        {
            status = 303;
            headers.push(("location", url.to_owned()));
        }
        Response {
            status,
            grpc_status,
            headers: headers.into_iter().collect(),
            body: done.list,
            details: format!("portcullis_served{{{}}}", self.service.label()),
        }
    }
}

/// What a browser forgets of the site. Not its cache, which it would take seconds to look through.
const CLEAR: &str = "\"cookies\", \"storage\"";

/// The value and attributes of a cookie that a browser forgets. A cookie that was set for a domain is
/// another one, and stays.
const EXPIRED: &str = "; Max-Age=0; Path=/; Secure; HttpOnly; SameSite=Lax";
