//! Requests in portions, so that each is used once, or in rotation.

use crate::client::Request;

/// Requests one portion after the other, and from the beginning again.
#[derive(Clone, Copy)]
pub(crate) struct Series<'r> {
    requests: &'r [Request],
    portion: usize,
}

impl<'r> Series<'r> {
    pub(crate) const fn new(requests: &'r [Request], portion: usize) -> Self {
        Self { requests, portion }
    }

    /// Portions without a repetition.
    pub(crate) const fn portions(&self) -> usize {
        self.requests.len() / self.portion
    }

    /// The beginning of a portion.
    pub(crate) fn head(&self, number: usize, length: usize) -> Vec<&'r Request> {
        let start = number % self.portions() * self.portion;
        self.requests[start..start + length].iter().collect()
    }

    /// What comes after the beginning.
    pub(crate) fn tail(&self, number: usize, length: usize) -> Vec<&'r Request> {
        self.head(number, self.portion).split_off(length)
    }
}
