//! Authority and edge against a plain table: what was revoked is never admitted, and what was not
//! revoked is never refused.
//!
//! A real authority takes random revocations, restorations, imports and kills. Edges follow it, some
//! from the beginning and some from later on: the filter's own, with its gate, its token cache and the
//! checks at the authority, in two virtual machines over shared data in memory. Entries expire
//! meanwhile, and not a second too early or too late. A second model has cut-offs as they are usually
//! asked for, "up to now", and issuers whose clocks are off; in a third one the authority is put back to
//! backups, in a fourth one sessions end by themselves, and in a fifth one edges wander between three
//! authorities on one database. `PORTCULLIS_LONG=1` makes the run a hundred times as long.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "a test fails by panicking"
)]

mod backups;
mod clocks;
mod edge;
mod endings;
#[path = "../support/machine.rs"]
mod machine;
#[path = "../support/memory.rs"]
#[allow(dead_code, reason = "the bench needs more of it")]
mod memory;
#[path = "../support/postgres.rs"]
#[allow(dead_code, reason = "the tests of the engine need more of it")]
mod postgres;
mod replicas;
#[path = "../support/mod.rs"]
mod support;
mod table;
#[path = "../support/way.rs"]
#[allow(dead_code, reason = "the tests of the authority need more of it")]
mod way;

use std::env;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, SystemTime};

use edge::{Authorities, Edge, Word};
use support::{Authority, Random};
use table::{LONGEST_SHORT_LIFE, Life, MARGIN, Named, Table, Truth};

/// Tokens that are tried after every step in which the edges catch up.
const TOKENS: usize = 60;

/// How often each case occurred.
#[derive(Debug, Default)]
struct Tally {
    revoked: usize,
    not_revoked: usize,
    lapsed: usize,
    either: usize,
    /// Found in a token cache.
    remembered: usize,
    /// Found in a token cache, and void.
    void: usize,
    /// Requests in progress that were ended.
    closed: usize,
    /// Those that went on.
    kept: usize,
    /// Users who were told that they are signed out.
    signed_out: usize,
}

/// Of tests in which what is revoked lives for seconds, one at a time: a slow one would not know what is true.
static IN_TURN: Mutex<()> = Mutex::new(());

#[test]
fn nothing_that_was_revoked_is_ever_said_not_to_be() {
    let _turn = IN_TURN.lock();
    let (seeds, steps) = extent(400);
    for seed in 0..seeds {
        let tally = run(seed, steps);
        println!("seed {seed}: {tally:?}");
        assert!(tally.revoked.min(tally.not_revoked) > 50, "{tally:?}");
        assert!(tally.lapsed > 50, "{tally:?}");
        assert!(tally.remembered > 50 && tally.void > 50, "{tally:?}");
        assert!(tally.closed > 50 && tally.kept > 50, "{tally:?}");
        assert!(tally.signed_out > 5, "{tally:?}");
        assert!(tally.either * 10 < tally.revoked, "{tally:?}");
    }
}

#[test]
fn no_token_issued_before_an_acknowledged_cut_off_is_accepted_after_it() {
    let (seeds, steps) = extent(400);
    for seed in 0..seeds {
        let tally = clocks::run(seed, steps);
        println!("seed {seed}: {tally:?}");
        assert!(tally.ahead > 50 && tally.accepted > 50, "{tally:?}");
        assert!(tally.refused > tally.ahead, "{tally:?}");
    }
}

#[test]
fn nothing_that_an_edge_has_heard_of_is_undone_by_an_authority_of_another_epoch() {
    let (seeds, rounds) = extent(4);
    for seed in 0..seeds {
        let (heard, tally) = backups::run(seed, rounds);
        println!("seed {seed}: {heard:?}, {tally:?}");
        assert!(heard.revoked > 50 && heard.unconfirmed > 50, "{heard:?}");
        assert!(tally.revoked.min(tally.not_revoked) > 50, "{tally:?}");
    }
}

