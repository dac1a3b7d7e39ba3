//! Finding the token in a request, and taking it out again.

use std::borrow::Cow;

use super::alias::{is_alias, reads_as};
use super::path;
use super::reason::Reason;
use super::request::Request;
use crate::host::Host;

/// Where in a request a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Location {
    /// A header.
    Header(HeaderLocation),
    /// A parameter of the query, by its decoded name.
    Parameter(String),
    /// A cookie.
    Cookie(CookieLocation),
}

impl Location {
    /// Whether both are cookies that some upstream reads as one.
    pub(super) fn is_cookie_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cookie(own), Self::Cookie(other)) => reads_as(&own.name, other.name.as_bytes()),
            _ => false,
        }
    }
}

/// A cookie in which a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CookieLocation {
    pub(super) name: String,
    pub(super) duplicates: Duplicates,
}

/// What becomes of a request with several different cookies of one name. A browser sends them where
/// a site and the domain above it have both set one, and does not tell which is whose (RFC 6265
/// section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// It is refused.
    Refused,
    /// The one that is genuine counts, if exactly one is.
    FirstGenuine,
}

/// A header in which a provider's tokens come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderLocation {
    /// Name in lower case.
    pub(super) name: String,
    /// What stands before the token, `Bearer ` for instance; blanks behind it do not matter.
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
    /// The prefix has to stand at the beginning, and any blanks may follow. An authentication scheme
    /// is compared without regard to case (RFC 9110 section 11.1), every other prefix as it is.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMalformed`] for the scheme with anything but a space after it, or with
    /// what some upstream takes for blanks before it; and for a value of another header, which has
    /// no other schemes, without the prefix. An upstream that is less strict would find a token
    /// there, which was not verified.
    fn token<'v>(&self, value: &'v [u8]) -> Result<Option<&'v [u8]>, Reason> {
        let prefix = self.prefix.as_bytes();
        let parts = value.split_at_checked(prefix.len());
        if !self.is_authorization() {
            // Envoy has taken off the blank with which the prefix may end.
            if value == prefix.trim_ascii_end() {
                return Ok(None);
            }
            let rest = parts.filter(|(start, _)| *start == prefix);
            let rest = rest.ok_or(Reason::TokenMalformed)?.1;
            return Ok(Some(rest.trim_ascii_start()));
        }
        if let Some((start, rest)) = parts
            && start.eq_ignore_ascii_case(prefix)
        {
            return Ok(Some(rest.trim_ascii_start()));
        }
        let scheme = prefix.trim_ascii_end();
        let start = value.iter().position(u8::is_ascii_graphic);
        let value = start.and_then(|start| value.get(start..));
        match value.and_then(|value| value.split_at_checked(scheme.len())) {
            Some((start, [_, ..])) if !scheme.is_empty() && start.eq_ignore_ascii_case(scheme) => {
                Err(Reason::TokenMalformed)
            }
            _ => Ok(None),
        }
    }

    fn is_authorization(&self) -> bool {
        self.name == "authorization"
    }

    /// The token in all lines of this header, in whatever spelling their names are.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenAmbiguous`] when anything stands beside the token, be it the same once more:
    /// of several lines the upstream might read another one, and of a list none, or all of it.
    /// [`Reason::TokenMalformed`] as for [`Self::token`].
    fn only_token<'r>(&self, request: &'r Request) -> Result<Option<&'r [u8]>, Reason> {
        let mut lines = Lines::default();
        let own = request
            .lines()
            .filter(|(name, _)| is_alias(&self.name, name));
        for (_, line) in own {
            if self.is_authorization() {
                lines.read_list(self, line);
            } else if !line.is_empty() {
                lines.read(self, line);
            }
        }
        match lines.outcome {
            _ if lines.credentials > 1 => Err(Reason::TokenAmbiguous),
            Ok(None) => Ok(None),
            _ if lines.values > 1 => Err(Reason::TokenAmbiguous),
            outcome => outcome,
        }
    }
}

/// What the lines of one header hold.
struct Lines<'r> {
    values: usize,
    /// How many credentials there are, where that can be told.
    credentials: usize,
    outcome: Result<Option<&'r [u8]>, Reason>,
}

