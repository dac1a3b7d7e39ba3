//! A Prometheus server of a test, with the files that operators load into theirs.

use std::fs::{self, File};
use std::net::{SocketAddr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::SystemTime;

use regex_lite::{Captures, Regex};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::patience::until;
use super::yaml::read_yaml;

const CONFIGURATION: &str = include_str!("../../envoy/observability/prometheus.yaml");
const RULES: &str = include_str!("../../envoy/observability/rules.yaml");

/// Whether there is a server to test with. Where tests have to be complete, one that is missing is a fault.
pub(crate) fn has_prometheus() -> bool {
    if Command::new("prometheus").arg("--version").output().is_ok() {
        return true;
    }
    assert!(
        std::env::var_os("PORTCULLIS_EVERY_SERVER").is_none(),
        "prometheus is missing: apt-get install prometheus"
    );
    eprintln!("SKIPPED: without prometheus, nothing is known about alerts and the dashboard");
    false
}

/// A text in which time runs faster: how often is scraped and looked, the windows of queries, and how long
/// something has to be so. What metrics are compared with stays.
pub(crate) fn hastened(text: &str, factor: u64) -> String {
    let duration =
        Regex::new(r"((?:_interval|for): |\[|offset )((?:\d+[smh])+)\b").expect("an expression");
    let unit = Regex::new(r"(\d+)([smh])").expect("an expression");
    let shorten = |found: &Captures<'_>| {
        let parts = unit.captures_iter(&found[2]).map(|part| {
            let seconds = match &part[2] {
                "s" => 1,
                "m" => 60,
                _ => 3_600,
            };
            part[1].parse::<u64>().expect("a number") * seconds * 1_000
        });
        format!("{}{}ms", &found[1], parts.sum::<u64>() / factor)
    };
    duration.replace_all(text, shorten).into_owned()
}

/// Who is scraped.
#[derive(Clone, Debug)]
pub(crate) struct Targets {
    pub(crate) authorities: Vec<SocketAddr>,
    /// Admin interfaces of Envoys.
    pub(crate) edges: Vec<SocketAddr>,
}

/// A running server, killed when dropped.
pub(crate) struct Prometheus {
    process: Child,
    address: SocketAddr,
    factor: u64,
    started: SystemTime,
    directory: TempDir,
}

