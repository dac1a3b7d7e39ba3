//! The configuration that Envoy itself is started with.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What the module calls in the host, and what the host calls in the module. A list of allowed
/// capabilities has to name all of it, so a new host call of the filter has to be added here.
const CAPABILITIES: [&str; 35] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proxy_call_foreign_function",
    "proxy_continue_stream",
    "proxy_define_metric",
    "proxy_get_buffer_bytes",
    "proxy_get_current_time_nanoseconds",
    "proxy_get_header_map_pairs",
    "proxy_get_log_level",
    "proxy_get_property",
    "proxy_get_shared_data",
    "proxy_http_call",
    "proxy_increment_metric",
    "proxy_log",
    "proxy_on_configure",
    "proxy_on_context_create",
    "proxy_on_delete",
    "proxy_on_done",
    "proxy_on_http_call_response",
    "proxy_on_log",
    "proxy_on_request_body",
    "proxy_on_request_headers",
    "proxy_on_request_trailers",
    "proxy_on_tick",
    "proxy_on_vm_start",
    "proxy_record_metric",
    "proxy_remove_header_map_value",
    "proxy_replace_header_map_value",
    "proxy_send_local_response",
    "proxy_set_effective_context",
    "proxy_set_property",
    "proxy_set_shared_data",
    "proxy_set_tick_period_milliseconds",
    "random_get",
];

/// The Portcullis filter: its configuration, and the machine that it runs in.
#[derive(Clone)]
pub(crate) struct Plugin {
    configuration: Value,
    environment: Vec<&'static str>,
    capabilities: Vec<&'static str>,
    /// Memory that its machine may have, in pages of 64 KiB; as much as Envoy gives by default.
    max_pages: Option<u32>,
    passes_bodies_of_paused_requests: bool,
    vm: &'static str,
    module: Option<String>,
    /// A cluster that the module is fetched from, and the SHA-256 that it should have.
    fetched: Option<(&'static str, String)>,
}

impl Plugin {
    /// In a virtual machine of its own, for an Envoy with several of them.
    pub(crate) const fn in_vm(mut self, name: &'static str) -> Self {
        self.vm = name;
        self
    }

    /// With another module than `target/portcullis.wasm`.
    pub(crate) fn with_module(mut self, path: impl AsRef<Path>) -> Self {
        let path = path.as_ref();
        assert!(
            path.is_file(),
            "no {}; run: ./build.sh bench",
            path.display()
        );
        self.module = Some(path.to_str().expect("a path in UTF-8").to_owned());
        self
    }

    /// With the module at `/portcullis.wasm` of this cluster, if it has this SHA-256.
    pub(crate) fn fetched_from(mut self, cluster: &'static str, sha256: &str) -> Self {
        self.fetched = Some((cluster, sha256.to_owned()));
        self
    }

    /// With bodies handed to the filter although it has paused at the headers.
    pub(crate) const fn with_bodies_of_paused_requests(mut self) -> Self {
        self.passes_bodies_of_paused_requests = true;
        self
    }

    /// Configured as YAML is: with a `google.protobuf.Struct`.
    pub(crate) fn new(configuration: &Value) -> Self {
        Self {
            configuration: json!({
                "@type": "type.googleapis.com/google.protobuf.Struct",
                "value": configuration,
            }),
            environment: Vec::new(),
            capabilities: Vec::new(),
            max_pages: None,
            passes_bodies_of_paused_requests: false,
            vm: "portcullis",
            module: None,
            fetched: None,
        }
    }

    /// Configured with text, in a `google.protobuf.StringValue`.
    pub(crate) fn from_text(configuration: &str) -> Self {
        let mut plugin = Self::new(&Value::Null);
        plugin.configuration = json!({
            "@type": "type.googleapis.com/google.protobuf.StringValue",
            "value": configuration,
        });
        plugin
    }

    /// Allowed to see this variable of Envoy's environment.
    pub(crate) fn with_environment(mut self, name: &'static str) -> Self {
        self.environment.push(name);
        self
    }

    /// In a machine with so little memory, which is replaced when it has crashed.
    pub(crate) const fn in_a_small_machine(mut self, max_pages: u32) -> Self {
        self.max_pages = Some(max_pages);
        self
    }