impl Default for Lines<'_> {
    fn default() -> Self {
        Self {
            values: 0,
            credentials: 0,
            outcome: Ok(None),
        }
    }
}

impl<'r> Lines<'r> {
    fn read(&mut self, header: &HeaderLocation, value: &'r [u8]) {
        self.values += 1;
        match header.token(value) {
            Ok(Some([]) | None) => {}
            outcome => self.outcome = outcome,
        }
    }

    /// Envoy joins repeated `Authorization` lines with commas, which neither a scheme nor a token
    /// contains. The parameters of other schemes do (RFC 9110 section 11.4), so what follows a
    /// comma is another set of credentials only if it is no parameter and does not stand in quotes.
    fn read_list(&mut self, header: &HeaderLocation, line: &'r [u8]) {
        let (mut is_first, mut is_quoted) = (true, false);
        let mut rest = Some(line);
        while let Some(list) = rest {
            let (part, after) = split(list);
            let begins = is_first || !(is_quoted || is_parameter(part));
            self.credentials += usize::from(begins && !part.is_empty());
            self.read(header, part);
            if after.is_some() {
                let quotes = memchr::memchr_iter(b'"', part).count();
                is_quoted ^= !quotes.is_multiple_of(2);
            }
            (is_first, rest) = (false, after);
        }
    }
}

/// Whether it is `name=value`.
fn is_parameter(part: &[u8]) -> bool {
    let end = part
        .iter()
        .position(|byte| matches!(byte, b' ' | b'\t' | b'='));
    let rest = end.and_then(|end| part.get(end..)).unwrap_or_default();
    rest.trim_ascii_start().first() == Some(&b'=')
}

/// What stands before the first comma, and what stands after it. Values are long and commas rare,
/// so they are looked for by words.
fn split(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let comma = memchr::memchr(b',', list);
    let parts = comma.and_then(|comma| list.split_at_checked(comma));
    let (part, rest) = parts.map_or((list, None), |(before, rest)| (before, rest.get(1..)));
    (part.trim_ascii(), rest)
}

/// A token and where it was found.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Found<'r> {
    /// The token, or what may be one as much as the other [`Found::rivals`].
    pub(super) token: Cow<'r, [u8]>,
    /// All locations that hold it.
    pub(super) locations: Vec<&'r Location>,
    /// Boxed, so that it takes next to no room where there is none: with almost every token.
    choice: Option<Box<Choice<'r>>>,
}

/// Several different cookies of one name, of which one is to be chosen.
#[derive(Debug, PartialEq, Eq)]
struct Choice<'r> {
    rivals: Vec<&'r [u8]>,
    /// Whether one of them stands in another location too, so that no other can be the token.
    is_settled: bool,
}

impl<'r> Found<'r> {
    /// Whether the token is to be chosen from several cookies.
    pub(super) const fn is_choice(&self) -> bool {
        self.choice.is_some()
    }

    /// The cookies from which it is to be chosen.
    pub(super) fn rivals(&self) -> impl Iterator<Item = &'r [u8]> {
        let choice = self.choice.iter();
        choice.flat_map(|choice| choice.rivals.iter().copied())
    }

    /// Whether no other of them can be it.
    pub(super) fn is_settled(&self) -> bool {
        self.choice.as_ref().is_some_and(|choice| choice.is_settled)
    }
}

/// What was found so far.
#[derive(Default)]
struct Search<'r> {
    token: Option<Cow<'r, [u8]>>,
    locations: Vec<&'r Location>,
    choice: Option<Box<Choice<'r>>>,
}

impl<'r> Search<'r> {
    /// Whether a token was found in a header of this name.
    fn has_read(&self, header: &HeaderLocation) -> bool {
        let mut names = self.locations.iter().filter_map(|location| match location {
            Location::Header(read) => Some(read.name.as_bytes()),
            _ => None,
        });
        names.any(|name| is_alias(&header.name, name))
    }

