//! `portcullis keygen`: a new key pair.

use std::io::Write;
use std::path::PathBuf;

use clap::builder::{NonEmptyStringValueParser, PossibleValue};
use clap::{Args, ValueEnum};

use super::{CommandError, jwks, key_file};
use crate::signer::Signer;
use crate::token::Algorithm;

/// The arguments of `portcullis keygen`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What the key is for
    #[arg(long, value_enum, ignore_case = true, default_value = "ES256")]
    pub algorithm: Algorithm,
    /// The key's `kid` [default: its RFC 7638 thumbprint]
    #[arg(long, value_name = "ID", value_parser = NonEmptyStringValueParser::new())]
    pub key_id: Option<String>,
    /// The file for the private key, readable by its owner only; never overwritten
    #[arg(long, value_name = "FILE")]
    pub out: PathBuf,
}

/// Makes the key pair, writes the private JWK to `--out` and the public JWK Set to `output`.
///
/// # Errors
///
/// [`CommandError::KeyFile`] when the file exists or cannot be written.
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let signer = Signer::generate(arguments.algorithm, arguments.key_id.as_deref())
        .map_err(CommandError::Generate)?;
    key_file::write_new(&arguments.out, &signer)?;
    jwks::print(&[signer], output)
}

// By hand, so that the signer knows nothing of the command line.
impl ValueEnum for Algorithm {
    fn value_variants<'a>() -> &'a [Self] {
        // All but those of shared secrets, of which there is no public half to print.
        &[
            Self::Rs256,
            Self::Rs384,
            Self::Rs512,
            Self::Ps256,
            Self::Ps384,
            Self::Ps512,
            Self::Es256,
            Self::Es384,
            Self::Es512,
            Self::EdDsa,
        ]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.name()))
    }
}
