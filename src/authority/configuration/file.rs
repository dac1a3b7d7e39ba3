//! Files that a configuration names.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::configuration::{Node, Read};

/// A file that a configuration names, with where it does: an operator who is told that a file is not
/// usable has to know which of the keys to look at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfiguredFile {
    /// Which configuration names it.
    pub document: Document,
    /// Where, as a path in that.
    pub at: String,
    /// The file.
    pub path: PathBuf,
}

/// A configuration of the authority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Document {
    /// The authority's own file.
    Authority,
    /// The signals file.
    Signals,
}

impl ConfiguredFile {
    /// Where it is named, for messages.
    #[must_use]
    pub const fn place(&self) -> Place<'_> {
        Place(self)
    }

    /// One that no configuration names.
    #[cfg(any(test, fuzzing))]
    pub(in crate::authority) fn unnamed(path: impl Into<PathBuf>) -> Self {
        Self {
            document: Document::Authority,
            at: String::new(),
            path: path.into(),
        }
    }
}

/// The key that names a file.
#[derive(Clone, Copy, Debug)]
pub struct Place<'f>(&'f ConfiguredFile);

impl fmt::Display for Place<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let document = match self.0.document {
            Document::Authority => "authority's file",
            Document::Signals => "signals file",
        };
        write!(formatter, "`{}` of the {document}", self.0.at)
    }
}

/// A file that a configuration names, which is in this directory.
pub(in crate::authority) fn file(
    node: Node<'_>,
    directory: &Path,
    document: Document,
) -> Read<ConfiguredFile> {
    Ok(ConfiguredFile {
        document,
        at: node.path(),
        path: path(node, directory)?,
    })
}

/// The path of a file that a configuration names, which is in this directory.
pub(in crate::authority) fn path(node: Node<'_>, directory: &Path) -> Read<PathBuf> {
    Ok(directory.join(node.text()?))
}
