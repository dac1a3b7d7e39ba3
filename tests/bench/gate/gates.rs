//! The filters that are compared, and the one Envoy that has all of them.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use portcullis::sync::TICK;
use serde_json::{Value, json};

use crate::calls::Calls;
use crate::support::{AUDIENCE, Authority, Bootstrap, Envoy, ISSUER, Listener, Plugin};
use crate::{directory, peers};

/// The clusters that `ext_authz` asks.
const CHECKS_HTTP: &str = "checks-http";
const CHECKS_GRPC: &str = "checks-grpc";

/// Longer than a feed takes to load.
const PATIENCE: Duration = Duration::from_mins(1);

/// One of the filters. Each has a listener of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Gate {
    /// No filter but the router: what everything is compared with.
    NoFilter,
    /// The same once more, which tells how large a difference has to be to mean something.
    NoFilterAgain,
    /// A Wasm filter that does nothing.
    Empty,
    /// Envoy's `jwt_authn`, as Istio and Envoy Gateway configure it.
    Native,
    /// The same with `jwt_cache_config`, large enough for all tokens.
    NativeCached,
    /// With `ext_authz` behind that, which asks a helper over gRPC.
    CheckedByGrpc,
    /// The same over HTTP/1.1.
    CheckedByHttp,
    /// A Wasm filter that makes host calls, and nothing else.
    Calls(&'static Calls),
    /// Portcullis with the feed of an authority that has revoked nothing.
    Portcullis,
    /// Without revocation.
    PortcullisAlone,
    /// With the whole set of session headers.
    PortcullisSession,
    /// With proofs of keys verified, where tokens are bound to one.
    PortcullisBound,
    /// The same as the first once more.
    PortcullisAgain,
    /// With the feed of an authority that has revoked a million sessions.
    PortcullisMillion,
    /// With ten million.
    PortcullisTenMillion,
    /// In a host without `verify_signature`.
    PortcullisFallback,
    /// Another build of it, which was named on the command line.
    PortcullisOther,
}

impl Gate {
    /// Its name in listeners and in files.
    pub(crate) const fn id(self) -> &'static str {
        match self {
            Self::NoFilter => "nobody",
            Self::NoFilterAgain => "nobody-again",
            Self::Empty => "empty",
            Self::Native => "native",
            Self::NativeCached => "native-cached",
            Self::CheckedByGrpc => "checked-grpc",
            Self::CheckedByHttp => "checked-http",
            Self::Calls(calls) => calls.id,
            Self::Portcullis => "portcullis",
            Self::PortcullisAlone => "portcullis-alone",
            Self::PortcullisSession => "portcullis-session",
            Self::PortcullisBound => "portcullis-bound",
            Self::PortcullisAgain => "portcullis-again",
            Self::PortcullisMillion => "portcullis-million",
            Self::PortcullisTenMillion => "portcullis-ten-million",
            Self::PortcullisFallback => "portcullis-fallback",
            Self::PortcullisOther => "portcullis-other",
        }
    }

    /// Its name in tables and plots.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::NoFilter => "no filter",
            Self::NoFilterAgain => "no filter, again",
            Self::Empty => "empty Wasm filter",
            Self::Native => "jwt_authn",
            Self::NativeCached => "jwt_authn, cache",
            Self::CheckedByGrpc => "jwt_authn, cache, and ext_authz over gRPC",
            Self::CheckedByHttp => "jwt_authn, cache, and ext_authz over HTTP",
            Self::Calls(calls) => calls.label,
            Self::Portcullis => "Portcullis",
            Self::PortcullisAlone => "Portcullis, no revocation",
            Self::PortcullisSession => "Portcullis, session headers",
            Self::PortcullisBound => "Portcullis, DPoP",
            Self::PortcullisAgain => "Portcullis, again",
            Self::PortcullisMillion => "Portcullis, 1 million",
            Self::PortcullisTenMillion => "Portcullis, 10 million",
            Self::PortcullisFallback => "Portcullis, no host function",
            Self::PortcullisOther => "Portcullis, other build",
        }
    }

    /// Whether it decides about requests at all.
    pub(crate) const fn decides(self) -> bool {
        !matches!(
            self,
            Self::NoFilter | Self::NoFilterAgain | Self::Empty | Self::Calls(_)
        )
    }

    const fn feed(self) -> Option<&'static str> {
        match self {
            Self::Portcullis
            | Self::PortcullisAgain
            | Self::PortcullisBound
            | Self::PortcullisSession
            | Self::PortcullisFallback
            | Self::PortcullisOther => Some("authority"),
            Self::PortcullisMillion => Some("authority-million"),
            Self::PortcullisTenMillion => Some("authority-ten-million"),
            _ => None,
        }
    }
}

