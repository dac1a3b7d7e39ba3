//! The command line: one module per command, and the objects that several of them share.
//!
//! A command is a struct of arguments and a `run` that writes what was asked for to the `output`
//! it is given. The clock is read here and nowhere below.

use std::io::{self, Write};
use std::path::PathBuf;
use std::time::SystemTime;

use clap::{Parser, Subcommand};

use crate::configuration::Variable;

pub mod arguments;
pub mod authority_client;
pub mod authority_file;
pub mod backup;
mod bounds;
pub mod check;
pub mod completions;
pub mod configuration_file;
pub mod convert;
pub mod copy;
pub mod credential;
pub mod edges;
pub mod explain;
pub mod health;
pub mod import;
pub mod instant;
pub mod jwks;
pub mod key_file;
pub mod keygen;
mod known_issuer;
pub mod list;
pub mod migrate;
pub mod mint;
mod pages;
mod printable;
pub mod proof;
pub mod reach;
pub mod restore;
pub mod revoke;
pub mod rotate;
pub mod schema;
pub mod serve;
pub mod sessions;
pub mod signals;
pub mod stats;
pub mod streams;
pub mod target;
pub mod time_offset;
pub mod token_names;
pub mod upstream;
pub mod validate;
pub(crate) mod yaml;

/// The revocation authority and its command line, and what it takes to try the filter out
#[derive(Debug, Parser)]
#[command(name = "portcullis", version, after_help = EXIT_CODES)]
pub struct CommandLine {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands, each with its arguments.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Serve the revocation authority
    Serve(Box<serve::Arguments>),
    /// Revoke a token, session or device, or what a subject, client or issuer was issued
    Revoke(Box<revoke::Arguments>),
    /// Restore what was revoked
    #[command(visible_alias = "unrevoke")]
    Restore(restore::Arguments),
    /// Ask whether something is revoked, or what a token could be revoked by; exits with 1 when it is
    Check(check::Arguments),
    /// List what is revoked, or show one entry's history
    List(list::Arguments),
    /// List the edges, and how far each has come
    Edges(edges::Arguments),
    /// List who is signed in
    Sessions(sessions::Arguments),
    /// List what identity providers have sent, and what became of it
    Signals(signals::Arguments),
    /// List the streams of events, create, verify, pause, resume and delete them
    Streams(streams::Arguments),
    /// Revoke what the lines of a file or of standard input name
    Import(import::Arguments),
    /// Show how the authority is
    Stats(stats::Arguments),
    /// Ask whether an authority is ready, as the health check of a container does
    Health(health::Arguments),
    /// Make a credential for a caller of the authority
    Credential(credential::Arguments),
    /// Copy the authority's store, while it runs, into a file beside it
    Backup(backup::Arguments),
    /// Make the tables of a store in a PostgreSQL database
    Migrate(migrate::Arguments),
    /// Copy the store from a directory into a PostgreSQL database, or back, while no authority is at work
    Copy(copy::Arguments),
    /// Make a new key for the authority's feed
    Rotate(rotate::Arguments),
    /// Make a key pair: the private key into a file, the public JWK Set to standard output
    Keygen(keygen::Arguments),
    /// Print the public JWK Set of private key files
    Jwks(jwks::Arguments),
    /// Print a signed token
    Mint(Box<mint::Arguments>),
    /// Print a proof that the sender of a request has a key (DPoP)
    Proof(proof::Arguments),
    /// Serve an upstream that answers with the request it received
    Upstream(upstream::Arguments),
    /// Say everything that is wrong with a configuration
    Validate(validate::Arguments),
    /// Make a configuration of what Envoy's `jwt_authn`, Istio or Envoy Gateway have
    Convert(convert::Arguments),
    /// Walk one request through a configuration and say what is checked and why it comes out so
    Explain(Box<explain::Arguments>),
    /// Print the JSON Schema of the filter's configuration or of a file of the authority, by which
    /// editors check it
    Schema(schema::Arguments),
    /// Print a script with which a shell completes these commands
    Completions(completions::CompletionsArguments),
    /// Print a manual page
    Man(completions::ManArguments),
}

