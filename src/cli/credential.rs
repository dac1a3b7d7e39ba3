//! `portcullis credential`: a new secret for a caller of the authority.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use clap::{Args, ValueEnum};

use super::CommandError;
use crate::authority::{Permission, Role, new_credential};

/// The arguments of `portcullis credential`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What the caller may do: everything, read what an admin may read, read the feed and check, or read the
    /// metrics
    #[arg(long, value_enum)]
    pub role: Role,
    /// What an edge may do besides: sign users out, report the activity of sessions, list and end
    /// the sessions of users; several with commas between them
    #[arg(long, value_enum, value_name = "PERMISSION", value_delimiter = ',')]
    pub allow: Vec<Permission>,
    /// The caller's name, without spaces; histories mention it
    #[arg(long, value_name = "TEXT", value_parser = name)]
    pub name: String,
    /// The credentials file that the line is added to; made when it is not there
    #[arg(long, value_name = "FILE")]
    pub file: PathBuf,
}

/// Adds the hash to the file and prints the secret, which is kept nowhere.
///
/// # Errors
///
/// [`CredentialError`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let Arguments { role, allow, .. } = arguments;
    if *role != Role::Edge && !allow.is_empty() {
        return Err(CredentialError::NotAnEdge(*role).into());
    }
    let allowed = Permission::ALL.into_iter();
    let allowed: Vec<_> = allowed
        .filter(|permission| allow.contains(permission))
        .collect();
    let (secret, line) =
        new_credential(*role, &allowed, &arguments.name).map_err(CredentialError::Random)?;
    let failed = |source| CredentialError::Write {
        path: arguments.file.clone(),
        source,
    };
    let mut file = OpenOptions::new()
        .append(true)
        .create(true)
        .mode(0o600)
        .open(&arguments.file)
        .map_err(failed)?;
    // In one write, so that an authority that reads the file at this moment sees no half line.
    file.write_all(format!("{line}\n").as_bytes())
        .and_then(|()| file.sync_all())
        .map_err(failed)?;
    writeln!(output, "{secret}").map_err(CommandError::Output)
}

/// Why no credential was made.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CredentialError {
    /// Only edges have permissions.
    #[error("`--allow` goes with `--role edge` only, found `{}`", .0.name())]
    NotAnEdge(Role),
    /// The system has no randomness.
    #[error("could not make a secret")]
    Random(#[source] getrandom::Error),
    /// The file could not be written.
    #[error("could not write credentials file `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

fn name(text: &str) -> Result<String, &'static str> {
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.@".contains(letter);
    if !text.is_empty() && text.len() <= 64 && text.chars().all(is_plain) {
        Ok(text.to_owned())
    } else {
        Err("expected 1 to 64 letters, digits, `-`, `_`, `.` or `@`")
    }
}

// By hand, so that the authority knows nothing of the command line.
impl ValueEnum for Role {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}

impl ValueEnum for Permission {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.name()))
    }
}
