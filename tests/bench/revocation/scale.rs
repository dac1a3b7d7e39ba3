//! A million and ten million entries: building, loading, memory and pauses.

use std::thread;
use std::time::{Duration, Instant};

use portcullis::revocation::page::{PAGE_BYTES, may_contain, page_of};
use portcullis::revocation::{Fingerprint, Manifest};
use serde_json::{Value, json};

use super::Extent;
use super::import::import;
use super::process;
use super::propagation::bootstrap;
use super::report::{Report, milliseconds};
use super::trickle::Trickle;
use crate::support::{Authority, Envoy, Random, Request, Token};

const PATIENCE: Duration = Duration::from_mins(30);

/// Names that were never revoked, for the rate of false positives.
const STRANGERS: usize = 5_000_000;

/// Revocations that come at once, fewer than would make a new generation due.
const BULK: u64 = 20_000;

/// What the authority is configured with by default.
const FALSE_POSITIVE_RATE: f64 = 3e-5;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    let sizes: &[u64] = match extent {
        Extent::Smoke => &[100_000],
        Extent::Full => &[1_000_000, 10_000_000],
        Extent::FiftyMillion => &[1_000_000, 10_000_000, 50_000_000],
    };
    for &entries in sizes {
        one_size(entries, extent, report);
    }
}

fn one_size(entries: u64, extent: Extent, report: &mut Report) {
    let label = format!("{entries} entries");
    // The store keeps ten million records in some GiB, of which this much is held in memory.
    let empty = Authority::start();
    let mut full = Authority::start_with(&["--generation-interval", "1s"]);
    let took = import(&full, 0, entries);
    report.note(&format!("{label}: imported"), took.as_secs_f64(), "s");
    let rate = entries as f64 / took.as_secs_f64();
    report.note(&format!("{label}: imported a second"), rate, "");
    // At its start it builds a generation with everything that it has.
    let started = Instant::now();
    full.restart();
    let took = started.elapsed().as_secs_f64();
    report.note(
        &format!("{label}: authority killed and ready again"),
        took,
        "s",
    );
    let manifest = manifest(&full);
    assert_eq!(manifest.entries, entries);
    report.note(
        &format!("{label}: generation built"),
        build_time(&full),
        "ms",
    );
    let feed_bytes = feed_bytes(&manifest);
    let per_entry = feed_bytes / manifest.entries as f64;
    report.note(&format!("{label}: feed"), feed_bytes, "bytes");
    report.note(&format!("{label}: feed, for each"), per_entry, "bytes");
    let memory = process::kib(full.id(), "VmRSS") / 1024.0;
    report.note(&format!("{label}: authority's memory"), memory, "MiB");
    false_positives(&full, &manifest, &label, report);
    let workers: &[u32] = match extent {
        Extent::Smoke => &[2],
        _ => &[1, 2, 4],
    };
    for &workers in workers {
        memory_of_envoy(&empty, &full, &manifest, workers, &label, report);
    }
    switch(&mut full, entries, &label, report);
}

fn manifest(authority: &Authority) -> Manifest {
    let bytes = authority.get_bytes("/v1/feed/manifest");
    Manifest::decode(&bytes, &authority.feed_keys()).expect("a manifest")
}

/// Of the last generation, in milliseconds, as the authority logged it.
fn build_time(authority: &Authority) -> f64 {
    let log = authority.log();
    let mut lines = log
        .lines()
        .filter(|line| line.contains("published a generation"));
    let line: Value = serde_json::from_str(lines.next_back().expect("a generation")).expect("JSON");
    line["milliseconds"].as_f64().expect("a number")
}

fn feed_bytes(manifest: &Manifest) -> f64 {
    let segments = manifest.filter_segments.iter();
    let segments = segments.chain(&manifest.cut_off_segments);
    segments.map(|segment| f64::from(segment.length)).sum()
}

/// The share of random names that the filter takes for one of its own.
fn false_positives(authority: &Authority, manifest: &Manifest, label: &str, report: &mut Report) {
    let mut pages = Vec::new();
    for index in 0..manifest.filter_segments.len() {
        let path = format!("/v1/feed/segments/{}/{index}", manifest.generation);
        pages.extend(authority.get_bytes(&path));
    }
    let mut random = Random::seeded(1);
    let mut hits = 0_u32;
    for _ in 0..STRANGERS {
        let number = (u128::from(random.next()) << 64) | u128::from(random.next());
        let name = Fingerprint(number.to_le_bytes());
        let start = page_of(name, manifest.page_count) as usize * PAGE_BYTES;
        hits += u32::from(may_contain(&pages[start..start + PAGE_BYTES], name));
    }
    let rate = f64::from(hits) / STRANGERS as f64;
    let name = format!("{label}: false positives");
    report.promise(&name, rate, FALSE_POSITIVE_RATE, "");
}

