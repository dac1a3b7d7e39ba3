//! One user: sessions, what was revoked, and what can be done.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{Failed, Page, ROWS, Section, act, entries, href, more, name, seconds, sessions, time};
use crate::authority::Authority;
use crate::authority::http::revocations::{self, EntryAnswer, ListQuery};
use crate::authority::http::sessions::{SessionsAnswer, SessionsQuery};
use crate::authority::http::{self, Problem};
use crate::revocation::Kind;

pub(in super::super) const PATH: &str = "/console/user";

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
    let (issuer, subject) = (
        asked.expect_exact("issuer")?,
        asked.expect_exact("subject")?,
    );
    let found = sessions_of(&authority, &issuer, &subject).await;
    let query = ListQuery {
        issuer: Some(issuer.clone()),
        subject: Some(subject.clone()),
        include_restored: true,
        cursor: asked.given("cursor").map(str::to_owned),
        limit: Some(ROWS),
        ..ListQuery::default()
    };
    let revoked = revocations::list(State(Arc::clone(&authority)), Ok(Query(query)));
    let revoked = revoked.await?.0;
    let cut_off = cut_off(authority, &issuer, &subject).await?;
    let own = [("issuer", Some(&*issuer)), ("subject", Some(&*subject))];
    let more_entries = revoked.next_cursor.as_deref();
    let more_entries =
        more_entries.map(|cursor| href(PATH, &[&own[..], &[("cursor", Some(cursor))]].concat()));
    let body = html! {
        h1 { (name(&subject)) }
        p.lead { "Subject of " (name(&issuer)) }
        @if let Some(entry) = &cut_off { (signed_out(&operator, entry)) }
        (actions(&operator, &issuer, &subject))
        section {
            h2 { "Sessions" }
            @match &found {
                Ok(found) => {
                    (sessions::table(&found.sessions, "Edges have reported no session of this user."))
                    (more(found.next.as_deref().map(|after| {
                        let after = [("ended", Some("yes")), ("after", Some(after))];
                        href(sessions::PATH, &[&own[..], &after].concat())
                    })))
                },
                // What was revoked is known without the registry.
                Err(problem) => p.banner.bad { (problem.detail()) "." },
            }
        }
        section {
            h2 { "Revocations" }
            (entries::table(&revoked.entries, "Nothing that belongs to this user was revoked."))
            (more(more_entries))
        }
    };
    Ok(Page::of(&operator, Section::Search, "User", &body))
}

/// The user's cut-off in force, wherever it stands among the other entries.
async fn cut_off(
    authority: Arc<Authority>,
    issuer: &str,
    subject: &str,
) -> Result<Option<EntryAnswer>, Problem> {
    let query = ListQuery {
        kind: Some(Kind::Subject),
        issuer: Some(issuer.to_owned()),
        value: Some(subject.to_owned()),
        ..ListQuery::default()
    };
    let found = revocations::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    Ok(found.entries.into_iter().next())
}

async fn sessions_of(
    authority: &Arc<Authority>,
    issuer: &str,
    subject: &str,
) -> Result<SessionsAnswer, Problem> {
    let query = SessionsQuery {
        issuer: Some(issuer.to_owned()),
        subject: Some(subject.to_owned()),
        include_ended: true,
        limit: Some(ROWS),
        ..SessionsQuery::default()
    };
    let found = http::sessions::list(State(Arc::clone(authority)), Ok(Query(query)));
    Ok(found.await?.0)
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
                a href=(entries::address(&entry.id)) { "The entry" }
                @if operator.may_act() {
                    " · "
                    a href=(act::restore_address(&entry.id)) { "Restore" }
                }
            }
        }
    }
}

fn actions(operator: &Operator, issuer: &str, subject: &str) -> Markup {
    let address = act::revoke_address(Kind::Subject, issuer, subject, None);
    html! {
        @if operator.may_act() {
            p.actions { a.button.danger href=(address) { "Sign out everywhere" } }
        }
    }
}
