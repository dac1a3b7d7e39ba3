//! Tables of the documents: the keys that are read, and two that are made from lists that the tests
//! decide by too, which `./build.sh readme` writes anew.

use std::collections::BTreeSet;
use std::path::Path;
use std::{env, fs};

use serde_json::Value;

use super::{Reading, Variable, complete, policy};

/// A table: the name of its marks, its list, and the columns, each with the key of its cells.
struct Table {
    name: &'static str,
    list: &'static str,
    columns: [(&'static str, &'static str); 3],
}

const TABLES: [Table; 2] = [
    Table {
        name: "field by field",
        list: include_str!("../../../../tests/envoy/fields.json"),
        columns: [
            ("field of `jwt_authn`", "field"),
            ("there", "jwt_authn"),
            ("here", "portcullis"),
        ],
    },
    Table {
        name: "deviations",
        list: include_str!("../../../../tests/envoy/deviations.json"),
        columns: [
            ("`jwt_authn`", "jwt_authn"),
            ("Portcullis", "portcullis"),
            ("why", "why"),
        ],
    },
];

impl Table {
    fn rows(&self) -> Vec<[String; 3]> {
        let list: Vec<Value> = serde_json::from_str(self.list).unwrap();
        let cell = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
        let row = |row: &Value| self.columns.map(|(_, key)| cell(row, key));
        list.iter().map(row).collect()
    }

    fn text(&self) -> String {
        let heads = self.columns.map(|(head, _)| head.to_owned());
        let line = |cells: &[String; 3]| format!("| {} |\n", cells.join(" | "));
        let rows: String = self.rows().iter().map(line).collect();
        format!("{}|---|---|---|\n{rows}", line(&heads))
    }
}

#[test]
fn the_tables_of_the_documents_are_those_of_the_lists() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("envoy/jwt_authn.md");
    let document = fs::read_to_string(&path).unwrap();
    let mut written = document.clone();
    for table in TABLES {
        let (first, last) = (
            format!("<!-- {} -->\n", table.name),
            format!("<!-- end of {} -->", table.name),
        );
        let (before, rest) = written.split_once(&first).unwrap();
        let (_, after) = rest.split_once(&last).unwrap();
        written = [before, &first, &table.text(), &last, after].concat();
    }
    if env::var("PORTCULLIS_README").is_ok_and(|mode| mode == "write") {
        fs::write(&path, written).unwrap();
    } else {
        assert!(
            written == document,
            "{} is behind; run: ./build.sh readme",
            path.display()
        );
    }
}

#[test]
fn every_deviation_has_an_id_of_its_own_and_no_cell_of_a_table_is_empty() {
    for table in TABLES {
        for row in table.rows() {
            let is_whole = |cell: &String| !cell.trim().is_empty() && !cell.contains(" | ");
            assert!(row.iter().all(is_whole), "{row:?}");
        }
    }
    let list: Vec<Value> = serde_json::from_str(TABLES[1].list).unwrap();
    let ids: BTreeSet<_> = list.iter().map(|row| row["id"].as_str()).collect();
    assert_eq!(ids.len(), list.len());
}

/// Every field of `envoy/extensions/filters/http/jwt_authn/v3/config.proto` in Envoy 1.40.
#[rustfmt::skip] // one line for each message
const FIELDS_OF_JWT_AUTHN: &[&str] = &[
    "providers", "rules", "filter_state_rules", "bypass_cors_preflight", "requirement_map", "strip_failure_response", "stat_prefix",
    "issuer", "audiences", "subjects", "require_expiration", "max_lifetime", "remote_jwks", "local_jwks", "forward", "from_headers", "from_params", "from_cookies",
    "forward_payload_header", "pad_forward_payload_header", "payload_in_metadata", "normalize_payload_in_metadata", "header_in_metadata", "failed_status_in_metadata",
    "clock_skew_seconds", "jwt_cache_config", "claim_to_headers", "clear_route_cache",
    "space_delimited_claims",
    "jwt_cache_size", "jwt_max_token_size",
    "http_uri", "cache_duration", "async_fetch", "retry_policy",
    "fast_listener", "failed_refetch_duration",
    "name", "value_prefix",
    "provider_name", "provider_and_audiences", "requires_any", "requires_all", "allow_missing_or_failed", "allow_missing", "extract_only_without_validation",
    "verification_status_header",
    "match", "requires", "requirement_name",
    "PerRouteConfig", "disabled",
    "header_name", "claim_name", "claim_path",
];

#[test]
fn the_documents_tell_of_every_field_what_becomes_of_it() {
    let rows = TABLES[0].rows();
    for field in FIELDS_OF_JWT_AUTHN {
        let names = |cell: &str| {
            let mut words =
                cell.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
            words.any(|word| word == *field)
        };
        let is_told = |row: &[String; 3]| names(&row[0]);
        assert!(rows.iter().any(is_told), "{field}");
    }
}

/// The table in `envoy/configuration.md` is what operators read; the code is what they get.
#[test]
fn the_documents_list_exactly_the_keys_that_are_read() {
    let configuration = complete();
    let reading = Reading::new(&configuration, &|_| Variable::Unknown);
    policy(reading.root()).unwrap();
    let asked = reading.asked();
    let read: BTreeSet<_> = asked.iter().map(|key| as_documented(key)).collect();

    let document = include_str!("../../../../envoy/configuration.md");
    let (_, table) = document.split_once("<!-- configuration keys -->").unwrap();
    let (table, _) = table
        .split_once("<!-- end of configuration keys -->")
        .unwrap();
    let rows = table
        .lines()
        .filter_map(|row| row.strip_prefix("| `")?.split_once('`'));
    let documented: BTreeSet<_> = rows.map(|(key, _)| key.to_owned()).collect();
    assert_eq!(documented, read);
}

/// Names that the operator chooses, places in lists, and what can stand in several places, as
/// they are written in `envoy/configuration.md`.
pub(super) fn as_documented(key: &str) -> String {
    let mut key = key.to_owned();
    for digit in 0..10 {
        key = key.replace(&format!("[{digit}]"), "[]");
    }
    for (name, written) in [
        ("providers.idp", "providers.<name>"),
        ("providers.remote", "providers.<name>"),
        ("providers.searched", "providers.<name>"),
        ("requirement_map.some", "requirement_map.<name>"),
        (
            "filter_state_rules.requires.some",
            "filter_state_rules.requires.<name>",
        ),
        (
            "requirement_by_route_name.assets",
            "requirement_by_route_name.<route>",
        ),
    ] {
        key = key.replace(name, written);
    }
    key = key.replace("[\"@type\"]", "@type");
    for (place, written) in [
        ("safe_regex", "<regex>"),
        ("safe_regex_match", "<regex>"),
        ("string_match", "<text>"),
        ("subjects", "<text>"),
        ("issuer_pattern", "<text>"),
        ("requirements[]", "<requirement>"),
        ("filter_state_rules.requires.<name>", "<requirement>"),
        ("requires", "<requirement>"),
        ("requirement_map.<name>", "<requirement>"),
        ("match.headers[]", "<header>"),
        ("match.query_parameters[]", "<parameter>"),
    ] {
        if let Some((_, rest)) = key.rsplit_once(&format!("{place}.")) {
            return format!("{written}.{rest}");
        }
    }
    key
}
