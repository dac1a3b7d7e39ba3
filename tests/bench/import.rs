//! Revocations in bulk.

use std::io::{BufWriter, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::support::{Authority, ISSUER};

/// Sends lines to `portcullis import`, one for each session from this number on, and waits for its
/// end.
pub(crate) fn import(authority: &Authority, from: u64, count: u64) -> Duration {
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
            r#"{{"kind":"session","issuer":"{ISSUER}","value":"session-{number:012}"}}"#
        )
        .expect("somebody who reads");
    }
    drop(input);
    let status = process.wait().expect("its end");
    assert!(status.success(), "{status}: {}", authority.log());
    started.elapsed()
}
