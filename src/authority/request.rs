//! What callers send, and the checks that turn it into work for the store.

use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use utoipa::ToSchema;

use super::entry::{Origin, Revocation, Target};
use super::store::Restoration;
use super::text::counted;
use crate::revocation::{Cause, Kind, MAX_NAME_BYTES};
use crate::time::UnixTime;

/// A sentence or two.
pub(super) const MAX_REASON_BYTES: usize = 512;

/// A name, an address, a job's id.
const MAX_ACTOR_BYTES: usize = 128;

/// Two years: no token lives that long, and a time given in milliseconds by mistake is noticed.
pub const MAX_EXPIRY: Duration = Duration::from_hours(17568);

/// A cut-off may be set for a near future, "from midnight on"; a later one is a mistake.
const MAX_AHEAD: Duration = Duration::from_hours(24);

const SECOND: Duration = Duration::from_secs(1);

/// Some proxies give up on an answer after half a minute.
pub const MAX_EDGE_WAIT: Duration = Duration::from_secs(30);

/// How long to wait for edges: whole seconds, up to [`MAX_EDGE_WAIT`], as ISO 8601 has them (`PT2S`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EdgeWait(Duration);

/// A revocation.
#[derive(Clone, Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct RevocationRequest {
    /// What kind of thing is revoked.
    pub kind: Kind,
    /// `iss` of the tokens that are meant; at most 1024 bytes in UTF-8, as every name.
    #[schema(min_length = 1, max_length = 1024)]
    pub issuer: String,
    /// The `jti`, `sid`, device, `sub` or `client_id`, or the claim's value; absent for `issuer`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 1024)]
    pub value: Option<String>,
    /// For `claim`: the claim, as `revocation.claims` of the filters names it. Filters that do not list it
    /// let its tokens pass.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub claim: Option<String>,
    /// For `subject_and_client`: the `client_id` or `azp`; the subject is `value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub client: Option<String>,
    /// When the last token that is meant has expired, in seconds since 1970, at most 732 days from
    /// now; `exp` for one token.
    /// Without it, the longest life of a token from now, or from `not_before`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253_402_300_799_isize)]
    pub expires_at: Option<u64>,
    /// For all cut-offs (`subject`, `client`, `issuer`, `claim`, `subject_and_client`) and for sessions
    /// `until_sign_in`: tokens issued before this second are revoked, at most
    /// a day from now. Without it, everything up to and including the current second by the clock
    /// of any issuer that is ahead by no more than the authority's `--clock-skew`; the answer says
    /// when that is. A given instant is used as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(maximum = 253_402_300_799_isize)]
    pub not_before: Option<u64>,
    /// For cut-offs: the `sid` of one session that goes on. Tokens of it
    /// that an earlier revocation of the same name revoked stay revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub except_session: Option<String>,
    /// For `token`, `session` and `device`: the subject it belongs to, so that it is found by
    /// subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub subject: Option<String>,
    /// For `session`: it is revoked only for sign-ins before `not_before`, so that an issuer may give its
    /// `sid` again. Revoked for ever as well, it stays so.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub until_sign_in: bool,
    /// For `token`: only another token has taken its place, as when a client refreshes. New requests
    /// with it are refused; requests in progress go on as long as session, subject, device and client
    /// are not revoked. Revoked otherwise too, it ends them as well.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rotated: bool,
    /// What it comes from, so that the same may take it back by itself: a restoration with an origin takes
    /// back what was revoked with it, and nothing that was revoked otherwise. At most 128 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub origin: Option<String>,
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
    /// Has the answer wait until every edge that was seen in the last minute refuses it in all of its
    /// workers, but for no longer than this, at most `PT30S`. The answer tells which edges have it
    /// (`edges`). Not in an import.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^PT([0-9]|[12][0-9]|30)S$")]
    pub wait: Option<EdgeWait>,
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
    /// As it was revoked, for `claim`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub claim: Option<String>,
    /// As it was revoked, for `subject_and_client`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 1024)]
    pub client: Option<String>,
    /// Restores only what was revoked with this origin. What was revoked otherwise as well stays revoked,
    /// with what this origin has added to it: a later instant, a longer life, a graver cause. Without it,
    /// all of it is restored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 128)]
    pub origin: Option<String>,
    /// Why, for readers of the history; at most 512 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 512)]
    pub reason: Option<String>,
    /// The person or program that the caller acts for; at most 128 bytes in UTF-8.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 128)]
    pub actor: Option<String>,
    /// Has the answer wait until every edge that was seen in the last minute knows of it, but for no
    /// longer than this, at most `PT30S`. The answer tells which edges do (`edges`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, pattern = "^PT([0-9]|[12][0-9]|30)S$")]
    pub wait: Option<EdgeWait>,
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
            qualifier,
        } = target;
        let qualifier = |of| (kind == of).then(|| qualifier.clone());
        Self {
            kind,
            issuer,
            value: (kind != Kind::Issuer).then_some(value),
            claim: qualifier(Kind::Claim),
            client: qualifier(Kind::SubjectAndClient),
            expires_at: None,
            not_before: None,
            except_session: None,
            subject: None,
            until_sign_in: false,
            rotated: false,
            origin: None,
            reason: None,
            despite_clocks: false,
            actor: None,
            wait: None,
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
        let names = Qualifiers {
            claim: self.claim,
            client: self.client,
        };
        let target = target(kind, self.issuer, self.value, names)?;
        let has_instant = kind.is_cut_off() || self.until_sign_in;
        for (field, is_wrong) in [
            ("not_before", self.not_before.is_some() && !has_instant),
            (
                "except_session",
                self.except_session.is_some() && !kind.is_cut_off(),
            ),
            ("subject", self.subject.is_some() && kind.is_cut_off()),
            ("rotated", self.rotated && kind != Kind::Token),
            ("until_sign_in", self.until_sign_in && kind != Kind::Session),
        ] {
            unexpected(field, kind, is_wrong)?;
        }
        let is_until_now = has_instant && self.not_before.is_none();
        if let Some(seconds) = limits.disagreement
            && is_until_now
            && !self.despite_clocks
        {
            return Err(RequestError::Clocks(seconds));
        }
        let not_before = if has_instant {
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
        let subject = match kind {
            Kind::SubjectAndClient => Some(target.value.clone()),
            _ => name("subject", self.subject)?,
        };
        Ok(Revocation {
            target,
            expires_at: expires_at.later_by(limits.expiry_margin),
            // The epoch is for ever.
            not_before: match kind {
                Kind::Session if has_instant => not_before.max(UnixTime::EPOCH.later_by(SECOND)),
                _ if has_instant => not_before,
                _ => UnixTime::EPOCH,
            },
            except_session: name("except_session", self.except_session)?,
            subject,
            origin: origin(self.origin)?,
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
    /// A restoration of this, and nothing else said.
    #[must_use]
    pub(super) fn of(target: Target) -> Self {
        let RevocationRequest {
            kind,
            issuer,
            value,
            claim,
            client,
            ..
        } = RevocationRequest::of(target);
        Self {
            kind,
            issuer,
            value,
            claim,
            client,
            origin: None,
            reason: None,
            actor: None,
            wait: None,
        }
    }

    /// The restoration, if the request is valid.
    ///
    /// # Errors
    ///
    /// `RequestError`.
    pub fn check(self, caller: &str) -> Result<Restoration, RequestError> {
        let names = Qualifiers {
            claim: self.claim,
            client: self.client,
        };
        Ok(Restoration {
            target: target(self.kind, self.issuer, self.value, names)?,
            origin: origin(self.origin)?,
            actor: actor(caller, self.actor)?,
            reason: text("reason", self.reason, MAX_REASON_BYTES)?,
        })
    }
}

impl EdgeWait {
    /// So long, or [`MAX_EDGE_WAIT`].
    #[must_use]
    pub fn of(wait: Duration) -> Self {
        Self(Duration::from_secs(wait.min(MAX_EDGE_WAIT).as_secs()))
    }

    /// How long that is.
    #[must_use]
    pub const fn duration(self) -> Duration {
        self.0
    }

    fn read(text: &str) -> Option<Self> {
        let digits = text.strip_prefix("PT")?.strip_suffix('S')?;
        let is_plain = digits.bytes().all(|byte| byte.is_ascii_digit())
            && (digits == "0" || !digits.starts_with('0'));
        let seconds = digits.parse().ok().filter(|_| is_plain)?;
        let wait = Duration::from_secs(seconds);
        (wait <= MAX_EDGE_WAIT).then_some(Self(wait))
    }
}

impl Serialize for EdgeWait {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("PT{}S", self.0.as_secs()))
    }
}

impl<'d> Deserialize<'d> for EdgeWait {
    fn deserialize<D: Deserializer<'d>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let expected = || D::Error::custom("expected `PT0S` to `PT30S`, in whole seconds");
        Self::read(&text).ok_or_else(expected)
    }
}

