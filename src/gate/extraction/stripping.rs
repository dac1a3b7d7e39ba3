//! Removing tokens from a request.

use super::{Location, cookie_value};
use crate::gate::alias::{is_alias, reads_as};
use crate::gate::path;
use crate::gate::request::Request;
use crate::host::Host;

/// A location from which tokens are removed: all of them, or all but those with this value.
pub(in crate::gate) type Stripped<'l> = (&'l Location, Option<&'l [u8]>);

/// Removes tokens from the request, every copy in the locations where they were found. Where a
/// location comes with a value, only cookies are removed, except those with this value.
pub(in crate::gate) fn strip<'l>(
    host: &impl Host,
    request: &Request,
    locations: impl Iterator<Item = Stripped<'l>>,
) {
    let mut parameters: Vec<&str> = Vec::new();
    let mut cookies: Vec<(&str, Option<&[u8]>)> = Vec::new();
    for location in locations {
        match location {
            (Location::Cookie(cookie), kept) => cookies.push((&cookie.name, kept)),
            (_, Some(_)) => {}
            (Location::Header(header), None) => strip_header(host, request, &header.name),
            (Location::Parameter(name), None) => parameters.push(name),
        }
    }
    if let (false, Some(target)) = (parameters.is_empty(), request.target()) {
        let is_token = |name: &[u8]| parameters.iter().any(|own| reads_as(own, name));
        host.set_request_header(":path", &path::without_parameters(target, is_token));
    }
    if !cookies.is_empty() {
        strip_cookies(host, request, &cookies);
    }
}

fn strip_header(host: &impl Host, request: &Request, own: &str) {
    host.remove_request_header(own);
    let names = request.lines().map(|(name, _)| name);
    let aliases = names.filter(|name| *name != own.as_bytes() && is_alias(own, name));
    // Envoy accepts only names in ASCII.
    let aliases = aliases.filter_map(|name| str::from_utf8(name).ok());
    aliases.for_each(|name| host.remove_request_header(name));
}

/// What is left goes into one line, which means the same as several (RFC 9113 section 8.2.3).
fn strip_cookies(host: &impl Host, request: &Request, names: &[(&str, Option<&[u8]>)]) {
    let is_token = |cookie: &[u8]| {
        let mut names = names.iter();
        names.any(|(own, kept)| {
            let value = cookie_value(own, cookie);
            value.is_some() && value != *kept
        })
    };
    let kept: Vec<&[u8]> = request
        .cookies()
        .filter(|cookie| !cookie.is_empty() && !is_token(cookie))
        .collect();
    if kept.is_empty() {
        host.remove_request_header("cookie");
    } else {
        host.set_request_header("cookie", &kept.join(&b"; "[..]));
    }
}
