//! The steps of a decision in words.

use std::borrow::Cow;

use serde_json::Value;

use super::super::token_names::Status;
use super::distance;
use crate::gate::{Chosen, Observer, Reason, Step};
use crate::time::UnixTime;
use crate::token::{TokenError, UnverifiedToken};

/// The configuration, as far as the descriptions need it.
#[derive(Clone, Copy)]
pub(super) struct Configured<'c> {
    pub(super) configuration: &'c Value,
    /// The line in its file of what has this path.
    pub(super) line: &'c dyn Fn(&str) -> usize,
    /// The route that Envoy would choose.
    pub(super) route: Option<&'c str>,
}

impl Configured<'_> {
    /// A rule with its line, what it matches, and what it asks for.
    fn rule(&self, index: usize) -> String {
        let line = (self.line)(&format!("rules[{index}]"));
        let rules = self.configuration.get("rules");
        let rule = rules.and_then(|rules| rules.get(index));
        let part = |key: &str| rule.and_then(|rule| rule.get(key));
        let matcher = part("match").map_or_else(String::new, |matcher| format!(": {matcher}"));
        let needs = match (part("requires"), part("requirement_name")) {
            (_, Some(Value::String(name))) => format!("asks for `{name}` of `requirement_map`"),
            (Some(requirement), _) => format!("asks for {requirement}"),
            (None, _) => "asks for nothing".to_owned(),
        };
        format!("rules[{index}] (line {line}) matches{matcher}, {needs}")
    }

    fn chosen_by_route(&self) -> String {
        let named = self.configuration.get("requirement_by_route_name");
        let requirement = self.route.and_then(|route| named?.get(route)?.as_str());
        match (self.route, requirement) {
            (Some(route), Some(requirement)) => {
                format!("the route `{route}` chooses `{requirement}` of `requirement_map`")
            }
            _ => "the route chooses the requirement".to_owned(),
        }
    }
}

/// Records what the gate does, with what it looked at.
pub(super) struct Steps<'c> {
    configured: Configured<'c>,
    token: Option<&'c Result<UnverifiedToken<'c>, TokenError>>,
    /// The proof that came with it, which has the form of a token.
    proof: Option<&'c UnverifiedToken<'c>>,
    now: UnixTime,
    provider: String,
    lines: Vec<String>,
}

impl<'c> Steps<'c> {
    pub(super) fn new(
        configured: Configured<'c>,
        token: Option<&'c Result<UnverifiedToken<'c>, TokenError>>,
        proof: Option<&'c UnverifiedToken<'c>>,
        now: UnixTime,
    ) -> Self {
        Self {
            configured,
            token,
            proof,
            now,
            provider: String::new(),
            lines: Vec::new(),
        }
    }

    pub(super) fn into_lines(self) -> Vec<String> {
        self.lines
    }

    /// A key of the provider that is being checked, as it stands in the configuration.
    fn configured(&self, key: &str) -> String {
        let provider = self
            .configured
            .configuration
            .get("providers")
            .and_then(|providers| providers.get(&self.provider));
        match provider.and_then(|provider| provider.get(key)) {
            Some(value) => format!("`{key}` is {value}"),
            None => format!("`{key}` is not set"),
        }
    }

    /// A claim as it is in the token.
    fn claim(&self, name: &str) -> String {
        let token = self.token.and_then(|token| token.as_ref().ok());
        claim_of(token, name)
    }

    /// What a proof is compared by.
    fn proof(&self) -> String {
        let Some(proof) = self.proof else {
            return String::new();
        };
        [
            claim_of(self.proof, "htm"),
            claim_of(self.proof, "htu"),
            self.time("iat", proof.unverified_claims().issued_at()),
        ]
        .join(", ")
    }

    /// What is not known here of a token that a status list speaks of.
    fn status(&self) -> Option<String> {
        let token = self.token?.as_ref().ok()?;
        let Status::Entry(entry) = Status::of(token.unverified_claims()) else {
            return None;
        };
        let providers = self.configured.configuration.get("providers")?;
        let provider = providers.get(&self.provider)?;
        let is_honoured = provider.get("status_list").is_some_and(|it| it == "honour");
        let (index, uri) = (entry.idx, entry.uri);
        let what = if is_honoured {
            "counts, and is not known here; `portcullis check --token` asks the authority"
        } else {
            "does not count, since `status_list` is not `honour`"
        };
        Some(format!(
            "  ?        what entry {index} of the status list {uri} says of it {what}"
        ))
    }

    fn time(&self, name: &str, time: Option<UnixTime>) -> String {
        match time {
            Some(time) => format!("`{name}` {}", distance(self.now, time)),
            None => format!("no `{name}`"),
        }
    }

