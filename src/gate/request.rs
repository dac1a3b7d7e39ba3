//! The headers of one request, as bytes.

use std::cell::Cell;

use super::path;
use super::text::MAX_PATTERN_BYTES;
use crate::host::HeaderBlock;

/// Every header line of a request. All are read at once: asking the host for single headers would
/// show only the first of several equal ones.
pub(super) struct Request {
    block: HeaderBlock,
    /// Bytes that may still be compared with patterns for this request.
    pub(super) pattern_bytes: Cell<usize>,
}

impl Request {
    pub(super) const fn new(block: HeaderBlock) -> Self {
        Self {
            block,
            pattern_bytes: Cell::new(MAX_PATTERN_BYTES),
        }
    }

    /// Whether there is not even a method, which every request has.
    pub(super) fn is_empty(&self) -> bool {
        self.lines().next().is_none()
    }

    /// Names and values of all lines.
    pub(super) fn lines(&self) -> impl Iterator<Item = (&[u8], &[u8])> {
        self.block.lines()
    }

    /// The values of all lines with this name, which is in lower case.
    pub(super) fn values<'r>(&'r self, name: &'r str) -> impl Iterator<Item = &'r [u8]> {
        self.block.values(name)
    }

    /// The first line with this name, which is in lower case: where it stands, and its value.
    pub(super) fn line(&self, name: &str) -> Option<(usize, &[u8])> {
        let mut lines = self.lines().enumerate();
        let found = lines.find(|(_, (line, _))| *line == name.as_bytes());
        found.map(|(index, (_, value))| (index, value))
    }

    /// The lengths of name and value of the line that stands there.
    pub(super) fn lengths_at(&self, index: usize) -> Option<(usize, usize)> {
        self.block.lengths_at(index)
    }

    /// The path without its query; `None` for a `CONNECT` without a path.
    pub(super) fn path(&self) -> Option<&[u8]> {
        self.values(":path").next().map(path::without_query)
    }

    /// The path with its query, as it was sent.
    pub(super) fn target(&self) -> Option<&[u8]> {
        self.values(":path").next()
    }

    /// The method.
    pub(super) fn method(&self) -> Option<&[u8]> {
        self.values(":method").next()
    }

    /// The query's parameters, each as `name=value`, still encoded.
    pub(super) fn parameters(&self) -> impl Iterator<Item = &[u8]> {
        let query = self.target().map(path::query).unwrap_or_default();
        let pairs = query.split(|byte| *byte == b'&');
        pairs.filter(|pair| !pair.is_empty())
    }

    /// The cookies (RFC 6265 section 4.2.1), each as `name=value`.
    pub(super) fn cookies(&self) -> impl Iterator<Item = &[u8]> {
        let pairs = self
            .values("cookie")
            .flat_map(|line| line.split(|byte| *byte == b';'));
        pairs.map(<[u8]>::trim_ascii)
    }

    /// Whether a browser asks which requests it may send (Fetch section 3.2.2), which no upstream
    /// should act on.
    pub(super) fn is_cors_preflight(&self) -> bool {
        let has = |name| self.values(name).any(|value| !value.is_empty());
        self.method() == Some(b"OPTIONS") && has("origin") && has("access-control-request-method")
    }

    /// Whether the client speaks gRPC (the content type that the gRPC specification for HTTP/2
    /// requires: `application/grpc`, perhaps with `+proto` or parameters).
    pub(super) fn is_grpc(&self) -> bool {
        self.values("content-type").next().is_some_and(|value| {
            value
                .strip_prefix(b"application/grpc")
                .is_some_and(|rest| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
        })
    }

    /// `x-request-id`, cut and escaped so that it cannot forge a line of the log.
    pub(super) fn id(&self) -> String {
        const LONGEST: usize = 64;
        let id = self.values("x-request-id").next().unwrap_or(b"-");
        id.get(..LONGEST).unwrap_or(id).escape_ascii().to_string()
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn request(name: &str, value: &[u8]) -> Request {
        Request::new([(name, value)].into_iter().collect())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn grpc_is_known_by_its_content_type() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc; charset=utf-8", true),
            ("application/grpc-web", false),
            ("application/json", false),
        ] {
            let request = request("content-type", value.as_bytes());
            assert_eq!(request.is_grpc(), expected, "{value}");
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_request_id_cannot_break_out_of_its_line() {
        assert_eq!(request("x-request-id", b"a\nb\xff").id(), "a\\nb\\xff");
        assert_eq!(request("x-request-id", &[b'a'; 1000]).id().len(), 64);
        assert_eq!(Request::new(HeaderBlock::default()).id(), "-");
    }
}
