//! The proxy-wasm glue: contexts of Envoy on one side, [`Host`] on the other. Decides nothing.

use std::rc::Rc;
use std::time::UNIX_EPOCH;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{
    Action, ContextType, GrpcStatusCode, LogLevel, MapType, MetricType, Status,
};

use crate::gate::{Attempt, Configured, Gate, Outcome, Verdict, read_configuration};
use crate::host::{Counter, ForeignAnswer, HeaderLine, Host, Response, SignatureHost};
use crate::time::UnixTime;
use crate::token::Backend;

proxy_wasm::main! {{
    proxy_wasm::set_log_level(LogLevel::Trace);
    proxy_wasm::set_root_context(|_| Box::new(Root::default()));
}}

/// One per virtual machine: holds what all requests of this worker share.
#[derive(Default)]
struct Root {
    shared: Option<Rc<Shared>>,
}

struct Shared {
    gate: Gate,
    /// Envoy's ids of the counters, in the order of [`Outcome::all`].
    counters: Vec<u32>,
}

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let bytes = self.get_plugin_configuration().unwrap_or_default();
        let environment = |name: &str| std::env::var(name).ok();
        match read_configuration(&bytes, &environment) {
            Ok(configured) => {
                self.shared = Some(Rc::new(Shared::new(configured)));
                true
            }
            Err(faults) => {
                for fault in faults {
                    log::error!("configuration: {fault}");
                }
                false
            }
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request {
            shared: self.shared.clone(),
        }))
    }
}

impl Shared {
    fn new(configured: Configured) -> Self {
        for warning in configured.warnings {
            log::warn!("configuration: {warning}");
        }
        let backend = Backend::detect(&EnvoySignatures);
        log::info!(
            "RS256 and ES256 signatures are checked by the {}",
            match backend {
                Backend::Host => "host",
                Backend::Module => "module",
            }
        );
        let counter = |outcome: Outcome| {
            let name = outcome.metric_name();
            hostcalls::define_metric(MetricType::Counter, &name).unwrap_or_default()
        };
        Self {
            gate: Gate::new(configured.policy, backend),
            counters: Outcome::all().map(counter).collect(),
        }
    }
}

/// One per request.
struct Request {
    shared: Option<Rc<Shared>>,
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        // Envoy sends no requests to a plugin that is not configured; if it did, they would wait
        // here until the client gives up.
        let Some(shared) = &self.shared else {
            return Action::Pause;
        };
        match shared.gate.on_request(&EnvoyHost { shared }, Attempt::Last) {
            Verdict::Forward => Action::Continue,
            Verdict::Stop | Verdict::Wait(_) => Action::Pause,
        }
    }
}

/// `verify_signature` of Envoy (`source/extensions/common/wasm/foreign.cc`).
struct EnvoySignatures;

impl SignatureHost for EnvoySignatures {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        /// Field 1 of `VerifySignatureResult`, a boolean, set. A false one is left out.
        const GENUINE: &[u8] = &[0x08, 0x01];
        match hostcalls::call_foreign_function("verify_signature", Some(arguments)) {
            Ok(Some(result)) if result.starts_with(GENUINE) => ForeignAnswer::Genuine,
            Ok(_) | Err(Status::BadArgument) => ForeignAnswer::Forged,
            Err(_) => ForeignAnswer::Unavailable,
        }
    }
}

struct EnvoyHost<'s> {
    shared: &'s Shared,
}

impl SignatureHost for EnvoyHost<'_> {
    fn verify_signature(&self, arguments: &[u8]) -> ForeignAnswer {
        EnvoySignatures.verify_signature(arguments)
    }
}

impl Host for EnvoyHost<'_> {
    fn now(&self) -> UnixTime {
        // Without a clock every token has expired, which is the safe side.
        let now = hostcalls::get_current_time().ok();
        let since_epoch = now.and_then(|now| now.duration_since(UNIX_EPOCH).ok());
        since_epoch
            .and_then(|elapsed| UnixTime::from_seconds(elapsed.as_secs()))
            .unwrap_or(UnixTime::MAX)
    }

    fn request_headers(&self) -> Vec<HeaderLine> {
        hostcalls::get_map_bytes(MapType::HttpRequestHeaders).unwrap_or_default()
    }

    // Envoy's header maps of a request that is being decoded can always be edited; the only
    // error there is means that the stream is gone, and then nobody reads the header.
    fn remove_request_header(&self, name: &str) {
        let _ = hostcalls::remove_map_value(MapType::HttpRequestHeaders, name);
    }

    fn set_request_header(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_map_value_bytes(MapType::HttpRequestHeaders, name, Some(value));
    }

    fn property(&self, path: &[&str]) -> Option<Vec<u8>> {
        let value = hostcalls::get_property(path.to_vec()).ok().flatten();
        value.filter(|value| !value.is_empty())
    }

    // Fails only when the stream is gone, and then there is no access log to write for it.
    fn set_filter_state(&self, name: &str, value: &[u8]) {
        let _ = hostcalls::set_property(vec![name], Some(value));
    }

    fn respond(&self, response: &Response) {
        let headers: Vec<_> = response
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_str()))
            .collect();
        // An error here means that the client is gone.
        let _ = match response.grpc_status {
            None => {
                let status = u32::from(response.status);
                hostcalls::send_http_response(status, headers, Some(&response.body))
            }
            Some(status) => {
                let metadata = headers
                    .into_iter()
                    .map(|(name, value)| (name, value.as_bytes()))
                    .collect();
                let message = std::str::from_utf8(&response.body).ok();
                hostcalls::send_grpc_response(grpc_status(status), message, metadata)
            }
        };
    }

    fn increment(&self, Counter(place): Counter) {
        if let Some(id) = self.shared.counters.get(place) {
            let _ = hostcalls::increment_metric(*id, 1);
        }
    }

    fn debug(&self, message: impl FnOnce() -> String) {
        let level = hostcalls::get_log_level().unwrap_or(LogLevel::Info);
        if matches!(level, LogLevel::Trace | LogLevel::Debug) {
            log::debug!("{}", message());
        }
    }
}

const fn grpc_status(status: u8) -> GrpcStatusCode {
    match status {
        3 => GrpcStatusCode::InvalidArgument,
        7 => GrpcStatusCode::PermissionDenied,
        16 => GrpcStatusCode::Unauthenticated,
        _ => GrpcStatusCode::Unavailable,
    }
}
