//! Finding the token in a request, and taking it out again.

mod header;
mod stripping;

use std::borrow::Cow;
use std::fmt;

pub(super) use header::HeaderLocation;
pub(super) use stripping::{Stripped, strip};

use super::alias::{is_alias, reads_as};
use super::path;
use super::reason::Reason;
use super::request::Request;

/// Where a request may carry a provider's tokens.
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
    /// The authentication scheme of its tokens, in `Authorization`.
    pub(super) fn scheme(&self) -> Option<&str> {
        match self {
            Self::Header(header) => header.scheme(),
            Self::Parameter(_) | Self::Cookie(_) => None,
        }
    }

    /// Whether both are cookies that some upstream reads as one.
    pub(super) fn is_cookie_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Cookie(own), Self::Cookie(other)) => reads_as(&own.name, other.name.as_bytes()),
            _ => false,
        }
    }
}

/// A cookie that may carry a provider's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CookieLocation {
    pub(super) name: String,
    pub(super) duplicates: Duplicates,
}

/// What becomes of a request with several different cookies of one name. A browser sends them if a
/// site and the domain above it have both set one, and does not say which is whose (RFC 6265
/// section 5.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Duplicates {
    /// It is refused.
    Refused,
    /// The one that is genuine counts, if exactly one is.
    FirstGenuine,
}

/// A token and where it was found.
#[derive(PartialEq, Eq)]
pub(super) struct Found<'r> {
    /// The token, or if there are [`Found::rivals`], one of the candidates.
    pub(super) token: Cow<'r, [u8]>,
    /// All locations that hold it.
    pub(super) locations: Vec<&'r Location>,
    /// Boxed, so that it takes little room in the usual case, when there is none.
    choice: Option<Box<Choice<'r>>>,
}

/// Several different cookies of one name, one of which is to be chosen.
#[derive(PartialEq, Eq)]
struct Choice<'r> {
    rivals: Vec<&'r [u8]>,
    /// Whether one of them is in another location too, so that no other can be the token.
    is_settled: bool,
}

/// Without the token.
impl fmt::Debug for Found<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Found");
        shown
            .field("locations", &self.locations)
            .finish_non_exhaustive()
    }
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

    /// Whether it is settled that no other of them can be the token.
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

    /// Adds another token, which has to be the same as the one before.
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
            // It is usually the only one, and `push` would make room for four.
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
            // The choice for one name has to be right for the next one too.
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

    /// What may be the token: what another location holds, or else the first of the cookies.
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

/// Most cookies of one name that are looked at. A host has few domains above it, and each cookie
/// costs as much as a token does.
const MAX_RIVALS: usize = 4;

/// The parameter that `jwt_authn` reads by default, and that RFC 6750 section 2.3 defines for
/// tokens.
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

/// The same, compiled once for all kinds of iterators.
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

/// The values, still encoded, of all parameters that some upstream reads as this one. A parameter
/// with a `;` in it is read whole and in its parts.
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

/// The value of a cookie that some upstream reads as this one, without surrounding blanks and
/// quotes.
fn cookie_value<'r>(expected: &str, cookie: &'r [u8]) -> Option<&'r [u8]> {
    // Werkzeug has taken `=name=value` for `name=value` (CVE-2023-23934).
    let start = cookie.iter().position(|byte| *byte != b'=')?;
    let (name, value) = path::pair(cookie.get(start..)?);
    let value = value.trim_ascii();
    let inner = value.strip_prefix(b"\"");
    let inner = inner.and_then(|value| value.strip_suffix(b"\""));
    reads_as(expected, name).then_some(inner.unwrap_or(value))
}

/// Whether some upstream finds this cookie inside another: Python's `http.cookies` ends a cookie at
/// a blank, even one of Unicode, and servers that follow RFC 2965 end it at a comma.
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

#[cfg(test)]
mod tests;
