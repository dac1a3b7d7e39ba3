//! A filter that makes the host calls of a decision and decides nothing: below what it costs, no
//! filter gets that has to look at the request, have the signature checked by the host and tell the
//! upstream who is calling.
//!
//! Its configuration is text: `warm`, `cold` or `forged`, and for the last two the arguments of
//! `verify_signature` in hexadecimal digits.

#![allow(missing_docs, reason = "the SDK's macro exports functions without any")]
#![cfg_attr(
    not(target_os = "wasi"),
    allow(unused, reason = "it is for Envoy only")
)]

#[cfg(target_os = "wasi")]
#[path = "../pairs.rs"]
mod pairs;

#[cfg(target_os = "wasi")]
mod filter {
    use std::rc::Rc;

    use proxy_wasm::hostcalls;
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::{Action, ContextType, MapType, MetricType};

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root(Rc::default())));
    }}

    /// What Portcullis reads of its revocation filter for a token: the pages of `jti` and `sid`.
    const PAGES: [&str; 2] = ["portcullis/floor/page/0/1", "portcullis/floor/page/0/2"];

    /// A page with the header of its record.
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

    #[derive(Clone, Copy, Default, PartialEq, Eq)]
    enum Calls {
        #[default]
        Warm,
        Cold,
        Forged,
    }

    #[derive(Default)]
    struct Plan {
        calls: Calls,
        arguments: Vec<u8>,
        counter: u32,
    }

    struct Root(Rc<Plan>);

    struct Request(Rc<Plan>);

    impl Context for Root {}

    impl RootContext for Root {
        fn on_configure(&mut self, _size: usize) -> bool {
            let text = self.get_plugin_configuration().unwrap_or_default();
            let text = String::from_utf8_lossy(&text).into_owned();
            let (calls, arguments) = text.split_once(' ').unwrap_or((&text, ""));
            let calls = match calls {
                "warm" => Calls::Warm,
                "cold" => Calls::Cold,
                "forged" => Calls::Forged,
                _ => return false,
            };
            for page in PAGES {
                let _ = hostcalls::set_shared_data(page, Some(&[7; PAGE_BYTES]), None);
            }
            let Ok(counter) = hostcalls::define_metric(MetricType::Counter, "portcullis.floor")
            else {
                return false;
            };
            self.0 = Rc::new(Plan {
                calls,
                arguments: bytes(arguments),
                counter,
            });
            true
        }

        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }

        fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Request(Rc::clone(&self.0))))
        }
    }

    fn bytes(digits: &str) -> Vec<u8> {
        let pairs = digits.as_bytes().chunks(2);
        let pairs = pairs.filter_map(|pair| std::str::from_utf8(pair).ok());
        pairs
            .filter_map(|pair| u8::from_str_radix(pair, 16).ok())
            .collect()
    }

    impl Context for Request {}

    impl HttpContext for Request {
        fn on_http_request_headers(&mut self, _count: usize, _end_of_stream: bool) -> Action {
            let plan = &*self.0;
            crate::pairs::request_headers();
            if plan.calls != Calls::Warm {
                let _ = hostcalls::call_foreign_function("verify_signature", Some(&plan.arguments));
            }
            if plan.calls == Calls::Forged {
                let _ = hostcalls::increment_metric(plan.counter, 1);
                let headers = HEADERS.to_vec();
                let _ = hostcalls::send_http_response(401, headers, Some(BODY.as_bytes()));
                return Action::Pause;
            }
            let _ = hostcalls::get_current_time();
            if plan.calls == Calls::Cold {
                for page in PAGES {
                    let _ = hostcalls::get_shared_data(page);
                }
            }
            let map = MapType::HttpRequestHeaders;
            let _ = hostcalls::remove_map_value(map, "authorization");
            let _ = hostcalls::set_map_value_bytes(map, "x-user-id", Some(b"user-00000001"));
            let session = b"0123456789abcdef0123456789abcdef";
            let _ = hostcalls::set_map_value_bytes(map, "x-user-session", Some(session));
            let _ = hostcalls::increment_metric(plan.counter, 1);
            Action::Continue
        }
    }
}
