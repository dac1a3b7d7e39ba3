//! One signal, from its token to its record.

mod events;
mod global_revocation;

use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::timeout;

use super::Receivers;
use super::configuration::{SignalIssuer, SubjectForm};
use super::effect;
use super::events::Subject;
use super::ledger::{ACCEPTED, KnownSender, REPEATED, Record, ReplayId, Revoked, SenderKind};
use super::logout::{self, LOGOUT_EVENT};
use super::reason::{Code, Receiver, Refusal};
use super::streams::Open;
use super::text::{is_name, shown};
use crate::authority::entry::Target;
use crate::authority::request::{Limits, RevocationRequest};
use crate::authority::sessions::{RegistryError, Session};
use crate::authority::store;
use crate::authority::verifier::{Doubt, Standing};
use crate::authority::{Authority, clock};
use crate::gate::Reason;
use crate::revocation::Kind;
use crate::time::UnixTime;
use crate::token::{Claims, LARGEST_MAX_TOKEN_BYTES, UnverifiedToken, VerifiedToken};

pub(super) use global_revocation::Asked;

/// Where and when a signal came.
#[derive(Clone, Copy, Debug)]
pub(super) struct Arrival {
    /// From where it was sent; none of what was fetched.
    pub(super) address: Option<IpAddr>,
    /// By the clock, in milliseconds.
    pub(super) received: u64,
    pub(super) instant: Instant,
    /// Its sender has shown the secret of the stream.
    pub(super) is_authorized: bool,
}

impl Arrival {
    /// Now, from this address.
    pub(super) fn now(address: Option<IpAddr>) -> Self {
        Self {
            address,
            received: clock::now_milliseconds(),
            instant: Instant::now(),
            is_authorized: false,
        }
    }

    /// The address that it was sent from, for what is always sent.
    pub(super) fn sender(&self) -> IpAddr {
        self.address.unwrap_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED))
    }

    /// The beginning of a record.
    pub(super) fn record(&self, receiver: Receiver) -> Record {
        Record {
            received: self.received,
            receiver: receiver.name().to_owned(),
            address: self.address.map(|it| it.to_canonical().to_string()),
            ..Record::default()
        }
    }

    /// Where it was sent from, if that is how the checks of signatures are rationed: not of what is
    /// fetched, and not of a sender that has shown a secret.
    fn rationed(&self) -> Option<IpAddr> {
        self.address.filter(|_| !self.is_authorized)
    }

    pub(super) fn took(&self) -> Duration {
        self.instant.elapsed()
    }
}

/// Of whom and about whom a token claims to be, before its signature was looked at. It is read once, and
/// none of it may be acted on.
#[derive(Clone, Debug)]
pub(super) struct Claimed {
    /// `iss`; empty where there is none.
    pub(super) issuer: String,
    /// `jti`.
    id: Option<String>,
    /// Its user.
    subject: Option<String>,
    /// Its session.
    session: Option<String>,
}

/// Whether an edge has reported the session that a logout names, as it is looked up.
enum Reported {
    /// It names none.
    NoSession,
    /// Too many are looked up.
    Busy,
    LookedUp(JoinHandle<Result<Vec<Session>, RegistryError>>),
}

/// Sessions that are looked up for records at the same time. A registry that hangs must not take the threads that
/// others wait for.
static LOOKS: Semaphore = Semaphore::const_new(16);

/// How long an answer to a logout waits for that. It is only for the record.
const LOOK: Duration = Duration::from_millis(100);

impl Reported {
    /// What the record says of a logout that may have refused no token: an operator who asks why the user is still
    /// signed in reads what was assumed.
    async fn remark(self) -> Option<String> {
        let found = match self {
            Self::NoSession => return None,
            Self::Busy => None,
            Self::LookedUp(look) => {
                let unless_begun = look.abort_handle();
                let found = timeout(LOOK, look).await;
                unless_begun.abort();
                found.ok()
            }
        };
        let seen = match found {
            Some(Ok(Ok(sessions))) if sessions.is_empty() => {
                "no edge has reported a token that does"
            }
            Some(Ok(Ok(_))) => return None,
            _ => "whether any does is not known at present",
        };
        Some(format!(
            "access tokens are taken to have this `sid` (`tokens_carry_sid`); {seen}"
        ))
    }
}

/// What became of a signal that is in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    /// It was carried out, and that is in the ledger.
    Accepted,
    /// It was found in order, nothing had to be done about it, and that is in the ledger.
    Recorded,
    /// It had been before.
    Repeated,
}

/// What signals are received with.
#[derive(Clone, Debug)]
pub(super) struct Reception {
    pub(super) authority: Arc<Authority>,
    pub(super) receivers: Arc<Receivers>,
}

