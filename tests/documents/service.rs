//! The unit with which systemd runs the authority.
//!
//! Here it is looked at by systemd's own tools, and its command line is run as it says. A machine
//! without systemd's tools, or without `strace`, leaves out what needs them, and says so;
//! `PORTCULLIS_EVERY_TOOL` makes that a fault.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::Command;

use super::document;
use super::support::make_certificate;
use super::support::process::{Authority, binary, credential};

const UNIT: &str = "envoy/portcullis-authority.service";

/// In tenths, of 100. What is left is access to the network, which it is there for.
const MOST_EXPOSED: &str = "15";

/// The values of a key of the unit, each without what continues its line.
fn values(key: &str) -> Vec<String> {
    let text = document(UNIT).replace("\\\n", "");
    let values = text.lines().filter_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name == key).then(|| value.to_owned())
    });
    values.collect()
}

fn value(key: &str) -> String {
    let [value] = &*values(key) else {
        panic!("{key}")
    };
    value.clone()
}

/// Whether there is a program of this name; a fault where all have to be there.
fn has(program: &str) -> bool {
    let is_there = Command::new(program)
        .arg("--version")
        .output()
        .is_ok_and(|output| output.status.success());
    let is_wanted = std::env::var_os("PORTCULLIS_EVERY_TOOL").is_some();
    assert!(is_there || !is_wanted, "no `{program}` here");
    if !is_there {
        eprintln!("left out: no `{program}` here");
    }
    is_there
}

/// Runs a tool on the unit, with a program that is there.
#[track_caller]
fn analyze(arguments: &[&str]) -> String {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("portcullis");
    symlink(binary(), &program).unwrap();
    let unit = directory.path().join("portcullis-authority.service");
    let text = document(UNIT).replace("/usr/local/bin/portcullis", program.to_str().unwrap());
    fs::write(&unit, text).unwrap();
    let mut command = Command::new("systemd-analyze");
    let output = command.args(arguments).arg(&unit).output().unwrap();
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert!(output.status.success(), "{said}");
    said
}

#[test]
fn systemd_knows_every_line_of_the_unit() {
    if has("systemd-analyze") {
        let said = analyze(&["verify"]);
        // Of other units on this machine, something may be said.
        assert!(!said.contains("portcullis-authority"), "{said}");
    }
}

#[test]
fn the_unit_is_exposed_no_more_than_the_page_says() {
    if has("systemd-analyze") {
        let threshold = format!("--threshold={MOST_EXPOSED}");
        let said = analyze(&["security", "--offline=true", "--no-pager", &threshold]);
        let page = document("envoy/systemd.md");
        let (_, behind) = page.split_once("an exposure of ").unwrap();
        let exposure = behind.split(' ').next().unwrap();
        let expected =
            format!("Overall exposure level for portcullis-authority.service: {exposure} ");
        assert!(said.contains(&expected), "{said}");
        assert!(page.contains("the limit is 1.5") && MOST_EXPOSED == "15");
    }
}

/// The command line of the unit, with directories of this test and any port.
fn command_line(directory: &Path) -> Vec<String> {
    let etc = directory.join("etc/portcullis");
    fs::create_dir_all(&etc).unwrap();
    credential(&etc, "admin", "operator");
    let (certificate, key) = make_certificate(&etc);
    fs::rename(certificate, etc.join("server.pem")).unwrap();
    fs::rename(key, etc.join("server.key")).unwrap();
    let command = value("ExecStart")
        .replace("%S", directory.to_str().unwrap())
        .replace("%E", directory.join("etc").to_str().unwrap())
        .replace("0.0.0.0:10002", "127.0.0.1:0");
    let words = command.split_whitespace().map(str::to_owned);
    let words: Vec<_> = words.collect();
    assert_eq!(words[0], "/usr/local/bin/portcullis");
    words[1..].to_vec()
}

#[test]
fn its_command_line_serves_all_connections_within_its_limit_of_descriptors() {
    let directory = tempfile::tempdir().unwrap();
    let script = format!("ulimit -n {}; exec \"$@\"", value("LimitNOFILE"));
    let mut command = Command::new("sh");
    command.args(["-c", &script, "sh", binary()]);
    let authority = Authority::spawn(command.args(command_line(directory.path())));
    assert!(authority.url.starts_with("https://"), "{}", authority.url);
    let log = || authority.log();
    super::support::until(log, || log().contains("connection limit"));
    assert!(log().contains("\"total\":10000"), "{}", log());
}

