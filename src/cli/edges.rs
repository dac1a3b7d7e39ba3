//! `portcullis edges`: which edges follow the authority, and how far each has come.

use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::time::Duration;

use clap::Args;

use super::authority_client::{self, Client};
use super::printable::printable;
use super::{CommandError, print_element};
use crate::authority::http::{EdgeAnswer, EdgesAnswer};

/// The arguments of `portcullis edges`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// How many at most, 1 to 10000
    #[arg(long, value_name = "COUNT", default_value = "100")]
    pub limit: NonZeroUsize,
    #[command(flatten)]
    #[expect(missing_docs, reason = "clap would take it for the command's own")]
    pub authority: authority_client::Arguments,
}

/// Prints the edges that have polled in the last quarter of an hour, the slowest first: one line each, or
/// as JSON one object each.
///
/// # Errors
///
/// [`CommandError::Client`].
pub fn run(arguments: &Arguments, output: &mut dyn Write) -> Result<(), CommandError> {
    let client = Client::new(&arguments.authority)?;
    let answer: EdgesAnswer = client.get(&format!("/v1/edges?limit={}", arguments.limit))?;
    for edge in &answer.edges {
        let line = |edge: &EdgeAnswer| format!("{}\n", line(edge));
        print_element(output, arguments.authority.json, edge, line)?;
    }
    // Beside the output, which programs read.
    if let Some(left_out) = left_out(&answer) {
        let _ = writeln!(io::stderr(), "{left_out}");
    }
    Ok(())
}

/// What is said of edges that the answer does not list.
fn left_out(answer: &EdgesAnswer) -> Option<String> {
    let EdgesAnswer { edges, more, .. } = answer;
    let (listed, all) = (edges.len(), edges.len() + more);
    (*more > 0).then(|| {
        format!("{listed} of {all} edges, those that lack most first; --limit {all} shows all")
    })
}

/// Name, address, credential, version, sequence, how many changes it lacks and for how long, generation,
/// when it was last heard, and since when it has followed; `-` where nothing is known.
pub(super) fn line(edge: &EdgeAnswer) -> String {
    let text = |text: Option<&str>| text.map_or_else(|| "-".to_owned(), printable);
    let number = |number: Option<u64>| number.map_or_else(|| "-".to_owned(), |it| it.to_string());
    let behind = match (edge.behind, edge.behind_for_milliseconds) {
        (Some(0), _) => "0".to_owned(),
        (behind, milliseconds) => format!("{} for {}", number(behind), shown(milliseconds)),
    };
    let columns = [
        text(edge.instance.as_deref()),
        printable(&edge.address),
        printable(&edge.credential),
        text(edge.version.as_deref()),
        number(edge.sequence),
        behind,
        number(edge.generation),
        printable(&edge.last_seen),
        printable(&edge.since),
    ];
    columns.join("  ")
}

/// So many milliseconds in whole seconds, where there are some.
pub(super) fn shown(milliseconds: u64) -> String {
    let time = Duration::from_millis(milliseconds);
    let time = if milliseconds < 1_000 {
        time
    } else {
        Duration::from_secs(time.as_secs())
    };
    humantime::format_duration(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_list_leaves_out_is_counted() {
        let mut answer = EdgesAnswer {
            epoch: 1,
            sequence: 7,
            seen: 0,
            behind: 0,
            edges: Vec::new(),
            more: 0,
        };
        assert_eq!(left_out(&answer), None);
        answer.more = 12;
        let told = "0 of 12 edges, those that lack most first; --limit 12 shows all";
        assert_eq!(left_out(&answer).as_deref(), Some(told));
    }

    #[test]
    fn a_line_says_who_an_edge_is_and_what_it_lacks() {
        let mut edge = EdgeAnswer {
            instance: Some("edge\n1".to_owned()),
            process: None,
            address: "10.0.0.1".to_owned(),
            credential: "fleet".to_owned(),
            version: Some("0.1.0".to_owned()),
            sequence: Some(7),
            behind: Some(0),
            behind_for_milliseconds: 0,
            generation: Some(9),
            polling: true,
            last_seen: "then".to_owned(),
            since: "before".to_owned(),
        };
        let first = "edge\\n1  10.0.0.1  fleet  0.1.0  7  ";
        assert_eq!(line(&edge), format!("{first}0  9  then  before"));
        edge.behind = Some(2);
        edge.behind_for_milliseconds = 61_234;
        assert_eq!(line(&edge), format!("{first}2 for 1m 1s  9  then  before"));
        edge = EdgeAnswer {
            instance: None,
            version: None,
            sequence: None,
            behind: None,
            generation: None,
            ..edge
        };
        assert_eq!(
            line(&edge),
            "-  10.0.0.1  fleet  -  -  - for 1m 1s  -  then  before"
        );
    }
}