/// What the entries add to the memory of an Envoy that has just loaded them.
fn memory_of_envoy(
    empty: &Authority,
    full: &Authority,
    manifest: &Manifest,
    workers: u32,
    label: &str,
    report: &mut Report,
) {
    let resident = |authority: &Authority| {
        let bootstrap = bootstrap(authority, &json!({})).with_workers(workers);
        let started = Instant::now();
        let envoy = Envoy::start(&bootstrap);
        loaded(&envoy, 1);
        let took = started.elapsed();
        // Every worker has served requests and seen the generation.
        thread::sleep(Duration::from_secs(1));
        let request = Request::get("/api").bearer(Token::signed_by("es256").claim("sid", "s"));
        for mut client in envoy.client_of_every_worker() {
            for _ in 0..100 {
                assert_eq!(client.send(&request).status, 200);
            }
        }
        (process::kib(envoy.id(), "VmRSS"), took)
    };
    let (before, quick) = resident(empty);
    let (after, slow) = resident(full);
    // V8 leaves some memory free after it has compiled, which a small filter finds room in.
    let per_entry = (after - before) * 1024.0 / manifest.entries as f64;
    let name = |what: &str| format!("{label}, {workers} workers: {what}");
    report.note(&name("Envoy's memory"), after / 1024.0, "MiB");
    if manifest.entries >= 10_000_000 {
        report.promise(&name("memory for each"), per_entry, 3.2, "bytes");
    } else {
        report.note(&name("memory for each"), per_entry, "bytes");
    }
    let longer = milliseconds(slow.saturating_sub(quick));
    report.note(&name("start and load, longer than empty"), longer, "ms");
}

/// A running Envoy takes over changes in bulk, and then a new generation, while requests come.
fn switch(authority: &mut Authority, entries: u64, label: &str, report: &mut Report) {
    let bootstrap = bootstrap(authority, &json!({"reload_jitter": "0.001s"}));
    let envoy = Envoy::start(&bootstrap);
    loaded(&envoy, 1);
    thread::sleep(Duration::from_secs(1));

    let trickle = Trickle::start(&envoy);
    thread::sleep(Duration::from_secs(3));
    pauses(&trickle.stop(), label, "quiet", None, report);

    let trickle = Trickle::start(&envoy);
    let took = import(authority, entries, BULK);
    let last = entries + BULK;
    let deadline = Instant::now() + PATIENCE;
    while envoy.stat("wasmcustom.portcullis.feed.sequence") < Some(last) {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        thread::sleep(Duration::from_millis(20));
    }
    let seconds = took.as_secs_f64();
    report.note(&format!("{label}: {BULK} more imported"), seconds, "s");
    pauses(&trickle.stop(), label, "changes in bulk", None, report);

    // The segments come after the manifest, so that the time from its first to its last call is
    // that of loading.
    let generations = || envoy.stat("wasmcustom.portcullis.feed.generations");
    let before = generations();
    let calls = || envoy.stat("cluster.authority.upstream_rq_200").unwrap_or(0);
    authority.restart();
    let polls = calls();
    let trickle = Trickle::start(&envoy);
    let mut started = Instant::now();
    while generations() == before {
        if calls() <= polls + 1 {
            started = Instant::now();
        }
        assert!(Instant::now() < deadline, "{}", envoy.log());
        thread::sleep(Duration::from_millis(1));
    }
    let took = milliseconds(started.elapsed());
    report.note(&format!("{label}: loaded into a running Envoy"), took, "ms");
    // The old generation is discarded some seconds later, a part on every tick.
    thread::sleep(Duration::from_secs(5));
    pauses(
        &trickle.stop(),
        label,
        "generation switch",
        Some(5.0),
        report,
    );
    let after = process::kib(envoy.id(), "VmRSS") / 1024.0;
    report.note(
        &format!("{label}: Envoy's memory after the switch"),
        after,
        "MiB",
    );
}

fn pauses(
    latencies: &[Duration],
    label: &str,
    when: &str,
    promise: Option<f64>,
    report: &mut Report,
) {
    let at = |share: usize| milliseconds(latencies[(latencies.len() - 1) * share / 10_000]);
    let name = |what: &str| format!("{label}, {when}: request {what}");
    report.note(
        &name(&format!("p50 of {}", latencies.len())),
        at(5_000),
        "ms",
    );
    report.note(&name("p99.9"), at(9_990), "ms");
    match promise {
        Some(promise) => report.promise(&name("longest"), at(10_000), promise, "ms"),
        None => report.note(&name("longest"), at(10_000), "ms"),
    }
}

fn loaded(envoy: &Envoy, generations: u64) {
    let deadline = Instant::now() + PATIENCE;
    while envoy.stat("wasmcustom.portcullis.feed.generations") < Some(generations) {
        assert!(Instant::now() < deadline, "not loaded: {}", envoy.log());
        thread::sleep(Duration::from_millis(5));
    }
}
