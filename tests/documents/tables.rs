//! Tables that are made from lists which the tests decide by too; `./build.sh readme` writes them anew.
//! And the table of limits.

use std::collections::BTreeSet;
use std::{env, fs};

use portcullis::revocation::MAX_BATCH_CHANGES;
use portcullis::token::{
    LARGEST_MAX_TOKEN_BYTES, MAX_JSON_DEPTH, MAX_JWK_SET_BYTES, MAX_KEYS, MAX_TOKEN_BYTES,
};
use serde_json::Value;

use super::{document, documents, root, rows};

/// A table: the name of its marks, its list, and the columns, each with the key of its cells.
struct Table {
    name: &'static str,
    list: &'static str,
    columns: [(&'static str, &'static str); 3],
}

const TABLES: [Table; 2] = [
    Table {
        name: "field by field",
        list: include_str!("../envoy/fields.json"),
        columns: [
            ("field of `jwt_authn`", "field"),
            ("there", "jwt_authn"),
            ("here", "portcullis"),
        ],
    },
    Table {
        name: "deviations",
        list: include_str!("../envoy/deviations.json"),
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
    for table in TABLES {
        let (first, last) = (
            format!("<!-- {} -->\n", table.name),
            format!("<!-- end of {} -->", table.name),
        );
        let mut holders = documents();
        holders.retain(|document| document.text.contains(&first));
        let [document] = holders.as_slice() else {
            panic!("expected one document with the table `{}`", table.name);
        };
        let (before, rest) = document.text.split_once(&first).unwrap();
        let (_, after) = rest.split_once(&last).unwrap();
        let written = [before, &first, &table.text(), &last, after].concat();
        if env::var("PORTCULLIS_README").is_ok_and(|mode| mode == "write") {
            fs::write(root().join(&document.name), written).unwrap();
        } else {
            let is_same = written == document.text;
            assert!(
                is_same,
                "{} is behind; run: ./build.sh readme",
                document.name
            );
        }
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
fn every_field_of_jwt_authn_is_told_of() {
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

/// The limits that the library exports.
#[test]
fn the_limits_are_those_of_the_code() {
    let rows = rows(&document("envoy/operations.md"), "| what | limit |");
    let kib = |bytes: usize| format!("{} KiB", bytes / 1024);
    let (usual, largest) = (kib(MAX_TOKEN_BYTES), kib(LARGEST_MAX_TOKEN_BYTES));
    for (what, limit) in [
        ("token", format!("{usual}, or up to {largest} by")),
        ("nesting of JSON", format!("{MAX_JSON_DEPTH} levels")),
        (
            "set of keys",
            format!("{}; the first {MAX_KEYS} keys", kib(MAX_JWK_SET_BYTES)),
        ),
        (
            "changes of the feed in one batch",
            MAX_BATCH_CHANGES.to_string(),
        ),
    ] {
        let row = rows.iter().find(|row| row[0] == what).unwrap();
        assert!(row[1].starts_with(&limit), "{what}: {limit}");
    }
}
