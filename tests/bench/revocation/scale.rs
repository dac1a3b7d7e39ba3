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

/// One after the other, since the second generation may use what the first has left.
const SWITCHES: u32 = 2;

/// How long the old generation may take to be gone.
const DISCARDED_AFTER: Duration = Duration::from_secs(9);

/// How long Envoy may take to give the memory of the old generation back, past that.
const GIVEN_BACK_AFTER: Duration = Duration::from_mins(4);

/// Memory of an Envoy for each entry.
const PROMISED_BYTES: f64 = 3.2;

const FLUSHED_AFTER: Duration = Duration::from_millis(1_200);

/// Revocations that come at once, fewer than would make a new generation due.
const BULK: u64 = 20_000;

/// What the authority is configured with by default.
const FALSE_POSITIVE_RATE: f64 = 3e-5;

pub(crate) fn measure(extent: Extent, report: &mut Report) {
    for entries in sizes(extent) {
        one_size(entries, extent, report);
    }
}

/// Only what a running Envoy does with changes in bulk and with new generations.
pub(crate) fn measure_switch(extent: Extent, report: &mut Report) {
    for entries in sizes(extent) {
        let empty = Authority::start();
        let mut full = Authority::start_with(&["--generation-interval", "1s"]);
        import(&full, 0, entries);
        full.restart();
        switch(
            &empty,
            &mut full,
            entries,
            &format!("{entries} entries"),
            report,
        );
    }
}

fn sizes(extent: Extent) -> Vec<u64> {
    match extent {
        Extent::Smoke => vec![100_000],
        Extent::Full => vec![1_000_000, 10_000_000],
        Extent::FiftyMillion => vec![1_000_000, 10_000_000, 50_000_000],
        Extent::Entries(entries) => vec![entries],
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
    switch(&empty, &mut full, entries, &label, report);
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
    let (before, quick) = resident(empty, workers);
    let (after, slow) = resident(full, workers);
    // V8 leaves some memory free after it has compiled, which a small filter finds room in.
    let per_entry = (after - before) * 1024.0 / manifest.entries as f64;
    let name = |what: &str| format!("{label}, {workers} workers: {what}");
    report.note(&name("Envoy's memory"), after / 1024.0, "MiB");
    if manifest.entries >= 10_000_000 {
        report.promise(&name("memory for each"), per_entry, PROMISED_BYTES, "bytes");
    } else {
        report.note(&name("memory for each"), per_entry, "bytes");
    }
    let longer = milliseconds(slow.saturating_sub(quick));
    report.note(&name("start and load, longer than empty"), longer, "ms");
}

/// The resident memory of an Envoy that follows an authority, in KiB, and how long it took to start
/// and to load.
fn resident(authority: &Authority, workers: u32) -> (f64, Duration) {
    let bootstrap = bootstrap(authority, &json!({})).with_workers(workers);
    let started = Instant::now();
    let envoy = Envoy::start(&bootstrap);
    loaded(&envoy, 1);
    let took = started.elapsed();
    // Every worker has served requests and seen the generation, and Envoy has given back what it
    // does not need any more.
    thread::sleep(Duration::from_secs(5));
    let request = Request::get("/api").bearer(Token::signed_by("es256").claim("sid", "s"));
    for mut client in envoy.client_of_every_worker() {
        for _ in 0..100 {
            assert_eq!(client.send(&request).status, 200);
        }
    }
    (process::kib(envoy.id(), "VmRSS"), took)
}

/// A running Envoy takes over changes in bulk, and then new generations, while requests come.
fn switch(
    empty: &Authority,
    authority: &mut Authority,
    entries: u64,
    label: &str,
    report: &mut Report,
) {
    let (baseline, _) = resident(empty, 2);
    let bootstrap = bootstrap(
        authority,
        &json!({"reload_jitter": "0.001s", "max_staleness": "60s"}),
    );
    let envoy = Envoy::start(&bootstrap);
    loaded(&envoy, 1);
    thread::sleep(Duration::from_secs(1));

    let quiet = Watch::start(&envoy);
    thread::sleep(Duration::from_secs(20));
    // What the machine does to the workers by itself.
    quiet.stop(label, "quiet", None, report);

    let bulk = Watch::start(&envoy);
    let took = import(authority, entries, BULK);
    let last = entries + BULK;
    let deadline = Instant::now() + PATIENCE;
    while envoy.stat("wasmcustom.portcullis.feed.sequence") < Some(last) {
        assert!(Instant::now() < deadline, "{}", envoy.log());
        thread::sleep(Duration::from_millis(20));
    }
    let seconds = took.as_secs_f64();
    report.note(&format!("{label}: {BULK} more imported"), seconds, "s");
    bulk.stop(label, "changes in bulk", Some(0.0), report);

    for number in 1..=SWITCHES {
        let label = format!("{label}, switch {number}");
        one_switch(&envoy, authority, &label, report);
        let resident = || process::kib(envoy.id(), "VmRSS");
        let per_entry = || (resident() - baseline) * 1024.0 / entries as f64;
        let switched = Instant::now();
        while per_entry() > PROMISED_BYTES && switched.elapsed() < GIVEN_BACK_AFTER {
            thread::sleep(Duration::from_millis(500));
        }
        let took = (DISCARDED_AFTER + switched.elapsed()).as_secs_f64();
        report.note(&format!("{label}: memory given back within"), took, "s");
        let (resident, per_entry) = (resident(), per_entry());
        let name = format!("{label}: Envoy's memory");
        report.note(&name, resident / 1024.0, "MiB");
        for figure in ["allocated", "pageheap_free", "pageheap_unmapped"] {
            let size = envoy.memory(figure) as f64 / 1024.0 / 1024.0;
            report.note(&format!("{label}: {figure} in Envoy"), size, "MiB");
        }
        let name = format!("{label}: memory for each");
        if entries >= 10_000_000 {
            report.promise(&name, per_entry, PROMISED_BYTES, "bytes");
        } else {
            report.note(&name, per_entry, "bytes");
        }
    }
}

/// The authority is restarted, and publishes a new generation.
fn one_switch(envoy: &Envoy, authority: &mut Authority, label: &str, report: &mut Report) {
    let deadline = Instant::now() + PATIENCE;
    // The segments come after the manifest, so that the time from its first to its last call is
    // that of loading.
    let generations = || envoy.stat("wasmcustom.portcullis.feed.generations");
    let before = generations();
    let calls = || envoy.stat("cluster.authority.upstream_rq_200").unwrap_or(0);
    authority.restart();
    let polls = calls();
    let watch = Watch::start(envoy);
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
    thread::sleep(DISCARDED_AFTER);
    watch.stop(label, "generation switch", Some(0.0), report);
}

/// Watches the workers while something happens.
struct Watch<'e> {
    envoy: &'e Envoy,
    trickle: Trickle,
    long: u64,
    longer: u64,
}

