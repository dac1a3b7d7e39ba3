//! The routes that the gate serves itself, if the rules leave them nothing to serve.

use super::{Reviewed, finding};
use crate::configuration::Fault;
use crate::gate::request::Request;

impl Reviewed<'_> {
    /// A route that no rule lets through with a token serves no request.
    pub(super) fn session_routes(&self, findings: &mut Vec<Fault>) {
        let Some(routes) = &self.policy.session_routes else {
            return;
        };
        // Which requirement a route of Envoy chooses is not known here.
        if self.policy.routes.choose() {
            return;
        }
        if let Some(sign_out) = &routes.sign_out {
            let methods = sign_out.methods.iter().copied();
            self.session_route("sign_out", &sign_out.at.path, methods, findings);
        }
        if let Some(sessions) = &routes.sessions {
            self.session_route("sessions", &sessions.path, ["GET"].into_iter(), findings);
        }
    }

    fn session_route(
        &self,
        key: &str,
        path: &str,
        methods: impl Iterator<Item = &'static str>,
        findings: &mut Vec<Fault>,
    ) {
        for method in methods {
            if let Some(message) = self.fault_of_route(method, path) {
                findings.push(finding(format!("{key}.path"), message));
                return;
            }
        }
    }

    /// What is wrong with the first rule for a request with this method and path, if that is certain.
    fn fault_of_route(&self, method: &str, path: &str) -> Option<String> {
        let request = [(":method", method), (":path", path)].into_iter();
        let request = Request::new(request.collect());
        for rule in self.rules() {
            if rule.known.path.matches(Some(path.as_bytes()), &request) != Ok(true) {
                continue;
            }
            let needs_token = rule.requirement.needs_token();
            if rule.has_conditions() {
                // It may match or not.
                if needs_token {
                    continue;
                }
                return None;
            }
            if rule.requirement.asks_for_sign_in(true) {
                return Some(format!(
                    "`{}` asks here how the user has signed in, so that one who has to do it again cannot \
                     use this path; hint: a rule before it that asks for a token alone",
                    rule.path
                ));
            }
            return (!needs_token).then(|| {
                format!(
                    "`{}` lets {method} requests through without a token here, which this path \
                     refuses (401 `token_missing`); hint: a rule before it that needs one",
                    rule.path
                )
            });
        }
        if self.policy.filter_state_rules.is_some() {
            return None;
        }
        Some(if self.policy.allow_unmatched {
            "no rule matches this path, and without one no token is read: expected a rule that \
             needs one"
                .to_owned()
        } else {
            format!("no rule matches {method} requests for this path, so they are refused")
        })
    }
}
