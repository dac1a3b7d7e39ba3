//! PostgreSQL servers of tests, each on a free port of loopback with a directory of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The role that tests are, which owns everything.
const ROLE: &str = "portcullis";

/// Whether there is a server to test with. Where tests have to be complete, one that is missing is a fault.
pub(crate) fn has_postgres() -> bool {
    if program("initdb").is_some() && program("psql").is_some() {
        return true;
    }
    assert!(
        std::env::var_os("PORTCULLIS_EVERY_SERVER").is_none(),
        "PostgreSQL is missing: apt-get install postgresql"
    );
    eprintln!(
        "SKIPPED: without PostgreSQL (apt-get install postgresql), nothing is known about it"
    );
    false
}

/// A program of PostgreSQL, where Debian has it, or on the path.
fn program(name: &str) -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").into_iter().flatten();
    let mut found: Vec<PathBuf> = versions
        .filter_map(|version| Some(version.ok()?.path().join("bin").join(name)))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    let on_path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&on_path).map(|directory| directory.join(name));
    found
        .pop()
        .or_else(|| on_path.into_iter().find(|path| path.exists()))
}

/// PostgreSQL refuses to run as root.
fn as_someone_else(name: &str) -> Command {
    let program = program(name).unwrap();
    if !is_root() {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command
        .args(["--reuid", user(), "--regid", "nogroup", "--clear-groups"])
        .arg(program);
    command
}

fn is_root() -> bool {
    let output = Command::new("id").arg("-u").output().unwrap();
    output.stdout == b"0\n"
}

fn user() -> &'static str {
    let users = fs::read_to_string("/etc/passwd").unwrap_or_default();
    if users.lines().any(|user| user.starts_with("postgres:")) {
        "postgres"
    } else {
        "nobody"
    }
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        let directory = tempfile::tempdir().unwrap();
        if is_root() {
            let new_owner = format!("{}:nogroup", user());
            let owned = Command::new("chown")
                .arg(new_owner)
                .arg(directory.path())
                .status();
            assert!(owned.unwrap().success());
        }
        let made = as_someone_else("initdb")
            .arg("-D")
            .arg(directory.path().join("data"))
            .args([
                "-U",
                ROLE,
                "--auth=trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            ])
            .current_dir("/")
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let port = free_port();
        let mut server = Self {
            process: spawn(directory.path(), port),
            port,
            directory,
        };
        server.wait();
        server
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// A new database.
    pub(crate) fn database(&self, name: &str) -> String {
        self.ask("postgres", &format!("CREATE DATABASE {name}"));
        self.url(name)
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("postgres://{ROLE}@127.0.0.1:{}/{name}", self.port)
    }

    /// What `psql` prints.
    #[track_caller]
    pub(crate) fn ask(&self, database: &str, statement: &str) -> String {
        let output = self.psql(database, statement);
        assert!(output.status.success(), "{statement}: {output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    fn psql(&self, database: &str, statement: &str) -> std::process::Output {
        Command::new(program("psql").unwrap())
            .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", ROLE])
            .args([
                "-d",
                database,
                "-AtX",
                "-v",
                "ON_ERROR_STOP=1",
                "-c",
                statement,
            ])
            .output()
            .unwrap()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, with what it has on the disk.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.directory.path(), self.port);
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !self.psql("postgres", "SELECT 1").status.success() {
            assert!(Instant::now() < end, "PostgreSQL does not answer");
            // After a kill, processes of the old server may be there for a moment.
            if self.process.try_wait().unwrap().is_some() {
                self.process = spawn(self.directory.path(), self.port);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A port that nothing listens on.
pub(crate) fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    listener.local_addr().unwrap().port()
}

fn spawn(directory: &Path, port: u16) -> Child {
    as_someone_else("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories=", "-c", "max_connections=50"])
        // As on a server that acknowledges what it has not written: nothing of it may be lost all the same.
        .args(["-c", "synchronous_commit=off"])
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
