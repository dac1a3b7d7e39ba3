//! `issuers`: who is listened to, where the keys are, and what a signal means for access tokens.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::global_revocation::{CallerAuthentication, GlobalRevocationRules, global_revocation};
use crate::authority::configuration::{
    Document, IssuerKeys, KEY_PLACES, SessionEnd, duration, issuer_keys, name, sessions_end,
};
use crate::configuration::{Fields, Node, Read, each_once};

/// An identity provider that is listened to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignalIssuer {
    /// `iss` of its signals, exactly.
    pub issuer: String,
    /// Where its keys are.
    pub keys: IssuerKeys,
    /// `aud` of a logout token has to have one of these.
    pub client_ids: Vec<String>,
    /// `iss` of its access tokens, where that is another.
    pub access_token_issuer: Option<String>,
    /// What the users of its signals are called in access tokens.
    pub subject: SubjectRule,
    /// `iss` of subjects that are its own as well.
    pub subject_issuers: Vec<String>,
    /// By which claims of access tokens its subjects are known that are not `iss` and `sub`.
    pub subject_claims: SubjectClaims,
    /// What a logout means that names no session.
    pub logout_without_sid: LogoutScope,
    /// Whether its access tokens have `sid`, so that a session can be revoked by it.
    pub tokens_carry_sid: bool,
    /// Whether its access tokens name the device, so that it can be revoked.
    pub tokens_carry_device: bool,
    /// For how long a session ends.
    pub sessions_end: SessionEnd,
    /// How old a logout token may be.
    pub max_age: Duration,
    /// What is received from it.
    pub receivers: SignalReceivers,
}

/// What a user of a signal is called in access tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SubjectRule {
    /// `sub`, the same.
    Same,
    /// `sub` of the signal between two texts.
    Template {
        /// What stands before it.
        before: String,
        /// What stands after it.
        after: String,
    },
}

/// By which claims of access tokens subjects are known, for each format of a subject identifier that is
/// one text, and for members of complex subjects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SubjectClaims(Vec<(&'static str, String)>);

impl SubjectClaims {
    /// What can be known by a claim: formats, and members.
    const KEYS: [&'static str; 9] = [
        "account",
        "did",
        "email",
        "opaque",
        "phone_number",
        "uri",
        "tenant",
        "org_unit",
        "group",
    ];

    /// The claim for this format or member.
    #[must_use]
    pub fn of(&self, key: &str) -> Option<&str> {
        let mut all = self.0.iter();
        all.find(|(known, _)| *known == key)
            .map(|(_, claim)| claim.as_str())
    }

    #[cfg(any(test, fuzzing))]
    pub(in crate::authority::signals) fn new(claims: &[(&'static str, &str)]) -> Self {
        let claims = claims
            .iter()
            .map(|(key, claim)| (*key, (*claim).to_owned()));
        Self(claims.collect())
    }
}

/// What a logout means that names no session.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogoutScope {
    /// Everything that the subject was issued until then.
    Subject,
    /// The same at the clients that the logout token is for.
    SubjectAndClient,
}

/// What is received from an issuer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SignalReceivers {
    /// Logout tokens (OpenID Connect Back-Channel Logout 1.0).
    pub back_channel_logout: bool,
    /// Requests to revoke everything of a user (Global Token Revocation).
    pub global_token_revocation: Option<GlobalRevocationRules>,
}

impl SignalReceivers {
    /// What client ids are needed for, if they are.
    fn need_client_ids(&self) -> Option<&'static str> {
        if self.back_channel_logout {
            return Some("`aud` of a logout token has to have one of them");
        }
        let needed = "`sub` of a caller's JWT has to be one of them";
        self.take_signed_callers().then_some(needed)
    }

    /// Whether a JWT of the issuer is asked for by which a caller shows who it is.
    pub(super) fn take_signed_callers(&self) -> bool {
        let rules = self.global_token_revocation.as_ref();
        rules.is_some_and(|rules| rules.authentication == CallerAuthentication::SignedJwt)
    }
}

impl SignalIssuer {
    /// `iss` of its access tokens.
    #[must_use]
    pub fn token_issuer(&self) -> &str {
        self.access_token_issuer.as_deref().unwrap_or(&self.issuer)
    }
}

/// A provider sends a logout token when the user signs out, once. Minutes are for clocks and for those
/// that try again.
const DEFAULT_MAX_AGE: Duration = Duration::from_mins(10);

/// What is remembered of every logout token is remembered for as long.
const MAX_AGES: RangeInclusive<Duration> = Duration::from_mins(1)..=Duration::from_hours(24);

/// The section, which may be left out where there is something else to listen for.
pub(super) fn issuers(
    fields: &mut Fields<'_>,
    directory: &Path,
    may_be_none: bool,
) -> Read<Vec<SignalIssuer>> {
    let node = match fields.optional("issuers") {
        None if may_be_none => return Ok(Vec::new()),
        Some(node) => Ok(node),
        None => fields.required("issuers"),
    };
    each_once(
        node?.some_elements("issuer")?,
        |node| issuer(node, directory),
        |issuer| issuer.issuer.as_str(),
    )
}

