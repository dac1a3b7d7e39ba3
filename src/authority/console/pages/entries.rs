//! What is revoked: the list, and one entry with its history.

use std::sync::Arc;
use std::time::Duration;

use axum::Extension;
use axum::extract::{Path, Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{Failed, Page, ROWS, Section, count, href, more, name, nothing, seconds, time};
use crate::authority::Authority;
use crate::authority::http::edges::{ReachAnswer, reached};
use crate::authority::http::revocations::{self, EntryAnswer, EventAnswer, ListQuery, OutcomeName};
use crate::authority::http::{EdgeWait, Problem};
use crate::revocation::Kind;

pub(in super::super) const PATH: &str = "/console/revocations";

pub(in super::super) const ONE: &str = "/console/revocation";

/// The page of an entry.
pub(super) fn address(id: &str) -> String {
    href(ONE, &[("id", Some(id))])
}

/// The list, newest first.
pub(in super::super) async fn list(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["kind", "issuer", "restored", "cursor"])?;
    let kind = asked.given("kind").map(|kind| {
        let unknown = || Problem::invalid("`kind`: expected one that the list offers");
        Kind::from_name(kind).ok_or_else(unknown)
    });
    let query = ListQuery {
        kind: kind.transpose()?,
        issuer: asked.given("issuer").map(str::to_owned),
        include_restored: asked.is_set("restored"),
        cursor: asked.given("cursor").map(str::to_owned),
        limit: Some(ROWS),
        ..ListQuery::default()
    };
    let issuers = super::search::issuers(&authority).await?;
    let found = revocations::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    let next = found.next_cursor.map(|cursor| {
        href(
            PATH,
            &[
                ("kind", asked.given("kind")),
                ("issuer", asked.given("issuer")),
                ("restored", asked.given("restored")),
                ("cursor", Some(&cursor)),
            ],
        )
    });
    let body = html! {
        h1 { "Revocations" }
        form.filter method="get" action=(PATH) {
            div { label for="kind" { "Kind" }
                select #kind name="kind" {
                    option value="" { "all" }
                    @for kind in Kind::ALL {
                        option value=(kind.name()) selected[asked.given("kind") == Some(kind.name())] { (words(kind)) }
                    }
                } }
            (super::search::issuer_field(&issuers, asked.given("issuer")))
            label.tick { input type="checkbox" name="restored" value="yes" checked[asked.is_set("restored")];
                "also restored ones" }
            button.quiet type="submit" { "Show" }
        }
        (table(&found.entries, "Nothing is revoked that this search would find."))
        (more(next))
    };
    Ok(Page::of(
        &operator,
        Section::Revocations,
        "Revocations",
        &body,
    ))
}

/// One entry.
pub(in super::super) async fn one(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["id", "done"])?;
    let entry = by_id(&authority, asked.expect_exact("id")?).await?;
    let wait = Some(EdgeWait::of(Duration::ZERO));
    let reach = reached(&authority, entry.sequence, wait).await;
    let done = asked.given("done").and_then(|done| done_to(&entry, done));
    let is_cut_off_now = done.is_some() && entry.in_force && entry.kind.is_cut_off();
    let body = html! {
        h1 { (words(entry.kind)) " " (target(&entry)) }
        @if let Some(done) = done { p.banner.good role="status" { (done) } }
        @if is_cut_off_now { (super::doubts::of_clocks(&authority)) }
        div.columns {
            section.card {
                h2 { "The entry" }
                (facts(&entry))
                @if operator.may_act() && entry.in_force {
                    p { a.button href=(super::act::restore_address(&entry.id)) { "Restore" } }
                }
            }
            section.card {
                h2 { "Arrival" }
                (arrival(reach.as_ref()))
            }
        }
        section {
            h2 { "History" }
            (history(&entry.history))
        }
    };
    Ok(Page::of(
        &operator,
        Section::Revocations,
        "Revocation",
        &body,
    ))
}

/// What is said after a deed, where the entry is as that has left it: the address says what was done, and anyone
/// can write one, or load it again after another has done something else.
fn done_to(entry: &EntryAnswer, done: &str) -> Option<&'static str> {
    let last = entry.history.last().map(|last| last.action);
    match (done, last, entry.in_force) {
        ("revoked", Some(OutcomeName::Revoked), true) => Some("Revoked. It is on the disk."),
        ("already", _, true) => Some(
            "It was revoked already, and stays so. The history has this request only if it changed something, \
             such as how long the entry is kept.",
        ),
        ("restored", Some(OutcomeName::Restored), false) => Some("Restored. It is on the disk."),
        ("withdrawn", Some(OutcomeName::Withdrawn), true) => {
            Some("Withdrawn. Others have revoked the same, so that it stays revoked.")
        }
        _ => None,
    }
}

/// The entry with this id.
pub(super) async fn by_id(authority: &Arc<Authority>, id: String) -> Result<EntryAnswer, Failed> {
    let found = revocations::entry(State(Arc::clone(authority)), Path(id)).await?;
    Ok(found.0)
}

