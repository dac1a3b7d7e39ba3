//! Subject identifiers: whom or what an event is about (RFC 9493, Shared Signals Framework 1.0 section 3,
//! and as Google's RISC has them from before).

use serde_json::{Map, Value};

use crate::authority::signals::reason::{Code, Refusal};
use crate::authority::signals::text::{is_name, shown};
use crate::revocation::MAX_NAME_BYTES;

/// Aliases of one subject, and members of a complex one: a handful each.
const MOST_PARTS: usize = 16;

/// Whom or what an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Subject {
    /// One identifier.
    Simple(Identifier),
    /// Several members, all of which say of one thing what it is: the session of a user on a device.
    Complex(Vec<(String, Identifier)>),
}

/// What identifies one thing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::authority::signals) enum Identifier {
    /// A user of an issuer.
    IssSub {
        /// `iss`.
        issuer: String,
        /// `sub`.
        subject: String,
    },
    /// A token of an issuer.
    JwtId {
        /// `iss`.
        issuer: String,
        /// `jti`.
        id: String,
    },
    /// A text in one of the formats that consist of one.
    Plain(Format, String),
    /// Several that identify the same thing.
    Aliases(Vec<Identifier>),
    /// What no access token can be told by, or a format that is not known here.
    Other(String),
}

/// A format whose identifiers are one text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(in crate::authority::signals) enum Format {
    /// `account`: a URI of the scheme `acct`.
    Account,
    /// `did`: a decentralised identifier.
    Did,
    /// `email`.
    Email,
    /// `opaque`: what only its issuer understands.
    Opaque,
    /// `phone_number`.
    PhoneNumber,
    /// `uri`.
    Uri,
    /// `oauth_client`, of a draft: a `client_id`.
    Client,
}

impl Format {
    /// Every format, with its name and the member that has the text.
    const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Account, "account", "uri"),
        (Self::Did, "did", "url"),
        (Self::Email, "email", "email"),
        (Self::Opaque, "opaque", "id"),
        (Self::PhoneNumber, "phone_number", "phone_number"),
        (Self::Uri, "uri", "uri"),
        (Self::Client, "oauth_client", "client_id"),
    ];

    /// Its name.
    pub(in crate::authority::signals) fn name(self) -> &'static str {
        let mut all = Self::ALL.iter();
        let found = all.find(|(format, _, _)| *format == self);
        found.map_or("", |(_, name, _)| *name)
    }
}

impl Subject {
    /// Reads one.
    ///
    /// # Errors
    ///
    /// [`Code::SubjectInvalid`] where it is not what its format demands.
    pub(in crate::authority::signals) fn read(value: &Value) -> Result<Self, Refusal> {
        let members = object(value)?;
        if format(members)? == COMPLEX {
            return complex(members).map(Self::Complex);
        }
        if let Some(parts) = complex_of_before(members) {
            return parts.map(Self::Complex);
        }
        identifier(members).map(Self::Simple)
    }

    /// What a record has as its user, and as its session.
    pub(in crate::authority::signals) fn shown(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Simple(identifier) => (identifier.text(), None),
            Self::Complex(members) => {
                let text = |wanted: &str| {
                    let mut members = members.iter();
                    let found = members.find(|(name, _)| name == wanted);
                    found.and_then(|(_, identifier)| identifier.text())
                };
                let first = members.first();
                let first = || first.and_then(|(_, identifier)| identifier.text());
                let session = text("session");
                let user = text("user").or_else(|| text("device"));
                (
                    user.or_else(|| first().filter(|_| session.is_none())),
                    session,
                )
            }
        }
    }
}

impl Identifier {
    /// The text that names the thing, of an alias that of the first one.
    pub(in crate::authority::signals) fn text(&self) -> Option<&str> {
        match self {
            Self::IssSub { subject, .. } => Some(subject),
            Self::JwtId { id, .. } => Some(id),
            Self::Plain(_, text) => Some(text),
            Self::Aliases(all) => all.iter().find_map(Self::text),
            Self::Other(_) => None,
        }
    }
}

const COMPLEX: &str = "complex";

/// The formats of RFC 9493 have one member that names them; drafts before it have called it
/// `subject_type`, and Google does. `complex` could be left out in drafts of the framework.
fn format(members: &Map<String, Value>) -> Result<String, Refusal> {
    let format = members
        .get("format")
        .or_else(|| members.get("subject_type"));
    match format {
        Some(Value::String(format)) => Ok(format.replace('-', "_")),
        Some(_) => Err(invalid("`format` of the subject is no text")),
        None if complex_of_before(members).is_some() => Ok(COMPLEX.to_owned()),
        None => Err(invalid("the subject has no `format`")),
    }
}

