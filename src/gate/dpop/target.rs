//! What a proof was made for: the method and the URI of its request (`htm` and `htu`, RFC 9449 section 4.2).
//!
//! URIs are compared as RFC 3986 normalises them by syntax and scheme (sections 6.2.2 and 6.2.3): schemes and
//! hosts in any case, without the scheme's own port, with escapes of the same bytes as the same. Segments such as
//! `..` are not resolved: a client library has done that before it signs, and the upstream gets the path of the
//! request as it is.

use super::super::path::{hex, without_query};
use super::super::request::Request;
use crate::token::Claims;

/// A request as far as a proof is about it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Target<'r> {
    method: &'r [u8],
    /// Whether the client's connection is encrypted; `None` when that is not known.
    is_encrypted: Option<bool>,
    authority: &'r [u8],
    /// Without the query.
    path: &'r [u8],
}

impl<'r> Target<'r> {
    pub(super) fn of(request: &'r Request, is_encrypted: Option<bool>) -> Self {
        let mut authorities = request.values(":authority");
        Self {
            method: request.method().unwrap_or_default(),
            is_encrypted,
            authority: authorities.next().unwrap_or_default(),
            path: request.path().unwrap_or_default(),
        }
    }

    /// Whether these claims of a proof say that it was made for this.
    pub(super) fn is_that_of(&self, claims: &Claims) -> bool {
        let method = claims.string("htm").map(str::as_bytes);
        let uri = claims.string("htu").map(str::as_bytes);
        method == Some(self.method) && uri.is_some_and(|uri| self.is_at(uri))
    }

    fn is_at(&self, uri: &[u8]) -> bool {
        let Some((scheme, port, rest)) = scheme_of(uri) else {
            return false;
        };
        let uri = rest.split(|byte| *byte == b'#').next().unwrap_or_default();
        let uri = without_query(uri);
        let end = memchr::memchr(b'/', uri).unwrap_or(uri.len());
        let (authority, path) = uri.split_at_checked(end).unwrap_or_default();
        let is_same_host = {
            let [own, named] = [self.authority, authority].map(|it| without_port(it, port));
            !named.is_empty() && own.eq_ignore_ascii_case(named)
        };
        self.is_encrypted == Some(scheme) && is_same_host && is_same_path(self.path, path)
    }
}

/// Whether the scheme is encrypted, its port as it may be left out, and what comes after `://`.
fn scheme_of(uri: &[u8]) -> Option<(bool, &'static [u8], &[u8])> {
    const SCHEMES: [(&[u8], bool, &[u8]); 2] =
        [(b"https://", true, b":443"), (b"http://", false, b":80")];
    SCHEMES.into_iter().find_map(|(name, is_encrypted, port)| {
        let (scheme, rest) = uri.split_at_checked(name.len())?;
        let is_it = scheme.eq_ignore_ascii_case(name);
        is_it.then_some((is_encrypted, port, rest))
    })
}

fn without_port<'a>(authority: &'a [u8], port: &[u8]) -> &'a [u8] {
    let bare = authority
        .strip_suffix(port)
        .or_else(|| authority.strip_suffix(b":"));
    bare.unwrap_or(authority)
}

fn is_same_path(one: &[u8], other: &[u8]) -> bool {
    one == other
        || (is_escaped_well(one) && is_escaped_well(other) && normal(one).eq(normal(other)))
}

/// Whether two digits follow each `%`. Otherwise, two paths could become one that are not the same.
fn is_escaped_well(path: &[u8]) -> bool {
    memchr::memchr_iter(b'%', path).all(|at| {
        let digits = path.get(at + 1..).and_then(|rest| rest.first_chunk::<2>());
        digits.is_some_and(|digits| digits.iter().all(|digit| hex(*digit).is_some()))
    })
}

