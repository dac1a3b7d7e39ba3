//! Reading a token from a header.

use crate::gate::alias::is_alias;
use crate::gate::dpop;
use crate::gate::reason::Reason;
use crate::gate::request::Request;

/// A header that may carry a provider's tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct HeaderLocation {
    /// Name in lower case.
    pub(in crate::gate) name: String,
    /// What comes before the token, `Bearer ` for instance; trailing blanks in it do not matter.
    pub(in crate::gate) prefix: String,
}

impl HeaderLocation {
    /// `Authorization: Bearer` (RFC 6750 section 2.1).
    pub(in crate::gate) fn authorization() -> Self {
        Self {
            name: "authorization".to_owned(),
            prefix: "Bearer ".to_owned(),
        }
    }

    /// `Authorization: DPoP` (RFC 9449 section 7.1).
    pub(in crate::gate) fn dpop() -> Self {
        Self {
            prefix: [dpop::SCHEME, " "].concat(),
            ..Self::authorization()
        }
    }

    /// The authentication scheme, in `Authorization`.
    pub(super) fn scheme(&self) -> Option<&str> {
        self.is_authorization()
            .then(|| self.prefix.trim_ascii_end())
    }

    /// The token in a value of this header, if there is one.
    ///
    /// The prefix has to come first, and any blanks may follow. An authentication scheme is
    /// compared without regard to case (RFC 9110 section 11.1), every other prefix byte by byte.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenMalformed`] for the scheme with anything but a space after it, or with
    /// something before it that some upstream takes for blanks; and for a value of another header,
    /// which has no other schemes, without the prefix. A more lenient upstream would find a token
    /// there that was not verified.
    fn token<'v>(&self, value: &'v [u8]) -> Result<Option<&'v [u8]>, Reason> {
        let prefix = self.prefix.as_bytes();
        let parts = value.split_at_checked(prefix.len());
        if !self.is_authorization() {
            // Envoy has removed the blank with which the prefix may end.
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

    pub(super) fn is_authorization(&self) -> bool {
        self.name == "authorization"
    }

    /// The token in all lines of this header, however their names are spelled.
    ///
    /// # Errors
    ///
    /// [`Reason::TokenAmbiguous`] when there is anything beside the token, even the same token
    /// again: of several lines the upstream might read another one, and of a list none, or all of
    /// it. [`Reason::TokenMalformed`] as for [`Self::token`].
    pub(super) fn only_token<'r>(&self, request: &'r Request) -> Result<Option<&'r [u8]>, Reason> {
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
    /// How many credentials there are, if that can be told.
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
    /// comma is another set of credentials only if it is not a parameter and not inside quotes.
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

/// What comes before the first comma, and what comes after it. Values are long and commas rare, so
/// the search goes by words.
fn split(list: &[u8]) -> (&[u8], Option<&[u8]>) {
    let comma = memchr::memchr(b',', list);
    let parts = comma.and_then(|comma| list.split_at_checked(comma));
    let (part, rest) = parts.map_or((list, None), |(before, rest)| (before, rest.get(1..)));
    (part.trim_ascii(), rest)
}
