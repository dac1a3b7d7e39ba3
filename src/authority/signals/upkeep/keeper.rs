//! Makes a stream at its transmitter, and sees to it that it stays as the signals file says.
//!
//! A stream is known again by the id that the transmitter gave it, which is on the disk; else by its
//! URL, where it is pushed, or by its description. So neither a restart nor a lost file makes a second
//! one.

use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use super::super::Receivers;
use super::super::configuration::Delivery;
use super::super::events::StreamStatus;
use super::super::ledger::Ledger;
use super::super::secret::Presented;
use super::super::streams::Open;
use super::super::text::shown;
use super::super::transmitter::{Fault, FaultReason, StreamDescription, Transmitter, Wanted};
use super::bell::Woken;
use super::plan::{Plan, PlannedDelivery};
use super::polling::Polling;
use super::state::{Purpose, StreamRow};
use super::{Distant, KeptStream};
use crate::backoff;

/// How often a stream is looked at that has nothing to say.
const CHECK_INTERVAL: Duration = Duration::from_mins(10);

/// The wait after the first call that came to nothing, doubled with each further one.
const FIRST_WAIT: Duration = Duration::from_secs(1);

/// The longest wait.
const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// How often a secret is looked at of which a transmitter has to be told when it changes.
const SECRET_INTERVAL: Duration = Duration::from_secs(2);

/// Ids that a message names, at most.
const MOST_NAMED: usize = 4;

impl KeptStream {
    /// Keeps the stream, for ever or until the authority stops.
    pub(super) fn keep(&self, reception: &Distant, runtime: &Handle) {
        let mut polling = Polling::new(reception.clone(), runtime.clone());
        while !self.bell.is_stopped() {
            if self.state().row.is_deleted {
                self.bell.wait(CHECK_INTERVAL);
                continue;
            }
            let Some(near) = reception.near() else {
                return;
            };
            let looked_after = self.look_after(&near.receivers);
            drop(near);
            // Until it is looked at again. Events are fetched meanwhile wherever it is known from where.
            let (is_in_order, limit) = match looked_after {
                Ok(()) => (true, CHECK_INTERVAL),
                Err(fault) => (false, self.pause(Purpose::Upkeep, &fault)),
            };
            match &self.delivery {
                Delivery::Poll(poll) if is_in_order || self.endpoint(poll).is_some() => {
                    polling.run(self, poll, limit);
                }
                Delivery::Push(_) if is_in_order => self.wait_for_secret(reception, limit),
                Delivery::Push(_) | Delivery::Poll(_) => {
                    self.bell.wait(limit);
                }
            }
        }
    }

