//! `portcullis jwks`: the public JWK Set of the keys in some files, of whatever format.

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
    let mut files = Vec::new();
    for file in &arguments.files {
        files.push(match public_text(file)? {
            Some(text) => published(file, &text, errors)?,
            None => vec![key_file::read(file)?.public_jwk()],
        });
    }
    print_set(&files, output)
}

pub(super) fn print(signers: &[Signer], output: &mut dyn Write) -> Result<(), CommandError> {
    let keys: Vec<_> = signers
        .iter()
        .map(|signer| vec![signer.public_jwk()])
        .collect();
    print_set(&keys, output)
}

fn print_set(files: &[Vec<Value>], output: &mut dyn Write) -> Result<(), CommandError> {
    let set = public_set(files)?;
    writeln!(output, "{set}").map_err(CommandError::Output)
}

/// The public JWK Set (RFC 7517 section 5) of the keys of these files, in their order.
///
/// # Errors
///
/// [`KeySetError::RepeatedKeyId`] for one id in two files, since many verifiers that look a key up
/// by its id find only one of the two. Within a file it is how their issuer publishes them.
pub fn public_set(files: &[Vec<Value>]) -> Result<Value, KeySetError> {
    let mut seen = HashSet::new();
    for keys in files {
        let key_ids: HashSet<_> = keys.iter().filter_map(|key| key["kid"].as_str()).collect();
        if let Some(key_id) = key_ids.intersection(&seen).next() {
            return Err(KeySetError::RepeatedKeyId {
                key_id: (*key_id).to_owned(),
            });
        }
        seen.extend(key_ids);
    }
    Ok(json!({ "keys": files.concat() }))
}

/// The keys in a file, where a single public key is a set of one; `None` for a private JWK.
fn public_text(path: &Path) -> Result<Option<Vec<u8>>, KeyFileError> {
    let text = fs::read(path).map_err(|source| KeyFileError::Read {
        path: path.to_owned(),
        source,
    })?;
    let Ok(jwk) = parse_json(&text) else {
        return Ok(Some(text));
    };
    let is_key = jwk.get("kty").is_some();
    // Some libraries write members without a value.
    let private = jwk.get("d").and_then(Value::as_str).unwrap_or_default();
    Ok(match (is_key, private.is_empty()) {
        (false, _) => Some(text),
        (true, true) => Some(json!({"keys": [jwk]}).to_string().into_bytes()),
        (true, false) => None,
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

    fn file(key_id: &str) -> Vec<Value> {
        let signer = Signer::generate(Algorithm::EdDsa, Some(key_id)).unwrap();
        vec![signer.public_jwk()]
    }

    #[test]
    fn the_set_holds_public_keys_in_the_order_given() {
        let set = public_set(&[file("b"), file("a")]).unwrap();
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
    fn two_files_with_one_id_are_refused() {
        assert_eq!(
            public_set(&[file("a"), file("a")]),
            Err(KeySetError::RepeatedKeyId {
                key_id: "a".to_owned()
            })
        );
    }
}
