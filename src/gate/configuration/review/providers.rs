//! Providers: tokens that cannot be revoked for long enough, locations of tokens that upstreams may
//! take for one, and what nothing uses.

use std::time::Duration;

use serde_json::Value;

use super::requirements::{NOTHING_CHECKED, is_empty_list};
use super::{Reviewed, finding, members};
use crate::configuration::{Fault, joined};
use crate::gate::alias::is_alias;
use crate::gate::dpop::SCHEME;
use crate::gate::extraction::Location;
use crate::gate::policy::{Otherwise, Possession, Provider, Requirement, TokenRequirement, Words};
use crate::keys::KeySource;

impl Reviewed<'_> {
    pub(super) fn providers(&self, findings: &mut Vec<Fault>) {
        let requirements = self.used_requirements();
        let written = members(self.configuration, "providers");
        for ((name, written), index) in written.zip(0..) {
            let Some(provider) = self.policy.providers.get(index) else {
                continue;
            };
            let path = joined("providers", name);
            if self.policy.revocation.is_some() && outlives_revocations(provider) {
                let message = "a revocation lapses, and a token without `exp` does not: it is good \
                               again then; hint: `max_token_age`, at most the \
                               `--max-token-lifetime` of the authority";
                findings.push(finding(joined(&path, "require_expiration"), message));
            }
            if provider.clock_skew > MAX_USUAL_CLOCK_SKEW {
                let message = "a token is good for so long after its `exp`: expected at most 600 \
                               seconds; hint: clocks that are set by NTP do with the default, 60";
                findings.push(finding(joined(&path, "clock_skew_seconds"), message));
            }
            let passes_bad_tokens = |one: &&Requirement| passes_bad_tokens(one, index);
            if provider.forward && requirements.iter().any(passes_bad_tokens) {
                let message = "under `allow_missing_or_failed`, a token that was not accepted goes \
                               on as well, and the upstream cannot tell it from a good one; hint: \
                               `claim_to_headers` or `session_headers` in place of `forward`";
                findings.push(finding(joined(&path, "forward"), message));
            }
            if provider.possession == Possession::ProvedElsewhere {
                let message = "any bearer may use what its issuer has bound to a key, unless something else \
                               verifies the proof; hint: `proof_of_possession`";
                findings.push(finding(joined(&path, "allow_bound_tokens"), message));
            }
            if provider.possession.dpop().is_some() && takes_no_dpop(provider) {
                let message = "names `authorization`, and not with the `value_prefix` of tokens that are bound \
                               to a key, so that those are refused there; hint: `{name: authorization, \
                               value_prefix: \"DPoP \"}`";
                findings.push(finding(joined(&path, "from_headers"), message));
            }
            findings.extend(without_effect(&path, written));
            findings.extend(strange_cookies(&path, written));
            let is_used = requirements.iter().any(|one| uses(one, index));
            if !is_used && !requirements.is_empty() {
                let message = "no rule and no route asks for its tokens";
                findings.push(finding(&*path, message));
            }
            // Fetched keys are those of an identity provider, which has other clients too.
            let is_shared = matches!(provider.keys, KeySource::Remote(_));
            let asked = |condition: &dyn Fn(&TokenRequirement) -> bool| {
                let meets = |one: &&Requirement| asks_for(one, index, condition);
                provider.audiences.is_empty() && requirements.iter().any(meets)
            };
            let takes_any = |token: &TokenRequirement| {
                takes_other_audiences(token)
                    && token.claims.is_empty()
                    && provider.subjects.is_none()
            };
            if is_shared && asked(&takes_any) {
                let message = "takes every token of its issuer, those for other APIs too, and ID \
                               tokens unless `token_types` keeps them out; hint: `audiences`, or \
                               `scopes` or `claims` where a rule asks for its tokens";
                findings.push(finding(&*path, message));
            } else if asked(&|token| takes_other_audiences(token) && token.types.is_empty()) {
                let message = "takes ID tokens for access tokens, since neither `audiences` nor \
                               `token_types` tells them apart; hint: `audiences`, or `token_types: \
                               [at+jwt]` in the rule if the issuer marks access tokens so (RFC 9068)";
                findings.push(finding(&*path, message));
            }
        }
        self.aliases(findings);
    }

    /// What rules, routes and the filter state may choose.
    fn used_requirements(&self) -> Vec<&Requirement> {
        let rules = self.policy.rules.iter().map(|rule| &*rule.requirement);
        let by_name = self.policy.routes.by_name.iter();
        let by_metadata = self.policy.routes.requirements.iter();
        let by_metadata = by_metadata.filter(|_| self.policy.routes.by_metadata);
        let by_filter_state = self.policy.filter_state_rules.iter();
        let by_filter_state = by_filter_state.flat_map(|rules| &rules.requirements);
        let named = by_name.chain(by_metadata).chain(by_filter_state);
        rules
            .chain(named.map(|(_, requirement)| &**requirement))
            .collect()
    }

    /// Two locations that upstreams may take for one: which of two tokens would they read?
    fn aliases(&self, findings: &mut Vec<Fault>) {
        let mut seen: Vec<(&str, &String)> = Vec::new();
        for provider in &self.policy.providers {
            for location in &provider.locations {
                let (key, name) = match location {
                    Location::Header(header) => ("from_headers", &header.name),
                    Location::Parameter(name) => ("from_params", name),
                    Location::Cookie(cookie) => ("from_cookies", &cookie.name),
                };
                let mut known = seen.iter();
                let other = known.find(|(other, known)| {
                    *other == key && *known != name && is_alias(known, name.as_bytes())
                });
                if let Some((_, other)) = other {
                    findings.push(finding(
                        joined(&joined("providers", &provider.name), key),
                        format!(
                            "`{name}` and `{other}` are one name for some upstreams, which may \
                             read the other token than the gate; hint: names that differ in a \
                             letter or digit"
                        ),
                    ));
                }
                seen.push((key, name));
            }
        }
    }
}

