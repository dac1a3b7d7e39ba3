//! The names by which a token can be revoked.
//!
//! A name is a claim of the issuer's that is text, not empty, and no longer than the authority
//! allows. A token without a name cannot be revoked; for a token with a claim that should name it
//! and cannot, a revocation could be in vain. Both are told apart from a token that was looked up
//! by everything by which it could be revoked: only that one may count as verified.

use serde_json::Value;

use crate::revocation::wire::activity::Report;
use crate::revocation::wire::{
    CheckRequest, ClaimName, Member, STATUS_INDEX_LIMIT, StatusReference,
};
use crate::revocation::{CutOffBy, FilterKey, Issuance, Kind, MAX_NAME_BYTES, Names};
use crate::time::UnixTime;
use crate::token::Claims;

/// The names of a token, as far as its claims have any.
#[derive(Clone, Debug)]
pub(super) struct Naming<'c> {
    /// The issuer that has given the names; without one there are none.
    issuer: Option<&'c str>,
    names: [Name<'c>; 6],
    /// The claims that the configuration lists, as far as they are there, with their values.
    claims: Vec<(&'c str, &'c str)>,
    status: StatusClaim<'c>,
    extent: Extent,
    issued_at: Option<UnixTime>,
    /// `auth_time`, where it counts.
    auth_time: Option<UnixTime>,
}

/// A claim that the configuration lists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClaimSource {
    /// What revocations call it.
    pub name: String,
    /// Names of the members that lead to the value, outermost first.
    pub path: Vec<String>,
}

impl ClaimSource {
    /// The claim at a path with `.` between the names of nested ones, called so as well.
    #[must_use]
    pub fn at(path: &str) -> Self {
        Self {
            name: path.to_owned(),
            path: path.split('.').map(str::to_owned).collect(),
        }
    }
}

/// Which claims of a token name it, and which one says when it was issued.
#[derive(Clone, Copy, Debug, Default)]
pub struct NamingRules<'r> {
    /// The claim that names the device.
    pub device_claim: Option<&'r str>,
    /// Further claims that count.
    pub claims: &'r [ClaimSource],
    /// What cut-offs compare with.
    pub cut_off_by: CutOffBy,
    /// Whether status lists count.
    pub honours_status: bool,
}

/// What a token says of its status, where that counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum StatusClaim<'c> {
    /// Nothing.
    Absent,
    /// That it is in a list.
    Entry {
        /// Where the list is.
        uri: &'c str,
        /// Which of its entries it is.
        index: u64,
    },
    /// Something that is no reference to a list.
    Unusable,
}

