//! Lists that the authority answers in pages.

use std::fmt::Write as _;
use std::num::NonZeroUsize;

use serde::de::DeserializeOwned;

use super::CommandError;
use super::authority_client::Client;
use crate::percent::encoded;

/// The most that the authority puts into a page.
const PAGE_LENGTH: usize = 1_000;

/// One page, as the authority answers it.
pub(super) trait Page: DeserializeOwned {
    /// What is listed.
    type Element;

    /// What is in it, and where the next one begins, if there is one.
    fn into_parts(self) -> (Vec<Self::Element>, Option<String>);
}

/// A list that is asked for.
#[derive(Debug)]
pub(super) struct List<'a> {
    /// The path, without its query.
    pub(super) path: &'static str,
    /// The parameters; those without a value are left out.
    pub(super) parameters: Vec<(&'static str, Option<&'a str>)>,
    /// The parameter that says where a page begins.
    pub(super) cursor: &'static str,
    /// How many elements at most.
    pub(super) limit: NonZeroUsize,
}

impl List<'_> {
    /// Takes one page after the other, and gives each element to `print`. Returns how many there were.
    ///
    /// # Errors
    ///
    /// [`CommandError::Client`], and those of `print`.
    pub(super) fn each<P: Page>(
        &self,
        client: &Client,
        mut print: impl FnMut(&P::Element) -> Result<(), CommandError>,
    ) -> Result<usize, CommandError> {
        let mut left = self.limit.get();
        let mut cursor = None;
        while left > 0 {
            let page: P = client.get(&self.address(left, cursor.as_deref()))?;
            let (elements, next) = page.into_parts();
            for element in elements.iter().take(left) {
                print(element)?;
            }
            left = left.saturating_sub(elements.len());
            cursor = next;
            if cursor.is_none() {
                break;
            }
        }
        Ok(self.limit.get() - left)
    }

    fn address(&self, left: usize, cursor: Option<&str>) -> String {
        let mut address = format!("{}?limit={}", self.path, left.min(PAGE_LENGTH));
        let cursor = (self.cursor, cursor);
        for (name, value) in self.parameters.iter().copied().chain([cursor]) {
            if let Some(value) = value {
                // Writing to a string does not fail.
                let _ = write!(address, "&{name}={}", encoded(value));
            }
        }
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_asked_for_with_what_is_said_and_no_longer_than_what_is_left() {
        let list = List {
            path: "/v1/sessions",
            parameters: vec![("subject", Some("a b")), ("issuer", None)],
            cursor: "after",
            limit: NonZeroUsize::MAX,
        };
        assert_eq!(
            list.address(5_000, None),
            "/v1/sessions?limit=1000&subject=a%20b"
        );
        assert_eq!(
            list.address(7, Some("x/y")),
            "/v1/sessions?limit=7&subject=a%20b&after=x%2Fy"
        );
    }
}
