//! One fetch, from its first try until there is a set or it has failed.

use std::num::NonZeroU32;
use std::time::Duration;

use super::KeyRefresh;
use crate::backoff;
use crate::host::{BackgroundHost, Call, CallId, CallOutcome};
use crate::keys::discovery::{self, DiscoveryError};
use crate::keys::{RemoteSource, Url, freshness};
use crate::time::{Interval, milliseconds};
use crate::token::{KeySet, KeySetError};

/// How long after its time-out a call is given up. The host always reports the end of a call; if it
/// did not, the source would be stuck.
const GRACE: Duration = Duration::from_secs(5);

/// Longest pause between two failing fetches, unless the configuration has a longer one.
const LONGEST_PAUSE: Duration = Duration::from_mins(5);

/// Failing fetches in a row until another leader tries.
const FAILURES_PER_LEADER: u32 = 3;

/// Shortest time between two fetches that no request has asked for, whatever the configuration says.
const SHORTEST_REFRESH: Duration = Duration::from_secs(1);

/// Why a fetch gave no keys.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FetchError {
    /// The host did not send the call.
    #[error("the call was refused; hint: is there a cluster `{0}` with a healthy endpoint?")]
    NotSent(String),
    /// No connection, a reset, or a time-out.
    #[error("no answer")]
    NoAnswer,
    /// An answer with another status than 200. Redirects are not followed: they would lead out of
    /// the cluster that the operator chose.
    #[error("expected status 200, found {0}")]
    Status(u16),
    /// The discovery document leads nowhere.
    #[error("discovery document: {0}")]
    Discovery(#[from] DiscoveryError),
    /// The answer is no usable JWK Set.
    #[error("JWK Set: {0}")]
    KeySet(#[from] KeySetError),
}

impl FetchError {
    /// Whether the call may have gone out on a connection that the server had closed meanwhile;
    /// another try then has a new one. The host answers 503 when that happens, and 504 for a time-out.
    const fn is_broken_connection(&self) -> bool {
        matches!(self, Self::NoAnswer | Self::Status(503))
    }

    /// A number for the kind of fault, the same in every virtual machine and never 0. Details, such
    /// as a length or a position in a text, are not part of it.
    fn kind(&self) -> u32 {
        match self {
            Self::NotSent(_) => 1,
            Self::NoAnswer => 2,
            Self::Discovery(error) => match error {
                DiscoveryError::TooLarge(_) => 3,
                DiscoveryError::Json(_) => 4,
                DiscoveryError::Issuer => 5,
                DiscoveryError::Uri => 6,
                DiscoveryError::Elsewhere => 7,
            },
            Self::KeySet(error) => match error {
                KeySetError::TooLarge(_) => 8,
                KeySetError::Json(_) => 9,
                KeySetError::NotASet => 10,
                KeySetError::TooManyKeys(_) => 11,
                KeySetError::NoUsableKey(_) => 12,
            },
            Self::Status(status) => 0x1_0000 | u32::from(*status),
        }
    }
}

/// What a source does now.
#[derive(Debug)]
pub(super) enum Phase {
    Idle,
    Pausing {
        fetch: Fetch,
        pause: Interval,
    },
    Asking {
        fetch: Fetch,
        call: CallId,
        stage: Stage,
        patience: Interval,
    },
}

/// One fetch with all its tries.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fetch {
    /// Whether requests have asked for it.
    is_wanted: bool,
    /// When its last try began.
    began_at: u64,
    failed_tries: u32,
    /// Whether a connection was lost, after which another try was made at once.
    has_reconnected: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    Document,
    Keys,
}

impl KeyRefresh {
    /// Takes the answer to a call; `false` when the call was not this source's.
    pub(in crate::keys) fn answered(
        &mut self,
        host: &impl BackgroundHost,
        answered: CallId,
        outcome: &CallOutcome,
    ) -> bool {
        let Phase::Asking {
            fetch, call, stage, ..
        } = self.phase
        else {
            return false;
        };
        if call != answered {
            return false;
        }
        self.phase = Phase::Idle;
        match self.read(stage, outcome) {
            Ok(Usable::KeysAreAt(url)) => self.ask(host, fetch, Stage::Keys, &url),
            Ok(Usable::Keys(fetched)) => self.succeed(host, fetch, fetched),
            Err(error) if error.is_broken_connection() && !fetch.has_reconnected => {
                let has_reconnected = true;
                let fetch = Fetch {
                    has_reconnected,
                    ..fetch
                };
                self.begin(host, fetch);
            }
            Err(error) => self.try_again(host, fetch, &error),
        }
        true
    }

    /// Begins a try, from the start: the document may lead elsewhere by now, and requests may have
    /// asked for other keys since.
    pub(super) fn begin(&mut self, host: &impl BackgroundHost, fetch: Fetch) {
        let now = host.now_milliseconds();
        let fetch = Fetch {
            is_wanted: fetch.is_wanted || self.is_wanted(host, now),
            began_at: now,
            ..fetch
        };
        let (stage, url) = match &self.settings.source {
            RemoteSource::JwkSet(url) => (Stage::Keys, url),
            RemoteSource::Discovery { document, .. } => (Stage::Document, document),
        };
        let url = url.clone();
        self.ask(host, fetch, stage, &url);
    }

