//! A filter that does nothing, with the same SDK and built in the same way: what a Wasm filter
//! costs before it does anything.

#![allow(missing_docs, reason = "the SDK's macro exports functions without any")]
#![cfg_attr(
    not(target_os = "wasi"),
    allow(unused, reason = "it is for Envoy only")
)]

#[cfg(target_os = "wasi")]
mod filter {
    use proxy_wasm::traits::{Context, HttpContext, RootContext};
    use proxy_wasm::types::ContextType;

    proxy_wasm::main! {{
        proxy_wasm::set_root_context(|_| Box::new(Root));
    }}

    struct Root;

    struct Request;

    impl Context for Root {}

    impl RootContext for Root {
        fn get_type(&self) -> Option<ContextType> {
            Some(ContextType::HttpContext)
        }

        fn create_http_context(&self, _context: u32) -> Option<Box<dyn HttpContext>> {
            Some(Box::new(Request))
        }
    }

    impl Context for Request {}

    impl HttpContext for Request {}
}
