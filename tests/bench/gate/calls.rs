//! Plans of host calls, which are measured without any code between the calls.
//!
//! The plan of Portcullis shows what its code costs besides the calls. The fewest calls that the
//! work takes show which promises no filter can keep in WebAssembly. A plan that grows call by call
//! shows what each of them costs within a request, with cold caches.
//!
//! A token that is known can be recognised by its bytes, but one that is new has to be read before
//! its signature can be checked: header and claims say whose key that takes. The fewest calls alone
//! are less than a filter can do with such a token, so that the floor for new and forged ones has
//! the token decoded besides.

use std::fmt::Write as _;

use serde_json::Value;

/// What a filter asks of its host for a request.
#[derive(Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Calls {
    /// Its name in listeners and in files, by which tables are sorted.
    pub(crate) id: &'static str,
    /// In tables and plots.
    pub(crate) label: &'static str,
    words: &'static [&'static str],
}

/// The plan of Portcullis.
const OWN: &str = "host calls alone";

/// One header in place of all of them, whatever that leaves unseen; the clock is read and requests
/// are counted at another time; nothing is asked of shared data.
const FEWEST: &str = "fewest host calls";

/// The same calls, and what has to be done with a token that was not seen before: its three parts
/// are taken out of base64url, and header and claims are parsed as JSON, of which nothing is kept.
const DECODED: &str = "fewest host calls, token decoded";

const ALL: &str = "headers";
const TOKEN: &str = "header:authorization";
const DECODE: &str = "decode";
const STRIP: &str = "remove:authorization";
const USER: &str = "set:x-user-id=user-00000001";
const SESSION: &str = "set:x-user-session=0123456789abcdef0123456789abcdef";
const VERIFY: &str = "verify";
const REFUSE: &str = "refuse";

const fn plan(id: &'static str, label: &'static str, words: &'static [&'static str]) -> Calls {
    Calls { id, label, words }
}

/// Of a request with a token that is known.
pub(crate) static WARM: [Calls; 2] = [
    plan(
        "calls-warm",
        OWN,
        &[ALL, "time", STRIP, USER, SESSION, "count"],
    ),
    plan("fewest-warm", FEWEST, &[TOKEN, STRIP, USER, SESSION]),
];

/// Of one with a new token.
pub(crate) static COLD: [Calls; 3] = [
    plan(
        "calls-cold",
        OWN,
        &[
            ALL, VERIFY, "time", "page", "page", STRIP, USER, SESSION, "count",
        ],
    ),
    plan(
        "fewest-cold",
        FEWEST,
        &[TOKEN, VERIFY, STRIP, USER, SESSION],
    ),
    plan(
        "fewest-cold-decoded",
        DECODED,
        &[TOKEN, DECODE, VERIFY, STRIP, USER, SESSION],
    ),
];

/// Of one with a forged token.
pub(crate) static FORGED: [Calls; 3] = [
    plan(
        "calls-forged",
        OWN,
        &[ALL, VERIFY, "count", "level", REFUSE],
    ),
    plan("fewest-forged", FEWEST, &[TOKEN, VERIFY, REFUSE]),
    plan(
        "fewest-forged-decoded",
        DECODED,
        &[TOKEN, DECODE, VERIFY, REFUSE],
    ),
];

/// Ends the program unless the plans of Portcullis have as many calls as the budget counts.
pub(crate) fn assert_counted() {
    let budget: Value = serde_json::from_str(BUDGET).expect("the budget");
    for (name, plans) in [
        ("warm, RS256", &WARM[..]),
        ("cold, RS256", &COLD),
        ("forged, RS256", &FORGED),
    ] {
        let own = plans.iter().find(|plan| plan.are_own());
        let planned = own.expect("a plan of Portcullis").words.len() as f64;
        // What is done for one request in sixteen is in no plan.
        let counted = budget[name]["host_calls"].as_f64().expect("a count");
        assert!(
            (counted - planned).abs() < 0.5,
            "{name}: {planned} host calls in the plan, {counted} counted"
        );
    }
}

const BUDGET: &str = include_str!("../budget.json");

/// One call more in each.
pub(crate) static STEPS: [Calls; 12] = [
    plan("calls-01", "time", &["time"]),
    plan("calls-02", "time, count", &["time", "count"]),
    plan("calls-03", "one header", &[TOKEN]),
    plan("calls-04", "two headers", &[TOKEN, "header::path"]),
    plan("calls-05", "all headers", &[ALL]),
    plan("calls-06", "all headers, a page", &[ALL, "page"]),
    plan("calls-07", "all headers, two pages", &[ALL, "page", "page"]),
    plan("calls-08", "all headers, one removed", &[ALL, STRIP]),
    plan(
        "calls-09",
        "all headers, one removed, one set",
        &[ALL, STRIP, USER],
    ),
    plan(
        "calls-10",
        "all headers, one removed, two set",
        &[ALL, STRIP, USER, SESSION],
    ),
    plan("calls-11", "all headers, signature", &[ALL, VERIFY]),
    plan("calls-12", "all headers, refusal", &[ALL, REFUSE]),
];

/// The scenario in which each step is measured.
pub(crate) const NAME: &str = "calls of the host";

impl Calls {
    /// Whether they are those of Portcullis.
    pub(crate) fn are_own(&self) -> bool {
        self.label == OWN
    }

    /// Whether they are the fewest.
    pub(crate) fn are_fewest(&self) -> bool {
        self.label == FEWEST
    }

    /// Whether they are the fewest, with the token decoded between them.
    pub(crate) fn decode(&self) -> bool {
        self.label == DECODED
    }

    /// The configuration of the filter that makes the calls. `question` is the argument of
    /// `verify_signature`.
    pub(crate) fn text(&self, question: &[u8]) -> String {
        let digits = question.iter().fold(String::new(), |mut digits, byte| {
            let _ = write!(digits, "{byte:02x}");
            digits
        });
        let verify = format!("{VERIFY}:{digits}");
        let calls = self.words.iter().map(|call| match *call {
            VERIFY => &verify,
            call => call,
        });
        calls.collect::<Vec<_>>().join(" ")
    }

    /// Whether it ends with an answer to the client.
    pub(crate) fn refuses(&self) -> bool {
        self.words.last() == Some(&REFUSE)
    }
}
