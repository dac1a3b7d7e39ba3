//! Forged signals, five thousand a second: what does an operator notice who revokes meanwhile, and what does
//! an identity provider whose users sign out?
//!
//! Both are measured in the same way without the flood and then in it. Beside them, single sessions are
//! revoked, one after the other, until both workers of an Envoy that follows the feed refuse them. What is
//! due at a pace counts from when it was due, so that nothing looks early for having been asked late.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::json;

use super::Extent;
use super::forgery::{self, Answers, Forgery, NEIGHBOUR, REVOKER, STREAM};
use super::load;
use super::process;
use super::propagation::{bootstrap, end_session};
use super::provider::{Provider, logout_request, send};
use super::report::{Report, milliseconds};
use crate::support::{Authority, Client, Envoy, ISSUER};

/// Revocations of the operator, a second.
const REVOCATIONS: u32 = 15;

/// Sign-outs at the provider, a second.
const SIGN_OUTS: u32 = 10;

/// The same at providers that have never sent anything before.
const FIRST_SIGN_OUTS: u32 = 2;

/// From where the provider sends.
const PROVIDER: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 3);

/// By how much a revocation may be later than without the flood, in milliseconds.
const PROMISED_DELAY: f64 = 250.0;

/// Of the forged signals that are due, how many have to be answered for the rest to mean something.
const PROMISED_SHARE: f64 = 0.98;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let time = Duration::from_secs(match extent {
        Extent::Smoke => 2,
        _ => 40,
    });
    let attacked = Provider::start(ISSUER, "es256");
    let provider = Provider::start("https://other.example", "eddsa");
    let authority = receiving(&attacked, &provider);
    let scene = Scene {
        authority: &authority,
        provider: &provider,
    };
    for (from, provider) in [(NEIGHBOUR, &attacked), (PROVIDER, &provider)] {
        let first = logout_request(&provider.logout("first").to_string());
        let status = send(from, authority.signals_address(), &first);
        assert_eq!(status, 200, "{}", authority.log());
    }
    let envoy = Envoy::start(&bootstrap(&authority, &json!({})));
    let mut clients = envoy.client_of_every_worker();
    let mut quiet = scene.watch("quiet", &mut clients, time);
    quiet.tell("no flood", report);

    let forgeries = forgery::all();
    let is_over = AtomicBool::new(false);
    let (mut flooded, first) = thread::scope(|scope| {
        let (scene, is_over) = (&scene, &is_over);
        let end = EndOfFlood(is_over);
        let signals = authority.signals_address();
        let began = Instant::now();
        let senders: Vec<_> = forgeries
            .iter()
            .map(|forgery| scope.spawn(move || forgery.send(signals, is_over)))
            .collect();
        let first = scope.spawn(move || scene.first_sign_outs(began + time));
        let flooded = scene.watch("flooded", &mut clients, time);
        let first = first.join().expect("answers");
        drop(end);
        let answers = senders.into_iter().map(|it| it.join().expect("answers"));
        tell_forged(&forgeries, answers.collect(), began.elapsed(), report);
        (flooded, first)
    });
    flooded.tell("flood", report);
    flooded.compare(&quiet, report);
    let (taken, tried) = (first[&200], first.values().sum::<u32>());
    report.note(
        "flood: first logout tokens of unknown senders, taken",
        f64::from(taken) * 100.0 / f64::from(tried),
        "%",
    );
    let forged = json!({"issuer": ISSUER, "sid": "s", "subject": "alice", "issued_at": 1});
    assert!(!authority.is_revoked(&forged), "it was forged");
}

/// An authority with every receiver whose signals are forged.
fn receiving(attacked: &Provider, provider: &Provider) -> Authority {
    let mut issuer = attacked.settings();
    issuer["receivers"]["global_token_revocation"] = json!({ "name": REVOKER });
    let signals = json!({
        "public_url": "https://signals.example",
        "issuers": [issuer, provider.settings()],
        "streams": [{
            "name": STREAM, "issuer": ISSUER, "audiences": ["https://edge.example"],
            "delivery": {"push": {}},
        }],
    });
    Authority::with_signals(&signals, &["--log-level", "warn"])
}

/// Who is genuine.
struct Scene<'s> {
    authority: &'s Authority,
    provider: &'s Provider,
}

/// What they have noticed.
struct Watched {
    answers: Vec<Duration>,
    refusals: Vec<Duration>,
    sign_outs: Vec<Duration>,
    /// Sign-outs that were not taken.
    refused: u32,
    /// Of the authority.
    cores: f64,
}

