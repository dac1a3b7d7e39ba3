//! A filter that takes single steps of Portcullis, inside Envoy's V8, as often as a request says,
//! and answers with the nanoseconds that one took.
//!
//! `/` names the steps, one a line; `/NUMBER/MILLISECONDS` takes the one with this number for at
//! least so long. A step that does not do its work ends the virtual machine, and with it the
//! measurement.
//!
//! What is measured is the library as the filter has it, for the same target and with the same
//! options, and that library brings its own filter along. It has set itself up in `_initialize`
//! when Envoy calls `main`, which puts this one in its place.

#![allow(missing_docs, reason = "the SDK exports functions without any")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "a measurement that does not work ends at once"
)]

#[cfg(target_os = "wasi")]
mod filter;
#[cfg(target_os = "wasi")]
mod given;
#[cfg(target_os = "wasi")]
mod host_calls;
#[cfg(target_os = "wasi")]
mod libraries;
#[cfg(target_os = "wasi")]
#[path = "../../pairs.rs"]
mod pairs;
#[cfg(target_os = "wasi")]
mod parts;
#[cfg(target_os = "wasi")]
mod requests;
#[cfg(target_os = "wasi")]
#[path = "../../silent_host.rs"]
#[allow(dead_code, reason = "the steps in native code need more of it")]
mod silent_host;
#[cfg(target_os = "wasi")]
mod step;
