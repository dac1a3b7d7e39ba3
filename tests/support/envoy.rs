//! A real Envoy for one test.

use std::env;
use std::fs::{self, File};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use tempfile::TempDir;

use super::bootstrap::{Bootstrap, as_yaml};
use super::http::{Client, Request};
use super::patience::{PATIENCE, until};
use super::plugin::Plugin;
use super::upstream;

/// The command that builds and installs whatever these tests need.
const REMEDY: &str = "run: ./build.sh test envoy";

/// Lines of Envoy's log that a failed test shows.
const SHOWN_LOG_LINES: usize = 40;

/// A running Envoy. It ends when this is dropped, and also when the test process dies without
/// dropping anything.
pub(crate) struct Envoy {
    process: Process,
    admin: SocketAddr,
    listeners: Vec<(String, SocketAddr)>,
}

impl Envoy {
    /// `ENVOY_BIN`, else `envoy` on the path, else the one that `build.sh` installs.
    pub(crate) fn program() -> PathBuf {
        if let Some(program) = env::var_os("ENVOY_BIN") {
            return program.into();
        }
        let path = env::var_os("PATH").unwrap_or_default();
        let on_path = env::split_paths(&path).map(|directory| directory.join("envoy"));
        let mut candidates = on_path
            .chain(installed_envoys())
            .filter(|path| path.is_file());
        candidates
            .next()
            .unwrap_or_else(|| panic!("no Envoy here; {REMEDY}"))
    }

    /// An Envoy with Portcullis in front of the upstream, ready for requests.
    pub(crate) fn with(configuration: &Value) -> Self {
        Self::start(&Bootstrap::with_plugin(Plugin::new(configuration)))
    }

    /// The same, started in any way.
    pub(crate) fn start(bootstrap: &Bootstrap) -> Self {
        let mut process = Process::start(bootstrap);
        let Some(admin) = process.wait_until_ready() else {
            panic!("Envoy did not start:\n{}", process.log());
        };
        let listeners = listeners(admin);
        Self {
            process,
            admin,
            listeners,
        }
    }

    /// Starts an Envoy that is expected to refuse its configuration, and gives what it said.
    pub(crate) fn refuses(bootstrap: &Bootstrap) -> String {
        let mut process = Process::start(bootstrap);
        assert!(
            process.wait_until_ready().is_none(),
            "expected Envoy to refuse its configuration"
        );
        let status = process.child.wait().expect("the state of the process");
        assert!(!status.success(), "expected Envoy to fail, found {status}");
        process.log()
    }

    /// A client of the only listener, or of the one with Portcullis in it.
    pub(crate) fn client(&self) -> Client {
        self.client_of("portcullis")
    }

    /// A client of the listener with this name.
    pub(crate) fn client_of(&self, listener: &str) -> Client {
        Client::new(self.address_of(listener))
    }

    /// Where the listener with this name listens.
    pub(crate) fn address_of(&self, listener: &str) -> SocketAddr {
        let address = self.listeners.iter().find(|(name, _)| name == listener);
        let (_, address) = address.unwrap_or_else(|| panic!("no listener `{listener}`"));
        *address
    }

