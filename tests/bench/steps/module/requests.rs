//! Whole decisions, with a host that answers at once and does nothing.

use portcullis::gate::{Attempt, Gate, Verdict, read_configuration};
use portcullis::host::ForeignAnswer;
use portcullis::token::Backend;

use crate::given::Given;
use crate::silent_host::SilentHost;
use crate::step::Step;

const PATH: &str = "/api/orders?page=2";

/// `/public` is open, and `/api` needs a token.
pub(crate) fn steps(given: &Given) -> Vec<Step> {
    // Each with a cache of its own.
    let gate = || gate(given);
    let now = Given::now_milliseconds();
    let host = |token| SilentHost::asked_for(PATH, token, now);
    let open = SilentHost::asked_for("/public/prices", None, now);
    let known =
        |algorithm| host(Some(given.token(algorithm))).with_signatures(ForeignAnswer::Genuine);
    let forged =
        |algorithm| host(Some(given.token(algorithm))).with_signatures(ForeignAnswer::Forged);
    vec![
        forwarded("a known token, RS256", gate(), known("rs256")),
        forwarded("a known token, ES256", gate(), known("es256")),
        new(
            "a new token, RS256, the host says genuine",
            gate(),
            known("rs256"),
        ),
        new(
            "a new token, ES256, the host says genuine",
            gate(),
            known("es256"),
        ),
        refused(
            "a forged token, RS256, the host says so",
            gate(),
            forged("rs256"),
        ),
        refused(
            "a forged token, ES256, the host says so",
            gate(),
            forged("es256"),
        ),
        refused("no token", gate(), host(None)),
        refused("a token without form", gate(), host(Some("e30.e30.AA"))),
        forwarded("an open path", gate(), open),
    ]
}

fn gate(given: &Given) -> Gate {
    let configured = read_configuration(&given.configuration, &|_| None).expect("a configuration");
    Gate::new(configured.policy, Backend::Host, [7; 16])
}

fn forwarded(what: &str, gate: Gate, host: SilentHost) -> Step {
    Step::new(&named(what), move || {
        let verdict = gate.on_request(&host, Attempt::First);
        matches!(verdict, Verdict::Forward)
    })
}

/// Every request has another token, for which the cache has to make room.
fn new(what: &str, gate: Gate, host: SilentHost) -> Step {
    Step::new(&named(what), move || {
        host.renew_token();
        let verdict = gate.on_request(&host, Attempt::First);
        matches!(verdict, Verdict::Forward) && gate.take_cache_counts().misses == 1
    })
}

fn refused(what: &str, gate: Gate, host: SilentHost) -> Step {
    Step::new(&named(what), move || {
        let verdict = gate.on_request(&host, Attempt::First);
        matches!(verdict, Verdict::Stop) && host.take_answered() == Some(401)
    })
}

fn named(what: &str) -> String {
    format!("a whole decision: {what}")
}
