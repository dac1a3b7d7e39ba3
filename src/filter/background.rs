//! [`BackgroundHost`] over Envoy's host calls.

use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{BufferType, MapType};

use super::raw;
use crate::host::{
    BackgroundHost, Call, CallHost, CallId, CallOutcome, Expected, HeaderLine, Shared, SharedData,
};
use crate::revocation::{MAX_BATCH_BYTES, SEGMENT_BYTES};
use crate::token::MAX_JWK_SET_BYTES;

/// Most bytes of an answer that are copied into the virtual machine: enough to see that it is
/// longer than anything that is read here. The longest is a segment or batch of the feed.
const MAX_BODY_BYTES: usize = MAX_BATCH_BYTES + 1;

const _: () = assert!(SEGMENT_BYTES < MAX_BODY_BYTES && MAX_JWK_SET_BYTES < MAX_BODY_BYTES);

/// A version that no value ever has: the host counts from 1, so that a value with it would have
/// been written four billion times. The host compares versions only where there is a value.
const NO_VERSION: u32 = u32::MAX;

/// What the root context of a virtual machine may do at any time.
pub(super) struct Background;

impl SharedData for Background {
    fn shared(&self, key: &str) -> Option<Shared> {
        let (bytes, version) = hostcalls::get_shared_data(key).ok()?;
        Some(Shared {
            version: version?,
            // An empty value is told as none.
            bytes: bytes.unwrap_or_default(),
        })
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        let version = match expected {
            Expected::Anything => None,
            Expected::Absent => Some(NO_VERSION),
            Expected::Version(version) => Some(version),
        };
        hostcalls::set_shared_data(key, Some(value), version).is_ok()
    }
}

impl CallHost for Background {
    fn call(&self, call: &Call) -> Option<CallId> {
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
        let sent =
            hostcalls::dispatch_http_call(&call.cluster, headers, body, Vec::new(), call.timeout);
        sent.ok().map(CallId)
    }
}

impl BackgroundHost for Background {
    fn now_milliseconds(&self) -> u64 {
        now().unwrap_or(0)
    }

    fn random(&self) -> u64 {
        raw::random().unwrap_or_else(nanoseconds)
    }

    fn warn(&self, message: &str) {
        log::warn!("{message}");
    }

    fn info(&self, message: &str) {
        log::info!("{message}");
    }
}

/// Milliseconds since the epoch, if the host has a clock.
pub(super) fn now() -> Option<u64> {
    let now = hostcalls::get_current_time().ok()?;
    let elapsed = now.duration_since(UNIX_EPOCH).ok()?;
    u64::try_from(elapsed.as_millis()).ok()
}

/// What stands in for a random number should the host have none: enough to tell virtual machines
/// and questions apart and to spread calls, but no secret.
fn nanoseconds() -> u64 {
    let now = hostcalls::get_current_time().ok();
    let since_epoch = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
    since_epoch.map_or(0, |elapsed| elapsed.subsec_nanos().into())
}

/// The answer that `on_http_call_response` was called about.
pub(super) fn call_outcome(body_size: usize) -> CallOutcome {
    let lines = hostcalls::get_map_bytes(MapType::HttpCallResponseHeaders).unwrap_or_default();
    let (pseudo, headers): (Vec<HeaderLine>, Vec<_>) = lines
        .into_iter()
        .partition(|(name, _)| name.starts_with(':'));
    let status = pseudo.iter().find(|(name, _)| name == ":status");
    let status = status.and_then(|(_, value)| str::from_utf8(value).ok()?.parse().ok());
    let Some(status) = status else {
        return CallOutcome::Failed;
    };
    let body = match body_size.min(MAX_BODY_BYTES) {
        0 => None,
        size => hostcalls::get_buffer(BufferType::HttpCallResponseBody, 0, size)
            .ok()
            .flatten(),
    };
    CallOutcome::Answered {
        status,
        headers,
        body: body.unwrap_or_default(),
    }
}