    fn ask(&mut self, host: &impl BackgroundHost, fetch: Fetch, stage: Stage, url: &Url) {
        let mut headers = vec![("accept", "application/json".to_owned())];
        if fetch.is_wanted {
            // A cache on the way may hold the very set that lacks the key (RFC 9111 section 5.2.1.4).
            headers.push(("cache-control", "no-cache".to_owned()));
        }
        let call = Call {
            cluster: self.settings.cluster.clone(),
            method: "GET",
            authority: url.authority.clone(),
            path: url.path.clone(),
            headers,
            body: None,
            timeout: self.settings.timeout,
        };
        let patience = self.settings.timeout.saturating_add(GRACE);
        match host.call(&call) {
            Ok(call) => {
                self.phase = Phase::Asking {
                    fetch,
                    call,
                    stage,
                    patience: Interval::new(host.now_milliseconds(), patience),
                };
            }
            Err(_) => self.try_again(host, fetch, &FetchError::NotSent(call.cluster)),
        }
    }

    fn read<'o>(&self, stage: Stage, outcome: &'o CallOutcome) -> Result<Usable<'o>, FetchError> {
        let (status, headers, body) = match outcome {
            CallOutcome::Failed => return Err(FetchError::NoAnswer),
            CallOutcome::Answered {
                status,
                headers,
                body,
            } => (*status, headers, body),
        };
        if status != 200 {
            return Err(FetchError::Status(status));
        }
        match (stage, &self.settings.source) {
            (Stage::Document, RemoteSource::Discovery { document, issuer }) => {
                let url = discovery::jwk_set_url(body, issuer, document)?;
                Ok(Usable::KeysAreAt(url))
            }
            _ => Ok(Usable::Keys(Fetched {
                keys: self.settings.read(body)?,
                set: body,
                lifetime: freshness::lifetime(headers, self.settings.cache_duration),
            })),
        }
    }

    fn succeed(&mut self, host: &impl BackgroundHost, fetch: Fetch, fetched: Fetched<'_>) {
        let now = host.now_milliseconds();
        let lifetime = milliseconds(fetched.lifetime);
        self.published.began_at = fetch.began_at;
        self.finish(now, fetch);
        self.published.failures = 0;
        self.published.fetched_at = now;
        self.published.expires_at = now.saturating_add(lifetime);
        self.published.next_at = now.saturating_add(ahead_of(lifetime, host.random()));
        self.counts.fetched += 1;
        if self.published.complaint.take().is_some() {
            host.info(&format!("keys of {}: fetched again", self.label));
        }
        if self.published.set != fetched.set {
            fetched.set.clone_into(&mut self.published.set);
            self.adopt(host, fetched.keys);
        }
        self.publish(host);
    }

    pub(super) fn try_again(
        &mut self,
        host: &impl BackgroundHost,
        fetch: Fetch,
        error: &FetchError,
    ) {
        let now = host.now_milliseconds();
        let retries = self.settings.retries;
        let failed_tries = fetch.failed_tries.saturating_add(1);
        if failed_tries <= retries.number {
            let (first, longest) = (retries.base_interval, retries.max_interval);
            let pause = backoff::wait(first, longest, failed_tries, host.random());
            let fetch = Fetch {
                failed_tries,
                ..fetch
            };
            let pause = Interval::new(now, pause);
            self.phase = Phase::Pausing { fetch, pause };
            return;
        }
        self.phase = Phase::Idle;
        self.finish(now, fetch);
        self.published.failures = self.published.failures.saturating_add(1);
        let (first, failures) = (self.settings.failed_refetch, self.published.failures);
        let pause = backoff::wait(first, LONGEST_PAUSE, failures, host.random());
        self.published.next_at = now.saturating_add(milliseconds(pause));
        self.counts.failed += 1;
        self.complain(host, now, error);
        self.publish(host);
        // The cause may lie in this worker. The pause until the next fetch holds for all of them.
        if self.published.failures.is_multiple_of(FAILURES_PER_LEADER) {
            self.lease.stand_back(host, now, host.random());
        }
    }

    /// Logs why the source gives no keys, and what follows from that, unless the log says the same
    /// already. Another leader may have written it, so what it says is published with the keys.
    fn complain(&mut self, host: &impl BackgroundHost, now: u64, error: &FetchError) {
        let has_keys = self.keys(now).is_some();
        let complaint = NonZeroU32::new(error.kind() << 1 | u32::from(has_keys));
        if self.published.complaint == complaint {
            return;
        }
        self.published.complaint = complaint;
        let consequence = if has_keys {
            "the last good ones stay in force"
        } else {
            "there are none"
        };
        host.warn(&format!("keys of {}: {error}; {consequence}", self.label));
    }

    fn finish(&mut self, now: u64, fetch: Fetch) {
        self.published.set_back_to(now);
        self.published.finished_at = now.max(1);
        if fetch.is_wanted {
            self.published.spend(now);
            self.counts.refetched += 1;
        }
    }
}

/// What an answer of the source is good for.
enum Usable<'o> {
    KeysAreAt(Url),
    Keys(Fetched<'o>),
}

/// A usable set.
struct Fetched<'o> {
    keys: KeySet,
    /// As it was fetched.
    set: &'o [u8],
    /// How long it is fresh.
    lifetime: Duration,
}

/// When to refresh a set that is fresh for so long: after 80 to 90 % of it, as `random` says, so
/// that edges that started together do not stay together.
fn ahead_of(lifetime: u64, random: u64) -> u64 {
    let tenth = lifetime / 10;
    let ahead = lifetime - tenth - random % (tenth + 1);
    ahead.max(milliseconds(SHORTEST_REFRESH))
}
