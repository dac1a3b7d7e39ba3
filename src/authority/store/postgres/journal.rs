//! The journal: for each commit, what others need to come in step with it.
//!
//! The changes of the feed are in the log. A commit may also note something in an entry that changes
//! nothing for edges, drop one that has expired, or keep a setting; of that, the journal has the names.
//! Entries themselves are read from their table.

use std::collections::BTreeSet;

use super::connection::Fault;
use crate::revocation::Fingerprint;

/// Commits that the journal keeps. One that has fallen behind further loads everything anew.
pub(super) const LENGTH: u64 = 50_000;

pub(super) const PUT: &str =
    "INSERT INTO portcullis.journal (commit, mark, content) VALUES ($1, $2, $3)";

const NOTHING: u8 = 0;
const SETTINGS: u8 = 1;
const NAME_BYTES: usize = 16;

/// What one commit, or several after one another, have touched.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Touched {
    pub(super) names: BTreeSet<Fingerprint>,
    pub(super) has_settings: bool,
}

impl Touched {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + self.names.len() * NAME_BYTES);
        bytes.push(if self.has_settings { SETTINGS } else { NOTHING });
        bytes.extend(self.names.iter().flat_map(|name| name.0));
        bytes
    }

    /// Adds what a row of the journal has.
    pub(super) fn add(&mut self, bytes: &[u8]) -> Result<(), Fault> {
        let (flag, names) = bytes.split_first().ok_or(Fault::Row)?;
        self.has_settings |= match *flag {
            NOTHING => false,
            SETTINGS => true,
            _ => return Err(Fault::Row),
        };
        let (names, rest) = names.as_chunks::<NAME_BYTES>();
        if !rest.is_empty() {
            return Err(Fault::Row);
        }
        self.names.extend(names.iter().copied().map(Fingerprint));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_touched_comes_back_and_adds_up() {
        let name = |number| Fingerprint([number; 16]);
        let touched = |names: &[u8], has_settings| Touched {
            names: names.iter().copied().map(name).collect(),
            has_settings,
        };
        let mut sum = Touched::default();
        sum.add(&touched(&[], false).encode()).unwrap();
        assert_eq!(sum, Touched::default());
        sum.add(&touched(&[1, 2], true).encode()).unwrap();
        sum.add(&touched(&[2, 3], false).encode()).unwrap();
        assert_eq!(sum, touched(&[1, 2, 3], true));
        for wrong in [&[][..], &[2], &[0; 16]] {
            assert!(sum.add(wrong).is_err(), "{wrong:?}");
        }
    }
}