/// Runs one command to its end. `upstream` ends only when it fails.
///
/// # Errors
///
/// Whatever kept the command from its work; nothing has been written to `output` then, unless
/// writing to it is what failed.
#[expect(
    clippy::disallowed_methods,
    reason = "the only function of the command line that reads the clock"
)]
pub fn run(command_line: CommandLine, output: &mut dyn Write) -> Result<(), CommandError> {
    match command_line.command {
        Command::Serve(arguments) => Ok(serve::run(&arguments, output)?),
        Command::Revoke(arguments) => revoke::run(&arguments, SystemTime::now(), output),
        Command::Restore(arguments) => restore::run(&arguments, output),
        Command::Check(arguments) => check::run(&arguments, output),
        Command::List(arguments) => list::run(&arguments, output),
        Command::Edges(arguments) => edges::run(&arguments, output),
        Command::Sessions(arguments) => sessions::run(&arguments, output),
        Command::Signals(arguments) => signals::run(&arguments, output),
        Command::Streams(arguments) => streams::run(&arguments, output),
        Command::Import(arguments) => import::run(&arguments, output),
        Command::Stats(arguments) => stats::run(&arguments, output),
        Command::Health(arguments) => health::run(&arguments, output),
        Command::Credential(arguments) => credential::run(&arguments, output),
        Command::Backup(arguments) => backup::run(&arguments, output),
        Command::Migrate(arguments) => migrate::run(&arguments, output),
        Command::Copy(arguments) => copy::run(&arguments, output),
        Command::Rotate(arguments) => rotate::run(&arguments, output),
        Command::Keygen(arguments) => keygen::run(&arguments, output),
        Command::Jwks(arguments) => jwks::run(&arguments, output, &mut io::stderr()),
        Command::Mint(arguments) => mint::run(&arguments, SystemTime::now(), output),
        Command::Proof(arguments) => proof::run(&arguments, SystemTime::now(), output),
        Command::Upstream(arguments) => Ok(upstream::run(&arguments)?),
        Command::Validate(arguments) => validate::run(&arguments, output, &mut io::stderr()),
        Command::Convert(arguments) => convert::run(&arguments, output, &mut io::stderr()),
        Command::Explain(arguments) => {
            explain::run(&arguments, SystemTime::now(), output, &mut io::stderr())
        }
        Command::Schema(arguments) => schema::run(&arguments, output),
        Command::Completions(arguments) => completions::completions(&arguments, output),
        Command::Man(arguments) => completions::man(&arguments, output),
    }
}

/// A variable of this process, in place of the filter's virtual machine's, which only Envoy knows.
fn variable(name: &str) -> Variable {
    std::env::var(name).map_or(Variable::Unknown, Variable::Set)
}

