//! One user: sessions, what was revoked, and what can be done.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{Failed, Page, ROWS, Section, entries, href, more, name, seconds, sessions, time};
use crate::authority::Authority;
use crate::authority::http;
use crate::authority::http::revocations::{self, EntryAnswer, ListQuery};
use crate::authority::http::sessions::SessionsQuery;
use crate::revocation::Kind;

const PATH: &str = "/console/user";

/// A link to the page of a user.
pub(super) fn link(issuer: &str, subject: &str) -> Markup {
    html! { a href=(address(issuer, subject)) { (name(subject)) } }
}

/// Where that page is.
pub(super) fn address(issuer: &str, subject: &str) -> String {
    href(
        PATH,
        &[("issuer", Some(issuer)), ("subject", Some(subject))],
    )
}

/// The page.
pub(in super::super) async fn show(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["issuer", "subject", "cursor"])?;
    let (issuer, subject) = (asked.expect("issuer")?, asked.expect("subject")?);
    let query = SessionsQuery {
        issuer: Some(issuer.clone()),
        subject: Some(subject.clone()),
        include_ended: true,
        limit: Some(ROWS),
        ..SessionsQuery::default()
    };
    let query = Ok(Query(query));
    let found = http::sessions::list(State(Arc::clone(&authority)), query).await;
    let query = ListQuery {
        issuer: Some(issuer.clone()),
        subject: Some(subject.clone()),
        include_restored: true,
        cursor: asked.text("cursor"),
        limit: Some(ROWS),
        ..ListQuery::default()
    };
    let revoked = revocations::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    let cut_off = revoked
        .entries
        .iter()
        .find(|entry| entry.kind == Kind::Subject);
    let cut_off = cut_off.filter(|entry| entry.in_force);
    let more_entries = revoked.next_cursor.map(|cursor| {
        let asked = [
            ("issuer", Some(&*issuer)),
            ("subject", Some(&*subject)),
            ("cursor", Some(&*cursor)),
        ];
        href(PATH, &asked)
    });
    let more_sessions = found
        .as_ref()
        .ok()
        .and_then(|found| found.next.as_deref())
        .map(|after| {
            let asked = [
                ("issuer", Some(&*issuer)),
                ("subject", Some(&*subject)),
                ("ended", Some("yes")),
                ("after", Some(after)),
            ];
            href(sessions::PATH, &asked)
        });
    let body = html! {
        h1 { (name(&subject)) }
        p.lead { "Subject of " (name(&issuer)) }
        @if let Some(entry) = cut_off { (signed_out(&operator, entry)) }
        (actions(&operator, &issuer, &subject))
        section {
            h2 { "Sessions" }
            @match &found {
                Ok(found) => (sessions::table(&found.sessions, "Edges have reported no session of this user.")),
                Err(problem) => p.banner.bad { (problem.detail()) },
            }
            (more(more_sessions))
        }
        section {
            h2 { "Revocations" }
            (entries::table(&revoked.entries, "Nothing that belongs to this user was revoked."))
            (more(more_entries))
        }
    };
    Ok(Page::of(&operator, Section::Search, "User", &body))
}

/// Says that the user was signed out everywhere, by whom and why.
fn signed_out(operator: &Operator, entry: &EntryAnswer) -> Markup {
    let last = entry.history.last();
    html! {
        div.banner.bad {
            p {
                "Tokens issued before " @if let Some(instant) = entry.not_before { (seconds(instant)) }
                " are refused"
                @if let Some(last) = last {
                    ": revoked by " (name(&last.actor)) " at " (time(&last.time))
                    @if !last.reason.is_empty() { ", “" (name(&last.reason)) "”" }
                }
                "."
                @if let Some(session) = &entry.except_session { " Session " (name(session)) " goes on." }
            }
            p {
                a href=(href("/console/revocation", &[("id", Some(&entry.id))])) { "The entry" }
                @if operator.may_act() {
                    " · "
                    a href=(href("/console/restore", &[("id", Some(&entry.id))])) { "Restore" }
                }
            }
        }
    }
}

fn actions(operator: &Operator, issuer: &str, subject: &str) -> Markup {
    let asked = [
        ("kind", Some(Kind::Subject.name())),
        ("issuer", Some(issuer)),
        ("value", Some(subject)),
    ];
    html! {
        @if operator.may_act() {
            p.actions { a.button.danger href=(href("/console/revoke", &asked)) { "Sign out everywhere" } }
        }
    }
}
