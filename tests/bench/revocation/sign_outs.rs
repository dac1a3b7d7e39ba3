//! Sign-outs at the identity provider, and eight Envoys with two workers each: how long after the logout
//! token was sent does the last worker refuse the session?

use std::net::Ipv4Addr;

use serde_json::json;

use super::Extent;
use super::propagation::{ENVOYS, bootstrap, end_session};
use super::provider::{Provider, logout_request, send};
use super::report::Report;
use crate::support::{Authority, Client, Envoy, ISSUER};

/// In milliseconds.
const PROMISED: f64 = 350.0;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let (envoys, rounds) = match extent {
        Extent::Smoke => (2, 10),
        _ => (ENVOYS, 300),
    };
    let provider = Provider::start(ISSUER, "es256");
    let issuers = json!([provider.settings()]);
    let authority = Authority::receiving_signals(&issuers, &["--log-level", "warn"]);
    let bootstrap = bootstrap(&authority, &json!({}));
    let envoys: Vec<Envoy> = (0..envoys).map(|_| Envoy::start(&bootstrap)).collect();
    let mut clients: Vec<Client> = envoys
        .iter()
        .flat_map(Envoy::client_of_every_worker)
        .collect();
    let (mut answers, mut refusals) = (Vec::new(), Vec::new());
    for round in 0..rounds {
        let session = format!("signed-out-{round}");
        let request = logout_request(&provider.logout(&session).to_string());
        let sign_out = || {
            let status = send(Ipv4Addr::LOCALHOST, authority.signals_address(), &request);
            assert_eq!(status, 200, "{}", authority.log());
        };
        let ended = end_session(&mut clients, &session, round, sign_out);
        answers.push(ended.answered_after());
        refusals.push(ended.refused_after());
    }
    report.delays("logout token sent → answered", &mut answers, None);
    let name = format!(
        "{} Envoys, logout token sent → refused by every worker",
        envoys.len()
    );
    report.delays(&name, &mut refusals, Some(PROMISED));
}
