//! Finding a user, a session or what a token names.

use std::collections::BTreeSet;
use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{Failed, Page, ROWS, Section, entries, form_token, name, sessions, users};
use crate::authority::Authority;
use crate::authority::http::revocations::{self, EntryAnswer, ListQuery};
use crate::authority::http::sessions::{SessionAnswer, SessionsQuery};
use crate::authority::http::{self, Problem};
use crate::authority::sessions::Name;
use crate::revocation::{Kind, MAX_NAME_BYTES};

pub(in super::super) const PATH: &str = "/console/search";

/// Issuers that are offered, and that a session is looked for at.
const MOST_ISSUERS: usize = 100;

/// Users of one name, at so many issuers.
const MOST_USERS: usize = 20;

/// What is searched for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum What {
    Subject,
    Session,
    Token,
    Device,
}

/// What was found.
#[derive(Debug, Default)]
struct Found {
    /// With their issuers.
    users: BTreeSet<(String, String)>,
    sessions: Vec<SessionAnswer>,
    entries: Vec<EntryAnswer>,
    /// Whether there are more of them.
    has_more_entries: bool,
    /// At how many issuers sessions were looked for, where none was given.
    looked_at: Option<usize>,
}

impl What {
    const ALL: [Self; 4] = [Self::Subject, Self::Session, Self::Token, Self::Device];

    /// In the address, and the claim that has the name.
    const fn code(self) -> (&'static str, &'static str) {
        match self {
            Self::Subject => ("subject", "User (sub)"),
            Self::Session => ("session", "Session (sid)"),
            Self::Token => ("token", "Token (jti)"),
            Self::Device => ("device", "Device"),
        }
    }

    fn of(code: Option<&str>) -> Result<Self, Problem> {
        let Some(code) = code else {
            return Ok(Self::Subject);
        };
        let found = Self::ALL.into_iter().find(|what| what.code().0 == code);
        found.ok_or_else(|| Problem::invalid("`what`: expected one that the form offers"))
    }
}

impl Found {
    /// Whose sessions and entries these are.
    fn add_users(&mut self) {
        let of_session = |session: &SessionAnswer| {
            let subject = session.subject.clone()?;
            Some((session.issuer.clone(), subject))
        };
        let of_entry = |entry: &EntryAnswer| {
            let own = (entry.kind == Kind::Subject).then_some(&entry.value);
            let subject = entry.subject.as_ref().or(own)?;
            Some((entry.issuer.clone(), subject.clone()))
        };
        self.users
            .extend(self.sessions.iter().filter_map(of_session));
        self.users.extend(self.entries.iter().filter_map(of_entry));
    }
}

/// The forms, and what was found.
pub(in super::super) async fn show(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["what", "name", "issuer"])?;
    let what = What::of(asked.given("what"))?;
    let issuer = asked.typed("issuer");
    let issuers = issuers(&authority).await?;
    let found = match asked.typed("name") {
        Some(name) => Some(find(&authority, what, name, issuer, &issuers).await?),
        None => None,
    };
    let body = html! {
        h1 { "Search" }
        div.columns {
            section.card {
                h2 { "By name" }
                form method="get" action=(PATH) {
                    fieldset.choice {
                        legend { "What" }
                        @for each in What::ALL {
                            label { input type="radio" name="what" value=(each.code().0) checked[each == what];
                                (each.code().1) }
                        }
                    }
                    label for="name" { "Name" }
                    input #name type="text" name="name" required maxlength=(MAX_NAME_BYTES) spellcheck="false"
                        autocapitalize="off" autocomplete="off" value=[asked.typed("name")];
                    (issuer_field(&issuers, issuer))
                    button type="submit" { "Find" }
                }
            }
            section.card {
                h2 { "By token" }
                (token_form(&operator))
            }
        }
        @if let Some(found) = found { (results(&found)) }
    };
    Ok(Page::of(&operator, Section::Search, "Search", &body))
}

/// For pasting a token.
pub(super) fn token_form(operator: &Operator) -> Markup {
    html! {
        form method="post" action=(super::token::PATH) autocomplete="off" {
            (form_token(operator))
            label for="token" { "Token" }
            textarea #token name="token" rows="4" required spellcheck="false" autocapitalize="off"
                autocomplete="off" {}
            p.hint { "It is read for its names and neither kept nor logged. Its signature is not checked." }
            button type="submit" { "Read" }
        }
    }
}

/// A field for an issuer, which offers those that are known.
pub(super) fn issuer_field(issuers: &[String], chosen: Option<&str>) -> Markup {
    html! {
        div {
            label for="issuer" { "Issuer " span.faint { "(any, if empty)" } }
            input #issuer type="text" name="issuer" list="issuers" maxlength=(MAX_NAME_BYTES) spellcheck="false"
                autocapitalize="off" value=[chosen];
            datalist #issuers { @for issuer in issuers { option value=(issuer) {} } }
        }
    }
}

