//! The authority as a real process: what it promises, under crashes, full disks and wrong callers.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a real process goes by the real clock"
)]

mod access;
mod backup;
#[path = "../support/certificate.rs"]
mod certificate;
mod clocks;
mod command_line;
mod connections;
mod crash;
mod disk;
mod feed;
mod import;
mod interface;
#[path = "../support/jwks_server.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod jwks_server;
#[path = "../support/keys.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod keys;
mod loss;
mod own_sessions;
#[path = "../support/patience.rs"]
mod patience;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod process;
mod session_policy;
mod sessions;
mod sign_out;
mod suspicion;
#[path = "../support/token.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod token;
