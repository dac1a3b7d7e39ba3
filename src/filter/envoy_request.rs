//! [`RequestHost`] over Envoy's host calls, for the request that is in effect.

use std::cell::Cell;

use proxy_wasm::types::{LogLevel, MapType};

use super::envoy::Envoy;
use super::raw;
use crate::edge::RequestHost;
use crate::gate::Outcome;
use crate::host::{
    BackgroundHost as _, Expected, ForeignAnswer, HeaderBlock, Host, Response, SharedData,
    SharedValue, SignatureHost,
};

pub(super) struct EnvoyRequest<'e> {
    envoy: &'e Envoy,
    /// Whether a call for this request has failed.
    has_failed: Cell<bool>,
}

impl<'e> EnvoyRequest<'e> {
    pub(super) const fn new(envoy: &'e Envoy) -> Self {
        Self {
            envoy,
            has_failed: Cell::new(false),
        }
    }

    /// The result of a call. If the call has failed, that is remembered, and the result is empty.
    fn noted<T: Default>(&self, outcome: raw::Result<T>) -> T {
        outcome.unwrap_or_else(|_| {
            self.has_failed.set(true);
            T::default()
        })
    }
}

impl SignatureHost for EnvoyRequest<'_> {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        self.envoy.verify_signature(arguments)
    }
}

impl SharedData for EnvoyRequest<'_> {
    fn shared(&self, key: &str) -> Option<SharedValue> {
        self.envoy.shared(key)
    }

    fn set_shared(&self, key: &str, value: &[u8], expected: Expected) -> bool {
        self.envoy.set_shared(key, value, expected)
    }
}

impl Host for EnvoyRequest<'_> {
    fn now_milliseconds(&self) -> u64 {
        self.envoy.now_milliseconds()
    }

    fn random(&self) -> u64 {
        self.envoy.random()
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

    // Fails when the stream is gone, so that no access log is written for it, or when another
    // filter owns the name.
    fn set_filter_state(&self, name: &str, value: &[u8]) {
        let _ = raw::set_property(name, value);
    }

    fn respond(&self, response: &Response) {
        // Fails when the client is gone. After any other failure the request stays held.
        let _ = raw::send_local_response(
            response.status,
            &response.details,
            &response.body,
            &response.headers,
            response.grpc_status,
        );
    }

    fn count(&self, outcome: Outcome, provider: Option<usize>) {
        self.envoy.metrics.count_request(outcome, provider);
    }

    fn timed<T>(&self, verification: impl FnOnce() -> T) -> T {
        self.envoy.metrics.timed(verification)
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        if raw::is_debugging() {
            raw::log(LogLevel::Debug, &message());
        }
    }
}

impl RequestHost for EnvoyRequest<'_> {
    fn trailers(&self) -> HeaderBlock {
        self.noted(raw::header_block(MapType::HttpRequestTrailers))
    }

    fn remove_trailer(&self, name: &str) {
        self.noted(raw::remove_header(MapType::HttpRequestTrailers, name));
    }
}