    /// The value of a counter or gauge; `None` when Envoy has none of this name.
    pub(crate) fn stat(&self, name: &str) -> Option<u64> {
        let text = admin_page(self.admin, "/stats");
        let value = text
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))?;
        Some(
            value
                .parse()
                .unwrap_or_else(|_| panic!("`{name}` is no number: {value}")),
        )
    }

    /// The names of everything that Envoy counts or measures.
    pub(crate) fn stat_names(&self) -> Vec<String> {
        let text = admin_page(self.admin, "/stats");
        let names = text.lines().filter_map(|line| line.split_once(": "));
        names.map(|(name, _)| name.to_owned()).collect()
    }

    /// A figure of what Envoy says about its memory, in bytes.
    #[allow(dead_code, reason = "for the bench")]
    pub(crate) fn memory(&self, figure: &str) -> u64 {
        let page = admin_page(self.admin, "/memory");
        let page: Value = serde_json::from_str(&page).expect("JSON");
        let figure = page[figure].as_str().expect("a number in a string");
        figure.parse().expect("a number")
    }

    /// How often a worker was busy without a break for longer than this many microseconds, one of
    /// the bounds of Envoy's histograms. Needs `enable_dispatcher_stats`.
    #[allow(dead_code, reason = "for the bench")]
    pub(crate) fn pauses_longer_than(&self, microseconds: u32) -> u64 {
        let page = "/stats?filter=worker_.*loop_duration_us&histogram_buckets=cumulative";
        let text = admin_page(self.admin, page);
        let counts = |bound: &str| -> u64 {
            let buckets = text.split_whitespace().filter_map(|bucket| {
                // The counts since the last flush, and those since the start.
                let counts = bucket.strip_prefix(bound)?.strip_suffix(')')?;
                counts.split_once(',')?.1.parse::<u64>().ok()
            });
            buckets.sum()
        };
        // Everything is below an hour.
        counts("B3.6e+06(") - counts(&format!("B{microseconds}("))
    }

    /// Where its admin interface is.
    pub(crate) const fn admin(&self) -> SocketAddr {
        self.admin
    }

    /// All metrics as Prometheus reads them.
    pub(crate) fn prometheus(&self) -> String {
        admin_page(self.admin, "/stats/prometheus")
    }

    /// Clients of the listener with Portcullis in it, one for every worker, each with its
    /// connection to that worker.
    pub(crate) fn client_of_every_worker(&self) -> Vec<Client> {
        let mut clients = Vec::new();
        let mut counts = self.connections_by_worker();
        let mut served = vec![false; counts.len()];
        while clients.len() < counts.len() {
            let mut client = self.client();
            client.send(&Request::get("/"));
            let now = self.connections_by_worker();
            for (worker, is_served) in served.iter_mut().enumerate() {
                if now[worker] > counts[worker] && !*is_served {
                    *is_served = true;
                    clients.push(client);
                    break;
                }
            }
            counts = now;
        }
        clients
    }

    /// How many connections each worker has accepted for the listener with Portcullis in it.
    fn connections_by_worker(&self) -> Vec<u64> {
        let listener = self.listeners.iter().find(|(name, _)| name == "portcullis");
        let (_, address) = listener.expect("a listener with Portcullis in it");
        let page = admin_page(self.admin, "/stats?filter=worker_.*downstream_cx_total");
        // Envoy writes `listener.127.0.0.1_10000.worker_0.downstream_cx_total: 1`, and the port
        // that was configured, which is 0, for one that the system chose.
        let ports = [format!("_{}.", address.port()), "_0.".to_owned()];
        let mut counts: Vec<(&str, u64)> = page
            .lines()
            .filter(|line| ports.iter().any(|port| line.contains(port)))
            .filter_map(|line| line.split_once(": "))
            .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
            .collect();
        counts.sort_unstable();
        counts.into_iter().map(|(_, count)| count).collect()
    }

    /// Replaces the listeners of an Envoy that was started with replaceable ones, and waits until
    /// it has taken them over.
    pub(crate) fn replace_listeners(&mut self, bootstrap: &Bootstrap) {
        let name = "listener_manager.lds.update_success";
        let before = self.stat(name);
        let directory = self.process.directory.path();
        let file = directory.join("listeners.new");
        let resources = bootstrap.listener_resources(&module());
        fs::write(&file, resources.to_string()).expect("a file to write");
        // Envoy notices a file that is moved there, not one that is written to.
        fs::rename(&file, directory.join("listeners.json")).expect("a file to move");
        until(|| self.log(), || self.stat(name) != before);
        self.listeners = listeners(self.admin);
    }

    /// The process, for measurements.
    pub(crate) fn id(&self) -> u32 {
        self.process.child.id()
    }

    /// Everything that Envoy and the filter have logged.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    /// Memory of the process that is in use, in KiB.
    pub(crate) fn resident_kib(&self) -> u64 {
        let path = format!("/proc/{}/status", self.process.child.id());
        let status = fs::read_to_string(path).expect("the status of a running process");
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let figure = line.and_then(|line| line.trim().strip_suffix(" kB"));
        figure
            .and_then(|figure| figure.parse().ok())
            .expect("VmRSS in kB")
    }
}

/// The process, which may not have started or not start at all.
struct Process {
    child: Child,
    directory: TempDir,
}

