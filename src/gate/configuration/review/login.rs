//! The login page that browsers are sent to, if it is behind the gate itself.

use super::{Reviewed, finding};
use crate::configuration::Fault;
use crate::gate::extraction::Location;
use crate::gate::path::without_query;
use crate::gate::policy::{Otherwise, Requirement};
use crate::gate::request::Request;

const PATH: &str = "login_redirect.url";

impl Reviewed<'_> {
    /// A browser that is sent to a page that needs a token is sent there again, for ever.
    pub(super) fn login(&self, findings: &mut Vec<Fault>) {
        let login = self.policy.refusals.login.as_ref();
        // Which host a URL leads to is not known here, and routes decide about paths of their own.
        let url = login.map(|login| login.url.as_str());
        let Some(url) = url.filter(|url| url.starts_with('/')) else {
            return;
        };
        if self.policy.routes.choose() {
            return;
        }
        let request = [(":method", "GET"), (":path", url)].into_iter();
        let request = Request::new(request.collect());
        let path = without_query(url.as_bytes());
        for rule in self.rules() {
            if rule.known.path.matches(Some(path), &request) != Ok(true) {
                continue;
            }
            // A rule that may match or not decides nothing, unless both cases come to the same.
            if rule.has_conditions() {
                if rule.requirement.needs_token() {
                    continue;
                }
                return;
            }
            if rule.requirement.needs_token() {
                let message = format!(
                    "browsers without a token are sent here, and `{}` needs one here too: they \
                     are sent round for ever; hint: a rule before it that opens this path",
                    rule.path
                );
                findings.push(finding(PATH, message));
            } else if self.refuses_bad_cookies(rule.requirement) {
                let message = format!(
                    "browsers whose cookie has expired are sent here, and `{}` refuses it here \
                     too: they are sent round for ever; hint: a rule before it that opens this \
                     path, or `allow_missing_or_failed`",
                    rule.path
                );
                findings.push(finding(PATH, message));
            }
            return;
        }
        if !self.policy.allow_unmatched && self.policy.filter_state_rules.is_none() {
            let message = "no rule matches this path, so the login page is refused too";
            findings.push(finding(PATH, message));
        }
    }

    /// Whether a request with a bad token in a cookie is refused, though it would pass without any.
    fn refuses_bad_cookies(&self, requirement: &Requirement) -> bool {
        let providers = match requirement {
            Requirement::AllowMissing(providers) => providers,
            Requirement::Any(alternatives) if alternatives.otherwise == Otherwise::AllowMissing => {
                &alternatives.providers
            }
            _ => return false,
        };
        let providers = providers.iter();
        let mut providers = providers.filter_map(|index| self.policy.providers.get(*index));
        providers.any(|provider| {
            let mut locations = provider.locations.iter();
            locations.any(|location| matches!(location, Location::Cookie(_)))
        })
    }
}
