//! Portcullis: a gate for HTTP APIs that runs inside Envoy.
//!
//! It lets a request through only when its token is genuine and current, and tells the upstream
//! who is calling in headers that no client can forge. What lives where:
//!
//! | shared by the filter and the native binary | |
//! |---|---|
//! | [`token`] | bytes → unverified token → verified token; keys, algorithms, signatures |
//! | [`gate`] | one request: configuration → policy, rules, extraction, verdict, headers, refusals; the routes that it serves itself |
//! | [`revocation`] | what can be revoked and how it is checked: names, filter, cut-offs, the feed's formats |
//! | [`edge`] | one virtual machine at work: gate, keys, feed, requests that wait, calls and their ends, streams in progress, reports of sessions |
//! | [`keys`] | the keys of token issuers: where they come from, and keeping the local copies up to date |
//! | [`sync`] | keeping in step: who leads, the revocation feed |
//! | `backoff` | how long to wait before the next try |
//! | `identity_hash` | hash tables whose keys are hashes already |
//! | `little_endian` | reading the numbers of records and messages |
//! | `percent` | escaping what stands in a URL or a form |
//! | [`configuration`] | the strict reader: values with paths, every fault at once |
//! | `protobuf` | the wire format of messages from and for Envoy |
//! | [`namespace`] | where records are in shared data, and how they are authenticated |
//! | [`host`] | what the gate needs from its host |
//! | [`outcome`] | how a request ended, and why: what is counted |
//! | [`time`] | instants, which are always an argument |
//!
//! | WebAssembly only | |
//! |---|---|
//! | `filter` | proxy-wasm contexts ↔ [`edge`]; decides nothing |
//!
//! | native only | |
//! |---|---|
//! | `signer` | the private half of a key: what tokens are signed with, here and in the tests |
//! | `authority` | the revocation authority: store, feed, HTTP; the registry of sessions and what ends them |
//! | `cli` | the command line, one module per command |
//! | `fuzzing` | in tests and fuzz targets only: what holds for any bytes |
//!
//! Data goes one way: `filter` → [`edge`] → [`gate`] → [`keys`] → [`sync`] → [`revocation`], and all of
//! them over [`host`]. Nothing points back, and nothing shared names the proxy-wasm SDK or `tokio`.

#![cfg_attr(
    any(test, fuzzing),
    allow(
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::missing_panics_doc,
        clippy::panic,
        clippy::unwrap_used,
        reason = "a test fails by panicking; what is shipped is checked without tests as well"
    )
)]
// The filter contains no code of `Debug`: what has to be read, or told apart by it, prints itself
// in another way.
#![cfg_attr(target_os = "wasi", deny(clippy::use_debug))]

mod backoff;
pub mod configuration;
pub mod edge;
pub mod gate;
pub mod host;
mod identity_hash;
mod json_object;
pub mod keys;
mod little_endian;
pub mod namespace;
pub mod outcome;
mod percent;
mod protobuf;
pub mod revocation;
pub mod sync;
pub mod time;
pub mod token;

#[cfg(target_os = "wasi")]
mod filter;

#[cfg(any(test, not(target_family = "wasm")))]
pub mod signer;

#[cfg(not(target_family = "wasm"))]
pub mod authority;

// It is not fuzzed, and it is half of what there is to compile.
#[cfg(not(any(target_family = "wasm", fuzzing)))]
pub mod cli;

#[cfg(all(any(test, fuzzing), not(target_family = "wasm")))]
pub mod fuzzing;

#[cfg(all(test, not(target_family = "wasm")))]
mod tests {
    use std::fs;
    use std::path::{Path, PathBuf};

    /// Each depends only on those after it.
    const MODULES: [&str; 17] = [
        "filter",
        "edge",
        "gate",
        "keys",
        "sync",
        "revocation",
        "configuration",
        "token",
        "namespace",
        "host",
        "outcome",
        "protobuf",
        "backoff",
        "identity_hash",
        "little_endian",
        "percent",
        "time",
    ];

    fn files(path: &Path) -> Vec<PathBuf> {
        let Ok(entries) = fs::read_dir(path) else {
            return Vec::new();
        };
        // Tests may drive their module from one before it.
        let entries = entries.map(|entry| entry.unwrap());
        let entries = entries.filter(|entry| entry.file_name() != "tests");
        let paths = entries.map(|entry| entry.path());
        let nested = paths.flat_map(|path| {
            if path.is_dir() {
                files(&path)
            } else {
                vec![path]
            }
        });
        nested.collect()
    }

    #[test]
    fn data_goes_one_way() {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
        for (index, module) in MODULES.into_iter().enumerate() {
            let mut files = files(&source.join(module));
            files.push(source.join(module).with_extension("rs"));
            for file in files {
                let text = fs::read_to_string(&file).unwrap();
                for before in MODULES.into_iter().take(index) {
                    let named = format!("crate::{before}");
                    assert!(!text.contains(&named), "{} names {before}", file.display());
                }
            }
        }
    }
}
