//! What a browser sends: the fields of a form, in a body or behind `?`, read strictly.

use axum::extract::{FromRequest, FromRequestParts, Request};
use axum::http::request::Parts;

use super::Operator;
use super::pages::Failed;
use crate::authority::http::Problem;
use crate::authority::http::body::{MAX_BODY_BYTES, expect_type, read};
use crate::percent;

/// Carries [`FormKey::token`](super::visits::FormKey::token).
pub(super) const TOKEN_FIELD: &str = "form";

/// More than any form of the console has. Each field is compared with all before it, and anyone may send them.
const MOST_FIELDS: usize = 16;

/// Fields, each once.
///
/// Names are exact: `alice` and `alice` with a blank after it are two users. So what a link says is taken as it
/// is, and only what a person has typed or pasted is trimmed.
#[derive(Debug)]
pub(super) struct Fields(Vec<(String, String)>);

/// Those behind `?`.
#[derive(Debug)]
pub(super) struct Asked(pub(super) Fields);

/// Those of a form that a page of the same visit has shown.
#[derive(Debug)]
pub(super) struct Sent(pub(super) Fields);

/// Those of any form: for signing in, where there is no visit yet.
#[derive(Debug)]
pub(super) struct SentByAnyone(pub(super) Fields);

impl Fields {
    fn of(text: &[u8]) -> Result<Self, Problem> {
        let mut fields: Vec<(String, String)> = Vec::new();
        for pair in text.split(|byte| *byte == b'&') {
            if pair.is_empty() {
                continue;
            }
            if fields.len() == MOST_FIELDS {
                let detail = format!("expected at most {MOST_FIELDS} fields");
                return Err(Problem::invalid(detail));
            }
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default())?;
            let value = decoded(halves.next().unwrap_or_default())?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Problem::invalid("a field of the form is there twice"));
            }
            fields.push((name, value));
        }
        Ok(Self(fields))
    }

    /// Refuses fields of other names.
    pub(super) fn expect_only(self, names: &[&str]) -> Result<Self, Problem> {
        let is_known = |(name, _): &(String, String)| names.contains(&name.as_str());
        if self.0.iter().all(is_known) {
            Ok(self)
        } else {
            Err(Problem::invalid(format!(
                "expected no other fields than {}",
                names.join(", ")
            )))
        }
    }

    /// A field as it is, which may be empty: what a link of the console names.
    pub(super) fn exact(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| &**value)
    }

    /// The same, where an empty one stands for none, as in a form whose field was left empty.
    pub(super) fn given(&self, name: &str) -> Option<&str> {
        self.exact(name).filter(|value| !value.is_empty())
    }

    /// What a person has typed or pasted: without blanks around it, which come along.
    pub(super) fn typed(&self, name: &str) -> Option<&str> {
        let typed = self.exact(name).map(str::trim);
        typed.filter(|value| !value.is_empty())
    }

    /// [`exact`](Self::exact), where it has to be there.
    pub(super) fn expect_exact(&self, name: &str) -> Result<String, Problem> {
        expected(name, self.exact(name))
    }

    /// [`typed`](Self::typed), where something has to be.
    pub(super) fn expect_typed(&self, name: &str) -> Result<String, Problem> {
        expected(name, self.typed(name))
    }

    /// Whether a box was ticked.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.given(name).is_some()
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Asked {
    type Rejection = Failed;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failed> {
        let query = parts.uri.query().unwrap_or_default();
        Ok(Self(Fields::of(query.as_bytes())?))
    }
}

impl<S: Send + Sync> FromRequest<S> for SentByAnyone {
    type Rejection = Failed;

    async fn from_request(request: Request, _: &S) -> Result<Self, Failed> {
        expect_type(&request, "application/x-www-form-urlencoded")?;
        let body = read(request.into_body(), MAX_BODY_BYTES).await?;
        Ok(Self(Fields::of(&body)?))
    }
}

impl<S: Send + Sync> FromRequest<S> for Sent {
    type Rejection = Failed;

    async fn from_request(request: Request, state: &S) -> Result<Self, Failed> {
        // The door has put it there; without one, no form is good.
        let operator = request.extensions().get::<Operator>().cloned();
        let SentByAnyone(mut fields) = SentByAnyone::from_request(request, state).await?;
        let token = fields.given(TOKEN_FIELD).unwrap_or_default();
        if !operator.is_some_and(|operator| operator.forms.is_token(token)) {
            let detail = "the form does not belong to this visit: go back, load the page anew, and \
                          send it again";
            return Err(Problem::not_from_the_console(detail).into());
        }
        fields.0.retain(|(name, _)| name != TOKEN_FIELD);
        Ok(Self(fields))
    }
}

fn expected(name: &str, found: Option<&str>) -> Result<String, Problem> {
    let missing = || Problem::invalid(format!("`{name}` is missing"));
    found.map(str::to_owned).ok_or_else(missing)
}

fn decoded(text: &[u8]) -> Result<String, Problem> {
    let blanks = text
        .iter()
        .map(|byte| if *byte == b'+' { b' ' } else { *byte });
    let bytes = percent::decoded(&blanks.collect::<Vec<_>>());
    bytes
        .and_then(|bytes| String::from_utf8(bytes).ok())
        .ok_or_else(|| Problem::invalid("expected text in UTF-8 with sound escapes"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let fields =
            Fields::of(b"reason=lost+phone%21%0D%0A&value=+a%26b%3D%C3%A9+&x=&y&z=+&&").unwrap();
        assert_eq!(fields.typed("reason"), Some("lost phone!"));
        assert_eq!(fields.typed("value"), Some("a&b=\u{e9}"));
        assert_eq!(fields.exact("reason"), Some("lost phone!\r\n"));
        assert_eq!(fields.exact("value"), Some(" a&b=\u{e9} "));
        assert_eq!(fields.given("value"), Some(" a&b=\u{e9} "));
        for (name, exact, given) in [
            ("x", Some(""), None),
            ("y", Some(""), None),
            ("z", Some(" "), Some(" ")),
            ("none", None, None),
        ] {
            let found = (fields.exact(name), fields.given(name), fields.typed(name));
            assert_eq!(found, (exact, given, None), "{name}");
            assert_eq!(fields.is_set(name), given.is_some(), "{name}");
        }
        assert!(fields.expect_typed("z").is_err() && fields.expect_exact("none").is_err());
        let fields = Fields::of(b"reason=r&value=v").unwrap();
        let fields = fields.expect_only(&["reason", "value"]).unwrap();
        assert!(fields.expect_only(&["reason"]).is_err());
    }

    #[test]
    fn what_is_ambiguous_or_broken_is_refused() {
        for text in [
            "a=1&a=2",
            "a=1&%61=2",
            "a&a",
            "a=%2",
            "a=%zz",
            "a=%ff",
            "%ff=a",
        ] {
            assert!(Fields::of(text.as_bytes()).is_err(), "{text}");
        }
        assert!(Fields::of(b"").unwrap().0.is_empty());
    }

    #[test]
    fn there_are_only_so_many() {
        let numbered = |count: usize| {
            let fields: Vec<_> = (0..count).map(|number| format!("{number}=")).collect();
            fields.join("&")
        };
        assert!(Fields::of(numbered(MOST_FIELDS).as_bytes()).is_ok());
        let refused = Fields::of(numbered(MOST_FIELDS + 1).as_bytes()).unwrap_err();
        assert_eq!(refused.detail(), "expected at most 16 fields");
    }
}
