//! Telling a program of this machine from a page in a browser, where no credential is required.
//!
//! A page that is open in a browser of this machine can reach loopback as well. Its requests are
//! recognised in two ways, neither of which is enough alone:
//!
//! - By the host name. The owner of a name can point it to 127.0.0.1 once the page is loaded ("DNS
//!   rebinding"), and the browser takes both for the same site. The request still has the name in
//!   `Host`.
//! - By headers that browsers set themselves: `Sec-Fetch-Site`, which no page can set, and
//!   `Origin`.
//!
//! Neither hinders a program: it can send any header, and reaches everything anyway.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use axum::extract::Request;
use axum::http::header::{HOST, ORIGIN};
use axum::http::{HeaderMap, HeaderValue};

use super::Problem;

/// Refuses a request to a name other than loopback's.
pub(in crate::authority) fn expect_loopback_name(request: &Request) -> Result<(), Problem> {
    let target = request
        .uri()
        .authority()
        .map(|name| name.as_str().as_bytes());
    let host = request.headers().get_all(HOST).iter();
    let mut names = host.map(HeaderValue::as_bytes).chain(target).peekable();
    if names.peek().is_some() && names.all(is_loopback) {
        Ok(())
    } else {
        Err(Problem::not_a_loopback_name())
    }
}

/// Refuses a request that, according to the browser, a page of another site has sent.
pub(super) fn expect_no_other_site(headers: &HeaderMap) -> Result<(), Problem> {
    let is_own_site = |value: &[u8]| matches!(value, b"same-origin" | b"none");
    let is_own_origin = |value: &[u8]| {
        let schemes: [&[u8]; 2] = [b"http://", b"https://"];
        let mut names = schemes
            .into_iter()
            .filter_map(|scheme| value.strip_prefix(scheme));
        names.any(is_loopback)
    };
    let mut sites = headers.get_all("sec-fetch-site").iter();
    let mut origins = headers.get_all(ORIGIN).iter();
    if sites.all(|site| is_own_site(site.as_bytes()))
        && origins.all(|origin| is_own_origin(origin.as_bytes()))
    {
        Ok(())
    } else {
        Err(Problem::cross_site())
    }
}

/// Whether a host, with or without a port, can only mean this machine.
pub(in crate::authority) fn is_loopback(host: &[u8]) -> bool {
    let Ok(host) = str::from_utf8(host) else {
        return false;
    };
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|digit| digit.is_ascii_digit()) => name,
        _ => host,
    };
    if let Some(address) = name
        .strip_prefix('[')
        .and_then(|name| name.strip_suffix(']'))
    {
        return address.parse() == Ok(Ipv6Addr::LOCALHOST);
    }
    name.eq_ignore_ascii_case("localhost")
        || name
            .parse::<Ipv4Addr>()
            .map(IpAddr::V4)
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_loopback_are_loopback() {
        for host in [
            "localhost",
            "LocalHost:10002",
            "127.0.0.1",
            "127.0.0.1:80",
            "127.255.0.3:1",
            "[::1]",
            "[::1]:10002",
            "localhost:",
        ] {
            assert!(is_loopback(host.as_bytes()), "{host}");
        }
        for host in [
            "",
            ":80",
            "evil.example",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.1",
            "127.0.0.01",
            "0x7f000001",
            "2130706433",
            "10.0.0.1",
            "0.0.0.0",
            "[::]",
            "[::2]:1",
            "::1",
            "[::ffff:127.0.0.1]",
            "a@127.0.0.1",
            "127.0.0.1:80:80",
            "localhost:x",
            " localhost",
            "localhost/",
        ] {
            assert!(!is_loopback(host.as_bytes()), "{host}");
        }
        assert!(!is_loopback(b"localhost\xff"));
    }
}