/// What the gates are started with.
pub(crate) struct World<'w> {
    /// The JWK Set.
    pub(crate) keys: String,
    /// The clusters of authorities, with one without revocations first.
    pub(crate) authorities: Vec<(&'static str, &'w Authority)>,
    /// What is behind the gates; without it Envoy answers itself.
    pub(crate) upstream: Option<SocketAddr>,
    /// The argument of `verify_signature`, for filters that do nothing else.
    pub(crate) question: Vec<u8>,
    /// Another build of the filter.
    pub(crate) other: Option<String>,
    /// The helper that knows what was revoked.
    pub(crate) checks: Option<Checks>,
}

/// The two faces of a helper that `ext_authz` asks.
#[derive(Clone, Copy)]
pub(crate) struct Checks {
    pub(crate) http: SocketAddr,
    pub(crate) grpc: SocketAddr,
    /// The timeout for its answer.
    pub(crate) timeout: Duration,
}

impl Checks {
    /// The filter that asks.
    fn filter(&self, gate: Gate) -> Value {
        let timeout = format!("{}s", self.timeout.as_secs_f64());
        let session = json!({"patterns": [{"exact": peers::SESSION}]});
        let mut typed = json!({
            "@type": "type.googleapis.com/envoy.extensions.filters.http.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "allowed_headers": session,
        });
        if gate == Gate::CheckedByGrpc {
            typed["grpc_service"] = json!({
                "envoy_grpc": {"cluster_name": CHECKS_GRPC},
                "timeout": timeout,
            });
        } else {
            let uri = format!("http://{}", self.http);
            typed["http_service"] = json!({
                "server_uri": {"uri": uri, "cluster": CHECKS_HTTP, "timeout": timeout},
            });
        }
        json!({"name": "envoy.filters.http.ext_authz", "typed_config": typed})
    }
}

impl<'w> World<'w> {
    /// With these keys and this authority, and Envoy answering itself.
    pub(crate) fn new(keys: String, authority: &'w Authority) -> Self {
        Self {
            keys,
            authorities: vec![("authority", authority)],
            upstream: None,
            question: Vec::new(),
            other: None,
            checks: None,
        }
    }

    /// What an Envoy is started with that has a listener for each gate.
    pub(crate) fn bootstrap(&self, gates: &[Gate], workers: u32) -> Bootstrap {
        let listeners: Vec<_> = gates.iter().map(|gate| self.listener(*gate)).collect();
        let mut bootstrap = Bootstrap::new(listeners)
            .with_workers(workers)
            .with_wasm_log_level("warning");
        for (cluster, authority) in &self.authorities {
            bootstrap = bootstrap.with_cluster(cluster, authority.address());
        }
        if let Some(upstream) = self.upstream {
            bootstrap = bootstrap.with_cluster("orders", upstream);
        }
        if let Some(checks) = self.checks {
            let options = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
            let http2 = json!({options: {
                "@type": format!("type.googleapis.com/{options}"),
                "explicit_http_config": {"http2_protocol_options": {}},
            }});
            bootstrap = bootstrap
                .with_cluster(CHECKS_HTTP, checks.http)
                .with_cluster(CHECKS_GRPC, checks.grpc)
                .with_cluster_member(CHECKS_GRPC, "typed_extension_protocol_options", http2);
        }
        bootstrap
    }

