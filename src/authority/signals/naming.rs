//! From whom or what a signal is about to what access tokens call it: names that can be revoked. Pure.
//!
//! Of a complex subject, the narrowest member counts that access tokens can be told by: the session, else
//! the user. A user's sessions on one device are no name that tokens have, so that of a user on a device
//! it is the user; the device itself would be everybody who uses it, at every sign-in to come, and only
//! what is about a device names it ([`device`]). What is broader than a user is never revoked in his
//! place: where one is meant who has no name here, his tenant is not cut off.

use super::configuration::{SignalIssuer, SubjectRule};
use super::events::{Format, Identifier, Subject};
use super::reason::{Code, Refusal};
use super::text::{is_name, shown};
use crate::authority::entry::Target;
use crate::revocation::Kind;

/// What an identifier is of, by the names that members of complex subjects have (Shared Signals Framework
/// 1.0 section 3.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    User,
    Device,
    Session,
    Application,
    Tenant,
    OrgUnit,
    Group,
}

impl Role {
    const ALL: [(&'static str, Self); 7] = [
        ("user", Self::User),
        ("device", Self::Device),
        ("session", Self::Session),
        ("application", Self::Application),
        ("tenant", Self::Tenant),
        ("org_unit", Self::OrgUnit),
        ("group", Self::Group),
    ];

    /// The role of this name.
    pub(super) fn from_name(name: &str) -> Option<Self> {
        let mut all = Self::ALL.iter();
        all.find(|(known, _)| *known == name).map(|(_, role)| *role)
    }

    /// Whether many users belong to it.
    const fn is_of_many(self) -> bool {
        matches!(
            self,
            Self::Application | Self::Tenant | Self::OrgUnit | Self::Group
        )
    }
}

/// What is to be revoked where this is the subject of a signal. One that is simple is one of `role`.
/// `critical` are the members of complex subjects that have to be understood.
///
/// # Errors
///
/// Where there is nothing by which access tokens can be told, or not all that has to be understood is.
pub(super) fn targets(
    subject: &Subject,
    role: Role,
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    match subject {
        Subject::Simple(_) if role == Role::Device => Err(only_a_device()),
        Subject::Simple(identifier) => named(identifier, role, issuer),
        Subject::Complex(members) => of_complex(members, issuer, critical),
    }
}

/// The device of a subject. A simple one is the device itself.
///
/// # Errors
///
/// Where there is none by which access tokens can be told.
pub(super) fn device(
    subject: &Subject,
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    let device = match subject {
        // A device is named by its member; alone, it is a user who is named so.
        Subject::Simple(Identifier::IssSub { .. }) => return Err(not_a_thing()),
        Subject::Simple(identifier) => identifier,
        Subject::Complex(members) => {
            check_critical(members, critical, &[Role::Device])?;
            member(members, Role::Device)
                .ok_or_else(|| Code::SubjectMissing.because("the subject has no member `device`"))?
        }
    };
    named(device, Role::Device, issuer)
}

/// The account that an event is about: of a complex subject the user, however narrow the rest of it is.
/// A password that has changed is no matter of the session in which it was.
///
/// # Errors
///
/// As for [`targets`].
pub(super) fn account(
    subject: &Subject,
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    if let Subject::Complex(members) = subject
        && let Some(user) = member(members, Role::User)
    {
        let user = named(user, Role::User, issuer)?;
        return at_application(user, members, issuer, critical);
    }
    targets(subject, Role::User, issuer, critical)
}

fn of_complex(
    members: &[(String, Identifier)],
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    let mut first_refusal = None;
    if let Some(session) = member(members, Role::Session) {
        match named(session, Role::Session, issuer) {
            Ok(targets) => {
                // It is one user's, on one device.
                let said = [Role::Session, Role::User, Role::Device];
                check_critical(members, critical, &said)?;
                return Ok(targets);
            }
            Err(refusal) => first_refusal = Some(refusal),
        }
    }
    if let Some(user) = member(members, Role::User) {
        match named(user, Role::User, issuer) {
            Ok(user) => return at_application(user, members, issuer, critical),
            Err(refusal) => _ = first_refusal.get_or_insert(refusal),
        }
    }
    match first_refusal {
        Some(refusal) => Err(refusal),
        None if member(members, Role::Device).is_some() => Err(only_a_device()),
        None => of_many(members, issuer, critical),
    }
}

/// A user; where the subject has an application that is critical, at that client alone. One that is not
/// narrows nothing: it need not be called by its `client_id`, and then nothing would be revoked.
fn at_application(
    user: Vec<Target>,
    members: &[(String, Identifier)],
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    let application = member(members, Role::Application);
    let application = application.filter(|_| critical.iter().any(|name| name == "application"));
    let is_subject = user.iter().all(|target| target.kind == Kind::Subject);
    let Some(application) = application.filter(|_| is_subject) else {
        check_critical(members, critical, &[Role::User])?;
        return Ok(user);
    };
    check_critical(members, critical, &[Role::User, Role::Application])?;
    let clients = named(application, Role::Application, issuer)
        .map_err(|refusal| not_interpreted("application", &refusal.detail))?;
    let at_clients = |user: Target| clients.iter().map(move |it| at_client(&user, &it.value));
    Ok(user.into_iter().flat_map(at_clients).collect())
}

/// A subject at a client.
pub(super) fn at_client(subject: &Target, client: &str) -> Target {
    Target {
        kind: Kind::SubjectAndClient,
        qualifier: client.to_owned(),
        ..subject.clone()
    }
}

/// What many users belong to, where the subject is nothing narrower.
fn of_many(
    members: &[(String, Identifier)],
    issuer: &SignalIssuer,
    critical: &[String],
) -> Result<Vec<Target>, Refusal> {
    let all = members.iter();
    let mut all = all
        .filter_map(|(name, identifier)| Some((Role::from_name(name)?, identifier)))
        .filter(|(role, _)| role.is_of_many());
    let Some((role, identifier)) = all.next() else {
        let detail = "no member of the subject is one that is known here";
        return Err(Code::SubjectFormatUnknown.because(detail));
    };
    if all.next().is_some() {
        return Err(Code::NothingToRevoke.because(
            "the subject is more than one of an application, a tenant, a unit and a group at once, \
             which no revocation can name together",
        ));
    }
    check_critical(members, critical, &[role])?;
    named(identifier, role, issuer)
}

/// The member of this role.
fn member(members: &[(String, Identifier)], role: Role) -> Option<&Identifier> {
    let mut members = members.iter();
    let found = members.find(|(name, _)| Role::from_name(name) == Some(role));
    found.map(|(_, identifier)| identifier)
}

/// Shared Signals Framework 1.0 section 3.6: an event is discarded with a critical member that is not
/// interpreted. `said` are those that what is revoked takes into account.
fn check_critical(
    members: &[(String, Identifier)],
    critical: &[String],
    said: &[Role],
) -> Result<(), Refusal> {
    for (name, identifier) in members {
        if !critical.contains(name) {
            continue;
        }
        match Role::from_name(name) {
            Some(role) if said.contains(&role) => {}
            Some(Role::Tenant) => {
                let tenant = shown(identifier.text().unwrap_or_default());
                let why = format!(
                    "what is revoked cannot be limited to `{tenant}`; if all tokens of the issuer are of \
                     that tenant, name it in `tenants` of the stream"
                );
                return Err(not_interpreted(name, &why));
            }
            Some(_) => {
                return Err(not_interpreted(
                    name,
                    "what is revoked cannot be limited to it",
                ));
            }
            None => return Err(not_interpreted(name, "it is not known here")),
        }
    }
    Ok(())
}

fn not_interpreted(member: &str, why: &str) -> Refusal {
    Code::SubjectCritical.because(format!(
        "the critical member `{}` of the subject: {why}",
        shown(member)
    ))
}

/// What access tokens call a thing in this role.
fn named(
    identifier: &Identifier,
    role: Role,
    issuer: &SignalIssuer,
) -> Result<Vec<Target>, Refusal> {
    if let Identifier::Aliases(all) = identifier {
        return of_aliases(all, role, issuer);
    }
    let target = match role {
        Role::User => of_user(identifier, issuer)?,
        Role::Session => session(thing(identifier, issuer)?, issuer)?,
        Role::Device => {
            let device = thing(identifier, issuer)?;
            if !issuer.tokens_carry_device {
                return Err(Code::NothingToRevoke.because(
                    "it names a device, which access tokens of its issuer do not carry \
                     (`tokens_carry_device: false`)",
                ));
            }
            Target::named(Kind::Device, issuer.token_issuer(), device)
        }
        Role::Application => {
            let client = match identifier {
                Identifier::Plain(Format::Client, client) => client,
                other => thing(other, issuer)?,
            };
            Target::named(Kind::Client, issuer.token_issuer(), client)
        }
        Role::Tenant => by_claim("tenant", text(identifier, issuer)?, issuer)?,
        Role::OrgUnit => by_claim("org_unit", text(identifier, issuer)?, issuer)?,
        Role::Group => by_claim("group", text(identifier, issuer)?, issuer)?,
    };
    Ok(vec![target])
}

/// All that are known, since each of them is the same thing by another name.
fn of_aliases(
    all: &[Identifier],
    role: Role,
    issuer: &SignalIssuer,
) -> Result<Vec<Target>, Refusal> {
    let mut targets = Vec::new();
    let mut first_refusal = None;
    for one in all {
        match named(one, role, issuer) {
            Ok(found) => {
                let found = found.into_iter();
                targets.extend(
                    found
                        .filter(|target| !targets.contains(target))
                        .collect::<Vec<_>>(),
                );
            }
            Err(refusal) => {
                first_refusal.get_or_insert(refusal);
            }
        }
    }
    match first_refusal {
        Some(refusal) if targets.is_empty() => Err(refusal),
        _ => Ok(targets),
    }
}

fn of_user(identifier: &Identifier, issuer: &SignalIssuer) -> Result<Target, Refusal> {
    let text = text(identifier, issuer)?;
    match identifier {
        Identifier::IssSub { .. } => user(text, issuer),
        Identifier::JwtId { .. } => Ok(Target::named(Kind::Token, issuer.token_issuer(), text)),
        Identifier::Plain(format, _) => by_claim(format.name(), text, issuer),
        Identifier::Aliases(_) | Identifier::Other(_) => Err(not_known("")),
    }
}

/// A user, by `sub` of a signal.
///
/// # Errors
///
/// [`Code::SubjectInvalid`] where that is too long.
pub(super) fn user(subject: &str, issuer: &SignalIssuer) -> Result<Target, Refusal> {
    let name = match &issuer.subject {
        SubjectRule::Same => subject.to_owned(),
        SubjectRule::Template { before, after } => format!("{before}{subject}{after}"),
    };
    if !is_name(&name) {
        let detail = "`sub` is too long for a name, with what `subject.template` adds to it";
        return Err(Code::SubjectInvalid.because(detail));
    }
    Ok(Target::named(Kind::Subject, issuer.token_issuer(), &name))
}

/// A session, where access tokens carry it.
fn session(sid: &str, issuer: &SignalIssuer) -> Result<Target, Refusal> {
    if !issuer.tokens_carry_sid {
        return Err(Code::NothingToRevoke.because(
            "it names a session, which access tokens of its issuer do not carry \
             (`tokens_carry_sid: false`)",
        ));
    }
    Ok(Target::named(Kind::Session, issuer.token_issuer(), sid))
}

/// By the claim of access tokens that has what this format, or this member, says.
fn by_claim(key: &str, text: &str, issuer: &SignalIssuer) -> Result<Target, Refusal> {
    let Some(claim) = issuer.subject_claims.of(key) else {
        return Err(not_known(key));
    };
    let kind = match claim {
        "sub" => Kind::Subject,
        "sid" => return session(text, issuer),
        "jti" => Kind::Token,
        "client_id" | "azp" => Kind::Client,
        _ => Kind::Claim,
    };
    let qualifier = if kind == Kind::Claim { claim } else { "" };
    Ok(Target {
        qualifier: qualifier.to_owned(),
        ..Target::named(kind, issuer.token_issuer(), text)
    })
}

/// What a device, a session or an application is called, by an identifier that can be one's: a mail
/// address is none.
fn thing<'i>(identifier: &'i Identifier, issuer: &SignalIssuer) -> Result<&'i str, Refusal> {
    let is_of_other = matches!(
        identifier,
        Identifier::JwtId { .. }
            | Identifier::Plain(
                Format::Account | Format::Email | Format::PhoneNumber | Format::Client,
                _
            )
    );
    if is_of_other {
        return Err(not_a_thing());
    }
    text(identifier, issuer)
}

