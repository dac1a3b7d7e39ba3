//! Sets of keys: what a provider publishes, in each of the forms that providers use.

use serde_json::Value;

use super::der::blocks;
use super::key_error::{MAX_JWK_SET_BYTES, MAX_KEYS, MAX_MEMBERS};
use super::{Algorithm, Key, KeyError, KeyRules, KeySetError, LeftOut, jwk, parse_json};

/// The usable keys of a set.
#[derive(Debug)]
pub struct KeySet {
    keys: Vec<Key>,
    left_out: Vec<LeftOut>,
    max_candidates: usize,
}

impl KeySet {
    /// Reads a JWK Set (RFC 7517 section 5), an object of key ids with certificates or public keys
    /// in PEM, as Google and Firebase publish them, or PEM alone (RFC 7468). Keys that cannot be
    /// used are left out and listed in [`KeySet::left_out`]: identity providers publish encryption
    /// keys in the same set.
    ///
    /// Of a certificate only the key counts, and its validity does not: the source of the set is
    /// what is trusted. Of PEM alone only the first certificate is used, since those after it are
    /// its issuers' more often than not.
    ///
    /// # Errors
    ///
    /// [`KeySetError`] when the text is none of these, too large, or has no usable key.
    pub fn parse(text: &[u8], rules: &KeyRules) -> Result<Self, KeySetError> {
        if text.len() > MAX_JWK_SET_BYTES {
            return Err(KeySetError::TooLarge(text.len()));
        }
        let mut set = Self {
            keys: Vec::new(),
            left_out: Vec::new(),
            max_candidates: rules.max_candidates,
        };
        match str::from_utf8(text) {
            Ok(pem) if is_pem(pem) => set.read_pem(pem, rules)?,
            _ => set.read_json(&parse_json(text)?, rules)?,
        }
        if set.keys.is_empty() {
            return Err(KeySetError::NoUsableKey(set.left_out));
        }
        Ok(set)
    }

    fn read_json(&mut self, set: &Value, rules: &KeyRules) -> Result<(), KeySetError> {
        match (set.get("keys"), set) {
            (Some(Value::Array(members)), _) => {
                limit(members.len())?;
                for member in members {
                    let id = jwk::key_id(member);
                    let key = self.room().and_then(|()| Key::from_jwk(member, rules));
                    self.add(id, key);
                }
                Ok(())
            }
            (None, Value::Object(members))
                if members.values().any(|value| pem(value).is_some()) =>
            {
                limit(members.len())?;
                for (name, value) in members {
                    let id = (!name.is_empty()).then(|| name.clone());
                    let key = self.room().and_then(|()| {
                        let (label, body) = pem(value).ok_or(KeyError::NotAPublicKey)?;
                        Key::from_pem(label, body, id.clone(), rules)
                    });
                    self.add(id, key);
                }
                Ok(())
            }
            _ => Err(KeySetError::NotASet),
        }
    }

    fn read_pem(&mut self, text: &str, rules: &KeyRules) -> Result<(), KeySetError> {
        let mut has_certificate = false;
        for (number, (label, body)) in blocks(text).enumerate() {
            limit(number)?;
            let is_certificate = label == "CERTIFICATE";
            let key = self.room().and_then(|()| {
                if is_certificate && has_certificate {
                    return Err(KeyError::Chain);
                }
                Key::from_pem(label, body, None, rules)
            });
            has_certificate |= is_certificate;
            self.add(None, key);
        }
        Ok(())
    }

    fn position(&self) -> usize {
        self.keys.len() + self.left_out.len()
    }

    fn room(&self) -> Result<(), KeyError> {
        if self.position() < MAX_KEYS {
            return Ok(());
        }
        Err(KeyError::Surplus)
    }

    fn add(&mut self, key_id: Option<String>, key: Result<Key, KeyError>) {
        match key {
            Ok(key) => self.keys.push(key),
            Err(error) => self.left_out.push(LeftOut {
                position: self.position(),
                key_id,
                error,
            }),
        }
    }

    /// The usable keys, in the order of the set.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The others, in the same order.
    #[must_use]
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Those of them that are worth a line: one stands for all after the last that is looked at.
    pub fn complaints(&self) -> impl Iterator<Item = &LeftOut> {
        let left_out = self.left_out.iter();
        left_out.take_while(|key| key.position <= MAX_KEYS)
    }

    /// Whether the token names a key and none has that name. A key without a name may still be
    /// tried, but if it has not made the signature, that says nothing about the missing key.
    pub(super) fn lacks(&self, key_id: Option<&str>) -> bool {
        key_id.is_some() && !self.keys.iter().any(|key| key.id() == key_id)
    }

    /// The keys that may have signed a token with this `kid`: those of the same id, compared byte
    /// by byte, and after them those without one; all of them for a token that names no key.
    pub(super) fn named(&self, key_id: Option<&str>) -> impl Iterator<Item = &Key> {
        let keys = self.keys.iter();
        let named = keys.filter(move |key| key_id.is_none() || key.id() == key_id);
        let keys = self.keys.iter();
        let nameless = keys.filter(move |key| key_id.is_some() && key.id().is_none());
        named.chain(nameless)
    }

    /// Those of them that verify this algorithm; no more than the provider's `max_candidate_keys`.
    pub(super) fn candidates(
        &self,
        key_id: Option<&str>,
        algorithm: Algorithm,
    ) -> impl Iterator<Item = &Key> {
        let keys = self.named(key_id);
        keys.filter(move |key| key.verifies(algorithm))
            .take(self.max_candidates)
    }
}

fn limit(members: usize) -> Result<(), KeySetError> {
    if members > MAX_MEMBERS {
        return Err(KeySetError::TooManyKeys(members));
    }
    Ok(())
}

/// Whether a text is PEM. JSON may have it inside.
fn is_pem(text: &str) -> bool {
    !text.trim_ascii_start().starts_with(['{', '[']) && blocks(text).next().is_some()
}

/// Label and body of the first PEM block in a text.
fn pem(value: &Value) -> Option<(&str, &str)> {
    blocks(value.as_str()?).next()
}

#[cfg(test)]
mod tests;
