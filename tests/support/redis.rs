//! Redis servers of tests, each on a free port of loopback with a directory of its own.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use tempfile::TempDir;

#[allow(
    clippy::duplicate_mod,
    reason = "a test that includes this may include others that need it"
)]
#[path = "port.rs"]
mod port;

/// How long a server may take to answer.
const PATIENCE: Duration = Duration::from_secs(30);

/// Whether there is a server to test with. Where tests have to be complete, one that is missing is a fault.
pub(crate) fn has_redis() -> bool {
    let found = Command::new("redis-server").arg("--version").output();
    if found.is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("PORTCULLIS_EVERY_SERVER").is_none(),
        "redis-server is missing: apt-get install redis-server"
    );
    eprintln!("SKIPPED: without redis-server, nothing is known about sessions in Redis");
    false
}

/// A running server, killed when dropped.
pub(crate) struct Server {
    process: Child,
    port: u16,
    options: Vec<String>,
    /// What signs its certificate, if it speaks TLS.
    certificate: Option<PathBuf>,
    directory: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        self.kill();
    }
}

impl Server {
    /// One that keeps nothing on the disk unless told to.
    pub(crate) fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        Self::start_in(directory, options, None)
    }

    /// One that speaks TLS only, with this certificate and key.
    pub(crate) fn start_with_tls((certificate, key): (&str, &str)) -> Self {
        let port = free_port();
        let options = [
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            certificate,
            "--tls-key-file",
            key,
            "--tls-ca-cert-file",
            certificate,
            "--tls-auth-clients",
            "no",
        ];
        let directory = tempfile::tempdir().unwrap();
        Self::start_at(port, directory, &options, Some(certificate.into()))
    }

    fn start_in(directory: TempDir, options: &[&str], certificate: Option<PathBuf>) -> Self {
        Self::start_at(free_port(), directory, options, certificate)
    }

    fn start_at(
        port: u16,
        directory: TempDir,
        options: &[&str],
        certificate: Option<PathBuf>,
    ) -> Self {
        let plain_port = if certificate.is_some() { 0 } else { port };
        let mut all = vec!["--port".to_owned(), plain_port.to_string()];
        all.extend(options.iter().map(|&option| option.to_owned()));
        let server = Self {
            process: spawn(directory.path(), &all),
            port,
            options: all,
            certificate,
            directory,
        };
        server.wait();
        server
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// Its address, with a scheme that suits it.
    pub(crate) fn url(&self) -> String {
        let scheme = if self.certificate.is_some() {
            "rediss"
        } else {
            "redis"
        };
        format!("{scheme}://127.0.0.1:{}", self.port)
    }

    /// Its process, for measurements.
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
        self.process = spawn(self.directory.path(), &self.options);
        self.wait();
    }

    /// What `redis-cli` prints.
    pub(crate) fn ask(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("redis-cli");
        command.args(["-p", &self.port.to_string()]);
        if let Some(certificate) = &self.certificate {
            command.arg("--tls").arg("--cacert").arg(certificate);
        }
        let output = command.args(arguments).output().unwrap();
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    fn wait(&self) {
        let end = Instant::now() + PATIENCE;
        while self.ask(&["PING"]).trim() != "PONG" {
            assert!(Instant::now() < end, "redis-server does not answer");
            thread::sleep(Duration::from_millis(20));
        }
    }
}

/// Three masters.
pub(crate) struct Cluster(pub(crate) Vec<Server>);

impl Cluster {
    /// One that is ready.
    pub(crate) fn start() -> Self {
        let options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "2000"];
        let cluster = Self((0..3).map(|_| Server::start(&options)).collect());
        let made = Command::new("redis-cli")
            .args(["--cluster", "create"])
            .args(cluster.hosts())
            .args(["--cluster-replicas", "0", "--cluster-yes"])
            .output()
            .unwrap();
        let told = String::from_utf8_lossy(&made.stdout);
        assert!(made.status.success(), "{told}");
        let end = Instant::now() + PATIENCE;
        let is_up = |server: &Server| {
            let state = server.ask(&["CLUSTER", "INFO"]);
            state.contains("cluster_state:ok")
        };
        while !cluster.0.iter().all(is_up) {
            assert!(Instant::now() < end, "the cluster does not come up");
            thread::sleep(Duration::from_millis(50));
        }
        cluster
    }

    pub(crate) fn url(&self) -> String {
        format!("redis+cluster://{}", self.hosts().join(","))
    }

    fn hosts(&self) -> Vec<String> {
        let servers = self.0.iter();
        servers
            .map(|server| format!("127.0.0.1:{}", server.port))
            .collect()
    }
}

/// A port that nothing listens on, and neither on the one 10,000 above, where a node of a cluster does.
fn free_port() -> u16 {
    loop {
        let port = port::free_port();
        // That one as well is below those that Linux gives away by itself.
        if port < 22_000 && TcpListener::bind(("127.0.0.1", port + 10_000)).is_ok() {
            return port;
        }
    }
}

fn spawn(directory: &Path, options: &[String]) -> Child {
    Command::new("redis-server")
        .args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"])
        .arg("--dir")
        .arg(directory)
        .args(options)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}