#[test]
fn sessions_end_by_themselves_only_where_they_are_not_used_or_too_many() {
    let (seeds, steps) = extent(30);
    for seed in 0..seeds {
        let tally = endings::run(seed, steps);
        println!("seed {seed}: {tally:?}");
        assert!(
            tally.idle.min(tally.displaced).min(tally.silences) > 0,
            "{tally:?}"
        );
        assert!(tally.passed > 50 && tally.refused > 20, "{tally:?}");
    }
}

#[test]
fn edges_that_wander_between_authorities_hear_nothing_from_the_past() {
    if !postgres::has_postgres() {
        return;
    }
    let _turn = IN_TURN.lock();
    let (seeds, steps) = extent(80);
    for seed in 0..seeds {
        let (troubles, tally) = replicas::run(seed, steps);
        println!("seed {seed}: {troubles:?}, {tally:?}");
        let least = troubles.killed.min(troubles.paused).min(troubles.cut_off);
        assert!(least > 0 && troubles.keepers > 1, "{troubles:?}");
        assert!(
            troubles.asked_again >= replicas::LEAST_REFUSED,
            "{troubles:?}"
        );
        assert!(tally.revoked.min(tally.not_revoked) > 50, "{tally:?}");
        assert!(tally.lapsed > 50 && tally.void > 50, "{tally:?}");
        assert!(tally.closed.min(tally.kept) > 20, "{tally:?}");
    }
}

/// How many seeds, and how many steps with each: ten times as many of both in the long form.
fn extent(steps: usize) -> (u64, usize) {
    match env::var_os("PORTCULLIS_LONG") {
        Some(_) => (20, 10 * steps),
        None => (2, steps),
    }
}

fn run(seed: u64, steps: usize) -> Tally {
    let mut random = Random::seeded(seed);
    let margin = format!("{MARGIN}s");
    let arguments = [
        "--generation-interval",
        "1s",
        "--danger-expiry-margin",
        &margin,
    ];
    let mut authority = Authority::for_users(&arguments);
    let mut table = Table::new();
    let mut tally = Tally::default();
    let mut edges = vec![Edge::new(&authority, 1, "30s")];
    for step in 0..steps {
        let context = format!("seed {seed}, step {step}");
        match random.below(100) {
            76..79 => authority.restart(),
            79..81 => edges.push(Edge::new(&authority, random.next(), "30s")),
            81..82 => thread::sleep(Duration::from_secs(1)),
            other => {
                let history = (&mut random, &mut table, &mut tally);
                act(other, history, &authority, &mut edges, &context);
            }
        }
    }
    finish(
        seed,
        (&mut random, &table),
        &authority,
        &mut edges,
        &mut tally,
    );
    tally
}

/// What is done, what is true, and what was counted.
type Past<'h> = (&'h mut Random, &'h mut Table, &'h mut Tally);

/// Asks for one thing that changes what is true, below 76, or looks at what one of the edges says.
fn act(
    what: usize,
    (random, table, tally): Past<'_>,
    authority: &impl Authorities,
    edges: &mut [Edge],
    context: &str,
) {
    match what {
        0..6 => {
            let index = random.below(edges.len());
            let is_told = sign_out(random, table, authority, &mut edges[index]);
            tally.signed_out += usize::from(is_told);
        }
        6..50 => {
            let life = *random.pick(&[Life::Short, Life::Short, Life::Long]);
            let request = table.revoke(random, life);
            let (status, answer) = authority.post("/v1/revocations", &request.to_string());
            assert_eq!(status, 200, "{context}: {answer}");
            table.is_done();
        }
        50..68 => {
            let name = Table::any_name(random);
            let request = table::request_for(&name).to_string();
            let (status, answer) = authority.post("/v1/restorations", &request);
            assert_eq!(status, 200, "{context}: {answer}");
            table.restored(&name);
        }
        68..76 => {
            let (life, most) = *random.pick(&[(Life::Short, 700), (Life::Long, 20)]);
            let lines = (0..random.below(most)).map(|_| table.revoke(random, life));
            let lines: Vec<String> = lines.map(|line| line.to_string()).collect();
            authority.import(&lines.join("\n"));
            table.is_done();
        }
        _ => {
            let index = random.below(edges.len());
            let context = format!("{context}, edge {index}");
            let edge = &mut edges[index];
            edge.catch_up(authority);
            compare(random, table, authority, edge, &context, tally);
        }
    }
}

