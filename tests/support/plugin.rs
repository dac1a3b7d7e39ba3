//! The filter as Envoy is configured with it.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value, json};

/// What the module calls in the host, and what the host calls in the module. A list of allowed
/// capabilities has to name all of it, so a new host call of the filter has to be added here.
const CAPABILITIES: [&str; 36] = [
    "environ_get",
    "environ_sizes_get",
    "fd_write",
    "proxy_call_foreign_function",
    "proxy_close_stream",
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

    /// In a machine with this little memory, which is replaced when it has crashed.
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

    pub(super) fn filter(&self, wasm: &str) -> Value {
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
