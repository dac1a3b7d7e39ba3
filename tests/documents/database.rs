//! The page on the store in PostgreSQL: what it quotes of the log and of answers is what the program says.

use std::collections::BTreeSet;

use portcullis::gate::Reason;
use regex_lite::Regex;

use super::{Document, document, files};

const PAGE: &str = "envoy/database.md";

/// What it says between backticks, outside of blocks.
fn spans() -> BTreeSet<String> {
    let text = document(PAGE);
    let outside = text.split("```").step_by(2);
    let lines = outside.flat_map(str::lines);
    let spans = lines.flat_map(|line| line.split('`').skip(1).step_by(2));
    spans.map(str::to_owned).collect()
}

/// The program's sources, without comments and tests, and with each text in one line.
fn sources() -> Vec<String> {
    let continued = Regex::new(r"\\\n\s*").unwrap();
    let mut paths = files("src", "rs");
    paths.retain(|path| !Document::at(path).name.contains("test"));
    let without_comments = |text: String| -> String {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with("//"));
        lines.flat_map(|line| [line, "\n"]).collect()
    };
    let texts = paths
        .iter()
        .map(|path| without_comments(Document::at(path).text));
    texts
        .map(|text| continued.replace_all(&text, "").into_owned())
        .collect()
}

/// `…` stands for what differs each time.
fn is_in_a_text(message: &str, sources: &[String]) -> bool {
    let other = Regex::new(r"[^a-z ]").unwrap();
    let parts: Vec<_> = message.split('…').collect();
    assert!(!parts.iter().any(|part| other.is_match(part)));
    let pattern = Regex::new(&format!("\"[^\"]*{}", parts.join("[^\"]*"))).unwrap();
    sources.iter().any(|source| pattern.is_match(source))
}

/// Whatever is of three words and more, and of small letters alone, is a line of the log or of `/readyz`.
#[test]
fn the_program_says_the_lines_that_the_page_on_the_database_quotes() {
    let is_line = Regex::new(r"^[a-z]+(?: [a-z]+| …){2,}$").unwrap();
    let mut lines = spans();
    lines.retain(|span| is_line.is_match(span));
    assert!(lines.len() >= 9, "{lines:?}");
    let sources = sources();
    for line in &lines {
        assert!(is_in_a_text(line, &sources), "{line}");
    }
    assert!(!is_in_a_text(
        "the database was reached for as long as the lease",
        &sources
    ));
}

/// "503 (`code`)", "409 `code`".
#[test]
fn the_codes_that_the_page_on_the_database_quotes_come_with_their_status() {
    let problems = document("src/authority/http/problem.rs");
    let given = Regex::new(r#"StatusCode::([A-Z_]+),\s*"([a-z_]+)""#).unwrap();
    let mut codes: BTreeSet<(u16, String)> = given
        .captures_iter(&problems)
        .filter_map(|found| {
            let status = match &found[1] {
                "CONFLICT" => 409,
                "SERVICE_UNAVAILABLE" => 503,
                _ => return None,
            };
            Some((status, found[2].to_owned()))
        })
        .collect();
    assert!(codes.len() >= 10, "{codes:?}");
    let of_the_gate = Reason::ALL.into_iter().map(Reason::problem);
    codes.extend(of_the_gate.map(|problem| (problem.status, problem.code.to_owned())));
    let quoted = Regex::new(r"\b([45][0-9]{2}) \(?`([a-z_]+)`").unwrap();
    let text = document(PAGE);
    let mut count = 0;
    for found in quoted.captures_iter(&text) {
        let code = (found[1].parse().unwrap(), found[2].to_owned());
        assert!(codes.contains(&code), "{code:?}");
        count += 1;
    }
    assert!(count >= 6, "{count}");
}
