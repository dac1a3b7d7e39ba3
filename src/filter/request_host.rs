//! [`Host`] over Envoy's host calls, for the request that is in effect.

use proxy_wasm::hostcalls;
use proxy_wasm::types::{LogLevel, MapType, Status};

use super::background::{self, Background};
use super::metrics::Metrics;
use super::raw;
use crate::host::{
    BackgroundHost as _, Counter, Expected, ForeignAnswer, HeaderBlock, Host, Response, Shared,
    SharedData, SignatureHost,
};

/// `verify_signature` of Envoy (`source/extensions/common/wasm/foreign.cc`).
pub(super) struct EnvoySignatures;

impl SignatureHost for EnvoySignatures {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        /// Field 1 of `VerifySignatureResult`, a boolean, set. A false one is left out.
        const GENUINE: &[u8] = &[0x08, 0x01];
        match hostcalls::call_foreign_function("verify_signature", Some(arguments)) {
            Ok(Some(result)) if result.starts_with(GENUINE) => ForeignAnswer::Genuine,
            Ok(_) | Err(Status::BadArgument) => ForeignAnswer::Forged,
            Err(_) => ForeignAnswer::Unavailable,
        }
    }
}

pub(super) struct RequestHost<'m> {
    pub(super) metrics: &'m Metrics,
}

impl SignatureHost for RequestHost<'_> {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        EnvoySignatures.verify_signature(arguments)
    }
}

impl SharedData for RequestHost<'_> {
    fn shared(&self, key: &str) -> Option<Shared> {
        Background.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        Background.set_shared(key, value, expected)
    }
}

impl Host for RequestHost<'_> {
    fn now_milliseconds(&self) -> u64 {
        background::now().unwrap_or(u64::MAX)
    }

    fn random(&self) -> u64 {
        Background.random()
    }

    fn request_headers(&self) -> HeaderBlock {
        raw::header_block(MapType::HttpRequestHeaders)
    }

    // Envoy's header maps of a request that is being decoded can always be edited; the only
    // error there is means that the stream is gone, and then nobody reads the header.
    fn remove_request_header(&self, name: &str) {
        let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value));
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        raw::property(path)
    }

    // Fails when the stream is gone, and then there is no access log to write for it, or when
    // another filter owns the name.
    fn set_filter_state(&self, name: &str, value: &[u8]) {
        raw::set_property(name, value);
    }

    fn respond(&self, response: &Response) {
        // Fails when the client is gone.
        raw::send_local_response(
            response.status,
            &response.details,
            &response.body,
            &response
                .headers
                .iter()
                .map(|(name, value)| (name, value))
                .collect(),
            response.grpc_status,
        );
    }

    fn increment(&self, counter: Counter, provider: Option<&str>) {
        self.metrics.count_request(counter, provider);
    }

    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        self.metrics.timed(verification)
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        let level = hostcalls::get_log_level().unwrap_or(LogLevel::Info);
        if matches!(level, LogLevel::Trace | LogLevel::Debug) {
            log::debug!("{}", message());
        }
    }
}
