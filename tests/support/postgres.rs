//! PostgreSQL servers of tests, each on a free port of loopback with a directory of its own.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[path = "postgres/pooler.rs"]
mod pooler;
#[allow(
    clippy::duplicate_mod,
    reason = "a test that includes this may include others that need it"
)]
#[path = "port.rs"]
mod port;
#[path = "postgres/standby.rs"]
mod standby;

#[allow(
    unused_imports,
    reason = "the tests that include this need a part of it each"
)]
pub(crate) use {
    pooler::{Pooler, has_pooler},
    port::free_port,
    standby::Pair,
};

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_mins(1);

/// The role that tests are, which owns everything.
const ROLE: &str = "portcullis";

/// Whether there is a server to test with. Where tests have to be complete, one that is missing is a fault.
pub(crate) fn has_postgres() -> bool {
    let programs = ["initdb", "pg_basebackup", "pg_ctl", "psql"];
    if programs.iter().all(|name| program(name).is_some()) {
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
    // A pooler is where only root looks.
    let directories = std::env::split_paths(&on_path).chain([PathBuf::from("/usr/sbin")]);
    let mut on_path = directories.map(|directory| directory.join(name));
    found.pop().or_else(|| on_path.find(|path| path.exists()))
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
    /// Settings, each as `name=value`, beside those that all have.
    settings: Vec<String>,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these settings, each as `name=value`, instead of those that servers of tests have: a measurement
    /// wants `fsync=on`.
    pub(crate) fn start_with(settings: &[&str]) -> Self {
        let directory = owned_directory();
        make_data(directory.path());
        Self::start_on(free_port(), directory, settings)
    }

    /// One that takes only connections with TLS, for which it has this certificate and key.
    pub(crate) fn start_with_tls((certificate, key): &(String, String)) -> Self {
        let directory = owned_directory();
        make_data(directory.path());
        let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
        fs::copy(certificate, path("server.crt")).unwrap();
        fs::copy(key, path("server.key")).unwrap();
        // It takes no key that others can read.
        fs::set_permissions(path("server.key"), fs::Permissions::from_mode(0o600)).unwrap();
        own(Path::new(&path("server.key")));
        fs::write(
            path("data/pg_hba.conf"),
            "hostssl all all 127.0.0.1/32 trust\n",
        )
        .unwrap();
        let settings = [
            "ssl=on",
            &format!("ssl_cert_file={}", path("server.crt")),
            &format!("ssl_key_file={}", path("server.key")),
        ];
        Self::start_on(free_port(), directory, &settings)
    }

    /// Starts one on data that is there.
    fn start_on(port: u16, directory: TempDir, settings: &[&str]) -> Self {
        let settings: Vec<_> = settings.iter().map(|&text| text.to_owned()).collect();
        let mut server = Self {
            process: spawn(directory.path(), port, &settings),
            port,
            settings,
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
        url(self.port, name)
    }

    /// What `psql` prints.
    #[track_caller]
    pub(crate) fn ask(&self, database: &str, statement: &str) -> String {
        ask(self.port, database, statement)
    }

    /// What `pgbench` prints.
    #[track_caller]
    pub(crate) fn bench(&self, database: &str, arguments: &[&str]) -> String {
        let output =
            Command::new(program("pgbench").expect("pgbench, which comes with the server"))
                .args(["-h", "127.0.0.1", "-p", &self.port.to_string(), "-U", ROLE])
                .args(arguments)
                .arg(database)
                .output()
                .unwrap();
        assert!(output.status.success(), "{arguments:?}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// The process that has all others of the server as its children.
    pub(crate) fn id(&self) -> u32 {
        self.process.id()
    }

    /// Ends it as a power cut would.
    pub(crate) fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again, with what it has on the disk.
    pub(crate) fn restart(&mut self) {
        self.process = spawn(self.directory.path(), self.port, &self.settings);
        self.wait();
    }

    fn wait(&mut self) {
        let end = Instant::now() + PATIENCE;
        while !psql(self.port, "postgres", "SELECT 1").status.success() {
            assert!(Instant::now() < end, "PostgreSQL does not answer");
            // After a kill, processes of the old server may be there for a moment.
            if self.process.try_wait().unwrap().is_some() {
                self.process = spawn(self.directory.path(), self.port, &self.settings);
            }
            thread::sleep(Duration::from_millis(50));
        }
    }
}

/// A database of the server, or behind the pooler, at this port.
fn url(port: u16, name: &str) -> String {
    format!("postgres://{ROLE}@127.0.0.1:{port}/{name}")
}

/// What `psql` prints that asks there.
#[track_caller]
fn ask(port: u16, database: &str, statement: &str) -> String {
    let output = psql(port, database, statement);
    assert!(output.status.success(), "{statement}: {output:?}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

/// Has `psql` ask the server, or the pooler, at this port.
fn psql(port: u16, database: &str, statement: &str) -> std::process::Output {
    Command::new(program("psql").unwrap())
        .args(["-h", "127.0.0.1", "-p", &port.to_string(), "-U", ROLE])
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

/// A directory of the user that the server runs as.
fn owned_directory() -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    own(directory.path());
    directory
}

fn own(path: &Path) {
    if is_root() {
        let new_owner = format!("{}:nogroup", user());
        let owned = Command::new("chown").arg(new_owner).arg(path).status();
        assert!(owned.unwrap().success());
    }
}

/// The data of a new server.
fn make_data(directory: &Path) {
    let made = as_someone_else("initdb")
        .arg("-D")
        .arg(directory.join("data"))
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
}

fn spawn(directory: &Path, port: u16, settings: &[String]) -> Child {
    as_someone_else("postgres")
        .arg("-D")
        .arg(directory.join("data"))
        .args(["-p", &port.to_string(), "-c", "listen_addresses=127.0.0.1"])
        .args(["-c", "unix_socket_directories=", "-c", "max_connections=50"])
        // As on a server that acknowledges what it has not written: nothing of it may be lost all the same.
        .args(["-c", "synchronous_commit=off"])
        // A server is killed here, and no machine is: what it has written is there without the disk.
        .args(["-c", "fsync=off"])
        .args(settings.iter().flat_map(|setting| ["-c", setting]))
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
