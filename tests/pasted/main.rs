//! What a reader of the documents pastes into a shell.

#![allow(
    unused_imports,
    reason = "the support of the Envoy tests, of which a part is needed"
)]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod shell_blocks;
#[path = "../support/mod.rs"]
mod support;
