//! The first page: how things are.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::super::chart::Chart;
use super::super::samples::Sample;
use super::super::{Console, Operator};
use super::{Failed, Page, Section, count};
use crate::authority::http::edges::{EdgesAnswer, EdgesQuery};
use crate::authority::http::operations::Stats;
use crate::authority::http::{edges, operations};
use crate::authority::sessions::{Counts, Sessions};
use crate::authority::{Authority, clock};

pub(in super::super) const LIVE_PATH: &str = "/console/live";

/// Edges on this page; the others are on theirs.
const EDGES: usize = 8;

/// The page.
pub(in super::super) async fn show(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
) -> Result<Page, Failed> {
    let live = numbers(&authority, &console).await?;
    let body = html! {
        h1 { "Overview" }
        // What the script puts new numbers into. Without it, the page shows those of when it was loaded.
        div #live data-source=(LIVE_PATH) { (live) }
    };
    Ok(Page::of(&operator, Section::Overview, "Overview", &body))
}

/// The part of it that changes.
pub(in super::super) async fn live(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
) -> Result<Page, Failed> {
    Ok(Page {
        status: axum::http::StatusCode::OK,
        markup: numbers(&authority, &console).await?,
    })
}

async fn numbers(authority: &Arc<Authority>, console: &Console) -> Result<Markup, Failed> {
    let stats = operations::stats(State(Arc::clone(authority))).await.0;
    let query = EdgesQuery { limit: Some(EDGES) };
    let query = Ok(axum::extract::Query(query));
    let edges = edges::list(State(Arc::clone(authority)), query).await?.0;
    let sessions = Sessions::counts(&authority.sessions, clock::now()).await;
    Ok(html! {
        (warnings(&stats, &edges))
        (figures(&stats, &edges, sessions.as_ref()))
        section.charts aria-label="The last hour" {
            @for chart in charts(&console.samples.all()) { (chart.draw()) }
        }
        section {
            h2 { "Edges" }
            (super::edges::table(&edges))
            @if edges.more > 0 { p.more { a.button href=(super::edges::PATH) { "All edges" } } }
        }
    })
}

fn warnings(stats: &Stats, edges: &EdgesAnswer) -> Markup {
    html! {
        @if !stats.store_writable {
            p.banner.bad role="alert" { "The store cannot be written to: nothing can be revoked or restored." }
        }
        @if edges.behind > 0 {
            p.banner.bad role="alert" {
                (edges.behind) " of " (edges.seen) " edges lack changes: what was revoked last may pass there."
            }
        }
        @if edges.seen == 0 {
            p.banner { "No edge has polled in the last minute." }
        }
    }
}

fn figures(stats: &Stats, edges: &EdgesAnswer, sessions: Option<&Counts>) -> Markup {
    let figure = |title: &str, value: &str, detail: &str| {
        html! { div.figure { dt { (title) } dd { (value) } dd.faint { (detail) } } }
    };
    let (active, active_detail) = match sessions {
        Some(counts) => (
            count(counts.active_sessions[0]),
            format!(
                "in 5 minutes; {} in a day",
                count(counts.active_sessions[2])
            ),
        ),
        None => ("–".to_owned(), "the registry is not available".to_owned()),
    };
    html! {
        dl.figures {
            (figure("Revoked", &count(stats.entries), "tokens, sessions and devices"))
            (figure("Cut-offs", &count(stats.cut_offs), "subjects, clients, issuers, claims"))
            (figure("Sessions in use", &active, &active_detail))
            (figure("Edges", &count(edges.seen as u64), &match edges.behind {
                0 => "all have every change".to_owned(),
                behind => format!("{behind} behind"),
            }))
            (figure("Changes", &count(stats.sequence), "in the feed so far"))
        }
    }
}

fn charts(samples: &[Sample]) -> [Chart; 4] {
    let values = |of: fn(&Sample) -> Option<f64>| samples.iter().map(of).collect();
    [
        Chart {
            title: "Sessions in use",
            unit: "",
            values: values(|sample| sample.active_sessions),
            empty: "The registry of sessions was not available",
        },
        Chart {
            title: "Refused by an exact check",
            unit: " a minute",
            values: values(|sample| sample.refusals),
            empty: "No sample yet",
        },
        Chart {
            title: "Revocations and restorations",
            unit: " a minute",
            values: values(|sample| sample.changes),
            empty: "No sample yet",
        },
        Chart {
            title: "Until every edge has a change",
            unit: " ms",
            values: values(|sample| sample.propagation),
            empty: "Nothing has changed in the last hour, or no edge was there",
        },
    ]
}
