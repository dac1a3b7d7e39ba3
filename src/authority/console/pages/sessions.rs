//! Sessions that edges have reported.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{
    Failed, Page, ROWS, Section, act, count, entries, href, more, name, nothing, optional, seconds,
    time, users,
};
use crate::authority::Authority;
use crate::authority::http::revocations::{self, ListQuery};
use crate::authority::http::sessions::{SessionAnswer, SessionsQuery, SightingAnswer};
use crate::authority::http::{self, Problem};
use crate::authority::sessions::{Owned, Session};
use crate::authority::store::from_hex;
use crate::revocation::{Fingerprint, Kind};

pub(in super::super) const PATH: &str = "/console/sessions";

pub(in super::super) const ONE: &str = "/console/session";

/// The list.
pub(in super::super) async fn list(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["issuer", "subject", "suspicious", "ended", "after"])?;
    let query = SessionsQuery {
        issuer: asked.given("issuer").map(str::to_owned),
        subject: asked.given("subject").map(str::to_owned),
        suspicious: asked.is_set("suspicious"),
        include_ended: asked.is_set("ended"),
        after: asked.given("after").map(str::to_owned),
        limit: Some(ROWS),
        ..SessionsQuery::default()
    };
    let issuers = super::search::issuers(&authority).await?;
    let found = http::sessions::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    let next = found.next.map(|after| {
        let asked = [
            ("issuer", asked.given("issuer")),
            ("subject", asked.given("subject")),
            ("suspicious", asked.given("suspicious")),
            ("ended", asked.given("ended")),
            ("after", Some(&*after)),
        ];
        href(PATH, &asked)
    });
    let body = html! {
        h1 { "Sessions" }
        form.filter method="get" action=(PATH) {
            div { label for="subject" { "Subject" }
                input #subject type="text" name="subject" value=[asked.given("subject")] spellcheck="false"; }
            (super::search::issuer_field(&issuers, asked.given("issuer")))
            label.tick { input type="checkbox" name="suspicious" value="yes" checked[asked.is_set("suspicious")];
                "only suspicious ones" }
            label.tick { input type="checkbox" name="ended" value="yes" checked[asked.is_set("ended")];
                "also ended ones" }
            button.quiet type="submit" { "Show" }
        }
        (table(&found.sessions, "Edges have reported no such session."))
        (more(next))
    };
    Ok(Page::of(&operator, Section::Sessions, "Sessions", &body))
}

/// One session.
pub(in super::super) async fn one(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["issuer", "subject", "id"])?;
    let id = from_hex(&asked.expect_exact("id")?).map(Fingerprint);
    let id = id.ok_or_else(|| Problem::invalid("`id`: expected 32 hexadecimal digits"))?;
    let found = reported(
        &authority,
        asked.expect_exact("issuer")?,
        asked.exact("subject").map(str::to_owned),
        id,
    )
    .await?;
    let kind = found.name.kind();
    let session = http::describe(&found);
    let query = ListQuery {
        kind: Some(kind),
        issuer: Some(session.issuer.clone()),
        value: Some(found.name.value().to_string()),
        include_restored: true,
        ..ListQuery::default()
    };
    let revoked = revocations::list(State(authority), Ok(Query(query)))
        .await?
        .0;
    let value = found.name.value();
    let body = html! {
        h1 { "Session " (name(value)) }
        @if let Some(suspicion) = &session.suspicion {
            p.banner.bad { "Looks stolen, as of " (time(&suspicion.at)) ": " (name(&suspicion.evidence)) }
        }
        @if operator.may_act() && session.ended.is_none() {
            p.actions { a.button.danger href=(end_link(&session, kind, value)) { "End the session" } }
        }
        section.card { h2 { "The session" } (facts(&session)) }
        section { h2 { "Used from" } (sightings(&session.sightings)) }
        section { h2 { "Revocations" }
            (entries::table(&revoked.entries, "The session itself was not revoked. Its user may have been.")) }
    };
    Ok(Page::of(&operator, Section::Sessions, "Session", &body))
}

/// A session that the registry has.
pub(super) async fn reported(
    authority: &Arc<Authority>,
    issuer: String,
    subject: Option<String>,
    id: Fingerprint,
) -> Result<Session, Failed> {
    let authority = Arc::clone(authority);
    let found = tokio::task::spawn_blocking(move || {
        authority.sessions.registry().get(Owned {
            issuer: &issuer,
            subject: subject.as_deref(),
            id,
        })
    });
    let found = found.await.map_err(|_| Problem::internal())?;
    let found = found.map_err(Problem::from)?;
    let unknown = "the registry has no such session (any more)";
    Ok(found.ok_or_else(|| Problem::not_found_here(unknown))?)
}