fn issuer(node: Node<'_>, directory: &Path) -> Read<SignalIssuer> {
    node.object(|fields| {
        let issuer = fields.required("issuer").and_then(name);
        let keys = fields
            .required("keys")
            .and_then(|node| issuer_keys(node, &KEY_PLACES, directory, Document::Signals));
        let client_ids = fields.each("client_ids", name);
        let access_token_issuer = fields.optional("access_token_issuer").map(name);
        let subject = subject(fields);
        let logout_without_sid =
            fields.word("logout_without_sid", &LOGOUT_SCOPES, LogoutScope::Subject);
        let tokens_carry_sid = fields.flag("tokens_carry_sid", true);
        let tokens_carry_device = fields.flag("tokens_carry_device", false);
        let sessions_end = sessions_end(fields);
        let max_age = max_age(fields);
        let receivers = receivers(fields, directory)?;
        if client_ids.is_empty()
            && let Some(needed) = receivers.need_client_ids()
        {
            return Err(node.fault(format!("`client_ids` is missing: {needed}")));
        }
        let subject = subject?;
        Ok(SignalIssuer {
            issuer: issuer?,
            keys: keys?,
            client_ids,
            access_token_issuer: access_token_issuer.transpose()?,
            subject: subject.rule,
            subject_issuers: subject.issuers,
            subject_claims: subject.claims,
            logout_without_sid,
            tokens_carry_sid,
            tokens_carry_device,
            sessions_end,
            max_age: max_age?,
            receivers,
        })
    })
}

/// The section `subject`.
struct Subjects {
    rule: SubjectRule,
    issuers: Vec<String>,
    claims: SubjectClaims,
}

fn subject(fields: &mut Fields<'_>) -> Read<Subjects> {
    let Some(node) = fields.optional("subject") else {
        return Ok(Subjects {
            rule: SubjectRule::Same,
            issuers: Vec::new(),
            claims: SubjectClaims::default(),
        });
    };
    node.object(|fields| {
        let rule = subject_rule(fields);
        let issuers = fields.each("issuers", name);
        let claims = subject_claims(fields);
        Ok(Subjects {
            rule: rule?,
            issuers,
            claims: claims?,
        })
    })
}

fn subject_rule(fields: &mut Fields<'_>) -> Read<SubjectRule> {
    #[derive(Clone, Copy, PartialEq, Eq)]
    enum By {
        IssSub,
        Template,
    }
    let words = [("iss_sub", By::IssSub), ("template", By::Template)];
    if fields.strict_word("by", &words, By::IssSub) == By::IssSub {
        fields.refused("template", "has no effect without `by: template`");
        return Ok(SubjectRule::Same);
    }
    let node = fields.required("template")?;
    let text = node.text()?;
    let plain = |text: &str| !text.contains(['{', '}']);
    match text.split_once(PLACEHOLDER) {
        Some((before, after)) if plain(before) && plain(after) => Ok(SubjectRule::Template {
            before: before.to_owned(),
            after: after.to_owned(),
        }),
        _ => Err(node.fault(format!(
            "expected `{PLACEHOLDER}` once, and no other braces"
        ))),
    }
}

fn subject_claims(fields: &mut Fields<'_>) -> Read<SubjectClaims> {
    let Some(node) = fields.optional("claims") else {
        return Ok(SubjectClaims::default());
    };
    node.object(|fields| {
        let mut claims = Vec::new();
        for key in SubjectClaims::KEYS {
            if let Some(node) = fields.optional(key)
                && let Ok(claim) = name(node)
            {
                claims.push((key, claim));
            }
        }
        Ok(SubjectClaims(claims))
    })
}

/// What stands for `sub` of the signal.
const PLACEHOLDER: &str = "{subject}";

fn max_age(fields: &mut Fields<'_>) -> Read<Duration> {
    let Some(node) = fields.optional("max_age") else {
        return Ok(DEFAULT_MAX_AGE);
    };
    let max_age = duration(node)?;
    if !MAX_AGES.contains(&max_age) {
        return Err(node.fault("expected a duration from a minute to a day"));
    }
    Ok(max_age)
}

fn receivers(fields: &mut Fields<'_>, directory: &Path) -> Read<SignalReceivers> {
    let Some(node) = fields.optional("receivers") else {
        return Ok(SignalReceivers::default());
    };
    node.object(|fields| {
        Ok(SignalReceivers {
            back_channel_logout: fields.flag("back_channel_logout", false),
            global_token_revocation: global_revocation(fields, directory)?,
        })
    })
}

const LOGOUT_SCOPES: [(&str, LogoutScope); 2] = [
    ("subject", LogoutScope::Subject),
    ("subject_and_client", LogoutScope::SubjectAndClient),
];
