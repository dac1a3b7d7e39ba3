//! Revocations in bulk.

use std::io::{BufWriter, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Authority, ISSUER};

/// Sends lines to `portcullis import`, one for each session from this number on, and waits for its
/// end.
pub(crate) fn import(authority: &Authority, from: u64, count: u64) -> Duration {
    import_kind(authority, "session", from, count)
}

/// The same, for whatever can be revoked.
pub(crate) fn import_kind(authority: &Authority, kind: &str, from: u64, count: u64) -> Duration {
    let mut command = authority.start_command(&["import"]);
    let started = Instant::now();
    let mut process = command
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .spawn()
        .expect("portcullis");
    let input = process.stdin.take().expect("its input");
    let mut input = BufWriter::with_capacity(1 << 20, input);
    for number in from..from + count {
        writeln!(
            input,
            r#"{{"kind":"{kind}","issuer":"{ISSUER}","value":"{kind}-{number:012}"}}"#
        )
        .expect("a process that reads");
    }
    drop(input);
    let status = process.wait().expect("its end");
    assert!(status.success(), "{status}: {}", authority.log());
    started.elapsed()
}
