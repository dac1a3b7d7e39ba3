use serde_json::json;

use super::*;

fn one(text: &str) -> Document {
    let mut documents = documents(text).unwrap();
    assert_eq!(documents.len(), 1);
    documents.remove(0)
}

fn message(text: &str) -> String {
    documents(text).unwrap_err().to_string()
}

#[test]
fn what_stands_without_quotes_is_what_the_reader_of_the_file_takes_it_for() {
    let members = "a: no, b: 010, c: 1.5, d: 4294967296, e: 'no', f: !!str 010, g: ~, h: 300s";
    let envoy = json!({
        "a": false, "b": 8, "c": "1.5", "d": "4294967296", "e": "no", "f": 8, "g": null, "h": "300s",
    });
    assert_eq!(one(&format!("{{{members}}}")).value, envoy);
    let kubernetes = one(&format!("{{apiVersion: v1, kind: X, spec: {{{members}}}}}"));
    let expected = json!({
        "a": false, "b": 8, "c": 1.5, "d": 4_294_967_296_u64, "e": "no", "f": "010", "g": null,
        "h": "300s",
    });
    assert_eq!(kubernetes.value["spec"], expected);
    let json = json!({"a": false, "b": 8, "c": 1.5, "d": 4_294_967_296_u64});
    assert_eq!(one(&json.to_string()).value, json);
    assert_eq!(
        one("a: |\n  no\nb: >-\n  010\n").value,
        json!({"a": "no\n", "b": "010"})
    );
    let documents = documents("---\n---\na: &x [1]\nb: *x\n...\n---\n# nothing\n").unwrap();
    assert_eq!(documents.len(), 1);
    assert_eq!(documents[0].value, json!({"a": [1], "b": [1]}));
    assert_eq!(one("\u{feff}a: 1\n").value, json!({"a": 1}));
}

#[test]
fn everything_has_a_line_or_that_of_what_it_would_stand_in() {
    let text = "\
# a comment
spec:
  rules:
  - match: {prefix: /a}
  - match:
      prefix: /b
  fromHeaders: []
  odd.name: 1
  text: |
    first
    second
  folded: >
    first
  empty: |2

    third
";
    let lines = one(text).lines;
    for (path, line) in [
        ("", 2),
        ("spec", 2),
        ("spec.rules", 3),
        ("spec.rules[0].match.prefix", 4),
        ("spec.rules[1]", 5),
        ("spec.rules[1].match.prefix", 6),
        ("spec.rules[1].match.path", 5),
        ("spec.rules[7].match", 3),
        ("spec.from_headers[0].name", 7),
        ("spec[\"odd.name\"]", 8),
        ("elsewhere", 2),
    ] {
        assert_eq!(lines.of(path), line, "{path}");
    }
    assert_eq!(lines.of_text("spec.text"), Some(10));
    assert_eq!(lines.of_text("spec.empty"), Some(15));
    assert_eq!(lines.of_text("spec.folded"), None);
    let inside = one("a:\n  b: 1\n").lines.beginning_at(10);
    assert_eq!((inside.of("a"), inside.of("a.b")), (10, 11));
}

#[test]
fn mistakes_that_cannot_be_seen_are_refused_with_a_sentence() {
    for (text, expected) in [
        (
            "a:\n\tb: 1\n",
            "line 2: a tab stands where YAML takes blanks",
        ),
        (
            "a:\n  b: 1\n\tc: 2\n",
            "line 3: a tab stands where YAML takes blanks",
        ),
        (
            "\u{feff}{\"a\": 1}",
            "line 1: the file begins with a byte order mark",
        ),
        (
            "x: &x {a: 1}\ny:\n  <<: *x\n",
            "line 3: merge keys (`<<`) are not in YAML 1.2",
        ),
        (
            "a: 1\nb: 2\na: 3\n",
            "line 3: `a` stands here twice, first in line 1",
        ),
        ("a: !vault x\n", "line 1: the tag `!vault` is nothing"),
        ("a: 1\n? [b]\n: 2\n", "line 2: expected a name"),
        ("a: &x [*x]\n", "line 1: an alias"),
        ("a: [\n", "line 2: expected JSON or YAML: "),
    ] {
        let message = message(text);
        assert!(message.starts_with(expected), "{text:?}: {message}");
    }
    assert_eq!(one("a: \t1\n").value, json!({"a": 1}));
}

/// Neither the stack nor the memory is at the mercy of a file.
#[test]
fn a_file_cannot_stand_for_more_than_memory_holds() {
    let deep = format!("{}1{}", "[".repeat(10_000), "]".repeat(10_000));
    assert!(documents(&deep).is_err());
    let lines = (1..12).map(|level| {
        let before = format!("*a{},", level - 1).repeat(10);
        format!("a{level}: &a{level} [{before}]\n")
    });
    let text = "a0: &a0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned() + &lines.collect::<String>();
    assert!(message(&text).contains("expected at most 1000000 values"));
}

#[test]
fn what_is_written_is_read_as_the_same() {
    let value = json!({
        "empty": {}, "none": [], "text": "", "word": "yes", "number": "12", "version": "1.0",
        "url": "https://a.example/x:8080", "odd": "a: b # c", "quoted": "{\"keys\":[]}",
        "break": "a\nb", "list": [1, [2, [3]], {"a": [{"b": 1, "c": {"d": null}}]}, []],
        "blank": "Bearer ", "true": true, "istio": "outbound|443||a.example", "~": "-", "x y": -5,
        "both": "it's \"so\"", "controls": "\u{1}\u{7f}", "null": "~", "dash": "- a",
    });
    assert_eq!(one(&to_yaml(&value)).value, value, "{}", to_yaml(&value));
    let value = json!({"rules": [{"match": {"prefix": "/"}, "requires": {}}], "b": {"c": "d"}});
    let expected = "\
b:
  c: d
rules:
  - match:
      prefix: /
    requires: {}
";
    assert_eq!(to_yaml(&value), expected);
}

#[test]
fn what_reads_otherwise_than_it_looks_is_told() {
    let text = "a: {b: [no, 'no', 1.5, 5, true, True, text], c: 010}\nd: on\n";
    let lines = one(text).lines;
    let found = |path| {
        let found = lines.misread(path);
        found.map(|(path, _)| path.to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(found(""), ["a.b[0]", "a.b[2]", "a.c", "d"]);
    assert_eq!(found("a"), ["b[0]", "b[2]", "c"]);
    let lines = one("apiVersion: v1\nkind: X\na: 1.5\nb: no\n").lines;
    let messages: Vec<_> = lines.misread("").collect();
    assert_eq!(
        messages,
        [("b", "`no` is read as `false`; hint: put it in quotes")]
    );
}
