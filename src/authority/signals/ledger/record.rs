//! The record of a signal, and how records are searched for.

use serde::{Deserialize, Serialize};

use crate::authority::entry::Target;
use crate::authority::store::Revoked as Written;
use crate::revocation::Kind;

/// What is kept of a signal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::authority) struct Record {
    /// When it came, in milliseconds since 1970.
    pub(in crate::authority) received: u64,
    /// What it was taken for.
    pub(in crate::authority) receiver: String,
    /// `accepted`, `recorded`, `repeated`, `ignored`, or why it was refused.
    pub(in crate::authority) outcome: String,
    /// What the operator should know about a refusal, why there was nothing to do, or what has to be so
    /// for what was done to have an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) detail: Option<String>,
    /// Who has signed it, or claims to have, if the issuer is one that is listened to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) issuer: Option<String>,
    /// The OAuth client that has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) client: Option<String>,
    /// What it says has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) event: Option<String>,
    /// `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) jti: Option<String>,
    /// `sub`, as given or hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) subject: Option<String>,
    /// `sid`, as given or hashed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) sid: Option<String>,
    /// Who it is of and about is what it claims: its signature was not checked, or not in time.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(in crate::authority) unverified: bool,
    /// The stream that it came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) stream: Option<String>,
    /// What was revoked.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::authority) revoked: Vec<Revoked>,
    /// What was restored.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(in crate::authority) restored: Vec<Revoked>,
    /// How long it took, in microseconds, until its revocations were on the disk or it was refused.
    pub(in crate::authority) took: u64,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) address: Option<String>,
}

/// Something that a signal has revoked. Records of before have no more of it than kind and value.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::authority) struct Revoked {
    /// What kind of thing.
    pub(in crate::authority) kind: Kind,
    /// Its name, as given or hashed.
    pub(in crate::authority) value: String,
    /// The issuer of the tokens that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) issuer: Option<String>,
    /// For [`Kind::Claim`] the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) claim: Option<String>,
    /// For [`Kind::SubjectAndClient`] the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority) client: Option<String>,
}

impl Revoked {
    /// A target, whose name is written so.
    pub(in crate::authority::signals) fn of(target: &Target, value: String) -> Self {
        let qualifier = |of| (target.kind == of).then(|| target.qualifier.clone());
        Self {
            kind: target.kind,
            value,
            issuer: Some(target.issuer.clone()),
            claim: qualifier(Kind::Claim),
            client: qualifier(Kind::SubjectAndClient),
        }
    }
}

/// Which records to look for.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Filter {
    /// Only of this issuer.
    pub(in crate::authority) issuer: Option<String>,
    /// Only of this subject.
    pub(in crate::authority) subject: Option<String>,
    /// Only those that were refused.
    pub(in crate::authority) refused: bool,
}

impl Filter {
    /// Whether it looks for this record; `hashed` is the hash of its subject.
    pub(super) fn matches(&self, record: &Record, hashed: Option<&str>) -> bool {
        let is_subject = |subject: &str| {
            let found = record.subject.as_deref();
            found == Some(subject) || found.is_some() && found == hashed
        };
        let issuer = record.issuer.as_deref();
        self.issuer
            .as_deref()
            .is_none_or(|wanted| issuer == Some(wanted))
            && self.subject.as_deref().is_none_or(is_subject)
            && (!self.refused || record.is_refused())
    }
}

impl Record {
    /// Notes what became of a revocation: what every token that it names has outlived already is not
    /// revoked, and what filters have to look at for it is said.
    pub(in crate::authority::signals) fn note_revoked(
        &mut self,
        revoked: Revoked,
        written: &Written,
    ) {
        if *written == Written::Expired {
            self.detail = Some("every token that it could mean has expired".to_owned());
        } else {
            if let Some(claim) = &revoked.claim {
                self.detail = Some(format!(
                    "refused only by filters that have `{claim}` among their `revocation.claims`"
                ));
            }
            self.revoked.push(revoked);
        }
    }

    /// Leaves nothing of what a token only claims.
    pub(in crate::authority::signals) fn drop_claims(&mut self) {
        if std::mem::take(&mut self.unverified) {
            (self.jti, self.subject, self.sid) = (None, None, None);
        }
    }

    /// Whether it was refused.
    pub(in crate::authority) fn is_refused(&self) -> bool {
        ![ACCEPTED, RECORDED, REPEATED, IGNORED].contains(&&*self.outcome)
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "as serde calls it")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Some records.
#[derive(Clone, Debug, Default)]
pub(in crate::authority) struct Page {
    /// The newest first, each with its number.
    pub(in crate::authority) records: Vec<(u64, Record)>,
    /// From where on to look for more.
    pub(in crate::authority) next: Option<u64>,
}

/// The outcome of a signal that was carried out.
pub(in crate::authority) const ACCEPTED: &str = "accepted";

/// The outcome of one that was in order, and about which nothing had to be done.
pub(in crate::authority) const RECORDED: &str = "recorded";

/// The outcome of one that was carried out before.
pub(in crate::authority) const REPEATED: &str = "repeated";

/// The outcome of one for which there was nothing to do.
pub(in crate::authority) const IGNORED: &str = "ignored";
