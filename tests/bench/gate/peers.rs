//! The usual solution to the same problem today: `jwt_authn` with its cache, and behind it
//! `ext_authz`, which asks a process on the same machine whether the session was revoked. Beside it
//! Portcullis with the feed of an authority, and the effect on either when the helper or the
//! authority is slow or gone.

mod helper;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::about::About;
use crate::client::{Protocol, Request, requests};
use crate::directory;
use crate::gates::{Checks, Gate, World};
use crate::mix::Mix;
use crate::report::{self, range};
use crate::scenarios::{Bench, Extent};
use crate::series::Series;
use crate::statistics::{estimate, median, quantile, ratio};
use crate::support::{self, Authority, Envoy, jwks, until};
use crate::sweep::{Field, Load, Measured, Plan, added, microseconds};
use crate::tokens;

use helper::Helper;
pub(crate) use helper::{HELPER, SESSION, serve};

/// Requests on their way that keep Envoy busy.
const IN_FLIGHT: usize = 32;

/// How old the feed may be: the default. What is held grows two thirds as old when all is well, so that
/// an outage is survived for ten seconds at least.
pub(crate) const MAX_STALENESS: Duration = Duration::from_secs(30);

/// Requests through one gate during an outage. With a slow helper two gates take three seconds each.
const DURING_OUTAGE: usize = 60;

/// How long `ext_authz` waits for an answer: its default.
const TIMEOUT: Duration = Duration::from_millis(200);

/// A helper, or an authority, that is slow.
const SLOW: Duration = Duration::from_millis(50);

/// The most common algorithm.
const KEY: &str = "es256";

const GATES: [Gate; 6] = [
    Gate::NoFilter,
    Gate::NativeCached,
    Gate::CheckedByGrpc,
    Gate::CheckedByHttp,
    Gate::Portcullis,
    Gate::NoFilterAgain,
];

/// Those that know what was revoked.
const PEERS: [Gate; 3] = [Gate::CheckedByGrpc, Gate::CheckedByHttp, Gate::Portcullis];

pub(crate) fn measure(bench: &Bench<'_>, about: &About) {
    let mut text = format!(
        "# Beside what people run for the same job\n\n{}\n{LEGEND}",
        about.to_markdown()
    );
    // An authority of its own, since it is stopped at the end.
    let (mut helper, mut authority) = bench
        .cores
        .on_loads(|| (Helper::start(), Authority::start()));
    let genuine = requests(&tokens::genuine(KEY));
    let envoy = {
        let mut world = World::new(jwks(&[KEY]), &authority);
        world.checks = Some(Checks {
            http: helper.http,
            grpc: helper.grpc,
            timeout: TIMEOUT,
        });
        bench.cores.start_on_envoys(|| world.start(&GATES))
    };
    assert_revoked_is_refused(&envoy, &authority);
    let helpers = [helper.id(), authority.id()];
    for (name, measured) in scenarios(bench.extent, &envoy, &helpers, &genuine) {
        let table = table(&name, &measured);
        println!("\n{table}");
        let _ = write!(text, "\n{table}");
    }
    let table = outages(&envoy, &mut helper, &mut authority, &genuine);
    println!("\n{table}");
    let _ = write!(
        text,
        "\n## When what it needs is slow or gone\n\n{OUTAGES}\n{table}"
    );
    let about = Value::Object(about.to_json()).to_string();
    fs::write(directory().join("peers.json"), about).expect("a file to write");
    let file = directory().join("peers.md");
    fs::write(&file, text).expect("a file to write");
    println!("written to {}", file.display());
}

/// Copies the results of the last run to `tests/bench/results`.
pub(crate) fn keep() {
    report::keep_files("peers.json", &["peers.md"]);
}

/// All three know of the same session that it was revoked.
fn assert_revoked_is_refused(envoy: &Envoy, authority: &Authority) {
    let session = helper::revoked(7);
    authority.revoke("session", &session);
    let signer = tokens::signer(KEY);
    let mut claims = tokens::claims(0);
    claims["sid"] = session.into();
    let token = signer.sign_token(&tokens::header(&signer), &claims);
    let request = support::Request::get("/").bearer(token.expect("a token"));
    for (gate, refusal) in PEERS.into_iter().zip([403, 403, 401]) {
        let mut client = envoy.client_of(gate.id());
        until(
            || format!("{} refuses a revoked session", gate.label()),
            || client.send(&request).status == refusal,
        );
    }
}

fn scenarios(
    extent: Extent,
    envoy: &Envoy,
    helpers: &[u32],
    genuine: &[Request],
) -> Vec<(String, Measured)> {
    let load = Load {
        protocol: Protocol::Http1,
        in_flight: IN_FLIGHT,
    };
    let mut field = Field::under(envoy, &GATES, load).beside(helpers);
    let (cold, warm) = genuine.split_at(genuine.len() / 2);
    let series = Series::new(cold, extent.cold + extent.singles);
    let new = field.run(&Plan {
        rounds: extent.rounds.min(series.portions() - 1),
        warm_up: series.head(0, extent.cold),
        batch: &|round| series.head(round + 1, extent.cold),
        singles: &|round| series.tail(round + 1, extent.cold),
        calls: &[],
    });
    let mix = Mix::new(extent, warm);
    let known = field.run(&Plan {
        rounds: extent.rounds,
        warm_up: mix.users.iter().collect(),
        batch: &|round| some(mix.users, round, extent.warm),
        singles: &|round| some(mix.users, round + 1, extent.singles),
        calls: &[],
    });
    let mix = mix.sweep(&mut field);
    let algorithm = tokens::algorithm(KEY);
    [
        ("warm, 2,000 tokens", known),
        ("cold", new),
        ("mix, 95 % warm", mix),
    ]
    .map(|(name, measured)| (format!("{name}, {algorithm}"), measured))
    .into()
}