fn facts(entry: &EntryAnswer) -> Markup {
    html! {
        dl.facts {
            dt { "State" } dd { (state(entry)) }
            dt { "Issuer" } dd { (name(&entry.issuer)) }
            @if let Some(subject) = &entry.subject {
                dt { "Subject" } dd { (super::users::link(&entry.issuer, subject)) }
            } @else if entry.kind == Kind::Subject {
                dt { "Subject" } dd { (super::users::link(&entry.issuer, &entry.value)) }
            }
            @if let Some(not_before) = entry.not_before {
                dt { "Refuses" } dd { "what was issued before " (seconds(not_before)) }
            }
            @if let Some(session) = &entry.except_session {
                dt { "Except" } dd { "session " (name(session)) }
            }
            @if !entry.cause.is_plain() {
                dt { "Cause" } dd { (super::cause(entry.cause)) }
            }
            @if !entry.origins.is_empty() {
                dt { "Origins" }
                dd { @for (index, origin) in entry.origins.iter().enumerate() {
                    @if index > 0 { ", " }
                    @if origin.is_empty() { "others" } @else { (name(origin)) }
                } }
            }
            dt { "Kept until" } dd { (seconds(entry.kept_until)) }
            dt { "Change" } dd { (count(entry.sequence)) }
            dt { "Id" } dd { code { (entry.id) } }
        }
    }
}

fn arrival(reach: Option<&ReachAnswer>) -> Markup {
    let Some(reach) = reach.filter(|reach| reach.seen > 0) else {
        return nothing("No edge was seen in the last minute.");
    };
    html! {
        p.big { (reach.having) " of " (reach.seen) }
        p { "edges that were seen in the last minute have the last change of this entry." }
        @if reach.unknown.is_some() {
            p.faint { "There may be more edges: the authority was just started, or there are too many." }
        }
        @if !reach.lacking.is_empty() {
            p { "Lacking: " @for (index, edge) in reach.lacking.iter().enumerate() {
                @if index > 0 { ", " }
                (name(edge.instance.as_deref().unwrap_or(&edge.address)))
            } }
        }
    }
}

fn history(events: &[EventAnswer]) -> Markup {
    html! {
        table {
            thead { tr { th scope="col" { "Time" } th scope="col" { "What" } th scope="col" { "By" }
                th scope="col" { "Reason" } } }
            tbody { @for event in events.iter().rev() {
                tr {
                    td data-label="Time" { (time(&event.time)) }
                    td data-label="What" { (deed(event.action)) }
                    td data-label="By" { (name(&event.actor)) }
                    td data-label="Reason" { (reason(&event.reason)) }
                }
            } }
        }
    }
}

/// Entries, each with the last that was done to it.
pub(super) fn table(entries: &[EntryAnswer], empty: &str) -> Markup {
    if entries.is_empty() {
        return nothing(empty);
    }
    html! {
        table {
            thead { tr { th scope="col" { "Name" } th scope="col" { "Kind" } th scope="col" { "State" }
                th scope="col" { "Last changed" } th scope="col" { "By" } th scope="col" { "Reason" }
                th scope="col" { "Issuer" } } }
            tbody { @for entry in entries { (row(entry)) } }
        }
    }
}

fn row(entry: &EntryAnswer) -> Markup {
    let last = entry.history.last();
    html! {
        tr {
            th scope="row" data-label="Name" {
                a href=(address(&entry.id)) { (target(entry)) }
            }
            td data-label="Kind" { (words(entry.kind)) }
            td data-label="State" { (state(entry)) }
            td data-label="Last changed" { @if let Some(last) = last { (time(&last.time)) } }
            td data-label="By" { @if let Some(last) = last { (name(&last.actor)) } }
            td data-label="Reason" { @if let Some(last) = last { (reason(&last.reason)) } }
            td data-label="Issuer" { (name(&entry.issuer)) }
        }
    }
}

/// What an entry names.
pub(super) fn target(entry: &EntryAnswer) -> Markup {
    html! {
        @match (&entry.claim, &entry.client) {
            (Some(claim), _) => { (name(claim)) " = " (name(&entry.value)) },
            (None, Some(client)) => { (name(&entry.value)) " at " (name(client)) },
            (None, None) if entry.value.is_empty() => (name(&entry.issuer)),
            (None, None) => (name(&entry.value)),
        }
    }
}

pub(super) fn state(entry: &EntryAnswer) -> Markup {
    html! {
        @if entry.in_force { span.state.bad { "revoked" } }
        @else { span.state { "not in force" } }
    }
}

pub(super) fn reason(text: &str) -> Markup {
    html! { @if text.is_empty() { span.faint { "–" } } @else { (name(text)) } }
}

pub(super) const fn deed(action: OutcomeName) -> &'static str {
    match action {
        OutcomeName::Revoked => "revoked",
        OutcomeName::AlreadyRevoked => "revoked already",
        OutcomeName::AlreadyExpired => "expired already",
        OutcomeName::Restored => "restored",
        OutcomeName::Withdrawn => "withdrawn",
        OutcomeName::NotRevoked => "not revoked",
    }
}

/// A kind, for people.
pub(super) const fn words(kind: Kind) -> &'static str {
    match kind {
        Kind::Token => "Token",
        Kind::Session => "Session",
        Kind::Device => "Device",
        Kind::Subject => "Subject",
        Kind::Client => "Client",
        Kind::Issuer => "Issuer",
        Kind::Claim => "Claim",
        Kind::SubjectAndClient => "Subject at a client",
    }
}
