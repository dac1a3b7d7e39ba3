//! A running `portcullis serve`, and the ways to speak to it.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStderr, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use ed25519_dalek::VerifyingKey;
use portcullis::revocation::FeedKeys;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::{self, PATIENCE};

pub(crate) const ISSUER: &str = "https://issuer.example";

/// A running authority, killed when dropped.
pub(crate) struct Authority {
    process: Child,
    pub(crate) url: String,
    /// Where signals are received, if they are.
    pub(crate) signals_url: Option<String>,
    pub(crate) feed_keys: Vec<String>,
    log: Arc<Mutex<String>>,
    agent: ureq::Agent,
    pub(crate) credential: Option<String>,
}

/// An answer, with its body as it came.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: ureq::http::HeaderMap,
    pub(crate) bytes: Vec<u8>,
}

impl Answer {
    /// Of a request that was sent.
    pub(crate) fn of(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Self {
        answer(response)
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap()
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes).into_owned()
    }
}

impl Authority {
    /// Starts one with its data in `directory` and waits until it listens.
    pub(crate) fn start(directory: &Path) -> Self {
        Self::start_with(directory, &[])
    }

    pub(crate) fn start_with(directory: &Path, arguments: &[&str]) -> Self {
        Self::spawn(
            Command::new(binary())
                .args(serve(directory))
                .args(arguments),
        )
    }

    /// Starts one through a shell script that has the command line as `"$@"`.
    pub(crate) fn start_in_shell(directory: &Path, script: &str) -> Self {
        let mut command = Command::new("sh");
        command.args(["-c", script, "sh", binary()]);
        Self::spawn(command.args(serve(directory)))
    }

    /// Starts this command and waits until it listens.
    pub(crate) fn spawn(command: &mut Command) -> Self {
        let mut process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let log = follow(process.stderr.take().unwrap());
        let mut line = String::new();
        BufReader::new(process.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("not ready: {line:?}, log: {}", last_words(&log)));
        // Those of tests sign themselves.
        let any_certificate = ureq::tls::TlsConfig::builder().disable_verification(true);
        let config = ureq::Agent::config_builder()
            .tls_config(any_certificate.build())
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        Self {
            process,
            url: ready["url"].as_str().unwrap().to_owned(),
            signals_url: ready["signals_url"].as_str().map(str::to_owned),
            feed_keys: serde_json::from_value(ready["feed_public_keys"].clone()).unwrap(),
            log,
            agent: config.build().into(),
            credential: None,
        }
    }

    pub(crate) fn with_credential(mut self, credential: &str) -> Self {
        self.credential = Some(credential.to_owned());
        self
    }

    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    pub(crate) fn address(&self) -> &str {
        self.url.split_once("://").unwrap().1
    }

    pub(crate) fn log(&self) -> String {
        self.log.lock().unwrap().clone()
    }

    /// Kills it as a power cut would.
    pub(crate) fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    pub(crate) fn signal(&self, signal: &str) {
        let id = self.id().to_string();
        let status = Command::new("kill").args(["-s", signal, &id]).status();
        assert!(status.unwrap().success());
    }

