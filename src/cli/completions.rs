//! `portcullis completions` and `portcullis man`: completions for a shell, and pages for `man`.
//! Both are generated from the definition of the command line, so they are never out of date.

use std::io::Write;

use clap::{Args, Command};
use clap_complete::Shell;

use super::{CommandError, arguments};

/// The arguments of `portcullis completions`.
#[derive(Debug, Args)]
pub struct CompletionsArguments {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// The arguments of `portcullis man`.
#[derive(Debug, Args)]
pub struct ManArguments {
    /// The command; without it, the page is that of all of them
    #[arg(value_name = "COMMAND")]
    pub command: Option<String>,
}

/// Writes a script for the shell to `output`.
///
/// # Errors
///
/// [`CommandError::Output`] when it does not take it.
pub fn completions(
    arguments: &CompletionsArguments,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    let mut script = Vec::new();
    let mut command = arguments::definition();
    clap_complete::generate(arguments.shell, &mut command, "portcullis", &mut script);
    output.write_all(&script).map_err(CommandError::Output)
}

/// Writes a page for `man` to `output`.
///
/// # Errors
///
/// [`CommandError::NoCommand`] when there is no such command, [`CommandError::Output`] when `output`
/// does not take it.
pub fn man(arguments: &ManArguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let mut all = arguments::definition();
    all.build();
    let page = match &arguments.command {
        None => all,
        Some(name) => {
            let command = all.find_subcommand(name).cloned();
            let command = command.ok_or_else(|| CommandError::NoCommand { name: name.clone() })?;
            named(command, name)
        }
    };
    let page = clap_mangen::Man::new(page);
    page.render(output).map_err(CommandError::Output)
}

/// A page is called `portcullis-revoke`, and its command `portcullis revoke`.
fn named(command: Command, name: &str) -> Command {
    command
        .display_name(format!("portcullis-{name}"))
        .bin_name(format!("portcullis {name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_shell_has_a_script_that_knows_every_command() {
        let commands = arguments::definition();
        for shell in [
            Shell::Bash,
            Shell::Elvish,
            Shell::Fish,
            Shell::PowerShell,
            Shell::Zsh,
        ] {
            let mut script = Vec::new();
            completions(&CompletionsArguments { shell }, &mut script).unwrap();
            let script = String::from_utf8(script).unwrap();
            for command in commands.get_subcommands() {
                assert!(script.contains(command.get_name()), "{shell}: {command}");
            }
        }
    }

    #[test]
    fn every_command_has_a_page() {
        let page = |command: Option<&str>| {
            let mut page = Vec::new();
            let command = command.map(str::to_owned);
            man(&ManArguments { command }, &mut page).map(|()| String::from_utf8(page).unwrap())
        };
        let whole = page(None).unwrap();
        for command in arguments::definition().get_subcommands() {
            let name = command.get_name();
            assert!(
                whole.contains(&format!("portcullis\\-{name}")),
                "{name}: {whole}"
            );
            let own = page(Some(name)).unwrap();
            assert!(own.starts_with(".ie"), "{own}");
            assert!(own.contains(&format!("portcullis {name}")), "{own}");
        }
        assert!(matches!(
            page(Some("nothing")),
            Err(CommandError::NoCommand { .. })
        ));
    }
}
