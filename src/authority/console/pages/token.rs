//! What a pasted token names, and which of that is revoked.
//!
//! The token comes in the body of a request, is read, and is gone with the request: it is in no address, no
//! log and no answer. Its signature is not checked, since a token is pasted here to find out about it, and what
//! is shown says so.

use std::sync::Arc;

use axum::Extension;
use axum::extract::State;
use maud::{Markup, html};

use super::super::diary::{Deed, Line};
use super::super::form::Sent;
use super::super::{Console, Operator};
use super::{Failed, Page, Section, act, name, seconds, users};
use crate::authority::http::Problem;
use crate::authority::http::body::ReadJson;
use crate::authority::http::check::check;
use crate::authority::text::bare;
use crate::authority::{Authority, clock};
use crate::gate::{NamingRules, check_request_of};
use crate::revocation::wire::{CheckAnswer, CheckRequest, Member};
use crate::revocation::{CutOffBy, Kind};
use crate::token::{LARGEST_MAX_TOKEN_BYTES, UnverifiedToken};

pub(in super::super) const PATH: &str = "/console/token";

/// What is read from a token.
struct Names {
    check: CheckRequest,
    expires_at: Option<u64>,
}

/// Reads it.
pub(in super::super) async fn read(
    State(authority): State<Arc<Authority>>,
    Extension(console): Extension<Arc<Console>>,
    Extension(operator): Extension<Operator>,
    Sent(form): Sent,
) -> Result<Page, Failed> {
    let form = form.expect_only(&["token"])?;
    let names = Names::of(&form.expect_typed("token")?, &console.issuers);
    drop(form);
    console.diary.write(Line {
        at: clock::now_milliseconds(),
        who: Some(Arc::clone(&operator.caller.name)),
        address: None,
        deed: Deed::ReadToken,
        entry: None,
    });
    let body = match names {
        Ok(names) => {
            // As anyone may ask who may ask at all.
            let asked = ReadJson {
                value: names.check.clone(),
                bytes: axum::body::Bytes::new(),
            };
            let caller = Extension(operator.caller.clone());
            let answer = check(State(authority), caller, asked).await;
            shown(&operator, &names, &answer.map(|answer| answer.0))
        }
        Err(why) => html! {
            p.banner.bad role="alert" { "This is no token that the gate would accept: " (why) "." }
            section.card { h2 { "Another one" } (super::search::token_form(&operator)) }
        },
    };
    let body = html! { h1 { "Token" } (body) };
    Ok(Page::of(&operator, Section::Search, "Token", &body))
}

impl Names {
    fn of(pasted: &str, issuers: &[(String, CutOffBy)]) -> Result<Self, String> {
        let token = bare(pasted).as_bytes();
        let token = UnverifiedToken::parse_up_to(LARGEST_MAX_TOKEN_BYTES, token);
        let token = token.map_err(|error| error.to_string())?;
        let claims = token.unverified_claims();
        let mut check = check_request_of(claims, NamingRules::default());
        if check.issuer.is_empty() {
            return Err("it has no `iss`".to_owned());
        }
        if let Some((_, cut_off_by)) = issuers.iter().find(|(issuer, _)| *issuer == check.issuer) {
            let rules = NamingRules {
                cut_off_by: *cut_off_by,
                ..NamingRules::default()
            };
            check = check_request_of(claims, rules);
        }
        Ok(Self {
            check,
            expires_at: claims.expires_at().map(crate::time::UnixTime::seconds),
        })
    }

    /// Each name with its claim.
    fn all(&self) -> impl Iterator<Item = (Member, &'static str, &str)> {
        let check = &self.check;
        let all = [
            (Member::Subject, "sub", &check.subject),
            (Member::Sid, "sid", &check.sid),
            (Member::Jti, "jti", &check.jti),
            (Member::Client, "client_id", &check.client),
            (Member::Azp, "azp", &check.azp),
        ];
        all.into_iter()
            .filter_map(|(member, claim, value)| Some((member, claim, value.as_deref()?)))
    }
}

fn shown(operator: &Operator, names: &Names, answer: &Result<CheckAnswer, Problem>) -> Markup {
    let now = clock::now().seconds();
    let is_expired = names.expires_at.is_some_and(|end| end <= now);
    html! {
        p.banner { "Nothing about this token was verified: these are the names that it claims to have." }
        @match answer {
            Ok(answer) if answer.revoked => p.banner.bad role="status" {
                "Revoked, by its " (answer.by.map_or("status", Kind::name))
                @if !answer.cause.is_plain() { " (" (super::cause(answer.cause)) ")" } "."
            },
            Ok(_) => p.banner.good role="status" {
                "Not revoked by any name below. A device or another claim that filters are configured with is \
                 not looked at here; " code { "portcullis check" } " does that."
            },
            Err(problem) => p.banner.bad { "It could not be checked: " (problem.detail()) "." },
        }
        section.card {
            dl.facts {
                dt { "iss" } dd { (name(&names.check.issuer)) }
                @for (member, claim, value) in names.all() {
                    dt { (claim) }
                    dd {
                        @if member == Member::Subject { (users::link(&names.check.issuer, value)) }
                        @else { (name(value)) }
                        @if answer.as_ref().is_ok_and(|answer| answer.members.contains(&member)) {
                            " " span.state.bad { "revoked" }
                        }
                        (actions(operator, names, member, value))
                    }
                }
                @if let Some(at) = names.check.issued_at { dt { "iat" } dd { (seconds(at)) } }
                @if let Some(at) = names.check.auth_time { dt { "auth_time" } dd { (seconds(at)) } }
                @if let Some(at) = names.expires_at {
                    dt { "exp" } dd { (seconds(at)) @if is_expired { " " span.state { "expired" } } }
                }
            }
        }
    }
}

/// Links to what can be done about a name. The token itself is not taken along.
fn actions(operator: &Operator, names: &Names, member: Member, value: &str) -> Markup {
    let (kind, words) = match member {
        Member::Subject => (Kind::Subject, "Sign out everywhere"),
        Member::Sid => (Kind::Session, "End the session"),
        Member::Jti => (Kind::Token, "Revoke the token"),
        _ => return html! {},
    };
    let subject = names.check.subject.as_deref();
    let address = act::revoke_address(kind, &names.check.issuer, value, subject);
    html! {
        @if operator.may_act() {
            " · " a href=(address) { (words) }
        }
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    use super::*;

    fn token(claims: &str) -> String {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"RS256"}"#);
        format!("{header}.{}.AAAA", URL_SAFE_NO_PAD.encode(claims))
    }

    #[test]
    fn a_token_is_read_however_it_is_pasted() {
        let token = token(r#"{"iss":"i","sub":"s","sid":"x","jti":"t","iat":5,"exp":9}"#);
        for pasted in [
            token.clone(),
            format!(" Authorization: Bearer {token}\r\n"),
            format!("\"{token}\""),
        ] {
            let names = Names::of(&pasted, &[]).unwrap();
            let all: Vec<_> = names
                .all()
                .map(|(_, claim, value)| (claim, value))
                .collect();
            assert_eq!(all, [("sub", "s"), ("sid", "x"), ("jti", "t")]);
            assert_eq!(
                (names.check.issued_at, names.expires_at),
                (Some(5), Some(9))
            );
        }
    }

    #[test]
    fn what_is_said_of_a_broken_token_has_nothing_of_it() {
        for pasted in [
            "secret",
            "secret.secret.secret",
            &token(r#"{"sub":"secret"}"#),
        ] {
            let why = Names::of(pasted, &[]).map(|_| ()).unwrap_err();
            assert!(!why.contains("secret"), "{why}");
        }
    }
}