/// Issuers of which something is configured, revoked, or in use.
pub(super) async fn issuers(authority: &Arc<Authority>) -> Result<Vec<String>, Failed> {
    let shared = Arc::clone(authority);
    let revoked = tokio::task::spawn_blocking(move || shared.store.issuers(MOST_ISSUERS));
    let revoked = revoked.await.map_err(|_| Problem::internal())?;
    let mut issuers: BTreeSet<String> = revoked.map_err(Problem::from)?.into_iter().collect();
    let configured = authority
        .console
        .iter()
        .flat_map(|console| &console.issuers);
    issuers.extend(configured.map(|(issuer, _)| issuer.clone()));
    // Without the registry, there are fewer to choose from.
    if let Ok(found) = sessions_of(authority, SessionsQuery::default()).await {
        issuers.extend(found.into_iter().map(|session| session.issuer));
    }
    Ok(issuers.into_iter().take(MOST_ISSUERS).collect())
}

async fn find(
    authority: &Arc<Authority>,
    what: What,
    name: &str,
    issuer: Option<&str>,
    issuers: &[String],
) -> Result<Found, Failed> {
    let issuer = issuer.map(str::to_owned);
    let kind = match what {
        What::Subject => None,
        What::Session => Some(Kind::Session),
        What::Token => Some(Kind::Token),
        What::Device => Some(Kind::Device),
    };
    let query = ListQuery {
        kind,
        value: kind.map(|_| name.to_owned()),
        subject: kind.is_none().then(|| name.to_owned()),
        issuer: issuer.clone(),
        include_restored: true,
        limit: Some(ROWS),
        ..ListQuery::default()
    };
    let query = Ok(Query(query));
    let entries = revocations::list(State(Arc::clone(authority)), query)
        .await?
        .0;
    let sessions = sessions_named(authority, what, name, issuer.as_deref(), issuers).await?;
    let mut found = Found {
        users: BTreeSet::new(),
        sessions,
        has_more_entries: entries.next_cursor.is_some(),
        entries: entries.entries,
        looked_at: matches!(what, What::Session | What::Token)
            .then_some(issuers.len())
            .filter(|_| issuer.is_none()),
    };
    found.add_users();
    if let (What::Subject, Some(issuer)) = (what, issuer) {
        // Of whom nothing is known yet can be signed out all the same.
        found.users.insert((issuer, name.to_owned()));
    }
    Ok(found)
}

/// The sessions of a user, whatever has become of them, or those of a name that live.
async fn sessions_named(
    authority: &Arc<Authority>,
    what: What,
    name: &str,
    issuer: Option<&str>,
    issuers: &[String],
) -> Result<Vec<SessionAnswer>, Failed> {
    let own = issuer.map(str::to_owned);
    let among = own.as_ref().map_or(issuers, std::slice::from_ref);
    match what {
        What::Subject => {
            let query = SessionsQuery {
                subject: Some(name.to_owned()),
                issuer: own.clone(),
                include_ended: true,
                limit: Some(ROWS),
                ..SessionsQuery::default()
            };
            Ok(sessions_of(authority, query).await?)
        }
        What::Session => named(authority, &Name::Session(name.into()), among).await,
        What::Token => named(authority, &Name::Token(name.into()), among).await,
        What::Device => Ok(Vec::new()),
    }
}

async fn sessions_of(
    authority: &Arc<Authority>,
    query: SessionsQuery,
) -> Result<Vec<SessionAnswer>, Problem> {
    let query = Ok(Query(query));
    let found = http::sessions::list(State(Arc::clone(authority)), query).await?;
    Ok(found.0.sessions)
}

/// Live sessions of this name, at any of these issuers.
async fn named(
    authority: &Arc<Authority>,
    session: &Name,
    issuers: &[String],
) -> Result<Vec<SessionAnswer>, Failed> {
    let key = authority.sessions.key();
    let ids: Vec<_> = issuers
        .iter()
        .map(|issuer| session.fingerprint(key, issuer))
        .collect();
    let authority = Arc::clone(authority);
    let found = tokio::task::spawn_blocking(move || {
        let registry = authority.sessions.registry();
        let mut found = Vec::new();
        for id in ids {
            found.extend(registry.named(id, ROWS)?);
        }
        Ok(found)
    });
    let found = found.await.map_err(|_| Problem::internal())?;
    let found =
        found.map_err(|error: crate::authority::sessions::RegistryError| Problem::from(error))?;
    Ok(found.iter().map(http::describe).collect())
}

fn results(found: &Found) -> Markup {
    html! {
        section {
            h2 { "Users" }
            @if found.users.is_empty() {
                (super::nothing("No session and no revocation of such a user is known. With the issuer given, \
                    there is a page for the user all the same."))
            } @else {
                ul.users { @for (issuer, subject) in found.users.iter().take(MOST_USERS) {
                    li { (users::link(issuer, subject)) " " span.faint { "of " (name(issuer)) } }
                } }
                @if found.users.len() > MOST_USERS {
                    p.faint { "There are more. With the issuer given, one is found among them." }
                }
            }
        }
        section {
            h2 { "Sessions" }
            (sessions::table(&found.sessions, "Edges have reported no such session. One that has ended is found by its user."))
            @if found.sessions.len() >= ROWS {
                p.faint { "There may be more: the page of each user has all." }
            }
            @if let Some(issuers) = found.looked_at {
                p.faint { "Looked for at each issuer that the form offers (" (super::count(issuers as u64))
                    "). At another one, it is found with the issuer given." }
            }
        }
        section {
            h2 { "Revocations" }
            (entries::table(&found.entries, "Nothing of this name was revoked."))
            @if found.has_more_entries {
                p.faint { "There are more: the page of each user has all." }
            }
        }
    }
}