    /// Another token, which has to be the one that is there already.
    fn add(&mut self, location: &'r Location, token: Cow<'r, [u8]>) -> Result<(), Reason> {
        match &self.token {
            _ if token.is_empty() => return Ok(()),
            Some(earlier) if *earlier != token => return Err(Reason::TokenAmbiguous),
            Some(_) => {}
            None => self.token = Some(token),
        }
        self.found_in(location);
        Ok(())
    }

    fn found_in(&mut self, location: &'r Location) {
        if self.locations.is_empty() {
            // Mostly the only one, and `push` would make room for four.
            self.locations = vec![location];
        } else if !self.locations.contains(&location) {
            self.locations.push(location);
        }
    }

    /// What the cookies of this name hold.
    fn add_cookies(
        &mut self,
        location: &'r Location,
        expected: &CookieLocation,
        request: &'r Request,
    ) -> Result<(), Reason> {
        let mut first: &[u8] = &[];
        let mut rivals: Vec<&[u8]> = Vec::new();
        for cookie in request.cookies() {
            match cookie_value(&expected.name, cookie) {
                None if is_hidden_in(&expected.name, cookie) => {
                    return Err(Reason::TokenAmbiguous);
                }
                None | Some([]) => {}
                Some(value) if first.is_empty() => first = value,
                Some(value) if value == first || rivals.contains(&value) => {}
                Some(_)
                    if expected.duplicates == Duplicates::Refused || rivals.len() >= MAX_RIVALS =>
                {
                    return Err(Reason::TokenAmbiguous);
                }
                Some(value) => {
                    if rivals.is_empty() {
                        rivals.push(first);
                    }
                    rivals.push(value);
                }
            }
        }
        if rivals.is_empty() {
            return self.add(location, Cow::Borrowed(first));
        }
        match &self.choice {
            None => {
                self.choice = Some(Box::new(Choice {
                    rivals,
                    is_settled: false,
                }));
            }
            // What is chosen for one name has to be right for the next.
            Some(choice) if choice.has_same(&rivals) => {}
            Some(_) => return Err(Reason::TokenAmbiguous),
        }
        self.found_in(location);
        Ok(())
    }

    fn outcome(mut self) -> Result<Found<'r>, Reason> {
        if let Some(choice) = &mut self.choice {
            self.token = choice.settle(self.token.take())?;
        }
        Ok(Found {
            token: self.token.ok_or(Reason::TokenMissing)?,
            locations: self.locations,
            choice: self.choice,
        })
    }
}

impl<'r> Choice<'r> {
    fn has_same(&self, rivals: &[&[u8]]) -> bool {
        self.rivals.len() == rivals.len() && rivals.iter().all(|rival| self.rivals.contains(rival))
    }

    /// What may be the token: what stands in another location, or else the first of the cookies.
    #[cold]
    fn settle(&mut self, token: Option<Cow<'r, [u8]>>) -> Result<Option<Cow<'r, [u8]>>, Reason> {
        match token {
            None => Ok(self.rivals.first().map(|rival| Cow::Borrowed(*rival))),
            Some(token) if self.rivals.contains(&&*token) => {
                self.is_settled = true;
                Ok(Some(token))
            }
            Some(_) => Err(Reason::TokenAmbiguous),
        }
    }
}

/// Most cookies of one name that are looked at. A host has few domains above it, and each of them
/// costs as much as a token does.
const MAX_RIVALS: usize = 4;

/// The parameter that `jwt_authn` reads unless it is told otherwise, and that RFC 6750 section 2.3
/// has for tokens.
pub(super) const ACCESS_TOKEN: &str = "access_token";

/// Looks in all of these locations, under every name by which an upstream might look there.
///
/// # Errors
///
/// [`Reason::TokenMissing`]; [`Reason::TokenMalformed`] for an `Authorization` header that has the
/// scheme, but no space after it or something before it, and for another header that has none of
/// its prefixes; [`Reason::TokenAmbiguous`] for two different tokens, for a header
/// that has more than the token, for a cookie that only some upstreams would see, and for
/// several different cookies of one name where these are [`Duplicates::Refused`]; or
/// [`Reason::TokenInQuery`] for an `access_token` in the query that is none of the locations, so
/// that it would go on unverified.
pub(super) fn find<'r>(
    locations: impl IntoIterator<Item = &'r Location>,
    request: &'r Request,
) -> Result<Found<'r>, Reason> {
    find_in(&mut locations.into_iter(), request)
}

