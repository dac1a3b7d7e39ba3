//! Listening to a decision.

use crate::gate::policy::Chosen;
use crate::gate::reason::Reason;

/// A step of the decision about one token. The steps are taken in this order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Step {
    /// There is one token in the provider's locations.
    Location,
    /// It is a well-formed JWT.
    Form,
    /// `iss` is the provider's.
    Issuer,
    /// The provider's keys are there.
    Keys,
    /// A key of the provider has made the signature.
    Signature,
    /// `typ` does not say that it is something other than an access token.
    Type,
    /// `exp`, `nbf`, `iat`.
    Times,
    /// `aud`.
    Audience,
    /// `sub`.
    Subject,
    /// `scope` or `scp`.
    Scopes,
    /// The claims that the rule asks for.
    Claims,
    /// Nothing has to be proved of `cnf`, or it was proved.
    Binding,
    /// The sender has shown that it has the key that the token is bound to, where that is looked at.
    Proof,
    /// It was not revoked.
    Revocation,
    /// The user has signed in in one of the ways that the rule asks for, if it does: `acr` and `amr`.
    Strength,
    /// The user has signed in no longer ago than the rule allows, if it asks: `auth_time`.
    SignInAge,
    /// The claims fit into the headers that they go into.
    Headers,
}

/// Listens to a decision.
pub trait Observer {
    /// A part of the configuration was chosen.
    fn chosen(&mut self, _chosen: Chosen) {}

    /// A token of this provider is looked for.
    fn provider(&mut self, _name: &str) {}

    /// A step was taken, and has found this fault, or none.
    fn checked(&mut self, _step: Step, _fault: Option<Reason>) {}
}

/// Listens to nothing.
impl Observer for () {}
