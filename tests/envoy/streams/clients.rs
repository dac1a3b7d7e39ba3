//! Clients that applications use: a browser, Python's `websockets`, gRPC's own.
//!
//! Each is a program that opens streams for two sessions and prints a line for all that happens to
//! them. One of the sessions is revoked then.

use std::ffi::OsStr;
use std::io::{BufRead as _, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::{env, thread};

use serde_json::json;

use super::{SHORT, Scene};
use crate::revocation::scene::session;
use crate::support::until;

/// The session that is revoked, and the one that is not.
const SESSIONS: [&str; 2] = ["phone", "laptop"];

/// What is to happen to the streams of a kind.
struct Expected {
    kind: &'static str,
    /// How a stream that is cut off ends for its client, which libraries have more than one word for.
    closed: &'static [&'static str],
    /// What comes of the next request with the same token.
    again: &'static str,
}

/// A client at work, ended when it is dropped.
struct Client {
    process: Child,
    lines: Arc<Mutex<Vec<String>>>,
}

impl Client {
    fn start(command: &mut Command) -> Self {
        let process = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut process = process.unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let lines = Arc::default();
        follow(process.stdout.take().unwrap(), &lines);
        follow(process.stderr.take().unwrap(), &lines);
        Self { process, lines }
    }

    /// Waits until there is a line that begins like this behind the first `from`; the rest of it.
    #[track_caller]
    fn wait_for(&self, from: usize, beginning: &str) -> String {
        let mut rest = None;
        let what = || format!("`{beginning}`:\n{}", self.lines.lock().unwrap().join("\n"));
        until(what, || {
            let lines = self.lines.lock().unwrap();
            let mut lines = lines.iter().skip(from);
            rest = lines.find_map(|line| Some(line.strip_prefix(beginning)?.to_owned()));
            rest.is_some()
        });
        rest.unwrap()
    }

    fn has_seen(&self) -> usize {
        self.lines.lock().unwrap().len()
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Collects what is printed. A browser's log has more around it.
fn follow(output: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    thread::spawn(move || {
        for line in BufReader::new(output).lines().map_while(Result::ok) {
            let message = line.split_once("CONSOLE");
            let message = message.and_then(|(_, message)| message.split_once("] \""));
            let message = message.and_then(|(_, message)| message.split_once("\", source: "));
            let line = message.map_or(&*line, |(message, _)| message);
            lines.lock().unwrap().push(line.to_owned());
        }
    });
}

#[track_caller]
fn assert_cut_off(scene: &Scene, client: &Client, expected: &[Expected]) {
    for name in SESSIONS {
        for Expected { kind, .. } in expected {
            client.wait_for(0, &format!("{name} {kind} open"));
        }
    }
    thread::sleep(SHORT);
    let [revoked, other] = SESSIONS;
    scene.authority.revoke("session", revoked);
    for Expected {
        kind,
        closed,
        again,
    } in expected
    {
        let seen = client.wait_for(0, &format!("{revoked} {kind} closed "));
        assert!(closed.contains(&&*seen), "{kind}: {seen}");
        let seen = client.wait_for(0, &format!("{revoked} {kind} again "));
        assert_eq!(seen, *again, "{kind}");
    }
    let from = client.has_seen();
    for Expected { kind, .. } in expected {
        client.wait_for(from, &format!("{other} {kind} beats "));
    }
    let count = u64::try_from(expected.len()).unwrap();
    scene.wait_for("streams.closed.revoked", |closed| closed == count);
}

/// `NAME=TOKEN` for each session.
fn sessions() -> [String; 2] {
    SESSIONS.map(|name| format!("{name}={}", session(name)))
}

/// Whether the tests have a client. Only where nothing depends on it may a test be left out.
fn is_there(client: Option<PathBuf>, name: &str, how: &str) -> Option<PathBuf> {
    let is_required = env::var_os("PORTCULLIS_EVERY_CLIENT").is_some();
    assert!(client.is_some() || !is_required, "no {name} here: {how}");
    if client.is_none() {
        eprintln!("LEFT OUT: no {name} here: {how}");
    }
    client
}

/// One of the Python clients.
fn python(program: &str) -> Option<Command> {
    let target = env::var_os("CARGO_TARGET_DIR").map_or_else(|| "target".into(), PathBuf::from);
    let python = target.join("clients/bin/python");
    let how = "`./build.sh test envoy` installs it";
    let python = is_there(Some(python).filter(|path| path.exists()), program, how)?;
    let mut command = Command::new(python);
    command.args(["-B", &format!("tests/envoy/streams/clients/{program}")]);
    Some(command)
}

fn browser() -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    let programs = env::split_paths(&path).map(|directory| directory.join("chromium"));
    let mut programs = programs.filter(|program| Path::exists(program));
    is_there(
        programs.next(),
        "browser",
        "sudo apt-get install -y chromium",
    )
}

#[test]
fn a_socket_of_websockets_is_cut_off_and_not_opened_again() {
    let Some(mut command) = python("sockets.py") else {
        return;
    };
    let scene = Scene::new(|_| ());
    let url = format!("ws://{}/api/socket", scene.envoy.address_of("portcullis"));
    let client = Client::start(command.arg(url).args(sessions()));
    let expected = Expected {
        kind: "socket",
        closed: &["1006"],
        again: "401 token_revoked",
    };
    assert_cut_off(&scene, &client, &[expected]);
}

#[test]
fn calls_of_grpc_are_cut_off_and_are_unauthenticated_from_then_on() {
    let Some(mut command) = python("calls.py") else {
        return;
    };
    let scene = Scene::new(|_| ());
    let address = scene.envoy.address_of("portcullis").to_string();
    let client = Client::start(command.arg(address).args(sessions()));
    let expected = ["server", "client", "both"].map(|kind| Expected {
        kind,
        closed: &["INTERNAL", "UNAVAILABLE"],
        again: "UNAUTHENTICATED token_revoked",
    });
    assert_cut_off(&scene, &client, &expected);
}

#[test]
fn a_browser_is_cut_off_and_told_to_sign_in_again() {
    let Some(browser) = browser() else { return };
    let scene = Scene::new(|configuration| {
        // A script cannot give a WebSocket headers.
        let provider = &mut configuration["providers"]["demo"];
        provider["from_params"] = json!(["access_token"]);
        provider["from_headers"] = json!([{"name": "Authorization", "value_prefix": "Bearer "}]);
    });
    let profile = tempfile::tempdir().unwrap();
    let mut profile_option = OsStr::new("--user-data-dir=").to_owned();
    profile_option.push(profile.path());
    let server = scene.envoy.address_of("portcullis");
    let page = format!("http://{server}/public/page#{}", sessions().join("&"));
    // Its sandbox cannot be had in a container.
    let options = "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --no-first-run \
                   --no-proxy-server --enable-logging=stderr";
    let mut command = Command::new(browser);
    command.args(options.split_whitespace()).arg(profile_option);
    let client = Client::start(command.arg(page));
    let expected = [
        ("socket", &["1006 false"]),
        ("events", &["connecting"]),
        ("download", &["TypeError"]),
    ];
    let expected = expected.map(|(kind, closed)| Expected {
        kind,
        closed,
        again: "401 token_revoked sign_in",
    });
    assert_cut_off(&scene, &client, &expected);
}
