//! The page of the documents, `envoy/authority.md`, held to what is read.

use super::*;

const PAGE: &str = include_str!("../../../../envoy/authority.md");

/// The cells of every table of keys that has a column of defaults, row by row, without the bars.
fn rows_with_defaults() -> Vec<Vec<&'static str>> {
    let tables = PAGE.split("| key | type | default | meaning |").skip(1);
    let rows = tables.flat_map(|table| {
        let rows = table.lines().skip(2);
        rows.take_while(|line| line.starts_with('|'))
    });
    rows.map(|row| row.split('|').skip(1).map(str::trim).collect())
        .collect()
}

/// What stands between backticks.
fn spans(cell: &str) -> Vec<&str> {
    cell.split('`').skip(1).step_by(2).collect()
}

/// A file in which every section can be read, with this value in it.
fn with(path: &str, value: Value) -> Value {
    let mut document = json!({"webhook": {"url": "https://events.example/", "secret_file": "s"}});
    let mut place = &mut document;
    for name in path.split('.') {
        place = &mut place[name];
    }
    *place = value;
    document
}

/// A value of the file, as the page writes it.
fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|_| json!(text))
}

#[test]
fn the_defaults_on_the_page_are_those_that_count() {
    let means = |document: &Value| {
        let configured = read(document);
        assert_eq!(configured.faults, [], "{document}");
        format!("{:?}", configured.configuration.unwrap())
    };
    let usual = means(&with("webhook.timeout", json!("10s")));
    assert_eq!(usual, means(&with("sessions", json!({}))));
    let mut count = 0;
    for row in rows_with_defaults() {
        let (keys, defaults) = (spans(row[0]), spans(row[2]));
        assert!([0, 1, keys.len()].contains(&defaults.len()), "{row:?}");
        for (key, default) in keys.iter().zip(defaults.iter().cycle()) {
            let told = means(&with(key, value(default)));
            assert_eq!(told, usual, "{key} is not {default} by default");
            count += 1;
        }
    }
    assert!(count >= 13, "{count}");
}

/// The other way round: a key that is not read any more is taken off the page.
#[test]
fn the_page_has_no_key_that_is_not_read() {
    let document = complete();
    let reading = Reading::new(&document, &|_| Variable::Unset);
    assert!(configuration(reading.root(), Path::new("")).is_ok());
    let index = regex_lite::Regex::new(r"\[[0-9]+\]").unwrap();
    let asked: BTreeSet<_> = (reading.asked().iter())
        .map(|path| index.replace_all(path, "[]").into_owned())
        .collect();
    let rows = PAGE.lines().filter(|line| line.starts_with("| `"));
    let cells = rows.filter_map(|row| row.split(" | ").next());
    let keys = cells.flat_map(spans);
    let mut count = 0;
    // Paths of requests, metrics and codes have tables of their own.
    for key in keys.filter(|key| key.contains('.') && !key.contains('/')) {
        let end = key.trim_start_matches("….");
        let is_read = asked
            .iter()
            .any(|path| path == end || path.ends_with(&format!(".{end}")));
        assert!(is_read, "{key}");
        count += 1;
    }
    assert!(count > 25, "{count}");
}
