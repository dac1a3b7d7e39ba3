//! The keys of records in shared data, and what makes records credible.
//!
//! All plugins of a process with the same `vm_id` share one key space; Istio leaves `vm_id` empty,
//! so all plugins of a proxy share one. Another plugin can read our records and overwrite them. It
//! must not be able to forge one that is believed: a JWK Set with a key of its own would admit any
//! user under any name.
//!
//! So every record is sealed under a key that other plugins do not have. It is derived from a
//! [`RecordSecret`], which is in our configuration and not in theirs, and from everything that the
//! record depends on: a record of another source, another authority or another kind is not
//! accepted, and neither is one that was copied from one key to another. The key of a record has
//! the same settings in it, as 128 bits of HMAC-SHA-256, so that no settings can be found by search
//! that collide with another plugin's records.
//!
//! ```text
//! key:    portcullis/9/<name>/<record>        // name: 16 bytes in base64url
//!
//! struct Record {
//!     version: u8,           // 2; 1 had a checksum under no key
//!     reserved: [u8; 3],     // 0
//!     seal: [u8; 16],        // SipHash-2-4-128 of the record's name, its length before it, and the payload
//!     payload: [u8],
//! }
//! ```
//!
//! # What does this not prevent?
//!
//! A plugin that can write at all can write garbage: then nothing is known until it is fetched
//! again, and the posture decides.
//!
//! A plugin that has seen an older record can put it back, and nothing shows that there has been a
//! newer one. An older page of the filter, or an older bucket of cut-offs, of the generation that
//! is read is believed: revocations since then are undone, their tokens pass as not revoked, and
//! this goes unnoticed until the next generation is loaded. Only plugins with the same `vm_id` can
//! do this; a `vm_id` of our own prevents it.
//!
//! Without a secret in the configuration, any plugin can derive the sealing key, which then only
//! tells our records from those of a plugin that uses the same name by accident.

use std::hash::{Hash, Hasher};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac_sha256::HMAC;
use siphasher::sip::SipHasher13;
use siphasher::sip128::{Hasher128 as _, SipHasher24};

use crate::host::KEY_PREFIX;

/// A secret that other plugins of the process do not have.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct RecordSecret([u8; 32]);

impl RecordSecret {
    /// The secret that the operator has set for this, or another one that only our configuration
    /// has. `origin` says which, so that the same text in two settings gives two secrets.
    #[must_use]
    pub fn of(origin: &str, text: &str) -> Self {
        Self(HMAC::mac(origin.as_bytes(), text.as_bytes()))
    }

    /// For a configuration without a secret. It is public.
    #[must_use]
    pub const fn none() -> Self {
        Self([0; 32])
    }
}

impl std::fmt::Debug for RecordSecret {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("RecordSecret(…)")
    }
}

/// The records of one purpose with one set of settings.
#[derive(Clone)]
pub struct Namespace {
    prefix: String,
    key: [u8; 16],
    page_key: [u8; 16],
}

impl std::fmt::Debug for Namespace {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(&self.prefix)
    }
}

impl Namespace {
    /// The records for `purpose` of all plugins with these settings and this secret.
    #[must_use]
    pub fn new(secret: &RecordSecret, purpose: &str, settings: &impl Hash) -> Self {
        let mut hashed = Bytes::default();
        purpose.hash(&mut hashed);
        settings.hash(&mut hashed);
        let derived = |what: &[u8]| -> [u8; 16] {
            let [first @ .., _, _, _, _, _, _, _, _, _, _, _, _, _, _, _, _] =
                HMAC::mac([what, &hashed.0].concat(), secret.0);
            first
        };
        let name = URL_SAFE_NO_PAD.encode(derived(b"name\0"));
        Self {
            prefix: format!("{KEY_PREFIX}{name}/"),
            key: derived(b"seal\0"),
            page_key: derived(b"page\0"),
        }
    }

    /// One for tests, with a secret.
    #[cfg(any(test, fuzzing))]
    #[must_use]
    pub fn example() -> Self {
        Self::new(&RecordSecret::of("test", "secret"), "test", &())
    }

    /// The prefix of the keys of all its records.
    #[must_use]
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    /// The key in shared data of the record with this name.
    #[must_use]
    pub fn key_of(&self, record: &str) -> String {
        [&self.prefix, record].concat()
    }

