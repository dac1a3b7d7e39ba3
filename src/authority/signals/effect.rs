//! From a signal to what is revoked. Pure: a signal and the rules of its issuer go in.
//!
//! | signal | revoked |
//! |---|---|
//! | a logout with `sid`, where access tokens carry it | that session, and nothing else |
//! | a logout with `sid`, where they do not | everything that the subject was issued until then |
//! | a logout without `sid` | what `logout_without_sid` says: that, or of it what was issued to the clients of the token |
//! | a security event | see `events` |
//! | a global token revocation | everything that the user was issued until then, by `sub` or the claim with the e-mail address |
//!
//! Every instant is counted from the signal's `iat`: the same signal gives the same revocations whenever
//! it is read. One without `iat` is about everything up to now, as an operator's revocation without an
//! instant. `iat` has whole seconds, so that a cut-off is at the next second, to include what was issued in
//! the same one.
//!
//! `iat` is by the clock of the signal's issuer. Where that issues the access tokens too, cut-offs compare
//! what one clock says. Where another does (`access_token_issuer`), its clock may be ahead, and a token of
//! before the signal would have a later `iat`: so the cut-off reaches as far ahead as clocks may differ.

use std::time::Duration;

use super::configuration::{LogoutScope, SignalIssuer};
use super::global_revocation::{GlobalRevocation, Identifier};
use super::logout::Logout;
use super::naming;
use super::reason::{Code, Refusal};
use super::text::shown;
use crate::authority::configuration::SessionEnd;
use crate::authority::entry::Target;
use crate::authority::request::{Limits, MAX_EXPIRY, RevocationRequest};
use crate::revocation::Kind;
use crate::time::UnixTime;

mod events;

pub(super) use events::{Consequences, of_event};

/// In histories, as the reason.
const REASON: &str = "signed out at the identity provider";

/// The same, of a global token revocation.
const REASON_OF_GLOBAL: &str = "everything of the user revoked at the identity provider's request";

/// What a logout revokes.
///
/// # Errors
///
/// [`Code::NothingToRevoke`] where only a session is named and access tokens do not carry it.
pub(super) fn of_logout(
    logout: &Logout,
    issuer: &SignalIssuer,
    limits: &Limits,
    now: UnixTime,
) -> Result<Vec<RevocationRequest>, Refusal> {
    let subject = logout.subject.as_deref();
    let subject = subject.map(|name| naming::user(name, issuer)).transpose()?;
    let kept = Kept { limits, now };
    let targets = match (logout.session.as_ref(), subject) {
        (Some(session), subject) if issuer.tokens_carry_sid => {
            let target = Target::named(Kind::Session, issuer.token_issuer(), session);
            let request = RevocationRequest {
                subject: subject.map(|subject| subject.value),
                reason: Some(REASON.to_owned()),
                ..kept.revocation(issuer, target, logout.issued_at)
            };
            return Ok(vec![request]);
        }
        // A session is one of all clients, and its tokens cannot be told from the others of its subject. To
        // end those at the clients of the logout token alone would leave some of them alive.
        (Some(_), Some(subject)) => vec![subject],
        (None, Some(subject)) => match issuer.logout_without_sid {
            LogoutScope::Subject => vec![subject],
            LogoutScope::SubjectAndClient => {
                let clients = logout.clients.iter();
                let targets = clients.map(|client| naming::at_client(&subject, client));
                targets.collect()
            }
        },
        (_, None) => {
            return Err(Code::NothingToRevoke.because(
                "it has `sid` alone, which access tokens of its issuer do not carry \
                 (`tokens_carry_sid: false`), and no `sub`",
            ));
        }
    };
    let requests = targets.into_iter().map(|target| RevocationRequest {
        reason: Some(REASON.to_owned()),
        ..kept.revocation(issuer, target, logout.issued_at)
    });
    Ok(requests.collect())
}

/// What a global token revocation revokes.
///
/// # Errors
///
/// [`Code::SubjectForeign`] where the user is of an issuer that is neither the caller's nor the one of
/// its access tokens, [`Code::SubjectUnusable`] where the user has no name in them.
pub(super) fn of_global_revocation(
    revocation: &GlobalRevocation,
    issuer: &SignalIssuer,
    email_claim: &str,
    limits: &Limits,
    now: UnixTime,
) -> Result<RevocationRequest, Refusal> {
    let user = |name: &str| {
        naming::user(name, issuer).map_err(|refusal| Code::SubjectUnusable.because(refusal.detail))
    };
    let of_tokens = |kind, name: &str| Target::named(kind, issuer.token_issuer(), name);
    let target = match &revocation.subject {
        Identifier::Email(name) if email_claim == "sub" => of_tokens(Kind::Subject, name),
        Identifier::Email(email) => Target {
            qualifier: email_claim.to_owned(),
            ..of_tokens(Kind::Claim, email)
        },
        Identifier::Opaque(name) => user(name)?,
        Identifier::IssuerSubject {
            issuer: of,
            subject,
        } => {
            if *of == issuer.issuer || issuer.subject_issuers.contains(of) {
                user(subject)?
            } else if of == issuer.token_issuer() {
                // As access tokens have it already.
                of_tokens(Kind::Subject, subject)
            } else {
                return Err(Code::SubjectForeign.because(format!(
                    "the user is of `{}`, which is neither the caller's issuer `{}` nor among its \
                     `subject.issuers`",
                    shown(of),
                    issuer.issuer
                )));
            }
        }
    };
    let request = match revocation.asked_at {
        Some(at) => Kept { limits, now }.revocation(issuer, target, at),
        None => RevocationRequest::of(target),
    };
    Ok(RevocationRequest {
        reason: Some(REASON_OF_GLOBAL.to_owned()),
        ..request
    })
}

/// For how long revocations are kept.
struct Kept<'a> {
    limits: &'a Limits,
    now: UnixTime,
}

impl Kept<'_> {
    /// How far the clock of the access tokens may be ahead of that of the signals.
    fn ahead(&self, issuer: &SignalIssuer) -> Duration {
        if issuer.token_issuer() == issuer.issuer {
            Duration::ZERO
        } else {
            self.limits.clock_skew
        }
    }

    fn revocation(&self, issuer: &SignalIssuer, target: Target, at: UnixTime) -> RevocationRequest {
        let kind = target.kind;
        let not_before = at.later_by(Duration::from_secs(1) + self.ahead(issuer));
        let life = self.limits.max_token_lifetime + self.limits.clock_skew;
        // Only the longest lifetime that can be said comes to more than may be asked for.
        let latest = self.now.later_by(MAX_EXPIRY);
        let expires_at = not_before.later_by(life).min(latest);
        let until_sign_in = kind == Kind::Session && issuer.sessions_end == SessionEnd::UntilSignIn;
        let has_instant = kind.is_cut_off() || until_sign_in;
        RevocationRequest {
            expires_at: Some(expires_at.seconds()),
            not_before: has_instant.then(|| not_before.seconds()),
            until_sign_in,
            ..RevocationRequest::of(target)
        }
    }
}

#[cfg(test)]
mod tests;
