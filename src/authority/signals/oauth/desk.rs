//! One request of an OAuth client: who asks, what comes of it, and its record.

use std::time::Instant;

use serde_json::Value;

use super::configuration::OAuthClient;
use super::form::{Asked, Assertion, Credentials};
use super::http::{INTROSPECT_PATH, REVOKE_PATH};
use super::revocation::{Effect, effect};
use super::{OAuth, assertion, introspection};
use crate::authority::clock;
use crate::authority::http::is_revoked;
use crate::authority::signals::ledger::{ACCEPTED, IGNORED, Record, SenderKind};
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::reception::{Arrival, Reception, microseconds};
use crate::authority::signals::text::shown;
use crate::authority::verifier::{Doubt, User};
use crate::gate::Reason;
use crate::revocation::wire::TokenStatus;
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};

/// What became of a token that a client revokes.
enum Outcome {
    /// It is revoked, and that is on the disk.
    Revoked,
    /// There is nothing to do, for this reason (RFC 7009 section 2.2).
    Nothing(String),
}

/// The answer to a resource server, and to which one.
pub(super) struct Told {
    pub(super) client_id: String,
    pub(super) answer: Value,
}

impl Reception {
    /// Revokes what a client asks for. It is on the disk when this returns without a refusal.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) async fn revoke(
        &self,
        oauth: &OAuth,
        asked: Asked,
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let receiver = Receiver::OAuthRevoke;
        let mut record = arrival.record(receiver);
        let outcome = self.revoked(oauth, asked, &arrival, &mut record).await;
        let metrics = &self.authority.metrics.signals;
        record.took = microseconds(arrival.took());
        match outcome {
            Ok(Outcome::Revoked) => {
                metrics.accepted(receiver, arrival.took());
                ACCEPTED.clone_into(&mut record.outcome);
                self.receivers.ledger.note(record);
            }
            Ok(Outcome::Nothing(why)) => {
                metrics.ignored(receiver);
                IGNORED.clone_into(&mut record.outcome);
                record.detail = Some(why);
                self.note_rationed(record);
            }
            Err(refusal) => {
                self.refused(receiver, &refusal, &arrival, record);
                return Err(refusal);
            }
        }
        Ok(())
    }

    async fn revoked(
        &self,
        oauth: &OAuth,
        Asked { token, credentials }: Asked,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Outcome, Refusal> {
        let url = oauth.url(REVOKE_PATH);
        let client = self.client(oauth, credentials, &url, arrival).await?;
        record.client = Some(client.client_id.clone());
        let rule = client.revoke.as_ref();
        let rule = rule.ok_or_else(|| not_permitted(client, "revoke"))?;
        let verified = match self.authority.verifier.verify_signature(token).await {
            Ok(verified) => verified,
            Err(doubt @ (Doubt::Refused(_) | Doubt::StrangeIssuer)) => {
                return Ok(Outcome::Nothing(format!(
                    "no token of a known issuer: {doubt}"
                )));
            }
            Err(doubt) => return Err(doubt.into()),
        };
        let claims = verified.claims();
        let now = clock::now();
        let request = match effect(claims, &client.client_id, rule, now)? {
            Effect::Revoke(request) => *request,
            Effect::Expired => return Ok(Outcome::Nothing("the token has expired".to_owned())),
        };
        record.issuer = Some(request.issuer.clone());
        record.subject = request.subject.as_deref().map(|name| self.named(name));
        let sid = claims.string("sid").filter(|sid| !sid.is_empty());
        record.sid = sid.map(|name| self.named(&shown(name)));
        let limits = self.authority.limits();
        let checked = request.check(Receiver::OAuthRevoke.name(), now, &limits);
        let revocation = checked.map_err(|error| Code::TokenUnnamed.because(error.to_string()))?;
        let revoked = self.described(&revocation.target);
        let written = self.authority.writer.write(revocation).await?;
        record.note_revoked(revoked, &written);
        Ok(Outcome::Revoked)
    }

    /// What a resource server is told of a token.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) async fn introspect(
        &self,
        oauth: &OAuth,
        asked: Asked,
        arrival: Arrival,
    ) -> Result<Told, Refusal> {
        let receiver = Receiver::OAuthIntrospect;
        let mut record = arrival.record(receiver);
        match self.introspected(oauth, asked, &arrival, &mut record).await {
            Ok(told) => {
                let is_active = told.answer.get("active") == Some(&Value::Bool(true));
                self.authority.metrics.signals.introspected(is_active);
                Ok(told)
            }
            Err(refusal) => {
                self.refused(receiver, &refusal, &arrival, record);
                Err(refusal)
            }
        }
    }

    async fn introspected(
        &self,
        oauth: &OAuth,
        Asked { token, credentials }: Asked,
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Told, Refusal> {
        let url = oauth.url(INTROSPECT_PATH);
        let client = self.client(oauth, credentials, &url, arrival).await?;
        record.client = Some(client.client_id.clone());
        let rule = client.introspect.as_ref();
        let rule = rule.ok_or_else(|| not_permitted(client, "introspect"))?;
        let may_be_active = |user: &User| {
            user.is_wholly_named
                && introspection::is_for_apis(user)
                && introspection::may_know(rule, &user.claims)
        };
        let answer = match self.authority.verifier.verify_presented(token).await {
            Ok(user) => {
                // What is revoked is read last, since the status may take a while.
                if may_be_active(&user)
                    && self.has_good_status(&user).await?
                    && !self.is_revoked(&user)
                {
                    introspection::active(&user.claims)
                } else {
                    introspection::inactive()
                }
            }
            Err(Doubt::Refused(_) | Doubt::StrangeIssuer) => introspection::inactive(),
            Err(doubt) => return Err(doubt.into()),
        };
        Ok(Told {
            client_id: client.client_id.clone(),
            answer,
        })
    }

    /// Whether the issuer's list says that a token is good, where the token refers to one.
    async fn has_good_status(&self, user: &User) -> Result<bool, Refusal> {
        let Some(reference) = &user.names.status else {
            return Ok(true);
        };
        let lists = &self.authority.status_lists;
        let status = lists.status(&user.names.issuer, reference).await;
        let status = status.map_err(|unknown| {
            Code::KeysUnavailable
                .because(format!("the status of the token is not known: {unknown}"))
        })?;
        Ok(status == TokenStatus::Valid)
    }

    fn is_revoked(&self, user: &User) -> bool {
        let mut names = user.names.clone();
        names
            .claims
            .extend(introspection::claim_names(&user.claims));
        is_revoked(&self.authority, &names, clock::now())
    }

    /// The client that asks, once it has shown who it is at this URL. Wrong secrets, and assertions whose
    /// signature has to be checked, are rationed by where they come from.
    async fn client<'o>(
        &self,
        oauth: &'o OAuth,
        credentials: Credentials,
        url: &str,
        arrival: &Arrival,
    ) -> Result<&'o OAuthClient, Refusal> {
        match credentials {
            Credentials::Secret { client_id, secret } => {
                if let Some(client) = oauth.client_with(&client_id, secret) {
                    self.take_genuine(oauth, client, arrival)?;
                    return Ok(client);
                }
                // Not before it was compared: those who guess keep no one out who need not.
                let admission = &oauth.admission;
                admission.admit(arrival.sender(), None, Instant::now())?;
                Err(match oauth.client(&client_id) {
                    Some(_) => Code::ClientRefused.because(format!(
                        "the secret of `{client_id}` is another, or it has none"
                    )),
                    None => strange(&client_id),
                })
            }
            Credentials::Assertion {
                client_id,
                assertion,
            } => {
                let shown = self.asserted(oauth, client_id, assertion, url, arrival);
                shown.await
            }
        }
    }

    /// The client that has signed an assertion, which counts once.
    async fn asserted<'o>(
        &self,
        oauth: &'o OAuth,
        beside: Option<String>,
        Assertion(token): Assertion,
        url: &str,
        arrival: &Arrival,
    ) -> Result<&'o OAuthClient, Refusal> {
        let claimed = claimed_client(&token)?;
        let (admission, sender) = (&oauth.admission, arrival.sender());
        admission.admit(sender, Some(&claimed), Instant::now())?;
        if beside.is_some_and(|beside| beside != claimed) {
            let detail = "`client_id` in the form is another than in the assertion";
            return Err(Code::ClientRefused.because(detail));
        }
        let client = oauth.client(&claimed);
        let client = client.ok_or_else(|| strange(&claimed))?;
        let verified = match self.authority.verifier.verify_assertion(token).await {
            Ok(verified) => verified,
            Err(Doubt::StrangeIssuer) => {
                return Err(Code::ClientRefused.because(format!("`{claimed}` has no `keys`")));
            }
            Err(Doubt::Refused(reason)) => {
                return Err(Code::ClientRefused.because(format!(
                    "the assertion of `{claimed}` is not genuine (`{}`)",
                    reason.label()
                )));
            }
            Err(doubt) => {
                if matches!(
                    doubt,
                    Doubt::Overloaded | Doubt::Unknown(Reason::KeysUnavailable)
                ) {
                    admission.give_back(sender, Some(&claimed), Instant::now());
                }
                return Err(doubt.into());
            }
        };
        let skew = self.authority.limits().clock_skew;
        let audiences = oauth.audiences(url);
        let statement = assertion::read(&verified, &claimed, &audiences, clock::now(), skew)?;
        let ledger = &self.receivers.ledger;
        // A client may have the name of an issuer, whose signals are remembered too.
        let id = ledger.replay_id(&format!("oauth client {claimed}"), &statement.id);
        let reservation = ledger.reserve(id, statement.good_until).await;
        let reservation = reservation.ok_or(Code::AssertionRepeated)?;
        admission.give_back(sender, Some(&claimed), Instant::now());
        // Before it is remembered, which costs a write.
        self.take_genuine(oauth, client, arrival)?;
        let kept = ledger.use_up(reservation).await;
        kept.map_err(|_| {
            Code::RecordsUnavailable.because("the assertion could not be remembered")
        })?;
        Ok(client)
    }

    /// A client has shown who it is, and may ask if it does not ask too often.
    fn take_genuine(
        &self,
        oauth: &OAuth,
        client: &OAuthClient,
        arrival: &Arrival,
    ) -> Result<(), Refusal> {
        let (admission, sender) = (&oauth.admission, arrival.sender());
        let is_due = admission.know(sender, Instant::now());
        self.keep_sender(sender, SenderKind::Client, is_due);
        let taken = admission.take_genuine(&client.client_id, Instant::now());
        taken.map_err(|_| Code::TooManyRequests.into())
    }
}

/// `iss` of an assertion, before its signature is checked.
fn claimed_client(token: &str) -> Result<String, Refusal> {
    let token = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, token.as_bytes());
    let token = token
        .map_err(|error| Code::ClientRefused.because(format!("the assertion is none: {error}")))?;
    let issuer = token.unverified_claims().issuer();
    Ok(issuer.unwrap_or_default().to_owned())
}

fn strange(client_id: &str) -> Refusal {
    Code::ClientRefused.because(format!(
        "`{}` is none of the `oauth.clients` in the signals file",
        shown(client_id)
    ))
}

fn not_permitted(client: &OAuthClient, what: &str) -> Refusal {
    let client_id = &client.client_id;
    Code::ClientNotPermitted.because(format!("the client `{client_id}` has no `{what}`"))
}
