//! `portcullis jwks`: what a gate needs to know of keys, made of whatever they stand in.

use std::collections::HashSet;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use clap::Args;
use serde_json::{Value, json};

use super::key_file::KeyFileError;
use super::{CommandError, key_file};
use crate::signer::Signer;
use crate::token::{Key, KeyRules, KeySet, parse_json};

/// The arguments of `portcullis jwks`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Private JWK files, as `portcullis keygen` writes them, or public keys: a JWK, a JWK Set, an
    /// object of certificates, or PEM
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Writes the public JWK Set of all the files to `output`, on one line, and to `errors` which keys
/// are left out of it.
///
/// # Errors
///
/// [`CommandError::KeyFile`] and [`CommandError::KeySet`].
pub fn run(
    arguments: &Arguments,
    output: &mut dyn Write,
    errors: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut keys = Vec::new();
    for file in &arguments.files {
        match public_text(file)? {
            Some(text) => keys.extend(published(file, &text, errors)?),
            None => keys.push(key_file::read(file)?.public_jwk()),
        }
    }
    print_set(&keys, output)
}

pub(super) fn print(signers: &[Signer], output: &mut dyn Write) -> Result<(), CommandError> {
    let keys: Vec<_> = signers.iter().map(Signer::public_jwk).collect();
    print_set(&keys, output)
}

fn print_set(keys: &[Value], output: &mut dyn Write) -> Result<(), CommandError> {
    let set = public_set(keys)?;
    writeln!(output, "{set}").map_err(CommandError::Output)
}

/// The public JWK Set (RFC 7517 section 5) of these keys, in their order.
///
/// # Errors
///
/// [`KeySetError::RepeatedKeyId`], since a verifier that looks a key up by its id would find only
/// one of the two.
pub fn public_set(keys: &[Value]) -> Result<Value, KeySetError> {
    let mut seen = HashSet::new();
    for key_id in keys.iter().filter_map(|key| key["kid"].as_str()) {
        if !seen.insert(key_id) {
            return Err(KeySetError::RepeatedKeyId {
                key_id: key_id.to_owned(),
            });
        }
    }
    Ok(json!({ "keys": keys }))
}

/// The set of keys in a file, a public key alone among them; `None` for a private JWK, and for what
/// is nothing of all that.
fn public_text(path: &Path) -> Result<Option<Vec<u8>>, KeyFileError> {
    let text = fs::read(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    Ok(match parse_json(&text) {
        Ok(jwk) if jwk.get("kty").is_none() => Some(text),
        Ok(jwk) if jwk.get("d").is_none() => Some(json!({"keys": [jwk]}).to_string().into_bytes()),
        Ok(_) => None,
        Err(_) => text
            .windows(11)
            .any(|part| part == b"-----BEGIN ")
            .then_some(text),
    })
}

/// The public JWKs of a published set.
fn published(path: &Path, text: &[u8], errors: &mut dyn Write) -> Result<Vec<Value>, CommandError> {
    let keys =
        KeySet::parse(text, &KeyRules::asymmetric()).map_err(|source| KeyFileError::Set {
            path: path.to_owned(),
            source,
        })?;
    for key in keys.complaints() {
        writeln!(errors, "{}: warning: {key}", path.display()).map_err(CommandError::Output)?;
    }
    Ok(keys.keys().iter().filter_map(Key::public_jwk).collect())
}

/// Why keys do not make a JWK Set.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeySetError {
    /// Two keys have the same id.
    #[error("expected different key ids, found `{key_id}` twice")]
    RepeatedKeyId {
        /// The id.
        key_id: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::Algorithm;

    fn key(key_id: &str) -> Value {
        let signer = Signer::generate(Algorithm::EdDsa, Some(key_id)).unwrap();
        signer.public_jwk()
    }

    #[test]
    fn the_set_holds_public_keys_in_the_order_given() {
        let set = public_set(&[key("b"), key("a")]).unwrap();
        assert_eq!(set["keys"][0]["kid"], "b");
        assert_eq!(set["keys"][1]["kid"], "a");
        assert!(
            set["keys"]
                .as_array()
                .unwrap()
                .iter()
                .all(|key| key.get("d").is_none())
        );
    }

    #[test]
    fn two_keys_with_one_id_are_refused() {
        assert_eq!(
            public_set(&[key("a"), key("a")]),
            Err(KeySetError::RepeatedKeyId {
                key_id: "a".to_owned()
            })
        );
    }
}
