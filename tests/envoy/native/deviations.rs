//! Where Portcullis is meant to differ from `jwt_authn`, and why. The test fails for a deviation
//! that is not found any more, whichever of the two has changed.

use std::borrow::Cow;

use super::Place;

/// One deviation on purpose.
#[derive(Debug)]
pub(super) struct Deviation {
    pub(super) place: Place,
    pub(super) difference: Difference,
    #[expect(
        dead_code,
        reason = "shown, as a part of the whole, when the test fails"
    )]
    reason: &'static str,
}

/// In what the two differ: first what the native filter does, then what Portcullis does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Difference {
    /// The status of the reply.
    Status(u16, u16),
    /// A header that the upstream sees.
    Header(Text, Option<Text>, Option<Text>),
}

type Text = Cow<'static, str>;

const fn status(place: Place, native: u16, own: u16, reason: &'static str) -> Deviation {
    Deviation {
        place,
        difference: Difference::Status(native, own),
        reason,
    }
}

const fn header(
    place: Place,
    name: &'static str,
    native: &'static str,
    own: Option<&'static str>,
    reason: &'static str,
) -> Deviation {
    let own = match own {
        Some(value) => Some(Cow::Borrowed(value)),
        None => None,
    };
    Deviation {
        place,
        difference: Difference::Header(Cow::Borrowed(name), Some(Cow::Borrowed(native)), own),
        reason,
    }
}

const DENY: &str = "what the operator did not think of is refused, unless `allow_unmatched`";
const ONE_PATH: &str = "an upstream that resolves the path reads another one than the rules do";
const STRICT: &str = "a token has one spelling and one meaning, or a deny list can be led round";
const FOR_EVER: &str = "what never expires is never got rid of, unless `require_expiration: false`";
const EPOCH: &str = "1970 has passed; it does not mean never";
const CRITICAL: &str = "what is not understood must not be ignored (RFC 7515 section 4.1.11)";
const ED25519: &str = "RFC 9864 section 2.2 gives EdDSA on this curve its own name";
const LARGE: &str = "every byte is parsed before anything is known about the sender";
const SCHEME: &str = "schemes are compared without regard to case (RFC 9110 section 11.1)";
const BEGINNING: &str = "the prefix stands at the beginning of the value";
const QUERY: &str = "queries end up in logs and histories (RFC 9700 section 4.3.2)";
const ONE_TOKEN: &str = "the upstream might take the one that was not checked";
const DIGITS: &str = "numbers keep all their digits and get no others";
const UNCHANGED: &str = "a value that does not arrive as it is could name another user";
const LONG: &str = "upstreams commonly refuse header blocks of 8 KiB";
const ALIAS: &str = "CGI-like upstreams read `x_user` and `x.user` as `x-user`";
const NO_SKEW: &str = "0 means 0, not the default of 60";

#[rustfmt::skip] // one line for each deviation
pub(super) const DEVIATIONS: &[Deviation] = &[
    status(("rules", "no rule"), 200, 403, DENY),
    status(("rules", "no rule, with a token"), 200, 403, DENY),
    status(("rules", "a guarded path in capitals"), 200, 403, DENY),
    status(("rules", "more than an exact path"), 200, 403, DENY),
    status(("rules", "out of an open path with .."), 200, 400, ONE_PATH),
    status(("rules", "out of an open path with %2e%2e"), 200, 400, ONE_PATH),
    status(("rules", "around a guarded path with //"), 200, 400, ONE_PATH),
    status(("strictness", "no expiry"), 200, 401, FOR_EVER),
    status(("strictness", "expiry 0"), 200, 401, EPOCH),
    status(("strictness", "an expiry past all years"), 200, 401, STRICT),
    status(("strictness", "a critical extension"), 200, 401, CRITICAL),
    status(("strictness", "alg Ed25519"), 401, 200, ED25519),
    status(("strictness", "a comma too many"), 200, 401, STRICT),
    status(("strictness", "padding"), 200, 401, STRICT),
    status(("strictness", "a dot too many"), 200, 401, STRICT),
    status(("strictness", "dots before"), 200, 401, STRICT),
    status(("strictness", "dots between"), 200, 401, STRICT),
    status(("strictness", "20 KiB of claims"), 200, 401, LARGE),
    status(("default location", "bearer"), 401, 200, SCHEME),
    status(("default location", "Bearer within a word"), 200, 401, BEGINNING),
    status(("default location", "Bearer in second place"), 200, 400, ONE_TOKEN),
    status(("default location", "more after the token"), 401, 400, ONE_TOKEN),
    status(("default location", "two headers, genuine first"), 401, 400, ONE_TOKEN),
    status(("default location", "two headers, genuine last"), 401, 400, ONE_TOKEN),
    status(("default location", "in the query"), 200, 401, QUERY),
    status(("named locations", "the prefix in second place"), 200, 401, BEGINNING),
    status(("named locations", "the prefix in quotes"), 200, 401, STRICT),
    status(("named locations", "two genuine tokens"), 200, 400, ONE_TOKEN),
    status(("named locations", "a genuine token and rubbish"), 401, 400, ONE_TOKEN),
    header(("claims", "a negative number"), "x-number", "-7.000000", Some("-7"), DIGITS),
    header(("claims", "a number with a fraction"), "x-number", "1.500000", Some("1.5"), DIGITS),
    header(
        ("claims", "a number of 16 digits"),
        "x-number", "9007199254740992", Some("9007199254740993"), DIGITS,
    ),
    header(
        ("claims", "a large number in a list"),
        "x-groups", "WzkwMDcxOTkyNTQ3NDA5OTJd", Some("WzkwMDcxOTkyNTQ3NDA5OTNd"), DIGITS,
    ),
    status(("claims", "a line break"), 503, 401, UNCHANGED),
    status(("claims", "a blank at the beginning"), 200, 401, UNCHANGED),
    status(("claims", "a line separator of Unicode"), 200, 401, UNCHANGED),
    status(("claims", "a string of 5000 bytes"), 200, 401, LONG),
    header(("spoofing", "an alias"), "x_user", "mallory", None, ALIAS),
    header(("spoofing", "an alias with a dot"), "x.user", "mallory", None, ALIAS),
    header(("spoofing", "an alias on an open path"), "x_user", "mallory", None, ALIAS),
    status(("no skew", "expired just now"), 200, 401, NO_SKEW),
    status(("no skew", "valid soon"), 200, 401, NO_SKEW),
];