/// The text of an identifier, which is of this issuer as far as it says of whom it is.
fn text<'i>(identifier: &'i Identifier, issuer: &SignalIssuer) -> Result<&'i str, Refusal> {
    if let Identifier::IssSub { issuer: iss, .. } | Identifier::JwtId { issuer: iss, .. } =
        identifier
    {
        let mut known = issuer.subject_issuers.iter().map(String::as_str);
        let is_own = iss == &issuer.issuer || iss == issuer.token_issuer();
        if !is_own && !known.any(|known| known == iss) {
            return Err(Code::SubjectForeign.because(format!(
                "`iss` of the subject is `{}`, which is neither the issuer of the token nor among its \
                 `subject.issuers`",
                shown(iss)
            )));
        }
    }
    match identifier {
        // All of its users would be meant where one is, and something else where it is many.
        Identifier::Plain(Format::Client, _) => Err(Code::SubjectFormatUnknown
            .because("the subject names a client where no application is meant")),
        Identifier::Other(format) => Err(not_known(format)),
        identifier => identifier.text().ok_or_else(|| not_known("")),
    }
}

fn not_a_thing() -> Refusal {
    Code::SubjectFormatUnknown
        .because("the subject names a user, a token or a client where something else is meant")
}

/// What is not about the device itself has no business with others who use it.
fn only_a_device() -> Refusal {
    Code::NothingToRevoke.because(
        "it names a device and neither a session nor a user: only `device-compliance-change` revokes a \
         device, which keeps out everybody who uses it, until it is compliant",
    )
}

fn not_known(key: &str) -> Refusal {
    let detail = match key {
        "saml_assertion_id" => "a `saml_assertion_id` names no access token".to_owned(),
        "ip_addresses" => "`ip-addresses` name no access token".to_owned(),
        "" => "the subject has a format that is not known here".to_owned(),
        key => format!(
            "access tokens are not told by `{key}` here: `subject.claims` of the issuer has to name \
             the claim that has it"
        ),
    };
    Code::SubjectFormatUnknown.because(detail)
}

#[cfg(test)]
mod tests;
