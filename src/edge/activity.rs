//! Hands on what the gate has collected of sessions in use.
//!
//! One call is under way at a time, and the next one is made with the next tick: ten thousand
//! reports a second, more than the gate collects. What the authority does not take for the moment
//! is told again with what has come since. What it refuses would be refused again, and is dropped.
//! After either, the next call waits. No request ever waits for any of this.
//!
//! # What if one worker cannot report and others can?
//!
//! All workers have one credential, so that the authority takes what the others tell for the whole, and
//! the sessions of that worker look idle. So a worker that has something to tell and cannot says so in
//! shared data, again with every attempt, and as long as it does the others say that there is more than
//! they tell.
//!
//! # What becomes of it when the plugin goes?
//!
//! It is dropped, and counted. Envoy cancels the calls of a plugin that goes. A session that is used
//! again is new to the next plugin, and reported at once; of the others, what came after the last
//! report is missing.

use std::time::Duration;

use super::calls::Caller;
use super::{EdgeHost, Metric};
use crate::backoff;
use crate::gate::{Bundle, Delivery, Gate};
use crate::host::{
    BackgroundHost as _, CallHost as _, CallId, CallOutcome, Expected, SharedData as _,
};
use crate::little_endian::LittleEndian;
use crate::time::Interval;

/// The wait after the first call that has failed.
const FIRST_WAIT: Duration = Duration::from_secs(1);

const LONGEST_WAIT: Duration = Duration::from_mins(1);

/// The name of the record in which a virtual machine says that it keeps something back: when it said
/// so, in milliseconds since the epoch (`u64`, little-endian).
const HELD_BACK: &str = "activity/held back";

/// How long that counts: until the attempt after the next one.
const HELD_BACK_FOR: Duration = Duration::from_mins(2);

/// What is under way, and how it went.
#[derive(Debug, Default)]
pub(super) struct Reporter {
    sent: Option<(CallId, Bundle)>,
    /// Calls that have failed in a row.
    failures: u32,
    pause: Option<Interval>,
}

impl Reporter {
    /// Hands on what is due, unless it has to wait.
    pub(super) fn tick<H: EdgeHost>(&mut self, host: &Caller<'_, H>, gate: &Gate) {
        let Some(activity) = gate.activity() else {
            return;
        };
        let now = host.now_milliseconds();
        activity.tick(now);
        let waits = self.pause.is_some_and(|pause| pause.contains(now));
        if self.sent.is_none()
            && !waits
            && let Some((body, bundle)) = activity.take_bundle(|| is_held_back(host, gate))
        {
            let call = gate.activity_call(body);
            match call.and_then(|call| host.call(&call).ok()) {
                Some(id) => self.sent = Some((id, bundle)),
                None => self.fail(host, gate, bundle, &CallOutcome::Failed),
            }
        }
        host.measure(Metric::Activity(activity.take_counts()));
    }

    /// Takes the end of its call.
    pub(super) fn answered<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        call: CallId,
        outcome: &CallOutcome,
    ) {
        let Some(activity) = gate.activity() else {
            return;
        };
        let Some((_, bundle)) = self.sent.take_if(|(id, _)| *id == call) else {
            return;
        };
        match outcome {
            CallOutcome::Answered { status, .. } if (200..300).contains(status) => {
                (self.failures, self.pause) = (0, None);
                activity.settle(bundle, Delivery::Reported);
            }
            other => self.fail(host, gate, bundle, other),
        }
    }

    /// Counts what is not told any more.
    pub(super) fn release<H: EdgeHost>(&mut self, host: &Caller<'_, H>, gate: &Gate) {
        if let Some(activity) = gate.activity() {
            if let Some((_, bundle)) = self.sent.take() {
                activity.settle(bundle, Delivery::Refused);
            }
            host.measure(Metric::Activity(activity.end()));
        }
    }

    fn fail<H: EdgeHost>(
        &mut self,
        host: &Caller<'_, H>,
        gate: &Gate,
        bundle: Bundle,
        outcome: &CallOutcome,
    ) {
        let Some(activity) = gate.activity() else {
            return;
        };
        let (delivery, answer) = match outcome {
            CallOutcome::Answered { status, .. } => (delivery(*status), status.to_string()),
            CallOutcome::Failed => (Delivery::Unanswered, "nothing".to_owned()),
        };
        activity.settle(bundle, delivery);
        if activity.holds_back() {
            hold_back(host, gate);
        }
        if self.failures == 0 {
            host.warn(&format!(
                "the activity of sessions is not reported: the authority answered {answer}"
            ));
        }
        self.failures = self.failures.saturating_add(1);
        let wait = backoff::wait(FIRST_WAIT, LONGEST_WAIT, self.failures, host.random());
        self.pause = Some(Interval::new(host.now_milliseconds(), wait));
    }
}

/// Tells the other virtual machines of the process that this one keeps something back.
fn hold_back<H: EdgeHost>(host: &Caller<'_, H>, gate: &Gate) {
    if let Some((_, view)) = gate.feed() {
        let now = host.now_milliseconds().to_le_bytes();
        let record = view.filter().space().seal(HELD_BACK, &now);
        let key = view.filter().space().key_of(HELD_BACK);
        // If it cannot be written, the next attempt writes it.
        let _ = host.set_shared(&key, &record, Expected::Anything);
    }
}

/// Whether one of them has said so lately.
fn is_held_back<H: EdgeHost>(host: &Caller<'_, H>, gate: &Gate) -> bool {
    let said = || {
        let (_, view) = gate.feed()?;
        let shared = host.shared(&view.filter().space().key_of(HELD_BACK))?;
        LittleEndian(view.filter().space().open(HELD_BACK, &shared.bytes)?).u64()
    };
    said().is_some_and(|at| Interval::new(at, HELD_BACK_FOR).contains(host.now_milliseconds()))
}

/// What becomes of reports that were answered with this status. An authority that is busy, starting
/// or stopping may take them later.
const fn delivery(status: u16) -> Delivery {
    match status {
        400..=407 | 409..=428 | 430..=499 => Delivery::Refused,
        _ => Delivery::Unanswered,
    }
}
