//! An authority that is put back to a backup, and edges that know more than it does then.
//!
//! Until an edge follows the new epoch, no answer of the authority lets pass what the edge has heard
//! was revoked: not in the old epoch, as long as the authority is behind there, and not in the new one
//! either, where more may have been revoked than was lost. After that, what counts is what the
//! authority knows.

use portcullis::revocation::Kind;

use super::edge::{Authorities as _, Edge, Word};
use super::support::{Authority, Random};
use super::table::{Life, MARGIN, Named, Table, Truth};
use super::{Tally, compare, now};

/// Revocations in the backup, and those that are made at a time after it.
const SAVED: usize = 10;
const MADE: usize = 40;

/// Tokens that are tried while the authority may have lost something.
const TRIED: usize = 300;

/// What was said of tokens whose revocation an edge had heard of, and the authority perhaps lost.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    pub(crate) revoked: usize,
    pub(crate) unconfirmed: usize,
}

pub(crate) fn run(seed: u64, rounds: usize) -> (Heard, Tally) {
    let mut random = Random::seeded(seed);
    let margin = format!("{MARGIN}s");
    let arguments = ["--danger-expiry-margin", &margin];
    let (mut heard, mut tally) = (Heard::default(), Tally::default());
    for round in 0..rounds {
        let mut authority = Authority::start_with(&arguments);
        let mut table = Table::new();
        let mut edges = [1, 2].map(|seed| Edge::new(&authority, seed, "3600s"));
        revoke(SAVED, &mut random, &authority, &mut table);
        let backup = authority.back_up();
        let before = table.clone();
        revoke(MADE, &mut random, &authority, &mut table);
        for edge in &mut edges {
            edge.catch_up(&authority);
        }
        let (_, known) = authority.head();
        authority.restore(&backup);
        let context = format!("seed {seed}, round {round}");
        for edge in &mut edges {
            hold(&mut random, &table, &authority, edge, &context, &mut heard);
        }

        let lost = std::mem::replace(&mut table, before);
        let [first, second] = &mut edges;
        first.show(&authority);
        while authority.head().1 <= known {
            revoke(MADE, &mut random, &authority, &mut table);
        }
        hold(&mut random, &lost, &authority, second, &context, &mut heard);
        for edge in &mut edges {
            edge.catch_up(&authority);
            compare(&mut random, &table, &authority, edge, &context, &mut tally);
        }
    }
    (heard, tally)
}

/// Revokes so much of anything but the issuer, which would hide what is lost.
fn revoke(count: usize, random: &mut Random, authority: &Authority, table: &mut Table) {
    let mut lines = Vec::new();
    while lines.len() < count {
        let mut next = table.clone();
        let line = next.revoke(random, Life::Long);
        if line["kind"] != Kind::Issuer.name() {
            *table = next;
            lines.push(line.to_string());
        }
    }
    authority.import(&lines.join("\n"));
    table.is_done();
}

/// What the edge has heard of holds, whatever the authority has lost.
fn hold(
    random: &mut Random,
    known: &Table,
    authority: &Authority,
    edge: &mut Edge,
    context: &str,
    heard: &mut Heard,
) {
    for _ in 0..TRIED {
        let mut token = Named::random(random, known.not_before);
        // One with several names would hardly ever be revoked only by what was lost.
        let only = *random.pick(&["token", "session", "device", "subject", "client"]);
        token
            .values
            .retain(|kind, _| [only, "issuer"].contains(kind));
        let from = now();
        let word = edge.word_of_any(authority, &token);
        if known.truth(&token, from, now()) != Truth::Revoked {
            continue;
        }
        match word {
            Word::Revoked | Word::Ended(_) => heard.revoked += 1,
            Word::Unconfirmed => heard.unconfirmed += 1,
            Word::Pass | Word::Apart => panic!("{context}: it passes: {token:?}"),
        }
    }
}
