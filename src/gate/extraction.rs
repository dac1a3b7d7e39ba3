//! Finding the token in a request, and taking it out again.

use std::borrow::Cow;

use super::path;
use super::reason::Reason;
use super::request::Request;
use crate::host::Host;

/// A place in which a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A header.
    Header(HeaderLocation),
    /// A parameter of the query, by its decoded name.
    Parameter(String),
    /// A cookie.
    Cookie(String),
}

/// A header in which a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderLocation {
    /// Name in lower case.
    pub(super) name: String,
    /// What stands before the token, `Bearer ` for instance.
    pub(super) prefix: String,
}

impl HeaderLocation {
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    pub(super) fn authorization() -> Self {
        Self {
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }
    }

    /// The token in a value of this header, if there is one.
    ///
    /// The prefix has to stand at the beginning. An authentication scheme is compared without
    /// regard to case and may be followed by several spaces (RFC 9110 section 11.1); every other
    /// prefix is compared as it is.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMalformed`] for the scheme with anything but a space after it. An upstream
    /// that splits at any white space would find a token there, which nobody has verified.
    fn token<'v>(&self, value: &'v [u8]) -> Result<Option<&'v [u8]>, Reason> {
        let prefix = self.prefix.as_bytes();
        let parts = value.split_at_checked(prefix.len());
        if !self.is_authorization() {
            return Ok(parts.and_then(|(start, rest)| (start == prefix).then_some(rest)));
        }
        if let Some((start, rest)) = parts
            && start.eq_ignore_ascii_case(prefix)
        {
            return Ok(Some(rest.trim_ascii_start()));
        }
        let scheme = prefix.strip_suffix(b" ").unwrap_or_default();
        match value.split_at_checked(scheme.len()) {
            Some((start, [_, ..])) if !scheme.is_empty() && start.eq_ignore_ascii_case(scheme) => {
                Err(Reason::TokenMalformed)
            }
            _ => Ok(None),
        }
    }

    fn is_authorization(&self) -> bool {
        self.name == "authorization"
    }

    /// All values of this header in a request. Envoy joins repeated `Authorization` lines with
    /// commas, which neither a scheme nor a token contains.
    fn values<'r>(&'r self, request: &'r Request) -> impl Iterator<Item = &'r [u8]> {
        let is_joined = self.is_authorization();
        request.values(&self.name).flat_map(move |line| {
            let (first, mut rest) = split(line, is_joined);
            let others = std::iter::from_fn(move || {
                let (next, after) = split(rest?, true);
                rest = after;
                Some(next)
            });
            [first].into_iter().chain(others).map(<[u8]>::trim_ascii)
        })
    }
}

/// What stands before the first comma, and what stands after it, where commas count. Values are
/// long and commas rare, so they are looked for by words.
fn split(line: &[u8], is_joined: bool) -> (&[u8], Option<&[u8]>) {
    let comma = memchr::memchr(b',', line).filter(|_| is_joined);
    let parts = comma.and_then(|comma| line.split_at_checked(comma));
    parts.map_or((line, None), |(before, rest)| (before, rest.get(1..)))
}

/// A token and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'r> {
    pub(super) token: Cow<'r, [u8]>,
    /// All places that hold it.
    pub(super) places: Vec<&'r Location>,
}

/// What was found so far.
struct Search<'r>(Option<Found<'r>>);

impl<'r> Search<'r> {
    /// Another token, which has to be the one that is there already.
    fn add(&mut self, place: &'r Location, token: Cow<'r, [u8]>) -> Result<(), Reason> {
        match &mut self.0 {
            _ if token.is_empty() => {}
            None => {
                self.0 = Some(Found {
                    token,
                    places: vec![place],
                });
            }
            Some(earlier) if earlier.token != token => return Err(Reason::TokenAmbiguous),
            Some(earlier) if earlier.places.contains(&place) => {}
            Some(earlier) => earlier.places.push(place),
        }
        Ok(())
    }
}

/// Looks in all of these places.
///
/// # Errors
///
/// [`Reason::TokenMissing`]; [`Reason::TokenMalformed`] for an `Authorization` header that has the
/// scheme, but no space after it; or [`Reason::TokenAmbiguous`] for two different tokens, and for a
/// token in one of several different `Authorization` headers, of which the upstream might take
/// another one.
pub(super) fn find<'r>(
    locations: impl IntoIterator<Item = &'r Location>,
    request: &'r Request,
) -> Result<Found<'r>, Reason> {
    let mut search = Search(None);
    for place in locations {
        match place {
            Location::Header(header) => {
                let (mut tokens, mut others) = (false, false);
                for value in header.values(request) {
                    if let Some(token) = header.token(value)? {
                        tokens |= !token.is_empty();
                        search.add(place, Cow::Borrowed(token))?;
                    } else {
                        others = true;
                    }
                }
                if tokens && others && header.is_authorization() {
                    return Err(Reason::TokenAmbiguous);
                }
            }
            Location::Parameter(expected) => {
                for (name, value) in request.parameters() {
                    if *path::decoded(name) == *expected.as_bytes() {
                        search.add(place, path::decoded(value))?;
                    }
                }
            }
            Location::Cookie(expected) => {
                for (name, value) in request.cookies() {
                    if name == expected.as_bytes() {
                        search.add(place, Cow::Borrowed(value))?;
                    }
                }
            }
        }
    }
    search.0.ok_or(Reason::TokenMissing)
}

/// Takes tokens out of the request, every copy in the places where they were found.
pub(super) fn strip<'l>(
    host: &impl Host,
    request: &Request,
    places: impl Iterator<Item = &'l Location>,
) {
    let mut parameters: Vec<&str> = Vec::new();
    let mut cookies: Vec<&str> = Vec::new();
    for place in places {
        match place {
            Location::Header(header) => host.remove_request_header(&header.name),
            Location::Parameter(name) => parameters.push(name),
            Location::Cookie(name) => cookies.push(name),
        }
    }
    if let (false, Some(target)) = (parameters.is_empty(), request.target()) {
        let is_token = |name: &[u8]| parameters.iter().any(|known| known.as_bytes() == name);
        host.set_request_header(":path", &path::without_parameters(target, is_token));
    }
    if !cookies.is_empty() {
        strip_cookies(host, request, &cookies);
    }
}

/// What is left goes into one line, which means the same as several (RFC 9113 section 8.2.3).
fn strip_cookies(host: &impl Host, request: &Request, names: &[&str]) {
    let pairs = request
        .values("cookie")
        .flat_map(|line| line.split(|byte| *byte == b';'));
    let is_token = |pair: &[u8]| {
        let (name, _) = path::pair(pair);
        names.iter().any(|known| known.as_bytes() == name)
    };
    let kept: Vec<&[u8]> = pairs
        .map(<[u8]>::trim_ascii)
        .filter(|pair| !pair.is_empty() && !is_token(pair))
        .collect();
    if kept.is_empty() {
        host.remove_request_header("cookie");
    } else {
        host.set_request_header("cookie", &kept.join(&b"; "[..]));
    }
}

#[cfg(test)]
mod tests;