/// The same, compiled once whatever the locations come from.
fn find_in<'r>(
    locations: &mut dyn Iterator<Item = &'r Location>,
    request: &'r Request,
) -> Result<Found<'r>, Reason> {
    let mut search = Search::default();
    let mut unread = Vec::new();
    let mut reads_access_token = false;
    for location in locations {
        match location {
            Location::Header(header) => match header.only_token(request) {
                Ok(Some(token)) => search.add(location, Cow::Borrowed(token))?,
                Ok(None) => {}
                // It may have another prefix in another of the locations.
                Err(Reason::TokenMalformed) if !header.is_authorization() => unread.push(header),
                Err(reason) => return Err(reason),
            },
            Location::Parameter(expected) => {
                reads_access_token |= is_alias(ACCESS_TOKEN, expected.as_bytes());
                for value in parameters(expected, request) {
                    search.add(location, path::decoded(value))?;
                }
            }
            Location::Cookie(expected) => search.add_cookies(location, expected, request)?,
        }
    }
    let is_unread = |value: &[u8]| !value.is_empty();
    if !reads_access_token && parameters(ACCESS_TOKEN, request).any(is_unread) {
        return Err(Reason::TokenInQuery);
    }
    if unread.iter().any(|header| !search.has_read(header)) {
        return Err(Reason::TokenMalformed);
    }
    search.outcome()
}

/// The values, still encoded, of all parameters that some upstream reads as this one. One with a `;`
/// in it is read whole and in its parts.
fn parameters<'r>(expected: &'r str, request: &'r Request) -> impl Iterator<Item = &'r [u8]> {
    let read = request.parameters().flat_map(|whole| {
        let has_parts = memchr::memchr(b';', whole).is_some();
        let parts = has_parts.then(|| path::parts(whole));
        std::iter::once(whole).chain(parts.into_iter().flatten())
    });
    read.map(path::pair)
        .filter(move |(name, _)| reads_as(expected, name))
        .map(|(_, value)| value)
}

/// The value of a cookie that some upstream reads as this one, without blanks and quotes round it.
fn cookie_value<'r>(expected: &str, cookie: &'r [u8]) -> Option<&'r [u8]> {
    // Werkzeug has taken `=name=value` for `name=value` (CVE-2023-23934).
    let start = cookie.iter().position(|byte| *byte != b'=')?;
    let (name, value) = path::pair(cookie.get(start..)?);
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\"");
    let inner = inner.and_then(|value| value.strip_suffix(b"\""));
    reads_as(expected, name).then_some(inner.unwrap_or(value))
}

/// Whether some upstream finds this cookie within another: Python's `http.cookies` ends a cookie at a
/// blank, of Unicode's too, and servers that follow RFC 2965 at a comma.
fn is_hidden_in(expected: &str, cookie: &[u8]) -> bool {
    let is_separator = |byte: &u8| !byte.is_ascii_graphic() || *byte == b',';
    let names = memchr::memrchr(b'=', cookie).and_then(|end| cookie.get(..end));
    if !names.unwrap_or_default().iter().any(is_separator) {
        return false;
    }
    let words = cookie.split(is_separator).filter(|word| !word.is_empty());
    let mut words = words.peekable();
    while let Some(word) = words.next() {
        let is_assigned = memchr::memchr(b'=', word).is_some()
            || words.peek().is_some_and(|next| next.first() == Some(&b'='));
        if is_assigned && reads_as(expected, path::pair(word).0) {
            return true;
        }
    }
    false
}

/// A location from which tokens are taken out; all of them, or all but one with this value.
pub(super) type Stripped<'l> = (&'l Location, Option<&'l [u8]>);

/// Takes tokens out of the request, every copy in the locations where they were found. Where a value
/// stands beside the location, only cookies are taken out, and those with this value are not.
pub(super) fn strip<'l>(
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
    // Envoy takes no name that is not ASCII.
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

#[cfg(test)]
mod tests;
