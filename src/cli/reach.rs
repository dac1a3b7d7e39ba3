//! Waiting until edges have what was done, for the commands that revoke and restore.

use std::io::Write;
use std::time::Duration;

use clap::Args;

use super::CommandError;
use super::bounds::{BoundError, duration};
use super::edges::{line, shown};
use crate::authority::http::{EdgeWait, MAX_EDGE_WAIT, ReachAnswer, UnknownEdges};

/// Whether to wait for edges.
#[derive(Debug, Args)]
#[group(skip)]
pub struct Arguments {
    /// Wait until every edge that was seen in the last minute has it, for so long at most, 0s to 30s;
    /// exits with 11 if not all have it by then: it is done all the same
    #[arg(
        long,
        value_name = "DURATION",
        num_args = 0..=1,
        require_equals = true,
        default_missing_value = "2s",
        value_parser = wait
    )]
    pub wait: Option<Duration>,
}

impl Arguments {
    /// As a request has it.
    pub(super) fn wait(&self) -> Option<EdgeWait> {
        self.wait.map(EdgeWait::of)
    }
}

fn wait(text: &str) -> Result<Duration, BoundError> {
    duration(text, Duration::ZERO..=MAX_EDGE_WAIT)
}

/// Says how far it has come, if that was asked for.
///
/// # Errors
///
/// [`CommandError::NotEverywhere`] when there may be edges that lack it.
pub(super) fn print(
    reach: Option<&ReachAnswer>,
    output: &mut dyn Write,
) -> Result<(), CommandError> {
    for line in reach.map(lines).into_iter().flatten() {
        writeln!(output, "{line}").map_err(CommandError::Output)?;
    }
    expect_whole(reach)
}

/// The same without a word.
///
/// # Errors
///
/// [`CommandError::NotEverywhere`].
pub(super) fn expect_whole(reach: Option<&ReachAnswer>) -> Result<(), CommandError> {
    if reach.is_none_or(|reach| reach.complete) {
        Ok(())
    } else {
        Err(CommandError::NotEverywhere)
    }
}

fn lines(reach: &ReachAnswer) -> Vec<String> {
    let ReachAnswer { seen, having, .. } = reach;
    let after = shown(reach.waited_milliseconds);
    if reach.complete {
        return vec![match seen {
            0 => "no edge was seen in the last minute".to_owned(),
            1 => format!("the one edge has it, after {after}"),
            _ => format!("all {seen} edges have it, after {after}"),
        }];
    }
    let mut lines = vec![format!(
        "on the authority's disk, but not everywhere: {having} of {seen} edges have it after \
         {after}; others have it when they poll again"
    )];
    lines.extend(reach.unknown.map(|unknown| match unknown {
        UnknownEdges::JustStarted => {
            "the authority has just been started: some edges may not have come back yet".to_owned()
        }
        UnknownEdges::TooMany => "there are more edges than the authority can watch".to_owned(),
    }));
    lines.extend(reach.lacking.iter().map(line));
    let unnamed = seen.saturating_sub(*having);
    let unnamed = unnamed.saturating_sub(reach.lacking.len());
    if unnamed > 0 {
        lines.push(format!("and {unnamed} more"));
    }
    lines
}
