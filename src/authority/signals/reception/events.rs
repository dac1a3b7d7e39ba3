//! One security event, from its token to its record.

use std::time::Duration;

use super::{Arrival, Claimed, Outcome, Reception, microseconds};
use crate::authority::clock;
use crate::authority::entry::{Origin, Target};
use crate::authority::signals::configuration::Delivery;
use crate::authority::signals::effect::{self, Consequences};
use crate::authority::signals::events::{self, Event, SecurityEvent, Subject};
use crate::authority::signals::ledger::{ACCEPTED, Moment, RECORDED, Record, ReplayId};
use crate::authority::signals::reason::{Code, Receiver, Refusal};
use crate::authority::signals::streams::Open;
use crate::authority::signals::text::shown;
use crate::authority::store::Restored;
use crate::time::UnixTime;
use crate::token::Claims;

/// How far ahead of the clock here the times of an event may be for that clock to be the one at fault.
const MOST_AHEAD: Duration = Duration::from_hours(1);

impl Receiver {
    /// What takes the events that come so.
    pub(in crate::authority::signals) const fn of(delivery: &Delivery) -> Self {
        match delivery {
            Delivery::Push(_) => Self::Push,
            Delivery::Poll(_) => Self::Poll,
        }
    }
}

impl Reception {
    /// Does what a security event token says that has come through this stream, and keeps a record of
    /// it in any case. It is on the disk when this returns without a refusal, and the same token again
    /// does nothing more. A refusal whose code is temporary says nothing of the token.
    ///
    /// # Errors
    ///
    /// [`Refusal`]; what to tell the transmitter of it is [`Code::of_event`].
    pub(in crate::authority::signals) async fn take_event(
        &self,
        stream: &Open,
        token: String,
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let claimed = Claimed::read(&token);
        let claimed = claimed.as_ref().map_err(Clone::clone);
        self.take_claimed(stream, (token, claimed), arrival).await
    }

    /// The same of a token with what it claims, or why it cannot be read.
    pub(super) async fn take_claimed(
        &self,
        stream: &Open,
        (token, claimed): (String, Result<&Claimed, Refusal>),
        arrival: Arrival,
    ) -> Result<(), Refusal> {
        let receiver = Receiver::of(&stream.stream.delivery);
        let mut record = arrival.record(receiver);
        record.stream = Some(stream.stream.name.clone());
        let outcome = match claimed {
            Ok(claimed) => {
                let event = (token, claimed);
                self.happen(stream, event, &arrival, &mut record).await
            }
            Err(refusal) => Err(refusal),
        };
        if outcome.is_ok() {
            stream.heard(arrival.received);
        }
        self.end(receiver, outcome, &arrival, record)
    }

    async fn happen(
        &self,
        open: &Open,
        (token, claimed): (String, &Claimed),
        arrival: &Arrival,
        record: &mut Record,
    ) -> Result<Outcome, Refusal> {
        let described = open.described();
        let stream = &*described.stream;
        self.note_claimed(claimed, record);
        if claimed.issuer != stream.issuer {
            let (claimed, expected) = (shown(&claimed.issuer), &stream.issuer);
            let detail = format!("`iss` is `{claimed}`, expected that of the stream, `{expected}`");
            return Err(Code::IssuerUnknown.because(detail));
        }
        let issuer = self.known(&claimed.issuer, record)?;
        let statement = self.signed(token, &issuer.issuer, arrival).await?;
        record.unverified = false;
        let now = clock::now();
        let limits = self.authority.limits();
        let event = events::read(&statement, stream, now, limits.clock_skew);
        let event = event.map_err(|refusal| unless_slow(refusal, statement.claims(), now))?;
        self.describe_event(&event, record);
        let ledger = &self.receivers.ledger;
        // Another stream may have another rule for the same event.
        let source = format!("stream {} {}", stream.name, issuer.issuer);
        let id = ledger.replay_id(&source, &event.id);
        let Some(reservation) = ledger.reserve(id, event.good_until).await else {
            return Ok(Outcome::Repeated);
        };
        self.genuine(&issuer.issuer, arrival)?;
        if let Event::Verification { state } = &event.event {
            open.check_state(state.as_deref())?;
        }
        let consequences = effect::of_event(&event, stream, issuer, &limits, now)?;
        let is_followed = !consequences.revoked.is_empty() || !consequences.restored.is_empty();
        if !described.knows_critical && is_followed && is_complex(&event) {
            return Err(Code::CriticalUnknown.because(format!(
                "the metadata of the transmitter of `{}` was never read, so it is not known which members \
                 of subjects are critical; hint: with `transmitter.manage: false`, those in \
                 `critical_subject_members` are all",
                stream.name
            )));
        }
        // The other one must see what is said by the first.
        let _turn = if consequences.have_origin() {
            Some(open.turn.lock().await)
        } else {
            None
        };
        let said = self
            .carry_out_event(open, &event, consequences, now, record)
            .await?;
        let (outcome, word) = if record.revoked.is_empty() && record.restored.is_empty() {
            (Outcome::Recorded, RECORDED)
        } else {
            (Outcome::Accepted, ACCEPTED)
        };
        word.clone_into(&mut record.outcome);
        record.took = microseconds(arrival.took());
        let kept = ledger.accept_with(reservation, said, record.clone()).await;
        kept.map_err(|_| Code::RecordsUnavailable)?;
        match &event.event {
            Event::Verification { state } => open.verified(state.as_deref(), arrival.received),
            Event::StreamUpdated { status, reason } => open.updated(*status, reason.as_deref()),
            _ => {}
        }
        Ok(outcome)
    }