    /// Waits for so long at most, and until there is another secret of which the transmitter has to be
    /// told.
    fn wait_for_secret(&self, reception: &Distant, limit: Duration) {
        let until = Instant::now() + limit;
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if self.bell.wait(left.min(SECRET_INTERVAL)) != Woken::Late || left.is_zero() {
                return;
            }
            let Some(near) = reception.near() else {
                return;
            };
            let open = near.receivers.streams.get(&self.name);
            if self.plan.is_some()
                && open.is_some_and(|open| open.has_untold_secret(Instant::now()))
            {
                return;
            }
        }
    }

    /// Notes a failure, and waits until the next attempt.
    pub(super) fn pause_after(&self, purpose: Purpose, fault: &Fault) -> Woken {
        self.bell.wait(self.pause(purpose, fault))
    }

    /// Notes a failure. Gives how long to wait until the next attempt.
    fn pause(&self, purpose: Purpose, fault: &Fault) -> Duration {
        let failures = self.failed(purpose, fault);
        let wait = backoff::wait(FIRST_WAIT, LONGEST_WAIT, failures, random());
        wait.max(fault.retry_after.unwrap_or_default())
    }

    /// Looks whether the stream is in order, if it is kept from here and was not deleted meanwhile.
    fn look_after(&self, receivers: &Receivers) -> Result<(), Fault> {
        let _alone = self.managing.lock();
        if self.plan.is_none() || self.state().row.is_deleted {
            return Ok(());
        }
        self.ensure(receivers)
    }

    /// Makes the stream if there is none, and changes it if it is not as it should be.
    pub(super) fn ensure(&self, receivers: &Receivers) -> Result<(), Fault> {
        let (transmitter, plan) = self.managed()?;
        let metadata = transmitter.discover()?;
        let open = receivers.streams.get(&self.name);
        // Before anything that can fail: events are taken meanwhile.
        self.keep_critical(metadata.critical_members(), open, &receivers.ledger)?;
        let now = Instant::now();
        let secret = open.and_then(Open::authorization);
        let secret = secret.map(|secret| secret.value(now));
        let shown = secret
            .as_ref()
            .map(|secret| Presented::new(secret.as_bytes()));
        let wanted = plan.wanted(metadata.spelling(plan.method())?, secret);
        let is_first = !self.state().is_ready;
        let (mut stream, is_new) = self.found_or_made(transmitter, plan, &wanted)?;
        // Before anything else, so that none is made twice.
        self.keep_found(&stream, &receivers.ledger)?;
        // What it authorizes itself with cannot be read there.
        let is_pushed = matches!(plan.delivery, PlannedDelivery::Push(_));
        let is_untold = open.is_some_and(|open| open.has_untold_secret(now));
        if !wanted.fits(&stream) || (is_pushed && !is_new && (is_first || is_untold)) {
            stream = transmitter.update(&stream.stream_id, &wanted)?;
            self.keep_found(&stream, &receivers.ledger)?;
        }
        if let Some((open, shown)) = open.zip(shown).filter(|_| is_pushed) {
            open.is_told(shown, now);
            let written = Some(shown.written());
            self.keep_row(&receivers.ledger, |row| row.authorization = written)?;
        }
        self.note(&stream);
        let mut warnings = Vec::new();
        let status = self.status(transmitter, &stream.stream_id, &mut warnings);
        if let Some(open) = open {
            let before = open.news().status.map(|(status, _)| status);
            if let Some(status) = status.filter(|status| before != Some(*status)) {
                open.updated(status, None);
            }
        }
        if is_new {
            self.state().subjects_added.clear();
        }
        let added = self.add_subjects(transmitter, plan, &stream.stream_id, &mut warnings);
        warnings.extend(strange_audience(plan, &stream));
        warnings.extend(undelivered(plan, &stream));
        self.warn(warnings);
        if is_first {
            tracing::info!(
                stream = self.name,
                stream_id = stream.stream_id,
                status = status.map(StreamStatus::name),
                made = is_new,
                jwks_uri = metadata.keys(),
                "the stream is in order at its transmitter"
            );
        }
        if is_first && metadata.has_verification() {
            self.try_verification(transmitter, &stream.stream_id, receivers);
        }
        added?;
        self.answered(Purpose::Upkeep);
        Ok(())
    }

    /// What its transmitter says that it does with the stream. That this is not known keeps no event from
    /// coming.
    fn status(
        &self,
        transmitter: &Transmitter,
        stream_id: &str,
        warnings: &mut Vec<String>,
    ) -> Option<StreamStatus> {
        let status = transmitter.status(stream_id);
        status.unwrap_or_else(|fault| {
            self.metrics.failed(&self.name, fault.reason);
            warnings.push(format!("the status of the stream is not known: {fault}"));
            None
        })
    }

    /// Adds the subjects that the stream does not have yet. One that the transmitter refuses keeps no
    /// other from being added; where it cannot be asked, that is tried again.
    fn add_subjects(
        &self,
        transmitter: &Transmitter,
        plan: &Plan,
        stream_id: &str,
        warnings: &mut Vec<String>,
    ) -> Result<(), Fault> {
        for (index, subject) in plan.subjects.iter().enumerate() {
            if self.state().subjects_added.contains(&index) {
                continue;
            }
            match transmitter.add_subject(stream_id, subject) {
                Ok(()) => {
                    self.state().subjects_added.insert(index);
                }
                Err(fault) => {
                    let detail = format!("`transmitter.subjects[{index}]` was not added: {fault}");
                    if !fault.reason.is_of_request() {
                        return Err(Fault { detail, ..fault });
                    }
                    self.metrics.failed(&self.name, fault.reason);
                    warnings.push(detail);
                }
            }
        }
        Ok(())
    }

    /// Has it shown whether events arrive, before the first one is missed. That this is refused, for
    /// having been asked for too often, is no fault of the stream.
    fn try_verification(&self, transmitter: &Transmitter, stream_id: &str, receivers: &Receivers) {
        if let Err(fault) = self.ask_verification(transmitter, stream_id, receivers) {
            tracing::warn!(stream = self.name, "no verification event: {fault}");
        }
    }

    fn note(&self, stream: &StreamDescription) {
        let mut state = self.state();
        state.events_delivered = stream.events_delivered.clone().unwrap_or_default();
        state.is_ready = true;
    }

    /// The stream that there is, or else a new one, and whether it is new.
    fn found_or_made(
        &self,
        transmitter: &Transmitter,
        plan: &Plan,
        wanted: &Wanted,
    ) -> Result<(StreamDescription, bool), Fault> {
        let known = self.state().row.stream_id.clone();
        if let Some(id) = known.or_else(|| plan.stream_id.clone()) {
            match transmitter.read(&id) {
                Err(fault) if fault.reason == FaultReason::NotFound => {
                    tracing::warn!(stream = self.name, stream_id = id, "the stream is gone");
                }
                found => return found.map(|stream| (stream, false)),
            }
        }
        let listed = match transmitter.list() {
            // One that cannot list them is asked for a new one, which shows whether there are any.
            Err(fault) if fault.reason.is_of_request() => Vec::new(),
            listed => listed?,
        };
        if let Some(ours) = listed.into_iter().find(|stream| wanted.is_ours(stream)) {
            return transmitter.checked(ours).map(|ours| (ours, false));
        }
        match transmitter.create(wanted) {
            Err(fault) if fault.reason == FaultReason::Conflict => {
                let ours = self.adopted(transmitter, wanted)?;
                transmitter.checked(ours).map(|ours| (ours, false))
            }
            made => made.map(|stream| (stream, true)),
        }
    }

    /// The stream in whose place no other can be made, if it is this one.
    fn adopted(
        &self,
        transmitter: &Transmitter,
        wanted: &Wanted,
    ) -> Result<StreamDescription, Fault> {
        let streams = transmitter.list()?;
        let ids: Vec<_> = streams
            .iter()
            .take(MOST_NAMED)
            .map(|stream| shown(&stream.stream_id))
            .collect();
        let ours = streams.into_iter().find(|stream| wanted.is_ours(stream));
        ours.ok_or_else(|| {
            FaultReason::Conflict.because(format!(
                "the transmitter allows no more streams, and none of those that there are is `{}`: \
                 `{}`; hint: `transmitter.stream_id` takes one of them over",
                self.name,
                ids.join("`, `")
            ))
        })
    }

    /// Remembers which members of subjects the transmitter calls critical, also for after a restart.
    fn keep_critical(
        &self,
        members: &[String],
        open: Option<&Open>,
        ledger: &Ledger,
    ) -> Result<(), Fault> {
        if let Some(open) = open {
            open.calls_critical(members);
        }
        self.keep_row(ledger, |row| row.critical_members = Some(members.to_vec()))
    }

    /// Remembers what the transmitter calls the stream, and where it is polled.
    fn keep_found(&self, stream: &StreamDescription, ledger: &Ledger) -> Result<(), Fault> {
        let is_polled = matches!(self.delivery, Delivery::Poll(_));
        let delivery = stream.delivery.clone().filter(|_| is_polled);
        self.keep_row(ledger, |row| {
            row.stream_id = Some(stream.stream_id.clone());
            row.is_deleted = false;
            row.endpoint = delivery.and_then(|delivery| delivery.endpoint_url);
        })
    }

    /// Changes what is on the disk of the stream, there before anywhere else.
    pub(super) fn keep_row(
        &self,
        ledger: &Ledger,
        change: impl FnOnce(&mut StreamRow),
    ) -> Result<(), Fault> {
        let known = self.state().row.clone();
        let mut row = known.clone();
        change(&mut row);
        if row == known {
            return Ok(());
        }
        ledger.keep_stream(&row).map_err(|error| {
            let error = crate::authority::text::chain_of(&error);
            FaultReason::NotKept.because(format!("what is known of the stream: {error}"))
        })?;
        self.state().row = row;
        Ok(())
    }

    /// Asks for an event that shows that the stream works. Gives what tells of it once it has come.
    pub(super) fn ask_verification(
        &self,
        transmitter: &Transmitter,
        stream_id: &str,
        receivers: &Receivers,
    ) -> Result<oneshot::Receiver<()>, Fault> {
        let open = receivers.streams.get(&self.name).ok_or_else(|| {
            FaultReason::NotFound.because("the signals file has no stream of this name")
        })?;
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes)
            .map_err(|error| FaultReason::Unsupported.because(format!("no randomness: {error}")))?;
        let state = URL_SAFE_NO_PAD.encode(bytes);
        // Before it is asked for: it may come faster than the answer.
        let is_shown = open.expect(state.clone());
        transmitter.verify(stream_id, &state)?;
        Ok(is_shown)
    }
}

