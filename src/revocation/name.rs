//! What a revocation names, as 128 bits.

use std::hash::{Hash, Hasher};
use std::time::Duration;

use siphasher::sip128::{Hasher128 as _, SipHasher24};

/// Longest name, in bytes, that can be revoked. Issuers are URLs and the other names identifiers;
/// OpenID Connect Core allows 255 characters for `sub`, each of up to four bytes.
pub const MAX_NAME_BYTES: usize = 1024;

/// The most that a provider's `clock_skew_seconds` may be where revocation is configured.
pub const MAX_CLOCK_SKEW: Duration = Duration::from_mins(10);

/// How much longer than its tokens live an entry is kept: [`MAX_CLOCK_SKEW`], during which edges
/// still accept them, and five minutes by which an edge's clock may be late besides.
pub const EXPIRY_MARGIN: Duration = Duration::from_mins(15);

const _: () = assert!(MAX_CLOCK_SKEW.as_secs() < EXPIRY_MARGIN.as_secs());

/// What kind of thing a revocation names. The authority's interface calls it by [`Kind::name`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(
    not(target_family = "wasm"),
    derive(serde::Deserialize, serde::Serialize, utoipa::ToSchema),
    serde(rename_all = "snake_case")
)]
pub enum Kind {
    /// One token, by its `jti`.
    Token,
    /// One session, by its `sid`.
    Session,
    /// One device, by the claim that the filters are configured with.
    Device,
    /// All tokens of a subject (`sub`) that were issued before an instant.
    Subject,
    /// All tokens of a client (`client_id`) that were issued before an instant.
    Client,
    /// All tokens of an issuer (`iss`) that were issued before an instant.
    Issuer,
    /// All tokens with a claim of this name and value that were issued before an instant, at filters
    /// whose configuration lists the claim.
    Claim,
    /// All tokens of a subject at one client that were issued before an instant.
    SubjectAndClient,
}

impl Kind {
    /// Every kind.
    pub const ALL: [Self; 8] = [
        Self::Token,
        Self::Session,
        Self::Device,
        Self::Subject,
        Self::Client,
        Self::Issuer,
        Self::Claim,
        Self::SubjectAndClient,
    ];

    /// The word for it on the command line and in the interface.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Session => "session",
            Self::Device => "device",
            Self::Subject => "subject",
            Self::Client => "client",
            Self::Issuer => "issuer",
            Self::Claim => "claim",
            Self::SubjectAndClient => "subject_and_client",
        }
    }

    /// The kind with this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }

    /// Whether it revokes what was issued before an instant, and not a name for good.
    #[must_use]
    pub const fn is_cut_off(self) -> bool {
        !matches!(self, Self::Token | Self::Session | Self::Device)
    }

    /// Whether two texts name it: the claim's name and its value, or the subject and the client. Filters
    /// of earlier versions look up no such name.
    #[must_use]
    pub const fn is_compound(self) -> bool {
        matches!(self, Self::Claim | Self::SubjectAndClient)
    }

    /// The byte that separates the kinds in a fingerprint. Part of the feed's format, and of the
    /// store's.
    pub(crate) const fn tag(self) -> u8 {
        match self {
            Self::Token => 1,
            Self::Session => 2,
            Self::Device => 3,
            Self::Subject => 4,
            Self::Client => 5,
            Self::Issuer => 6,
            Self::Claim => 7,
            Self::SubjectAndClient => 8,
        }
    }

    /// The kind with this tag.
    #[cfg(not(target_family = "wasm"))]
    pub(crate) fn from_tag(tag: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.tag() == tag)
    }
}

/// The byte in the names of statuses. No revocation has such a name, and so no kind has the byte.
const STATUS_TAG: u8 = 9;

const _: () = assert!(Kind::ALL.len() < STATUS_TAG as usize);

/// The secret under which names are hashed. Without it, an attacker can neither find names that
/// collide nor, with the filter in hand, tell whose sessions are in it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct FilterKey([u8; 16]);

impl std::fmt::Debug for FilterKey {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("FilterKey(…)")
    }
}

/// A name under a [`FilterKey`]: 128 bits of SipHash-2-4.
///
/// Among a trillion names the chance that any two collide is one in 2⁴⁸, so for deltas and cut-offs
/// fingerprints count as exact.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Fingerprint(pub [u8; 16]);

impl Fingerprint {
    /// Sixteen bits of it, to tell at little cost what it is not.
    #[must_use]
    pub(crate) const fn mark(self) -> u16 {
        let [first, second, ..] = self.0;
        u16::from_le_bytes([first, second])
    }
}

