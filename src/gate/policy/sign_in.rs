//! What a requirement asks of how, and how long ago, the user has signed in (RFC 9470).

use std::borrow::Cow;
use std::time::Duration;

use serde_json::Value;

use super::conditions::Words;
use crate::gate::reason::Reason;
use crate::time::UnixTime;
use crate::token::Claims;

/// Parameters of an authorization request (OpenID Connect Core section 3.1.2.1) and of a challenge (RFC 9470
/// section 3) that say how the user has to sign in.
pub(in crate::gate) const SIGN_IN_PARAMETERS: [&str; 2] = [ACR_VALUES, MAX_AGE];

const ACR_VALUES: &str = "acr_values";
const MAX_AGE: &str = "max_age";

/// What is asked of it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(in crate::gate) struct SignIn {
    /// Values of which `acr` is to be one, the preferred one first; empty if any will do. None of them has
    /// blanks.
    pub(in crate::gate) acr_values: Vec<String>,
    /// What `amr` has to contain (RFC 8176).
    pub(in crate::gate) amr_values: Words,
    /// Whole seconds since `auth_time`, at most.
    pub(in crate::gate) max_age: Option<Duration>,
}

impl SignIn {
    /// Whether `acr` or `amr` matter.
    pub(in crate::gate) fn asks_for_strength(&self) -> bool {
        !self.acr_values.is_empty() || self.amr_values != Words::NONE
    }

    /// `acr` and `amr`.
    pub(in crate::gate) fn check_strength(&self, claims: &Claims) -> Result<(), Reason> {
        let acr = claims.string("acr");
        let is_one = |acr| self.acr_values.iter().any(|value| value == acr);
        if (self.acr_values.is_empty() || acr.is_some_and(is_one))
            && self.amr_values.are_in(&["amr"], claims)
        {
            Ok(())
        } else {
            Err(Reason::AuthenticationTooWeak)
        }
    }

    /// `auth_time`, which may be as far from the clock as `skew` says. One that lies further ahead is no time at
    /// which the user has signed in.
    pub(in crate::gate) fn check_age(
        &self,
        claims: &Claims,
        now: UnixTime,
        skew: Duration,
    ) -> Result<(), Reason> {
        let Some(max_age) = self.max_age else {
            return Ok(());
        };
        let is_recent = |time: UnixTime| {
            time > UnixTime::EPOCH
                && time <= now.later_by(skew)
                && now <= time.later_by(max_age.saturating_add(skew))
        };
        if claims.auth_time().is_some_and(is_recent) {
            Ok(())
        } else {
            Err(Reason::AuthenticationTooOld)
        }
    }

    /// What the client has to ask for: some of [`SIGN_IN_PARAMETERS`], with texts that need no escape in a
    /// quoted string, and numbers.
    pub(in crate::gate) fn parameters(&self) -> impl Iterator<Item = (&'static str, Value)> {
        let acr = (!self.acr_values.is_empty()).then(|| self.acr_values.join(" ").into());
        let age = self.max_age.map(|age| age.as_secs().into());
        let acr = acr.map(|values| (ACR_VALUES, values));
        acr.into_iter().chain(age.map(|age| (MAX_AGE, age)))
    }
}

/// A parameter's value, as it stands in a challenge.
pub(in crate::gate) fn text_of(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.into(),
        number => number.to_string().into(),
    }
}
