//! The names by which a token is looked up.

use crate::revocation::{FilterKey, Fingerprint, Issuance, Kind};
use crate::time::UnixTime;

/// The names that revoke a token, as fingerprints.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// `jti`, `sid` and the device, as far as the token has them.
    pub entries: Vec<Fingerprint>,
    /// Subject, client, both together, claims that are listed, and issuer, as far as the token has them.
    pub cut_offs: Vec<Fingerprint>,
    /// Its status in a list, and all of its issuer: nothing is looked up by them, and changes have them.
    pub statuses: Vec<Fingerprint>,
    /// The session, for cut-offs that except one.
    pub session: Option<Fingerprint>,
    /// The issuer, whose cut-off compares with another instant than others.
    pub issuer: Option<Fingerprint>,
    /// When the token was issued.
    pub issuance: Issuance,
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
        match kind {
            Kind::Session => self.session = Some(fingerprint),
            Kind::Issuer => self.issuer = Some(fingerprint),
            _ => {}
        }
    }

    /// Adds a name of the token that has two texts, which stand behind the issuer.
    pub fn add_compound(&mut self, key: &FilterKey, kind: Kind, texts: [&str; 3]) {
        let [issuer, first, second] = texts;
        self.cut_offs
            .push(key.compound(kind, issuer, first, second));
    }

    /// The instant that the cut-off of one of these names compares with.
    #[must_use]
    pub fn issued(&self, name: Fingerprint) -> Option<UnixTime> {
        let is_issuer = self.issuer == Some(name);
        self.issuance.for_kind(if is_issuer {
            Kind::Issuer
        } else {
            Kind::Subject
        })
    }

    /// All of them, for a cache that remembers which changes affect the token.
    pub fn all(&self) -> impl Iterator<Item = Fingerprint> {
        let looked_up = self.entries.iter().chain(&self.cut_offs);
        looked_up.chain(&self.statuses).copied()
    }
}
