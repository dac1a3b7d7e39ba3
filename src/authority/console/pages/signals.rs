//! What identity providers have sent, and what became of it.

use std::sync::Arc;

use axum::Extension;
use axum::extract::{Query, State};
use maud::{Markup, html};

use super::super::Operator;
use super::super::form::Asked;
use super::{Failed, Page, ROWS, Section, href, more, name, nothing, optional, time};
use crate::authority::Authority;
use crate::authority::http::Problem;
use crate::authority::http::signals::{self, SignalAnswer, SignalEffect, SignalsQuery};

pub(in super::super) const PATH: &str = "/console/signals";

/// The list, newest first.
pub(in super::super) async fn list(
    State(authority): State<Arc<Authority>>,
    Extension(operator): Extension<Operator>,
    Asked(asked): Asked,
) -> Result<Page, Failed> {
    let asked = asked.expect_only(&["issuer", "subject", "refused", "before"])?;
    let before = asked.given("before").map(|before| {
        let parsed = before.parse();
        parsed.map_err(|_| Problem::invalid("`before`: expected a number"))
    });
    let query = SignalsQuery {
        issuer: asked.given("issuer").map(str::to_owned),
        subject: asked.given("subject").map(str::to_owned),
        refused: asked.is_set("refused"),
        before: before.transpose()?,
        limit: Some(ROWS),
    };
    let is_receiving = authority.signals.is_some();
    let found = signals::list(State(authority), Ok(Query(query))).await?.0;
    let next = found.next.map(|before| {
        let before = before.to_string();
        let asked = [
            ("issuer", asked.given("issuer")),
            ("subject", asked.given("subject")),
            ("refused", asked.given("refused")),
            ("before", Some(&*before)),
        ];
        href(PATH, &asked)
    });
    let empty = if is_receiving {
        "No such signal was received."
    } else {
        "This authority receives no signals: it was started without --signals."
    };
    let body = html! {
        h1 { "Signals" }
        form.filter method="get" action=(PATH) {
            div { label for="subject" { "Subject" }
                input #subject type="text" name="subject" value=[asked.given("subject")] spellcheck="false"; }
            div { label for="issuer" { "Issuer" }
                input #issuer type="text" name="issuer" value=[asked.given("issuer")] spellcheck="false"; }
            label.tick { input type="checkbox" name="refused" value="yes" checked[asked.is_set("refused")];
                "only refused ones" }
            button.quiet type="submit" { "Show" }
        }
        (table(&found.signals, empty))
        (more(next))
    };
    Ok(Page::of(&operator, Section::Signals, "Signals", &body))
}

fn table(signals: &[SignalAnswer], empty: &str) -> Markup {
    if signals.is_empty() {
        return nothing(empty);
    }
    html! {
        table {
            thead { tr { th scope="col" { "Received" } th scope="col" { "Outcome" } th scope="col" { "Receiver" }
                th scope="col" { "Event" } th scope="col" { "About" } th scope="col" { "Issuer" }
                th scope="col" { "Effect" } } }
            tbody { @for signal in signals { (row(signal)) } }
        }
    }
}

fn row(signal: &SignalAnswer) -> Markup {
    html! {
        tr {
            th scope="row" data-label="Received" { (time(&signal.received)) }
            td data-label="Outcome" {
                (verdict(signal))
                @if let Some(detail) = &signal.detail { " " span.faint { (name(detail)) } }
            }
            td data-label="Receiver" { (name(&signal.receiver))
                @if let Some(stream) = &signal.stream { " " span.faint { (name(stream)) } } }
            td data-label="Event" { (optional(signal.event.as_deref())) }
            td data-label="About" {
                (about(signal))
                @if signal.unverified { " " span.state.bad { "unverified" } }
            }
            td data-label="Issuer" { (optional(signal.issuer.as_deref())) }
            td data-label="Effect" { (effects(signal)) }
        }
    }
}

fn verdict(signal: &SignalAnswer) -> Markup {
    html! { @match signal.outcome.as_str() {
        "accepted" => span.state.good { "accepted" },
        "recorded" | "repeated" | "ignored" => span.state { (signal.outcome) },
        refusal => span.state.bad { (name(refusal)) },
    } }
}

fn about(signal: &SignalAnswer) -> Markup {
    let named = [
        ("sub", &signal.subject),
        ("sid", &signal.sid),
        ("client", &signal.client),
    ];
    let mut named = named
        .into_iter()
        .filter_map(|(claim, value)| Some((claim, value.as_deref()?)))
        .peekable();
    if named.peek().is_none() {
        return optional(None);
    }
    html! { @for (claim, value) in named { span.pair { span.faint { (claim) } " " (name(value)) } } }
}

fn effects(signal: &SignalAnswer) -> Markup {
    let listed = |word: &str, effects: &[SignalEffect]| {
        html! { @for effect in effects {
            span.pair { span.faint { (word) " " (effect.kind.name()) } " " (name(&effect.value)) }
        } }
    };
    if signal.revoked.is_empty() && signal.restored.is_empty() {
        return optional(None);
    }
    html! { (listed("revoked", &signal.revoked)) (listed("restored", &signal.restored)) }
}
