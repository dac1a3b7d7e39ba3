//! The names by which a token is looked up.

use crate::revocation::{FilterKey, Fingerprint, Kind};
use crate::time::UnixTime;

/// The names that revoke a token, as fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `jti`, `sid` and the device, as far as the token has them.
    pub entries: Vec<Fingerprint>,
    /// Subject, client and issuer, as far as the token has them.
    pub cut_offs: Vec<Fingerprint>,
    /// The session, for cut-offs that except one.
    pub session: Option<Fingerprint>,
    /// `iat`.
    pub issued_at: Option<UnixTime>,
}

impl Names {
    /// Adds a name of the token.
    pub fn add(&mut self, key: &FilterKey, kind: Kind, issuer: &str, value: &str) {
        let fingerprint = key.fingerprint(kind, issuer, value);
        if kind.is_cut_off() {
            self.cut_offs.push(fingerprint);
        } else {
            self.entries.push(fingerprint);
        }
        if kind == Kind::Session {
            self.session = Some(fingerprint);
        }
    }

    /// All of them, for a cache that remembers which changes affect the token.
    pub fn all(&self) -> impl Iterator<Item = Fingerprint> {
        self.entries.iter().chain(&self.cut_offs).copied()
    }
}
