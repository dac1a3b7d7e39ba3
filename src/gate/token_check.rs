//! Checking a token by itself, by the rules that the gate checks a request's token by: for a program
//! that takes a user's token as evidence, as the authority does when a user signs out.
//!
//! Nothing of a rule or requirement is checked here, since there is no request: not scopes, and of `typ`
//! only what holds where no rule says more. Neither is whether the sender may use a token that is bound to
//! a key (`cnf`): who has been handed such a token has to have seen the proof.

use std::time::Duration;

use super::decision::{key_of, may_change};
use super::lack::Lack;
use super::policy::{IssuedAhead, Possession, Provider, TokenRequirement, comparable_audience};
use super::reason::Reason;
use super::token_cache::TokenId;
use crate::host::{ForeignAnswer, SignatureHost};
use crate::keys::{KeyRing, KeySource};
use crate::revocation::CutOffBy;
use crate::time::UnixTime;
use crate::token::{Backend, LARGEST_MAX_TOKEN_BYTES, UnverifiedToken, VerifiedToken};

/// The rules for the tokens of one issuer.
#[derive(Debug)]
pub struct TokenCheck {
    provider: Provider,
    /// Index of the issuer's keys in a [`KeyRing`].
    index: usize,
}

/// Why a token does not count as evidence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenFault {
    /// It is not good, whatever keys there may be.
    Refused(Reason),
    /// The keys in force do not let it in; newer ones may.
    Lacks(Lack),
}

impl TokenCheck {
    /// The rules of an issuer whose keys have this index in the ring: `iss` is `issuer`, `aud` has one
    /// of the audiences unless there are none, `exp` is there, and the clocks of issuer and machine
    /// differ by no more than `clock_skew`.
    #[must_use]
    pub fn new(
        index: usize,
        keys: KeySource,
        issuer: &str,
        audiences: &[String],
        clock_skew: Duration,
    ) -> Self {
        let audiences = audiences.iter();
        let provider = Provider {
            name: issuer.to_owned(),
            issuer: Some(issuer.to_owned()),
            issuer_pattern: None,
            audiences: audiences
                .map(|audience| comparable_audience(audience).to_owned())
                .collect(),
            subjects: None,
            keys,
            locations: Vec::new(),
            // What is longer was too long for the edge that has sent it.
            max_token_bytes: LARGEST_MAX_TOKEN_BYTES,
            forward: false,
            claim_headers: Vec::new(),
            payload_header: None,
            filter_state: Vec::new(),
            clock_skew,
            require_expiration: true,
            max_lifetime: None,
            max_token_age: None,
            possession: Possession::ProvedElsewhere,
            bound_claims: Vec::new(),
            issued_ahead: IssuedAhead::Refused,
            cut_off_by: CutOffBy::default(),
            honours_status: false,
        };
        Self { provider, index }
    }

    /// Where the issuer's keys come from.
    #[must_use]
    pub const fn key_source(&self) -> &KeySource {
        &self.provider.keys
    }

    /// The issuer.
    #[must_use]
    pub fn issuer(&self) -> &str {
        &self.provider.name
    }

    /// The token, if it is good by the keys in force.
    ///
    /// # Errors
    ///
    /// [`TokenFault`].
    pub fn verify(
        &self,
        ring: &KeyRing,
        token: UnverifiedToken<'_>,
        now_milliseconds: u64,
    ) -> Result<VerifiedToken, TokenFault> {
        let provider = &self.provider;
        provider.check_issuer(token.unverified_claims())?;
        let verified = signed(&provider.keys, self.index, ring, token, now_milliseconds)?;
        let claims = verified.claims();
        provider.check_times(claims, UnixTime::from_milliseconds(now_milliseconds))?;
        provider.check_audience(claims, None)?;
        TokenRequirement::PLAIN.check_type(&verified)?;
        Ok(verified)
    }

    /// The token, if it was signed with one of the keys in force. Nothing else of it is checked: not its
    /// issuer, not its times, not its audience.
    ///
    /// # Errors
    ///
    /// [`TokenFault`].
    pub fn verify_signature(
        &self,
        ring: &KeyRing,
        token: UnverifiedToken<'_>,
        now_milliseconds: u64,
    ) -> Result<VerifiedToken, TokenFault> {
        let keys = &self.provider.keys;
        signed(keys, self.index, ring, token, now_milliseconds)
    }
}

/// The keys of one issuer, and no rules: for signed statements that are no tokens of users, such as
/// those of an identity provider about a user. What they say is the caller's to check.
#[derive(Debug)]
pub struct SignatureCheck {
    /// Index of the issuer's keys in a [`KeyRing`].
    index: usize,
    keys: KeySource,
}

impl SignatureCheck {
    /// The check by the keys that have this index in the ring.
    #[must_use]
    pub const fn new(index: usize, keys: KeySource) -> Self {
        Self { index, keys }
    }

    /// Where the keys come from.
    #[must_use]
    pub const fn key_source(&self) -> &KeySource {
        &self.keys
    }

    /// The statement, if it was signed with one of the keys in force. Nothing else of it is checked:
    /// not its issuer, not its type, not its times.
    ///
    /// # Errors
    ///
    /// [`TokenFault`].
    pub fn verify(
        &self,
        ring: &KeyRing,
        token: UnverifiedToken<'_>,
        now_milliseconds: u64,
    ) -> Result<VerifiedToken, TokenFault> {
        signed(&self.keys, self.index, ring, token, now_milliseconds)
    }
}

/// The token, if it was signed with one of these keys.
fn signed(
    source: &KeySource,
    index: usize,
    ring: &KeyRing,
    token: UnverifiedToken<'_>,
    now_milliseconds: u64,
) -> Result<VerifiedToken, TokenFault> {
    let key = match source {
        KeySource::Remote(remote) => key_of(remote, &token),
        KeySource::Local(_) | KeySource::Unknown(_) => None,
    };
    let keys = ring.get(index).ok_or(Reason::KeysUnavailable);
    let verified = keys.and_then(|keys| {
        let verified = token.verify(&keys, Backend::Module, &NoHost);
        verified.map_err(Reason::from)
    });
    verified.map_err(|reason| {
        let now = || now_milliseconds;
        let is_remote = matches!(source, KeySource::Remote(_));
        if is_remote && may_change(ring, index, key, now, reason) {
            return TokenFault::Lacks(Lack {
                provider: index,
                token: TokenId::default(),
                key: key.unwrap_or_default(),
                reason,
            });
        }
        reason.into()
    })
}

impl From<Reason> for TokenFault {
    fn from(reason: Reason) -> Self {
        Self::Refused(reason)
    }
}

/// There is no host that could check signatures.
struct NoHost;

impl SignatureHost for NoHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}
