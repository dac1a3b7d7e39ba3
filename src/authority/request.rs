//! What callers send, and the checks that turn it into work for the store.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::entry::{Revocation, Target};
use super::store::Restoration;
use super::text::counted;
use crate::revocation::{Cause, Kind, MAX_NAME_BYTES};
use crate::time::UnixTime;

/// A sentence or two.
const MAX_REASON_BYTES: usize = 512;

/// A name, an address, a job's id.
const MAX_ACTOR_BYTES: usize = 128;

/// Two years: no token lives that long, and a time given in milliseconds by mistake is noticed.
pub const MAX_EXPIRY: Duration = Duration::from_hours(17568);

/// A cut-off may be set for a near future, "from midnight on"; a later one is a mistake.
const MAX_AHEAD: Duration = Duration::from_hours(24);

/// A revocation.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// What kind of thing is revoked.
    pub kind: Kind,
    /// `iss` of the tokens that are meant; at most 1024 bytes in UTF-8, as every name.
    #[schema(min_length = 1, max_length = 1024)]
    pub issuer: String,
    /// The `jti`, `sid`, device, `sub` or `client_id`; absent for `issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub value: Option<String>,
    /// When the last token that is meant has expired, in seconds since 1970, at most 732 days from
    /// now; `exp` for one token.
    /// Without it, the longest life of a token from now, or from `not_before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253_402_300_799_isize)]
    pub expires_at: Option<u64>,
    /// For `subject`, `client` and `issuer`: tokens issued before this second are revoked, at most
    /// a day from now. Without it, everything up to and including the current second by the clock
    /// of any issuer that is ahead by no more than the authority's `--clock-skew`; the answer says
    /// when that is. A given instant is used as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253_402_300_799_isize)]
    pub not_before: Option<u64>,
    /// For `subject`, `client` and `issuer`: the `sid` of one session that goes on. Tokens of it
    /// that an earlier revocation of the same name revoked stay revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub except_session: Option<String>,
    /// For `token`, `session` and `device`: the subject it belongs to, so that it is found by
    /// subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub subject: Option<String>,
    /// For `token`: only another token has taken its place, as when a client refreshes. New requests
    /// with it are refused; requests in progress go on as long as session, subject, device and client
    /// are not revoked. Revoked otherwise too, it ends them as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotated: bool,
    /// Why, for readers of the history; at most 512 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub reason: Option<String>,
    /// Accepts a cut-off that names no instant even while most edges report that the authority's
    /// clock is off by more than the skew. Otherwise it is refused (503).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub despite_clocks: bool,
    /// The person or program that the caller acts for, kept beside the caller's own name; at most
    /// 128 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub actor: Option<String>,
}

/// A request to restore what was revoked.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RestorationRequest {
    /// What kind of thing is not revoked any more.
    pub kind: Kind,
    /// As it was revoked.
    #[schema(min_length = 1, max_length = 1024)]
    pub issuer: String,
    /// As it was revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub value: Option<String>,
    /// Why, for readers of the history; at most 512 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub reason: Option<String>,
    /// The person or program that the caller acts for; at most 128 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub actor: Option<String>,
}

/// How long revocations are kept, and how far clocks may differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest lifetime of any token that edges accept, for revocations without an expiry. If
    /// it is too short, a revocation lapses while a token that it names is still valid.
    pub max_token_lifetime: Duration,
    /// How far the clock of an issuer may be ahead of this one. Cut-offs that name no instant reach
    /// that far past "now", since `iat` is the issuer's time. At most
    /// [`MAX_CLOCK_SKEW`](crate::revocation::MAX_CLOCK_SKEW).
    pub clock_skew: Duration,
    /// By how many seconds the clocks of most edges are ahead of this one, where that is more than
    /// clocks may differ by; then a cut-off up to "now" is not what the caller means.
    pub disagreement: Option<i64>,
    /// How much longer an entry is kept: [`EXPIRY_MARGIN`](crate::revocation::EXPIRY_MARGIN), since
    /// edges let tokens pass for some minutes after their end. Less is for tests.
    pub expiry_margin: Duration,
}

/// Why a request is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// Something that this kind needs is absent or empty.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// A name that is present and empty.
    #[error("`{0}` is empty; leave it out")]
    Empty(&'static str),
    /// Something that this kind does not have is present.
    #[error("`{field}` does not go with kind `{kind}`")]
    Unexpected {
        /// The member.
        field: &'static str,
        /// The kind's name.
        kind: &'static str,
    },
    /// A text is too long.
    #[error("`{field}`: expected at most {limit} bytes, found {found}")]
    TooLong {
        /// The member.
        field: &'static str,
        /// The most.
        limit: usize,
        /// What was sent.
        found: usize,
    },
    /// This machine and most edges do not agree on "now".
    #[error(
        "most edges find this machine's clock off by {0} seconds, so that a cut-off up to now would \
         not be one: give `not_before`, or insist with `despite_clocks`"
    )]
    Clocks(i64),
    /// A time too far in the future.
    #[error("`{field}`: expected at most {} from now", counted(*days, "day", "days"))]
    TooLate {
        /// The member.
        field: &'static str,
        /// The most.
        days: u64,
    },
}

impl RevocationRequest {
    /// A revocation of this, and nothing else said.
    #[must_use]
    pub(super) fn of(target: Target) -> Self {
        let Target {
            kind,
            issuer,
            value,
        } = target;
        Self {
            kind,
            issuer,
            value: (kind != Kind::Issuer).then_some(value),
            expires_at: None,
            not_before: None,
            except_session: None,
            subject: None,
            rotated: false,
            reason: None,
            despite_clocks: false,
            actor: None,
        }
    }

