//! Every host call but one, with an error for whatever the host may answer.
//!
//! The SDK's own functions panic when the host answers with a status that they do not expect, as
//! `remove_map_value` and `set_map_value_bytes` do for every error: the worker would lose its
//! virtual machine to a request that was reset meanwhile. So they are not called (`.clippy.toml`
//! bans them), except for `dispatch_http_call`, without which the SDK would not know which context
//! to tell of the answer. It expects what Envoy answers: that the cluster is unknown, or that the
//! call could not be sent.
//!
//! The only module with unsafe code. Every function hands the host pointers into slices that
//! outlive the call, with their lengths; the host copies from them and keeps none (proxy-wasm ABI
//! 0.2.1, WASI preview 1).

#![allow(unsafe_code, reason = "a call to the host is one")]

use std::time::Duration;

use proxy_wasm::types::{BufferType, LogLevel, MapType, MetricType, StreamType};

use crate::host::HeaderBlock;

/// A status of the host (`WasmResult`).
pub(super) type Status = u32;

/// The result of a host call.
pub(super) type Result<T = ()> = std::result::Result<T, Status>;

/// `WasmResult::Ok`.
const OK: Status = 0;

/// `WasmResult::NotFound`.
const NOT_FOUND: Status = 1;

/// `WasmResult::BadArgument`.
pub(super) const BAD_ARGUMENT: Status = 2;

/// `WasmResult::SerializationFailure`.
const SERIALIZATION_FAILURE: Status = 3;

/// `WasmResult::ParseFailure`: what the host has handed over is malformed.
const PARSE_FAILURE: Status = 4;