impl Process {
    /// Envoy, and beside it a shell that kills it when the test process, whose end closes the
    /// pipe, is gone for any reason.
    fn start(bootstrap: &Bootstrap) -> Self {
        const WITH_A_WATCHER: &str =
            r#"exec 3<&0; (cat <&3; kill -9 $$) >/dev/null 2>&1 & exec "$0" "$@" 3<&-"#;
        let directory = tempfile::tempdir().expect("a temporary directory");
        let listeners = directory.path().join("listeners.json");
        let resources = bootstrap.listener_resources(&module());
        fs::write(&listeners, resources.to_string()).expect("a file to write");
        let configuration = bootstrap.to_json(&module(), upstream::address(), &listeners);
        let (name, text) = if bootstrap.is_yaml {
            ("envoy.yaml", as_yaml(&configuration))
        } else {
            ("envoy.json", configuration.to_string())
        };
        let configuration_file = directory.path().join(name);
        fs::write(&configuration_file, text).expect("a file to write");
        let log = File::create(directory.path().join("envoy.log")).expect("a file to write");
        let child = Command::new("sh")
            .args(["-c", WITH_A_WATCHER])
            .arg(Envoy::program())
            .args([
                "--disable-hot-restart",
                "--concurrency",
                &bootstrap.workers.to_string(),
                "--log-level",
                "warning",
                // Access logs are kept back for ten seconds otherwise.
                "--file-flush-interval-msec",
                "50",
            ])
            .args([
                "--component-log-level",
                &format!("wasm:{}", bootstrap.wasm_log_level),
            ])
            .args(bootstrap.drain_seconds.iter().flat_map(|seconds| {
                let strategy = ["--drain-strategy", "immediate", "--drain-time-s"];
                strategy
                    .map(str::to_owned)
                    .into_iter()
                    .chain([seconds.to_string()])
            }))
            .arg("--config-path")
            .arg(&configuration_file)
            .arg("--admin-address-path")
            .arg(directory.path().join("admin"))
            .envs(
                bootstrap
                    .environment
                    .iter()
                    .map(|(name, value)| (name, value)),
            )
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("sh");
        Self { child, directory }
    }

    /// The address of the admin interface as soon as Envoy is live; `None` when it has ended.
    fn wait_until_ready(&mut self) -> Option<SocketAddr> {
        const PAUSE: Duration = Duration::from_millis(10);
        let start = Instant::now();
        while start.elapsed() < PATIENCE {
            if let Some(admin) = self.admin().filter(|admin| is_live(*admin)) {
                return Some(admin);
            }
            if self
                .child
                .try_wait()
                .expect("the state of the process")
                .is_some()
            {
                return None;
            }
            thread::sleep(PAUSE);
        }
        panic!(
            "Envoy neither started nor ended within {PATIENCE:?}:\n{}",
            self.log()
        );
    }

    fn admin(&self) -> Option<SocketAddr> {
        fs::read_to_string(self.directory.path().join("admin"))
            .ok()?
            .parse()
            .ok()
    }

    fn log(&self) -> String {
        let bytes = fs::read(self.directory.path().join("envoy.log")).expect("Envoy's log");
        String::from_utf8_lossy(&bytes).into_owned()
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        if thread::panicking() {
            let log = self.log();
            let lines: Vec<_> = log.lines().collect();
            let shown = &lines[lines.len().saturating_sub(SHOWN_LOG_LINES)..];
            eprintln!("the end of Envoy's log:\n{}", shown.join("\n"));
        }
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn is_live(admin: SocketAddr) -> bool {
    let reply = Client::new(admin).try_send(&Request::get("/ready"));
    reply.is_ok_and(|reply| reply.status == 200)
}

fn admin_page(admin: SocketAddr, path: &str) -> String {
    let reply = Client::new(admin).send(&Request::get(path));
    assert_eq!(reply.status, 200, "{path}: {reply:?}");
    reply.body
}

/// Names and addresses, with the ports that the system chose.
fn listeners(admin: SocketAddr) -> Vec<(String, SocketAddr)> {
    let page = admin_page(admin, "/listeners?format=json");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let statuses = page["listener_statuses"]
        .as_array()
        .expect("a list of listeners");
    let listener = |status: &Value| {
        let name = status["name"].as_str().expect("a name").to_owned();
        let port = status["local_address"]["socket_address"]["port_value"].as_u64();
        let port = port
            .and_then(|port| u16::try_from(port).ok())
            .expect("a port");
        (name, SocketAddr::from(([127, 0, 0, 1], port)))
    };
    statuses.iter().map(listener).collect()
}

/// The path of the module that was built.
pub(crate) fn module() -> String {
    let path = env::var_os("PORTCULLIS_WASM").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/portcullis.wasm"),
        PathBuf::from,
    );
    assert!(path.is_file(), "no filter at {}; {REMEDY}", path.display());
    path.to_str().expect("a path in UTF-8").to_owned()
}

/// `target/envoy` is a Python environment, whose path has Python's version in it.
fn installed_envoys() -> Vec<PathBuf> {
    let libraries = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/envoy/lib");
    let versions = fs::read_dir(libraries).into_iter().flatten().flatten();
    versions
        .map(|python| python.path().join("site-packages/envoy/_bin/envoy"))
        .collect()
}
