//! What a request needs.

use super::conditions::{ClaimCondition, Words};
use super::sign_in::SignIn;
use crate::gate::reason::Reason;
use crate::token::{Claims, VerifiedToken, is_type};

/// What a rule or a route asks for: `JwtRequirement`.
#[derive(Debug)]
pub(in crate::gate) enum Requirement {
    /// Nothing: the request goes through as it is.
    Nothing,
    /// A token of one provider.
    Token {
        /// Index of the provider.
        provider: usize,
        /// What the token has to say.
        needs: TokenRequirement,
    },
    /// One of these, the first that is met.
    Any(Alternatives),
    /// Every one of these, each with its own token or the same.
    All(Vec<Requirement>),
    /// No token of these providers, or one that is good.
    AllowMissing(Vec<usize>),
    /// Any token of these providers or none; what a good one says is passed on.
    AllowMissingOrFailed(Vec<usize>),
}

/// Requirements of which one is enough.
#[derive(Debug)]
pub(in crate::gate) struct Alternatives {
    pub(in crate::gate) requirements: Vec<Requirement>,
    /// Indices of the providers whose tokens must not contradict one another: all of those in
    /// `requirements` except those under an `All`.
    pub(in crate::gate) together: Vec<usize>,
    /// Indices of all providers in `requirements`.
    pub(in crate::gate) providers: Vec<usize>,
    pub(in crate::gate) otherwise: Otherwise,
}

/// What becomes of a request that meets none of the alternatives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gate) enum Otherwise {
    /// It is refused.
    Refuse,
    /// It goes through if it has no token (`allow_missing`).
    AllowMissing,
    /// It goes through (`allow_missing_or_failed`).
    AllowMissingOrFailed,
}

impl Requirement {
    /// Indices of the providers in it; of all of them, or without those under an `All`.
    pub(in crate::gate) fn providers(&self, with_all: bool) -> Vec<usize> {
        match self {
            Self::Token { provider, .. } => vec![*provider],
            Self::Any(alternatives) => Self::all_providers(&alternatives.requirements, with_all),
            Self::All(requirements) if with_all => Self::all_providers(requirements, with_all),
            Self::Nothing | Self::All(_) => Vec::new(),
            Self::AllowMissing(indices) | Self::AllowMissingOrFailed(indices) => indices.clone(),
        }
    }

    /// Whether a request without a token is refused.
    pub(in crate::gate) fn needs_token(&self) -> bool {
        match self {
            Self::Token { .. } => true,
            Self::Any(alternatives) => {
                let mut requirements = alternatives.requirements.iter();
                alternatives.otherwise == Otherwise::Refuse && requirements.all(Self::needs_token)
            }
            Self::All(requirements) => requirements.iter().any(Self::needs_token),
            Self::Nothing | Self::AllowMissing(_) | Self::AllowMissingOrFailed(_) => false,
        }
    }

    /// Whether it matters how the user has signed in: in some case, or `always`.
    pub(in crate::gate) fn asks_for_sign_in(&self, always: bool) -> bool {
        match self {
            Self::Token { needs, .. } => needs.sign_in.is_some(),
            Self::Any(Alternatives { requirements, .. }) if always => requirements
                .iter()
                .all(|requirement| requirement.asks_for_sign_in(always)),
            Self::Any(Alternatives { requirements, .. }) | Self::All(requirements) => requirements
                .iter()
                .any(|requirement| requirement.asks_for_sign_in(always)),
            Self::Nothing | Self::AllowMissing(_) | Self::AllowMissingOrFailed(_) => false,
        }
    }

    /// Whether an optional token comes before another provider's in an `All`, so that it depends on
    /// the request whose token is the first one.
    pub(in crate::gate) fn has_uncertain_session(&self) -> bool {
        match self {
            Self::All(requirements) => {
                let mut asking = requirements
                    .iter()
                    .filter(|one| !one.providers(true).is_empty());
                let is_uncertain = asking.next().is_some_and(|first| !first.needs_token())
                    && asking.next().is_some()
                    && self.providers(true).len() > 1;
                is_uncertain || requirements.iter().any(Self::has_uncertain_session)
            }
            Self::Any(alternatives) => {
                let mut requirements = alternatives.requirements.iter();
                requirements.any(Self::has_uncertain_session)
            }
            _ => false,
        }
    }

