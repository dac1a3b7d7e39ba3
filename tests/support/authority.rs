//! An authority of a test with Envoy: a `portcullis serve` with data and credentials of its own, which
//! can be killed, started again and taken back to earlier data.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread;

use portcullis::revocation::FeedKeys;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::keys::jwks;
use super::patience::until;
use super::port::free_port;
use super::process::{self, Authority as Process, binary, credential, revocation};
use super::token::ISSUER;

/// A running authority, killed when dropped.
pub(crate) struct Authority {
    process: Option<Process>,
    directory: TempDir,
    address: SocketAddr,
    signals_url: Option<String>,
    arguments: Vec<String>,
    feed_keys: Vec<String>,
    secrets: Secrets,
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
        let secret = |role| credential(directory.path(), role, role);
        let secrets = Secrets {
            admin: secret("admin"),
            edge: secret("edge"),
            scrape: secret("scrape"),
        };
        Self::start_in(directory, secrets, arguments)
    }

    /// One that knows the keys of tokens, and whose edges may act for users.
    pub(crate) fn for_users(arguments: &[&str]) -> Self {
        Self::for_users_with(&json!({}), arguments)
    }

    /// The same, with more members in the authority's own file.
    pub(crate) fn for_users_with(members: &Value, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secret = |role| credential(directory.path(), role, role);
        let secrets = Secrets {
            admin: secret("admin"),
            edge: credential_of_edge(directory.path()),
            scrape: secret("scrape"),
        };
        let file = directory.path().join("authority.json");
        let keys = directory.path().join("jwks.json");
        fs::write(&keys, jwks(&["rs256", "es256", "eddsa"])).expect("a file to write");
        let issuer = json!({"issuer": ISSUER, "keys": {"jwks_file": keys}});
        let mut settings = json!({"issuers": [issuer]});
        for (name, member) in members.as_object().expect("an object") {
            settings[name] = member.clone();
        }
        fs::write(&file, settings.to_string()).expect("a file to write");
        let file = file.to_str().expect("a path in UTF-8").to_owned();
        let arguments = [&["--config", &*file], arguments].concat();
        Self::start_in(directory, secrets, &arguments)
    }

    /// One that receives the signals of these issuers, at [`Authority::signals_url`].
    pub(crate) fn receiving_signals(issuers: &Value, arguments: &[&str]) -> Self {
        Self::with_signals(&json!({ "issuers": issuers }), arguments)
    }

    /// The same, with all of the signals file but `listen`.
    pub(crate) fn with_signals(signals: &Value, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let secret = |role| credential(directory.path(), role, role);
        let secrets = Secrets {
            admin: secret("admin"),
            edge: secret("edge"),
            scrape: secret("scrape"),
        };
        let file = directory.path().join("signals.json");
        let mut signals = signals.clone();
        signals["listen"] = format!("127.0.0.1:{}", free_port()).into();
        fs::write(&file, signals.to_string()).expect("a file to write");
        let path = file.to_str().expect("a path in UTF-8");
        let arguments = [&["--signals", path], arguments].concat();
        Self::start_in(directory, secrets, &arguments)
    }

    /// Another installation that has taken over the credentials of this one.
    pub(crate) fn start_another(&self) -> Self {
        self.start_another_with(&[])
    }

    /// Another one of the group that has its store in the same database.
    pub(crate) fn start_beside(&self) -> Self {
        let arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        self.start_another_with(&arguments)
    }

    /// The same, with another address of the database.
    pub(crate) fn start_beside_over(&self, store: &str) -> Self {
        let mut arguments: Vec<&str> = self.arguments.iter().map(String::as_str).collect();
        let option = arguments.iter().position(|text| *text == "--store");
        arguments[option.expect("a store") + 1] = store;
        self.start_another_with(&arguments)
    }

    fn start_another_with(&self, arguments: &[&str]) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let credentials = |directory: &TempDir| directory.path().join("credentials");
        fs::copy(credentials(&self.directory), credentials(&directory)).expect("a file to copy");
        Self::start_in(directory, self.secrets.clone(), arguments)
    }

    fn start_in(directory: TempDir, secrets: Secrets, arguments: &[&str]) -> Self {
        let mut authority = Self {
            process: None,
            address: SocketAddr::from(([127, 0, 0, 1], free_port())),
            signals_url: None,
            arguments: arguments.iter().map(|&text| text.to_owned()).collect(),
            feed_keys: Vec::new(),
            secrets,
            directory,
        };
        authority.restart();
        authority
    }

    /// Kills it, as a power cut would, unless it has ended already, and starts it again with the
    /// same data and port.
    pub(crate) fn restart(&mut self) {
        self.kill();
        let mut command = Command::new(binary());
        command
            .arg("serve")
            .args(["--listen", &self.address.to_string()])
            .arg("--data")
            .arg(self.directory.path().join("data"))
            .arg("--credentials")
            .arg(self.directory.path().join("credentials"))
            .args(&self.arguments);
        let process = Process::spawn(&mut command).with_credential(&self.secrets.admin);
        self.address = process.address().parse().expect("address and port");
        self.signals_url.clone_from(&process.signals_url);
        self.feed_keys.clone_from(&process.feed_keys);
        until(|| process.log(), || process.get("/readyz").status == 200);
        self.process = Some(process);
    }

    /// Kills it, as a power cut would.
    pub(crate) fn kill(&mut self) {
        if let Some(process) = self.process.take() {
            process.kill();
        }
    }

    pub(crate) fn signal(&self, signal: &str) {
        self.running().signal(signal);
    }

    fn running(&self) -> &Process {
        self.process.as_ref().expect("a running authority")
    }

    /// Stops it for a moment and copies its data.
    pub(crate) fn back_up(&mut self) -> TempDir {
        self.kill();
        let backup = tempfile::tempdir().expect("a temporary directory");
        copy(&self.directory.path().join("data"), backup.path());
        self.restart();
        backup
    }

    /// Puts earlier data in place of its own.
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

    /// Where it receives signals.
    pub(crate) fn signals_url(&self) -> &str {
        self.signals_url.as_deref().expect("a listener for signals")
    }

    /// The same as an address.
    pub(crate) fn signals_address(&self) -> SocketAddr {
        let (_, address) = self.signals_url().split_once("://").expect("a URL");
        address.parse().expect("address and port")
    }

    /// The process, for measurements.
    pub(crate) fn id(&self) -> u32 {
        self.running().id()
    }

    /// Where its store is.
    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn log(&self) -> String {
        self.process.as_ref().map_or_else(String::new, Process::log)
    }

    /// The `revocation` part of a filter's configuration.
    pub(crate) fn settings(&self) -> Value {
        json!({
            "cluster": "authority",
            "credential": {"inline_string": self.secrets.edge},
            "public_keys": self.feed_keys,
        })
    }

    /// The secret with the role `admin`.
    pub(crate) fn admin_credential(&self) -> &str {
        &self.secrets.admin
    }

    /// The secret with the role `edge`.
    pub(crate) fn edge_credential(&self) -> &str {
        &self.secrets.edge
    }

    /// The secret with the role `scrape`.
    pub(crate) fn scrape_credential(&self) -> &str {
        &self.secrets.scrape
    }

    /// The public key that signs the feed.
    pub(crate) fn feed_key(&self) -> [u8; 32] {
        process::public_key(&self.feed_keys[0]).to_bytes()
    }

    pub(crate) fn feed_keys(&self) -> FeedKeys {
        let keys = self.feed_keys.iter().map(|key| process::public_key(key));
        FeedKeys::new(keys.collect())
    }

    /// Revokes what a value of [`process::ISSUER`] names. It is on disk when this returns.
    pub(crate) fn revoke(&self, kind: &str, value: &str) {
        self.revoke_with(kind, value, &json!({}));
    }

    /// The same, with more members in the request.
    pub(crate) fn revoke_with(&self, kind: &str, value: &str, members: &Value) {
        let mut request = revocation(kind, value);
        for (name, member) in members.as_object().expect("an object") {
            request[name] = member.clone();
        }
        let (status, answer) = self.post("/v1/revocations", &request.to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// Restores an entry.
    pub(crate) fn restore_access(&self, kind: &str, value: &str) {
        let (status, answer) = self.post("/v1/restorations", &revocation(kind, value).to_string());
        assert_eq!(status, 200, "{answer}");
    }

    /// Revokes what the lines name, all of it or nothing.
    pub(crate) fn import(&self, lines: &str) {
        let (status, answer) = self.try_import(lines);
        assert_eq!(status, 200, "{answer}");
    }

    /// Asks for the same; status and answer.
    pub(crate) fn try_import(&self, lines: &str) -> (u16, String) {
        self.send("/v1/import", "application/x-ndjson", lines)
    }

    /// The answer to a check with these members.
    pub(crate) fn is_revoked(&self, check: &Value) -> bool {
        let (status, answer) = self.post("/v1/check", &check.to_string());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        answer["revoked"].as_bool().expect("a verdict")
    }

    pub(crate) fn stats(&self) -> Value {
        self.running().stats()
    }

    pub(crate) fn get(&self, path: &str) -> (u16, String) {
        let answer = self.running().get(path);
        (answer.status, answer.text())
    }

    /// The body of an answer with status 200.
    pub(crate) fn get_bytes(&self, path: &str) -> Vec<u8> {
        let (status, bytes) = self.request(path);
        assert_eq!(status, 200, "{path}");
        bytes
    }

    /// An answer of any status.
    pub(crate) fn request(&self, path: &str) -> (u16, Vec<u8>) {
        let answer = self.running().get(path);
        (answer.status, answer.bytes)
    }

    pub(crate) fn post(&self, path: &str, body: &str) -> (u16, String) {
        self.send(path, "application/json", body)
    }

    fn send(&self, path: &str, media_type: &str, body: &str) -> (u16, String) {
        let answer = self.running().post_text(path, media_type, body);
        (answer.status, answer.text())
    }

    /// A command of the command line against it, to be run.
    pub(crate) fn start_command(&self, arguments: &[&str]) -> Command {
        self.running().start_command(arguments)
    }
}

impl Drop for Authority {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the authority's log:\n{}", self.log());
        }
    }
}

/// A secret of an edge that may act for users.
fn credential_of_edge(directory: &Path) -> String {
    let output = Command::new(binary())
        .args(["credential", "--role", "edge", "--name", "edge"])
        .args(["--allow", "sign-out,activity,sessions", "--file"])
        .arg(directory.join("credentials"))
        .output()
        .expect("a program to run");
    assert!(output.status.success(), "{output:?}");
    let secret = String::from_utf8(output.stdout).expect("text");
    secret.trim().to_owned()
}

/// The program under test.
pub(crate) fn program() -> PathBuf {
    binary().into()
}

fn copy(from: &Path, to: &Path) {
    for entry in fs::read_dir(from).expect("a directory") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a file to copy");
    }
}
