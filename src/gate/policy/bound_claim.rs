//! A claim that has to be what the request or its connection says (`bind_to`).

use serde_json::Value;

use super::Property;
use crate::gate::request::Request;
use crate::token::Claims;

/// A claim that binds a token, and to what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) struct BoundClaim {
    /// Names of the members that lead to it, outermost first.
    pub(in crate::gate) path: Vec<String>,
    pub(in crate::gate) to: BoundTo,
}

/// What a claim is compared with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gate) enum BoundTo {
    /// A header, by its name.
    Header(String),
    /// A property of the connection, by its name.
    Connection(&'static str),
    /// A text in the filter state, by its name.
    FilterState(String),
}

impl BoundClaim {
    /// Whether both are the same, byte for byte. A claim that is no text, or an empty one, is the same as nothing,
    /// and a header with two lines says nothing.
    pub(in crate::gate) fn holds(
        &self,
        claims: &Claims,
        request: &Request,
        property: Property<'_>,
    ) -> bool {
        let Some(Value::String(claim)) = claims.at(&self.path) else {
            return false;
        };
        if claim.is_empty() {
            return false;
        }
        let path = match &self.to {
            BoundTo::Header(name) => {
                let mut lines = request.values(name);
                return lines.next() == Some(claim.as_bytes()) && lines.next().is_none();
            }
            BoundTo::Connection(name) => ["connection", name],
            BoundTo::FilterState(name) => ["filter_state", name],
        };
        property(&path).is_some_and(|found| *found == *claim.as_bytes())
    }
}