    /// Not allowed to use this host call.
    pub(crate) fn without_capability(mut self, name: &str) -> Self {
        assert!(
            CAPABILITIES.contains(&name),
            "the filter does not use {name} at all"
        );
        self.capabilities = CAPABILITIES
            .into_iter()
            .filter(|allowed| *allowed != name)
            .collect();
        self
    }

    fn filter(&self, wasm: &str) -> Value {
        let wasm = self.module.as_deref().unwrap_or(wasm);
        let mut config = json!({
            "name": "portcullis",
            "root_id": "portcullis",
            "vm_config": {
                "vm_id": self.vm,
                "runtime": "envoy.wasm.runtime.v8",
                "code": {"local": {"filename": wasm}},
                "environment_variables": {"host_env_keys": self.environment},
            },
            "configuration": self.configuration,
        });
        if let Some((cluster, sha256)) = &self.fetched {
            let uri = "http://modules.example/portcullis.wasm";
            let uri = json!({"uri": uri, "cluster": cluster, "timeout": "10s"});
            config["vm_config"]["code"] = json!({"remote": {
                "http_uri": uri, "sha256": sha256, "retry_policy": {"num_retries": 0},
            }});
        }
        if let Some(max_pages) = self.max_pages {
            let module = fs::read(wasm).expect("the module that was built");
            let small = with_memory_of(&module, max_pages);
            let code = json!({"local": {"inline_bytes": STANDARD.encode(small)}});
            config["vm_config"]["code"] = code;
            config["failure_policy"] = "FAIL_RELOAD".into();
            config["reload_config"] = json!({"backoff": {"base_interval": "0.1s"}});
        }
        if self.passes_bodies_of_paused_requests {
            config["allow_on_headers_stop_iteration"] = json!(true);
        }
        if !self.capabilities.is_empty() {
            let allowed = self
                .capabilities
                .iter()
                .map(|name| ((*name).to_owned(), json!({})));
            config["capability_restriction_config"] =
                json!({"allowed_capabilities": allowed.collect::<Map<_, _>>()});
        }
        json!({
            "name": "envoy.filters.http.wasm",
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
                "config": config,
            },
        })
    }
}

/// The same module with an upper limit of its memory, of which it has none by itself
/// (WebAssembly core specification, sections 5.5.2 and 5.5.8).
fn with_memory_of(module: &[u8], max_pages: u32) -> Vec<u8> {
    const HEADER_BYTES: usize = 8;
    const MEMORY_SECTION: u8 = 5;
    let mut limited = module[..HEADER_BYTES].to_vec();
    let mut rest = &module[HEADER_BYTES..];
    while let [section, after @ ..] = rest {
        let (length, body) = read_leb128(after);
        let (mut body, after) = body.split_at(length as usize);
        rest = after;
        let memory;
        if *section == MEMORY_SECTION {
            let [1, 0, minimum @ ..] = body else {
                panic!("expected one memory without a limit, found {body:?}");
            };
            memory = [&[1, 1], minimum, &leb128(max_pages)].concat();
            body = &memory;
        }
        limited.push(*section);
        limited.extend(leb128(u32::try_from(body.len()).expect("a section")));
        limited.extend(body);
    }
    limited
}

fn read_leb128(bytes: &[u8]) -> (u32, &[u8]) {
    let length = 1 + bytes.iter().take_while(|byte| **byte >= 0x80).count();
    let (number, rest) = bytes.split_at(length);
    let digits = number.iter().rev().map(|byte| u32::from(byte & 0x7f));
    (digits.fold(0, |number, digit| number << 7 | digit), rest)
}

fn leb128(mut number: u32) -> Vec<u8> {
    let mut bytes = Vec::new();
    while number >= 0x80 {
        bytes.push(seven_bits(number) | 0x80);
        number >>= 7;
    }
    bytes.push(seven_bits(number));
    bytes
}

fn seven_bits(number: u32) -> u8 {
    number.to_le_bytes()[0] & 0x7f
}

/// What decides about the requests of a listener.
#[derive(Clone)]
enum Gatekeeper {
    Portcullis(Plugin),
    Native(Value),
    Nobody,
}