/// The most by which clocks differ that are not set right. More is a lifetime, or a mistyped unit.
const MAX_USUAL_CLOCK_SKEW: Duration = Duration::from_mins(10);

fn outlives_revocations(provider: &Provider) -> bool {
    let needs_expiration = provider.require_expiration || provider.max_lifetime.is_some();
    !needs_expiration && provider.max_token_age.is_none()
}

/// Whether tokens are looked for in `Authorization`, and not under the scheme of those that are bound to a key.
fn takes_no_dpop(provider: &Provider) -> bool {
    let schemes = provider.locations.iter().filter_map(Location::scheme);
    let mut schemes = schemes.peekable();
    schemes.peek().is_some() && !schemes.any(|found| found.eq_ignore_ascii_case(SCHEME))
}

fn without_effect(path: &str, written: &Value) -> Vec<Fault> {
    let mut findings = Vec::new();
    for key in ["audiences", "algorithms"] {
        if is_empty_list(written, key) {
            findings.push(finding(joined(path, key), NOTHING_CHECKED));
        }
    }
    let is_remote = written.get("remote_jwks").is_some();
    if is_remote && written.get("allow_symmetric_keys") == Some(&Value::Bool(true)) {
        let message = "has no effect: no shared secret is taken from a set that is fetched";
        findings.push(finding(joined(path, "allow_symmetric_keys"), message));
    }
    findings
}

/// Names that no cookie has (RFC 6265 section 4.1.1).
fn strange_cookies(path: &str, written: &Value) -> Vec<Fault> {
    let cookies = written.get("from_cookies").and_then(Value::as_array);
    let names = cookies.into_iter().flatten().enumerate();
    let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    let strange = names.filter(|(_, name)| {
        let name = name.as_str().unwrap_or_default();
        !name.bytes().all(is_token)
    });
    let path = joined(path, "from_cookies");
    let message = "no cookie has such a name: expected letters, digits and `!#$%&'*+-.^_`|~`";
    strange
        .map(|(index, _)| finding(format!("{path}[{index}]"), message))
        .collect()
}

fn uses(requirement: &Requirement, provider: usize) -> bool {
    requirement.providers(true).contains(&provider)
}

/// Whether a request goes through with a token of the provider that was not accepted.
fn passes_bad_tokens(requirement: &Requirement, provider: usize) -> bool {
    match requirement {
        Requirement::AllowMissingOrFailed(providers) => providers.contains(&provider),
        Requirement::Any(alternatives) => {
            let mut inner = alternatives.requirements.iter();
            let is_word = alternatives.otherwise == Otherwise::AllowMissingOrFailed;
            (is_word && alternatives.providers.contains(&provider))
                || inner.any(|one| passes_bad_tokens(one, provider))
        }
        Requirement::All(requirements) => {
            let mut inner = requirements.iter();
            inner.any(|one| passes_bad_tokens(one, provider))
        }
        Requirement::Nothing | Requirement::Token { .. } | Requirement::AllowMissing(_) => false,
    }
}

/// Whether a rule asks neither for audiences nor for scopes. A token that tells a client who has
/// signed in has claims of any kind, but no scopes.
fn takes_other_audiences(token: &TokenRequirement) -> bool {
    token.audiences.is_none() && token.scopes == Words::default()
}

/// Whether a token of the provider is enough if it meets a requirement like this.
fn asks_for(
    requirement: &Requirement,
    index: usize,
    condition: &dyn Fn(&TokenRequirement) -> bool,
) -> bool {
    let asks_for = |list: &[Requirement]| list.iter().any(|one| asks_for(one, index, condition));
    match requirement {
        Requirement::Token { provider, needs } => *provider == index && condition(needs),
        Requirement::Any(alternatives) => asks_for(&alternatives.requirements),
        Requirement::All(requirements) => asks_for(requirements),
        Requirement::Nothing
        | Requirement::AllowMissing(_)
        | Requirement::AllowMissingOrFailed(_) => false,
    }
}