    /// The revocation, if the request is valid.
    ///
    /// # Errors
    ///
    /// `RequestError`.
    pub fn check(
        self,
        caller: &str,
        now: UnixTime,
        limits: &Limits,
    ) -> Result<Revocation, RequestError> {
        let kind = self.kind;
        let target = target(kind, self.issuer, self.value)?;
        let only_cut_offs: [(&'static str, bool); 2] = [
            ("not_before", self.not_before.is_some()),
            ("except_session", self.except_session.is_some()),
        ];
        for (field, is_present) in only_cut_offs {
            unexpected(field, kind, is_present && !kind.is_cut_off())?;
        }
        unexpected("subject", kind, self.subject.is_some() && kind.is_cut_off())?;
        unexpected("rotated", kind, self.rotated && kind != Kind::Token)?;
        let is_until_now = kind.is_cut_off() && self.not_before.is_none();
        if let Some(seconds) = limits.disagreement
            && is_until_now
            && !self.despite_clocks
        {
            return Err(RequestError::Clocks(seconds));
        }
        let not_before = if kind.is_cut_off() {
            not_before(self.not_before, now, limits.clock_skew)?
        } else {
            now
        };
        // The clock of an issuer may be ahead, so that what it issues now expires that much later.
        let expires_at = match self.expires_at {
            Some(seconds) => {
                let last = within("expires_at", seconds, now, MAX_EXPIRY)?;
                last.later_by(if is_until_now {
                    limits.clock_skew
                } else {
                    Duration::ZERO
                })
            }
            None => not_before
                .max(now.later_by(limits.clock_skew))
                .later_by(limits.max_token_lifetime),
        };
        Ok(Revocation {
            target,
            expires_at: expires_at.later_by(limits.expiry_margin),
            not_before: if kind.is_cut_off() {
                not_before
            } else {
                UnixTime::EPOCH
            },
            except_session: name("except_session", self.except_session)?,
            subject: name("subject", self.subject)?,
            cause: if self.rotated {
                Cause::Rotated
            } else {
                Cause::Plain
            },
            actor: actor(caller, self.actor)?,
            reason: text("reason", self.reason, MAX_REASON_BYTES)?,
        })
    }
}

impl RestorationRequest {
    /// The restoration, if the request is valid.
    ///
    /// # Errors
    ///
    /// `RequestError`.
    pub fn check(self, caller: &str) -> Result<Restoration, RequestError> {
        Ok(Restoration {
            target: target(self.kind, self.issuer, self.value)?,
            actor: actor(caller, self.actor)?,
            reason: text("reason", self.reason, MAX_REASON_BYTES)?,
        })
    }
}

fn target(kind: Kind, issuer: String, value: Option<String>) -> Result<Target, RequestError> {
    let issuer = text("issuer", Some(issuer), MAX_NAME_BYTES)?;
    if issuer.is_empty() {
        return Err(RequestError::Missing("issuer"));
    }
    unexpected("value", kind, value.is_some() && kind == Kind::Issuer)?;
    let value = text("value", value, MAX_NAME_BYTES)?;
    if value.is_empty() && kind != Kind::Issuer {
        return Err(RequestError::Missing("value"));
    }
    Ok(Target {
        kind,
        issuer,
        value,
    })
}

/// `iat` is by the issuer's clock, which may be ahead, and in whole seconds, so the cut-off has to
/// be at the next second to include what was issued in this one.
fn not_before(
    requested: Option<u64>,
    now: UnixTime,
    clock_skew: Duration,
) -> Result<UnixTime, RequestError> {
    match requested {
        Some(seconds) => within("not_before", seconds, now, MAX_AHEAD),
        None => Ok(now.later_by(clock_skew + Duration::from_secs(1))),
    }
}

fn within(
    field: &'static str,
    seconds: u64,
    now: UnixTime,
    limit: Duration,
) -> Result<UnixTime, RequestError> {
    let latest = now.later_by(limit);
    UnixTime::from_seconds(seconds)
        .filter(|time| *time <= latest)
        .ok_or(RequestError::TooLate {
            field,
            days: limit.as_secs() / 86_400,
        })
}

fn text(field: &'static str, text: Option<String>, limit: usize) -> Result<String, RequestError> {
    let text = text.unwrap_or_default();
    if text.len() <= limit {
        Ok(text)
    } else {
        Err(RequestError::TooLong {
            field,
            limit,
            found: text.len(),
        })
    }
}

/// A name that may be absent, and must not be empty.
fn name(field: &'static str, name: Option<String>) -> Result<Option<String>, RequestError> {
    if name.as_ref().is_some_and(String::is_empty) {
        return Err(RequestError::Empty(field));
    }
    let name = name.map(|name| text(field, Some(name), MAX_NAME_BYTES));
    name.transpose()
}

fn actor(caller: &str, actor: Option<String>) -> Result<String, RequestError> {
    let actor = text("actor", actor, MAX_ACTOR_BYTES)?;
    Ok(if actor.is_empty() {
        caller.to_owned()
    } else {
        format!("{caller}:{actor}")
    })
}

const fn unexpected(field: &'static str, kind: Kind, is_so: bool) -> Result<(), RequestError> {
    if is_so {
        Err(RequestError::Unexpected {
            field,
            kind: kind.name(),
        })
    } else {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
