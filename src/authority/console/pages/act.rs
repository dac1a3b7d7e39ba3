//! Revoking and restoring: each in two steps, a page that says what will happen and asks why, and the deed.
//! What follows is a redirection, so that loading the page again does nothing again.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::{Extension, Json};
use maud::{Markup, html};

use super::super::diary::{Deed, Line};
use super::super::door::to;
use super::super::form::{Asked, Fields, Sent};
use super::super::{Console, Operator};
use super::{Failed, Page, Section, doubts, entries, form_token, href, name};
use crate::authority::entry::Target;
use crate::authority::http::body::JsonBody;
use crate::authority::http::edges::reached;
use crate::authority::http::revocations::{self, EntryAnswer, OutcomeName, RevocationAnswer};
use crate::authority::http::{EdgeWait, Problem, RestorationRequest, RevocationRequest, users};
use crate::authority::request::MAX_REASON_BYTES;
use crate::authority::sessions::{Name, Owned};
use crate::authority::{Authority, clock};
use crate::revocation::Kind;
use crate::time::UnixTime;

pub(in super::super) const REVOKE: &str = "/console/revoke";

pub(in super::super) const RESTORE: &str = "/console/restore";

/// How long the page after a deed is held back for edges: most have it after some hundred milliseconds, and
/// the page says how many have it.
const WAIT: Duration = Duration::from_secs(2);

/// Where it is asked whether something is to be revoked, and where that is done. The names are in the address with
/// every character escaped, since browsers change line breaks and others in the fields of a form, and names are
/// exact.
pub(super) fn revoke_address(
    kind: Kind,
    issuer: &str,
    value: &str,
    subject: Option<&str>,
) -> String {
    // A cut-off is of a subject, and has none besides.
    let subject = subject.filter(|_| !kind.is_cut_off());
    href(
        REVOKE,
        &[
            ("kind", Some(kind.name())),
            ("issuer", Some(issuer)),
            ("value", Some(value)),
            ("subject", subject),
        ],
    )
}

/// Where it is asked whether an entry is to be restored.
pub(super) fn restore_address(id: &str) -> String {
    href(RESTORE, &[("id", Some(id))])
}

/// What is to be revoked, as a link or a form names it.
struct Wanted {
    kind: Kind,
    issuer: String,
    value: String,
    subject: Option<String>,
}

impl Wanted {
    const FIELDS: [&str; 4] = ["kind", "issuer", "value", "subject"];

    /// Only what concerns one user: what has everyone of a client or an issuer sign in again is left to the
    /// command line, where it is not one click away.
    fn of(fields: &Fields) -> Result<Self, Problem> {
        use Kind::{Device, Session, Subject, Token};
        let kind = fields.given("kind").and_then(Kind::from_name);
        let Some(kind @ (Token | Session | Device | Subject)) = kind else {
            let detail = "`kind`: expected `token`, `session`, `device` or `subject`";
            return Err(Problem::invalid(detail));
        };
        Ok(Self {
            kind,
            issuer: fields.expect_exact("issuer")?,
            value: fields.expect_exact("value")?,
            subject: fields
                .exact("subject")
                .filter(|_| !kind.is_cut_off())
                .map(str::to_owned),
        })
    }

    /// Where it is done.
    fn address(&self) -> String {
        self.address_at(&self.issuer)
    }

    /// Where the same is asked for at another issuer.
    fn address_at(&self, issuer: &str) -> String {
        revoke_address(self.kind, issuer, &self.value, self.subject.as_deref())
    }

    /// The page of the user that it concerns, where that is known.
    fn back(&self) -> String {
        let own = (self.kind == Kind::Subject).then_some(&*self.value);
        match self.subject.as_deref().or(own) {
            Some(subject) => super::users::address(&self.issuer, subject),
            None => super::search::PATH.to_owned(),
        }
    }

    const fn title(&self) -> &'static str {
        match self.kind {
            Kind::Session => "End a session",
            Kind::Token => "Revoke a token",
            Kind::Device => "Revoke a device",
            _ => "Sign out everywhere",
        }
    }

    const fn effect(&self) -> &'static str {
        match self.kind {
            Kind::Session => {
                "Every token of this session is refused from now on, and its requests in progress end."
            }
            Kind::Token => {
                "This one token is refused from now on, and its requests in progress end."
            }
            Kind::Device => {
                "Every token of this device is refused from now on, and its requests in progress end."
            }
            _ => {
                "Every token that this user has now is refused, on every device, and requests in progress \
                 end. The user can sign in again at once: where the account itself is in wrong hands, close \
                 it at the identity provider first."
            }
        }
    }
}