/// The members of a complex subject that does not say that it is one.
fn complex_of_before(
    members: &Map<String, Value>,
) -> Option<Result<Vec<(String, Identifier)>, Refusal>> {
    let has_format = members.contains_key("format") || members.contains_key("subject_type");
    let is_object = |name: &&str| members.get(*name).is_some_and(Value::is_object);
    let is_complex = !has_format && MEMBERS.iter().any(is_object);
    is_complex.then(|| complex(members))
}

/// The members of complex subjects that the framework defines (Shared Signals Framework 1.0 section 3.3).
const MEMBERS: [&str; 7] = [
    "user",
    "device",
    "session",
    "application",
    "tenant",
    "org_unit",
    "group",
];

fn complex(members: &Map<String, Value>) -> Result<Vec<(String, Identifier)>, Refusal> {
    let parts = members.iter();
    let parts = parts.filter(|(name, _)| !matches!(name.as_str(), "format" | "subject_type"));
    let parts = parts.map(|(name, value)| {
        // What others add is not to be understood, and need not be an identifier.
        let is_known = MEMBERS.contains(&name.as_str());
        let part = match object(value).and_then(identifier) {
            Err(refusal) if is_known => return Err(refusal),
            Err(_) => Identifier::Other(String::new()),
            Ok(part) => part,
        };
        Ok((name.clone(), part))
    });
    let parts = parts.collect::<Result<Vec<_>, _>>()?;
    if parts.is_empty() || parts.len() > MOST_PARTS {
        let detail = format!("a complex subject has 1 to {MOST_PARTS} members");
        return Err(invalid(&detail));
    }
    Ok(parts)
}

fn identifier(members: &Map<String, Value>) -> Result<Identifier, Refusal> {
    let format = format(members)?;
    Ok(match format.as_str() {
        "iss_sub" => iss_sub(members)?,
        "jwt_id" => Identifier::JwtId {
            issuer: text(members, "iss")?,
            id: text(members, "jti")?,
        },
        "aliases" => aliases(members)?,
        "id_token_claims" => id_token_claims(members)?,
        // A draft's name, with the member of the draft or of the RFC.
        "phone" => {
            let member = if members.contains_key("phone") {
                "phone"
            } else {
                "phone_number"
            };
            Identifier::Plain(Format::PhoneNumber, text(members, member)?)
        }
        name => {
            let mut known = Format::ALL.iter();
            match known.find(|(_, known, _)| *known == name) {
                Some((format, _, member)) => Identifier::Plain(*format, text(members, member)?),
                None => Identifier::Other(shown(name)),
            }
        }
    })
}

fn iss_sub(members: &Map<String, Value>) -> Result<Identifier, Refusal> {
    Ok(Identifier::IssSub {
        issuer: text(members, "iss")?,
        subject: text(members, "sub")?,
    })
}

/// RFC 9493 section 3.2.8: no aliases of aliases.
fn aliases(members: &Map<String, Value>) -> Result<Identifier, Refusal> {
    let all = members.get("identifiers").and_then(Value::as_array);
    let all = all.filter(|all| (1..=MOST_PARTS).contains(&all.len()));
    let Some(all) = all else {
        let detail = format!("`identifiers` of the subject is no list of 1 to {MOST_PARTS}");
        return Err(invalid(&detail));
    };
    let all = all.iter().map(|one| match identifier(object(one)?)? {
        Identifier::Aliases(_) => Err(invalid("the subject has aliases of aliases")),
        one => Ok(one),
    });
    Ok(Identifier::Aliases(all.collect::<Result<_, _>>()?))
}

/// Of a draft, and of Google: what an ID token says of a user, in one object.
fn id_token_claims(members: &Map<String, Value>) -> Result<Identifier, Refusal> {
    let mut all = Vec::new();
    if members.contains_key("sub") {
        all.push(iss_sub(members)?);
    }
    for (format, member) in [
        (Format::Email, "email"),
        (Format::PhoneNumber, "phone_number"),
    ] {
        if members.contains_key(member) {
            all.push(Identifier::Plain(format, text(members, member)?));
        }
    }
    if all.is_empty() {
        return Err(invalid(
            "the subject has neither `iss` and `sub` nor `email` nor `phone_number`",
        ));
    }
    Ok(Identifier::Aliases(all))
}

fn object(value: &Value) -> Result<&Map<String, Value>, Refusal> {
    value
        .as_object()
        .ok_or_else(|| invalid("the subject is no object"))
}

fn text(members: &Map<String, Value>, member: &str) -> Result<String, Refusal> {
    let text = members.get(member).and_then(Value::as_str);
    let text = text.filter(|text| is_name(text));
    let text = text.ok_or_else(|| {
        invalid(&format!(
            "`{member}` of the subject is no text of 1 to {MAX_NAME_BYTES} bytes"
        ))
    });
    text.map(str::to_owned)
}

fn invalid(detail: &str) -> Refusal {
    Code::SubjectInvalid.because(detail)
}

#[cfg(test)]
mod tests;