fn end_link(session: &SessionAnswer, kind: Kind, value: &str) -> String {
    act::revoke_address(kind, &session.issuer, value, session.subject.as_deref())
}

fn facts(session: &SessionAnswer) -> Markup {
    html! {
        dl.facts {
            dt { "State" } dd { (state(session)) }
            dt { "Subject" } dd { @match &session.subject {
                Some(subject) => (users::link(&session.issuer, subject)),
                None => span.faint { "–" },
            } }
            dt { "Issuer" } dd { (name(&session.issuer)) }
            dt { "Client" } dd { (optional(session.client.as_deref())) }
            dt { "Device" } dd { (optional(session.device.as_deref())) }
            @if let Some(at) = session.auth_time { dt { "Signed in" } dd { (seconds(at)) } }
            @if let Some(at) = session.issued_at { dt { "Newest token" } dd { "of " (seconds(at))
                @if let Some(end) = session.expires_at { ", until " (seconds(end)) } } }
            dt { "First seen" } dd { (time(&session.first_seen)) }
            dt { "Last seen" } dd { (time(&session.last_seen)) }
            dt { "Requests" } dd { (count(session.requests.into())) }
        }
    }
}

fn sightings(sightings: &[SightingAnswer]) -> Markup {
    if sightings.is_empty() {
        return nothing("Edges do not tell from where it is used.");
    }
    html! {
        table {
            thead { tr { th scope="col" { "Network" } th scope="col" { "Kind of client" }
                th.number scope="col" { "Requests" } th scope="col" { "First" } th scope="col" { "Last" } } }
            tbody { @for sighting in sightings { tr {
                td data-label="Network" { (optional(sighting.network.as_deref())) }
                td data-label="Kind of client" { (optional(sighting.user_agent.as_deref())) }
                td.number data-label="Requests" { (count(sighting.requests.into())) }
                td data-label="First" { (time(&sighting.first_seen)) }
                td data-label="Last" { (time(&sighting.last_seen)) }
            } } }
        }
    }
}

/// Sessions, each with a link to its page.
pub(super) fn table(sessions: &[SessionAnswer], empty: &str) -> Markup {
    if sessions.is_empty() {
        return nothing(empty);
    }
    html! {
        table {
            thead { tr { th scope="col" { "Session" } th scope="col" { "State" } th scope="col" { "Subject" }
                th scope="col" { "Client" } th scope="col" { "Device" } th scope="col" { "Last used from" }
                th scope="col" { "Last seen" } } }
            tbody { @for session in sessions { (row(session)) } }
        }
    }
}

fn row(session: &SessionAnswer) -> Markup {
    let called = session.sid.as_deref().or(session.jti.as_deref());
    let asked = [
        ("issuer", Some(&*session.issuer)),
        ("subject", session.subject.as_deref()),
        ("id", Some(&session.id)),
    ];
    let latest = session.sightings.first();
    html! {
        tr {
            th scope="row" data-label="Session" {
                a href=(href(ONE, &asked)) { (name(called.unwrap_or_default())) }
            }
            td data-label="State" { (state(session)) }
            td data-label="Subject" { @match &session.subject {
                Some(subject) => (users::link(&session.issuer, subject)),
                None => span.faint { "–" },
            } }
            td data-label="Client" { (optional(session.client.as_deref())) }
            td data-label="Device" { (optional(session.device.as_deref())) }
            td data-label="Last used from" {
                (optional(latest.and_then(|latest| latest.network.as_deref())))
                @if let Some(agent) = latest.and_then(|latest| latest.user_agent.as_deref()) {
                    " " span.faint { (name(agent)) }
                }
            }
            td data-label="Last seen" { (time(&session.last_seen)) }
        }
    }
}

fn state(session: &SessionAnswer) -> Markup {
    html! {
        @match &session.ended {
            Some(at) => { span.state.bad { "ended" } " " (time(at))
                @if !session.cause.is_plain() { " (" (super::cause(session.cause)) ")" } },
            None => span.state.good { "live" },
        }
        @if session.suspicion.is_some() { " " span.state.bad { "suspicious" } }
    }
}
