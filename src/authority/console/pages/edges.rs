//! The edges, and how far each has come.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::{Failed, Page, Section, count, name, nothing, optional, time};
use crate::authority::Authority;
use crate::authority::http::edges::{self, EdgeAnswer, EdgesAnswer, EdgesQuery};

pub(in super::super) const PATH: &str = "/console/edges";

/// More than that are counted, not listed.
const MOST: usize = 500;

/// The page.
pub(in super::super) async fn list(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
) -> Result<Page, Failed> {
    let query = Ok(Query(EdgesQuery { limit: Some(MOST) }));
    let edges = edges::list(State(authority), query).await?.0;
    let body = html! {
        h1 { "Edges" }
        p.lead {
            (edges.seen) " seen in the last minute, " (edges.behind) " of them behind. The feed is at change "
            (count(edges.sequence)) " of epoch " (edges.epoch) "."
        }
        (table(&edges))
        @if edges.more > 0 { p.faint { (edges.more) " more are not shown." } }
    };
    Ok(Page::of(&operator, Section::Edges, "Edges", &body))
}

/// Those that lack most come first.
pub(super) fn table(edges: &EdgesAnswer) -> Markup {
    if edges.edges.is_empty() {
        return nothing("No edge has polled in the last quarter of an hour.");
    }
    html! {
        table {
            thead { tr {
                th scope="col" { "Edge" } th scope="col" { "State" } th scope="col" { "Version" }
                th.number scope="col" { "Change" } th scope="col" { "Lag" } th scope="col" { "Address" }
                th scope="col" { "Credential" } th scope="col" { "Last seen" } th scope="col" { "Since" }
            } }
            tbody { @for edge in &edges.edges { (row(edge)) } }
        }
    }
}

fn row(edge: &EdgeAnswer) -> Markup {
    let called = edge.instance.as_deref().or(edge.process.as_deref());
    html! {
        tr {
            th scope="row" data-label="Edge" { (optional(called)) }
            td data-label="State" { (state(edge)) }
            td data-label="Version" { (optional(edge.version.as_deref())) }
            td.number data-label="Change" { @match edge.sequence {
                Some(sequence) => (count(sequence)),
                None => span.faint { "–" },
            } }
            td data-label="Lag" { (lag(edge)) }
            td data-label="Address" { (name(&edge.address)) }
            td data-label="Credential" { (name(&edge.credential)) }
            td data-label="Last seen" { (time(&edge.last_seen)) }
            td data-label="Since" { (time(&edge.since)) }
        }
    }
}

fn state(edge: &EdgeAnswer) -> Markup {
    let is_level = edge.behind == Some(0);
    html! {
        @if is_level && edge.polling { span.state.good { "in step" } }
        @else if is_level { span.state { "silent" } }
        @else { span.state.bad { "behind" } }
    }
}

fn lag(edge: &EdgeAnswer) -> Markup {
    match edge.behind {
        Some(0) => html! { span.faint { "none" } },
        Some(behind) => html! {
            (count(behind)) " changes, " (edge.behind_for_milliseconds / 1_000) " s"
        },
        None => html! { "has nothing of this epoch" },
    }
}
