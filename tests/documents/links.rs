//! Links within the repository, and the length of the README.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use super::{document, documents, root};

#[test]
fn the_readme_is_short() {
    let lines = document("README.md").lines().count();
    assert!(lines <= 180, "{lines} lines");
}

#[test]
fn every_link_leads_somewhere() {
    let mut faults = Vec::new();
    let mut count = 0;
    for document in documents() {
        for target in targets(&document.text) {
            if target.contains("://") {
                continue;
            }
            count += 1;
            let (file, anchor) = target.split_once('#').unwrap_or((&target, ""));
            let path = if file.is_empty() {
                root().join(&document.name)
            } else {
                root().join(&document.name).parent().unwrap().join(file)
            };
            if !path.exists() || !has_anchor(&path, anchor) {
                faults.push(format!("{}: {target}", document.name));
            }
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
    assert!(count > 80, "{count}");
}

fn has_anchor(path: &Path, anchor: &str) -> bool {
    if anchor.is_empty() {
        return true;
    }
    let text = fs::read_to_string(path).unwrap();
    anchors(&text).iter().any(|found| found == anchor)
}

/// The lines that are not in a fenced block.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_block = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_block ^= is_fence;
        !(is_block || is_fence)
    })
}

/// What the links lead to.
fn targets(text: &str) -> Vec<String> {
    let mut targets = Vec::new();
    for line in prose(text) {
        // What stands between backticks is no link.
        let parts: String = line.split('`').step_by(2).collect::<Vec<_>>().join("`");
        for rest in parts.split("](").skip(1) {
            targets.push(rest.split(')').next().unwrap().to_owned());
        }
    }
    targets
}

/// What GitHub makes of the headings, and the anchors that are written.
fn anchors(text: &str) -> Vec<String> {
    let mut seen = BTreeMap::new();
    let mut anchors = Vec::new();
    for line in prose(text) {
        for rest in line.split("<a id=\"").skip(1) {
            anchors.push(rest.split('"').next().unwrap().to_owned());
        }
        let heading = line.trim_start_matches('#');
        let Some(heading) = heading.strip_prefix(' ').filter(|_| line.starts_with('#')) else {
            continue;
        };
        let is_kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        let letters = heading.to_lowercase();
        let anchor: String = letters.chars().filter(is_kept).collect();
        let anchor = anchor.replace(' ', "-");
        let times = seen.entry(anchor.clone()).or_insert(0);
        anchors.push(match *times {
            0 => anchor,
            times => format!("{anchor}-{times}"),
        });
        *times += 1;
    }
    anchors
}

#[test]
fn an_anchor_leads_to_one_place() {
    for document in documents() {
        let anchors = anchors(&document.text);
        let mut seen = BTreeSet::new();
        let twice: Vec<_> = anchors.iter().filter(|it| !seen.insert(*it)).collect();
        assert!(twice.is_empty(), "{}: {twice:?}", document.name);
    }
}

#[test]
fn anchors_are_those_of_github() {
    let text = "# A `key`: what\n## Two\n```sh\n# no heading\n```\n## Two\n## x_y, or-z\n<a id=\"k\"></a>\n";
    assert_eq!(
        anchors(text),
        ["a-key-what", "two", "two-1", "x_y-or-z", "k"]
    );
    assert_eq!(targets("[a](b#c) `[d](e)` [`f`](g)"), ["b#c", "g"]);
}

/// The walks name modules, not files, so that a reader can find them in the documentation too.
#[test]
fn the_modules_that_the_walks_name_exist() {
    let text = document(".github/CONTRIBUTING.md");
    let (_, walks) = text.split_once("## The walk of a token").unwrap();
    let (walks, _) = walks.split_once("## Glossary").unwrap();
    let rows = walks.lines().filter_map(|row| row.strip_suffix(" |"));
    let modules = rows.filter_map(|row| row.rsplit(" | ").next());
    let modules = modules.flat_map(|cell| cell.split('`').skip(1).step_by(2));
    let mut count = 0;
    for module in modules {
        let path = format!("src/{}.rs", module.replace("::", "/"));
        assert!(root().join(&path).exists(), "{path}");
        count += 1;
    }
    assert!(count > 40, "{count}");
}

#[test]
fn the_picture_is_what_its_text_draws() {
    let drawn = Command::new("python3")
        .current_dir(root())
        .args([".github/draw.py", ".github/parts.txt"])
        .output()
        .unwrap();
    let kept = document(".github/parts.svg");
    assert!(
        drawn.stdout == kept.as_bytes(),
        "run: python3 .github/draw.py .github/parts.txt > .github/parts.svg"
    );
}