impl Scene<'_> {
    fn watch(&self, name: &str, clients: &mut [Client], time: Duration) -> Watched {
        let authority = self.authority;
        let (began, cpu) = (Instant::now(), process::cpu(authority.id()));
        let end = began + time;
        thread::scope(|scope| {
            let answers = scope.spawn(|| self.revocations(name, end));
            let sign_outs = scope.spawn(|| self.sign_outs(name, end));
            let mut refusals = Vec::new();
            while Instant::now() < end {
                let session = format!("{name}-watched-{}", refusals.len());
                let revoke = || authority.revoke("session", &session);
                let ended = end_session(clients, &session, refusals.len(), revoke);
                refusals.push(ended.refused_after());
            }
            let answers = answers.join().expect("answers");
            let (sign_outs, refused) = sign_outs.join().expect("answers");
            let cpu = process::cpu_since(authority.id(), cpu);
            Watched {
                answers,
                refusals,
                sign_outs,
                refused,
                cores: cpu.as_secs_f64() / began.elapsed().as_secs_f64(),
            }
        })
    }

    fn revocations(&self, name: &str, end: Instant) -> Vec<Duration> {
        let authority = self.authority;
        let credential = authority.admin_credential();
        let mut client = load::Client::connect(authority.address(), "/v1/revocations", credential);
        at_pace(REVOCATIONS, end, |number| {
            client.ask(&format!(
                r#"{{"kind":"session","issuer":"{ISSUER}","value":"{name}-{number}"}}"#
            ));
            client.hear();
        })
    }

    /// With the number of those that were not taken.
    fn sign_outs(&self, name: &str, end: Instant) -> (Vec<Duration>, u32) {
        let mut refused = 0;
        let delays = at_pace(SIGN_OUTS, end, |number| {
            let token = self.provider.logout(&format!("{name}-{number}"));
            let is_taken = self.send(PROVIDER, &token.to_string()) == 200;
            refused += u32::from(!is_taken);
        });
        (delays, refused)
    }

    /// Each from a network of its own.
    fn first_sign_outs(&self, end: Instant) -> Answers {
        let mut answers = Answers::from([(200, 0)]);
        at_pace(FIRST_SIGN_OUTS, end, |number| {
            let [.., last] = number.to_be_bytes();
            let token = self.provider.logout(&format!("of-a-stranger-{number}"));
            let status = self.send(Ipv4Addr::new(127, 2, 0, last), &token.to_string());
            *answers.entry(status).or_default() += 1;
        });
        answers
    }

    fn send(&self, from: Ipv4Addr, token: &str) -> u16 {
        let signals = self.authority.signals_address();
        send(from, signals, &logout_request(token))
    }
}

/// Ends the flood when it is dropped, also where a measurement fails that the senders would outlive.
struct EndOfFlood<'f>(&'f AtomicBool);

impl Drop for EndOfFlood<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something so many times a second until the end, and gives how long after it was due each was
/// done.
fn at_pace(per_second: u32, end: Instant, mut act: impl FnMut(u32)) -> Vec<Duration> {
    let began = Instant::now();
    let due = |number| began + Duration::from_secs(1) * number / per_second;
    let numbers = (0..).take_while(|number| due(*number) < end);
    let delays = numbers.map(|number| {
        thread::sleep(due(number).saturating_duration_since(Instant::now()));
        act(number);
        due(number).elapsed()
    });
    delays.collect()
}

impl Watched {
    fn tell(&mut self, when: &str, report: &mut Report) {
        let name = |what: &str| format!("{when}: {what}");
        report.delays(&name("revocation → answered"), &mut self.answers, None);
        report.delays(
            &name("revocation → refused by every worker"),
            &mut self.refusals,
            None,
        );
        report.delays(
            &name("logout token of another issuer → answered"),
            &mut self.sign_outs,
            None,
        );
        let refused = f64::from(self.refused);
        report.promise(&name("those that were not taken"), refused, 0.0, "");
        report.note(&name("cores used by the authority"), self.cores, "");
    }

    /// Both are sorted.
    fn compare(&self, quiet: &Self, report: &mut Report) {
        for (name, flooded, quiet) in [
            ("answered", &self.answers, &quiet.answers),
            ("refused by every worker", &self.refusals, &quiet.refusals),
        ] {
            let p99 = |delays: &[Duration]| milliseconds(delays[(delays.len() - 1) * 99 / 100]);
            let name = format!("flood: revocation {name}, p99 later by");
            let later = p99(flooded) - p99(quiet);
            report.promise(&name, later, PROMISED_DELAY, "ms");
        }
    }
}

fn tell_forged(forgeries: &[Forgery], answers: Vec<Answers>, took: Duration, report: &mut Report) {
    let each_second = |count: u32| (f64::from(count) / took.as_secs_f64()).round();
    let all = answers.iter().flat_map(Answers::values).sum();
    let due: f64 = forgeries
        .iter()
        .map(|forgery| f64::from(forgery.rate))
        .sum();
    report.promise_at_least(
        "forged signals",
        each_second(all),
        due * PROMISED_SHARE,
        "/s",
    );
    for (forgery, answers) in forgeries.iter().zip(answers) {
        for (status, count) in answers {
            let name = format!("{}: {status}", forgery.name);
            report.note(&name, each_second(count), "/s");
        }
    }
}
