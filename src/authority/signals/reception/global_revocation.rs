//! One request to revoke everything of a user, from its credential to its record.

use std::sync::Arc;
use std::time::Instant;

use axum::body::Bytes;
use tokio::task::spawn_blocking;

use super::{Arrival, Outcome, Reception, claimed_issuer, microseconds};
use crate::authority::clock;
use crate::authority::request::RevocationRequest;
use crate::authority::signals::configuration::{
    CallerAuthentication, GlobalRevocationRules, SignalIssuer, UnknownSubjects,
};
use crate::authority::signals::effect;
use crate::authority::signals::global_revocation::{self, Assertion, GlobalRevocation};
use crate::authority::signals::http::endpoint;
use crate::authority::signals::ledger::{ACCEPTED, Record, Reservation};
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::text::shown;
use crate::authority::store::Filter;
use crate::revocation::Kind;

/// A request as it came.
#[derive(Clone)]
pub(in crate::authority::signals) struct Asked {
    /// The last part of the path.
    pub(in crate::authority::signals) name: String,
    /// The bearer credential.
    pub(in crate::authority::signals) credential: Option<String>,
    /// The body.
    pub(in crate::authority::signals) body: Bytes,
}

/// A caller that may ask.
enum Caller {
    /// It has shown the secret.
    Known,
    /// It has shown a JWT, which counts for no other request from now on.
    Signed(Assertion, Reservation),
}

impl Reception {
    /// Revokes everything of a user, and keeps a record of the request in any case. It is on the disk
    /// when this returns without a refusal.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(in crate::authority::signals) async fn revoke_everything(
        &self,
        asked: Asked,
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let receiver = Receiver::GlobalTokenRevocation;
        let mut record = arrival.record(receiver);
        let outcome = self.revoke_as_asked(asked, &arrival, &mut record).await;
        self.end(receiver, outcome, &arrival, record)
    }

    async fn revoke_as_asked(
        &self,
        asked: Asked,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Outcome, Refusal> {
        let (issuer, rules) = self.receivers.revoker(&asked.name).ok_or_else(|| {
            let detail =
                "no issuer in the signals file has a `global_token_revocation` of this `name`";
            Code::PathUnknown.because(detail)
        })?;
        self.note_asked(&asked, record);
        let caller = self
            .authenticate((issuer, rules), asked.credential, arrival)
            .await?;
        record.unverified = false;
        let asked_at = match &caller {
            Caller::Known => {
                self.known_to_be_genuine(&issuer.issuer, arrival)?;
                None
            }
            Caller::Signed(assertion, _) => {
                self.genuine(&issuer.issuer, arrival)?;
                record.jti = Some(assertion.id.clone());
                Some(assertion.issued_at)
            }
        };
        let subject = global_revocation::subject(&asked.body)?;
        record.subject = Some(self.named(subject.name()));
        let revocation = GlobalRevocation { subject, asked_at };
        let (now, limits) = (clock::now(), self.authority.limits());
        let claim = &rules.email_claim;
        let request = effect::of_global_revocation(&revocation, issuer, claim, &limits, now)?;
        if rules.unknown_subjects == UnknownSubjects::NotFound {
            self.expect_known(&request).await?;
        }
        let receiver = Receiver::GlobalTokenRevocation;
        self.write_revocation(request, receiver, now, &limits, record)
            .await?;
        ACCEPTED.clone_into(&mut record.outcome);
        record.took = microseconds(arrival.took());
        let ledger = &self.receivers.ledger;
        match caller {
            Caller::Signed(_, reservation) => {
                let kept = ledger.accept(reservation, record.clone()).await;
                kept.map_err(|_| Code::RecordsUnavailable)?;
            }
            Caller::Known => ledger.note(record.clone()),
        }
        Ok(Outcome::Accepted)
    }

    /// Notes of whom and about whom a request claims to be.
    pub(in crate::authority::signals) fn note_asked(&self, asked: &Asked, record: &mut Record) {
        if let Some((issuer, _)) = self.receivers.revoker(&asked.name) {
            record.issuer = Some(issuer.issuer.clone());
        }
        if let Ok(subject) = global_revocation::subject(&asked.body) {
            record.subject = Some(self.named(subject.name()));
        }
        record.unverified = true;
    }

    /// Who asks, if that is one who may.
    async fn authenticate(
        &self,
        (issuer, rules): (&SignalIssuer, &GlobalRevocationRules),
        credential: Option<String>,
        arrival: &Arrival,
    ) -> Result<Caller, Refusal> {
        let credential = credential.ok_or(Code::CredentialMissing)?;
        if let CallerAuthentication::Bearer(_) = rules.authentication {
            if self.receivers.is_secret(&rules.name, &credential) {
                return Ok(Caller::Known);
            }
            // Not before it was compared: those who guess keep no one out who need not.
            let admission = &self.receivers.admission;
            admission.admit(arrival.sender(), None, Instant::now())?;
            return Err(Code::CredentialInvalid.into());
        }
        // Of the issuer of this path, and of no other in the file.
        let signer = claimed_issuer(&credential)?;
        if signer != issuer.issuer {
            let detail = format!(
                "the caller's JWT is of `{}`, and this path is for `{}`",
                shown(&signer),
                issuer.issuer
            );
            return Err(Code::CredentialInvalid.because(detail));
        }
        let token = self.signed(credential, &issuer.issuer, arrival).await?;
        let skew = self.authority.limits().clock_skew;
        let url = self.receivers.url_of(&endpoint(&rules.name));
        let assertion = global_revocation::assertion(&token, issuer, &url, clock::now(), skew)?;
        let ledger = &self.receivers.ledger;
        // Apart from the signals of the issuer, of which there may be any number.
        let source = format!("global revocation {}", issuer.issuer);
        let id = ledger.replay_id(&source, &assertion.id);
        let reservation = ledger.reserve(id, assertion.good_until).await;
        let reservation = reservation.ok_or(Code::AssertionRepeated)?;
        Ok(Caller::Signed(assertion, reservation))
    }

    /// Refuses what is about a subject of which neither a session nor an entry was ever seen. Of other
    /// claims than the subject nothing is known, so they count as seen.
    async fn expect_known(&self, request: &RevocationRequest) -> Result<(), Refusal> {
        if request.kind != Kind::Subject {
            return Ok(());
        }
        let authority = Arc::clone(&self.authority);
        let (issuer, subject) = (request.issuer.clone(), request.value.clone());
        let search = move || {
            let subject = subject.unwrap_or_default();
            let registry = authority.sessions.registry();
            let sessions = registry.of_subject(&issuer, &subject, None, 1);
            let sessions = sessions.map_err(|error| error.to_string())?;
            if !sessions.sessions.is_empty() {
                return Ok::<_, String>(true);
            }
            let filter = Filter {
                issuer: Some(issuer),
                subject: Some(subject),
                include_restored: true,
                now: clock::now(),
                ..Filter::default()
            };
            let page = authority.store.list(&filter, None, 1);
            let page = page.map_err(|error| error.to_string())?;
            Ok(!page.entries.is_empty())
        };
        match spawn_blocking(search).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err(Code::SubjectUnknown.into()),
            Ok(Err(detail)) => Err(Code::StoreUnavailable.because(detail)),
            Err(_) => Err(Code::StoreUnavailable.into()),
        }
    }
}
