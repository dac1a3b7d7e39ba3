//! The headers that tell the upstream who is calling.

use std::cell::{Cell, OnceCell};
use std::fmt::Write as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::policy::{Form, Provider, SessionHeaders, Unfit};
use super::reason::Reason;
use crate::json_object::json_text;
use crate::token::{Claims, heap};

/// Longest value of a header. Lists of groups and scopes reach some KiB; upstreams in wide use
/// refuse a line longer than 8 KiB, whatever else there is (nginx's `large_client_header_buffers`).
const MAX_VALUE_BYTES: usize = 8 * 1024;

/// The claims of one token as headers. Made when first needed and kept with the token, since they
/// are the same for all its requests.
#[derive(Debug, Default)]
pub(super) struct Injections {
    provider: OnceCell<Result<Values, Reason>>,
    session: OnceCell<Result<Values, Reason>>,
    are_news: Cell<bool>,
}

/// Values in the order of the names that they belong to. Claims that are absent, `null` or empty
/// have none.
type Values = Box<[Option<Box<str>>]>;

impl Injections {
    /// Whether some were made since this was last asked.
    pub(super) fn are_news(&self) -> bool {
        self.are_news.take()
    }

    /// Bytes of memory that they take.
    pub(super) fn heap_bytes(&self) -> usize {
        let made = [&self.provider, &self.session].into_iter();
        let made = made.filter_map(|made| made.get()?.as_ref().ok());
        let bytes = made.map(|values| {
            let texts = values.iter().flatten();
            let texts = texts.map(|text| heap::block(text.len()));
            heap::list::<Option<Box<str>>>(values.len()) + texts.sum::<usize>()
        });
        bytes.sum()
    }

    /// The headers that the provider asks for: names and values.
    ///
    /// `token` is the compact form that the claims come from.
    ///
    /// # Errors
    ///
    /// [`Reason::ClaimNotForwardable`] when a value would not reach the upstream as it is: leaving
    /// the header out, or changing the value, could make one user look like another.
    pub(super) fn of_provider<'a>(
        &'a self,
        provider: &'a Provider,
        token: &[u8],
        claims: &Claims,
    ) -> Result<impl Iterator<Item = (&'a str, &'a str)>, Reason> {
        let made = self.provider.get_or_init(|| {
            self.are_news.set(true);
            let headers = provider.claim_headers.iter();
            let claim = headers.map(|header| match claims.at(&header.path) {
                Some(value) => forwardable(header_value(value, header.form)?),
                None => Ok(None),
            });
            let whole = provider.payload_header.iter();
            let whole = whole.map(|header| Ok(Some(payload(token, header.is_padded).into())));
            claim.chain(whole).collect()
        });
        let names = provider.claim_headers.iter().map(|claim| &*claim.header);
        let whole = provider.payload_header.iter().map(|whole| &*whole.name);
        Ok(present(
            names.chain(whole),
            made.as_ref().map_err(|reason| *reason)?,
        ))
    }

    /// The standard set: names and values.
    ///
    /// # Errors
    ///
    /// As above, except for what [`Unfit::Omit`] leaves out.
    pub(super) fn of_session<'a>(
        &'a self,
        session: &'a SessionHeaders,
        provider: &Provider,
        claims: &Claims,
    ) -> Result<impl Iterator<Item = (&'a str, &'a str)>, Reason> {
        let made = self.session.get_or_init(|| {
            self.are_news.set(true);
            let claim = SessionHeaders::standard().map(|header| {
                let value = header.claims.iter().find_map(|name| claims.get(name));
                let Some(value) = value else {
                    return Ok(None);
                };
                let made = standard_value(value).and_then(forwardable);
                let may_lack = !header.is_identity && session.unfit == Unfit::Omit;
                made.or_else(|reason| if may_lack { Ok(None) } else { Err(reason) })
            });
            let key = provider.possession.thumbprint(claims).unwrap_or_default();
            let more = [provider.name.clone(), key.to_owned()].map(forwardable);
            claim.chain(more).collect()
        });
        Ok(present(
            session.names(),
            made.as_ref().map_err(|reason| *reason)?,
        ))
    }
}

fn present<'a>(
    names: impl Iterator<Item = &'a str>,
    values: &'a Values,
) -> impl Iterator<Item = (&'a str, &'a str)> {
    let lines = names.zip(values);
    lines.filter_map(|(name, value)| Some((name, value.as_deref()?)))
}

