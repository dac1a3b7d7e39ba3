//! The documents of the repository, and the shell blocks in them: what a reader pastes has to run
//! unchanged.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "only tests have need of it"
)]

#[path = "documents/scene.rs"]
mod scene;

use std::fs;
use std::path::{Path, PathBuf};

pub(crate) use scene::Scene;

/// A Markdown file.
pub(crate) struct Document {
    /// Its path in the repository.
    pub(crate) name: String,
    pub(crate) text: String,
}

/// A fenced code block.
pub(crate) struct Block {
    /// The line of its first fence.
    pub(crate) line: usize,
    pub(crate) language: String,
    pub(crate) text: String,
    /// The block of text right below it: what a shell block answers.
    pub(crate) answer: Option<String>,
}

/// What the tests do with a block.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trial {
    /// It is run.
    Run,
    /// It is not run, for this reason.
    Left(&'static str),
}

/// What a command of a shell block begins with, and whether it is run. The first one that fits
/// counts, and a command that none fits is not known here.
const COMMANDS: &[(&str, Trial)] = &[
    (
        "portcullis keygen --algorithm RS256",
        Trial::Left("the scene has such a key, and a key is never written over"),
    ),
    ("portcullis", Trial::Run),
    ("target/debug/portcullis", Trial::Run),
    (
        "curl -i --resolve",
        Trial::Left("needs a gateway in a cluster"),
    ),
    ("curl", Trial::Run),
    ("openssl x509 -req", Trial::Run),
    (
        "openssl x509",
        Trial::Left("the test of bound tokens runs it, with a certificate of its own"),
    ),
    ("openssl req", Trial::Run),
    ("openssl verify", Trial::Run),
    ("openssl rand", Trial::Run),
    (
        "openssl s_client",
        Trial::Left("the test of TLS runs it, against an authority"),
    ),
    (
        "export PORTCULLIS_AUTHORITY",
        Trial::Left("the scene has its own; the test of TLS runs it"),
    ),
    (
        "export PORTCULLIS_CREDENTIAL_FILE",
        Trial::Left("the scene has its own; the test of TLS runs it"),
    ),
    (
        "systemctl",
        Trial::Left("changes the machine; the test of the unit looks at what it runs"),
    ),
    ("journalctl", Trial::Left("reads the machine's journal")),
    ("install", Trial::Left("changes the machine")),
    ("useradd", Trial::Left("changes the machine")),
    ("sed -i", Trial::Run),
    ("umask", Trial::Run),
    ("sleep", Trial::Run),
    // The scene has one that prints an Envoy file.
    ("helm template", Trial::Run),
    (
        "./build.sh",
        Trial::Left("builds the module for minutes; CI runs the verbs themselves"),
    ),
    ("cargo", Trial::Left("measures for minutes to hours")),
    (
        "docker",
        Trial::Left("pulls images and runs containers; .ci/images runs those of the demo"),
    ),
    ("cosign", Trial::Left("signs with a key of the reader's")),
    (
        "export",
        Trial::Left("the scene has set what the commands after it read"),
    ),
    (
        "kubectl",
        Trial::Left("needs a cluster; CI builds and checks the manifests without one"),
    ),
    (
        "bash -c 'source build.sh",
        Trial::Left("works on a module that was built only to be measured"),
    ),
];

/// Where documents are looked for: the files of these, and of what is in them.
const DIRECTORIES: [&str; 3] = [".github", "envoy", "tests"];

/// Every document of the repository.
pub(crate) fn documents() -> Vec<Document> {
    let mut paths = entries(root());
    paths.retain(|path| is_one(path, "md"));
    paths.extend(DIRECTORIES.iter().flat_map(|name| files(name, "md")));
    paths.sort();
    paths.iter().map(|path| Document::at(path)).collect()
}

pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The files below a directory of the repository whose names end so.
pub(crate) fn files(directory: &str, extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut directories = vec![root().join(directory)];
    while let Some(directory) = directories.pop() {
        for path in entries(&directory) {
            if path.is_dir() {
                directories.push(path);
            } else if is_one(&path, extension) {
                found.push(path);
            }
        }
    }
    found
}

