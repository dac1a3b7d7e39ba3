//! Reading the command line, by rules that hold for every command.
//!
//! One base64url id in 64 begins with `-`, and other names may as well. So the value of an option
//! is the argument that follows it, whatever that looks like, as with `getopt`: this is set here
//! once for all options, future ones included. The name of what is revoked is a positional
//! argument, and may be anything that is not an option of the command.
//!
//! # And a mistyped option, which would be taken for the name?
//!
//! It is refused where it looks like one: two hyphens and lower-case letters. Names that look so,
//! or that are an option of the command, go after `--`.

use std::ffi::OsString;

use clap::error::ErrorKind;
use clap::{Arg, CommandFactory as _, FromArgMatches as _};

use super::{Command, CommandLine, EXIT_CODES};

/// The definition of the command line.
#[must_use]
pub fn definition() -> clap::Command {
    complete(CommandLine::command())
}

/// Parses what was typed, the name of the program first.
///
/// # Errors
///
/// What is wrong with it, or the help that was asked for.
pub fn read(
    arguments: impl IntoIterator<Item = impl Into<OsString>>,
) -> Result<CommandLine, clap::Error> {
    let arguments: Vec<OsString> = arguments.into_iter().map(Into::into).collect();
    let is_typed = |words: &[&str]| {
        words
            .iter()
            .any(|word| arguments.iter().any(|it| it == word))
    };
    let has_marked_names = is_typed(&["--"]);
    let asks_for_help = is_typed(&["-h", "--help", "help", "-V", "--version"]);
    let mut definition = definition();
    let matches = match definition.try_get_matches_from_mut(arguments) {
        // For `-hABC`, where no name is expected: nothing was done, so it is not a success.
        Err(error) if is_help(&error) && !asks_for_help => {
            let message = "expected `-h` by itself, found it with other letters behind";
            return Err(definition.error(ErrorKind::UnknownArgument, message));
        }
        matches => matches?,
    };
    let command_line =
        CommandLine::from_arg_matches(&matches).map_err(|error| error.format(&mut definition))?;
    let name = command_line.command.name().filter(|_| !has_marked_names);
    if let Some(name) = name.filter(|name| looks_like_an_option(name)) {
        let message = format!(
            "expected a name, found `{name}`, which looks like an option and is none of this \
             command; if it is a name, put `--` before it, behind all options"
        );
        return Err(definition.error(ErrorKind::UnknownArgument, message));
    }
    Ok(command_line)
}

impl Command {
    /// The positional argument: the name of what is revoked.
    fn name(&self) -> Option<&str> {
        let names = match self {
            Self::Revoke(arguments) => &arguments.names,
            Self::Restore(arguments) => &arguments.names,
            Self::Check(arguments) => &arguments.names,
            Self::List(arguments) => &arguments.names,
            _ => return None,
        };
        names.name.as_deref()
    }
}

fn complete(command: clap::Command) -> clap::Command {
    let speaks_to_an_authority = command
        .get_arguments()
        .any(|argument| argument.get_id() == "authority");
    let command = command.mut_args(|argument| {
        let takes_one = takes_one_value(&argument);
        argument.allow_hyphen_values(takes_one)
    });
    let command = if speaks_to_an_authority {
        command.after_help(EXIT_CODES)
    } else {
        command
    };
    command.mut_subcommands(complete)
}

/// Positional arguments say for themselves whether they take what begins with `-`.
fn takes_one_value(argument: &Arg) -> bool {
    if argument.is_positional() {
        return argument.is_allow_hyphen_values_set();
    }
    let count = argument.get_num_args();
    argument.get_action().takes_values()
        && count.is_none_or(|count| count.min_values() == 1 && count.max_values() == 1)
}

fn is_help(error: &clap::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
    )
}

fn looks_like_an_option(name: &str) -> bool {
    let option = name.split('=').next().unwrap_or_default();
    option.strip_prefix("--").is_some_and(|words| {
        words.starts_with(|letter: char| letter.is_ascii_lowercase())
            && words
                .bytes()
                .all(|letter| letter.is_ascii_lowercase() || letter == b'-')
    })
}

#[cfg(test)]
mod tests;
