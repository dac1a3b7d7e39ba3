//! A filter that makes host calls and decides nothing: what a plan of calls costs before there is
//! any code between them, or with no more than what every filter has to do with a new token.
//!
//! Its configuration is text, a word for each call that it makes for a request:
//!
//! | word | call |
//! |---|---|
//! | `headers` | all header lines of the request |
//! | `header:NAME` | one header |
//! | `decode` | none: the header read last, a bearer token, is taken out of base64url and JSON |
//! | `time` | the time |
//! | `verify:HEX` | `verify_signature`, with these bytes as its argument; after `decode` with the token's own text and signature in it |
//! | `page` | a page of 4 KiB from the shared data |
//! | `remove:NAME` | remove a header |
//! | `set:NAME=VALUE` | set one |
//! | `count` | add one to a counter |
//! | `level` | the log level |
//! | `refuse` | answer as Portcullis answers to a forged token |

#![allow(missing_docs, reason = "the SDK's macro exports functions without any")]
#![cfg_attr(
    not(target_os = "wasi"),
    allow(unused, reason = "it is for Envoy only")
)]
#![allow(
    clippy::cast_possible_truncation,
    reason = "a signature has some hundred bytes"
)]
#![allow(
    clippy::disallowed_methods,
    reason = "a measurement may end where the host fails"
)]

#[cfg(target_os = "wasi")]
#[path = "../pairs.rs"]
mod pairs;
#[cfg(target_os = "wasi")]
mod token;

#[cfg(target_os = "wasi")]
mod filter {
    use std::rc::Rc;

    use proxy_wasm::hostcalls;
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, MapType, MetricType};

    use crate::token::{self, Decoded};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root(Rc::default())));
    }}

    /// A page of the revocation filter, with the header of its record.
    const PAGE: &str = "portcullis/floor/page/0/1";
    const PAGE_BYTES: usize = 4_072;

    /// The answer that Portcullis gives to a forged token.
    const HEADERS: [(&str, &str); 4] = [
        ("cache-control", "no-store"),
        (
            "www-authenticate",
            "Bearer realm=\"portcullis\", error=\"invalid_token\", \
             error_description=\"the signature could not be verified\"",
        ),
        ("content-type", "application/problem+json"),
        ("vary", "accept"),
    ];
    const BODY: &str = r#"{"action":"sign_in","code":"signature_invalid","detail":"the signature could not be verified","status":401,"title":"Unauthorized","type":"about:blank"}"#;

    const MAP: MapType = MapType::HttpRequestHeaders;

    /// Field 1 of `VerifySignatureResult`, set.
    const GENUINE: &[u8] = &[0x08, 0x01];

    enum Call {
        Headers,
        Header(String),
        Decode,
        Time,
        /// The argument, and whether the signature has to be genuine.
        Verify(Vec<u8>, bool),
        Page,
        Remove(String),
        Set(String, String),
        Count(u32),
        Level,
        Refuse,
    }

    /// An unexpected answer ends the measurement.
    fn give_up() -> Action {
        let _ = hostcalls::send_http_response(400, Vec::new(), None);
        Action::Pause
    }

    struct Root(Rc<Vec<Call>>);

    struct Request(Rc<Vec<Call>>);

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, _size: usize) -> bool {
            let text = self.get_plugin_configuration().unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let _ = hostcalls::set_shared_data(PAGE, Some(&[7; PAGE_BYTES]), None);
            let is_genuine = !text.ends_with("refuse");
            let words = text.split_ascii_whitespace();
            let calls: Option<Vec<_>> = words.map(|word| call(word, is_genuine)).collect();
            let is_valid = calls.is_some();
            self.0 = Rc::new(calls.unwrap_or_default());
            is_valid
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }

        fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Request(Rc::clone(&self.0))))
        }
    }

    /// `is_genuine` is what every signature has to be.
    fn call(word: &str, is_genuine: bool) -> Option<Call> {
        let (name, argument) = word.split_once(':').unwrap_or((word, ""));
        Some(match name {
            "headers" => Call::Headers,
            "header" => Call::Header(argument.to_owned()),
            "decode" => Call::Decode,
            "time" => Call::Time,
            "verify" => Call::Verify(bytes(argument), is_genuine),
            "page" => Call::Page,
            "remove" => Call::Remove(argument.to_owned()),
            "set" => {
                let (name, value) = argument.split_once('=')?;
                Call::Set(name.to_owned(), value.to_owned())
            }
            "count" => {
                let counter = hostcalls::define_metric(MetricType::Counter, "portcullis.floor");
                Call::Count(counter.ok()?)
            }
            "level" => Call::Level,
            "refuse" => Call::Refuse,
            _ => return None,
        })
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        pairs
            .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
            .collect()
    }

    /// Has the host check the token's own signature, and asserts that the answer is as expected;
    /// without a token, the configured signature, whatever the answer.
    fn verify(configured: &[u8], token: Option<&Decoded>, is_genuine: bool) -> bool {
        let ask = |question| hostcalls::call_foreign_function("verify_signature", Some(question));
        let Some(token) = token else {
            let _ = ask(configured);
            return true;
        };
        let Some(question) = token::question(configured, token) else {
            return false;
        };
        let answer = ask(&question);
        is_genuine == matches!(answer, Ok(Some(answer)) if answer.starts_with(GENUINE))
    }

    impl Context for Request {}

    impl HttpContext for Request {
        fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
            let mut header: Option<Vec<u8>> = None;
            let mut decoded: Option<Decoded> = None;
            for call in &*self.0 {
                match call {
                    Call::Headers => drop(crate::pairs::request_headers()),
                    Call::Header(name) => {
                        #[expect(
                            clippy::disallowed_methods,
                            reason = "the cheapest way to a header is what is measured"
                        )]
                        let value = hostcalls::get_map_value_bytes(MAP, name);
                        header = value.ok().flatten();
                    }
                    Call::Decode => {
                        decoded = header.as_deref().and_then(token::decode);
                        if decoded.is_none() {
                            return give_up();
                        }
                    }
                    Call::Verify(configured, is_genuine) => {
                        if !verify(configured, decoded.as_ref(), *is_genuine) {
                            return give_up();
                        }
                    }
                    Call::Time => drop(hostcalls::get_current_time()),
                    Call::Page => drop(hostcalls::get_shared_data(PAGE)),
                    Call::Remove(name) => drop(hostcalls::remove_map_value(MAP, name)),
                    Call::Set(name, value) => drop(hostcalls::set_map_value_bytes(
                        MAP,
                        name,
                        Some(value.as_bytes()),
                    )),
                    Call::Count(counter) => drop(hostcalls::increment_metric(*counter, 1)),
                    Call::Level => drop(hostcalls::get_log_level()),
                    Call::Refuse => {
                        let (headers, body) = (HEADERS.to_vec(), BODY.as_bytes());
                        let _ = hostcalls::send_http_response(401, headers, Some(body));
                        return Action::Pause;
                    }
                }
            }
            Action::Continue
        }
    }
}