/// What the host takes for "no gRPC status".
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_log(level: LogLevel, message: *const u8, size: usize) -> Status;

    fn proxy_get_log_level(return_level: *mut u32) -> Status;

    fn proxy_get_current_time_nanoseconds(return_time: *mut u64) -> Status;

    fn proxy_set_tick_period_milliseconds(period: u32) -> Status;

    fn proxy_get_buffer_bytes(
        buffer: BufferType,
        start: usize,
        size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> Status;

    fn proxy_get_header_map_pairs(
        map: MapType,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> Status;

    fn proxy_remove_header_map_value(map: MapType, name: *const u8, name_size: usize) -> Status;

    fn proxy_replace_header_map_value(
        map: MapType,
        name: *const u8,
        name_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;

    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> Status;

    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> Status;

    fn proxy_get_shared_data(
        key: *const u8,
        key_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
        return_version: *mut u32,
    ) -> Status;

    fn proxy_set_shared_data(
        key: *const u8,
        key_size: usize,
        value: *const u8,
        value_size: usize,
        version: u32,
    ) -> Status;

    fn proxy_set_effective_context(context: u32) -> Status;

    fn proxy_continue_stream(stream: StreamType) -> Status;

    fn proxy_close_stream(stream: StreamType) -> Status;

    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> Status;

    fn proxy_call_foreign_function(
        name: *const u8,
        name_size: usize,
        arguments: *const u8,
        arguments_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> Status;

    fn proxy_define_metric(
        kind: MetricType,
        name: *const u8,
        name_size: usize,
        return_id: *mut u32,
    ) -> Status;

    fn proxy_increment_metric(id: u32, by: i64) -> Status;

    fn proxy_record_metric(id: u32, value: u64) -> Status;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

/// Writes into the host's log, which drops messages below its level.
pub(super) fn log(level: LogLevel, message: &str) {
    // SAFETY: see the module.
    let _ = unsafe { proxy_log(level, message.as_ptr(), message.len()) };
}

/// Whether the host's log takes messages at debug level.
pub(super) fn is_debugging() -> bool {
    let mut level = LogLevel::Info as u32;
    // SAFETY: the host writes one number.
    let result = unsafe { proxy_get_log_level(&raw mut level) };
    result == OK && level <= LogLevel::Debug as u32
}

/// Nanoseconds since the epoch.
pub(super) fn now() -> Result<u64> {
    let mut now = 0;
    // SAFETY: the host writes one number.
    let result = unsafe { proxy_get_current_time_nanoseconds(&raw mut now) };
    done(result).map(|()| now)
}

/// Sets how often the plugin's own context is called.
pub(super) fn set_tick_period(period: Duration) -> Result {
    let period = u32::try_from(period.as_millis()).unwrap_or(u32::MAX);
    // SAFETY: no pointers.
    done(unsafe { proxy_set_tick_period_milliseconds(period) })
}

/// The beginning of a buffer, at most `size` bytes.
pub(super) fn buffer(buffer: BufferType, size: usize) -> Result<Vec<u8>> {
    // SAFETY: see `returned`.
    returned(|data, length| unsafe { proxy_get_buffer_bytes(buffer, 0, size, data, length) })
}

/// Every line of a header map. A block that is not whole is an error: the missing part may be what
/// the request has to be refused for.
pub(super) fn header_block(map: MapType) -> Result<HeaderBlock> {
    // SAFETY: see `returned`.
    let block = returned(|data, size| unsafe { proxy_get_header_map_pairs(map, data, size) })?;
    let block = HeaderBlock::from_host(block);
    if block.is_whole() {
        Ok(block)
    } else {
        Err(PARSE_FAILURE)
    }
}

/// Removes every line with this name.
pub(super) fn remove_header(map: MapType, name: &str) -> Result {
    // SAFETY: see the module.
    done(unsafe { proxy_remove_header_map_value(map, name.as_ptr(), name.len()) })
}

/// Sets a header, replacing every line with this name.
pub(super) fn set_header(map: MapType, name: &str, value: &[u8]) -> Result {
    // SAFETY: see the module.
    done(unsafe {
        proxy_replace_header_map_value(map, name.as_ptr(), name.len(), value.as_ptr(), value.len())
    })
}

/// A property by the names that lead to it; `None` when there is none. A property may be there
/// without bytes, as `null` in metadata is.
pub(super) fn property(path: &[&str]) -> Result<Option<Vec<u8>>> {
    let path = path.join("\0");
    // SAFETY: see `returned`.
    let found =
        returned(|data, size| unsafe { proxy_get_property(path.as_ptr(), path.len(), data, size) });
    match found {
        Err(SERIALIZATION_FAILURE) => Ok(Some(Vec::new())),
        found => optional(found),
    }
}

/// Writes into the filter state. The host refuses a name that another filter has made read-only.
pub(super) fn set_property(name: &str, value: &[u8]) -> Result {
    // SAFETY: see the module.
    done(unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) })
}

/// A value in shared data with its version; `None` when there is none.
pub(super) fn shared(key: &str) -> Result<Option<(Vec<u8>, u32)>> {
    let mut version = 0;
    // SAFETY: see `returned`; the host writes one number besides.
    let found = returned(|data, size| unsafe {
        proxy_get_shared_data(key.as_ptr(), key.len(), data, size, &raw mut version)
    });
    Ok(optional(found)?.map(|value| (value, version)))
}

/// Writes a value into shared data if the current one has this version; 0 stands for any.
pub(super) fn set_shared(key: &str, value: &[u8], version: u32) -> Result {
    // SAFETY: see the module.
    done(unsafe {
        proxy_set_shared_data(
            key.as_ptr(),
            key.len(),
            value.as_ptr(),
            value.len(),
            version,
        )
    })
}

/// Puts a context into effect: the calls that follow are about it. An error means that it has gone.
pub(super) fn enter(context: u32) -> Result {
    // SAFETY: no pointers.
    done(unsafe { proxy_set_effective_context(context) })
}

/// Resumes the request whose context is in effect.
pub(super) fn resume_request() -> Result {
    // SAFETY: no pointers.
    done(unsafe { proxy_continue_stream(StreamType::HttpRequest) })
}

/// Resets the stream of the request that is in effect, on both sides.
pub(super) fn close_request() -> Result {
    // SAFETY: no pointers.
    done(unsafe { proxy_close_stream(StreamType::HttpRequest) })
}

/// Answers the client. `details` is what access logs show as `%RESPONSE_CODE_DETAILS%`.
pub(super) fn send_local_response(
    status: u16,
    details: &str,
    body: &[u8],
    headers: &HeaderBlock,
    grpc_status: Option<u8>,
) -> Result {
    let headers = headers.as_ref();
    // SAFETY: see the module.
    done(unsafe {
        proxy_send_local_response(
            status.into(),
            details.as_ptr(),
            details.len(),
            body.as_ptr(),
            body.len(),
            headers.as_ptr(),
            headers.len(),
            grpc_status.map_or(NO_GRPC_STATUS, i32::from),
        )
    })
}

/// Calls a function of the host that is not part of the interface.
pub(super) fn call_foreign_function(name: &str, arguments: &[u8]) -> Result<Vec<u8>> {
    // SAFETY: see `returned`.
    returned(|data, size| unsafe {
        proxy_call_foreign_function(
            name.as_ptr(),
            name.len(),
            arguments.as_ptr(),
            arguments.len(),
            data,
            size,
        )
    })
}

/// The host's number for a metric.
pub(super) fn define_metric(kind: MetricType, name: &str) -> Result<u32> {
    let mut id = 0;
    // SAFETY: see the module; the host writes one number.
    let result = unsafe { proxy_define_metric(kind, name.as_ptr(), name.len(), &raw mut id) };
    done(result).map(|()| id)
}

/// Adds to a counter or a gauge.
pub(super) fn increment_metric(id: u32, by: i64) -> Result {
    // SAFETY: no pointers.
    done(unsafe { proxy_increment_metric(id, by) })
}

/// Sets a gauge, or adds to a histogram.
pub(super) fn record_metric(id: u32, value: u64) -> Result {
    // SAFETY: no pointers.
    done(unsafe { proxy_record_metric(id, value) })
}

/// Random bytes of the host, if it has some. The standard library offers none.
pub(super) fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    // SAFETY: see the module; the host writes `size` bytes at most.
    let result = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    (result == 0).then_some(bytes)
}

const fn done(status: Status) -> Result {
    match status {
        OK => Ok(()),
        status => Err(status),
    }
}

/// The bytes that a call hands over, through two pointers to which it writes data and size. None
/// for an empty value.
fn returned(call: impl FnOnce(*mut *mut u8, *mut usize) -> Status) -> Result<Vec<u8>> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    done(call(&raw mut data, &raw mut size))?;
    if data.is_null() {
        return Ok(Vec::new());
    }
    // SAFETY: `proxy_on_memory_allocate` has made the block, of exactly this size and as a boxed
    // slice of bytes, and it has no other owner.
    let block = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) };
    Ok(block.into_vec())
}

fn optional(found: Result<Vec<u8>>) -> Result<Option<Vec<u8>>> {
    match found {
        Ok(value) => Ok(Some(value)),
        Err(NOT_FOUND) => Ok(None),
        Err(status) => Err(status),
    }
}