impl Reception {
    /// Does what a logout token says, and keeps a record of it in any case. It is on the disk when
    /// this returns without a refusal.
    ///
    /// # Errors
    ///
    /// [`Refusal`].
    pub(super) async fn log_out(
        &self,
        (token, claimed): (String, &Claimed),
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let receiver = Receiver::BackChannelLogout;
        let mut record = arrival.record(receiver);
        let id = self.receivers.ledger.replay_id("logout token", &token);
        if self.is_repetition(&id, claimed, &mut record) {
            self.repeated(receiver, &arrival, record);
            return Ok(());
        }
        let outcome = self
            .carry_out((token, claimed), &arrival, &mut record)
            .await;
        self.end(receiver, outcome, &arrival, record)?;
        self.accepted(id);
        Ok(())
    }

    /// The same of a security event token that has been sent.
    ///
    /// # Errors
    ///
    /// As [`Self::take_event`].
    pub(super) async fn take_pushed(
        &self,
        stream: &Open,
        (token, claimed): (String, &Claimed),
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let name = &stream.stream.name;
        let source = format!("token of stream {name}");
        let id = self.receivers.ledger.replay_id(&source, &token);
        let mut record = arrival.record(Receiver::Push);
        if self.is_repetition(&id, claimed, &mut record) {
            record.stream = Some(name.clone());
            self.repeated(Receiver::Push, &arrival, record);
            return Ok(());
        }
        self.take_claimed(stream, (token, Ok(claimed)), arrival)
            .await?;
        self.accepted(id);
        Ok(())
    }

    /// Whether this very token was accepted lately. That is found without a look at its signature, so
    /// that a sender that sends everything again leaves others at its address what they may have checked.
    fn is_repetition(&self, id: &ReplayId, claimed: &Claimed, record: &mut Record) -> bool {
        let repetitions = self.receivers.repetitions.lock();
        let is_known = repetitions
            .unwrap_or_else(PoisonError::into_inner)
            .contains(id);
        if is_known {
            self.note_unchecked(claimed, record);
            record.unverified = false;
        }
        is_known
    }

    fn accepted(&self, id: ReplayId) {
        let repetitions = self.receivers.repetitions.lock();
        repetitions
            .unwrap_or_else(PoisonError::into_inner)
            .insert(id);
    }

    /// Counts a signal that was carried out before, and keeps a record of it.
    fn repeated(&self, receiver: Receiver, arrival: &Arrival, mut record: Record) {
        self.authority.metrics.signals.repeated(receiver);
        REPEATED.clone_into(&mut record.outcome);
        record.took = microseconds(arrival.took());
        self.note_rationed(record);
    }

    /// Counts what became of a signal, and keeps a record of it unless that is in the ledger already.
    fn end(
        &self,
        receiver: Receiver,
        outcome: Result<Outcome, Refusal>,
        arrival: &Arrival,
        record: Record,
    ) -> Result<(), Refusal> {
        let metrics = &self.authority.metrics.signals;
        match outcome {
            Ok(Outcome::Accepted) => metrics.accepted(receiver, arrival.took()),
            Ok(Outcome::Recorded) => metrics.recorded(receiver),
            Ok(Outcome::Repeated) => {
                // Its issuer has signed it, and from now on it is known without a look at that.
                if let Some(address) = arrival.rationed() {
                    let admission = &self.receivers.admission;
                    admission.give_back(address, record.issuer.as_deref(), Instant::now());
                }
                self.repeated(receiver, arrival, record);
            }
            Err(refusal) => {
                self.refused(receiver, &refusal, arrival, record);
                return Err(refusal);
            }
        }
        Ok(())
    }

