//! The contexts of the SDK.

use std::rc::Rc;
use std::time::Duration;

use proxy_wasm::hostcalls;
use proxy_wasm::traits::{Context, HttpContext, RootContext};
use proxy_wasm::types::{Action, ContextType, MapType};

use crate::given::Given;
use crate::step::Step;
use crate::{host_calls, libraries, parts, requests};

/// Called by Envoy after `_initialize`.
#[allow(unsafe_code, reason = "the name is the host's to choose")]
#[unsafe(export_name = "main")]
extern "C" fn main(_count: i32, _words: i32) -> i32 {
    proxy_wasm::set_root_context(|_| Box::new(Root(Rc::default())));
    0
}

struct Root(Rc<[Step]>);

struct Request(Rc<[Step]>);

impl Context for Root {}

impl RootContext for Root {
    fn on_configure(&mut self, _size: usize) -> bool {
        let text = self.get_plugin_configuration().expect("a configuration");
        let given = Given::read(&text);
        let steps = [
            requests::steps(&given),
            parts::steps(&given),
            libraries::steps(&given),
            host_calls::steps(&given),
        ];
        self.0 = steps.into_iter().flatten().collect();
        true
    }

    fn get_type(&self) -> Option<ContextType> {
        Some(ContextType::HttpContext)
    }

    fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
        Some(Box::new(Request(Rc::clone(&self.0))))
    }
}

impl Context for Request {}

impl HttpContext for Request {
    fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
        let answer = answer(&self.0, &path());
        hostcalls::send_http_response(200, Vec::new(), Some(answer.as_bytes()))
            .expect("a client that waits");
        Action::Pause
    }
}

fn path() -> String {
    let lines = hostcalls::get_map_bytes(MapType::HttpRequestHeaders).expect("headers");
    let path = lines.into_iter().find(|(name, _)| name == ":path");
    String::from_utf8(path.expect("a path").1).expect("a path in UTF-8")
}

fn answer(steps: &[Step], path: &str) -> String {
    let Some((number, milliseconds)) = path[1..].split_once('/') else {
        let names = steps.iter().map(|step| step.name.as_str());
        return names.collect::<Vec<_>>().join("\n");
    };
    let step = &steps[number.parse::<usize>().expect("the number of a step")];
    let milliseconds = milliseconds.parse().expect("milliseconds");
    let nanoseconds = step.measure(Duration::from_millis(milliseconds));
    nanoseconds.to_string()
}