fn some(requests: &[Request], round: usize, count: usize) -> Vec<&Request> {
    let all = requests.iter().cycle().skip(round * count % requests.len());
    all.take(count).collect()
}

fn table(name: &str, measured: &Measured) -> String {
    let mut text = format!(
        "| {name} | CPU added to Envoy, µs | CPU of helper or authority, µs | Portcullis against it | \
         requests/s, busy | p50 / p99, busy, µs | p50 / p99, one at a time, µs |\n\
         |---|---|---|---|---|---|---|\n"
    );
    let own = added(measured, Gate::Portcullis);
    for (gate, samples) in measured {
        let is_gate = !matches!(gate, Gate::NoFilter | Gate::NoFilterAgain);
        let added = added(measured, *gate);
        let cpu = match gate {
            Gate::NoFilter => format!("({:.1} in all)", median(&samples.cpu)),
            _ => range(estimate(&added), 1),
        };
        let helper = match gate {
            Gate::CheckedByGrpc | Gate::CheckedByHttp | Gate::Portcullis => {
                range(estimate(&samples.helpers), 1)
            }
            _ => "–".to_owned(),
        };
        let against = if is_gate && *gate != Gate::Portcullis {
            format!("{} ×", range(ratio(&own, &added), 2))
        } else {
            "–".to_owned()
        };
        let both = |latencies: &[f64]| {
            let at = |share| quantile(latencies, share);
            format!("{:.0} / {:.0}", at(0.5), at(0.99))
        };
        let _ = writeln!(
            text,
            "| {} | {cpu} | {helper} | {against} | {:.0} | {} | {} |",
            gate.label(),
            median(&samples.rate),
            both(&samples.busy),
            both(&samples.latencies),
        );
    }
    text
}

/// What users see during each outage.
fn outages(
    envoy: &Envoy,
    helper: &mut Helper,
    authority: &mut Authority,
    genuine: &[Request],
) -> String {
    let mut text = String::from("| | ");
    text += &PEERS.map(Gate::label).join(" | ");
    text += " |\n|---|---|---|---|\n";
    let mut row = |name: &str| {
        let seen = PEERS.map(|gate| seen(envoy, gate, &genuine[..DURING_OUTAGE]));
        let _ = writeln!(text, "| {name} | {} |", seen.join(" | "));
    };
    row("nothing");
    helper.answer_after(SLOW);
    signal(authority, "STOP");
    row("the helper takes 50 ms, the authority does not answer");
    helper.answer_after(Duration::ZERO);
    signal(authority, "CONT");
    helper.end();
    authority.kill();
    row("both are gone");
    thread::sleep(MAX_STALENESS + Duration::from_secs(1));
    let limit = MAX_STALENESS.as_secs();
    row(&format!(
        "both are gone for longer than `max_staleness`, {limit} s here"
    ));
    text
}

fn signal(authority: &Authority, name: &str) {
    let id = authority.id().to_string();
    let status = Command::new("kill").args(["-s", name, &id]).status();
    assert!(
        status.is_ok_and(|status| status.success()),
        "kill -s {name}"
    );
}

/// The answers that requests with known tokens get, and how soon.
fn seen(envoy: &Envoy, gate: Gate, requests: &[Request]) -> String {
    let mut client = envoy.client_of(gate.id());
    let mut latencies = Vec::new();
    let mut answers = BTreeMap::<u16, usize>::new();
    for request in requests {
        let started = Instant::now();
        let status = client.send(&request.plain()).status;
        latencies.push(microseconds(started.elapsed()) / 1e3);
        *answers.entry(status).or_default() += 1;
    }
    let share = |count: usize| 100.0 * count as f64 / requests.len() as f64;
    let answers: Vec<_> = answers
        .into_iter()
        .map(|(status, count)| format!("{:.0} % {status}", share(count)))
        .collect();
    let at = |share| quantile(&latencies, share);
    format!(
        "{}; {:.1} / {:.1} ms",
        answers.join(", "),
        at(0.5),
        at(0.99)
    )
}

const LEGEND: &str = "\
The same requests for all, whose tokens are genuine and not revoked. `ext_authz` is given nothing but the
session, which `jwt_authn` has verified, and asks a process on the same machine that keeps 100,000 revoked
sessions in a hash set. CPU is for a request, with 32 on their way; that of the helper or of the authority
is what their processes took meanwhile.
";

const OUTAGES: &str = "\
Answers to requests with known tokens, and p50 / p99 of the time until then. `ext_authz` waits for 200 ms,
its default, and refuses (`failure_mode_allow: false`): with `true`, revoked tokens would pass.
";