    /// Writes what follows from an event, and gives what was said by it of something.
    async fn carry_out_event(
        &self,
        open: &Open,
        event: &SecurityEvent,
        consequences: Consequences,
        now: UnixTime,
        record: &mut Record,
    ) -> Result<Vec<(ReplayId, UnixTime)>, Refusal> {
        let receiver = Receiver::of(&open.stream.delivery);
        let limits = self.authority.limits();
        let writer = &self.authority.writer;
        let mut said = Vec::new();
        for request in consequences.revoked {
            let mut revocation = request.check(receiver.name(), now, &limits)?;
            if let Some(origin) = &mut revocation.origin
                && !self.is_latest(origin, (&revocation.target, false), event, &mut said)
            {
                record.detail = Some(SUPERSEDED.to_owned());
                continue;
            }
            let revoked = self.described(&revocation.target);
            let written = writer.write(revocation).await?;
            record.note_revoked(revoked, &written);
        }
        for request in consequences.restored {
            let mut restoration = request.check(receiver.name())?;
            if let Some(origin) = &mut restoration.origin
                && !self.is_latest(origin, (&restoration.target, true), event, &mut said)
            {
                record.detail = Some(SUPERSEDED.to_owned());
                continue;
            }
            let restored = self.described(&restoration.target);
            match writer.write(restoration).await? {
                Restored::NotRevoked => record.detail = Some(NOT_REVOKED.to_owned()),
                Restored::Newly(_) | Restored::Withdrawn(_) => record.restored.push(restored),
            }
        }
        Ok(said)
    }

    /// Whether no later event of this origin was about the same. Then this is the latest, which is to be
    /// known, here and in the store. Times are in whole seconds: of two events of the same one, what
    /// comes later is later, except what takes something back and was issued earlier.
    fn is_latest(
        &self,
        origin: &mut Origin,
        (target, restores): (&Target, bool),
        event: &SecurityEvent,
        said: &mut Vec<(ReplayId, UnixTime)>,
    ) -> bool {
        let ledger = &self.receivers.ledger;
        let moment = Moment {
            happened_at: event.happened_at,
            issued_at: event.issued_at,
        };
        let rows = ledger.said(&origin.name, target, moment);
        let is_superseded = if restores {
            ledger.has_later_of_second(&rows)
        } else {
            ledger.has_later(&rows)
        };
        if !is_superseded {
            origin.at = Some(event.happened_at);
            said.extend(rows);
        }
        !is_superseded
    }

    fn describe_event(&self, event: &SecurityEvent, record: &mut Record) {
        record.unverified = false;
        record.event = Some(event.uri.clone());
        record.jti = Some(event.id.clone());
        record.detail.clone_from(&event.flaw);
        if let Some(subject) = &event.subject {
            let (user, session) = subject.shown();
            record.subject = user.map(|name| self.named(name));
            record.sid = session.map(|name| self.named(name));
        }
    }
}

/// Whether something is said of the subject by several members, some of which may have to be understood.
const fn is_complex(event: &SecurityEvent) -> bool {
    matches!(event.subject, Some(Subject::Complex(_)))
}

/// Why an event is refused that is not in order. One that only lies ahead is put off where the clock here
/// may be slow: refused for good, it would not come again, and what it tells of would be lost.
fn unless_slow(refusal: Refusal, claims: &Claims, now: UnixTime) -> Refusal {
    if !matches!(refusal.code, Code::IssuedAhead | Code::NotYetValid) {
        return refusal;
    }
    let latest = now.later_by(MOST_AHEAD);
    let mut times = [claims.issued_at(), claims.not_before()].into_iter();
    if times.any(|time| time.is_some_and(|time| time > latest)) {
        return refusal;
    }
    let detail = refusal.detail;
    Code::AheadOfClock.because(format!(
        "{detail}; it is put off until then: compare the clocks"
    ))
}

/// In records of events that are not carried out, because a later one has come before.
const SUPERSEDED: &str = "a later event about the same has come already, so nothing was done";

/// In records of events that take back what is not revoked, or by later ones of their stream.
const NOT_REVOKED: &str = "nothing that this stream has revoked for what happened before is in force, so nothing was restored";
