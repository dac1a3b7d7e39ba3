//! The commands that the documents show.

use std::process::Command;

use super::root;
use super::support::documents::{Scene, Trial, documents};
use super::support::{Authority, program};

#[test]
fn every_block_has_a_language_and_every_shell_block_a_trial() {
    let mut faults = Vec::new();
    let (mut run, mut left) = (0, 0);
    for document in documents() {
        for block in document.blocks() {
            let location = format!("{}:{}", document.name, block.line);
            match block.language.as_str() {
                "" => faults.push(format!("{location}: no language")),
                "bash" | "console" | "shell" => faults.push(format!("{location}: expected `sh`")),
                "sh" => match block.trial() {
                    Ok(Trial::Run) => run += 1,
                    Ok(Trial::Left(reason)) => left += usize::from(!reason.is_empty()),
                    Err(fault) => faults.push(format!("{location}: {fault}")),
                },
                _ => {}
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(run >= 8 && left >= 2, "{run} are run, {left} are not");
}

/// What is left to CI has to be there at least.
#[test]
fn every_verb_of_the_build_script_that_the_documents_name_is_one() {
    let script = root().join("build.sh");
    let help = Command::new(script).arg("help").output().unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    for document in documents() {
        for behind in document.text.split("./build.sh ").skip(1) {
            let is_letter = |letter: char| letter.is_ascii_alphanumeric();
            let verb = behind.split(|letter| !is_letter(letter)).next().unwrap();
            let is_verb = help
                .lines()
                .any(|line| line.split_whitespace().next() == Some(verb));
            assert!(is_verb || verb.is_empty(), "{}: {verb}", document.name);
        }
    }
}

/// Without a gate: what `curl` gets is looked at in the tests with a real Envoy.
#[test]
fn the_shell_blocks_of_the_documents_run() {
    let mut faults = Vec::new();
    for document in documents() {
        let authority = Authority::start();
        let scene = Scene {
            program: &program(),
            authority: &format!("http://{}", authority.address()),
            credential: authority.admin_credential(),
            gate: None,
            signals: None,
        };
        faults.extend(scene.run(&document));
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

/// Those in the first column of a table.
#[test]
fn the_commands_in_tables_of_the_documents_run() {
    let authority = Authority::start();
    let mut count = 0;
    for document in documents() {
        for line in document.text.lines().filter(|line| line.starts_with("| ")) {
            let Some(command) = line.split('`').nth(1) else {
                continue;
            };
            // Others are only names.
            if !command.starts_with("portcullis ") || !command.contains(" --") {
                continue;
            }
            let arguments: Vec<_> = command.split(' ').skip(1).collect();
            let output = authority.start_command(&arguments).output().unwrap();
            assert!(output.status.success(), "{command}: {output:?}");
            count += 1;
        }
    }
    assert!(count >= 6, "one for each kind: {count}");
}
