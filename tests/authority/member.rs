//! An authority of a group on one database: a process that is started again at the same address.

use std::env;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::{PATIENCE, until};
use super::postgres::free_port;
use super::process::{Answer, ISSUER, binary, directory, revocation};

/// The `--lease` of members, short so that tests wait for little.
pub(crate) const LEASE: Duration = Duration::from_secs(2);

/// An authority, at the same address whenever it starts again.
pub(crate) struct Member {
    process: Child,
    program: String,
    pub(crate) url: String,
    arguments: Vec<String>,
    pub(crate) agent: ureq::Agent,
    directory: TempDir,
}

impl Drop for Member {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Member {
    pub(crate) fn start(store: &str) -> Self {
        Self::start_in(directory(), store, &[])
    }

    pub(crate) fn start_in(directory: TempDir, store: &str, more: &[&str]) -> Self {
        let address = format!("127.0.0.1:{}", free_port());
        let data = directory.path().join("data");
        let arguments = [
            "serve",
            "--listen",
            &address,
            "--data",
            data.to_str().unwrap(),
            "--store",
            store,
        ];
        let lease: &[&str] = if more.contains(&"--lease") {
            &[]
        } else {
            &["--lease", "2s"]
        };
        let arguments = arguments.iter().chain(lease).chain(more);
        let arguments: Vec<_> = arguments.map(|&text| text.to_owned()).collect();
        let config = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        let program = next_program();
        Self {
            process: spawn(&program, &arguments, directory.path()),
            program,
            url: format!("http://{address}"),
            arguments,
            agent: config.build().into(),
            directory,
        }
    }

    pub(crate) fn start_again(&mut self) {
        self.process = spawn(&self.program, &self.arguments, self.directory.path());
    }

    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Tells it to stop, and waits until it has.
    pub(crate) fn stop(&mut self) {
        self.signal("TERM");
        let _ = self.process.wait();
    }

    pub(crate) fn has_ended(&mut self) -> bool {
        self.process.try_wait().unwrap().is_some()
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(status.unwrap().success());
    }

    pub(crate) fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join("log")).unwrap()
    }

    /// `None` where nothing answers.
    pub(crate) fn post(&self, path: &str, body: &Value) -> Option<Answer> {
        let request = self.agent.post(format!("{}{path}", self.url));
        let request = request.content_type("application/json");
        let response = request.send(body.to_string().as_bytes()).ok()?;
        Some(Answer::of(Ok(response)))
    }

    pub(crate) fn ready(&self) -> String {
        let response = self.agent.get(format!("{}/readyz", self.url)).call();
        response.map_or_else(
            |error| error.to_string(),
            |response| Answer::of(Ok(response)).text(),
        )
    }

    #[track_caller]
    pub(crate) fn wait_until_ready(&self) {
        until(
            || format!("readiness: {}", self.log()),
            || self.ready() == "ready\n",
        );
    }

    pub(crate) fn revoke(&self, value: &str) -> Option<u16> {
        let answer = self.post("/v1/revocations", &revocation("session", value));
        answer.map(|answer| answer.status)
    }

    /// The same; `None` also where no answer has come in time.
    pub(crate) fn revoke_within(&self, limit: Duration, value: &str) -> Option<u16> {
        let request = self.agent.post(format!("{}/v1/revocations", self.url));
        let request = request.config().timeout_global(Some(limit)).build();
        let request = request.content_type("application/json");
        let sent = request.send(revocation("session", value).to_string().as_bytes());
        sent.ok().map(|response| response.status().as_u16())
    }

    pub(crate) fn check(&self, value: &str) -> Option<Answer> {
        self.post("/v1/check", &json!({"issuer": ISSUER, "sid": value}))
    }

    #[track_caller]
    pub(crate) fn is_revoked(&self, value: &str) -> bool {
        let answer = self.check(value).unwrap();
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["revoked"].as_bool().unwrap()
    }

    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> Answer {
        self.try_get(path).unwrap()
    }

    /// `None` where nothing answers, as while it starts itself again.
    pub(crate) fn try_get(&self, path: &str) -> Option<Answer> {
        let response = self.agent.get(format!("{}{path}", self.url)).call();
        response.ok().map(|response| Answer::of(Ok(response)))
    }

    pub(crate) fn status(&self, path: &str) -> u16 {
        self.get(path).status
    }

    pub(crate) fn stats(&self) -> Value {
        self.get("/v1/stats").json()
    }

    /// Runs a command of the command line against it: exit code and output.
    pub(crate) fn command(&self, arguments: &[&str]) -> (Option<i32>, String) {
        let output = Command::new(binary())
            .args(arguments)
            .env("PORTCULLIS_AUTHORITY", &self.url)
            .output()
            .unwrap();
        let text = [output.stdout, output.stderr].concat();
        (output.status.code(), String::from_utf8(text).unwrap())
    }
}

/// The program under test. Where `PORTCULLIS_OTHER_BIN` names that of another version, every second authority is
/// one of that version.
fn next_program() -> String {
    static STARTED: AtomicUsize = AtomicUsize::new(0);
    let is_other = STARTED.fetch_add(1, Ordering::Relaxed) % 2 == 1;
    let other = env::var("PORTCULLIS_OTHER_BIN").ok();
    other
        .filter(|_| is_other)
        .unwrap_or_else(|| binary().to_owned())
}

fn spawn(program: &str, arguments: &[String], directory: &Path) -> Child {
    let log = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(directory.join("log"))
        .unwrap();
    Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .unwrap()
}