/// Why a command failed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CommandError {
    /// A key file could not be read, understood or written.
    #[error(transparent)]
    KeyFile(#[from] key_file::KeyFileError),
    /// No key pair could be made.
    #[error("could not make a key pair")]
    Generate(#[source] crate::signer::KeyError),
    /// The keys do not make a JWK Set.
    #[error(transparent)]
    KeySet(#[from] jwks::KeySetError),
    /// No token could be made.
    #[error(transparent)]
    Mint(#[from] mint::MintError),
    /// No proof could be made.
    #[error(transparent)]
    Proof(#[from] proof::ProofError),
    /// The upstream could not be started or went down.
    #[error(transparent)]
    Upstream(#[from] upstream::UpstreamError),
    /// A file with configurations could not be read or has none.
    #[error(transparent)]
    ConfigurationFile(#[from] configuration_file::ConfigurationFileError),
    /// The configuration is wrong.
    #[error("expected a configuration without faults, found {number}")]
    Faults {
        /// How many faults.
        number: usize,
    },
    /// There were warnings of the configuration, with `--deny-warnings`.
    #[error("expected a configuration without warnings, found {number}")]
    Warnings {
        /// How many warnings.
        number: usize,
    },
    /// A file has no configuration of the filter in it, but one that can be translated.
    #[error("{path}:{line}: expected a plugin configuration, found {kind}")]
    Foreign {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
        /// What it is.
        kind: &'static str,
    },
    /// The input of the translation is a plugin configuration already.
    #[error("{path}: is a plugin configuration already; nothing is left to translate")]
    Converted {
        /// The file.
        path: PathBuf,
    },
    /// Nothing in the files can be translated.
    #[error(
        "{path}: expected Envoy's `jwt_authn` filter, an Istio `RequestAuthentication`, or an Envoy \
         Gateway `SecurityPolicy` with `jwt`"
    )]
    Untranslatable {
        /// The first of the files.
        path: PathBuf,
    },
    /// There is a policy, but no resource that says whose tokens it means.
    #[error("{path}:{line}: expected a `RequestAuthentication` beside the `AuthorizationPolicy`")]
    PolicyAlone {
        /// The file.
        path: PathBuf,
        /// Its line.
        line: usize,
    },
    /// The translation is not, or not quite, the same.
    #[error("expected a translation without differences, found {number}")]
    Differences {
        /// How many.
        number: usize,
    },
    /// The translation would let more through than before.
    #[error("expected a translation that opens nothing, found {number} openings")]
    Opens {
        /// How many.
        number: usize,
    },
    /// There is no manual page of this command.
    #[error("expected the name of a command, found `{name}`")]
    NoCommand {
        /// The name that was given.
        name: String,
    },
    /// There was nothing to explain.
    #[error(transparent)]
    Explain(#[from] explain::ExplainError),
    /// The request that was explained would be refused.
    #[error("the request is refused")]
    Refused,
    /// Standard output or standard error did not take the result.
    #[error("could not write the result")]
    Output(#[source] io::Error),
    /// The authority could not be started or went down.
    #[error(transparent)]
    Serve(#[from] serve::ServeError),
    /// The authority did not do what it was asked.
    #[error(transparent)]
    Client(#[from] authority_client::ClientError),
    /// The target is not known.
    #[error(transparent)]
    Target(#[from] target::TargetError),
    /// The entry would have expired already.
    #[error("`--expires-in`: expected a time in the future, found one in the past")]
    Past,
    /// The cut-off is before everything that was ever issued.
    #[error(
        "`--not-before-in`: expected a time after 1970, found one before, when nothing was issued that could be refused"
    )]
    BeforeEverything,
    /// No credential could be made.
    #[error(transparent)]
    Credential(#[from] credential::CredentialError),
    /// The answer, which has been written, is no.
    #[error("the answer is no")]
    Negative,
    /// It is done, as has been written, and not every edge has it.
    #[error("done, and not known to be everywhere")]
    NotEverywhere,
}

/// What the exit codes of the process mean, for the help.
pub const EXIT_CODES: &str = "\
Exit codes:
   0  done
   1  failed, or the answer is no
   2  the command line is wrong
   3  the authority cannot be reached: no answer, or the connection broke off
   4  what answers is no authority, or speaks TLS where `http://` was asked for, or the other way round
   5  the authority's certificate is not trusted
   6  the authority does not know the credential, or was given none
   7  the credential has another role
   8  the authority refuses the request for what is in it
   9  the authority cannot do it at present
  10  a file that the command needs could not be read
  11  done and on the authority's disk, but not known to have reached every edge (`--wait`)";

/// Of a file that the command needs and that could not be read.
const UNREADABLE: u8 = 10;

/// Of what is done, and not everywhere.
const NOT_EVERYWHERE: u8 = 11;

fn print_json(output: &mut dyn Write, answer: &impl serde::Serialize) -> Result<(), CommandError> {
    serde_json::to_string(answer)
        .map_err(io::Error::from)
        .and_then(|json| writeln!(output, "{}", printable::printable_json(&json)))
        .map_err(CommandError::Output)
}

/// Prints an element of a list: as `line` has it, with its end, or as JSON.
fn print_element<T: serde::Serialize>(
    output: &mut dyn Write,
    as_json: bool,
    element: &T,
    line: impl FnOnce(&T) -> String,
) -> Result<(), CommandError> {
    if as_json {
        return print_json(output, element);
    }
    let line = line(element);
    output
        .write_all(line.as_bytes())
        .map_err(CommandError::Output)
}

impl CommandError {
    /// What the reader can do about it, where that is known.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            Self::KeyFile(error) => error.hint(),
            Self::Upstream(error) => error.hint(),
            Self::Serve(error) => error.hint(),
            Self::Client(error) => error.hint(),
            Self::Target(error) => error.hint(),
            Self::Past => Some(
                "it says when the tokens expire that are meant; to revoke what a subject, client or \
                 issuer was issued until an hour ago, write `--not-before-in -1h`",
            ),
            Self::Foreign { .. } => Some("`portcullis convert FILE` makes a configuration of it"),
            Self::PolicyAlone { .. } => {
                Some("it says whose tokens there are; name the file that it stands in too")
            }
            Self::Converted { .. } | Self::Untranslatable { .. } => Some(
                "a `jwt_authn` configuration is translated where its `@type` says that it is one",
            ),
            Self::Opens { .. } => Some(
                "the warnings that say OPEN tell what to mend first; `--accept-differences` does not \
                 accept them",
            ),
            Self::Differences { .. } => Some(
                "read the warnings; with `--accept-differences`, what was written counts as done",
            ),
            _ => None,
        }
    }

    /// The exit code of the process, as [`EXIT_CODES`] has them.
    #[must_use]
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Target(target::TargetError::Token(error)) => error.exit_code(),
            Self::Mint(mint::MintError::RepeatedClaim { .. } | mint::MintError::TwoBindings)
            | Self::Proof(proof::ProofError::NotAToken)
            | Self::Target(_)
            | Self::Credential(credential::CredentialError::NotAnEdge(_))
            | Self::Past
            | Self::BeforeEverything => 2,
            Self::NotEverywhere => NOT_EVERYWHERE,
            Self::Client(error) => error.exit_code(),
            Self::Serve(error) => error.exit_code(),
            Self::KeyFile(key_file::KeyFileError::Read { .. })
            | Self::ConfigurationFile(configuration_file::ConfigurationFileError::Read {
                ..
            })
            | Self::Explain(explain::ExplainError::Read { .. })
            | Self::Proof(proof::ProofError::Read(_)) => UNREADABLE,
            _ => 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_of_the_command_line_is_sound() {
        arguments::definition().debug_assert();
    }
}
