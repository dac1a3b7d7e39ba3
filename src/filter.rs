//! The proxy-wasm glue: contexts of Envoy on one side, the [`Edge`] and its host on the other. Decides
//! nothing.

mod envoy;
mod envoy_request;
mod metrics;
mod raw;
mod request_context;

use std::rc::Rc;

use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{BufferType, ContextType, LogLevel};

use crate::edge::{ContextId, Edge};
use crate::gate::read_configuration;
use crate::host::CallId;
use envoy::Envoy;
use metrics::Metrics;
use request_context::RequestContext;

proxy_wasm::main! {{
    std::panic::set_hook(Box::new(|panic| raw::log(LogLevel::Critical, &panic.to_string())));
    proxy_wasm::set_root_context(|context| Box::new(PluginContext::new(context)));
}}

/// The context of the plugin in one virtual machine, with what all its requests share.
struct PluginContext {
    context: ContextId,
    configuration: Vec<u8>,
    edge: Option<Rc<Edge<Envoy>>>,
}

impl PluginContext {
    const fn new(context: u32) -> Self {
        Self {
            context: ContextId(context),
            configuration: Vec::new(),
            edge: None,
        }
    }
}

/// Called when Envoy drops the plugin, whose successor then need not wait for leases to end.
/// Not `on_done`, which Envoy would call for every request as well.
impl Drop for PluginContext {
    fn drop(&mut self) {
        if let Some(edge) = &self.edge {
            edge.release();
        }
    }
}

impl Context for PluginContext {
    fn on_http_call_response(&mut self, call: u32, _headers: usize, body: usize, _trailers: usize) {
        if let Some(edge) = &self.edge {
            let outcome = envoy::call_outcome(body);
            edge.on_call_ended(self.context, CallId(call), &outcome);
        }
    }
}

impl RootContext for PluginContext {
    fn on_configure(&mut self, size: usize) -> bool {
        let Ok(bytes) = raw::buffer(BufferType::PluginConfiguration, size) else {
            raw::log(
                LogLevel::Error,
                "the host does not hand over the configuration",
            );
            return false;
        };
        // A second listener with the same plugin configures the same context again. Its state,
        // above all the requests that wait, is still good.
        if self.edge.is_some() && bytes == self.configuration {
            return true;
        }
        let environment = |name: &str| std::env::var(name).ok();
        match read_configuration(&bytes, &environment) {
            Ok(configured) => {
                let Some(secret) = raw::random() else {
                    raw::log(LogLevel::Error, "the host gives no random numbers");
                    return false;
                };
                let metrics = Metrics::new(&configured.policy);
                let edge = Edge::new(configured, Envoy { metrics }, self.context, secret);
                if raw::set_tick_period(edge.tick_period()).is_err() {
                    raw::log(LogLevel::Error, "the host gives no ticks");
                    return false;
                }
                self.edge = Some(Rc::new(edge));
                self.configuration = bytes;
                true
            }
            Err(faults) => {
                for fault in faults {
                    raw::log(LogLevel::Error, &format!("configuration: {fault}"));
                }
                false
            }
        }
    }

    fn on_tick(&mut self) {
        if let Some(period) = self.edge.as_ref().and_then(|edge| edge.on_tick()) {
            let _ = raw::set_tick_period(period);
        }
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(RequestContext::new(context, self.edge.clone())))
    }
}
