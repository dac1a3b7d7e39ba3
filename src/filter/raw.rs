//! Host calls that the SDK does not offer in the form that is needed here.
//!
//! The only module with unsafe code. Every function hands the host pointers into slices that
//! outlive the call, with their lengths; the host copies from them and keeps none (proxy-wasm ABI
//! 0.2.1, WASI preview 1).

#![allow(
    unsafe_code,
    reason = "a call to the host is one, and the SDK lacks these"
)]

use proxy_wasm::types::MapType;

use crate::host::HeaderBlock;

/// `WasmResult::Ok`.
const OK: u32 = 0;

/// `WasmResult::NotFound`.
const NOT_FOUND: u32 = 1;

/// What the host takes for "no gRPC status".
const NO_GRPC_STATUS: i32 = -1;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_send_local_response(
        status: u32,
        details: *const u8,
        details_size: usize,
        body: *const u8,
        body_size: usize,
        headers: *const u8,
        headers_size: usize,
        grpc_status: i32,
    ) -> u32;

    fn proxy_get_header_map_pairs(
        map: MapType,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;

    fn proxy_get_property(
        path: *const u8,
        path_size: usize,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;

    fn proxy_set_property(
        path: *const u8,
        path_size: usize,
        value: *const u8,
        value_size: usize,
    ) -> u32;
}

#[link(wasm_import_module = "wasi_snapshot_preview1")]
unsafe extern "C" {
    fn random_get(buffer: *mut u8, size: usize) -> u16;
}

/// Every line of the request's headers or trailers. The SDK's own function makes two strings of
/// each, and panics for names that are not UTF-8.
pub(super) fn header_block(map: MapType) -> HeaderBlock {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the host writes both, or neither.
    let result = unsafe { proxy_get_header_map_pairs(map, &raw mut data, &raw mut size) };
    if result != OK || data.is_null() {
        return HeaderBlock::default();
    }
    // SAFETY: the host has had `proxy_on_memory_allocate` make a block of exactly this size, which
    // nobody else holds: the SDK makes it as a boxed slice of bytes.
    let block = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) };
    HeaderBlock::from_host(block.into_vec())
}

/// Answers the client. The SDK's own function leaves out `details`, which access logs show as
/// `%RESPONSE_CODE_DETAILS%`.
pub(super) fn send_local_response(
    status: u16,
    details: &str,
    body: &[u8],
    headers: &HeaderBlock,
    grpc_status: Option<u8>,
) -> bool {
    let headers = headers.as_ref();
    // SAFETY: see the module.
    let result = unsafe {
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
    };
    result == OK
}

/// A property of the request. One that has no bytes is there all the same: `null` in metadata, for
/// instance, which the SDK's own function does not tell from none.
pub(super) fn property(path: &[&str]) -> Option<Vec<u8>> {
    let path = path.join("\0");
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: see the module; the host writes both `data` and `size`, or neither.
    let result =
        unsafe { proxy_get_property(path.as_ptr(), path.len(), &raw mut data, &raw mut size) };
    if result == NOT_FOUND {
        return None;
    }
    if result != OK || data.is_null() {
        return Some(Vec::new());
    }
    // SAFETY: as in `header_block`.
    let value = unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) };
    Some(value.into_vec())
}

/// Writes into the filter state. The SDK's own function panics when the host refuses, as it does
/// for a name that another filter has made read-only.
pub(super) fn set_property(name: &str, value: &[u8]) -> bool {
    // SAFETY: see the module.
    let result =
        unsafe { proxy_set_property(name.as_ptr(), name.len(), value.as_ptr(), value.len()) };
    result == OK
}

/// A random number of the host, if it gives one. The standard library offers none.
pub(super) fn random() -> Option<u64> {
    let mut bytes = [0; 8];
    // SAFETY: see the module; the host writes `size` bytes at most.
    let result = unsafe { random_get(bytes.as_mut_ptr(), bytes.len()) };
    (result == 0).then(|| u64::from_le_bytes(bytes))
}
