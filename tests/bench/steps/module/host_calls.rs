//! Calls of the running Envoy, by the same functions as in the filter.

use std::cell::Cell;
use std::hint::black_box;

use proxy_wasm::hostcalls;
use proxy_wasm::types::{MapType, MetricType, Status};

use crate::given::Given;
use crate::pairs;
use crate::step::Step;

const HEADERS: MapType = MapType::HttpRequestHeaders;

pub(crate) fn steps(given: &Given) -> Vec<Step> {
    let mut steps = Vec::from(of_the_request());
    steps.extend(shared_data("16 B", 16));
    steps.extend(shared_data("4 KiB", 4_096));
    steps.extend(metrics());
    for algorithm in ["rs256", "es256"] {
        steps.extend(signatures(given, algorithm));
    }
    steps
}

fn of_the_request() -> [Step; 5] {
    [
        Step::new("host call: time", || hostcalls::get_current_time().is_ok()),
        Step::new("host call: all headers of the request", || {
            !black_box(pairs::request_headers()).is_empty()
        }),
        Step::new("host call: set a header", || {
            let value = Some(&b"0123456789abcdef0123456789abcdef"[..]);
            hostcalls::set_map_value_bytes(HEADERS, "x-session-id", value).is_ok()
        }),
        Step::new("host call: remove a header that is not there", || {
            hostcalls::remove_map_value(HEADERS, "x-nobody").is_ok()
        }),
        Step::new("host call: property, the client's address", || {
            let address = hostcalls::get_property(vec!["source", "address"]);
            address.is_ok_and(|address| address.is_some())
        }),
    ]
}

fn shared_data(size: &str, bytes: usize) -> [Step; 2] {
    let key = format!("portcullis/steps/{bytes}");
    let value = vec![7; bytes];
    let written = hostcalls::set_shared_data(&key, Some(&value), None);
    written.expect("shared data that can be written");
    let same = key.clone();
    let get = Step::new(&format!("host call: shared data, get {size}"), move || {
        let value = hostcalls::get_shared_data(black_box(&same));
        value.is_ok_and(|(value, _)| value.is_some_and(|value| value.len() == bytes))
    });
    let set = Step::new(&format!("host call: shared data, set {size}"), move || {
        hostcalls::set_shared_data(&key, Some(black_box(&value)), None).is_ok()
    });
    [get, set]
}

fn metrics() -> [Step; 2] {
    let define = |kind, name| hostcalls::define_metric(kind, name).expect("a metric");
    let counter = define(MetricType::Counter, "portcullis.steps.counter");
    let histogram = define(MetricType::Histogram, "portcullis.steps.histogram");
    let recorded = Cell::new(0);
    [
        Step::new("host call: metric, increment", move || {
            hostcalls::increment_metric(counter, 1).is_ok()
        }),
        Step::new("host call: metric, record", move || {
            recorded.set(recorded.get() + 1);
            hostcalls::record_metric(histogram, recorded.get() % 1_000).is_ok()
        }),
    ]
}

/// A genuine one and a forged one.
fn signatures(given: &Given, algorithm: &str) -> [Step; 2] {
    let genuine = given.question(algorithm);
    let mut forged = genuine.clone();
    // The text stands last.
    *forged.last_mut().expect("a question") ^= 1;
    let name = format!("host call: verify_signature, {}", algorithm.to_uppercase());
    [
        Step::new(&name, move || is_genuine(&genuine) == Some(true)),
        Step::new(&format!("{name}, forged"), move || {
            is_genuine(&forged) == Some(false)
        }),
    ]
}

fn is_genuine(question: &[u8]) -> Option<bool> {
    match hostcalls::call_foreign_function("verify_signature", Some(black_box(question))) {
        Ok(answer) => Some(answer.is_some_and(|answer| answer.starts_with(&[0x08, 0x01]))),
        Err(Status::BadArgument) => Some(false),
        Err(_) => None,
    }
}
