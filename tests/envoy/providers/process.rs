//! A program that is an identity provider.

use std::env;
use std::io::{BufRead as _, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread;

use serde_json::Value;

use crate::support::until;

/// A running program, killed when it is dropped, and also when the test process dies without dropping
/// anything.
pub(super) struct Process {
    child: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Process {
    /// The program, and beside it a shell that kills it when the test process, whose end closes the
    /// pipe, is gone for any reason.
    pub(super) fn start(command: &Command) -> Self {
        const WITH_A_WATCHER: &str =
            r#"exec 3<&0; (cat <&3; kill -9 $$) >/dev/null 2>&1 & exec "$0" "$@" 3<&-"#;
        let mut child = Command::new("sh")
            .args(["-c", WITH_A_WATCHER])
            .arg(command.get_program())
            .args(command.get_args())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("sh");
        let lines = Arc::default();
        follow(child.stdout.take().expect("a pipe"), &lines);
        follow(child.stderr.take().expect("a pipe"), &lines);
        Self { child, lines }
    }

    /// Waits for a line that begins like this, and reads it as JSON.
    #[track_caller]
    pub(super) fn wait_for_line(&self, beginning: &str) -> Value {
        let mut found = None;
        until(
            || format!("`{beginning}…` in:\n{}", self.log()),
            || {
                let lines = self.lines.lock().expect("no thread has panicked");
                found = lines
                    .iter()
                    .find(|line| line.starts_with(beginning))
                    .cloned();
                found.is_some()
            },
        );
        serde_json::from_str(&found.expect("a line")).expect("JSON")
    }

    /// Whether it has ended.
    pub(super) fn has_ended(&mut self) -> bool {
        let status = self.child.try_wait().expect("the state of the process");
        status.is_some()
    }

    /// What it has printed.
    pub(super) fn log(&self) -> String {
        let lines = self.lines.lock().expect("no thread has panicked");
        lines.join("\n")
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the identity provider's log:\n{}", self.log());
        }
        // Fails when it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn follow(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            lines.lock().expect("no thread has panicked").push(line);
        }
    });
}

/// Whether a provider is installed. Only where nothing depends on it may its tests be left out.
pub(super) fn is_there(is_there: bool, name: &str, how: &str) -> Option<()> {
    let is_required = env::var_os("PORTCULLIS_EVERY_PROVIDER").is_some();
    assert!(is_there || !is_required, "no {name} here: {how}");
    if !is_there {
        eprintln!("LEFT OUT: no {name} here: {how}");
    }
    is_there.then_some(())
}