fn forwardable(value: String) -> Result<Option<Box<str>>, Reason> {
    if is_forwardable(&value) {
        Ok((!value.is_empty()).then(|| value.into()))
    } else {
        Err(Reason::ClaimNotForwardable)
    }
}

/// The claims set as it is in the token, which is base64url without padding.
fn payload(token: &[u8], is_padded: bool) -> String {
    let encoded = token.split(|byte| *byte == b'.').nth(1).unwrap_or_default();
    let mut payload = String::from_utf8_lossy(encoded).into_owned();
    while is_padded && !payload.len().is_multiple_of(4) {
        payload.push('=');
    }
    payload
}

/// A claim for a header. Numbers keep all their digits, which `jwt_authn` does not promise.
fn header_value(value: &Value, form: Form) -> Result<String, Reason> {
    match (value, form) {
        (Value::Null, _) => Ok(String::new()),
        (Value::Array(_) | Value::Object(_), Form::Base64) => Ok(STANDARD.encode(json_text(value))),
        (Value::Array(_) | Value::Object(_), Form::Json) => Ok(ascii(&json_text(value))),
        (Value::Array(elements), Form::Comma) => comma_joined(elements),
        (Value::Object(_), Form::Comma) => Err(Reason::ClaimNotForwardable),
        (scalar, _) => Ok(scalar_value(scalar)),
    }
}

fn comma_joined(elements: &[Value]) -> Result<String, Reason> {
    let element = |value: &Value| match value {
        Value::Null | Value::Array(_) | Value::Object(_) => Err(Reason::ClaimNotForwardable),
        scalar => Ok(scalar_value(scalar)),
    };
    let elements = elements.iter().map(element);
    let elements = elements.collect::<Result<Vec<_>, _>>()?;
    let is_plain = |text: &String| !text.is_empty() && !text.contains(',') && text.trim() == text;
    if elements.iter().all(is_plain) {
        Ok(elements.join(","))
    } else {
        Err(Reason::ClaimNotForwardable)
    }
}

/// JSON with everything but ASCII escaped, so that no upstream can read it in another encoding.
/// Control characters are escaped already, all but DEL.
fn ascii(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for character in json.chars() {
        if character.is_ascii() && character != '\x7f' {
            text.push(character);
            continue;
        }
        for unit in character.encode_utf16(&mut [0; 2]) {
            // Writing into a string cannot fail.
            let _ = write!(text, "\\u{unit:04x}");
        }
    }
    text
}

/// A claim as access logs may show it: on one line, whatever it is, and cut to a limit.
pub(super) fn loggable(value: &Value) -> String {
    const MOST_CHARACTERS: usize = 256;
    let text = match value {
        Value::String(text) => text.clone(),
        other => json_text(other),
    };
    let cut: String = text.chars().take(MOST_CHARACTERS).collect();
    if is_forwardable(&cut) {
        cut
    } else {
        cut.escape_default().to_string()
    }
}

/// A claim of the standard set: lists of words (`aud`, `scp`, `amr`) with spaces between them, as
/// `scope` itself is written (RFC 6749 section 3.3).
fn standard_value(value: &Value) -> Result<String, Reason> {
    match value {
        Value::Array(values) if values.iter().all(is_word) => {
            let words: Vec<_> = values.iter().filter_map(Value::as_str).collect();
            Ok(words.join(" "))
        }
        other => header_value(other, Form::Base64),
    }
}

fn is_word(value: &Value) -> bool {
    value
        .as_str()
        .is_some_and(|word| !word.is_empty() && !word.contains(' '))
}

fn scalar_value(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        other => json_text(other),
    }
}

/// Whether a header carries the value to the upstream byte by byte.
///
/// Control characters end or split a header (RFC 9110 section 5.5), and so do those of Unicode in
/// upstreams that decode first. Characters that change the direction of writing make a log show
/// another name than it holds (CVE-2021-42574). Blanks at the ends are trimmed on the way, which
/// would make ` alice` into `alice`.
fn is_forwardable(value: &str) -> bool {
    let breaks = |character: char| {
        character.is_control()
            || matches!(
                character,
                '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            )
    };
    value.len() <= MAX_VALUE_BYTES && value.trim() == value && !value.contains(breaks)
}

#[cfg(test)]
mod tests;
