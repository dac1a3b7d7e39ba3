//! The part of `envoy/configuration.md` that is made from the [list of keys](super::list): for each group
//! a table, and below it what does not fit into a row.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::{env, fs};

use super::list::{Group, Key};

/// Longer examples stand below the table.
const LONGEST_EXAMPLE_OF_A_ROW: usize = 60;

const HEAD: &str = "| key | type | default | example | meaning |\n|---|---|---|---|---|\n";

impl Group {
    /// What GitHub makes of the heading.
    fn anchor(&self) -> String {
        let is_kept = |letter: &char| letter.is_alphanumeric() || " -_".contains(*letter);
        let letters = self.heading.to_lowercase();
        let anchor: String = letters.chars().filter(is_kept).collect();
        anchor.replace(' ', "-")
    }

    /// `own_key` is the one whose members are this group.
    fn text(&self, level: &str, own_key: Option<&Key>, headings: &BTreeSet<String>) -> String {
        let of_own_key = own_key.map_or("", |key| &key.more);
        let mut paragraphs = vec![format!("\n{level} {}", self.heading)];
        paragraphs.extend([&*self.text, of_own_key].map(str::to_owned));
        paragraphs.extend(own_key.and_then(Key::long_example));
        paragraphs.retain(|paragraph| !paragraph.is_empty());
        let mut text = paragraphs.join("\n\n");
        text += "\n\n";
        text += HEAD;
        for key in &self.keys {
            text += &key.row(&self.below, headings.contains(&key.anchor()));
        }
        for key in &self.keys {
            if key.has_details() && !headings.contains(&key.anchor()) {
                text += &key.details(&self.below);
            }
        }
        text
    }
}

impl Key {
    /// Its path without what an operator chooses.
    fn anchor(&self) -> String {
        let path = self.path.replace(".<name>", "").replace(".<route>", "");
        let path = path.replace("[]", "").replace('.', "-");
        path.replace(['<', '>', '@'], "")
    }

    fn path_below(&self, group: &str) -> &str {
        let rest = self.path.strip_prefix(group).unwrap();
        rest.strip_prefix('.').unwrap_or(rest)
    }

    fn has_short_example(&self) -> bool {
        self.example.len() <= LONGEST_EXAMPLE_OF_A_ROW && !self.example.contains('\n')
    }

    fn row(&self, group: &str, has_heading: bool) -> String {
        let anchor = self.anchor();
        let name = format!("[`{}`](#{anchor})", self.path_below(group));
        let is_here = !self.has_details() && !has_heading;
        let name = if is_here {
            format!("<a id=\"{anchor}\"></a>{name}")
        } else {
            name
        };
        let mark = if self.is_own { " ◆" } else { "" };
        let example = if self.has_short_example() {
            format!("`{}`", self.example)
        } else {
            format!("[below](#{anchor})")
        };
        let kind = linked(&self.kind);
        format!(
            "| {name}{mark} | {kind} | {} | {example} | {} |\n",
            self.default, self.meaning
        )
    }

    fn has_details(&self) -> bool {
        !self.more.is_empty() || !self.has_short_example()
    }

    /// What does not fit into its row.
    fn details(&self, group: &str) -> String {
        let (anchor, name) = (self.anchor(), self.path_below(group));
        let (separator, more) = match &*self.more {
            "" => (", ", "for example:"),
            more => (": ", more),
        };
        let first = format!("\n<a id=\"{anchor}\"></a>**`{name}`**{separator}{more}");
        let mut paragraphs = vec![first];
        paragraphs.extend(self.long_example());
        paragraphs.join("\n\n") + "\n"
    }

    fn long_example(&self) -> Option<String> {
        if self.has_short_example() {
            return None;
        }
        let name = match self.name() {
            name if name.starts_with('@') => format!("\"{name}\""),
            name => name.to_owned(),
        };
        let example = &self.example;
        Some(if example.contains('\n') {
            let lines = example.replace('\n', "\n  ");
            format!("```yaml\n{name}:\n  {lines}\n```")
        } else {
            format!("```yaml\n{name}: {example}\n```")
        })
    }
}

/// A type with links to the groups that it names.
fn linked(kind: &str) -> String {
    let mut parts = Vec::new();
    for (index, part) in kind.split('`').enumerate() {
        let name = part
            .strip_prefix('<')
            .and_then(|part| part.strip_suffix('>'));
        parts.push(match name {
            Some(name) => format!("[`{part}`](#{name})"),
            None if index % 2 == 1 => format!("`{part}`"),
            None => part.to_owned(),
        });
    }
    parts.concat()
}

fn page() -> String {
    let groups = Group::all();
    let headings: BTreeSet<_> = groups.iter().map(Group::anchor).collect();
    assert_eq!(headings.len(), groups.len());
    let keys = Key::all();
    let mut seen = BTreeSet::new();
    let links = groups.iter();
    let links = links.map(|group| format!("[{}](#{})", group.heading, group.anchor()));
    let mut text = format!("{}\n", links.collect::<Vec<_>>().join(" · "));
    for group in &groups {
        let level = if seen.insert(&group.below) {
            "##"
        } else {
            "###"
        };
        let own_key = keys.iter().find(|key| key.anchor() == group.anchor());
        text += &group.text(level, own_key, &headings);
    }
    text
}

fn document(name: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    root.join("envoy").join(name)
}

/// Holds a file to what is made for it, or writes it.
pub(super) fn hold(name: &str, text: &str) {
    let path = document(name);
    if env::var("PORTCULLIS_README").is_ok_and(|mode| mode == "write") {
        fs::write(&path, text).unwrap();
    } else {
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{name} is behind; run: ./build.sh readme");
    }
}

#[test]
fn the_tables_of_the_documents_are_those_of_the_list_of_keys() {
    const NAME: &str = "configuration.md";
    let old = fs::read_to_string(document(NAME)).unwrap();
    let (first, last) = (
        "<!-- configuration keys -->\n",
        "<!-- end of configuration keys -->",
    );
    let (before, rest) = old.split_once(first).unwrap();
    let (_, after) = rest.split_once(last).unwrap();
    hold(
        NAME,
        &[before, first, "\n", &page(), "\n", last, after].concat(),
    );
}

#[test]
fn every_key_has_an_anchor_of_its_own_and_every_row_is_whole() {
    let page = page();
    let mut anchors = BTreeSet::new();
    for key in Key::all() {
        assert!(anchors.insert(key.anchor()), "{}", key.path);
        for cell in [&key.kind, &key.default, &key.meaning] {
            assert!(!cell.is_empty() && !cell.contains('|'), "{}", key.path);
        }
        let (id, row) = (
            format!("<a id=\"{}\"></a>", key.anchor()),
            format!("](#{})", key.anchor()),
        );
        let is_heading = Group::all()
            .iter()
            .any(|group| group.anchor() == key.anchor());
        assert_eq!(page.matches(&id).count(), usize::from(!is_heading), "{id}");
        assert!(page.contains(&row), "{row}");
    }
}
