//! What is known about a generated pair.

use std::collections::BTreeSet;

/// What holds of a configuration, of a request or of its tokens; [`Features::ALL`] has the names.
#[derive(Clone, Debug, Default)]
pub(in super::super) struct Features(BTreeSet<&'static str>);

impl Features {
    /// Everything that the generator makes.
    pub(super) const ALL: &[&str] = &[
        "JSON that is none",
        "access_token in the query",
        "alias of a filled header",
        "allow_missing",
        "allow_missing_or_failed",
        "another alg",
        "another spelling of a location",
        "another subject",
        "audience of the provider",
        "audience with another scheme",
        "audiences",
        "bound token",
        "bypass_cors_preflight",
        "claim_path",
        "claim_to_headers",
        "clock_skew_seconds",
        "clock_skew_seconds: 0",
        "crit",
        "default locations",
        "eddsa",
        "empty requirement",
        "empty token",
        "es256",
        "es384",
        "es512",
        "exp 0",
        "exp after all years",
        "exp in milliseconds",
        "expired",
        "expired just now",
        "extra dots",
        "flipped bit",
        "foreign key",
        "forged signature",
        "forward",
        "forward_payload_header",
        "from_cookies",
        "from_headers",
        "from_params",
        "hs256",
        "hs512",
        "issuer",
        "key without alg",
        "key without kid",
        "kid of another key",
        "large token",
        "local_jwks",
        "long claim",
        "match by header",
        "match by host",
        "match by parameter",
        "match by path",
        "match by path_separated_prefix",
        "match by prefix",
        "match by safe_regex",
        "match without regard to case",
        "max_lifetime",
        "more after the token",
        "nested claim",
        "no audience",
        "no exp",
        "no issuer",
        "no kid",
        "no prefix",
        "no rule",
        "no such alg",
        "no token",
        "not valid yet",
        "null",
        "number that is no small integer",
        "odd path",
        "one part less",
        "other alphabet",
        "pad_forward_payload_header",
        "padding",
        "path under two rules",
        "prefix in second position",
        "preflight",
        "provider_and_audiences",
        "provider_name",
        "ps256",
        "ps384",
        "ps512",
        "repeated Authorization",
        "repeated cookie",
        "repeated header",
        "repeated parameter",
        "require_expiration",
        "require_expiration not set",
        "requirement_name",
        "requires_all",
        "requires_any",
        "rs256",
        "rs384",
        "rs512",
        "scheme in another case",
        "secrets not allowed",
        "several tokens",
        "signature with more bytes",
        "spoofed header",
        "strip_failure_response",
        "subjects",
        "text that no header can carry",
        "token elsewhere",
        "token in a cookie",
        "token in the query",
        "token in two locations",
        "two Authorization headers",
        "typ that is no text",
        "type of another token",
        "unknown kid",
        "unmatched requests refused",
        "valid soon",
        "wrong audience",
        "wrong issuer",
    ];

    pub(super) fn add(&mut self, feature: &'static str) {
        assert!(Self::is_known(feature), "`{feature}` is not on the list");
        self.0.insert(feature);
    }

    pub(super) fn add_if(&mut self, holds: bool, feature: &'static str) {
        if holds {
            self.add(feature);
        }
    }

    pub(super) fn extend(&mut self, others: &Self) {
        self.0.extend(&others.0);
    }

    pub(super) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().copied()
    }

    pub(in super::super) fn has(&self, feature: &str) -> bool {
        self.0.contains(feature)
    }

    pub(in super::super) fn is_known(feature: &str) -> bool {
        Self::ALL.contains(&feature)
    }
}
