//! A real `portcullis serve`, with its own data and credentials.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ed25519_dalek::VerifyingKey;
use portcullis::revocation::FeedKeys;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::PATIENCE;
use super::token::ISSUER;

/// A running authority, killed when dropped.
pub(crate) struct Authority {
    process: Option<Child>,
    directory: TempDir,
    scheme: &'static str,
    address: SocketAddr,
    arguments: Vec<String>,
    feed_keys: Vec<String>,
    secrets: Secrets,
    agent: ureq::Agent,
}

/// One of each role.
#[derive(Clone)]
struct Secrets {
    admin: String,
    edge: String,
    scrape: String,
}

impl Authority {
    /// An authority that has published its first generation.
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// The same, with more arguments of `portcullis serve`.
    pub(crate) fn start_with(arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secret = |role| credential(directory.path(), role);
        let secrets = Secrets {
            admin: secret("admin"),
            edge: secret("edge"),
            scrape: secret("scrape"),
        };
        Self::start_in(directory, secrets, arguments)
    }

    /// Another installation that has taken over the credentials of this one.
    pub(crate) fn start_another(&self) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let credentials = |directory: &TempDir| directory.path().join("credentials");
        fs::copy(credentials(&self.directory), credentials(&directory)).expect("a file to copy");
        Self::start_in(directory, self.secrets.clone(), &[])
    }

    fn start_in(directory: TempDir, secrets: Secrets, arguments: &[&str]) -> Self {
        // Those of tests sign themselves.
        let any_certificate = ureq::tls::TlsConfig::builder().disable_verification(true);
        let config = ureq::Agent::config_builder()
            .tls_config(any_certificate.build())
            .http_status_as_error(false)
            .timeout_global(Some(PATIENCE));
        let mut authority = Self {
            process: None,
            scheme: "http",
            address: SocketAddr::from(([127, 0, 0, 1], 0)),
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            feed_keys: Vec::new(),
            secrets,
            agent: config.build().into(),
            directory,
        };
        authority.restart();
        authority
    }

    /// Kills it, as a power cut would, unless that has been done, and starts it again with the
    /// data that are there, on the port that it had.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let log = fs::File::create(self.directory.path().join("log")).expect("a file to write");
        let mut process = Command::new(program())
            .arg("serve")
            .args(["--listen", &self.address.to_string()])
            .arg("--data")
            .arg(self.directory.path().join("data"))
            .arg("--credentials")
            .arg(self.directory.path().join("credentials"))
            .args(&self.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("portcullis");
        let mut line = String::new();
        let stdout = process.stdout.take().expect("its output");
        self.process = Some(process);
        BufReader::new(stdout)
            .read_line(&mut line)
            .expect("a line that says where it listens");
        let ready: Value = serde_json::from_str(&line)
            .unwrap_or_else(|_| panic!("the authority did not start: {}", self.log()));
        let url = ready["url"].as_str().expect("a URL");
        let (scheme, address) = url.split_once("://").expect("a URL");
        self.scheme = if scheme == "https" { "https" } else { "http" };
        self.address = address.parse().expect("address and port");
        self.feed_keys =
            serde_json::from_value(ready["feed_public_keys"].clone()).expect("a list of keys");
        let deadline = Instant::now() + PATIENCE;
        while self.get("/readyz").0 != 200 {
            assert!(Instant::now() < deadline, "not ready: {}", self.log());
            thread::sleep(Duration::from_millis(5));
        }
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill().expect("a process to kill");
            process.wait().expect("its end");
        }
    }

    /// Stops it for a moment and copies its data.
    pub(crate) fn back_up(&mut self) -> TempDir {
        self.kill();
        let backup = tempfile::tempdir().expect("a temporary directory");
        copy(&self.directory.path().join("data"), backup.path());
        self.restart();
        backup
    }

    /// Puts earlier data in the place of its own.
    pub(crate) fn restore(&mut self, backup: &TempDir) {
        self.kill();
        let data = self.directory.path().join("data");
        fs::remove_dir_all(&data).expect("data to remove");
        fs::create_dir(&data).expect("a directory to make");
        copy(backup.path(), &data);
        self.restart();
    }

    pub(crate) const fn address(&self) -> SocketAddr {
        self.address
    }

    /// The process, for measurements.
    pub(crate) fn id(&self) -> u32 {
        self.process.as_ref().expect("a running authority").id()
    }

    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.directory.path().join("log")).unwrap_or_default()
    }

    /// The `revocation` part of a filter's configuration.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "cluster": "authority",
            "credential": {"inline_string": self.secrets.edge},
            "public_keys": self.feed_keys,
        })
    }

    /// The secret of whoever may revoke.
    pub(crate) fn admin_credential(&self) -> &str {
        &self.secrets.admin
    }

    /// The secret of an edge.
    pub(crate) fn edge_credential(&self) -> &str {
        &self.secrets.edge
    }

    /// The secret of whoever may read metrics.
    pub(crate) fn scrape_credential(&self) -> &str {
        &self.secrets.scrape
    }

    /// The public key that signs the feed.
    pub(crate) fn feed_key(&self) -> [u8; 32] {
        let bytes = URL_SAFE_NO_PAD.decode(&self.feed_keys[0]);
        bytes.expect("base64url").try_into().expect("32 bytes")
    }

    pub(crate) fn feed_keys(&self) -> FeedKeys {
        let key = |text: &String| {
            let bytes = URL_SAFE_NO_PAD.decode(text).expect("base64url");
            VerifyingKey::try_from(bytes.as_slice()).expect("an Ed25519 key")
        };
        FeedKeys::new(self.feed_keys.iter().map(key).collect())
    }

    /// Revokes what a value of [`ISSUER`] names. It is on disk when this returns.
    pub(crate) fn revoke(&self, kind: &str, value: &str) {
        self.revoke_with(kind, value, &json!({}));
    }

    /// The same, with more members in the request.
    pub(crate) fn revoke_with(&self, kind: &str, value: &str, members: &Value) {
        let mut request = target(kind, value);
        for (name, member) in members.as_object().expect("an object") {
            request[name] = member.clone();
        }
        let (status, answer) = self.post("/v1/revocations", &request.to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// Takes a revocation back.
    pub(crate) fn restore_access(&self, kind: &str, value: &str) {
        let (status, answer) = self.post("/v1/restorations", &target(kind, value).to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// Revokes what the lines name, all of it or nothing.
    pub(crate) fn import(&self, lines: &str) {
        let (status, answer) = self.send("/v1/import", "application/x-ndjson", lines);
        assert_eq!(status, 200, "{answer}");
    }

    /// The exact answer about a token with these members.
    pub(crate) fn is_revoked(&self, question: &Value) -> bool {
        let (status, answer) = self.post("/v1/check", &question.to_string());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["revoked"].as_bool().expect("a verdict")
    }

    pub(crate) fn stats(&self) -> Value {
        serde_json::from_str(&self.get("/v1/stats").1).expect("JSON")
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        text(self.request(path))
    }

    /// The body of an answer with status 200.
    pub(crate) fn get_bytes(&self, path: &str) -> Vec<u8> {
        let (status, bytes) = self.request(path);
        assert_eq!(status, 200, "{path}");
        bytes
    }

    /// An answer of any status.
    pub(crate) fn request(&self, path: &str) -> (u16, Vec<u8>) {
        let request = self
            .agent
            .get(format!("{}://{}{path}", self.scheme, self.address))
            .header("authorization", format!("Bearer {}", self.secrets.admin));
        read(request.call())
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.send(path, "application/json", body)
    }

    fn send(&self, path: &str, media_type: &str, body: &str) -> (u16, String) {
        let request = self
            .agent
            .post(format!("{}://{}{path}", self.scheme, self.address))
            .header("authorization", format!("Bearer {}", self.secrets.admin))
            .header("content-type", media_type);
        text(read(request.send(body)))
    }

    /// A command of the command line against it, to be run.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(program());
        command
            .args(arguments)
            .env("PORTCULLIS_AUTHORITY", format!("http://{}", self.address))
            .env("PORTCULLIS_CREDENTIAL", &self.secrets.admin);
        command
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the authority's log:\n{}", self.log());
        }
        if let Some(process) = &mut self.process {
            // An error means that it has ended already.
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}

/// `PORTCULLIS_BIN`, else the one that Cargo has built for this test.
pub(crate) fn program() -> PathBuf {
    env::var_os("PORTCULLIS_BIN")
        .map_or_else(|| env!("CARGO_BIN_EXE_portcullis").into(), Into::into)
}

fn credential(directory: &Path, role: &str) -> String {
    let output = Command::new(program())
        .args(["credential", "--role", role, "--name", role, "--file"])
        .arg(directory.join("credentials"))
        .output()
        .expect("portcullis");
    assert!(output.status.success(), "{output:?}");
    String::from_utf8_lossy(&output.stdout).trim().to_owned()
}

fn target(kind: &str, value: &str) -> Value {
    match kind {
        "issuer" => json!({"kind": kind, "issuer": ISSUER}),
        _ => json!({"kind": kind, "issuer": ISSUER, "value": value}),
    }
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file to copy");
    }
}

fn read(response: Result<ureq::http::Response<ureq::Body>, ureq::Error>) -> (u16, Vec<u8>) {
    let (parts, body) = response.expect("an answer").into_parts();
    let mut bytes = Vec::new();
    body.into_reader()
        .read_to_end(&mut bytes)
        .expect("the whole answer");
    (parts.status.as_u16(), bytes)
}

fn text((status, bytes): (u16, Vec<u8>)) -> (u16, String) {
    (status, String::from_utf8_lossy(&bytes).into_owned())
}