impl Prometheus {
    /// One that scrapes these with this credential, and in which time runs that much faster.
    pub(crate) fn start(targets: &Targets, credential: &str, factor: u64) -> Self {
        let directory = tempfile::tempdir().expect("a temporary directory");
        let path = directory.path();
        let write = |name: &str, text: &str| fs::write(path.join(name), text).expect("a file");
        write("credential", credential);
        write("rules.yaml", &hastened(RULES, factor));
        write(
            "prometheus.yaml",
            &configuration(targets, path.join("credential").to_str(), factor),
        );
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let address = listener.local_addr().expect("the address just bound");
        drop(listener);
        let log = File::create(path.join("log")).expect("a file");
        let process = Command::new("prometheus")
            .arg(format!(
                "--config.file={}",
                path.join("prometheus.yaml").display()
            ))
            .arg(format!(
                "--storage.tsdb.path={}",
                path.join("data").display()
            ))
            .arg(format!("--web.listen-address={address}"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("prometheus");
        let server = Self {
            process,
            address,
            factor,
            started: now(),
            directory,
        };
        let is_ready = || {
            let answer = ureq::get(server.url("/-/ready")).call();
            answer.is_ok_and(|answer| answer.status() == 200)
        };
        until(|| server.log(), is_ready);
        server
    }

    /// Scrapes others from now on.
    pub(crate) fn scrape(&self, targets: &Targets) {
        let path = self.directory.path();
        let text = configuration(targets, path.join("credential").to_str(), self.factor);
        fs::write(path.join("prometheus.yaml"), text).expect("a file");
        let id = self.process.id().to_string();
        let status = Command::new("kill").args(["-s", "HUP", &id]).status();
        assert!(status.expect("kill").success());
    }

    pub(crate) fn log(&self) -> String {
        let log = fs::read(self.directory.path().join("log")).expect("the log");
        String::from_utf8_lossy(&log).into_owned()
    }

    /// The alerts that fire.
    pub(crate) fn firing(&self) -> Vec<Value> {
        let answer = self.ask("/api/v1/alerts", &[]);
        let alerts = answer["alerts"].as_array().expect("alerts").iter();
        alerts
            .filter(|alert| alert["state"] == "firing")
            .cloned()
            .collect()
    }

    /// What a query comes to now: labels, and a value.
    pub(crate) fn query(&self, query: &str) -> Vec<(Value, f64)> {
        let answer = self.ask("/api/v1/query", &[("query", query.to_owned())]);
        let result = answer["result"].as_array().expect("a result").iter();
        let number = |series: &Value| number(&series["value"][1]);
        result
            .map(|series| (series["metric"].clone(), number(series)))
            .collect()
    }

    /// What a query came to from the start to now, each second: labels, and values.
    pub(crate) fn query_range(&self, query: &str) -> Vec<(Value, Vec<f64>)> {
        let seconds = |time: SystemTime| {
            let since = time.duration_since(SystemTime::UNIX_EPOCH);
            since.expect("a time past 1970").as_secs_f64().to_string()
        };
        let answer = self.ask(
            "/api/v1/query_range",
            &[
                ("query", query.to_owned()),
                ("start", seconds(self.started)),
                ("end", seconds(now())),
                ("step", "1".to_owned()),
            ],
        );
        let result = answer["result"].as_array().expect("a result").iter();
        let values = |series: &Value| {
            let values = series["values"].as_array().expect("values").iter();
            values.map(|pair| number(&pair[1])).collect()
        };
        result
            .map(|series| (series["metric"].clone(), values(series)))
            .collect()
    }

    /// A query of the dashboard, with what Grafana puts into it.
    pub(crate) fn as_grafana_asks(&self, query: &str) -> String {
        // Four scrapes: what Grafana takes at least.
        let query = query.replace("$__rate_interval", "1m");
        let variables = Regex::new(r"\$[a-z_]+").expect("an expression");
        hastened(&variables.replace_all(&query, ".*"), self.factor)
    }

    fn ask(&self, path: &str, parameters: &[(&str, String)]) -> Value {
        let request = ureq::get(self.url(path))
            .config()
            .http_status_as_error(false)
            .build();
        let parameters = parameters.iter();
        let request = parameters.fold(request, |it, (name, value)| it.query(*name, value));
        let mut response = request.call().expect("an answer of Prometheus");
        let text = response.body_mut().read_to_string().expect("text");
        let answer: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(answer["status"], "success", "{path}: {text}");
        answer["data"].clone()
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("the log of Prometheus:\n{}", self.log());
        }
        // An error means that it has ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// The operators' file, without TLS and with these targets.
fn configuration(targets: &Targets, credential: Option<&str>, factor: u64) -> String {
    let mut configuration = read_yaml(&hastened(CONFIGURATION, factor));
    let [authority, edges] = configuration["scrape_configs"]
        .as_array_mut()
        .expect("jobs")
        .as_mut_slice()
    else {
        panic!("expected two jobs");
    };
    authority["scheme"] = "http".into();
    authority["authorization"]["credentials_file"] = credential.expect("a path in UTF-8").into();
    authority
        .as_object_mut()
        .expect("an object")
        .remove("tls_config");
    for (job, addresses) in [(authority, &targets.authorities), (edges, &targets.edges)] {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        job["static_configs"] = json!([{ "targets": addresses }]);
    }
    configuration.to_string()
}

fn number(value: &Value) -> f64 {
    let text = value.as_str().expect("a number in a string");
    text.parse().expect("a number")
}

#[expect(
    clippy::disallowed_methods,
    reason = "Prometheus goes by the clock of the machine"
)]
fn now() -> SystemTime {
    SystemTime::now()
}
