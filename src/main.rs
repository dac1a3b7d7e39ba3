//! The native binary: parse the arguments, run the command, turn the outcome into an exit code.
//!
//! The exit codes are listed in [`EXIT_CODES`](portcullis::cli::EXIT_CODES). What was asked for goes
//! to standard output, everything else to standard error.

use std::io::{self, Write};
use std::process::ExitCode;

use portcullis::authority::chain_of;
use portcullis::cli::{self, CommandError, arguments};

fn main() -> ExitCode {
    let command_line = arguments::read(std::env::args_os()).unwrap_or_else(|error| error.exit());
    match cli::run(command_line, &mut io::stdout()) {
        Ok(()) => ExitCode::SUCCESS,
        // The answer is on standard output already.
        Err(error @ (CommandError::Negative | CommandError::NotEverywhere)) => {
            ExitCode::from(error.exit_code())
        }
        Err(error) => {
            // When even standard error is closed, the exit code is all that is left to say.
            let _ = writeln!(io::stderr(), "{}", report(&error));
            ExitCode::from(error.exit_code())
        }
    }
}

/// The error with its causes on one line, and after a blank line what to do about it.
fn report(error: &CommandError) -> String {
    let mut report = format!("error: {}", chain_of(error));
    if let Some(hint) = error.hint() {
        report.push_str("\n\nhint: ");
        report.push_str(hint);
    }
    report
}