fn entries(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().path()).collect()
}

fn is_one(path: &Path, extension: &str) -> bool {
    path.extension().is_some_and(|found| found == extension)
}

impl Document {
    pub(crate) fn at(path: &Path) -> Self {
        Self {
            name: path.strip_prefix(root()).unwrap().display().to_string(),
            text: fs::read_to_string(path).unwrap(),
        }
    }

    pub(crate) fn blocks(&self) -> Vec<Block> {
        let mut blocks: Vec<Block> = Vec::new();
        let mut lines = self.text.lines().enumerate();
        let mut is_right_below = false;
        while let Some((index, line)) = lines.next() {
            let Some(language) = line.trim_start().strip_prefix("```") else {
                is_right_below &= line.is_empty();
                continue;
            };
            let inside = lines
                .by_ref()
                .map(|(_, line)| line)
                .take_while(|line| line.trim() != "```");
            let text: String = inside.flat_map(|line| [line, "\n"]).collect();
            match blocks.last_mut() {
                Some(shell) if is_right_below && shell.language == "sh" && language == "text" => {
                    shell.answer = Some(text.clone());
                }
                _ => {}
            }
            blocks.push(Block {
                line: index + 1,
                language: language.to_owned(),
                text,
                answer: None,
            });
            is_right_below = true;
        }
        blocks
    }

    /// The shell blocks.
    pub(crate) fn shell_blocks(&self) -> Vec<Block> {
        let mut blocks = self.blocks();
        blocks.retain(|block| block.language == "sh");
        blocks
    }
}

impl Block {
    /// Whether it is run, and if not, why; an error says what is not known of it.
    pub(crate) fn trial(&self) -> Result<Trial, String> {
        let mut trials = Vec::new();
        for command in self.commands() {
            let known = COMMANDS
                .iter()
                .find(|(start, _)| command.starts_with(start));
            let (_, trial) = known.ok_or(format!("neither run nor listed: {command}"))?;
            trials.push(*trial);
        }
        let is_run = |trial: &Trial| *trial == Trial::Run;
        if trials.iter().any(is_run) != trials.iter().all(is_run) {
            return Err("some of it can be run and some cannot; make it two blocks".to_owned());
        }
        trials.first().copied().ok_or("no command".to_owned())
    }

    /// Its commands, each from the program's name on, without comments.
    pub(crate) fn commands(&self) -> Vec<String> {
        let mut commands = vec![String::new()];
        let mut quote = None;
        let mut letters = self.text.chars().peekable();
        while let Some(letter) = letters.next() {
            let command = commands.last_mut().unwrap();
            match (letter, quote) {
                ('\\', None) if letters.next_if_eq(&'\n').is_some() => command.push(' '),
                ('\n', None) => commands.push(String::new()),
                ('#', None) if command.is_empty() || command.ends_with(' ') => {
                    while letters.next_if(|letter| *letter != '\n').is_some() {}
                }
                ('\'' | '"', None) => {
                    quote = Some(letter);
                    command.push(letter);
                }
                _ => {
                    quote = quote.filter(|quote| *quote != letter);
                    command.push(letter);
                }
            }
        }
        let commands = commands.iter().map(|command| program_onwards(command));
        commands.filter(|command| !command.is_empty()).collect()
    }
}

/// A command without the variables that are set before it, or around it.
fn program_onwards(command: &str) -> String {
    let mut rest = command.trim();
    while let Some((name, value)) = rest.split_once('=') {
        if name.is_empty()
            || !name
                .chars()
                .all(|letter| letter.is_ascii_uppercase() || letter == '_')
        {
            break;
        }
        rest = match value.strip_prefix("$(") {
            Some(inner) => inner,
            None => value.split_once(' ').map_or("", |(_, rest)| rest),
        }
        .trim_start();
    }
    rest.split_whitespace().collect::<Vec<_>>().join(" ")
}