/// Asks whether something is to be revoked, and why.
pub(in super::super) async fn ask_revoke(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let wanted = Wanted::of(&asked.expect_only(&Wanted::FIELDS)?)?;
    let at = |issuer: &str| wanted.address_at(issuer);
    let doubt = doubts::of_issuer(&authority, &console, &wanted.issuer, at).await?;
    let body = html! {
        section.card.narrow {
            h1 { (wanted.title()) }
            dl.facts {
                dt { (entries::words(wanted.kind)) } dd { (name(&wanted.value)) }
                dt { "Issuer" } dd { (name(&wanted.issuer)) }
                @if let Some(subject) = &wanted.subject { dt { "Subject" } dd { (name(subject)) } }
            }
            p { (wanted.effect()) }
            (doubt)
            @if wanted.kind.is_cut_off() { (doubts::of_clocks(&authority)) }
            form method="post" action=(wanted.address()) {
                (form_token(&operator))
                (reason_field())
                button.danger type="submit" { (wanted.title()) }
                " "
                a.button.quiet href=(wanted.back()) { "Cancel" }
            }
        }
    };
    Ok(Page::of(&operator, Section::Search, wanted.title(), &body))
}

/// Revokes it.
pub(in super::super) async fn revoke(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
    Sent(form): Sent,
) -> Result<Response, Failed> {
    let wanted = Wanted::of(&asked.expect_only(&Wanted::FIELDS)?)?;
    let form = form.expect_only(&["reason"])?;
    let signed_in = signed_in(&authority, &wanted).await?;
    let mut request =
        RevocationRequest::of(Target::named(wanted.kind, &wanted.issuer, &wanted.value));
    request.subject = wanted.subject;
    request.reason = Some(form.expect_typed("reason")?);
    users::until_sign_in(&authority, &mut request, signed_in);
    let caller = Extension(operator.caller.clone());
    let work = revocations::revoke(State(Arc::clone(&authority)), caller, JsonBody(request));
    let answer = carry_out(console, &operator, Deed::Revoked, work).await?;
    done(&authority, answer).await
}

/// Asks whether an entry is to be restored, and why.
pub(in super::super) async fn ask_restore(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    // Who has signed in anew comes here with what was sent before that.
    let asked = asked.expect_only(&["id", "seen"])?;
    let entry = entries::by_id(&authority, asked.expect_exact("id")?).await?;
    Ok(restoration(&operator, &entry, None))
}

fn restoration(operator: &Operator, entry: &EntryAnswer, warning: Option<&str>) -> Page {
    let back = entries::address(&entry.id);
    let asked = [("id", Some(&*entry.id)), ("seen", Some(&*stamp(entry)))];
    let body = html! {
        section.card.narrow {
            h1 { "Restore" }
            @if let Some(warning) = warning { p.banner.bad role="alert" { (warning) } }
            dl.facts {
                dt { (entries::words(entry.kind)) } dd { (entries::target(entry)) }
                dt { "Issuer" } dd { (name(&entry.issuer)) }
                @if let Some(last) = entry.history.last() {
                    dt { "Last" } dd { (entries::deed(last.action)) " by " (name(&last.actor)) }
                    dt { "Reason" } dd { (entries::reason(&last.reason)) }
                }
            }
            p { "Tokens that this entry refuses are accepted again, if they have not expired and nothing else \
                 refuses them. Sessions that it has ended are listed as ended until they are used again." }
            form method="post" action=(href(RESTORE, &asked)) {
                (form_token(operator))
                (reason_field())
                button type="submit" { "Restore" }
                " "
                a.button.quiet href=(back) { "Cancel" }
            }
        }
    };
    Page::of(operator, Section::Revocations, "Restore", &body)
}

/// The last that was done to an entry. Who restores it decides by that: where someone has revoked it again in the
/// meantime, and said why, it is a matter of another decision.
fn stamp(entry: &EntryAnswer) -> String {
    let last = entry.history.last().map(|last| &*last.time);
    format!("{} {}", entry.sequence, last.unwrap_or_default())
}

