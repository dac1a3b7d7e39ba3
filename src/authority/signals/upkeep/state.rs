//! What is known of a stream.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::super::configuration::Delivery;
use super::super::events::StreamStatus;
use super::super::streams::News;
use super::super::transmitter::Fault;
use super::KeptStream;

/// What is on the disk of a stream, so that a restart makes no second one, and fetches events also while
/// the transmitter says nothing of the stream.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize)]
pub(in crate::authority::signals) struct StreamRow {
    /// Of the file.
    pub(in crate::authority::signals) name: String,
    /// Who has given the id.
    pub(in crate::authority::signals) issuer: String,
    /// What the transmitter calls it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority::signals) stream_id: Option<String>,
    /// An operator has deleted it: it is not made again by itself.
    #[serde(default)]
    pub(in crate::authority::signals) is_deleted: bool,
    /// Where it is polled, by what the transmitter says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority::signals) endpoint: Option<String>,
    /// The hash of what the transmitter was told last to authorize pushes with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority::signals) authorization: Option<String>,
    /// Which members of subjects the transmitter calls critical. None of a row from before that was kept,
    /// and until it has said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(in crate::authority::signals) critical_members: Option<Vec<String>>,
}

/// What a transmitter is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// The stream itself.
    Upkeep,
    /// Events.
    Events,
}

/// Calls for one purpose that came to nothing.
#[derive(Clone, Debug, Default)]
pub(super) struct Failures {
    /// How often in a row.
    pub(super) count: u32,
    /// When and why last.
    pub(super) last: Option<(u64, Fault)>,
}

/// What is known.
#[derive(Debug, Default)]
pub(super) struct State {
    /// As it is on the disk.
    pub(super) row: StreamRow,
    pub(super) events_delivered: Vec<String>,
    /// Whether it was found in order since the start.
    pub(super) is_ready: bool,
    /// When the transmitter last answered.
    pub(super) last_answer: Option<u64>,
    /// Of looking after the stream.
    pub(super) upkeep: Failures,
    /// Of fetching events.
    pub(super) polls: Failures,
    /// Which of the subjects it has.
    pub(super) subjects_added: BTreeSet<usize>,
    /// What is wrong, although the stream works.
    pub(super) warnings: Vec<String>,
}

impl State {
    /// Of a stream of which nothing is known but this.
    pub(super) fn new(row: StreamRow) -> Self {
        Self {
            row,
            ..Self::default()
        }
    }

    pub(super) const fn failures(&mut self, purpose: Purpose) -> &mut Failures {
        match purpose {
            Purpose::Upkeep => &mut self.upkeep,
            Purpose::Events => &mut self.polls,
        }
    }

    /// The failures that an operator should see: those that go on, and of these the last.
    fn worst(&self) -> &Failures {
        let rank = |failures: &Failures| {
            let time = failures.last.as_ref().map(|(time, _)| *time);
            (failures.count > 0, time)
        };
        if rank(&self.polls) >= rank(&self.upkeep) {
            &self.polls
        } else {
            &self.upkeep
        }
    }
}

/// A stream as the operator sees it.
#[derive(Clone, Debug)]
pub(in crate::authority) struct View {
    pub(in crate::authority) name: String,
    pub(in crate::authority) issuer: String,
    /// `push` or `poll`.
    pub(in crate::authority) delivery: &'static str,
    /// Whether it is made and watched from here.
    pub(in crate::authority) is_managed: bool,
    pub(in crate::authority) stream_id: Option<String>,
    pub(in crate::authority) is_deleted: bool,
    pub(in crate::authority) status: Option<&'static str>,
    pub(in crate::authority) status_reason: Option<String>,
    pub(in crate::authority) events_delivered: Vec<String>,
    pub(in crate::authority) verified_at: Option<u64>,
    pub(in crate::authority) last_event: Option<u64>,
    pub(in crate::authority) last_answer: Option<u64>,
    pub(in crate::authority) failures: u32,
    pub(in crate::authority) last_fault: Option<(u64, Fault)>,
    pub(in crate::authority) warnings: Vec<String>,
}

impl View {
    pub(super) fn of(stream: &KeptStream, state: &State, news: News) -> Self {
        let (status, status_reason) = news.status.unzip();
        let failures = state.worst().clone();
        Self {
            name: stream.name.clone(),
            issuer: stream.issuer.clone(),
            delivery: match stream.delivery {
                Delivery::Push(_) => "push",
                Delivery::Poll(_) => "poll",
            },
            is_managed: stream.plan.is_some(),
            stream_id: state.row.stream_id.clone(),
            is_deleted: state.row.is_deleted,
            status: status.map(StreamStatus::name),
            status_reason: status_reason.flatten(),
            events_delivered: state.events_delivered.clone(),
            verified_at: news.last_verified,
            last_event: news.last_event,
            last_answer: state.last_answer,
            failures: failures.count,
            last_fault: failures.last,
            warnings: state.warnings.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is critical is not known of a row from before that was kept.
    #[test]
    fn rows_of_before_are_read() {
        let text =
            r#"{"name": "idp", "issuer": "https://a", "stream_id": "1", "is_deleted": false}"#;
        let row: StreamRow = serde_json::from_str(text).unwrap();
        let expected = StreamRow {
            name: "idp".to_owned(),
            issuer: "https://a".to_owned(),
            stream_id: Some("1".to_owned()),
            ..StreamRow::default()
        };
        assert_eq!(row, expected);
        assert_eq!(row.critical_members, None);
    }
}