    /// The same for several requirements, each index once.
    pub(in crate::gate) fn all_providers(list: &[Self], with_all: bool) -> Vec<usize> {
        let mut indices = Vec::new();
        for index in list.iter().flat_map(|one| one.providers(with_all)) {
            if !indices.contains(&index) {
                indices.push(index);
            }
        }
        indices
    }
}

/// What a token has to say for one requirement.
#[derive(Debug)]
pub(in crate::gate) struct TokenRequirement {
    /// Instead of the provider's own, as [`super::comparable_audience`] gives them.
    pub(in crate::gate) audiences: Option<Vec<String>>,
    pub(in crate::gate) scopes: Words,
    pub(in crate::gate) claims: Vec<ClaimCondition>,
    /// Values that `typ` may have; empty when only the types of other things are refused.
    pub(in crate::gate) types: Vec<String>,
    /// How the user must have signed in, if that matters.
    pub(in crate::gate) sign_in: Option<Box<SignIn>>,
}

impl TokenRequirement {
    /// Nothing but what the provider asks for itself.
    pub(in crate::gate) const PLAIN: Self = Self {
        audiences: None,
        scopes: Words::NONE,
        claims: Vec::new(),
        types: Vec::new(),
        sign_in: None,
    };

    /// `typ` (RFC 7515 section 4.1.9), compared without regard to case and without
    /// `application/`.
    ///
    /// Without `types`, tokens that say of themselves that they are something other than an access
    /// token are refused (RFC 8725 section 3.11): otherwise a service that receives logout tokens,
    /// say, could use them as their users.
    pub(in crate::gate) fn check_type(&self, token: &VerifiedToken) -> Result<(), Reason> {
        let found = token.token_type().unwrap_or_default();
        let is = |name: &str| is_type(found, name);
        let is_accepted = if self.types.is_empty() {
            !NOT_FOR_ACCESS.iter().any(|name| is(name)) && !is_logout_token(token.claims())
        } else {
            self.types.iter().any(|name| is(name))
        };
        if is_accepted {
            Ok(())
        } else {
            Err(Reason::TokenTypeMismatch)
        }
    }

    /// `scope` or `scp`.
    pub(in crate::gate) fn check_scopes(&self, claims: &Claims) -> Result<(), Reason> {
        if self.scopes.are_in(&["scope", "scp"], claims) {
            Ok(())
        } else {
            Err(Reason::ScopeMissing)
        }
    }

    /// The other claims that are asked for.
    pub(in crate::gate) fn check_conditions(&self, claims: &Claims) -> Result<(), Reason> {
        if self.claims.iter().all(|condition| condition.is_met(claims)) {
            Ok(())
        } else {
            Err(Reason::ClaimMismatch)
        }
    }
}

/// Types of tokens that serve another purpose than access: logout (OpenID Connect
/// Back-Channel Logout 1.0), security events (RFC 8417), proofs of possession (RFC 9449, RFC
/// 9728), requests and answers of OAuth (RFC 9101, RFC 9701), client authentication (RFC 7523bis),
/// verifiable credentials' key binding, requests to revoke everything of a user.
const NOT_FOR_ACCESS: [&str; 10] = [
    "logout+jwt",
    "secevent+jwt",
    "dpop+jwt",
    "kb+jwt",
    "oauth-authz-req+jwt",
    "token-introspection+jwt",
    "client-authentication+jwt",
    "statuslist+jwt",
    "entity-statement+jwt",
    "global-token-revocation+jwt",
];

/// The event that makes a token a logout token, whatever its `typ`.
const LOGOUT_EVENT: &str = "http://schemas.openid.net/event/backchannel-logout";

fn is_logout_token(claims: &Claims) -> bool {
    let events = claims.get("events");
    events.is_some_and(|events| events.get(LOGOUT_EVENT).is_some())
}