/// Restores it.
pub(in super::super) async fn restore(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
    Sent(form): Sent,
) -> Result<Response, Failed> {
    let asked = asked.expect_only(&["id", "seen"])?;
    let form = form.expect_only(&["reason"])?;
    let entry = entries::by_id(&authority, asked.expect_exact("id")?).await?;
    if asked.expect_exact("seen")? != stamp(&entry) {
        let changed = "This entry has changed since the page was shown, and nothing was restored. Below is \
                       what was done last.";
        let mut page = restoration(&operator, &entry, Some(changed));
        page.status = StatusCode::CONFLICT;
        return Ok(page.into_response());
    }
    let mut request = RestorationRequest::of(Target {
        kind: entry.kind,
        qualifier: entry.claim.or(entry.client).unwrap_or_default(),
        issuer: entry.issuer,
        value: entry.value,
    });
    request.reason = Some(form.expect_typed("reason")?);
    let caller = Extension(operator.caller.clone());
    let work = revocations::restore(State(Arc::clone(&authority)), caller, JsonBody(request));
    let answer = carry_out(console, &operator, Deed::Restored, work).await?;
    done(&authority, answer).await
}

/// Does it, and writes the line about it, in a task of its own: a browser that hangs up in between stops this
/// request, and would leave a deed without a line.
async fn carry_out(
    console: Arc<Console>,
    operator: &Operator,
    deed: Deed,
    work: impl Future<Output = Result<Json<RevocationAnswer>, Problem>> + Send + 'static,
) -> Result<RevocationAnswer, Failed> {
    let who = Arc::clone(&operator.caller.name);
    let task = tokio::spawn(async move {
        let Json(answer) = work.await?;
        if let Some(id) = &answer.id {
            console.diary.write(Line {
                at: clock::now_milliseconds(),
                who: Some(who),
                address: None,
                deed,
                entry: Some(id.clone()),
            });
        }
        Ok::<_, Problem>(answer)
    });
    Ok(task.await.map_err(|_| Problem::internal())??)
}

/// Waits for edges, and leads to the entry, which says how far it has come.
async fn done(authority: &Authority, answer: RevocationAnswer) -> Result<Response, Failed> {
    let done = match answer.outcome {
        OutcomeName::Revoked => Some("revoked"),
        OutcomeName::AlreadyRevoked => Some("already"),
        OutcomeName::Restored => Some("restored"),
        OutcomeName::Withdrawn => Some("withdrawn"),
        OutcomeName::AlreadyExpired | OutcomeName::NotRevoked => None,
    };
    let Some(id) = answer.id else {
        let detail = match answer.outcome {
            OutcomeName::AlreadyExpired => "every token of this name has expired already",
            _ => "it is not revoked, so there is nothing to restore",
        };
        return Err(Problem::out_of_bounds(detail).into());
    };
    if let Some(sequence) = answer.sequence {
        reached(authority, sequence, Some(EdgeWait::of(WAIT))).await;
    }
    Ok(to(&href(
        entries::ONE,
        &[("id", Some(&*id)), ("done", done)],
    )))
}

/// When the user of a session signed in, as far as edges have reported it: as with sessions that users end
/// themselves, this decides for which sign-ins the session ends.
async fn signed_in(
    authority: &Arc<Authority>,
    wanted: &Wanted,
) -> Result<Option<UnixTime>, Failed> {
    if wanted.kind != Kind::Session {
        return Ok(None);
    }
    let name = Name::Session(wanted.value.as_str().into());
    let id = name.fingerprint(authority.sessions.key(), &wanted.issuer);
    let (issuer, subject) = (wanted.issuer.clone(), wanted.subject.clone());
    let authority = Arc::clone(authority);
    let found = tokio::task::spawn_blocking(move || {
        let owned = Owned {
            issuer: &issuer,
            subject: subject.as_deref(),
            id,
        };
        authority.sessions.registry().get(owned)
    });
    let found = found.await.map_err(|_| Problem::internal())?;
    // Ending it does not depend on the registry. Without, it ends for good.
    let found = found.ok().flatten();
    Ok(found.and_then(|session| session.signed_in()))
}

fn reason_field() -> Markup {
    html! {
        label for="reason" { "Reason" }
        input #reason type="text" name="reason" required maxlength=(MAX_REASON_BYTES) autocomplete="off"
            autofocus;
        p.hint { "For those who read the history. It stays with the entry." }
    }
}