/// Looks at all edges once more, and again when everything with a short life has lapsed.
fn finish(
    seed: u64,
    (random, table): (&mut Random, &Table),
    authority: &impl Authorities,
    edges: &mut [Edge],
    tally: &mut Tally,
) {
    // However fast the steps were, what was revoked for a moment lapses before the end.
    for (when, pause) in [
        ("after the last step", LONGEST_SHORT_LIFE),
        ("at the end", Duration::ZERO),
    ] {
        for (index, edge) in edges.iter_mut().enumerate() {
            edge.catch_up(authority);
            let context = format!("seed {seed}, {when}, edge {index}");
            compare(random, table, authority, edge, &context, tally);
        }
        thread::sleep(pause);
    }
    for edge in &*edges {
        tally.remembered += edge.counted().remembered;
        tally.void += edge.counted().void;
    }
}

/// Signs a user out at this edge, with a token that has not been revoked. Whether the edge has said
/// that he is.
fn sign_out(
    random: &mut Random,
    table: &mut Table,
    authority: &impl Authorities,
    edge: &mut Edge,
) -> bool {
    for _ in 0..TOKENS {
        let token = Named::random(random, table.not_before);
        let scope = *random.pick(&["session", "others", "everywhere"]);
        // A user who is not told so may or may not be signed out.
        let mut after = table.clone();
        let is_fit = table.truth(&token, now(), now()) == Truth::NotRevoked;
        if is_fit && after.sign_out(&token, scope) && edge.sign_out(authority, &token, scope) {
            after.is_done();
            *table = after;
            return true;
        }
    }
    false
}

fn compare(
    random: &mut Random,
    table: &Table,
    authority: &impl Authorities,
    edge: &mut Edge,
    context: &str,
    tally: &mut Tally,
) {
    for (token, word) in edge.words_again(authority) {
        let truth = table.truth(&token, now(), now());
        assert!(
            truth != Truth::Revoked || word == Word::Revoked,
            "{context}: it passes again: {token:?}"
        );
    }
    for (token, is_closed) in edge.streams(authority) {
        let truth = table.truth(&token, now(), now());
        assert!(
            truth != Truth::Revoked || is_closed,
            "{context}: it goes on: {token:?}"
        );
        if is_closed {
            tally.closed += 1;
        } else {
            tally.kept += 1;
        }
    }
    for _ in 0..TOKENS {
        let token = Named::random(random, table.not_before);
        edge.open(authority, &token);
        let from = now();
        let exact = authority.is_revoked(&token.check());
        let word = edge.word(authority, &token);
        // Time passes meanwhile.
        let truth = table.truth(&token, from, now());
        let told = format!("{context}: {exact}, {word:?} for {token:?}");
        match truth {
            Truth::Revoked => {
                assert!(exact, "the authority has forgotten; {told}");
                assert_eq!(word, Word::Revoked, "it passes; {told}");
                tally.revoked += 1;
            }
            Truth::NotRevoked => {
                assert!(!exact, "the authority makes it up; {told}");
                assert_eq!(word, Word::Pass, "a false refusal; {told}");
                tally.not_revoked += 1;
            }
            Truth::Lapsed => {
                assert!(!exact, "the authority keeps it for too long; {told}");
                tally.lapsed += 1;
            }
            Truth::Either => tally.either += 1,
        }
    }
}

fn now() -> u64 {
    milliseconds_now() / 1_000
}

#[expect(
    clippy::disallowed_methods,
    reason = "the authority goes by the clock of the machine"
)]
fn milliseconds_now() -> u64 {
    let since_epoch = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    let since_epoch = since_epoch.expect("a clock past 1970");
    u64::try_from(since_epoch.as_millis()).expect("a time before the end of all clocks")
}