    /// What may help to find out more.
    fn hint(&self, step: Step, reason: Reason) -> Option<Cow<'static, str>> {
        if step == Step::Keys {
            let provider = &self.provider;
            let hint =
                format!("`--jwks {provider}=FILE` gives them here, a JWK Set as its server has it");
            return Some(hint.into());
        }
        let hint = match reason {
            Reason::CertificateMismatch => {
                "`--client-certificate FILE` gives the one of the connection here"
            }
            Reason::CertificateUntrusted => {
                "`--property connection.uri_san_peer_certificate=NAME` gives the name of the proxy here, or `dns_san_…`; of its certificate, only the digest is looked at"
            }
            Reason::BoundClaimMismatch => {
                "`--header` and `--property` give here what the claim is compared with; of a certificate, only its digest is looked at"
            }
            Reason::ProofMissing => "`portcullis proof` prints one, for `--header \"dpop: …\"`",
            Reason::ProofTargetMismatch => {
                "`htm` and `htu` of the proof have to be `--method`, and `--scheme` (as `x-forwarded-proto`, where that is trusted), `:authority` and `--path`"
            }
            Reason::ProofTokenMismatch => {
                "the proof has to be by the key that the token is bound to (`cnf`), and for the token as it is sent (`ath`)"
            }
            Reason::ProofNonceMissing => {
                "`portcullis proof --nonce` puts one in; a client takes it from `dpop-nonce` of Envoy's answer"
            }
            Reason::ProofOutdated => {
                "`iat` of the proof is compared with the time now; `portcullis proof` prints a new one"
            }
            Reason::SchemeMismatch => {
                "a token that is bound to a key comes with `--header \"dpop: …\"`, and any other without"
            }
            _ => return None,
        };
        Some(hint.into())
    }

    /// What the step looked at.
    fn detail(&self, step: Step) -> String {
        let token = match self.token {
            Some(Ok(token)) => token,
            Some(Err(error)) if step == Step::Form => return error.to_string(),
            _ => return String::new(),
        };
        let claims = token.unverified_claims();
        match step {
            Step::Form | Step::Signature => format!(
                "`alg` is {:?}, {}",
                token.unverified_algorithm(),
                match token.unverified_key_id() {
                    Some(id) => format!("`kid` is {id:?}"),
                    None => "no `kid`".to_owned(),
                }
            ),
            Step::Issuer => format!("{}, {}", self.claim("iss"), self.configured("issuer")),
            Step::Type => match token.unverified_type() {
                Some(name) => format!("`typ` is {name:?}"),
                None => "no `typ`".to_owned(),
            },
            Step::Times => [
                self.time("exp", claims.expires_at()),
                self.time("nbf", claims.not_before()),
                self.time("iat", claims.issued_at()),
                self.configured("clock_skew_seconds"),
            ]
            .join(", "),
            Step::Audience => {
                format!("{}, {}", self.claim("aud"), self.configured("audiences"))
            }
            Step::Subject => format!("{}, {}", self.claim("sub"), self.configured("subjects")),
            Step::Proof => self.proof(),
            Step::Binding => format!("{}, {}", self.claim("cnf"), self.configured("bind_to")),
            Step::Strength => format!("{}, {}", self.claim("acr"), self.claim("amr")),
            Step::SignInAge => {
                let time = claims.auth_time().filter(|time| *time > UnixTime::EPOCH);
                let time = time.map_or_else(
                    || self.claim("auth_time"),
                    |time| self.time("auth_time", Some(time)),
                );
                format!("{time}, {}", self.configured("clock_skew_seconds"))
            }
            Step::Scopes => format!("{}, {}", self.claim("scope"), self.claim("scp")),
            _ => String::new(),
        }
    }
}

impl Observer for &mut Steps<'_> {
    fn chosen(&mut self, chosen: Chosen) {
        self.lines.push(match chosen {
            Chosen::Rule(index) => format!("rule       {}", self.configured.rule(index)),
            Chosen::Route => format!("rule       {}", self.configured.chosen_by_route()),
            Chosen::FilterState => "rule       the filter state chooses the requirement".to_owned(),
            Chosen::Nothing => "rule       no rule matches".to_owned(),
        });
    }

    fn provider(&mut self, name: &str) {
        name.clone_into(&mut self.provider);
        self.lines.push(format!("provider   {name}"));
    }

    fn checked(&mut self, step: Step, fault: Option<Reason>) {
        // The authority is not asked, as a note says.
        if step == Step::Revocation && fault.is_none() {
            return;
        }
        let detail = match (self.detail(step).as_str(), fault) {
            ("", None) => String::new(),
            (detail, None) => format!(": {detail}"),
            ("", Some(reason)) => format!(": {}", reason.label()),
            (detail, Some(reason)) => format!(": {}: {detail}", reason.label()),
        };
        let outcome = if fault.is_some() { "NO" } else { "ok" };
        self.lines
            .push(format!("  {outcome:<9}{}{detail}", name(step)));
        if step == Step::Signature && fault.is_none() {
            self.lines.extend(self.status());
        }
        let hint = fault.and_then(|reason| self.hint(step, reason));
        let hint = hint.map(|hint| format!("           hint: {hint}"));
        self.lines.extend(hint);
    }
}

/// A claim as it is in a token or proof.
fn claim_of(token: Option<&UnverifiedToken<'_>>, name: &str) -> String {
    let claims = token.map(UnverifiedToken::unverified_claims);
    match claims.and_then(|claims| claims.get(name)) {
        Some(value) => format!("`{name}` is {value}"),
        None => format!("no `{name}`"),
    }
}

const fn name(step: Step) -> &'static str {
    match step {
        Step::Location => "there is one token where the provider's come in",
        Step::Form => "it is a well-formed token",
        Step::Issuer => "it is this issuer's",
        Step::Keys => "the provider's keys are there",
        Step::Signature => "one of them made the signature",
        Step::Type => "it is for access",
        Step::Times => "its times are right",
        Step::Audience => "it is meant for this audience",
        Step::Subject => "its subject is let in",
        Step::Binding => "it needs no proof of possession, or there is one",
        Step::Proof => "its sender has its key, if it is bound to one",
        Step::Scopes => "it has the scopes",
        Step::Claims => "it has the claims",
        Step::Strength => "its user has signed in strongly enough",
        Step::SignInAge => "its user has signed in lately enough",
        Step::Revocation => "it could be revoked",
        Step::Headers => "its claims fit into headers",
    }
}
