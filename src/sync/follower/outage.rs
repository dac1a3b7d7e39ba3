//! Failed calls and a stale feed: counting and logging them.

use super::calls::Refusal;
use super::lead::Scope;
use super::remarks::{Remarks, Work};
use super::{Counts, FeedSource};
use crate::host::{BackgroundHost, CallOutcome, NotSent};
use crate::revocation::wire::{Introduction, instance_name};
use crate::revocation::{SharedFilter, Standing, View};
use crate::sync::fault::{Fault, code};
use crate::sync::loader::LoadError;
use crate::sync::trouble::Trouble;

/// The health of the feed, for metrics, for the log, and for deciding whether another one should
/// lead.
#[derive(Debug, Default)]
pub(super) struct Report {
    pub(super) counts: Counts,
    pub(super) trouble: Trouble,
    remarks: Remarks,
    /// What the operator calls the process.
    instance: String,
    /// `verified_at` when this one last looked, or the beginning of the first leader while nothing
    /// was ever loaded.
    heard_at: u64,
}

impl Report {
    /// Begins with the remarks of earlier leaders. `verified_at` is that of the current state.
    /// Returns when the feed was last heard.
    pub(super) fn take_over(
        &mut self,
        host: &impl BackgroundHost,
        filter: &SharedFilter,
        verified_at: Option<u64>,
    ) -> u64 {
        self.remarks = Remarks::begin(host, filter.space(), host.now_milliseconds());
        self.instance = instance_name(&host.instance());
        self.heard_at = verified_at.unwrap_or(self.remarks.began_at);
        self.heard_at
    }

    /// What the authority is told of the edge. The generation is the one in use.
    pub(super) fn introduction(
        &self,
        generation: Option<u64>,
        now_milliseconds: u64,
    ) -> Introduction {
        let age = now_milliseconds.saturating_sub(self.remarks.began_at);
        Introduction {
            process: self.remarks.process,
            age_seconds: age / 1_000,
            generation,
            instance: self.instance.clone(),
        }
    }

    /// Leaves the lead to another one, and resets the trouble, which says nothing about that one.
    pub(super) fn hand_over(&mut self) {
        self.trouble = Trouble::default();
    }

    /// The trouble is over.
    pub(super) fn went_well(&mut self) {
        self.trouble = Trouble::default();
    }

    /// [`super::Follower::is_hopeless`].
    pub(super) fn is_hopeless(&self, now_milliseconds: u64) -> bool {
        self.trouble.is_hopeless(now_milliseconds)
    }

    /// [`super::Follower::staleness`].
    pub(super) const fn staleness(&self, now_milliseconds: u64) -> u64 {
        now_milliseconds.saturating_sub(self.heard_at)
    }

    /// Logs when `max_staleness` is exceeded, and when that is over.
    pub(super) fn look_at_the_age(
        &mut self,
        host: &impl BackgroundHost,
        source: &FeedSource,
        view: &View,
    ) {
        if let Some(state) = view.state() {
            self.heard_at = state.verified_at;
        }
        let now = host.now_milliseconds();
        let longest = source.max_staleness;
        let standing = view.standing(host, now, longest);
        let is_late = match standing {
            Standing::Current => false,
            Standing::Stale => true,
            Standing::Missing => u128::from(self.staleness(now)) > longest.as_millis(),
        };
        if is_late == self.remarks.is_late {
            return;
        }
        self.remarks.is_late = is_late;
        self.remarks.write(host, view.filter().space());
        match standing {
            Standing::Missing if is_late => {
                host.warn("revocation feed: none was loaded within `max_staleness`; `on_missing_feed` decides about requests");
            }
            _ if is_late => {
                host.warn("revocation feed: older than `max_staleness`; `on_stale` decides about requests");
            }
            _ => host.info("revocation feed: no older than `max_staleness` again"),
        }
    }
}

impl<H: BackgroundHost> Scope<'_, H> {
    /// The host did not send a call.
    pub(super) fn on_not_sent(&mut self, work: Work, reason: NotSent) {
        self.report.trouble.unanswered(self.now());
        self.fail(work, Fault::from(reason), "");
    }

    /// An unusable answer, or none.
    pub(super) fn on_no_use(&mut self, work: Work, outcome: &CallOutcome) {
        let now = self.now();
        let CallOutcome::Answered { status, body, .. } = outcome else {
            self.report.trouble.unanswered(now);
            return self.fail(work, Fault::NoAnswer, "");
        };
        if *status < 500 {
            self.report.trouble.refused(now);
        } else {
            self.report.trouble.unanswered(now);
        }
        let answer = format!("{status} {}", code(body).unwrap_or_default());
        self.fail(work, Fault::of_answer(*status, body), &answer);
    }

    /// An answer that was rejected for this reason.
    pub(super) fn on_refusal(&mut self, work: Work, reason: &Refusal) {
        let fault = match reason {
            Refusal::Lagging => Fault::Behind,
            Refusal::Load(LoadError::Contended) => Fault::Contended,
            _ => Fault::NotBelieved,
        };
        self.fail(work, fault, &reason.to_string());
    }

    /// Counts a fault, and logs it once, again when it has become another one, and every ten
    /// minutes.
    fn fail(&mut self, work: Work, fault: Fault, details: &str) {
        self.report.counts.add(fault);
        let (before, after) = words(fault);
        let cluster = &self.source.cluster;
        let details = match fault {
            Fault::Status => details.trim_end(),
            Fault::Behind | Fault::Contended | Fault::NotBelieved => details,
            _ => cluster,
        };
        let of = match work {
            Work::Poll => "",
            Work::Load => " (loading a generation)",
            Work::Attest => " (vouching for what is held)",
        };
        // An authority that is down is down for every kind of call.
        let of = if fault == Fault::NotBelieved { of } else { "" };
        let text = ["revocation feed: ", before, details, after, of].concat();
        let (host, space) = (self.host, self.filter().space());
        let remarks = &mut self.report.remarks;
        if remarks.complain(space, work, &text, host.now_milliseconds()) {
            host.warn(&text);
            remarks.write(host, space);
        }
    }

    /// Logs that this work succeeds again, if a fault was logged.
    pub(super) fn settle(&mut self, work: Work) {
        if self.report.remarks.settle(work) {
            self.report.remarks.write(self.host, self.filter().space());
        }
    }
}

/// The log line of a fault, before and after its subject.
const fn words(fault: Fault) -> (&'static str, &'static str) {
    match fault {
        Fault::NoCluster => ("there is no cluster `", "`"),
        Fault::NoEndpoint => ("cluster `", "` has no endpoint that is healthy"),
        Fault::NoConnection => (
            "cluster `",
            "` leads to no connection; hint: does the authority listen there, and does the cluster \
             have a `transport_socket` that it accepts exactly if it speaks TLS? Its log may tell",
        ),
        Fault::Tls => (
            "cluster `",
            "` and the authority do not agree on TLS; hint: the cluster needs a `transport_socket` \
             exactly if the authority has `--tls-certificate`, and has to trust that certificate",
        ),
        Fault::NoAnswer => ("the authority of cluster `", "` does not answer"),
        Fault::Credential => (
            "the authority of cluster `",
            "` does not know the credential; hint: `revocation.credential` is what `portcullis \
             credential --role edge` has printed",
        ),
        Fault::Role => (
            "the authority of cluster `",
            "` knows the credential, but not as one with the role `edge`",
        ),
        Fault::Status => ("the authority answers with status ", ""),
        Fault::Behind | Fault::Contended => ("", ""),
        Fault::NotBelieved => ("not believed: ", ""),
    }
}
