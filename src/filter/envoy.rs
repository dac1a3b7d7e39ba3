//! [`EdgeHost`] over Envoy's host calls.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, LogLevel, MapType, Status};

use super::envoy_request::EnvoyRequest;
use super::metrics::Metrics;
use super::raw;
use crate::edge::{ContextId, EdgeHost, End, Metric};
use crate::host::{
    BackgroundHost, Call, CallHost, CallId, CallOutcome, Expected, ForeignAnswer, HeaderLine,
    NotSent, SharedData, SharedValue, SignatureHost,
};
use crate::revocation::{MAX_BATCH_BYTES, SEGMENT_BYTES};
use crate::token::MAX_JWK_SET_BYTES;

/// Most bytes of an answer that are copied into the virtual machine: one more than the longest that
/// is read here, a segment or batch of the feed, so that a longer one is noticed.
const MAX_BODY_BYTES: usize = MAX_BATCH_BYTES + 1;

const _: () = assert!(SEGMENT_BYTES < MAX_BODY_BYTES && MAX_JWK_SET_BYTES < MAX_BODY_BYTES);

/// Where access logs find why a request in progress was ended:
/// `%FILTER_STATE(wasm.portcullis.stream_end:PLAIN)%`.
const STREAM_END: &str = "portcullis.stream_end";

/// A version that no value has: the host counts from 1, and would need four billion writes to reach
/// it. The host compares versions only if there is a value.
const NO_VERSION: u32 = u32::MAX;

/// Stands for any version where one is expected.
const ANY_VERSION: u32 = 0;

/// The host of one virtual machine, with the metrics of one plugin.
pub(super) struct Envoy {
    pub(super) metrics: Metrics,
}

impl SharedData for Envoy {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        let (bytes, version) = raw::shared(key).ok()??;
        (version != ANY_VERSION).then_some(SharedValue { bytes, version })
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let version = match expected {
            Expected::Anything => ANY_VERSION,
            Expected::Absent => NO_VERSION,
            Expected::Version(version) => version,
        };
        raw::set_shared(key, value, version).is_ok()
    }
}

impl CallHost for Envoy {
    fn call(&self, call: &Call) -> Result<CallId, NotSent> {
        let mut headers = vec![
            (":method", call.method),
            (":authority", call.authority.as_str()),
            (":path", call.path.as_str()),
        ];
        headers.extend(
            call.headers
                .iter()
                .map(|(name, value)| (*name, value.as_str())),
        );
        let body = call.body.as_deref();
        // The only function of the SDK that is called here, since the end of a call comes back
        // through the SDK's own table of calls. It panics on statuses that it does not expect, of
        // which Envoy gives none.
        let sent =
            hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout);
        sent.map(CallId).map_err(|status| match status {
            Status::BadArgument => NotSent::NoCluster,
            _ => NotSent::NoEndpoint,
        })
    }
}

impl BackgroundHost for Envoy {
    /// The end of time if there is no clock: then nothing counts as current.
    fn now_milliseconds(&self) -> u64 {
        const NANOSECONDS: u64 = 1_000_000;
        raw::now().map_or(u64::MAX, |now| now / NANOSECONDS)
    }

    fn random(&self) -> u64 {
        raw::random().map_or_else(nanoseconds, u64::from_le_bytes)
    }

    /// `node.id`, which an Envoy without a control plane need not have. Envoy 1.40 has it under `xds` only,
    /// older ones without.
    fn instance(&self) -> Vec<u8> {
        let of = |path| raw::property(path).ok().flatten();
        let name = of(&["xds", "node", "id"]).or_else(|| of(&["node", "id"]));
        name.unwrap_or_default()
    }

    fn warn(&self, message: &str) {
        raw::log(LogLevel::Warn, message);
    }

    fn info(&self, message: &str) {
        raw::log(LogLevel::Info, message);
    }
}

/// `verify_signature` of Envoy (`source/extensions/common/wasm/foreign.cc`).
impl SignatureHost for Envoy {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        /// Field 1 of `VerifySignatureResult`, a boolean, set. A false one is left out.
        const GENUINE: &[u8] = &[0x08, 0x01];
        match raw::call_foreign_function("verify_signature", arguments) {
            Ok(result) if result.starts_with(GENUINE) => ForeignAnswer::Genuine,
            Ok(_) | Err(raw::BAD_ARGUMENT) => ForeignAnswer::Forged,
            Err(_) => ForeignAnswer::Unavailable,
        }
    }
}

impl EdgeHost for Envoy {
    type Request<'h> = EnvoyRequest<'h>;

    fn request(&self) -> EnvoyRequest<'_> {
        EnvoyRequest::new(self)
    }

    fn enter(&self, ContextId(context): ContextId) -> bool {
        raw::enter(context).is_ok()
    }

    // Fails when the stream is gone.
    fn resume(&self) {
        let _ = raw::resume_request();
    }

    // The name fails when another filter owns it.
    fn close(&self, end: End) -> bool {
        let _ = raw::set_property(STREAM_END, end.name().as_bytes());
        raw::close_request().is_ok()
    }

    fn measure(&self, metric: Metric<'_>) {
        self.metrics.measure(metric);
    }
}

/// Stands in for a random number if the host has none: enough to tell virtual machines and checks
/// apart and to spread calls, but no secret.
fn nanoseconds() -> u64 {
    const SECOND: u64 = 1_000_000_000;
    raw::now().map_or(0, |now| now % SECOND)
}

/// The end of the call that `on_http_call_response` reports. If the host does not hand over the
/// whole answer, the call has failed.
pub(super) fn call_outcome(body_size: usize) -> CallOutcome {
    answer(body_size).unwrap_or(CallOutcome::Failed)
}

fn answer(body_size: usize) -> Option<CallOutcome> {
    let block = raw::header_block(MapType::HttpCallResponseHeaders).ok()?;
    let status = block.lines().find(|(name, _)| *name == b":status");
    let status = status.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok())?;
    let headers = block.lines().filter(|(name, _)| !name.starts_with(b":"));
    let text = |name| String::from_utf8_lossy(name).into_owned();
    let headers = headers.map(|(name, value)| (text(name), value.to_vec()));
    let headers: Vec<HeaderLine> = headers.collect();
    let body = match body_size.min(MAX_BODY_BYTES) {
        0 => Vec::new(),
        size => raw::buffer(BufferType::HttpCallResponseBody, size).ok()?,
    };
    Some(CallOutcome::Answered {
        status,
        headers,
        body,
    })
}
