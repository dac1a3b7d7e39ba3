//! The configuration that Envoy itself is started with.

use std::net::SocketAddr;
use std::path::Path;

use serde_json::{Map, Value, json};

use super::listener::Listener;
use super::plugin::Plugin;

/// When Envoy asks another one of several authorities.
pub(crate) const RETRY_ON: &str = "connect-failure,refused-stream,reset-before-request";

/// Everything that one Envoy is started with.
#[derive(Clone)]
pub(crate) struct Bootstrap {
    listeners: Vec<Listener>,
    /// Clusters besides the upstream's: their names and servers.
    clusters: Vec<(&'static str, SocketAddr)>,
    stats_tags: Value,
    /// Variables of the process.
    pub(super) environment: Vec<(&'static str, String)>,
    /// Level of the log lines about Wasm; of all others only warnings and errors are kept.
    pub(super) wasm_log_level: &'static str,
    pub(super) workers: u32,
    authority: Option<SocketAddr>,
    /// More members of clusters: the cluster's name, the member's and its value.
    cluster_members: Vec<(&'static str, &'static str, Value)>,
    is_dynamic: bool,
    /// How long a listener or filter chain that was replaced serves the connections that it has;
    /// as long as Envoy lets it by default.
    pub(super) drain_seconds: Option<u32>,
    passes_trailers: bool,
    /// Whether the file is YAML, with what [`as_yaml`] makes of the text.
    pub(super) is_yaml: bool,
    /// More members of the whole.
    members: Map<String, Value>,
}

impl Bootstrap {
    pub(crate) fn new(listeners: impl Into<Vec<Listener>>) -> Self {
        Self {
            listeners: listeners.into(),
            clusters: Vec::new(),
            stats_tags: json!([]),
            environment: Vec::new(),
            wasm_log_level: "info",
            workers: 2,
            authority: None,
            cluster_members: Vec::new(),
            is_dynamic: false,
            drain_seconds: None,
            passes_trailers: false,
            is_yaml: false,
            members: Map::new(),
        }
    }

    /// In a file of YAML, with what [`as_yaml`] makes of the text.
    pub(crate) const fn in_yaml(mut self) -> Self {
        self.is_yaml = true;
        self
    }

    /// With one listener that has Portcullis in it.
    pub(crate) fn with_plugin(plugin: Plugin) -> Self {
        Self::new([Listener::portcullis(plugin)])
    }

    /// With one more server that the filter can call.
    pub(crate) fn with_cluster(mut self, name: &'static str, server: SocketAddr) -> Self {
        self.clusters.push((name, server));
        self
    }

    /// With these rules for making labels of parts of metric names.
    pub(crate) fn with_stats_tags(mut self, stats_tags: Value) -> Self {
        self.stats_tags = stats_tags;
        self
    }

    /// With this variable in the environment of the process.
    pub(crate) fn with_environment(mut self, name: &'static str, value: String) -> Self {
        self.environment.push((name, value));
        self
    }

    /// With log lines about Wasm from this level up.
    pub(crate) const fn with_wasm_log_level(mut self, level: &'static str) -> Self {
        self.wasm_log_level = level;
        self
    }

    /// With so many workers; 2 by default.
    pub(crate) const fn with_workers(mut self, workers: u32) -> Self {
        self.workers = workers;
        self
    }

    /// With a cluster `authority`.
    pub(crate) const fn with_authority(mut self, address: SocketAddr) -> Self {
        self.authority = Some(address);
        self
    }

    /// With a cluster `authority` of several, as `envoy/envoy-replicas.yaml` has it, but without its health
    /// checks and outlier detection, which leave out what has failed: nothing may depend on their being fast
    /// enough.
    pub(crate) fn with_authorities(mut self, addresses: &[SocketAddr]) -> Self {
        self.authority = addresses.first().copied();
        for (name, member) in cluster_of_several(addresses) {
            self = self.with_cluster_member("authority", name, member);
        }
        self
    }

    /// With one more member of a cluster, or another one.
    pub(crate) fn with_cluster_member(
        mut self,
        cluster: &'static str,
        name: &'static str,
        member: Value,
    ) -> Self {
        self.cluster_members.push((cluster, name, member));
        self
    }

    /// With one more member of the whole configuration.
    pub(crate) fn with_member(mut self, name: &str, member: Value) -> Self {
        self.members.insert(name.to_owned(), member);
        self
    }

    /// With the listeners in a file of their own, which can be replaced while Envoy runs.
    pub(crate) const fn with_replaceable_listeners(mut self) -> Self {
        self.is_dynamic = true;
        self
    }

    /// With so long for what was replaced to serve the connections that it has.
    pub(crate) const fn draining_for(mut self, seconds: u32) -> Self {
        self.drain_seconds = Some(seconds);
        self
    }

    /// With the trailers of HTTP/1.1, which Envoy drops otherwise.
    pub(crate) const fn with_trailers(mut self) -> Self {
        self.passes_trailers = true;
        self
    }

    /// `listeners_file` is where Envoy looks for listeners that can be replaced.
    pub(super) fn to_json(&self, wasm: &str, upstream: SocketAddr, listeners_file: &Path) -> Value {
        let upstream = ("upstream", upstream);
        let authority = self.authority.map(|address| ("authority", address));
        let clusters = [upstream].into_iter().chain(authority);
        let clusters = clusters.chain(self.clusters.iter().copied());
        let mut clusters: Vec<_> = clusters
            .map(|(name, address)| cluster(name, address))
            .collect();
        for (of, name, member) in &self.cluster_members {
            for cluster in clusters.iter_mut().filter(|cluster| cluster["name"] == *of) {
                cluster[*name] = member.clone();
            }
        }
        if self.passes_trailers {
            let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            for cluster in &mut clusters {
                cluster["typed_extension_protocol_options"][options] = json!({
                    "@type": format!("type.googleapis.com/{options}"),
                    "explicit_http_config": {"http_protocol_options": {"enable_trailers": true}},
                });
            }
        }
        let mut bootstrap = json!({
            "admin": {"address": loopback(0)},
            "stats_config": {"stats_tags": self.stats_tags},
            "static_resources": {"clusters": clusters},
        });
        // Whatever is discovered is discovered for a node.
        bootstrap["node"] = json!({"id": "test", "cluster": "test"});
        for (name, member) in &self.members {
            bootstrap[name] = member.clone();
        }
        if self.is_dynamic {
            let source = json!({"path_config_source": {"path": listeners_file}});
            bootstrap["dynamic_resources"] = json!({"lds_config": source});
        } else {
            bootstrap["static_resources"]["listeners"] = self.listeners(wasm).into();
        }
        bootstrap
    }

    /// What stands in the file of replaceable listeners.
    pub(super) fn listener_resources(&self, wasm: &str) -> Value {
        let mut listeners = self.listeners(wasm);
        for listener in &mut listeners {
            listener["@type"] = "type.googleapis.com/envoy.config.listener.v3.Listener".into();
        }
        json!({ "resources": listeners })
    }

    fn listeners(&self, wasm: &str) -> Vec<Value> {
        let listeners = self.listeners.iter();
        let mut listeners: Vec<_> = listeners.map(|listener| listener.to_json(wasm)).collect();
        if self.passes_trailers {
            for listener in &mut listeners {
                let manager = &mut listener["filter_chains"][0]["filters"][0]["typed_config"];
                manager["http_protocol_options"] = json!({"enable_trailers": true});
            }
        }
        listeners
    }
}

/// The members of a cluster of several authorities that have to do with which of them is asked.
fn cluster_of_several(addresses: &[SocketAddr]) -> Vec<(&'static str, Value)> {
    let endpoints = addresses
        .iter()
        .map(|address| json!({"endpoint": {"address": loopback(address.port())}}));
    let endpoints: Vec<_> = endpoints.collect();
    let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
    let predicate = "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate";
    let retry_policy = json!({
        "retry_on": RETRY_ON,
        "num_retries": 2,
        "retry_host_predicate": [{
            "name": "envoy.retry_host_predicates.previous_hosts",
            "typed_config": {"@type": format!("type.googleapis.com/{predicate}")},
        }],
        "host_selection_retry_max_attempts": 5,
    });
    let protocol = json!({options: {
        "@type": format!("type.googleapis.com/{options}"),
        "explicit_http_config": {"http_protocol_options": {}},
        "retry_policy": retry_policy,
    }});
    let assignment =
        json!({"cluster_name": "authority", "endpoints": [{"lb_endpoints": endpoints}]});
    vec![
        ("load_assignment", assignment),
        ("lb_policy", "ROUND_ROBIN".into()),
        ("connect_timeout", "0.25s".into()),
        ("typed_extension_protocol_options", protocol),
    ]
}

fn cluster(name: &str, address: SocketAddr) -> Value {
    let endpoint = json!({"endpoint": {"address": loopback(address.port())}});
    json!({
        "name": name,
        "type": "STATIC",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [endpoint]}],
        },
    })
}

pub(super) fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

/// The same as YAML, in which the text of `"plain: x"` stands without quotes.
pub(crate) fn as_yaml(value: &Value) -> String {
    let text = value.to_string();
    let mut parts = text.split("\"plain:");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.replacen('"', " ", 1));
    first + &rest.collect::<String>()
}