    /// An Envoy with one worker, in which every gate has its feed.
    pub(crate) fn start(&self, gates: &[Gate]) -> Envoy {
        let envoy = Envoy::start(&self.bootstrap(gates, 1));
        let feeds = gates.iter().filter(|gate| gate.feed().is_some()).count();
        if feeds == 0 {
            return envoy;
        }
        let deadline = Instant::now() + PATIENCE;
        while envoy.stat("wasmcustom.portcullis.feed.generations") < Some(feeds as u64) {
            assert!(Instant::now() < deadline, "no feed: {}", envoy.log());
            thread::sleep(TICK);
        }
        // Until the last virtual machine has noticed.
        thread::sleep(TICK * 3);
        envoy
    }

    fn listener(&self, gate: Gate) -> Listener {
        let listener = match gate {
            Gate::NoFilter | Gate::NoFilterAgain => Listener::open(gate.id()),
            Gate::Empty => {
                let plugin = Plugin::new(&json!({})).with_module(directory().join("empty.wasm"));
                Listener::portcullis(plugin.in_vm(gate.id()))
            }
            Gate::Calls(calls) => {
                let plugin = Plugin::from_text(&calls.text(&self.question));
                let plugin = plugin.with_module(directory().join("floor.wasm"));
                Listener::portcullis(plugin.in_vm(gate.id()))
            }
            Gate::Native | Gate::NativeCached => Listener::native(&self.native(gate)),
            Gate::CheckedByGrpc | Gate::CheckedByHttp => {
                let checks = self.checks.expect("who is asked");
                let listener = Listener::native(&self.native(gate));
                listener.with_last_filter(&checks.filter(gate))
            }
            _ => Listener::portcullis(self.plugin(gate)),
        };
        let cluster = self.upstream.map(|_| "orders");
        listener.named(gate.id()).leading_to(cluster)
    }

    /// The same for both filters.
    fn provider(&self) -> Value {
        json!({
            "issuer": ISSUER,
            "audiences": [AUDIENCE],
            "require_expiration": true,
            "local_jwks": {"inline_string": self.keys},
            "from_headers": [{"name": "Authorization", "value_prefix": "Bearer "}],
            "forward": false,
            "claim_to_headers": [
                {"header_name": "x-user-id", "claim_name": "sub"},
                {"header_name": "x-user-session", "claim_name": "sid"},
            ],
        })
    }

    fn native(&self, gate: Gate) -> Value {
        let mut provider = self.provider();
        if gate != Gate::Native {
            provider["jwt_cache_config"] = json!({"jwt_cache_size": 20_000});
        }
        json!({"providers": {"idp": provider}, "rules": rules()})
    }

    fn plugin(&self, gate: Gate) -> Plugin {
        let mut provider = self.provider();
        if self.keys.contains("\"oct\"") {
            provider["allow_symmetric_keys"] = json!(true);
        }
        if gate == Gate::PortcullisBound {
            provider["proof_of_possession"] = json!({"dpop": {"max_age": "120s"}});
            let dpop = json!({"name": "Authorization", "value_prefix": "DPoP "});
            provider["from_headers"]
                .as_array_mut()
                .expect("a list")
                .push(dpop);
        }
        let mut configuration = json!({"providers": {"idp": provider}, "rules": rules()});
        if gate == Gate::PortcullisSession {
            configuration["session_headers"] = json!(true);
        }
        if let Some(cluster) = gate.feed() {
            let mut authorities = self.authorities.iter();
            let authority = authorities.find(|(name, _)| *name == cluster);
            let (_, authority) = authority.expect("the authority of every gate");
            configuration["revocation"] = authority.settings();
            configuration["revocation"]["cluster"] = cluster.into();
            if self.checks.is_some() {
                let limit = format!("{}s", peers::MAX_STALENESS.as_secs());
                configuration["revocation"]["max_staleness"] = limit.into();
            }
        }
        let mut plugin = Plugin::new(&configuration).in_vm(gate.id());
        if gate == Gate::PortcullisOther {
            plugin = plugin.with_module(self.other.as_deref().expect("another build"));
        }
        if gate == Gate::PortcullisFallback {
            plugin = plugin.without_capability("proxy_call_foreign_function");
        }
        plugin
    }
}

fn rules() -> Value {
    json!([{"match": {"prefix": "/"}, "requires": {"provider_name": "idp"}}])
}