#[test]
fn its_supervisor_is_told_when_it_listens_and_when_it_ends() {
    assert_eq!(value("Type"), "notify");
    let directory = tempfile::tempdir().unwrap();
    let socket = directory.path().join("notify");
    let supervisor = UnixDatagram::bind(&socket).unwrap();
    supervisor
        .set_read_timeout(Some(super::support::PATIENCE))
        .unwrap();
    let told = || {
        let mut bytes = [0; 200];
        let length = supervisor.recv(&mut bytes).unwrap();
        String::from_utf8(bytes[..length].to_vec()).unwrap()
    };
    let mut command = Command::new(binary());
    command
        .args(command_line(directory.path()))
        .env("NOTIFY_SOCKET", &socket);
    let mut authority = Authority::spawn(&mut command);
    assert_eq!(
        told(),
        format!("READY=1\nSTATUS=listening on {}", authority.url)
    );
    authority.signal("TERM");
    assert_eq!(told(), "STOPPING=1\nSTATUS=finishing requests");
    assert!(authority.wait().success());
}

/// It tells silence of edges from idle sessions by `/proc/uptime` and a file in `/proc/sys`, and goes
/// without where they are hidden: no message would say so.
#[test]
fn the_unit_does_not_hide_how_long_the_machine_has_run() {
    assert!(values("ProcSubset").iter().all(|subset| subset == "all"));
}

/// The system calls that the unit allows.
fn allowed() -> BTreeSet<String> {
    let mut allowed = BTreeSet::new();
    for filter in values("SystemCallFilter") {
        let (filter, is_taken_out) = match filter.strip_prefix('~') {
            Some(filter) => (filter, true),
            None => (&*filter, false),
        };
        for call in filter.split_whitespace().flat_map(calls) {
            if is_taken_out {
                allowed.remove(&call);
            } else {
                allowed.insert(call);
            }
        }
    }
    allowed
}

/// What a name in a filter stands for: itself, or what is in the set.
fn calls(name: &str) -> Vec<String> {
    if !name.starts_with('@') {
        return vec![name.to_owned()];
    }
    let output = Command::new("systemd-analyze")
        .args(["syscall-filter", "--no-pager", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().skip(1).map(str::trim);
    let names = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
    names.flat_map(calls).collect()
}

/// The system calls in what `strace -f` has written.
fn made(trace: &str) -> BTreeSet<String> {
    let calls = trace.lines().filter_map(|line| {
        let (_, call) = line.split_once(' ')?;
        let call = call.trim_start();
        let call = call.strip_prefix("<... ").unwrap_or(call);
        let name = call.split([' ', '(']).next()?;
        let is_name =
            |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_';
        (!name.is_empty() && name.chars().all(is_name)).then(|| name.to_owned())
    });
    calls.collect()
}

/// What is refused has to be noticed here, since the unit has the call fail, and not the process.
#[test]
fn the_unit_allows_every_system_call_that_the_authority_makes() {
    if !has("systemd-analyze") || !has("strace") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let trace = directory.path().join("trace");
    let mut command = Command::new("strace");
    command
        .args(["-D", "-f", "-s", "0", "-o"])
        .arg(&trace)
        .arg(binary());
    let mut authority = Authority::spawn(command.args(command_line(directory.path())));
    let secret = credential(&directory.path().join("etc/portcullis"), "admin", "other");
    let log = authority.log();
    authority = authority.with_credential(&secret);
    super::support::until(|| log.clone(), || authority.get("/v1/stats").status == 200);
    for number in 0..20 {
        assert_eq!(
            authority.revoke("session", &format!("s{number}")).status,
            200
        );
    }
    assert!(authority.is_session_revoked("s7"));
    assert_eq!(
        authority.post("/v1/backup", &serde_json::json!({})).status,
        200
    );
    assert_eq!(authority.get("/metrics").status, 200);
    authority.signal("TERM");
    authority.wait();
    let trace = || fs::read_to_string(&trace).unwrap();
    super::support::until(trace, || trace().contains("+++ exited with 0"));
    let made = made(&trace());
    let writes = made.contains("fsync") || made.contains("fdatasync");
    assert!(made.len() > 30 && writes, "{made:?}");
    let allowed = allowed();
    assert!(
        allowed.len() > 200 && !allowed.contains("mount"),
        "{allowed:?}"
    );
    let refused: Vec<_> = made.difference(&allowed).collect();
    // Made by `strace` itself to become the program, before any filter.
    assert!(refused.is_empty(), "{refused:?}");
}