impl<'e> Watch<'e> {
    fn start(envoy: &'e Envoy) -> Self {
        // Envoy adds up what its workers count when it flushes.
        thread::sleep(FLUSHED_AFTER);
        Self {
            envoy,
            long: envoy.pauses_longer_than(2_500),
            longer: envoy.pauses_longer_than(5_000),
            trickle: Trickle::start(envoy),
        }
    }

    fn stop(self, label: &str, when: &str, promise: Option<f64>, report: &mut Report) {
        thread::sleep(FLUSHED_AFTER);
        let latencies = self.trickle.stop();
        let at = |share: usize| milliseconds(latencies[(latencies.len() - 1) * share / 10_000]);
        let name = |what: &str| format!("{label}, {when}: {what}");
        let count = latencies.len();
        report.note(&name(&format!("request p50 of {count}")), at(5_000), "ms");
        report.note(&name("request p99.9"), at(9_990), "ms");
        report.note(&name("request longest"), at(10_000), "ms");
        let long = self.envoy.pauses_longer_than(2_500) - self.long;
        let longer = self.envoy.pauses_longer_than(5_000) - self.longer;
        report.note(&name("worker busy for > 2.5 ms"), long as f64, "times");
        let name = name("worker busy for > 5 ms");
        match promise {
            Some(promise) => report.promise(&name, longer as f64, promise, "times"),
            None => report.note(&name, longer as f64, "times"),
        }
    }
}

fn loaded(envoy: &Envoy, generations: u64) {
    let deadline = Instant::now() + PATIENCE;
    while envoy.stat("wasmcustom.portcullis.feed.generations") < Some(generations) {
        assert!(Instant::now() < deadline, "not loaded: {}", envoy.log());
        thread::sleep(Duration::from_millis(5));
    }
}
