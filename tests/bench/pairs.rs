//! The host call for all header lines of a request, without what the SDK makes of them.

#![allow(
    unsafe_code,
    reason = "the SDK would make two strings of every header line"
)]

use proxy_wasm::types::MapType;

#[link(wasm_import_module = "env")]
unsafe extern "C" {
    fn proxy_get_header_map_pairs(
        map: MapType,
        return_data: *mut *mut u8,
        return_size: *mut usize,
    ) -> u32;
}

/// All header lines of the request as the host writes them; nothing when it gives none.
pub(crate) fn request_headers() -> Vec<u8> {
    let mut data = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the host writes both, or neither.
    let result = unsafe {
        proxy_get_header_map_pairs(MapType::HttpRequestHeaders, &raw mut data, &raw mut size)
    };
    if result != 0 || data.is_null() {
        return Vec::new();
    }
    // SAFETY: the SDK has made a boxed slice of exactly this size for the host, and nothing else
    // holds it.
    unsafe { Box::from_raw(std::ptr::slice_from_raw_parts_mut(data, size)) }.into_vec()
}
