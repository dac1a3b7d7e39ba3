//! What the edge needs of the virtual machine's host.

use super::streams::{End, StreamCounts};
use crate::gate::{ActivityCounts, CacheCounts, CheckOutcome};
use crate::host::{BackgroundHost, HeaderBlock, Host, SignatureHost};
use crate::keys::{Counts, Sight};
use crate::revocation::{FeedState, Fill};
use crate::sync::FeedCounts;

/// Names a context of the host: a request, or the plugin itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ContextId(pub u32);

/// A virtual machine's host, with requests that can be held and sent on.
///
/// What concerns a request concerns the one whose context is in effect: the context that the host
/// has called, until another one is entered.
pub trait EdgeHost: BackgroundHost + SignatureHost {
    /// The host for the request whose context is in effect.
    type Request<'h>: RequestHost
    where
        Self: 'h;

    /// The host for the request whose context is in effect.
    fn request(&self) -> Self::Request<'_>;

    /// Puts a context into effect. `false` when it has gone: then its request must not be touched.
    #[must_use]
    fn enter(&self, context: ContextId) -> bool;

    /// Resumes the request whose context is in effect, which was held.
    fn resume(&self);

    /// Ends the request whose context is in effect, which is in progress, on both sides. Its access
    /// log says why. `false` where the host does not let the filter do so.
    #[must_use]
    fn close(&self, end: End) -> bool;

    /// Takes what was counted or measured outside of requests.
    fn measure(&self, metric: Metric<'_>);
}

/// The host of one request that may have trailers.
pub trait RequestHost: Host {
    /// Every line of the trailers.
    fn trailers(&self) -> HeaderBlock;

    /// Removes every line of the trailers with this name.
    fn remove_trailer(&self, name: &str);
}

/// Something that was counted or measured outside of requests.
#[derive(Clone, Copy, Debug)]
pub enum Metric<'m> {
    /// Fetches of a provider's keys since the last time.
    Fetches {
        /// Its index.
        provider: usize,
        /// How many.
        counts: Counts,
    },
    /// The state of a provider's keys.
    Keys {
        /// Its index.
        provider: usize,
        /// As the leader for these keys sees them.
        sight: Sight,
    },
    /// What the feed has brought up to now.
    FeedCounts {
        /// The counts of the last time.
        before: &'m FeedCounts,
        /// The counts now.
        now: &'m FeedCounts,
    },
    /// The state of the feed.
    Feed {
        /// What is held.
        state: Option<&'m FeedState>,
        /// How full the records are, if that is known.
        fill: Option<Fill>,
        /// Milliseconds since the authority was last heard.
        staleness: u64,
    },
    /// Look-ups of verified tokens since the last time, and how many there are now.
    Cache(CacheCounts),
    /// How a check ended, for one of the requests that waited for it.
    Check(&'m CheckOutcome),
    /// Requests in progress that were ended since the last time, and how many there are now.
    Streams(StreamCounts),
    /// What was reported of sessions in use since the last time, and how many there are now.
    Activity(ActivityCounts),
}
