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
mod console;
mod copy;
mod crash;
mod database;
mod database_tls;
mod disk;
mod edges;
mod failover;
mod feed;
mod import;
mod interface;
#[path = "../support/jwks_server.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod jwks_server;
#[path = "../support/keys.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod keys;
mod load;
mod loss;
mod member;
mod network;
mod oauth;
mod own_sessions;
#[path = "../support/patience.rs"]
mod patience;
mod pooler;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "the tests of the engine need more of it")]
mod postgres;
#[path = "../support/process.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod process;
#[path = "../support/redis.rs"]
#[allow(dead_code, reason = "the bench needs more of it")]
mod redis;
mod replicas;
mod secrets;
mod session_policy;
mod sessions;
mod shared_sessions;
mod sign_out;
mod signals;
#[path = "../support/status_list.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod status_list;
mod status_lists;
mod streams;
mod suspicion;
#[path = "../support/theft.rs"]
mod theft;
#[path = "../support/token.rs"]
#[allow(dead_code, reason = "the tests in Envoy need more of it")]
mod token;
#[path = "../support/transmitter.rs"]
mod transmitter;
#[path = "../support/way.rs"]
mod way;
