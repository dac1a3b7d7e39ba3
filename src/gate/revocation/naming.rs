//! The names by which a token can be revoked.
//!
//! A name is a claim of the issuer's that is text, not empty, and no longer than the authority
//! allows. A token without a name cannot be revoked; for a token with a claim that should name it
//! and cannot, a revocation could be in vain. Both are told apart from a token that was looked up
//! by everything by which it could be revoked: only that one may count as verified.

use serde_json::Value;

use crate::revocation::wire::activity::Report;
use crate::revocation::wire::{CheckRequest, Member};
use crate::revocation::{FilterKey, Kind, MAX_NAME_BYTES, Names};
use crate::time::UnixTime;
use crate::token::Claims;

/// The names of a token, as far as its claims have any.
#[derive(Clone, Copy, Debug)]
pub(super) struct Naming<'c> {
    /// The issuer that has given the names; without one there are none.
    issuer: Option<&'c str>,
    names: [Name<'c>; 6],
    extent: Extent,
    issued_at: Option<UnixTime>,
}

/// How many of the claims that should name a token do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every claim that is there to name it.
    Whole,
    /// Not all of them.
    Part,
    /// None of them; it can be revoked with all of its issuer's tokens at most.
    Nothing,
}

/// What one claim names the token by.
#[derive(Clone, Copy, Debug)]
struct Name<'c> {
    /// What it is called in a check.
    member: Member,
    value: Option<&'c str>,
}

/// What a claim is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading<'c> {
    /// It is not there, or empty.
    Absent,
    /// It is a name.
    Name(&'c str),
    /// It cannot be a name in a revocation.
    Unusable,
}

impl<'c> Naming<'c> {
    pub(super) fn of(claims: &'c Claims, device_claim: Option<&str>) -> Self {
        let client = read(claims, "client_id");
        // A name that two claims give counts once.
        let party = match read(claims, "azp") {
            party if party == client => Reading::Absent,
            party => party,
        };
        let device = device_claim.map_or(Reading::Absent, |claim| read(claims, claim));
        let readings = [
            (Member::Jti, read(claims, "jti")),
            (Member::Sid, read(claims, "sid")),
            (Member::Device, device),
            (Member::Subject, read(claims, "sub")),
            (Member::Client, client),
            (Member::Azp, party),
        ];
        let issuer = read(claims, "iss").name();
        let mut all = readings.iter().map(|(_, reading)| reading);
        let extent = if issuer.is_none() || !all.clone().any(|reading| reading.name().is_some()) {
            Extent::Nothing
        } else if all.any(|reading| *reading == Reading::Unusable) {
            Extent::Part
        } else {
            Extent::Whole
        };
        Self {
            issuer,
            names: readings.map(|(member, reading)| Name {
                member,
                value: reading.name(),
            }),
            extent,
            issued_at: claims.issued_at(),
        }
    }

    pub(super) const fn extent(&self) -> Extent {
        self.extent
    }

    /// Whether there is something to look up, be it only the issuer.
    pub(super) const fn has_issuer(&self) -> bool {
        self.issuer.is_some()
    }

    /// The names as a filter with this key has them.
    pub(super) fn names(&self, key: &FilterKey) -> Names {
        let mut names = Names {
            entries: Vec::with_capacity(3),
            cut_offs: Vec::with_capacity(4),
            issued_at: self.issued_at,
            ..Names::default()
        };
        if let Some(issuer) = self.issuer {
            for (member, value) in self.present() {
                names.add(key, member.kind(), issuer, value);
            }
            names.add(key, Kind::Issuer, issuer, "");
        }
        names
    }

    /// The request of the check: it asks about every name.
    pub(super) fn check_request(&self) -> CheckRequest {
        let issuer = self.issuer.unwrap_or_default();
        let mut request = CheckRequest::of(issuer, self.issued_at);
        for (member, value) in self.present() {
            request.put(member, value);
        }
        request
    }

    /// The names that a report has of the session that the token is of; `None` where nothing names
    /// one.
    pub(super) fn report(&self, claims: &Claims) -> Option<Report> {
        let name = |member| self.owned(member);
        let (sid, jti) = match name(Member::Sid) {
            Some(sid) => (Some(sid), None),
            None => (None, Some(name(Member::Jti)?)),
        };
        let auth_time = claims.get("auth_time").and_then(Value::as_u64);
        let auth_time = auth_time.and_then(UnixTime::from_seconds);
        Some(Report {
            issuer: self.issuer?.to_owned(),
            subject: name(Member::Subject),
            sid,
            jti,
            client: name(Member::Client).or_else(|| name(Member::Azp)),
            device: name(Member::Device),
            issued_at: self.issued_at.map(UnixTime::seconds),
            auth_time: auth_time.map(UnixTime::seconds),
            expires_at: claims.expires_at().map(UnixTime::seconds),
            ..Report::default()
        })
    }

    #[inline(never)]
    fn owned(&self, member: Member) -> Option<String> {
        let name = self.names.iter().find(|name| name.member == member)?;
        name.value.map(str::to_owned)
    }

    fn present(&self) -> impl Iterator<Item = (Member, &'c str)> {
        let names = self.names.iter();
        names.filter_map(|name| Some((name.member, name.value?)))
    }
}

impl<'c> Reading<'c> {
    const fn name(self) -> Option<&'c str> {
        match self {
            Self::Name(name) => Some(name),
            Self::Absent | Self::Unusable => None,
        }
    }
}

fn read<'c>(claims: &'c Claims, claim: &str) -> Reading<'c> {
    match claims.get(claim) {
        None => Reading::Absent,
        Some(Value::String(name)) if name.is_empty() => Reading::Absent,
        Some(Value::String(name)) if name.len() <= MAX_NAME_BYTES => Reading::Name(name),
        Some(_) => Reading::Unusable,
    }
}
