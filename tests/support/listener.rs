//! A listener of an Envoy, and the filter that decides about its requests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::bootstrap::loopback;
use super::plugin::Plugin;

/// What decides about the requests of a listener.
#[derive(Clone)]
enum Gatekeeper {
    Portcullis(Plugin),
    Native(Value),
    Nothing,
}

/// One listener on a free port of loopback, with the upstream behind it.
#[derive(Clone)]
pub(crate) struct Listener {
    name: String,
    gatekeeper: Gatekeeper,
    max_request_headers_kb: Option<u32>,
    access_logs: Vec<Value>,
    tells_reasons: bool,
    /// The file that Envoy reads the filter that decides from, where that can be replaced.
    discovered_at: Option<PathBuf>,
    first_filter: Option<Value>,
    last_filters: Vec<Value>,
    first_routes: Vec<Value>,
    takes_upgrades: bool,
    transport_socket: Option<Value>,
    forwards_certificates: &'static str,
    /// The cluster that requests go on to; `None` when Envoy answers them itself.
    cluster: Option<&'static str>,
}

impl Listener {
    /// Where refusals tell their reason, if they do.
    pub(crate) const REASON: &str = "x-reason";

    /// With nothing in it that decides about requests.
    pub(crate) fn open(name: &str) -> Self {
        Self::new(name, Gatekeeper::Nothing)
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
            access_logs: Vec::new(),
            tells_reasons: false,
            discovered_at: None,
            first_filter: None,
            last_filters: Vec::new(),
            first_routes: Vec::new(),
            takes_upgrades: false,
            transport_socket: None,
            forwards_certificates: "SANITIZE",
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
            Gatekeeper::Nothing => None,
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

    /// Lets connections be upgraded to `websocket`, over HTTP/2 too.
    pub(crate) const fn with_upgrades(mut self) -> Self {
        self.takes_upgrades = true;
        self
    }

    /// With TLS, by this certificate and key; clients may show a certificate that this one has signed.
    pub(crate) fn over_tls(mut self, (certificate, key): &(String, String), clients: &str) -> Self {
        let context = "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext";
        self.transport_socket = Some(json!({
            "name": "envoy.transport_sockets.tls",
            "typed_config": {
                "@type": format!("type.googleapis.com/{context}"),
                "common_tls_context": {
                    "alpn_protocols": ["h2", "http/1.1"],
                    "tls_certificates": [{
                        "certificate_chain": {"filename": certificate},
                        "private_key": {"filename": key},
                    }],
                    "validation_context": {"trusted_ca": {"filename": clients}},
                },
            },
        }));
        self
    }

    /// With this done to `x-forwarded-client-cert`; by default it is removed.
    pub(crate) const fn forwarding_certificates(mut self, how: &'static str) -> Self {
        self.forwards_certificates = how;
        self
    }

    /// With another limit than Envoy's 60 KiB for all headers of a request together.
    pub(crate) const fn with_max_request_headers_kb(mut self, limit: u32) -> Self {
        self.max_request_headers_kb = Some(limit);
        self
    }

    /// With an access log of this format, which goes into Envoy's own log.
    pub(crate) fn with_access_log(self, format: &str) -> Self {
        self.with_access_logger(access_log(format))
    }

    /// With an access log as Envoy is configured with it.
    pub(crate) fn with_access_logger(mut self, logger: Value) -> Self {
        self.access_logs.push(logger);
        self
    }

    /// With another cluster than the upstream's behind it; `None` has Envoy answer with 200 itself.
    pub(crate) const fn leading_to(mut self, cluster: Option<&'static str>) -> Self {
        self.cluster = cluster;
        self
    }

    /// Envoy's path normalisation is off, as it is by default: the filter gets every path as it
    /// was sent.
    pub(super) fn to_json(&self, wasm: &str) -> Value {
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
        // Streams last for longer than the quarter of a minute that Envoy gives an answer.
        match self.cluster {
            Some(cluster) => route["route"] = json!({"cluster": cluster, "timeout": "0s"}),
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
        let mut listener = json!({
            "name": self.name,
            "address": loopback(0),
            "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager",
                "typed_config": {
                    "@type": "type.googleapis.com/envoy.extensions.filters.network\
                              .http_connection_manager.v3.HttpConnectionManager",
                    "stat_prefix": self.name,
                    "normalize_path": false,
                    "forward_client_cert_details": self.forwards_certificates,
                    // Names that their holder has chosen, beside the hash.
                    "set_current_client_cert_details": {"subject": true, "uri": true, "dns": true},
                    "access_log": self.access_logs,
                    "max_request_headers_kb": self.max_request_headers_kb,
                    "local_reply_config": {"mappers": mappers.as_slice()},
                    "upgrade_configs": upgrades,
                    // Without it, there are no WebSockets over HTTP/2.
                    "http2_protocol_options": {"allow_connect": self.takes_upgrades},
                    // For so long Envoy leaves a connection of HTTP/1.1 open that it has to close.
                    "delayed_close_timeout": if self.takes_upgrades { "0.1s" } else { "1s" },
                    "http_filters": filters.collect::<Vec<_>>(),
                    "route_config": {"virtual_hosts": [everything]},
                },
            }]}],
        });
        if let Some(transport_socket) = &self.transport_socket {
            listener["filter_chains"][0]["transport_socket"] = transport_socket.clone();
        }
        listener
    }
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
