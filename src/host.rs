//! What the gate needs from its host, as traits.
//!
//! Everything that decides is written against these traits and does not know that it runs in Envoy.
//! The proxy-wasm glue implements them over the host's calls; `mock::MockHost` does so for tests.

mod header_block;
#[cfg(any(test, fuzzing))]
pub mod mock;
#[cfg(any(test, fuzzing))]
pub mod mock_background;

use std::fmt;
use std::time::Duration;

pub use header_block::HeaderBlock;

use crate::outcome::Outcome;

/// The host's answer to `verify_signature`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ForeignAnswer {
    /// The signature is the key's.
    Genuine,
    /// It is not, or key or signature are malformed. Final.
    Forged,
    /// There is none: the host has no such function, or is not asked.
    Unavailable,
}

impl ForeignAnswer {
    /// Whether the signature is the key's; `verify` finds that out if the host does not.
    pub(crate) fn is_genuine_or_else(self, verify: impl FnOnce() -> bool) -> bool {
        match self {
            Self::Genuine => true,
            Self::Forged => false,
            Self::Unavailable => verify(),
        }
    }
}

/// A host that may be able to check signatures faster than the module itself.
pub trait SignatureHost {
    /// Calls the foreign function `verify_signature` with an encoded `VerifySignatureArguments`.
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer;
}

/// One header line: its name in lower case and its bytes, which need not be UTF-8.
pub type HeaderLine = (String, Vec<u8>);

/// An answer that is sent to the client instead of the upstream's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Response {
    /// HTTP status.
    pub status: u16,
    /// Status for gRPC clients, who do not look at the HTTP status.
    pub grpc_status: Option<u8>,
    /// Headers besides `:status`.
    pub headers: HeaderBlock,
    /// Body.
    pub body: Vec<u8>,
    /// What the host's access log shows as the cause of the answer. Not sent to the client.
    pub details: String,
}

/// The prefix of all keys in shared data. The number changes with the meaning of the records: a
/// process may run two versions of the gate for a while, and each has to find only its own.
pub const KEY_PREFIX: &str = "portcullis/9/";

/// A value in shared data, and its version for compare-and-swap.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SharedValue {
    /// The bytes. Other plugins may write into the same space: untrusted.
    pub bytes: Vec<u8>,
    /// Changes with every write of this key; never 0.
    pub version: u32,
}

/// What has to be there for a write to succeed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Whatever is there is replaced.
    Anything,
    /// Nothing is there yet.
    Absent,
    /// The value is still the one that was read with this version.
    Version(u32),
}

/// Memory that all virtual machines of one process share.
pub trait SharedData {
    /// The value of a key.
    fn shared(&self, key: &str) -> Option<SharedValue>;

    /// Writes a value if what is expected is there; says whether it was.
    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool;
}

/// An HTTP request of the edge's own to a named cluster.
#[derive(Clone, PartialEq, Eq)]
pub struct Call {
    /// Name of the cluster in Envoy's configuration.
    pub cluster: String,
    /// `GET` or `POST`.
    pub method: &'static str,
    /// `:authority`.
    pub authority: String,
    /// `:path`, with the query.
    pub path: String,
    /// Further headers.
    pub headers: Vec<(&'static str, String)>,
    /// Body, if it has one.
    pub body: Option<Vec<u8>>,
    /// How long the host waits for the whole answer.
    pub timeout: Duration,
}

/// Without headers and body, which may have a credential or a user's token in them.
impl fmt::Debug for Call {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Call")
            .field("cluster", &self.cluster)
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}

/// Identifies a call until it has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CallId(pub u32);

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallOutcome {
    /// An answer came, whatever its status.
    Answered {
        /// HTTP status.
        status: u16,
        /// Header lines without pseudo headers.
        headers: Vec<HeaderLine>,
        /// The whole body. Untrusted.
        body: Vec<u8>,
    },
    /// No answer: no connection, a time-out, a reset.
    Failed,
}

/// Why a call was not sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotSent {
    /// The host knows no cluster of this name.
    NoCluster,
    /// The cluster has no endpoint.
    NoEndpoint,
}

/// A host that can call other servers.
pub trait CallHost {
    /// Sends a call.
    ///
    /// # Errors
    ///
    /// [`NotSent`] when the host refuses it at once.
    fn call(&self, call: &Call) -> Result<CallId, NotSent>;
}

/// What work outside of requests may ask of the host, on every tick.
pub trait BackgroundHost: SharedData + CallHost {
    /// Milliseconds since the epoch.
    fn now_milliseconds(&self) -> u64;

    /// An unpredictable number.
    fn random(&self) -> u64;

    /// What the operator calls the process; empty where the host has no name for it.
    fn instance(&self) -> Vec<u8> {
        Vec::new()
    }

    /// Logs at warning level.
    fn warn(&self, message: &str);

    /// Logs at info level.
    fn info(&self, message: &str);
}

/// What one request may ask of the host.
pub trait Host: SignatureHost + SharedData {
    /// The time now, in milliseconds since the epoch. A host without a clock says that it is the
    /// end of time: every token has expired then, which is the safe side.
    fn now_milliseconds(&self) -> u64;

    /// An unpredictable number.
    fn random(&self) -> u64;

    /// Whether the host has failed at anything that it was asked to do for this request: to show
    /// its headers or a property, or to change a header. What was decided does not count then.
    fn has_failed(&self) -> bool {
        false
    }

    /// Every header line of the request, pseudo headers and repeated ones included, in order.
    fn request_headers(&self) -> HeaderBlock;

    /// Removes every line with this name.
    fn remove_request_header(&self, name: &str);

    /// Sets a header, replacing every line with this name.
    fn set_request_header(&self, name: &str, value: &[u8]);

    /// A property of the request by its path (`["xds", "route_name"]`), as the host writes it: text
    /// as its bytes. `None` when it is absent; empty when it is there without bytes, as `null` in
    /// metadata is.
    fn property(&self, path: &[&str]) -> Option<Vec<u8>>;

    /// Writes into the filter state of the request, where access logs find it.
    fn set_filter_state(&self, name: &str, value: &[u8]);

    /// Answers the client; the request goes no further.
    fn respond(&self, response: &Response);

    /// Counts a request with this outcome, for the provider with this index if its token decided.
    fn count(&self, outcome: Outcome, provider: Option<usize>);

    /// Runs the verification of a signature, and may measure how long it takes.
    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        verification()
    }

    /// Logs at debug level; `message` is only made when that level is on.
    fn debug(&self, message: impl FnOnce() -> String);
}
