//! Words that the glossary has retired.

use super::{Document, document, documents, files};

/// The document with the list of the words.
const GLOSSARY: &str = ".github/CONTRIBUTING.md";

struct Retired {
    words: Vec<String>,
    is_gone_from_code: bool,
}

fn retired() -> Vec<Retired> {
    let rows = super::rows(&document(GLOSSARY), "| retired | say | where |");
    let read = |row: &Vec<String>| Retired {
        words: row[0]
            .split('`')
            .skip(1)
            .step_by(2)
            .map(str::to_owned)
            .collect(),
        is_gone_from_code: match row[2].as_str() {
            "everywhere" => true,
            "documents" => false,
            other => panic!("{other}"),
        },
    };
    rows.iter().map(read).collect()
}

/// Whether a line has the word, by itself, in any case.
fn has(line: &str, word: &str) -> bool {
    let is_part = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let line = line.to_lowercase();
    line.match_indices(word).any(|(begin, _)| {
        let (before, after) = (&line[..begin], &line[begin + word.len()..]);
        !is_part(before.chars().next_back()) && !is_part(after.chars().next())
    })
}

#[test]
fn retired_words_are_gone() {
    let retired = retired();
    assert!(retired.len() >= 8);
    let mut texts = documents();
    for text in &mut texts {
        if text.name == GLOSSARY {
            let (before, _) = text.text.split_once("### Retired words").unwrap();
            text.text = before.to_owned();
        }
    }
    for (directory, extension) in [("src", "rs"), ("envoy", "yaml"), ("envoy", "py")] {
        let files = files(directory, extension);
        texts.extend(files.iter().map(|path| Document::at(path)));
    }
    let mut faults = Vec::new();
    for text in &texts {
        let is_code = text.name.starts_with("src/");
        for (number, line) in text.text.lines().enumerate() {
            let in_force = retired.iter().filter(|it| it.is_gone_from_code || !is_code);
            for word in in_force.flat_map(|it| &it.words) {
                if has(line, word) {
                    faults.push(format!("{}:{}: {word}", text.name, number + 1));
                }
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_word_is_found_by_itself() {
    assert!(has("Whoever asks", "whoever") && has("a `purge`", "purge"));
    assert!(!has("forgets", "forget") && !has("endear", "dear"));
}
