//! Calls that came to nothing: what is counted and said of them.

use std::time::Duration;

use super::Follower;
use crate::host::{BackgroundHost, CallOutcome};
use crate::time::Interval;

/// How often the same trouble is warned of.
const SAME_COMPLAINT: Duration = Duration::from_mins(10);

impl Follower {
    /// The host would not send a call at all.
    pub(super) fn on_call_refused(&mut self, host: &impl BackgroundHost) {
        self.counts.failures += 1;
        self.trouble.unanswered(host.now_milliseconds());
        let cluster = &self.source.cluster;
        let message = format!(
            "the call was refused; hint: is there a cluster `{cluster}` with a healthy endpoint?"
        );
        self.complain(host, message);
    }

    /// An answer that says nothing of the feed, or none.
    pub(super) fn on_no_use(&mut self, host: &impl BackgroundHost, outcome: &CallOutcome) {
        let now = host.now_milliseconds();
        self.counts.failures += 1;
        let message = match outcome {
            CallOutcome::Answered { status, .. } if *status < 500 => {
                self.trouble.refused(now);
                format!("the authority refuses to answer, with status {status}")
            }
            CallOutcome::Answered { status, .. } => {
                self.trouble.unanswered(now);
                format!("the authority does not answer: status {status}")
            }
            CallOutcome::Failed => {
                self.trouble.unanswered(now);
                "the authority does not answer".to_owned()
            }
        };
        self.complain(host, message);
    }

    /// Warns of trouble once, again when it has become another, and every ten minutes.
    pub(super) fn complain(&mut self, host: &impl BackgroundHost, message: String) {
        let now = host.now_milliseconds();
        let is_known = self.complaint.as_ref().is_some_and(|(known, since)| {
            *known == message && Interval::new(*since, SAME_COMPLAINT).contains(now)
        });
        if !is_known {
            host.warn(&format!("revocation feed: {message}"));
            self.complaint = Some((message, now));
        }
    }
}
