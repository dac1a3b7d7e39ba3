//! The real `portcullis.wasm` in a real Envoy, with an upstream that reports what it received.
//!
//! `./build.sh test envoy` builds what these tests need and runs them. Every test has an Envoy of
//! its own on free ports, so all of them run side by side, and none is left when they end.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

#[path = "../support/mod.rs"]
mod support;

mod activity;
mod applications;
mod attacks;
mod configuration;
mod console;
mod cookies;
mod cors;
mod dpop;
mod fallback;
mod inputs;
mod istio;
mod metrics;
mod native;
mod new_keys;
mod oauth;
mod observability;
mod pasted;
mod path;
mod possession;
mod providers;
mod refusals;
mod remote_keys;
mod revocation;
mod robustness;
mod routes;
mod session_headers;
mod shared_data;
mod sign_out;
mod streams;
mod tls;
mod trailers;
mod vectors;
mod verdicts;
mod watching;
