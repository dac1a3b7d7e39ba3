//! Where the secrets are that a signals file names.

use std::path::{Path, PathBuf};

use crate::authority::configuration::path;
use crate::configuration::{Node, Read};

/// Where a secret is, which is never in the file itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretSource {
    /// Which one, as a path in the signals file.
    pub at: String,
    /// Where it is.
    pub place: SecretPlace,
}

/// Where a secret is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SecretPlace {
    /// In the environment variable of this name.
    Environment(String),
    /// In this file, without blanks around it.
    File(PathBuf),
}

/// Where a secret is: `env` or `file`.
pub(in crate::authority::signals) fn secret_source(
    node: Node<'_>,
    directory: &Path,
) -> Read<SecretSource> {
    let at = node.path();
    node.object(|fields| {
        let (is_file, node) = fields.one_of(&[("env", false), ("file", true)])?;
        let place = if is_file {
            SecretPlace::File(path(node, directory)?)
        } else {
            SecretPlace::Environment(node.text()?.to_owned())
        };
        Ok(SecretSource { at, place })
    })
}