impl FilterKey {
    /// A key of 16 secret bytes.
    #[must_use]
    pub const fn new(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The bytes, for the manifest and the store.
    #[must_use]
    pub const fn bytes(&self) -> &[u8; 16] {
        &self.0
    }

    /// The fingerprint of the name `value` that `issuer` gave out. For [`Kind::Issuer`] the value
    /// is empty.
    ///
    /// The hash covers the kind's byte, then issuer and value, each preceded by its length as 64
    /// bits, so that no two names become the same bytes.
    #[must_use]
    pub fn fingerprint(&self, kind: Kind, issuer: &str, value: &str) -> Fingerprint {
        self.of_texts(kind.tag(), &[issuer, value])
    }

    /// The fingerprint of a name of two texts: of a claim's name and its value, or of a client and the
    /// subject. The third text is hashed as the others are.
    #[must_use]
    pub fn compound(&self, kind: Kind, issuer: &str, first: &str, second: &str) -> Fingerprint {
        self.of_texts(kind.tag(), &[issuer, first, second])
    }

    /// The name of one status: of the entry with this index in the list at `uri`, to which tokens of
    /// `issuer` refer. A change with it says that the status is another one now.
    #[must_use]
    pub fn status(&self, issuer: &str, uri: &str, index: u64) -> Fingerprint {
        self.of_texts(STATUS_TAG, &[issuer, uri, &index.to_string()])
    }

    /// The name of all statuses of the tokens of `issuer`. A change with it says that any may be another
    /// one now.
    #[must_use]
    pub fn statuses(&self, issuer: &str) -> Fingerprint {
        self.of_texts(STATUS_TAG, &[issuer])
    }

    fn of_texts(&self, tag: u8, texts: &[&str]) -> Fingerprint {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(&[tag]);
        for text in texts {
            hasher.write(&(text.len() as u64).to_le_bytes());
            hasher.write(text.as_bytes());
        }
        Fingerprint(hasher.finish128().as_bytes())
    }
}

impl Fingerprint {
    /// The halves as numbers: one chooses the page or bucket, the other the bits.
    pub(super) fn halves(self) -> (u64, u64) {
        let number = u128::from_le_bytes(self.0);
        #[expect(
            clippy::cast_possible_truncation,
            reason = "the halves are what is wanted"
        )]
        let low = number as u64;
        let high = (number >> 64) as u64;
        (high, low)
    }

    /// A number below `count`, all equally likely; 0 when there is none.
    pub(super) fn index_below(self, count: u32) -> u32 {
        let (high, _) = self.halves();
        // Lemire's reduction: the upper bits of the product, without a division.
        let product = (high >> 32) * u64::from(count);
        (product >> 32) as u32
    }
}

impl Hash for Fingerprint {
    /// As one number, since it is a hash already.
    fn hash<H: Hasher>(&self, hasher: &mut H) {
        hasher.write_u128(u128::from_le_bytes(self.0));
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    const KEY: FilterKey = FilterKey::new(*b"0123456789abcdef");

    #[wasm_bindgen_test(unsupported = test)]
    fn names_that_run_together_have_different_fingerprints() {
        let mut all = std::collections::BTreeSet::new();
        for kind in Kind::ALL {
            for (issuer, value) in [("a", "bc"), ("ab", "c"), ("abc", ""), ("", "abc")] {
                assert!(all.insert(KEY.fingerprint(kind, issuer, value)));
            }
        }
        for kind in Kind::ALL.into_iter().filter(|kind| kind.is_compound()) {
            for (first, second) in [("b", "c"), ("bc", ""), ("", "bc"), ("c", "b")] {
                assert!(all.insert(KEY.compound(kind, "a", first, second)));
            }
        }
        for (issuer, uri, index) in [("a", "b", 1), ("a", "b", 11), ("a", "b1", 1), ("ab", "", 1)] {
            assert!(all.insert(KEY.status(issuer, uri, index)));
        }
        for issuer in ["", "a", "ab"] {
            assert!(all.insert(KEY.statuses(issuer)));
        }
        let other = FilterKey::new([0; 16]);
        assert!(!all.contains(&other.fingerprint(Kind::Token, "a", "bc")));
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn fingerprints_are_the_same_for_ever() {
        let fingerprint = KEY.fingerprint(Kind::Session, "https://issuer.example", "session-1");
        assert_eq!(
            fingerprint.0.map(|byte| format!("{byte:02x}")).concat(),
            "15285e50b2abf621dcd1b1f0ed0bc582"
        );
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn indexes_are_within_bounds_and_even() {
        let mut counts = [0_u32; 7];
        for number in 0..7_000 {
            let fingerprint = KEY.fingerprint(Kind::Token, "", &number.to_string());
            counts[fingerprint.index_below(7) as usize] += 1;
        }
        assert!(
            counts.iter().all(|count| (800..1_200).contains(count)),
            "{counts:?}"
        );
        assert_eq!(Fingerprint([0xff; 16]).index_below(0), 0);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn the_key_is_not_shown() {
        assert_eq!(format!("{KEY:?}"), "FilterKey(…)");
    }
}