/// What names a target besides its value.
struct Qualifiers {
    claim: Option<String>,
    client: Option<String>,
}

fn target(
    kind: Kind,
    issuer: String,
    value: Option<String>,
    Qualifiers { claim, client }: Qualifiers,
) -> Result<Target, RequestError> {
    let issuer = text("issuer", Some(issuer), MAX_NAME_BYTES)?;
    if issuer.is_empty() {
        return Err(RequestError::Missing("issuer"));
    }
    unexpected("value", kind, value.is_some() && kind == Kind::Issuer)?;
    let value = text("value", value, MAX_NAME_BYTES)?;
    if value.is_empty() && kind != Kind::Issuer {
        return Err(RequestError::Missing("value"));
    }
    let qualifier = |field, owner, given: Option<String>| {
        unexpected(field, kind, given.is_some() && kind != owner)?;
        let given = text(field, given, MAX_NAME_BYTES)?;
        if kind == owner && given.is_empty() {
            return Err(RequestError::Missing(field));
        }
        Ok(given)
    };
    let claim = qualifier("claim", Kind::Claim, claim)?;
    let client = qualifier("client", Kind::SubjectAndClient, client)?;
    Ok(Target {
        kind,
        issuer,
        value,
        qualifier: claim + &client,
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

/// What an entry comes from.
fn origin(origin: Option<String>) -> Result<Option<Origin>, RequestError> {
    if origin.as_ref().is_some_and(String::is_empty) {
        return Err(RequestError::Empty("origin"));
    }
    let name = origin.map(|origin| text("origin", Some(origin), MAX_ACTOR_BYTES));
    Ok(name.transpose()?.map(Origin::named))
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
