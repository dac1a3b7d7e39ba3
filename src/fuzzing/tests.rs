//! What the fuzzer found worth keeping, and what it began with, once more.

mod seeds;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::*;

type Target = fn(&[u8]);

const TARGETS: [(&str, Target); 17] = [
    ("batch", batch),
    ("configuration", configuration),
    ("import", import),
    ("jwk_set", jwk_set),
    ("logout_form", logout_form),
    ("logout_token", logout_token),
    ("manifest", manifest),
    ("oauth_form", oauth_form),
    ("poll_answer", poll_answer),
    ("proof", proof),
    ("request", request),
    ("security_event", security_event),
    ("segment", segment),
    ("shared_feed", shared_feed),
    ("shared_record", shared_record),
    ("status_list", status_list),
    ("token", token),
];

fn fuzz_directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz")
}

fn files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| {
        panic!("{}: {error}", directory.display());
    });
    let mut files: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// Runs a target; a panic is reported after the name of the input that caused it.
fn replay(name: &str, target: Target, input: &str, bytes: &[u8]) {
    let outcome = std::panic::catch_unwind(|| target(bytes));
    assert!(outcome.is_ok(), "{name}: {input}");
}

#[test]
fn what_holds_for_every_target_holds_for_its_corpus() {
    for (name, target) in TARGETS {
        let corpus = files(&fuzz_directory().join("corpus").join(name));
        assert!(!corpus.is_empty(), "{name} has no corpus");
        for file in corpus {
            let bytes = fs::read(&file).unwrap();
            replay(name, target, &file.display().to_string(), &bytes);
        }
    }
}

#[test]
fn every_program_is_a_target_and_every_target_has_a_program_and_a_corpus() {
    let expected: BTreeSet<_> = TARGETS.iter().map(|(name, _)| (*name).to_owned()).collect();
    for directory in ["targets", "corpus"] {
        let found = files(&fuzz_directory().join(directory)).into_iter();
        let found = found.map(|path| path.file_stem().unwrap().to_str().unwrap().to_owned());
        assert_eq!(found.collect::<BTreeSet<_>>(), expected, "{directory}");
    }
}

#[test]
fn what_holds_for_every_target_holds_for_what_the_product_makes_itself() {
    let seeds = seeds::all();
    for (name, target) in TARGETS {
        let of_target = seeds.iter().filter(|(owner, _)| *owner == name);
        for (index, (_, bytes)) in of_target.clone().enumerate() {
            replay(name, target, &format!("seed {index}"), bytes);
        }
        assert_ne!(of_target.count(), 0, "{name} has no seeds");
    }
}

/// Where [`write_the_seeds`] writes to.
const SEEDS: &str = "PORTCULLIS_SEEDS";

#[test]
#[ignore = "writes files: the seeds, for a new corpus"]
fn write_the_seeds() {
    let directory = PathBuf::from(env::var_os(SEEDS).expect("PORTCULLIS_SEEDS names a directory"));
    for (index, (name, bytes)) in seeds::all().into_iter().enumerate() {
        let directory = directory.join(name);
        fs::create_dir_all(&directory).unwrap();
        fs::write(directory.join(format!("seed-{index}")), bytes).unwrap();
    }
}