    async fn carry_out(
        &self,
        (token, claimed): (String, &Claimed),
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Outcome, Refusal> {
        self.note_claimed(claimed, record);
        let issuer = self.known(&claimed.issuer, record)?;
        if !issuer.receivers.back_channel_logout {
            let detail = "`receivers.back_channel_logout` is not on for this issuer";
            return Err(Code::ReceiverOff.because(detail));
        }
        let statement = self.signed(token, &issuer.issuer, arrival).await?;
        // Before it is found in order: who is looked for is the user who was not signed out.
        self.describe(statement.claims(), record);
        record.unverified = false;
        let now = clock::now();
        let limits = self.authority.limits();
        let logout = logout::read(&statement, issuer, now, limits.clock_skew)?;
        record.event = Some(LOGOUT_EVENT.to_owned());
        let ledger = &self.receivers.ledger;
        let id = ledger.replay_id(&issuer.issuer, &logout.id);
        let Some(reservation) = ledger.reserve(id, logout.good_until).await else {
            return Ok(Outcome::Repeated);
        };
        // Not before: tokens that the issuer has signed are in the hands of all its users.
        self.genuine(&issuer.issuer, arrival)?;
        for request in effect::of_logout(&logout, issuer, &limits, now)? {
            // Before it has ended.
            let reported = self.reported(&request);
            let is_new = self
                .write_revocation(request, Receiver::BackChannelLogout, now, &limits, record)
                .await?;
            if is_new {
                record.detail = reported.remark().await;
            }
        }
        ACCEPTED.clone_into(&mut record.outcome);
        record.took = microseconds(arrival.took());
        let kept = ledger.accept(reservation, record.clone()).await;
        kept.map_err(|_| Code::RecordsUnavailable)?;
        Ok(Outcome::Accepted)
    }

    /// Has it looked up, while the revocation of a session is written, whether an edge has reported a
    /// session of this name.
    fn reported(&self, request: &RevocationRequest) -> Reported {
        if request.kind != Kind::Session {
            return Reported::NoSession;
        }
        let Ok(place) = LOOKS.try_acquire() else {
            return Reported::Busy;
        };
        let authority = Arc::clone(&self.authority);
        let key = authority.sessions.key();
        let sid = request.value.as_deref().unwrap_or_default();
        let id = key.fingerprint(Kind::Session, &request.issuer, sid);
        let search = move || {
            let _place = place;
            authority.sessions.registry().named(id, 1)
        };
        Reported::LookedUp(spawn_blocking(search))
    }

    /// Writes a revocation, and into the record that it was. Whether it was not in force before.
    async fn write_revocation(
        &self,
        request: RevocationRequest,
        receiver: Receiver,
        now: UnixTime,
        limits: &Limits,
        record: &mut Record,
    ) -> Result<bool, Refusal> {
        let revocation = request.check(receiver.name(), now, limits)?;
        let revoked = self.described(&revocation.target);
        let written = self.authority.writer.write(revocation).await?;
        record.note_revoked(revoked, &written);
        Ok(matches!(written, store::Revoked::Newly(_)))
    }

    /// What was revoked or restored, as records have it.
    pub(super) fn described(&self, target: &Target) -> Revoked {
        Revoked::of(target, self.named(&target.value))
    }

    /// A signal whose signature was checked is genuine, and may be carried out if its issuer has not sent
    /// too many.
    fn genuine(&self, issuer: &str, arrival: &Arrival) -> Result<(), Refusal> {
        if let Some(address) = arrival.rationed() {
            let admission = &self.receivers.admission;
            admission.give_back(address, Some(issuer), Instant::now());
        }
        self.known_to_be_genuine(issuer, arrival)
    }

    /// The same of one for which nothing was taken, since it came with a secret.
    fn known_to_be_genuine(&self, issuer: &str, arrival: &Arrival) -> Result<(), Refusal> {
        // Of what is fetched, no more comes than is asked for.
        if arrival.address.is_none() {
            return Ok(());
        }
        let admission = &self.receivers.admission;
        if let Some(address) = arrival.rationed() {
            let is_due = admission.know(address, Instant::now());
            self.keep_sender(address, SenderKind::Provider, is_due);
        }
        admission.take_genuine(issuer, Instant::now())
    }

    /// Keeps that something genuine came from there, if that is due.
    pub(super) fn keep_sender(&self, address: IpAddr, kind: SenderKind, is_due: bool) {
        if is_due {
            let sender = KnownSender::of(address, kind, clock::now());
            self.receivers.ledger.keep_sender(sender);
        }
    }

    /// The issuer that a token claims to be of.
    fn known(&self, claimed: &str, record: &mut Record) -> Result<&SignalIssuer, Refusal> {
        let Some(issuer) = self.receivers.issuer(claimed) else {
            let detail = format!(
                "`iss` is `{}`, which is none of the issuers in the signals file",
                shown(claimed)
            );
            return Err(Code::IssuerUnknown.because(detail));
        };
        record.issuer = Some(issuer.issuer.clone());
        Ok(issuer)
    }

    /// The statement, if its issuer has signed it and not too much from there was not genuine. What
    /// was taken for the check is given back only once it is known to be genuine itself. `claimed` is the
    /// issuer that it claims to be of.
    async fn signed(
        &self,
        token: String,
        claimed: &str,
        arrival: &Arrival,
    ) -> Result<VerifiedToken, Refusal> {
        let Some(address) = arrival.rationed() else {
            // What was fetched, or came with a secret.
            let verified = self
                .authority
                .verifier
                .verify_statement(token, Standing::Known);
            return Ok(verified.await?);
        };
        let admission = &self.receivers.admission;
        let sender = admission.admit(address, Some(claimed), Instant::now())?;
        let verified = self
            .authority
            .verifier
            .verify_statement(token, sender)
            .await;
        let is_unchecked = matches!(
            verified,
            Err(Doubt::Overloaded | Doubt::Unknown(Reason::KeysUnavailable))
        );
        if is_unchecked {
            admission.give_back(address, Some(claimed), Instant::now());
        }
        Ok(verified?)
    }

    /// What the issuer has signed about whom, as far as these are names.
    fn describe(&self, claims: &Claims, record: &mut Record) {
        let name = |claim| claims.string(claim).filter(|name| is_name(name));
        record.jti = name("jti").map(str::to_owned);
        record.subject = name("sub").map(|name| self.named(name));
        record.sid = name("sid").map(|name| self.named(name));
    }

    /// Notes about whom a token claims to be.
    fn note_claimed(&self, claimed: &Claimed, record: &mut Record) {
        let named = |name: &Option<String>| name.as_deref().map(|name| self.named(name));
        record.jti.clone_from(&claimed.id);
        record.subject = named(&claimed.subject);
        record.sid = named(&claimed.session);
        record.unverified = true;
    }

    /// Notes of whom and about whom a token claims to be that was not looked at further.
    pub(super) fn note_unchecked(&self, claimed: &Claimed, record: &mut Record) {
        self.note_claimed(claimed, record);
        let known = self.receivers.issuer(&claimed.issuer);
        record.issuer = known.map(|known| known.issuer.clone());
    }

    /// A name of a user, as records have it.
    pub(super) fn named(&self, name: &str) -> String {
        match self.receivers.configuration.records.subjects {
            SubjectForm::Plain => name.to_owned(),
            SubjectForm::Hash => self.receivers.ledger.hashed(name),
        }
    }

    /// Counts a refusal, keeps a record of it, and says so in the log once in a while.
    pub(super) fn refused(
        &self,
        receiver: Receiver,
        refusal: &Refusal,
        arrival: &Arrival,
        mut record: Record,
    ) {
        let code = refusal.code;
        self.authority.metrics.signals.refused(receiver, code);
        self.log(receiver, refusal, arrival, &record);
        if !code.is_temporary() {
            record.drop_claims();
        }
        code.label().clone_into(&mut record.outcome);
        record.detail = Some(refusal.detail.clone());
        record.took = microseconds(arrival.took());
        if code.is_of_genuine() {
            self.receivers.ledger.note(record);
        } else {
            self.note_rationed(record);
        }
    }

    /// Keeps a record of what anyone can send, where it pushes out nothing genuine.
    pub(super) fn note_rationed(&self, record: Record) {
        if self.receivers.admission.may_note(Instant::now()) {
            self.receivers.ledger.note_stranger(record);
        }
    }

    /// Counts what was refused before anything was known of it.
    pub(super) fn turned_away(&self, receiver: Receiver, refusal: &Refusal, arrival: &Arrival) {
        let record = arrival.record(receiver);
        self.refused(receiver, refusal, arrival, record);
    }

    fn log(&self, receiver: Receiver, refusal: &Refusal, arrival: &Arrival, record: &Record) {
        let code = refusal.code.label();
        let refusals = &self.receivers.refusals;
        if let Some(times) = refusals.take(code, arrival.address, Instant::now()) {
            let address = arrival.address.as_ref().map(ToString::to_string);
            tracing::warn!(
                receiver = receiver.name(),
                code,
                issuer = record.issuer,
                stream = record.stream,
                address,
                times,
                "refused a signal: {}",
                refusal.detail
            );
        }
    }
}

impl Claimed {
    /// What this token says.
    ///
    /// # Errors
    ///
    /// Where it is no token that could be read.
    pub(super) fn read(token: &str) -> Result<Self, Refusal> {
        let token = unverified(token)?;
        let claims = token.unverified_claims();
        let name = |claim| claims.string(claim).filter(|name| is_name(name));
        let named = |name: Option<&str>| name.filter(|name| is_name(name)).map(str::to_owned);
        let subject = claims.get("sub_id").map(Subject::read);
        let (subject, session) = match &subject {
            Some(Ok(subject)) => subject.shown(),
            _ => (name("sub"), name("sid")),
        };
        Ok(Self {
            issuer: claims.issuer().unwrap_or_default().to_owned(),
            id: name("jti").map(str::to_owned),
            subject: named(subject),
            session: named(session),
        })
    }
}

/// Of whom a token claims to be.
pub(super) fn claimed_issuer(token: &str) -> Result<String, Refusal> {
    let token = unverified(token)?;
    let claimed = token.unverified_claims().issuer();
    Ok(claimed.unwrap_or_default().to_owned())
}

fn unverified(token: &str) -> Result<UnverifiedToken<'_>, Refusal> {
    let token = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, token.as_bytes());
    token.map_err(|error| {
        let code = Code::from(Reason::from(&error));
        code.because(format!("{}: {error}", code.description()))
    })
}

pub(super) fn microseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}
