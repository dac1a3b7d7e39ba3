//! The documents, checked against what they describe: commands, configurations, tables, links,
//! figures, words.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod applications;
mod database;
mod examples;
mod figures;
mod links;
mod metrics;
mod needs;
mod rotation;
mod schema;
mod secrets;
mod service;
mod shell_blocks;
#[path = "../support/mod.rs"]
mod support;
mod tables;
mod watching;
mod words;

use std::fs;

use support::documents::{Document, documents, files, root};

/// One document.
fn document(name: &str) -> String {
    fs::read_to_string(root().join(name)).unwrap()
}

/// The cells of a table's rows, from below this head.
fn rows(text: &str, head: &str) -> Vec<Vec<String>> {
    let (_, below) = text.split_once(head).unwrap();
    let lines = below
        .lines()
        .skip(1)
        .skip_while(|line| line.starts_with("|--"));
    let rows = lines.take_while(|line| line.starts_with('|'));
    let cells = |row: &str| {
        let row = row.trim_matches('|');
        row.split(" | ")
            .map(|cell| cell.trim().to_owned())
            .collect()
    };
    rows.map(cells).collect()
}