/// Events for another audience would all be refused.
fn strange_audience(plan: &Plan, stream: &StreamDescription) -> Option<String> {
    let found = stream.audiences();
    let is_ours = |found: &&str| plan.audiences.iter().any(|ours| ours == found);
    if found.is_empty() || found.iter().any(is_ours) {
        return None;
    }
    let found = named(found.into_iter());
    Some(format!(
        "`aud` of the stream is {found}, of which none is among its `audiences` in the signals file: \
         all of its events will be refused"
    ))
}

/// Events that were asked for and do not come. Where the file names none, a transmitter is asked for all
/// that mean something here, and few have all of them.
fn undelivered(plan: &Plan, stream: &StreamDescription) -> Option<String> {
    let delivered = stream.events_delivered.as_ref()?;
    let missing: Vec<_> = plan
        .events
        .iter()
        .filter(|event| !delivered.contains(event))
        .map(String::as_str)
        .collect();
    if plan.are_events_named && !missing.is_empty() {
        let missing = named(missing.into_iter());
        return Some(format!(
            "`events_delivered` of the stream lacks {missing}, which `transmitter.events_requested` has: \
             such events do not come"
        ));
    }
    (missing.len() == plan.events.len()).then(|| {
        "`events_delivered` of the stream has none of the events that mean something here: nothing \
         will be revoked"
            .to_owned()
    })
}

/// The first of these texts, for a message.
fn named<'a>(texts: impl Iterator<Item = &'a str>) -> String {
    let texts: Vec<_> = texts
        .take(MOST_NAMED)
        .map(|text| format!("`{}`", shown(text)))
        .collect();
    texts.join(", ")
}

/// For spreading waits. Without randomness they are only less spread.
pub(super) fn random() -> u64 {
    let mut random = [0; 8];
    let _ = getrandom::fill(&mut random);
    u64::from_ne_bytes(random)
}
