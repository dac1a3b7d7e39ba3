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

/// Fields, each once. What was left empty is not there.
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
            let mut halves = pair.splitn(2, |byte| *byte == b'=');
            let name = decoded(halves.next().unwrap_or_default())?;
            let value = decoded(halves.next().unwrap_or_default())?;
            if fields.iter().any(|(known, _)| *known == name) {
                return Err(Problem::invalid("a field of the form is there twice"));
            }
            fields.push((name, value));
        }
        fields.retain(|(_, value)| !value.trim().is_empty());
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

    /// A field, with blanks around it removed, which come along when something is pasted.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let found = self.0.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.trim())
    }

    /// The same, as its own text.
    pub(super) fn text(&self, name: &str) -> Option<String> {
        self.get(name).map(str::to_owned)
    }

    /// A field that has to be there.
    pub(super) fn expect(&self, name: &str) -> Result<String, Problem> {
        let missing = || Problem::invalid(format!("`{name}` is missing"));
        self.text(name).ok_or_else(missing)
    }

    /// Whether a box was ticked.
    pub(super) fn is_set(&self, name: &str) -> bool {
        self.get(name).is_some()
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
        let token = fields.get(TOKEN_FIELD).unwrap_or_default();
        if !operator.is_some_and(|operator| operator.forms.is_token(token)) {
            let detail = "the form does not belong to this visit: go back, load the page anew, and \
                          send it again";
            return Err(Problem::not_from_the_console(detail).into());
        }
        fields.0.retain(|(name, _)| name != TOKEN_FIELD);
        Ok(Self(fields))
    }
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
            Fields::of(b"reason=lost+phone%21%0D%0A&value=+a%26b%3D%C3%A9+&x=&y&&").unwrap();
        assert_eq!(fields.get("reason"), Some("lost phone!"));
        assert_eq!(fields.get("value"), Some("a&b=\u{e9}"));
        assert_eq!(
            (fields.get("x"), fields.get("y"), fields.get("z")),
            (None, None, None)
        );
        assert!(fields.expect("x").is_err());
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
}
