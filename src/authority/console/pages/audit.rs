//! Who has done what.
//!
//! Two lists, since two things are kept: the histories of entries, which are in the store until their entries
//! are dropped, and tell of every change, however it was made; and what the console has been used for since the start,
//! which is in memory here and in the log.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::diary::{Line, Ring};
use super::super::form::Asked;
use super::super::{Console, Operator};
use super::{Failed, Page, ROWS, Section, entries, href, more, name, nothing, optional, time};
use crate::authority::Authority;
use crate::authority::http::Problem;
use crate::authority::http::revocations::{self, EntryAnswer, EventAnswer, ListQuery};

pub(in super::super) const PATH: &str = "/console/audit";

/// The page.
pub(in super::super) async fn show(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["cursor", "before", "refused_before"])?;
    let kept = |ring: Ring, field: &str| {
        let before = asked.given(field).map(|before| {
            let parsed = before.parse();
            parsed.map_err(|_| Problem::invalid(format!("`{field}`: expected a number")))
        });
        let found = console.diary.latest(ring, before.transpose()?, ROWS);
        let next = found
            .next
            .map(|before| href(PATH, &[(field, Some(&*before.to_string()))]));
        Ok::<_, Problem>((found.lines, next))
    };
    let (deeds, more_deeds) = kept(Ring::Deeds, "before")?;
    let (refusals, more_refusals) = kept(Ring::Refusals, "refused_before")?;
    let query = ListQuery {
        include_restored: true,
        cursor: asked.given("cursor").map(str::to_owned),
        limit: Some(ROWS),
        ..ListQuery::default()
    };
    let found = revocations::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    let next = found
        .next_cursor
        .map(|cursor| href(PATH, &[("cursor", Some(&cursor))]));
    let body = html! {
        h1 { "Audit log" }
        section {
            h2 { "Revoked and restored" }
            p.lead { "From the histories of entries, by the entry that was changed last. A history ends when its \
                      entry is dropped, which is when every token that it names has expired." }
            (events(&found.entries))
            (more(next))
        }
        section {
            h2 { "In this console" }
            p.lead { "Since this authority was started. Its log has the same lines, and keeps them longer." }
            (lines(&deeds))
            (more(more_deeds))
        }
        section {
            h2 { "Refused sign-ins" }
            (lines(&refusals))
            (more(more_refusals))
        }
    };
    Ok(Page::of(&operator, Section::Audit, "Audit log", &body))
}

/// Every event of these entries, newest first.
fn events(found: &[EntryAnswer]) -> Markup {
    let mut events: Vec<(&EventAnswer, &EntryAnswer)> = found
        .iter()
        .flat_map(|entry| entry.history.iter().map(move |event| (event, entry)))
        .collect();
    // Written alike, so that their order is that of time.
    events.sort_by(|(one, _), (other, _)| other.time.cmp(&one.time));
    if events.is_empty() {
        return nothing("Nothing was ever revoked here.");
    }
    html! {
        table {
            thead { tr { th scope="col" { "Time" } th scope="col" { "By" } th scope="col" { "What" }
                th scope="col" { "Name" } th scope="col" { "Reason" } } }
            tbody { @for (event, entry) in events { tr {
                td data-label="Time" { (time(&event.time)) }
                td data-label="By" { (name(&event.actor)) }
                td data-label="What" { (entries::deed(event.action)) }
                th scope="row" data-label="Name" {
                    span.faint { (entries::words(entry.kind)) } " "
                    a href=(entries::address(&entry.id)) { (entries::target(entry)) }
                }
                td data-label="Reason" { (entries::reason(&event.reason)) }
            } } }
        }
    }
}

fn lines(lines: &[Line]) -> Markup {
    if lines.is_empty() {
        return nothing("Nothing yet.");
    }
    html! {
        table {
            thead { tr { th scope="col" { "Time" } th scope="col" { "By" } th scope="col" { "What" }
                th scope="col" { "From" } } }
            tbody { @for line in lines { tr {
                td data-label="Time" { (time(&written(line.at))) }
                td data-label="By" { (optional(line.who.as_deref())) }
                td data-label="What" {
                    @match &line.entry {
                        Some(entry) => {
                            (line.deed.text()) " "
                            a href=(entries::address(entry)) { "an entry" }
                        },
                        None => (line.deed.text()),
                    }
                }
                td data-label="From" { (optional(line.address.map(|it| it.to_string()).as_deref())) }
            } } }
        }
    }
}

fn written(milliseconds: u64) -> String {
    let time = UNIX_EPOCH + Duration::from_millis(milliseconds);
    humantime::format_rfc3339_seconds(time).to_string()
}
