//! What a `JwtAuthentication` may have in it, and what becomes of each.

use crate::cli::convert::shape::{Member, Shape};

pub(super) static TEXT: Shape = Shape::Text;
static FLAG: Shape = Shape::Flag;
static NUMBER: Shape = Shape::Number;
static DURATION: Shape = Shape::Duration;
static TEXTS: Shape = Shape::List(&TEXT);
static EMPTY: Shape = Shape::Empty;

static REGEX: Shape = Shape::Object(&[
    Member::kept("google_re2", &EMPTY),
    Member::kept("regex", &TEXT),
]);

static TEXT_MATCHER: Shape = Shape::Object(&[
    Member::kept("exact", &TEXT),
    Member::kept("prefix", &TEXT),
    Member::kept("suffix", &TEXT),
    Member::kept("contains", &TEXT),
    Member::kept("safe_regex", &REGEX),
    Member::kept("ignore_case", &FLAG),
    Member::lost("custom", "extensions of Envoy cannot be called by a module"),
]);

static HEADERS: Shape = Shape::List(&Shape::Object(&[
    Member::kept("name", &TEXT),
    Member::kept("string_match", &TEXT_MATCHER),
    Member::kept("exact_match", &TEXT),
    Member::kept("prefix_match", &TEXT),
    Member::kept("suffix_match", &TEXT),
    Member::kept("contains_match", &TEXT),
    Member::kept("safe_regex_match", &REGEX),
    Member::kept(
        "range_match",
        &Shape::Object(&[Member::kept("start", &NUMBER), Member::kept("end", &NUMBER)]),
    ),
    Member::kept("present_match", &FLAG),
    Member::kept("invert_match", &FLAG),
    Member::kept("treat_missing_header_as_empty", &FLAG),
]));

static PARAMETERS: Shape = Shape::List(&Shape::Object(&[
    Member::kept("name", &TEXT),
    Member::kept("string_match", &TEXT_MATCHER),
    Member::kept("present_match", &FLAG),
]));

const NOT_LOOKED_AT: &str = "`jwt_authn` does not look at it, so it is left out";

pub(super) static MATCHER: [Member; 15] = [
    Member::kept("prefix", &TEXT),
    Member::kept("path", &TEXT),
    Member::kept("path_separated_prefix", &TEXT),
    Member::kept("safe_regex", &REGEX),
    Member::kept("connect_matcher", &EMPTY),
    Member::kept("case_sensitive", &FLAG),
    Member::kept("headers", &HEADERS),
    Member::kept("query_parameters", &PARAMETERS),
    Member::elsewhere("path_match_policy"),
    Member::needless("runtime_fraction", NOT_LOOKED_AT),
    Member::needless("grpc", NOT_LOOKED_AT),
    Member::needless("tls_context", NOT_LOOKED_AT),
    Member::needless("dynamic_metadata", NOT_LOOKED_AT),
    Member::needless("filter_state", NOT_LOOKED_AT),
    Member::needless("cookies", NOT_LOOKED_AT),
];

pub(super) static REQUIREMENT: Shape = Shape::Object(&[
    Member::kept("provider_name", &TEXT),
    Member::kept(
        "provider_and_audiences",
        &Shape::Object(&[
            Member::kept("provider_name", &TEXT),
            Member::kept("audiences", &TEXTS),
        ]),
    ),
    Member::kept("requires_any", &REQUIREMENTS),
    Member::kept("requires_all", &REQUIREMENTS),
    Member::kept("allow_missing", &EMPTY),
    Member::kept("allow_missing_or_failed", &EMPTY),
    // Only the name is kept: see `without_validation`.
    Member::kept("extract_only_without_validation", &EMPTY),
]);

static REQUIREMENTS: Shape =
    Shape::Object(&[Member::kept("requirements", &Shape::List(&REQUIREMENT))]);

static NAMED_REQUIREMENTS: Shape = Shape::Named(&REQUIREMENT);