    /// A record, to be written under the key of this name.
    #[must_use]
    pub fn seal(&self, record: &str, payload: &[u8]) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER.len() + 16 + payload.len());
        bytes.extend(HEADER);
        bytes.extend(self.seal_of(record, payload));
        bytes.extend(payload);
        bytes
    }

    /// The payload, if this is a record with this name and we have sealed it.
    #[must_use]
    pub fn open<'b>(&self, record: &str, bytes: &'b [u8]) -> Option<&'b [u8]> {
        let (seal, payload) = bytes.strip_prefix(&HEADER)?.split_first_chunk()?;
        (*seal == self.seal_of(record, payload)).then_some(payload)
    }

    fn seal_of(&self, record: &str, payload: &[u8]) -> [u8; 16] {
        let mut hasher = SipHasher24::new_with_key(&self.key);
        hasher.write(&(record.len() as u64).to_le_bytes());
        hasher.write(record.as_bytes());
        hasher.write(payload);
        hasher.finish128().as_bytes()
    }

    /// The seal of something that is too large and read too often for the other seal: SipHash-1-3,
    /// 64 bits. The parts have to say what it is and under which key, and all but the last have
    /// fixed lengths.
    #[must_use]
    pub fn checksum(&self, parts: &[&[u8]]) -> u64 {
        let mut hasher = SipHasher13::new_with_key(&self.page_key);
        for part in parts {
            hasher.write(part);
        }
        hasher.finish()
    }
}

const HEADER: [u8; 4] = [2, 0, 0, 0];

/// Collects the bytes that the [`Hash`] of settings feeds to a hasher, which delimit their parts.
#[derive(Default)]
struct Bytes(Vec<u8>);

impl Hasher for Bytes {
    fn write(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }

    /// As 64 bits, whatever the width of the machine.
    fn write_usize(&mut self, number: usize) {
        self.write(&(number as u64).to_le_bytes());
    }

    fn write_isize(&mut self, number: isize) {
        self.write(&(number as i64).to_le_bytes());
    }

    /// Never called.
    fn finish(&self) -> u64 {
        0
    }
}

#[cfg(test)]
mod tests {
    use wasm_bindgen_test::wasm_bindgen_test;

    use super::*;

    fn namespaces() -> Vec<Namespace> {
        let operator = RecordSecret::of("shared_data_secret", "secret");
        let others = [
            RecordSecret::of("credential", "secret"),
            RecordSecret::of("shared_data_secret", "Secret"),
            RecordSecret::none(),
        ];
        let mut all = vec![
            Namespace::new(&operator, "feed", &("a", "bc")),
            Namespace::new(&operator, "feed", &("ab", "c")),
            Namespace::new(&operator, "keys", &("a", "bc")),
        ];
        all.extend(others.map(|secret| Namespace::new(&secret, "feed", &("a", "bc"))));
        all
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn what_was_sealed_is_opened_with_the_same_settings_and_secret() {
        for (again, namespace) in namespaces().iter().zip(namespaces()) {
            let record = namespace.seal("lease", b"payload");
            assert_eq!(again.open("lease", &record), Some(&b"payload"[..]));
            assert_eq!(again.key_of("lease"), namespace.key_of("lease"));
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_record_of_other_settings_another_secret_or_another_place_is_none() {
        let all = namespaces();
        for (index, one) in all.iter().enumerate() {
            let record = one.seal("announcement/1", b"payload");
            assert_eq!(one.open("announcement/2", &record), None);
            assert_eq!(one.open("announcement/", &record), None);
            for other in all.iter().skip(index + 1) {
                assert_ne!(one.prefix(), other.prefix());
                assert_eq!(other.open("announcement/1", &record), None);
                assert_ne!(one.checksum(&[b"page"]), other.checksum(&[b"page"]));
            }
        }
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn a_record_with_any_byte_changed_missing_or_added_is_none() {
        let namespace = &namespaces()[0];
        let record = namespace.seal("keys", b"{\"keys\":[]}");
        for index in 0..record.len() {
            let mut changed = record.clone();
            changed[index] ^= 1;
            assert_eq!(namespace.open("keys", &changed), None, "byte {index}");
            assert_eq!(namespace.open("keys", &record[..index]), None);
        }
        let longer = [record.as_slice(), b"x"].concat();
        assert_eq!(namespace.open("keys", &longer), None);
    }

    #[wasm_bindgen_test(unsupported = test)]
    fn secrets_are_not_shown_and_not_in_names() {
        let secret = RecordSecret::of("credential", "secret");
        assert_eq!(format!("{secret:?}"), "RecordSecret(…)");
        for namespace in namespaces() {
            assert_eq!(namespace.prefix().len(), KEY_PREFIX.len() + 23);
            assert_eq!(format!("{namespace:?}"), namespace.prefix());
        }
    }
}