/// One listener on a free port of loopback, with the upstream behind it.
#[derive(Clone)]
pub(crate) struct Listener {
    name: String,
    gatekeeper: Gatekeeper,
    max_request_headers_kb: Option<u32>,
    access_log_format: Option<&'static str>,
    tells_reasons: bool,
    /// The file that Envoy reads the filter that decides from, where that can be replaced.
    discovered_at: Option<PathBuf>,
    first_filter: Option<Value>,
    last_filters: Vec<Value>,
    first_routes: Vec<Value>,
    takes_upgrades: bool,
    /// The cluster that requests go on to; `None` when Envoy answers them itself.
    cluster: Option<&'static str>,
}

impl Listener {
    /// Where refusals tell their reason, if they do.
    pub(crate) const REASON: &str = "x-reason";

    /// With nothing in it that decides about requests.
    pub(crate) fn open(name: &str) -> Self {
        Self::new(name, Gatekeeper::Nobody)
    }

    /// With Portcullis in it.
    pub(crate) fn portcullis(plugin: Plugin) -> Self {
        Self::new("portcullis", Gatekeeper::Portcullis(plugin))
    }

    /// With Envoy's own `jwt_authn` in it.
    pub(crate) fn native(configuration: &Value) -> Self {
        Self::new("native", Gatekeeper::Native(configuration.clone()))
    }

    fn new(name: &str, gatekeeper: Gatekeeper) -> Self {
        Self {
            name: name.to_owned(),
            gatekeeper,
            max_request_headers_kb: None,
            access_log_format: None,
            tells_reasons: false,
            discovered_at: None,
            first_filter: None,
            last_filters: Vec::new(),
            first_routes: Vec::new(),
            takes_upgrades: false,
            cluster: Some("upstream"),
        }
    }

    /// With another name, for an Envoy with several listeners.
    pub(crate) fn named(mut self, name: impl Into<String>) -> Self {
        self.name = name.into();
        self
    }

    /// With a header [`Listener::REASON`] in every refusal, which has the response code details.
    pub(crate) const fn telling_reasons(mut self) -> Self {
        self.tells_reasons = true;
        self
    }

    /// With the filter that decides in this file, which can be replaced while Envoy runs. The file
    /// is written by [`Listener::write_filter`].
    pub(crate) fn discovering_its_filter(mut self, file: &Path) -> Self {
        self.discovered_at = Some(file.to_owned());
        self
    }

    /// Puts the filter that decides into the file of a listener that discovers it.
    pub(crate) fn write_filter(&self, wasm: &str) {
        let file = self.discovered_at.as_ref().expect("a file for the filter");
        let filter = self.gatekeeper(wasm).expect("a filter that decides");
        let mut resource = filter.clone();
        resource["@type"] = "type.googleapis.com/envoy.config.core.v3.TypedExtensionConfig".into();
        let next = file.with_extension("new");
        let resources = json!({"resources": [resource]}).to_string();
        fs::write(&next, resources).expect("a file to write");
        // Envoy notices a file that is moved there, not one that is written to.
        fs::rename(&next, file).expect("a file to move");
    }

    fn gatekeeper(&self, wasm: &str) -> Option<Value> {
        match &self.gatekeeper {
            Gatekeeper::Portcullis(plugin) => Some(plugin.filter(wasm)),
            Gatekeeper::Native(configuration) => Some(jwt_authn(configuration)),
            Gatekeeper::Nobody => None,
        }
    }

    /// With a filter before the one that decides.
    pub(crate) fn with_first_filter(mut self, filter: &Value) -> Self {
        self.first_filter = Some(filter.clone());
        self
    }

    /// With a filter behind the one that decides, and behind those that were added before.
    pub(crate) fn with_last_filter(mut self, filter: &Value) -> Self {
        self.last_filters.push(filter.clone());
        self
    }

    /// With routes that are looked at before the one to the upstream; `CONNECT` may be one.
    pub(crate) fn with_first_routes(mut self, routes: &[Value]) -> Self {
        self.first_routes = routes.to_vec();
        self
    }

    /// Lets connections be upgraded to `websocket`.
    pub(crate) const fn with_upgrades(mut self) -> Self {
        self.takes_upgrades = true;
        self
    }

    /// With another limit than Envoy's 60 KiB for all headers of a request together.
    pub(crate) const fn with_max_request_headers_kb(mut self, limit: u32) -> Self {
        self.max_request_headers_kb = Some(limit);
        self
    }

