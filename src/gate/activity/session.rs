//! What is known of one session in use.

use super::USER_AGENT;
use crate::gate::request::Request;
use crate::revocation::wire::activity::{self, MAX_AGE, MAX_SIGHTINGS, Report};
use crate::time::milliseconds;

/// One request in this many is looked at more closely, beginning with the first.
const SAMPLE: u32 = 16;

/// Changes of the client's software that count between two reports.
const MOST_CHANGES: u8 = 8;

/// A session that was used lately.
#[derive(Debug)]
pub(super) struct Session {
    pub(super) id: u128,
    /// Its names, with the times of its newest token. What changes is filled in when it is sent.
    pub(super) report: Report,
    pub(super) window: Window,
    /// Where the client's software stood in the last request that was looked at.
    pub(super) agent_line: Option<Line>,
}

/// Where a header line stands in a request, and how long its value is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    index: usize,
    length: usize,
}

impl Line {
    pub(super) const fn new(index: usize, value: &[u8]) -> Self {
        Self {
            index,
            length: value.len(),
        }
    }
}

/// What has happened since the session was reported last. Times are milliseconds by the collector's
/// clock.
#[derive(Debug, Default)]
pub(super) struct Window {
    pub(super) requests: u32,
    /// Whether one was in progress, which is not counted again.
    had_stream: bool,
    first_seen: u64,
    last_seen: u64,
    /// The most recent first: requests count for that one until another is seen.
    sightings: Vec<Sighting>,
    /// Requests that count for sightings already.
    attributed: u32,
    changes: u8,
}

#[derive(Debug)]
struct Sighting {
    network: Option<String>,
    user_agent: Option<String>,
    requests: u32,
    last_seen: u64,
}

impl Session {
    /// Whether the client's software is not where it was in the last request that was looked at,
    /// or is longer or shorter.
    pub(super) fn may_have_other_agent(&self, request: &Request) -> bool {
        self.agent_line.is_some_and(|line| {
            request.lengths_at(line.index) != Some((USER_AGENT.len(), line.length))
        })
    }

    /// What is told at this time.
    pub(super) fn fill_in(&mut self, now: u64) -> &Report {
        let (report, window) = (&mut self.report, &mut self.window);
        window.attribute();
        // A bundle with an age beyond that would be refused as a whole.
        let ago = |seen: u64| now.saturating_sub(seen).min(milliseconds(MAX_AGE));
        report.first_seen_ago = ago(window.first_seen);
        report.last_seen_ago = ago(window.last_seen);
        report.requests = window.requests;
        let told = |sighting: &Sighting| activity::Sighting {
            network: sighting.network.clone(),
            user_agent: sighting.user_agent.clone(),
            requests: sighting.requests,
            last_seen_ago: ago(sighting.last_seen),
        };
        let sightings = window.sightings.iter();
        let known = sightings.filter(|seen| seen.network.is_some() || seen.user_agent.is_some());
        report.sightings = known.map(told).collect();
        report
    }
}

impl Window {
    /// Whether the next request is one that is looked at more closely.
    pub(super) const fn is_sample(&self) -> bool {
        self.requests.is_multiple_of(SAMPLE)
    }

    /// Counts a request.
    pub(super) const fn count(&mut self, now: u64) {
        if self.requests == 0 {
            self.first_seen = now;
        }
        self.last_seen = now;
        self.requests = self.requests.saturating_add(1);
    }

    /// Notes that a request is in progress.
    pub(super) fn note_stream(&mut self, now: u64) {
        // The requests up to now were seen when they came.
        self.attribute();
        if !self.is_used() {
            self.first_seen = now;
        }
        self.last_seen = now;
        self.had_stream = true;
    }

    /// Whether there is something to tell.
    pub(super) const fn is_used(&self) -> bool {
        self.requests > 0 || self.had_stream
    }

    /// Whether the next request, from this kind of software, has to be looked at more closely.
    pub(super) fn has_to_look(&mut self, family: Option<&str>) -> bool {
        if self.is_sample() {
            return true;
        }
        let current = self.sightings.first();
        let is_same = current.is_some_and(|current| current.user_agent.as_deref() == family);
        if is_same || self.changes >= MOST_CHANGES {
            return false;
        }
        self.changes += 1;
        true
    }

    /// Notes from where the next request comes.
    pub(super) fn turn_to(&mut self, network: Option<String>, user_agent: Option<String>) {
        self.attribute();
        let index = self.add(Sighting {
            network,
            user_agent,
            requests: 0,
            last_seen: self.last_seen,
        });
        if let Some(sightings) = self.sightings.get_mut(..=index) {
            sightings.rotate_right(1);
        }
        self.sightings.truncate(MAX_SIGHTINGS);
    }

    /// Adds what has happened before and could not be reported.
    pub(super) fn merge(&mut self, before: Self) {
        if !self.is_used() {
            *self = before;
            return;
        }
        self.attribute();
        self.had_stream |= before.had_stream;
        self.first_seen = before.first_seen;
        self.requests = self.requests.saturating_add(before.requests);
        self.attributed = self.attributed.saturating_add(before.requests);
        for older in before.sightings {
            self.add(older);
        }
        self.sightings.truncate(MAX_SIGHTINGS);
    }

    /// Adds requests to those from the same place, which has this index then.
    #[inline(never)]
    fn add(&mut self, sighting: Sighting) -> usize {
        let is_same = |seen: &Sighting| {
            (&seen.network, &seen.user_agent) == (&sighting.network, &sighting.user_agent)
        };
        let index = self.sightings.iter().position(is_same);
        let index = index.unwrap_or(self.sightings.len());
        match self.sightings.get_mut(index) {
            Some(same) => same.requests = same.requests.saturating_add(sighting.requests),
            None => self.sightings.push(sighting),
        }
        index
    }

    /// Counts what has come since for where it came from.
    fn attribute(&mut self) {
        if let Some(current) = self.sightings.first_mut() {
            let more = self.requests.saturating_sub(self.attributed);
            current.requests = current.requests.saturating_add(more);
            if more > 0 {
                current.last_seen = self.last_seen;
            }
        }
        self.attributed = self.requests;
    }
}