const NO_METADATA: &str = "a WebAssembly module cannot write dynamic metadata, so what reads it \
                           there (RBAC, access logs, rate limits) finds nothing; hint: \
                           `claim_to_headers` for later filters, `claims_to_filter_state` for \
                           access logs";

pub(super) static PROVIDER: [Member; 21] = [
    Member::kept("issuer", &TEXT),
    Member::kept("audiences", &TEXTS),
    Member::kept("subjects", &TEXT_MATCHER),
    Member::kept("require_expiration", &FLAG),
    Member::kept("max_lifetime", &DURATION),
    Member::kept("clock_skew_seconds", &NUMBER),
    Member::kept("remote_jwks", &REMOTE_KEYS),
    Member::elsewhere("local_jwks"),
    Member::kept("forward", &FLAG),
    Member::kept(
        "from_headers",
        &Shape::List(&Shape::Object(&[
            Member::kept("name", &TEXT),
            Member::kept("value_prefix", &TEXT),
        ])),
    ),
    Member::kept("from_params", &TEXTS),
    Member::kept("from_cookies", &TEXTS),
    Member::kept("forward_payload_header", &TEXT),
    Member::kept("pad_forward_payload_header", &FLAG),
    Member::kept(
        "claim_to_headers",
        &Shape::List(&Shape::Object(&[
            Member::kept("header_name", &TEXT),
            Member::kept("claim_name", &TEXT),
            Member::kept(
                "claim_path",
                &Shape::List(&Shape::Object(&[Member::kept("key", &TEXT)])),
            ),
        ])),
    ),
    Member::needless(
        "jwt_cache_config",
        "is left out: verified tokens are always remembered, within fixed limits",
    ),
    Member::elsewhere("clear_route_cache"),
    Member::lost("payload_in_metadata", NO_METADATA),
    Member::lost("header_in_metadata", NO_METADATA),
    Member::lost("failed_status_in_metadata", NO_METADATA),
    Member::elsewhere("normalize_payload_in_metadata"),
];

const RETRIED: &str = "`jwt_authn` does not look at it: it retries after a 5xx and after failures \
                       of the connection";

static REMOTE_KEYS: Shape = Shape::Object(&[
    Member::kept(
        "http_uri",
        &Shape::Object(&[
            Member::kept("uri", &TEXT),
            Member::kept("cluster", &TEXT),
            Member::kept("timeout", &DURATION),
        ]),
    ),
    Member::kept("cache_duration", &DURATION),
    Member::kept(
        "async_fetch",
        &Shape::Object(&[
            Member::needless(
                "fast_listener",
                "is left out: requests that come before the keys wait for them",
            ),
            Member::kept("failed_refetch_duration", &DURATION),
        ]),
    ),
    Member::kept(
        "retry_policy",
        &Shape::Object(&[
            Member::kept("num_retries", &NUMBER),
            Member::kept(
                "retry_back_off",
                &Shape::Object(&[
                    Member::kept("base_interval", &DURATION),
                    Member::kept("max_interval", &DURATION),
                ]),
            ),
            Member::needless("retry_on", RETRIED),
            Member::needless("retry_priority", RETRIED),
            Member::needless("retry_host_predicate", RETRIED),
            Member::needless("host_selection_retry_max_attempts", RETRIED),
        ]),
    ),
]);

pub(super) static FILTER: [Member; 8] = [
    Member::elsewhere("providers"),
    Member::elsewhere("rules"),
    Member::kept("requirement_map", &NAMED_REQUIREMENTS),
    Member::kept(
        "filter_state_rules",
        &Shape::Object(&[
            Member::kept("name", &TEXT),
            Member::kept("requires", &NAMED_REQUIREMENTS),
        ]),
    ),
    Member::kept("bypass_cors_preflight", &FLAG),
    Member::kept("strip_failure_response", &FLAG),
    Member::needless(
        "stat_prefix",
        "is left out: counters are told apart by provider and reason",
    ),
    Member::elsewhere("clear_route_cache"),
];