    /// Waits for its end.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> ExitStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status;
            }
            assert!(Instant::now() < deadline, "still running: {}", self.log());
            thread::sleep(Duration::from_millis(10));
        }
    }

    pub(crate) fn get(&self, path: &str) -> Answer {
        self.get_with(path, &[])
    }

    /// The same with more headers.
    pub(crate) fn get_with(&self, path: &str, headers: &[(&str, &str)]) -> Answer {
        let mut request = self.agent.get(format!("{}{path}", self.url));
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        answer(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_text(path, "application/json", &body.to_string())
    }

    pub(crate) fn post_text(&self, path: &str, media_type: &str, body: &str) -> Answer {
        let mut request = self.agent.post(format!("{}{path}", self.url));
        if let Some(credential) = &self.credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        answer(request.header("content-type", media_type).send(body))
    }

    /// Sends a form to a path of the listener for signals, as an identity provider does.
    pub(crate) fn signal_form(&self, path: &str, body: &str) -> Answer {
        let url = format!("{}{path}", self.signals_url.as_deref().unwrap());
        let request = self.agent.post(&url);
        let request = request.content_type("application/x-www-form-urlencoded");
        answer(request.send(body.as_bytes()))
    }

    /// Sends a body of this type to a path of the listener for signals.
    pub(crate) fn push_signal(
        &self,
        path: &str,
        media_type: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Answer {
        let url = format!("{}{path}", self.signals_url.as_deref().unwrap());
        let request = self.agent.post(&url).content_type(media_type);
        let headers = headers.iter();
        let request = headers.fold(request, |it, (name, value)| it.header(*name, *value));
        answer(request.send(body.as_bytes()))
    }

    /// Sends JSON to a path of that listener, with this bearer credential.
    pub(crate) fn signal_json(&self, path: &str, credential: Option<&str>, body: &str) -> Answer {
        let url = format!("{}{path}", self.signals_url.as_deref().unwrap());
        let mut request = self.agent.post(&url).content_type("application/json");
        if let Some(credential) = credential {
            request = request.header("authorization", format!("Bearer {credential}"));
        }
        answer(request.send(body.as_bytes()))
    }

    pub(crate) fn revoke(&self, kind: &str, value: &str) -> Answer {
        self.post("/v1/revocations", &revocation(kind, value))
    }

    /// Whether a session is revoked, by a check.
    pub(crate) fn is_session_revoked(&self, value: &str) -> bool {
        let answer = self.post("/v1/check", &json!({"issuer": ISSUER, "sid": value}));
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.json()["revoked"].as_bool().unwrap()
    }

    pub(crate) fn stats(&self) -> Value {
        self.get("/v1/stats").json()
    }

    /// Waits until there is a generation, and gives its manifest.
    pub(crate) fn manifest(&self) -> portcullis::revocation::Manifest {
        until(|| self.get("/readyz").status == 200);
        let answer = self.get("/v1/feed/manifest");
        portcullis::revocation::Manifest::decode(&answer.bytes, &self.public_keys()).unwrap()
    }

    /// The manifest as it is sent.
    pub(crate) fn manifest_bytes(&self) -> Answer {
        self.get("/v1/feed/manifest")
    }

    pub(crate) fn public_keys(&self) -> FeedKeys {
        let keys = self.feed_keys.iter().map(|key| public_key(key));
        FeedKeys::new(keys.collect())
    }

    /// A command of the command line against it, to be run.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(binary());
        command
            .args(arguments)
            .env("PORTCULLIS_AUTHORITY", &self.url);
        if let Some(credential) = &self.credential {
            command.env("PORTCULLIS_CREDENTIAL", credential);
        }
        command
    }

    /// Runs a command of the command line against it.
    pub(crate) fn command(&self, arguments: &[&str]) -> Output {
        self.command_with(arguments, "")
    }

    /// The same with something on its standard input.
    pub(crate) fn command_with(&self, arguments: &[&str], input: &str) -> Output {
        let mut process = self
            .start_command(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        // One that does not read it may be gone already.
        let _ = process.stdin.take().unwrap().write_all(input.as_bytes());
        process.wait_with_output().unwrap()
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        // Fails when it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `PORTCULLIS_BIN`, else the one that Cargo has built for this test.
pub(crate) fn binary() -> &'static str {
    static PROGRAM: OnceLock<String> = OnceLock::new();
    let built = env!("CARGO_BIN_EXE_portcullis");
    PROGRAM.get_or_init(|| env::var("PORTCULLIS_BIN").unwrap_or_else(|_| built.to_owned()))
}

/// A secret for this role, whose hash stands in `credentials` in the directory from now on.
pub(crate) fn credential(directory: &Path, role: &str, name: &str) -> String {
    let file = directory.join("credentials");
    let output = Command::new(binary())
        .args(["credential", "--role", role, "--name", name, "--file"])
        .arg(&file)
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let secret = String::from_utf8(output.stdout).unwrap().trim().to_owned();
    assert!(!fs::read_to_string(&file).unwrap().contains(&secret));
    secret
}

pub(crate) fn serve(directory: &Path) -> Vec<String> {
    let data: PathBuf = directory.join("data");
    [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--data",
        data.to_str().unwrap(),
    ]
    .map(str::to_owned)
    .to_vec()
}

pub(crate) fn directory() -> TempDir {
    TempDir::new().unwrap()
}

pub(crate) fn revocation(kind: &str, value: &str) -> Value {
    match kind {
        "issuer" => json!({"kind": kind, "issuer": ISSUER}),
        _ => json!({"kind": kind, "issuer": ISSUER, "value": value}),
    }
}

pub(crate) fn public_key(text: &str) -> VerifyingKey {
    use base64::Engine as _;
    let bytes = base64::engine::general_purpose::URL_SAFE_NO_PAD
        .decode(text)
        .unwrap();
    VerifyingKey::from_bytes(&bytes.try_into().unwrap()).unwrap()
}

/// Waits until a condition holds.
#[track_caller]
pub(crate) fn until(holds: impl FnMut() -> bool) {
    patience::until(|| "what is waited for".to_owned(), holds);
}

fn answer(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> Answer {
    let response = response.unwrap();
    let mut bytes = Vec::new();
    let (parts, body) = response.into_parts();
    body.into_reader().read_to_end(&mut bytes).unwrap();
    Answer {
        status: parts.status.as_u16(),
        headers: parts.headers,
        bytes,
    }
}

/// The log of a process that has closed its output, of which the end may still be on its way.
fn last_words(log: &Mutex<String>) -> String {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let words = log.lock().unwrap().clone();
        if !words.is_empty() || Instant::now() > deadline {
            return words;
        }
        thread::sleep(Duration::from_millis(10));
    }
}

fn follow(stderr: ChildStderr) -> Arc<Mutex<String>> {
    let log = Arc::new(Mutex::new(String::new()));
    let sink = Arc::clone(&log);
    thread::spawn(move || {
        for line in BufReader::new(stderr).lines().map_while(Result::ok) {
            let mut sink = sink.lock().unwrap();
            sink.push_str(&line);
            sink.push('\n');
        }
    });
    log
}