/// A path with escapes in capital letters, and without those of characters that need none (RFC 3986 section
/// 2.3); `/` for none at all.
fn normal(path: &[u8]) -> impl Iterator<Item = u8> {
    let mut rest = if path.is_empty() { b"/" } else { path };
    let mut escaped: &[u8] = &[];
    std::iter::from_fn(move || {
        if let Some((digit, after)) = escaped.split_first() {
            escaped = after;
            return Some(digit.to_ascii_uppercase());
        }
        let (first, after) = rest.split_first()?;
        rest = after;
        if *first != b'%' {
            return Some(*first);
        }
        if let Some((digits, after)) = rest.split_first_chunk::<2>()
            && let [Some(high), Some(low)] = digits.map(hex)
        {
            rest = after;
            let byte = high << 4 | low;
            if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
                return Some(byte);
            }
            escaped = digits;
        }
        Some(b'%')
    })
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn is_for(authority: &str, path: &str, is_encrypted: bool, uri: &str) -> bool {
        let target = Target {
            method: b"GET",
            is_encrypted: Some(is_encrypted),
            authority: authority.as_bytes(),
            path: path.as_bytes(),
        };
        target.is_at(uri.as_bytes())
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_uri_is_the_same_in_every_spelling_that_means_the_same() {
        for (authority, path, is_encrypted, uri) in [
            ("api.example", "/a", true, "https://api.example/a"),
            ("API.example", "/a", true, "HTTPS://api.EXAMPLE/a"),
            ("api.example:443", "/a", true, "https://api.example/a"),
            ("api.example", "/a", true, "https://api.example:443/a"),
            ("api.example", "/a", true, "https://api.example:/a"),
            ("api.example", "/a", false, "http://api.example:80/a"),
            ("api.example:8443", "/a", true, "https://api.example:8443/a"),
            ("[::1]:8080", "/a", false, "http://[::1]:8080/a"),
            ("api.example", "/", true, "https://api.example"),
            ("api.example", "", true, "https://api.example/"),
            ("api.example", "/a", true, "https://api.example/a?b=c"),
            ("api.example", "/a", true, "https://api.example/a#b?c"),
            ("api.example", "/", true, "https://api.example?b=/c"),
            (
                "api.example",
                "/%7ea%2f",
                true,
                "https://api.example/~%61%2F",
            ),
            ("api.example", "/%", true, "https://api.example/%"),
        ] {
            assert!(
                is_for(authority, path, is_encrypted, uri),
                "{authority}{path}: {uri}"
            );
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn another_uri_is_another_one() {
        for (authority, path, is_encrypted, uri) in [
            ("api.example", "/a", true, "http://api.example/a"),
            ("api.example", "/a", false, "https://api.example/a"),
            ("api.example", "/a", true, "https://api.example:80/a"),
            ("api.example", "/a", false, "http://api.example:443/a"),
            ("api.example:8443", "/a", true, "https://api.example/a"),
            ("api.example", "/a", true, "https://api.example.evil/a"),
            ("api.example", "/a", true, "https://user@api.example/a"),
            ("api.example", "/a", true, "https://api.example@evil/a"),
            ("api.example", "/a", true, "https://api.example/a/"),
            ("api.example", "/a", true, "https://api.example/A"),
            ("api.example", "/a", true, "https://api.example//a"),
            ("api.example", "/a", true, "https://api.example/b/../a"),
            ("api.example", "/a%2Fb", true, "https://api.example/a/b"),
            ("api.example", "/a%3F", true, "https://api.example/a?"),
            ("api.example", "/%2", true, "https://api.example/%02"),
            ("api.example", "/%%32%46", true, "https://api.example/%2F"),
            ("api.example", "/%2F", true, "https://api.example/%%32F"),
            ("", "/a", true, "https:///a"),
            ("api.example", "/a", true, "/a"),
            ("api.example", "/a", true, "api.example/a"),
            ("api.example", "/a", true, ""),
        ] {
            assert!(
                !is_for(authority, path, is_encrypted, uri),
                "{authority}{path}: {uri}"
            );
        }
    }
}
