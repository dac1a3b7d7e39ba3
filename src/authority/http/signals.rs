//! `GET /v1/signals`: what identity providers have sent, and what became of it.

use std::sync::Arc;
use std::time::{Duration, UNIX_EPOCH};

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::{Problem, ProblemBody};
use crate::authority::Authority;
use crate::authority::signals::{Filter, Record, Revoked};
use crate::revocation::Kind;

const DEFAULT_PAGE: usize = 100;
const MAX_PAGE: usize = 1_000;

/// A signal that was received.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SignalAnswer {
    /// Its number; a higher one came later.
    pub id: u64,
    /// When it came, as in RFC 3339.
    pub received: String,
    /// What it was taken for, `back_channel_logout` for instance.
    pub receiver: String,
    /// `accepted`, `recorded` of an event about which nothing had to be done, `repeated` where it had been
    /// accepted before, `ignored` where there was nothing to do, or why it was refused.
    pub outcome: String,
    /// What an operator should know about a refusal, why there was nothing to do, or what has to be so for
    /// what was done to have an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub detail: Option<String>,
    /// Who has signed it; of one whose signature was not found good, who it claims to be of.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The OAuth client that has asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
    /// What it says has happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event: Option<String>,
    /// `jti`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub jti: Option<String>,
    /// `sub` as it was given, or a hash of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// `sid` as it was given, or a hash of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sid: Option<String>,
    /// Nothing of it was verified: `iss`, `sub`, `sid` and `jti` are what it claims. Only of what may be
    /// sent again, since a claim of anything else means nothing.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unverified: bool,
    /// The stream that it came through.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream: Option<String>,
    /// What was revoked because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub revoked: Vec<SignalEffect>,
    /// What was restored because of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restored: Vec<SignalEffect>,
    /// How long it took until that was on the disk, or until it was refused, in microseconds.
    pub took_microseconds: u64,
    /// The address that it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Something that was revoked or restored because of a signal.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SignalEffect {
    /// What kind of thing.
    pub kind: Kind,
    /// `iss` of the tokens that it names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Its name, or a hash of it.
    pub value: String,
    /// For `claim`: the claim.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claim: Option<String>,
    /// For `subject_and_client`: the client.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<String>,
}

/// Some signals.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, ToSchema)]
pub struct SignalsAnswer {
    /// The signals, the newest first.
    pub signals: Vec<SignalAnswer>,
    /// What to ask for as `before` to see earlier ones; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
}

/// Which signals to list.
#[derive(Clone, Debug, Default, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(in crate::authority) struct SignalsQuery {
    /// Only of this issuer.
    pub(in crate::authority) issuer: Option<String>,
    /// Only of this subject, as the signals have it.
    pub(in crate::authority) subject: Option<String>,
    /// Only those that were refused.
    #[serde(default)]
    pub(in crate::authority) refused: bool,
    /// `next` of the page before, of the same search.
    pub(in crate::authority) before: Option<u64>,
    /// Signals on a page, 1 to 1000; 100 by default. There may be fewer although there are more
    /// pages.
    #[param(minimum = 1, maximum = 1000)]
    pub(in crate::authority) limit: Option<usize>,
}

/// Signals that identity providers have sent, the newest first. Empty where none are received.
#[utoipa::path(
    get,
    path = "/v1/signals",
    security(("viewer" = [])),
    params(SignalsQuery),
    responses(
        (status = 200, body = SignalsAnswer),
        (status = "4XX", body = ProblemBody, content_type = "application/problem+json"),
        (status = 503, description = "The records cannot be read", body = ProblemBody,
         content_type = "application/problem+json"),
    )
)]
pub(in crate::authority) async fn list(
    State(authority): State<Arc<Authority>>,
    query: Result<Query<SignalsQuery>, QueryRejection>,
) -> Result<Json<SignalsAnswer>, Problem> {
    let Query(query) = query?;
    let limit = query.limit.unwrap_or(DEFAULT_PAGE);
    if !(1..=MAX_PAGE).contains(&limit) {
        let detail = format!("`limit`: expected 1 to {MAX_PAGE}");
        return Err(Problem::invalid(detail));
    }
    let filter = Filter {
        issuer: query.issuer,
        subject: query.subject,
        refused: query.refused,
    };
    let Some(receivers) = authority.signals.clone() else {
        return Ok(Json(SignalsAnswer {
            signals: Vec::new(),
            next: None,
        }));
    };
    let page = tokio::task::spawn_blocking(move || {
        let ledger = receivers.ledger();
        ledger.search(&filter, query.before, limit)
    });
    let page = page.await.map_err(|_| Problem::internal())??;
    let signals = page.records.into_iter();
    Ok(Json(SignalsAnswer {
        signals: signals.map(|(id, record)| describe(id, record)).collect(),
        next: page.next,
    }))
}

fn describe(id: u64, record: Record) -> SignalAnswer {
    let received = UNIX_EPOCH + Duration::from_millis(record.received);
    let effects = |all: Vec<Revoked>| {
        let all = all.into_iter().map(|one| SignalEffect {
            kind: one.kind,
            issuer: one.issuer,
            value: one.value,
            claim: one.claim,
            client: one.client,
        });
        all.collect()
    };
    SignalAnswer {
        id,
        received: humantime::format_rfc3339_millis(received).to_string(),
        receiver: record.receiver,
        outcome: record.outcome,
        detail: record.detail,
        issuer: record.issuer,
        client: record.client,
        event: record.event,
        jti: record.jti,
        subject: record.subject,
        sid: record.sid,
        unverified: record.unverified,
        stream: record.stream,
        revoked: effects(record.revoked),
        restored: effects(record.restored),
        took_microseconds: record.took,
        address: record.address,
    }
}