    /// With an access log of this format, which goes into Envoy's own log.
    pub(crate) const fn with_access_log(mut self, format: &'static str) -> Self {
        self.access_log_format = Some(format);
        self
    }

    /// With another cluster than the upstream's behind it; `None` has Envoy answer with 200 itself.
    pub(crate) const fn leading_to(mut self, cluster: Option<&'static str>) -> Self {
        self.cluster = cluster;
        self
    }

    /// Envoy's path normalisation is off, as it is by default: the filter gets every path as it
    /// was sent.
    fn to_json(&self, wasm: &str) -> Value {
        let gatekeeper = self
            .gatekeeper(wasm)
            .map(|filter| match &self.discovered_at {
                None => filter,
                Some(file) => json!({
                    "name": filter["name"],
                    "config_discovery": {
                        "config_source": {"path_config_source": {"path": file}},
                        "type_urls": [filter["typed_config"]["@type"]],
                    },
                }),
            });
        let mut routes = self.first_routes.clone();
        let mut route = json!({"match": {"prefix": "/"}});
        match self.cluster {
            Some(cluster) => route["route"] = json!({"cluster": cluster}),
            None => route["direct_response"] = json!({"status": 200}),
        }
        routes.push(route);
        let everything = json!({"name": "everything", "domains": ["*"], "routes": routes});
        let upgrade = |name: &str| json!({"upgrade_type": name});
        let connect = (!self.first_routes.is_empty()).then(|| upgrade("CONNECT"));
        let websocket = self.takes_upgrades.then(|| upgrade("websocket"));
        let upgrades: Vec<_> = connect.into_iter().chain(websocket).collect();
        let filters = self.first_filter.iter().cloned();
        let last = self.last_filters.iter().cloned();
        let filters = filters.chain(gatekeeper).chain(last).chain([router()]);
        let reason = json!({
            "filter": {"not_health_check_filter": {}},
            "headers_to_add": [
                {"header": {"key": Self::REASON, "value": "%RESPONSE_CODE_DETAILS%"}},
            ],
        });
        let mappers = self.tells_reasons.then_some(reason);
        json!({
            "name": self.name,
            "address": loopback(0),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network\
                              .http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": self.name,
                    "normalize_path": false,
                    "access_log": self.access_log_format.map(access_log).as_slice(),
                    "max_request_headers_kb": self.max_request_headers_kb,
                    "local_reply_config": {"mappers": mappers.as_slice()},
                    "upgrade_configs": upgrades,
                    "http_filters": filters.collect::<Vec<_>>(),
                    "route_config": {"virtual_hosts": [everything]},
                },
            }]}],
        })
    }
}

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
    #[allow(dead_code, reason = "for the bench")]
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
        for (name, member) in &self.members {
            bootstrap[name] = member.clone();
        }
        // Whatever is discovered is discovered for a node.
        bootstrap["node"] = json!({"id": "test", "cluster": "test"});
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

fn access_log(format: &str) -> Value {
    json!({
        "name": "envoy.access_loggers.stderr",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.access_loggers.stream.v3\
                      .StderrAccessLog",
            "log_format": {"text_format_source": {"inline_string": format!("{format}\n")}},
        },
    })
}

fn loopback(port: u16) -> Value {
    json!({"socket_address": {"address": "127.0.0.1", "port_value": port}})
}

fn router() -> Value {
    json!({
        "name": "envoy.filters.http.router",
        "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router",
        },
    })
}

fn jwt_authn(configuration: &Value) -> Value {
    let mut typed = configuration.clone();
    typed["@type"] =
        "type.googleapis.com/envoy.extensions.filters.http.jwt_authn.v3.JwtAuthentication".into();
    json!({"name": "envoy.filters.http.jwt_authn", "typed_config": typed})
}

/// The same as YAML, in which the text of `"plain: x"` stands without quotes.
pub(crate) fn as_yaml(value: &Value) -> String {
    let text = value.to_string();
    let mut parts = text.split("\"plain:");
    let first = parts.next().unwrap_or_default().to_owned();
    let rest = parts.map(|part| part.replacen('"', " ", 1));
    first + &rest.collect::<String>()
}
