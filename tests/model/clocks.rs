//! Cut-offs against the order of events, where the clocks that write `iat` differ.
//!
//! A sign-in happens at an instant by the machine's clock, and the token's `iat` is another one,
//! off by as much as clocks may be, in either direction. What counts is which came first, the
//! sign-in or the acknowledgement of the cut-off; and the acknowledgement says from which `iat` on
//! a token is spared.

use std::collections::BTreeMap;

use portcullis::revocation::Kind;
use serde_json::{Value, json};

use super::edge::{Edge, Word};
use super::milliseconds_now;
use super::support::{Authority, ISSUER, Random};
use super::table::{Name, Named, any_cut_off, session};

/// How far the clocks of issuers are off, in milliseconds: the authority's default tolerance.
const SKEW: usize = 60_000;

/// How much later than now a sign-in may be, so that some come after the end of a cut-off.
const LATER: usize = 200_000;

/// How many of the latest tokens are tried when an edge has caught up.
const TRIED: usize = 40;

/// A cut-off that is in force.
#[derive(Clone, Debug)]
struct CutOff {
    /// It revokes the events before this one.
    order: usize,
    /// From which `iat` on tokens are spared, as it was acknowledged.
    not_before: u64,
    except: Option<String>,
}

/// A token, and which event its issue was.
#[derive(Debug)]
struct Issued {
    order: usize,
    token: Named,
}

/// What happened so far.
#[derive(Debug, Default)]
struct History {
    events: usize,
    issued: Vec<Issued>,
    cut_offs: BTreeMap<Name, Vec<CutOff>>,
}

/// How often each case occurred.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Refused, though their `iat` is after the acknowledgement of the cut-off.
    pub(crate) ahead: usize,
    pub(crate) refused: usize,
    pub(crate) accepted: usize,
}

pub(crate) fn run(seed: u64, steps: usize) -> Tally {
    let mut random = Random::seeded(seed);
    let authority = Authority::start_with(&["--generation-interval", "1s"]);
    let mut edges: Vec<_> = (0..2)
        // Some tokens are used minutes from now, and the feed is silent until then.
        .map(|seed| Edge::new(&authority, seed, "3600s"))
        .collect();
    let mut history = History::default();
    let mut tally = Tally::default();
    for step in 0..steps {
        match random.below(100) {
            0..60 => history.sign_in(&mut random),
            60..72 => history.cut_off(&mut random, &authority),
            72..76 => {
                let name = any_cut_off(&mut random);
                authority.restore_access(name.0, &name.1);
                history.cut_offs.remove(&name);
            }
            _ => {
                let index = random.below(edges.len());
                let edge = &mut edges[index];
                edge.catch_up(&authority);
                let context = format!("seed {seed}, step {step}, edge {index}");
                history.compare(&authority, edge, &context, &mut tally);
            }
        }
    }
    tally
}

impl History {
    /// A user signs in, now or later, and the clock of the token's issuer is off.
    fn sign_in(&mut self, random: &mut Random) {
        let later = *random.pick(&[0, 0, LATER]);
        let issued_at = milliseconds_now() + random.below(later + 1) as u64;
        let by_the_issuer = issued_at + random.below(2 * SKEW + 1) as u64 - SKEW as u64;
        self.events += 1;
        self.issued.push(Issued {
            // A token that is issued later comes after every cut-off before then.
            order: if later == 0 { self.events } else { usize::MAX },
            token: Named::issued_at(random, by_the_issuer / 1_000),
        });
    }

    fn cut_off(&mut self, random: &mut Random, authority: &Authority) {
        let name = any_cut_off(random);
        let mut request = json!({"kind": name.0, "issuer": ISSUER});
        if name.0 != Kind::Issuer.name() {
            request["value"] = name.1.as_str().into();
        }
        let except = (random.below(3) == 0).then(|| session(random));
        if let Some(session) = &except {
            request["except_session"] = session.as_str().into();
        }
        let (status, answer) = authority.post("/v1/revocations", &request.to_string());
        assert_eq!(status, 200, "{answer}");
        let answer: Value = serde_json::from_str(&answer).expect("JSON");
        self.events += 1;
        self.cut_offs.entry(name).or_default().push(CutOff {
            order: self.events,
            not_before: answer["not_before"].as_u64().expect("an instant"),
            except,
        });
    }

    /// The cut-offs in force that name a token and do not spare its session.
    fn of(&self, token: &Named) -> Vec<&CutOff> {
        let names = token.values.iter();
        let names = names.map(|(kind, value)| (*kind, value.clone()));
        let all = names.filter_map(|name| self.cut_offs.get(&name)).flatten();
        let session = token.session();
        let spares = |cut_off: &CutOff| cut_off.except.is_some() && cut_off.except == session;
        all.filter(|cut_off| !spares(cut_off)).collect()
    }

    fn compare(&self, authority: &Authority, edge: &mut Edge, context: &str, tally: &mut Tally) {
        let latest = self.issued.len().saturating_sub(TRIED);
        for Issued { order, token } in &self.issued[latest..] {
            let cut_offs = self.of(token);
            let is_earlier = cut_offs.iter().any(|cut_off| *order < cut_off.order);
            let is_spared = |cut_off: &&CutOff| token.issued_at >= cut_off.not_before;
            let exact = authority.is_revoked(&token.check());
            let word = edge.word(authority, token);
            let told = format!("{context}: {exact}, {word:?} for {token:?}");
            if is_earlier {
                assert!(exact, "the authority lets it pass; {told}");
                assert_eq!(word, Word::Revoked, "it passes; {told}");
                tally.refused += 1;
                let is_ahead = token.issued_at > milliseconds_now() / 1_000;
                tally.ahead += usize::from(is_ahead);
            } else if cut_offs.iter().all(is_spared) {
                assert!(!exact, "the authority makes it up; {told}");
                assert_eq!(word, Word::Pass, "a false refusal; {told}");
                tally.accepted += 1;
            }
        }
    }
}
