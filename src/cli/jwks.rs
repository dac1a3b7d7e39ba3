//! `portcullis jwks`: what a gate needs to know of private keys.

use std::collections::HashSet;
use std::io::Write;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Value, json};

use super::{CommandError, key_file};
use crate::signer::Signer;

/// The arguments of `portcullis jwks`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Private JWK files, as `portcullis keygen` writes them
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

/// Writes the public JWK Set of all the files to `output`, on one line.
///
/// # Errors
///
/// [`CommandError::KeyFile`] and [`CommandError::KeySet`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let signers = arguments
        .files
        .iter()
        .map(|file| key_file::read(file))
        .collect::<Result<Vec<_>, _>>()?;
    print(&signers, output)
}

/// The public JWK Set (RFC 7517 section 5) of these keys, in their order.
///
/// # Errors
///
/// [`KeySetError::RepeatedKeyId`], since a verifier that looks a key up by its id would find only
/// one of the two.
pub fn public_set(signers: &[Signer]) -> Result<Value, KeySetError> {
    let mut seen = HashSet::new();
    for key_id in signers.iter().filter_map(Signer::key_id) {
        if !seen.insert(key_id) {
            return Err(KeySetError::RepeatedKeyId {
                key_id: key_id.to_owned(),
            });
        }
    }
    let keys: Vec<Value> = signers.iter().map(Signer::public_jwk).collect();
    Ok(json!({ "keys": keys }))
}

pub(super) fn print(signers: &[Signer], output: &mut dyn Write) -> Result<(), CommandError> {
    let set = public_set(signers)?;
    writeln!(output, "{set}").map_err(CommandError::Output)
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

    fn signer(key_id: &str) -> Signer {
        Signer::generate(Algorithm::EdDsa, Some(key_id)).unwrap()
    }

    #[test]
    fn the_set_holds_public_keys_in_the_order_given() {
        let set = public_set(&[signer("b"), signer("a")]).unwrap();
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
            public_set(&[signer("a"), signer("a")]),
            Err(KeySetError::RepeatedKeyId {
                key_id: "a".to_owned()
            })
        );
    }
}