/// How many of the claims that should name a token do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Extent {
    /// Every claim that is there to name it.
    Whole,
    /// Not all of them.
    Part,
    /// None of those that any configuration looks at, or no issuer: it can be revoked by a claim that this
    /// configuration lists, or with all of its issuer's tokens, at most.
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
    pub(super) fn of(claims: &'c Claims, rules: NamingRules<'c>) -> Self {
        let client = read(claims, "client_id");
        // A name that two claims give counts once.
        let party = match read(claims, "azp") {
            party if party == client => Reading::Absent,
            party => party,
        };
        let device = rules.device_claim;
        let device = device.map_or(Reading::Absent, |claim| read(claims, claim));
        let readings = [
            (Member::Jti, read(claims, "jti")),
            (Member::Sid, read(claims, "sid")),
            (Member::Device, device),
            (Member::Subject, read(claims, "sub")),
            (Member::Client, client),
            (Member::Azp, party),
        ];
        let issuer = read(claims, "iss").name();
        let all = readings.iter().map(|(_, reading)| reading);
        let listed = rules.claims.iter();
        let listed = listed.map(|source| (&source.name, reading_of(claims.at(&source.path))));
        let mut is_unusable = all.clone().any(|reading| *reading == Reading::Unusable);
        let mut named = Vec::new();
        for (name, reading) in listed {
            is_unusable |= reading == Reading::Unusable;
            named.extend(reading.name().map(|value| (name.as_str(), value)));
        }
        let extent = if issuer.is_none() || !all.clone().any(|reading| reading.name().is_some()) {
            Extent::Nothing
        } else if is_unusable {
            Extent::Part
        } else {
            Extent::Whole
        };
        let status = if rules.honours_status {
            status_of(claims)
        } else {
            StatusClaim::Absent
        };
        Self {
            issuer,
            status,
            names: readings.map(|(member, reading)| Name {
                member,
                value: reading.name(),
            }),
            claims: named,
            extent,
            issued_at: claims.issued_at(),
            auth_time: match rules.cut_off_by {
                CutOffBy::AuthTimeOrIssuedAt => claims.auth_time(),
                CutOffBy::IssuedAt => None,
            },
        }
    }

    pub(super) const fn extent(&self) -> Extent {
        self.extent
    }

    pub(super) const fn status(&self) -> StatusClaim<'c> {
        self.status
    }

    /// Whether only the authority can tell that the token is good, since a list says so that no edge has.
    pub(super) const fn has_status(&self) -> bool {
        matches!(self.status, StatusClaim::Entry { .. })
    }

    /// Whether there is something to look up, be it only the issuer.
    pub(super) const fn has_issuer(&self) -> bool {
        self.issuer.is_some()
    }

    /// The names as a filter with this key has them.
    pub(super) fn names(&self, key: &FilterKey) -> Names {
        let mut names = Names {
            entries: Vec::with_capacity(3),
            cut_offs: Vec::with_capacity(6 + self.claims.len()),
            issuance: Issuance::new(self.issued_at, self.auth_time),
            ..Names::default()
        };
        if let Some(issuer) = self.issuer {
            for (member, value) in self.present() {
                names.add(key, member.kind(), issuer, value);
            }
            if let Some(subject) = self.value_of(Member::Subject) {
                for client in [Member::Client, Member::Azp] {
                    if let Some(client) = self.value_of(client) {
                        names.add_compound(key, Kind::SubjectAndClient, [issuer, client, subject]);
                    }
                }
            }
            for (claim, value) in &self.claims {
                names.add_compound(key, Kind::Claim, [issuer, claim, value]);
            }
            names.add(key, Kind::Issuer, issuer, "");
            if let StatusClaim::Entry { uri, index } = self.status {
                names.statuses = vec![key.status(issuer, uri, index), key.statuses(issuer)];
            }
        }
        names
    }

    /// The request of the check: it asks about every name.
    pub(super) fn check_request(&self) -> CheckRequest {
        let issuer = self.issuer.unwrap_or_default();
        let mut request = CheckRequest::of(issuer, self.issued_at);
        let issued_at = self.issued_at;
        let is_earlier = |time: &UnixTime| issued_at.is_none_or(|issued_at| *time < issued_at);
        request.auth_time = self.auth_time.filter(is_earlier).map(UnixTime::seconds);
        for (member, value) in self.present() {
            request.put(member, value);
        }
        request.claims = self.claims_of_check();
        if let StatusClaim::Entry { uri, index } = self.status {
            request.status = Some(StatusReference {
                uri: uri.to_owned(),
                idx: index,
            });
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
        self.value_of(member).map(str::to_owned)
    }

    #[inline(never)]
    fn value_of(&self, member: Member) -> Option<&'c str> {
        self.names.iter().find(|name| name.member == member)?.value
    }

    fn claims_of_check(&self) -> Vec<ClaimName> {
        let claims = self.claims.iter().map(|(name, value)| ClaimName {
            name: (*name).to_owned(),
            value: (*value).to_owned(),
        });
        claims.collect()
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

/// What a token says of its status (draft-ietf-oauth-status-list section 6.2). Another mechanism than a
/// list is not understood, and not ignored.
#[inline(never)]
fn status_of(claims: &Claims) -> StatusClaim<'_> {
    let Some(status) = claims.get("status") else {
        return StatusClaim::Absent;
    };
    let entry = status.get("status_list").and_then(|list| {
        let uri = list.get("uri")?.as_str()?;
        let index = list.get("idx")?.as_u64()?;
        let is_name = !uri.is_empty() && uri.len() <= MAX_NAME_BYTES;
        let is_usable = is_name && index < STATUS_INDEX_LIMIT;
        is_usable.then_some(StatusClaim::Entry { uri, index })
    });
    entry.unwrap_or(StatusClaim::Unusable)
}

fn read<'c>(claims: &'c Claims, claim: &str) -> Reading<'c> {
    reading_of(claims.get(claim))
}

fn reading_of(value: Option<&Value>) -> Reading<'_> {
    match value {
        None => Reading::Absent,
        Some(Value::String(name)) if name.is_empty() => Reading::Absent,
        Some(Value::String(name)) if name.len() <= MAX_NAME_BYTES => Reading::Name(name),
        Some(_) => Reading::Unusable,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn sent(claims: Value, cut_off_by: CutOffBy) -> Option<u64> {
        let Value::Object(claims) = claims else {
            panic!("{claims}")
        };
        let claims = Claims::new(claims.into_iter().collect()).unwrap();
        let rules = NamingRules {
            cut_off_by,
            ..NamingRules::default()
        };
        Naming::of(&claims, rules).check_request().auth_time
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_check_has_auth_time_only_where_it_makes_a_difference() {
        let by = CutOffBy::AuthTimeOrIssuedAt;
        for (auth_time, expected) in [(3, Some(3)), (10, None), (11, None)] {
            let claims = json!({"iss": "i", "sub": "s", "iat": 10, "auth_time": auth_time});
            assert_eq!(sent(claims.clone(), by), expected, "{auth_time}");
            assert_eq!(sent(claims, CutOffBy::IssuedAt), None, "{auth_time}");
        }
        let claims = json!({"iss": "i", "sub": "s", "auth_time": 3});
        assert_eq!(sent(claims, by), Some(3));
    }
}
