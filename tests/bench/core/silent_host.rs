//! A host that has one request to show and does nothing that it is asked to do.

use std::time::SystemTime;

use portcullis::host::{
    Counter, Expected, ForeignAnswer, HeaderBlock, Host, Response, Shared, SharedData,
    SignatureHost,
};

pub(crate) struct SilentHost {
    headers: HeaderBlock,
    now_milliseconds: u64,
}

impl SilentHost {
    /// With the request of a mobile app that has this token.
    pub(crate) fn for_token(token: &str) -> Self {
        let bearer = format!("Bearer {token}");
        let lines = [
            (":authority", "api.example"),
            (":path", "/api/orders?page=2"),
            (":method", "GET"),
            (":scheme", "https"),
            ("user-agent", "MobileApp/7.1 (iPhone; iOS 19.2)"),
            ("accept", "application/json"),
            ("accept-encoding", "gzip, br"),
            ("accept-language", "en-GB"),
            ("authorization", &bearer),
            ("x-request-id", "3f1e7f4c-8d2f-4b8e-9c7e-2b1e6f1a2b3c"),
        ];
        Self {
            headers: lines.into_iter().collect(),
            now_milliseconds: now(),
        }
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the tokens of the tests are made by the clock of the machine"
)]
fn now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let milliseconds = since_epoch.expect("a clock past 1970").as_millis();
    milliseconds
        .try_into()
        .expect("a clock before the year 584 million")
}

impl SignatureHost for SilentHost {
    fn verify_signature(&self, _arguments: &[u8]) -> ForeignAnswer {
        ForeignAnswer::Unavailable
    }
}

impl SharedData for SilentHost {
    fn shared(&self, _key: &str) -> Option<Shared> {
        None
    }

    fn set_shared(&self, _key: &str, _value: &[u8], _expected: Expected) -> bool {
        false
    }
}

impl Host for SilentHost {
    fn now_milliseconds(&self) -> u64 {
        self.now_milliseconds
    }

    fn request_headers(&self) -> HeaderBlock {
        self.headers.clone()
    }

    fn remove_request_header(&self, _name: &str) {}

    fn set_request_header(&self, _name: &str, _value: &[u8]) {}

    fn property(&self, _path: &[&str]) -> Option<Vec<u8>> {
        None
    }

    fn set_filter_state(&self, _name: &str, _value: &[u8]) {}

    fn respond(&self, _response: &Response) {}

    fn increment(&self, _counter: Counter, _provider: Option<&str>) {}

    fn debug(&self, _message: impl FnOnce() -> String) {}
}
