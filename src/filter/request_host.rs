//! [`Host`] over Envoy's host calls, for the request that is in effect.

use std::cell::Cell;

use proxy_wasm::types::{LogLevel, MapType};

use super::background::{self, Background};
use super::metrics::Metrics;
use super::raw;
use crate::gate::Outcome;
use crate::host::{
    BackgroundHost as _, Expected, ForeignAnswer, HeaderBlock, Host, Response, Shared, SharedData,
    SignatureHost,
};

/// `verify_signature` of Envoy (`source/extensions/common/wasm/foreign.cc`).
pub(super) struct EnvoySignatures;

impl SignatureHost for EnvoySignatures {
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

pub(super) struct RequestHost<'m> {
    metrics: &'m Metrics,
    /// Whether a call for this request has failed.
    has_failed: Cell<bool>,
}

impl<'m> RequestHost<'m> {
    pub(super) const fn new(metrics: &'m Metrics) -> Self {
        Self {
            metrics,
            has_failed: Cell::new(false),
        }
    }

    pub(super) fn trailers(&self) -> HeaderBlock {
        self.noted(raw::header_block(MapType::HttpRequestTrailers))
    }

    pub(super) fn remove_trailer(&self, name: &str) {
        self.noted(raw::remove_header(MapType::HttpRequestTrailers, name));
    }

    /// What a call has come to, or nothing, and then it is remembered that it has failed.
    fn noted<T: Default>(&self, outcome: raw::Result<T>) -> T {
        outcome.unwrap_or_else(|_| {
            self.has_failed.set(true);
            T::default()
        })
    }
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
        self.noted(raw::header_block(MapType::HttpRequestHeaders))
    }

    fn remove_request_header(&self, name: &str) {
        self.noted(raw::remove_header(MapType::HttpRequestHeaders, name));
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        self.noted(raw::set_header(MapType::HttpRequestHeaders, name, value));
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        self.noted(raw::property(path))
    }

    fn has_failed(&self) -> bool {
        self.has_failed.get()
    }

    // Fails when the stream is gone, and then there is no access log to write for it, or when
    // another filter owns the name.
    fn set_filter_state(&self, name: &str, value: &[u8]) {
        let _ = raw::set_property(name, value);
    }

    fn respond(&self, response: &Response) {
        // Fails when the client is gone. Where it did not, the request would be held.
        let _ = raw::send_local_response(
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

    fn count(&self, outcome: Outcome, provider: Option<usize>) {
        self.metrics.count_request(outcome, provider);
    }

    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        self.metrics.timed(verification)
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        if raw::is_debugging() {
            raw::log(LogLevel::Debug, &message());
        }
    }
}
